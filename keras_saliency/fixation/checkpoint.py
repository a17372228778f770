"""A training's whole state in one file, replaced in one step: a kill loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency.errors import UNREADABLE, FixationModelError, SaveError

_TOLD = "told"
_READ = "help(keras_saliency.fixation.train)"


def save(path: Path, told: dict[str, Any], groups: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write numbers and arrays beside the file's place, then move them there.

    Args:
        path: The file, ``.npz``.
        told: What JSON can say.
        groups: Lists of arrays by name.

    Raises:
        SaveError: The disk does not take it; the file that was there before still is.
    """
    arrays = {f"{name}/{i}": a for name, group in groups.items() for i, a in enumerate(group)}
    arrays[_TOLD] = np.array(json.dumps(told))
    fresh = path.with_suffix(".part")
    try:
        with fresh.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise SaveError(
            f"A checkpoint was to be saved as {str(path)!r}.",
            f"{error}.",
            "Make room, and run the same command again: it goes on from the last checkpoint.",
            _READ,
        ) from error


def load(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]] | None:
    """Return what `save` wrote, or None where there is no file.

    Raises:
        FixationModelError: The file is broken.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            told = json.loads(str(stored[_TOLD]))
            groups: dict[str, list[np.ndarray]] = {}
            names = (name.rsplit("/", 1) for name in stored.files if name != _TOLD)
            for group, number in sorted(names, key=lambda pair: (pair[0], int(pair[1]))):
                groups.setdefault(group, []).append(stored[f"{group}/{number}"])
    except UNREADABLE as error:
        raise FixationModelError(
            f"The training was to go on from {str(path)!r}.",
            f"The file is broken ({type(error).__name__}: {error}).",
            "Delete it to start anew.",
            _READ,
        ) from error
    return told, groups


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Return copies of variables' values."""
    return [np.array(keras.ops.convert_to_numpy(one.value)) for one in variables]


def assign(variables: Sequence[Any], arrays: Sequence[np.ndarray]) -> None:
    """Put values back.

    Raises:
        FixationModelError: They are those of another model.
    """
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise FixationModelError(
            "A training was to go on from its checkpoint.",
            "The checkpoint is of another model.",
            "Name another folder, or delete the checkpoint to start anew.",
            _READ,
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
