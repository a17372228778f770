"""An encoder's features, computed once and stored on disk while the encoder is frozen."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from keras_saliency._io import progress
from keras_saliency._results import provenance
from keras_saliency.errors import UNREADABLE, SaveError

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
        for canvas, start, views in progress.track(chunks, len(chunks), label):
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
