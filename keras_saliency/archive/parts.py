"""One part of an archive: a folder with rows and maps, whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_saliency import folder as files
from keras_saliency.archive import formats
from keras_saliency.archive.record import Record, as_row, from_row
from keras_saliency.errors import UNREADABLE, SaveError

_NAME = re.compile(r"part-(\d+)")
_UNFINISHED = re.compile(r"\.part-\d+\..*")  # as folder.write calls what it fills
_ROWS = "rows.json"


@dataclass(frozen=True)
class LeftOut:
    """A picture that could not be read, and why."""

    key: str
    reason: str


def numbers(folder: Path) -> list[int]:
    """Return the numbers of an archive's parts, in order."""
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def place(folder: Path, number: int) -> Path:
    """Return where a part is."""
    return folder / f"part-{number:05d}"


def write(
    folder: Path,
    number: int,
    form: str,
    results: Sequence[tuple[Record | LeftOut, Any]],
    about: Mapping[str, Any],
    asked: str,
    read: str,
) -> None:
    """Write a part beside its place, then move it there in one step.

    Args:
        folder: The archive's folder.
        number: The part's number, a new one.
        form: How its maps are written.
        results: Pictures and what was asked for on each.
        about: What else the part says, such as versions.
        asked: The first sentence of an error.
        read: Where an error says to read more.

    Raises:
        SaveError: The disk does not take it.
    """
    kept = [(record, its) for record, its in results if isinstance(record, Record)]
    out = [(one, its) for one, its in results if isinstance(one, LeftOut)]
    rows = {
        **about,
        "rows": [{**as_row(record), "asked": its} for record, its in kept],
        "left_out": [{"key": one.key, "reason": one.reason, "asked": its} for one, its in out],
    }

    def fill(fresh: Path) -> None:
        (fresh / _ROWS).write_text(json.dumps(rows, allow_nan=True) + "\n", encoding="utf-8")
        if kept:
            formats.write(fresh, form, [record for record, _ in kept])
        for path in (*fresh.iterdir(), fresh):
            sync(path)

    files.write(place(folder, number), fill, (), asked, read)
    sync(folder)


def rows(folder: Path, number: int, asked: str, read: str) -> dict[str, Any]:
    """Return what a part says of its pictures: ``rows`` and ``left_out``.

    Raises:
        SaveError: It is broken.
    """
    try:
        told = json.loads((place(folder, number) / _ROWS).read_text(encoding="utf-8"))
        for name in ("rows", "left_out"):
            for row in told[name]:
                row["key"], row["asked"]
        return told
    except UNREADABLE as error:
        raise _broken(folder, number, error, asked, read) from error


def records(folder: Path, number: int, form: str, asked: str, read: str) -> list[Record]:
    """Return the records of a part.

    Raises:
        SaveError: It is broken.
    """
    told = rows(folder, number, asked, read)["rows"]
    if not told:
        return []
    try:
        arrays = formats.read(place(folder, number), form, len(told))
        return [from_row(row, its) for row, its in zip(told, arrays, strict=True)]
    except UNREADABLE as error:
        if isinstance(error, SaveError):
            raise
        raise _broken(folder, number, error, asked, read) from error


def sweep(folder: Path) -> None:
    """Remove what a killed process left of parts."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)


def is_ours(name: str) -> bool:
    """Whether a file of this name was left of a part."""
    return _UNFINISHED.fullmatch(name) is not None


def sync(path: Path) -> None:
    """Have a file or a folder reach the disk, where the system can be asked for that."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _broken(folder: Path, number: int, error: Exception, asked: str, read: str) -> SaveError:
    return SaveError(
        asked,
        f"{place(folder, number).name} cannot be read ({type(error).__name__}: {error}).",
        "Remove that folder and call write again: its pictures are done anew.",
        read,
    )
