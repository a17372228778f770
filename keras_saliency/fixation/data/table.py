"""Fixations as a table: one row a picture in ``index.csv``, all fixations in ``fixations.npz``."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._io import encoding
from keras_saliency.errors import UNREADABLE, FixationError, did_you_mean
from keras_saliency.fixation.data import recording, sources
from keras_saliency.fixation.data.recording import Recording, inside
from keras_saliency.fixation.data.sources import Skipped, require

INDEX, FIXATIONS = "index.csv", "fixations.npz"

_REQUIRED = ("image", "file", "width", "height")
_READ = "help(keras_saliency.fixation.data.read_table)"


def read_table(
    folder: str | os.PathLike[str],
    dataset: str | Collection[str] | None = None,
    split: str | Collection[str] | None = None,
    degrees: Mapping[str, float] | None = None,
    *,
    verify: bool = False,
) -> list[Recording]:
    """Read recordings from a folder that holds ``index.csv`` and ``fixations.npz``.

    ``index.csv`` has one row a picture:

    =====================================  ======================================================
    column                                 value
    =====================================  ======================================================
    ``image``                              0, 1, 2, ...: the key
    ``file``                               the picture, relative to the folder
    ``width``, ``height``                  of that file, in pixels
    ``dataset``                            optional; the folder's name where it is absent
    ``split``                              optional; ``"train"`` where it is absent
    ``name``                               optional, unique in its data set; else from ``file``
    ``category``                           optional
    ``orig_width``, ``orig_height``        optional: the picture as it was shown; else as stored
    ``degree``                             optional: one degree of visual angle in pixels of the
                                           picture as it was shown
    ``n_fixations``, ``sha256``            optional, compared where they are there
    =====================================  ======================================================

    ``fixations.npz`` holds flat arrays, one entry a fixation: ``x`` and ``y`` (0-based pixel
    coordinates on the stored picture, ``0 <= x < width``), optionally ``subject`` (the viewer's
    number within the data set; a picture with a -1 has unknown viewers) and ``image``; and
    ``offsets``, one longer than there are pictures: picture k has the entries
    ``offsets[k]:offsets[k + 1]``. Other columns and arrays are ignored.
    ``write_table`` writes this form.

    Pictures are opened here only to compare their size; ``Recording.pixels()`` decodes them.

    Args:
        folder: The folder.
        dataset: Only this data set, or these; None takes all.
        split: Only this split, or these; None takes all.
        degrees: One degree of visual angle in pixels of the pictures as they were shown, by data
            set, for those without a column ``degree``. Neither is needed for a known data set.
        verify: Decode every picture, and compare ``sha256`` where the column is there.

    Returns:
        Recordings in the order of ``image``.

    Raises:
        FixationError: The folder, its columns or its offsets are wrong, or nothing is left.

    Warns:
        UserWarning: Once, with count and names, of pictures left out (missing, broken, of another
            size, without a fixation) and of fixations left out (outside their picture).

    Example:
        >>> import tempfile
        >>> from keras_saliency.fixation.data import Recording, write_table
        >>> sky = Recording("sky", "lab", "val", np.zeros((4, 6, 3), np.uint8), (4, 6),
        ...                 y=np.array([1.5]), x=np.array([5.0]), sigma=2.0)
        >>> with tempfile.TemporaryDirectory() as lab:
        ...     [one] = read_table(write_table([sky], lab), split="val")
        >>> one.name, one.size, one.y.tolist(), one.sigma
        ('sky', (4, 6), [1.5], 2.0)
    """
    root = require(folder, (INDEX, FIXATIONS), "a table of fixations")
    rows = _rows(root / INDEX, root.resolve().name)
    arrays = _arrays(root / FIXATIONS)
    offsets = _offsets(root / FIXATIONS, arrays, rows)
    chosen = _chosen(_chosen(rows, "dataset", dataset), "split", split)
    skipped = Skipped(f"the table {str(root)!r}")
    recordings = []
    for row in chosen:
        part = slice(offsets[row["image"]], offsets[row["image"] + 1])
        why = _unusable(root / row["file"], row, verify)
        if why:
            skipped.picture(row["file"], why)
            continue
        y, x = arrays["y"][part].astype(np.float32), arrays["x"][part].astype(np.float32)
        valid = inside(y, x, row["size"])
        skipped.fixations(row["file"], int((~valid).sum()))
        if not valid.any():
            skipped.picture(row["file"], "no fixation")
            continue
        given = row["degree"] if row["degree"] is not None else (degrees or {}).get(row["dataset"])
        subject = arrays["subject"][part].astype(np.int32) if "subject" in arrays else None
        recordings.append(
            Recording(
                name=row["name"],
                dataset=row["dataset"],
                split=row["split"],
                picture=root / row["file"],
                size=row["size"],
                y=y[valid],
                x=x[valid],
                sigma=sources.sigma(row["dataset"], row["size"], row["shown"], given),
                subject=None if subject is None or (subject < 0).any() else subject[valid],
                category=row["category"],
            )
        )
    skipped.used = len(recordings)
    skipped.report()
    return recordings


def _wrong(file: Path, result: str, fix: str) -> FixationError:
    return FixationError(f"Cannot read fixations from {str(file)!r}.", result, fix, _READ)


def _rows(file: Path, default: str) -> list[dict[str, Any]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:  # Excel writes a BOM
            reader = csv.DictReader(text)
            columns = list(reader.fieldnames or ())
            lines = [{name: _text(one) for name, one in line.items()} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _wrong(file, f"It cannot be read: {error}.", "Save it as CSV in UTF-8.") from error
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        result = (
            f"Its columns are {', '.join(columns) or 'none'}; {', '.join(missing)} are missing."
        )
        raise _wrong(file, result, "Add them, separated by commas.")
    if not lines:
        raise _wrong(file, "It has no rows.", "Write one row a picture.")
    rows = sorted((_row(file, i, line, default) for i, line in enumerate(lines)), key=_image)
    numbers = [row["image"] for row in rows]
    if numbers != list(range(len(rows))):
        odd = next(i for i, number in enumerate(numbers) if number != i)
        result = f"Its column 'image' is not 0..{len(rows) - 1}, each once: {odd} is missing."
        raise _wrong(file, result, "Number the pictures 0, 1, 2, ... as offsets counts them.")
    _name(file, rows)
    return rows


def _text(one: Any) -> Any:
    return encoding.original(one) if isinstance(one, str) else one


def _image(row: dict[str, Any]) -> int:
    return row["image"]


def _row(file: Path, line: int, row: dict[str, Any], default: str) -> dict[str, Any]:
    try:
        size = int(row["height"]), int(row["width"])
        shown = int(row.get("orig_height") or size[0]), int(row.get("orig_width") or size[1])
        count = row.get("n_fixations")
        if min(*size, *shown) < 1:
            raise ValueError(f"a picture of {size[1]}x{size[0]} pixels, shown at {shown[::-1]}")
        if not row["file"]:
            raise ValueError("the column 'file' is empty")
        return {
            "image": int(row["image"]),
            "file": row["file"],
            "size": size,
            "shown": shown,
            "name": row.get("name") or None,
            "dataset": row.get("dataset") or default,
            "split": row.get("split") or "train",
            "category": row.get("category") or None,
            "degree": float(row["degree"]) if row.get("degree") else None,
            "n_fixations": int(count) if count else None,
            "sha256": (row.get("sha256") or "").lower(),
        }
    except (TypeError, ValueError) as error:  # TypeError: a row with fewer cells than columns
        result = f"Its row {line + 2} cannot be read: {error}."
        raise _wrong(file, result, "Write whole numbers of pixels.") from error


def _name(file: Path, rows: list[dict[str, Any]]) -> None:
    """Name the rows that have no name by their file's stem, or by its path where stems repeat."""
    stems = [(row["dataset"], Path(row["file"]).stem) for row in rows]
    repeated = len(set(stems)) < len(stems)
    for row, (_, stem) in zip(rows, stems, strict=True):
        path = Path(row["file"]).with_suffix("").as_posix()
        row["name"] = row["name"] or (path if repeated else stem)
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row["dataset"], row["name"]
        if key in seen:
            result = f"Two pictures of the data set {key[0]!r} are named {key[1]!r}."
            raise _wrong(file, result, "Give each its own name in a column 'name'.")
        seen.add(key)


