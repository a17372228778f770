"""What a training keeps in its folder: its state, history, card, and a frozen encoder's features.

The whole state is one file, replaced in one step: an interruption loses nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from keras_saliency import plot
from keras_saliency._io import encoding, track
from keras_saliency._results import provenance
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


_DONE = "done.json"
_CHUNK = 16


class CachedFeatures:
    """Batches for a decoder alone: features instead of pictures, float16 on disk.

    Args:
        model: A fixation model; its ``pixels`` and ``encoder`` are read.
        batches: Batches without windows, such as ``FixationBatches.without_windows()``.
        folder: Where the features go. A finished set for the same encoder and pictures
            is used again.
        label: Text of the progress bar.

    Raises:
        SaveError: They cannot be written.
    """

    def __init__(self, model: keras.Model, batches: Any, folder: Path, label: str) -> None:
        self._batches, self._folder = batches, folder
        views = batches.every_view()
        self._stored: dict[Any, tuple[str, int]] = {}  # canvas, row
        canvases: dict[tuple[int, int], list[Any]] = {}
        for view in views:
            rows = canvases.setdefault(view.letterbox.canvas, [])
            self._stored[view] = (_name(view.letterbox.canvas), len(rows))
            rows.append(view)
        encoder = _encoder(model)
        taps = len(encoder.outputs)
        wanted = {
            "encoder": provenance.model_hash(encoder),
            "batches": batches.fingerprint(),
            "views": [repr(view) for view in views],
        }
        if _read(folder / _DONE) != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                folder.mkdir(parents=True)
                _compute(encoder, batches, canvases, folder, label)
                (folder / _DONE).write_text(json.dumps(wanted), encoding="utf-8")
            except OSError as error:
                raise SaveError(
                    f"Cannot store an encoder's features in {str(folder)!r}.",
                    f"{error}.",
                    "Make room, and run the same command again.",
                    "help(keras_saliency.fixation.train)",
                ) from error
        self._arrays = {
            name: [np.load(folder / f"{name}_{i}.npy", mmap_mode="r") for i in range(taps)]
            for name in map(_name, canvases)
        }

    @property
    def epoch(self) -> int:
        """The epoch whose order and mirror images the batches have; may be set."""
        return self._batches.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._batches.epoch = epoch

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the decoder's inputs, features and mask, and the truth."""
        views = self._batches.views(index)
        stored = [self._stored[view] for view in views]
        arrays, rows = self._arrays[stored[0][0]], [row for _, row in stored]
        taps = [np.stack([array[row] for row in rows]).astype(np.float32) for array in arrays]
        mask = np.stack([view.mask() for view in views])
        return [*taps, mask], np.stack([self._batches.truth(view) for view in views])


def _encoder(model: keras.Model) -> keras.Model:
    image = model.inputs[0]
    pixels, _ = model.get_layer("pixels")(image)
    return keras.Model(image, model.get_layer("encoder")(pixels))


def _name(canvas: tuple[int, int]) -> str:
    return f"{canvas[0]}x{canvas[1]}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UNREADABLE:
        return None


def _compute(encoder: keras.Model, batches: Any, canvases: Any, folder: Path, label: str) -> None:
    chunks = [
        (canvas, start, views[start : start + _CHUNK])
        for canvas, views in canvases.items()
        for start in range(0, len(views), _CHUNK)
    ]
    files: dict[str, list[IO[bytes]]] = {}
    # Files are written, not mapped: on a full disk a write to mapped memory ends the process.
    with ExitStack() as opened:
        for canvas, start, views in track(chunks, len(chunks), label):
            pictures = np.stack([batches.picture(view) for view in views])
            # The last chunk is filled up: another batch size would be compiled for it alone.
            full = np.resize(pictures, (_CHUNK, *pictures.shape[1:]))
            taps = [np.asarray(tap, np.float16) for tap in encoder.predict_on_batch(full)]
            name, count = _name(canvas), len(canvases[canvas])
            if start == 0:
                files[name] = [
                    opened.enter_context(_begun(folder / f"{name}_{i}.npy", count, tap))
                    for i, tap in enumerate(taps)
                ]
            for file, tap in zip(files[name], taps, strict=True):
                file.write(tap[: len(views)].tobytes())


def _begun(path: Path, count: int, tap: np.ndarray) -> IO[bytes]:
    """Open a ``.npy`` file of ``count`` rows such as those of ``tap``, its header written."""
    file = path.open("wb")
    descr = np.lib.format.dtype_to_descr(tap.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (count, *tap.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
    return file
