"""A training's whole state in one file, replaced in one step: an interruption loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency import plot
from keras_saliency._io import encoding
from keras_saliency.errors import UNREADABLE, FixationModelError, SaveError

_STATE = "told"  # the array that holds it, as JSON
_READ = "help(keras_saliency.fixation.train)"


def save(path: Path, state: dict[str, Any], groups: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write numbers and arrays to a temporary file, then replace the checkpoint by it.

    Args:
        path: The file, ``.npz``.
        state: Values that JSON can hold.
        groups: Lists of arrays by name.

    Raises:
        SaveError: It cannot be written; the file that was there before still is.
    """
    arrays = {f"{name}/{i}": a for name, group in groups.items() for i, a in enumerate(group)}
    arrays[_STATE] = np.array(json.dumps(state))
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
            f"Cannot save a checkpoint as {str(path)!r}.",
            f"{error}.",
            "Make room, and run the same command again: it resumes from the last checkpoint.",
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
            state = json.loads(str(stored[_STATE]))
            groups: dict[str, list[np.ndarray]] = {}
            names = (name.rsplit("/", 1) for name in stored.files if name != _STATE)
            for group, number in sorted(names, key=lambda pair: (pair[0], int(pair[1]))):
                groups.setdefault(group, []).append(stored[f"{group}/{number}"])
    except UNREADABLE as error:
        raise FixationModelError(
            f"Cannot resume the training from {str(path)!r}.",
            f"The file is broken ({type(error).__name__}: {error}).",
            "Delete it to start anew.",
            _READ,
        ) from error
    return state, groups


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Return copies of variables' values."""
    return [np.array(keras.ops.convert_to_numpy(one.value)) for one in variables]


def assign(variables: Sequence[Any], arrays: Sequence[np.ndarray]) -> None:
    """Set variables to stored values.

    Raises:
        FixationModelError: They are those of another model.
    """
    if [tuple(v.shape) for v in variables] != [a.shape for a in arrays]:
        raise FixationModelError(
            "Cannot resume the training from its checkpoint.",
            "The checkpoint is of another model.",
            "Name another folder, or delete the checkpoint to start anew.",
            _READ,
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write ``history.csv`` and ``history.png``: a row, a point, for each epoch.

    Raises:
        SaveError: They cannot be written.
    """
    figure = plot.render_png(plot.losses, rows)
    try:
        _write(folder, rows, figure)
    except OSError as error:
        raise SaveError(
            f"Cannot write the history of a training to {str(folder)!r}.",
            f"{error}.",
            "Make room, and run the same command again: it resumes from the last checkpoint.",
            "help(keras_saliency.fixation.train)",
        ) from error


def _write(folder: Path, rows: list[dict[str, Any]], figure: bytes) -> None:
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        encoding.write(file, rows, rows[0])
    (folder / "history.png").write_bytes(figure)


def card(name: str, about: str, training: dict[str, Any]) -> str:
    """Return the text that goes with a model: what it is and how it came about."""
    rows = training["history"]
    best = min(rows, key=lambda row: row["validation_loss"]) if rows else None
    lines = [
        f"# {name}",
        "",
        about or "A fixation model: picture in, density of fixations out.",
        "",
    ]
    lines += ["## Recipe", ""]
    for key in ("preset", "command", "data", "seed", "minutes", "backend"):
        if key in training:
            value = training[key]
            if isinstance(value, dict):
                value = ", ".join(f"{name} {count} pictures" for name, count in value.items())
            lines.append(f"- {key}: {value}")
    if best:
        lines.append(
            f"- best validation loss: {best['validation_loss']:.4f} "
            f"(stage {best['stage']}, epoch {best['epoch']})"
        )
    return "\n".join(lines) + "\n"
