"""A folder that was asked for: found and unpacked, or an error that says what is there."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from keras_saliency.errors import FixationError


def require(folder: str | os.PathLike, wanted: tuple[str, ...], what: str) -> Path:
    """Return the folder if everything in ``wanted`` is in it.

    Args:
        folder: Where to look.
        wanted: Paths below it, each a file or a folder.
        what: What the folder should be, such as ``"a table of fixations"``.

    Raises:
        FixationError: It is missing, a file, a zip archive, or has another content.
    """
    folder = Path(folder)
    asked = f"{what[0].upper()}{what[1:]} was looked for in {str(folder)!r}."
    read = "help(keras_saliency.data)"
    if folder.is_file():
        packed = zipfile.is_zipfile(folder)
        found = "It is a zip archive, not a folder." if packed else "It is a file, not a folder."
        fix = "Unpack it and name the folder." if packed else f"Name {str(folder.parent)!r}."
        raise FixationError(asked, found, fix, read)
    if not folder.is_dir():
        raise FixationError(asked, "There is no such folder.", "Check the path.", read)
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        archives = sorted(path.name for path in folder.glob("*.zip"))
        fix = "Name the folder that does." if missing == list(wanted) else "Add what is missing."
        raise FixationError(
            asked,
            f"There is no {' and no '.join(repr(name) for name in missing)} in it; it holds "
            f"{contents(folder)}.",
            f"Unpack {archives[0]!r} there." if archives else fix,
            read,
        )
    return folder


def nearest(folder: str | os.PathLike, ways: tuple[str, ...], wanted: tuple[str, ...]) -> Path:
    """Return the first of ``folder / way`` that holds something wanted, else ``folder`` itself.

    Archives unpack with or without a folder of their own around them.
    """
    for way in ways:
        if any((Path(folder) / way / name).exists() for name in wanted):
            return Path(folder) / way
    return Path(folder)


def contents(folder: Path, most: int = 8) -> str:
    """Return the names in a folder as a phrase, the first ``most`` of them."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = len(names) - most
    listed = ", ".join(repr(name) for name in names[:most]) + (f" and {more} more" * (more > 0))
    return listed or "nothing"
