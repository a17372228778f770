"""A prediction as a folder: npz, manifest and figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import folder as files
from keras_saliency import provenance
from keras_saliency.letterbox import Letterbox

SCHEMA_VERSION = 1

_ARRAYS, _MANIFEST, _FIGURE = "prediction.npz", "manifest.json", "figure.png"
_READ = "help(keras_saliency.FixationPrediction.save)"


def write(folder: Path, prediction: Any, figure: bytes) -> Path:
    """Write a prediction, all or nothing.

    Raises:
        SaveError: The place holds something else, or the disk does not take it.
    """
    pictures = {f"picture_{i}": picture for i, picture in enumerate(prediction.pictures)}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        **prediction.info,
        "model_sha256": prediction.model_hash(),
        "pictures": [
            {
                "name": name,
                "sha256": provenance.picture_hash(picture),
                "letterbox": asdict(box),
            }
            for name, picture, box in zip(
                prediction.names, prediction.pictures, prediction.letterboxes, strict=True
            )
        ],
    }

    def fill(fresh: Path) -> None:
        density = prediction.log_density
        np.savez_compressed(fresh / _ARRAYS, log_density=density, **pictures)
        (fresh / _FIGURE).write_bytes(figure)
        text = json.dumps(manifest, indent=2)
        (fresh / _MANIFEST).write_text(text + "\n", encoding="utf-8")

    asked = f"A prediction was to be saved as the folder {str(folder)!r}."
    return files.write(folder, fill, (_ARRAYS, _MANIFEST, _FIGURE), asked, _READ)


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the FixationPrediction that a folder holds.

    Raises:
        SaveError: It holds none, a broken one, or one of a later schema.
    """
    asked = f"The prediction in {str(folder)!r} was asked for."
    fix = "Name a folder written by FixationPrediction.save."
    return files.read(
        folder / _MANIFEST, folder / _ARRAYS, SCHEMA_VERSION, _fields, asked, fix, _READ
    )


def _fields(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = manifest.pop("pictures")
    digest = manifest.pop("model_sha256")
    return {
        "log_density": arrays["log_density"],
        "pictures": tuple(arrays[f"picture_{i}"] for i in range(len(rows))),
        "letterboxes": tuple(
            Letterbox(**{name: tuple(value) for name, value in row["letterbox"].items()})
            for row in rows
        ),
        "names": tuple(row["name"] for row in rows),
        "info": manifest,
        "model_hash": lambda: digest,
    }