def _arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {
                k: loaded[k] for k in ("x", "y", "offsets", "subject", "image") if k in loaded
            }
            names = list(loaded)
    except UNREADABLE as error:
        result = f"It cannot be read ({type(error).__name__}: {error})."
        raise _wrong(file, result, "Write it with numpy.savez, without pickled objects.") from error
    missing = [name for name in ("x", "y", "offsets") if name not in arrays]
    if missing:
        result = f"It holds {', '.join(names) or 'nothing'}; {', '.join(missing)} are missing."
        raise _wrong(file, result, "Add them.")
    for name, array in arrays.items():
        if array.ndim != 1 or array.dtype.kind not in ("iuf" if name in ("x", "y") else "iu"):
            result = f"Its array {name!r} has shape {array.shape} and dtype {array.dtype}."
            raise _wrong(file, result, "Write flat arrays of numbers, whole ones but for x and y.")
    lengths = {name: len(array) for name, array in arrays.items() if name != "offsets"}
    if len(set(lengths.values())) > 1:
        raise _wrong(
            file, f"Its arrays differ in length: {lengths}.", "Write one entry a fixation."
        )
    return arrays


def _offsets(file: Path, arrays: dict[str, np.ndarray], rows: list[dict[str, Any]]) -> np.ndarray:
    offsets, total = arrays["offsets"].astype(np.int64), len(arrays["x"])
    fix = "Write offsets = concatenate([[0], cumsum(fixations of each picture)])."
    if len(offsets) != len(rows) + 1:
        result = f"Its offsets have {len(offsets)} entries for {len(rows)} rows in {INDEX}."
        raise _wrong(file, result, fix)
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != total or (counts < 0).any():
        result = f"Its offsets do not rise from 0 to its {total} fixations."
        raise _wrong(file, result, fix)
    image = arrays.get("image")
    if image is not None and (image != np.repeat(np.arange(len(rows)), counts)).any():
        raise _wrong(file, "Its arrays 'image' and 'offsets' disagree.", fix)
    for row, count in zip(rows, counts, strict=True):
        if row["n_fixations"] not in (None, count):
            result = (
                f"Its offsets give {row['file']} {count} fixations, {INDEX} {row['n_fixations']}."
            )
            raise _wrong(file, result, fix)
    return offsets


def _chosen(
    rows: list[dict[str, Any]], column: str, wanted: str | Collection[str] | None
) -> list[dict[str, Any]]:
    if wanted is None:
        return rows
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = sorted({row[column] for row in rows})
    for name in names:
        if name not in known:
            raise FixationError(
                f"No recording has the {column} {name!r}.",
                f"Known: {', '.join(known)}.",
                did_you_mean(name, known) or f"Leave {column} out to read all.",
                _READ,
            )
    return [row for row in rows if row[column] in names]


def _unusable(picture: Path, row: dict[str, Any], verify: bool) -> str:
    """Return why a picture cannot be used, or an empty string."""
    try:
        if verify:
            recording.read(picture, row["size"], row["file"])
        else:
            result = recording.header(picture, row["file"])
            if result != row["size"]:
                return f"{result[1]}x{result[0]} pixels, not {row['size'][1]}x{row['size'][0]}"
    except FixationError as error:
        return error.got.rstrip(".")
    if verify and row["sha256"] and recording.sha256(picture) != row["sha256"]:
        return "altered: its SHA-256 differs"
    return ""
