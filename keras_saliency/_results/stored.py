"""One explanation as a folder: figure, arrays, and a manifest with checksums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._inputs.geometry import Geometry
from keras_saliency._io import folders
from keras_saliency._io.encoding import decode, encode
from keras_saliency._results import provenance

SCHEMA_VERSION = 2  # 1 had no checksums, and arrays in info as text

_ARRAYS, _MANIFEST, _FIGURE = "explanation.npz", "manifest.json", "figure.png"
OVERLAY = "overlay.png"  # the command writes it beside these
READ = "help(keras_saliency.Explanation.save)"
_OWN = (
    "checksums", "dtypes", "info", "model_sha256", "pictures", "schema_version", "signed",
)  # fmt: skip


def write(folder: Path, explanation: Any, figure: bytes) -> Path:
    """Write an explanation, all or nothing.

    Raises:
        SaveError: The folder holds other files, or cannot be written.
    """

    def fill(fresh: Path) -> None:
        (fresh / _FIGURE).write_bytes(figure)
        arrays = arrays_of(explanation)
        manifest = manifest_of(explanation, arrays)
        folders.seal(fresh, _MANIFEST, manifest, arrays, _ARRAYS)

    what = f"Cannot save the explanation as the folder {str(folder)!r}."
    return folders.write(folder, fill, (_ARRAYS, _MANIFEST, _FIGURE, OVERLAY), what, READ)


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the Explanation that a folder holds.

    Raises:
        SaveError: It holds none, a damaged one, or one of a later schema.
    """
    what = f"Cannot read the explanation in {str(folder)!r}."
    fix = "Name a folder written by Explanation.save."
    return folders.read(folder, _MANIFEST, _ARRAYS, SCHEMA_VERSION, fields_of, what, fix, READ)


def arrays_of(explanation: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a saved explanation."""
    arrays = {"values": explanation.values, "scores": explanation.scores}
    for name in ("attributions", "probabilities"):
        if getattr(explanation, name) is not None:
            arrays[name] = getattr(explanation, name)
    pictures = {f"picture_{i}": picture for i, picture in enumerate(explanation.pictures)}
    return {**arrays, **pictures}


def manifest_of(explanation: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the manifest of a saved explanation; arrays in its info are added to ``arrays``."""
    info = dict(explanation.info)
    # Names that the manifest itself uses are stored apart.
    apart = {name: info.pop(name) for name in list(info) if name in _OWN or _is_hidden(name)}
    return {
        "schema_version": SCHEMA_VERSION,
        **encode(info, arrays),
        **({"info": encode(apart, arrays)} if apart else {}),
        "signed": bool(explanation.signed),
        "model_sha256": explanation.model_sha256,
        "pictures": [
            {
                "sha256": provenance.picture_hash(picture),
                "geometry": asdict(explanation.geometries[i]),
                "target": encode(explanation.targets[i], arrays),
                "label": explanation.labels[i],
                "score": float(explanation.scores[i]),
                "checks": encode(_listed(explanation.checks[i]), arrays),
            }
            for i, picture in enumerate(explanation.pictures)
        ],
    }


def _listed(checks: Mapping[str, Any]) -> dict[str, Any]:
    return {**checks, "findings": list(checks["findings"])}


def _is_hidden(name: Any) -> bool:
    return type(name) is not str or name.startswith("__")


def fields_of(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the fields of the explanation that was saved so."""
    rows = manifest.pop("pictures")
    digest, signed = manifest.pop("model_sha256"), manifest.pop("signed")
    apart = manifest.pop("info", {})
    checks = [decode(row["checks"], arrays) for row in rows]
    return {
        "values": arrays["values"],
        "attributions": arrays.get("attributions"),
        "scores": arrays["scores"],
        "probabilities": arrays.get("probabilities"),
        "targets": tuple(decode(row["target"], arrays) for row in rows),
        "labels": tuple(row["label"] for row in rows),
        "pictures": tuple(arrays[f"picture_{i}"] for i in range(len(rows))),
        "geometries": tuple(
            Geometry(**{name: tuple(value) for name, value in row["geometry"].items()})
            for row in rows
        ),
        "signed": signed,
        "checks": tuple({**one, "findings": tuple(one["findings"])} for one in checks),
        "info": {**decode(manifest, arrays), **decode(apart, arrays)},
        "model_sha256": digest,
    }
