"""Recordings written as the table that ``read_table`` reads, all or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from keras_saliency._io import encoding, folders
from keras_saliency._io.files import local_path
from keras_saliency.errors import FixationError
from keras_saliency.fixation.data import recording as pixels
from keras_saliency.fixation.data.recording import Recording, inside
from keras_saliency.fixation.data.table import FIXATIONS, INDEX

_COLUMNS = (
    "image", "name", "dataset", "split", "category", "file", "width", "height", "degree",
    "n_fixations", "sha256",
)  # fmt: skip
_READ = "help(keras_saliency.fixation.data.write_table)"


def write_table(recordings: Iterable[Recording], folder: str | os.PathLike[str]) -> Path:
    """Write recordings as ``index.csv``, ``fixations.npz`` and one picture file each.

    Files are copied byte for byte; arrays become PNG. ``degree`` is ``sigma``, in pixels of the
    picture as written. The folder appears in one step when all is written.

    Args:
        recordings: To write; (dataset, name) is unique.
        folder: A new or empty folder.

    Returns:
        The folder.

    Raises:
        FixationError: A recording is wrong: a fixation outside its picture, arrays of different
            lengths, a repeated name, a picture that cannot be read or has another size.
        SaveError: The folder is not empty, or cannot be written.

    Example:
        >>> import tempfile
        >>> from keras_saliency.fixation.data import Recording, read_table
        >>> one = Recording("sky", "lab", "train", np.zeros((4, 6, 3), np.uint8), (4, 6),
        ...                 y=np.array([1.5]), x=np.array([5.0]), sigma=2.0)
        >>> with tempfile.TemporaryDirectory() as there:
        ...     [back] = read_table(write_table([one], there + "/lab"))
        >>> back.name, back.size, back.x.tolist(), back.sigma
        ('sky', (4, 6), [5.0], 2.0)
    """
    folder = local_path(folder, _READ)
    what = f"Cannot write a table of fixations to {str(folder)!r}."
    known = list(recordings)
    return folders.write(folder, lambda fresh: _write(known, fresh, what), (), what, _READ)


def _write(recordings: list[Recording], folder: Path, what: str) -> None:
    rows, seen = [], set()
    for i, recording in enumerate(recordings):
        _check(recording, what)
        key = recording.dataset, recording.name
        if key in seen:
            result = f"Two recordings of {key[0]!r} are named {key[1]!r}."
            raise FixationError(what, result, "Give each its own name.", _READ)
        seen.add(key)
        data, suffix = _encoded(recording)
        file = PurePosixPath(recording.dataset, "images", recording.name + suffix)
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        rows.append(
            {
                "image": i,
                "name": recording.name,
                "dataset": recording.dataset,
                "split": recording.split,
                "category": recording.category or "",
                "file": str(file),
                "width": recording.size[1],
                "height": recording.size[0],
                "degree": repr(float(recording.sigma)),
                "n_fixations": len(recording.y),
                "sha256": pixels.sha256(folder / file),
            }
        )
    if not rows:
        raise FixationError(what, "Got no recording.", "Pass at least one.", _READ)
    with (folder / INDEX).open("w", newline="", encoding="utf-8") as text:
        encoding.write(text, rows, _COLUMNS)
    counts = [len(recording.y) for recording in recordings]
    np.savez_compressed(
        folder / FIXATIONS,
        image=np.repeat(np.arange(len(recordings), dtype=np.int32), counts),
        x=np.concatenate([np.asarray(r.x, np.float32) for r in recordings]),
        y=np.concatenate([np.asarray(r.y, np.float32) for r in recordings]),
        subject=np.concatenate([_subjects(r) for r in recordings]),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _check(recording: Recording, what: str) -> None:
    name = f"{recording.dataset}/{recording.name}"
    for part in (recording.dataset, recording.name):
        path = PurePosixPath(part)
        if not part or path.is_absolute() or ".." in path.parts or "\\" in part:
            result = f"{part!r} cannot be part of a file's name."
            raise FixationError(what, result, "Name it by letters and digits.", _READ)
    y, x = np.asarray(recording.y, np.float32), np.asarray(recording.x, np.float32)
    viewers = y if recording.subject is None else np.asarray(recording.subject)
    if y.ndim != 1 or not y.shape == x.shape == viewers.shape:
        result = f"{name} has y of shape {y.shape}, x {x.shape}, subject {viewers.shape}."
        raise FixationError(what, result, "Pass one entry a fixation.", _READ)
    height, width = recording.size
    outside = int((~inside(y, x, recording.size)).sum())
    if outside:
        raise FixationError(
            what,
            f"{outside} of {len(y)} fixations of {name} lie outside its {width}x{height} pixels.",
            "Leave them out, or check that y is the row and both count from 0.",
            _READ,
        )


def _encoded(recording: Recording) -> tuple[bytes, str]:
    shown = recording.pixels()  # also refuses a broken picture and one of another size
    picture = recording.picture
    if isinstance(picture, np.ndarray):
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "PNG")
        return buffer.getvalue(), ".png"
    if isinstance(picture, Path):
        return picture.read_bytes(), picture.suffix
    data = picture if isinstance(picture, bytes) else picture()
    with Image.open(io.BytesIO(data)) as image:
        return data, ".jpg" if image.format == "JPEG" else f".{str(image.format).lower()}"


def _subjects(recording: Recording) -> np.ndarray:
    if recording.subject is None:
        return np.full(len(recording.y), -1, np.int32)
    return np.asarray(recording.subject, np.int32)
