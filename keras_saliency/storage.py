"""An explanation as a folder: npz, manifest and figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import folder as files
from keras_saliency import provenance
from keras_saliency.geometry import Geometry

SCHEMA_VERSION = 1

_ARRAYS, _MANIFEST, _FIGURE = "explanation.npz", "manifest.json", "figure.png"
_READ = "help(keras_saliency.Explanation.save)"


def write(folder: Path, explanation: Any, figure: bytes) -> Path:
    """Write an explanation, all or nothing.

    Raises:
        SaveError: The place holds something else, or the disk does not take it.
    """

    def fill(fresh: Path) -> None:
        np.savez_compressed(fresh / _ARRAYS, **_arrays(explanation))  # type: ignore[arg-type]
        (fresh / _FIGURE).write_bytes(figure)
        text = json.dumps(_manifest(explanation), indent=2, default=_plain, allow_nan=True)
        (fresh / _MANIFEST).write_text(text + "\n", encoding="utf-8")

    asked = f"An explanation was to be saved as the folder {str(folder)!r}."
    return files.write(folder, fill, (_ARRAYS, _MANIFEST, _FIGURE), asked, _READ)


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the Explanation that a folder holds.

    Raises:
        SaveError: It holds none, a broken one, or one of a later schema.
    """
    asked = f"The explanation in {str(folder)!r} was asked for."
    fix = "Name a folder written by Explanation.save."
    return files.read(
        folder / _MANIFEST, folder / _ARRAYS, SCHEMA_VERSION, _fields, asked, fix, _READ
    )


def _arrays(explanation: Any) -> dict[str, np.ndarray]:
    arrays = {"values": explanation.values, "scores": explanation.scores}
    for name in ("attributions", "probabilities"):
        if getattr(explanation, name) is not None:
            arrays[name] = getattr(explanation, name)
    pictures = {f"picture_{i}": picture for i, picture in enumerate(explanation.pictures)}
    return {**arrays, **pictures}


def _manifest(explanation: Any) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        **explanation.info,
        "signed": explanation.signed,
        "model_sha256": explanation.model_hash(),
        "pictures": [
            {
                "sha256": provenance.picture_hash(picture),
                "geometry": asdict(explanation.geometries[i]),
                "target": explanation.targets[i],
                "label": explanation.labels[i],
                "score": float(explanation.scores[i]),
                "checks": dict(explanation.checks[i]),
            }
            for i, picture in enumerate(explanation.pictures)
        ],
    }


def _fields(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = manifest.pop("pictures")
    digest = manifest.pop("model_sha256")
    return {
        "values": arrays["values"],
        "attributions": arrays.get("attributions"),
        "scores": arrays["scores"],
        "probabilities": arrays.get("probabilities"),
        "targets": tuple(row["target"] for row in rows),
        "labels": tuple(row["label"] for row in rows),
        "pictures": tuple(arrays[f"picture_{i}"] for i in range(len(rows))),
        "geometries": tuple(
            Geometry(**{name: tuple(value) for name, value in row["geometry"].items()})
            for row in rows
        ),
        "signed": manifest.pop("signed"),
        "checks": tuple(
            {**row["checks"], "findings": tuple(row["checks"]["findings"])} for row in rows
        ),
        "info": manifest,
        "model_hash": lambda: digest,
    }


def _plain(value: Any) -> Any:
    """Return what JSON has no word for as what it has: arrays as lists, the rest as text."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
    return value.item() if isinstance(value, np.generic) else repr(value)
