"""A folder written all or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from keras_saliency.errors import SaveError


def write(
    folder: Path, fill: Callable[[Path], None], ours: Collection[str], asked: str, read: str
) -> Path:
    """Fill a folder beside its place, then move it there in one step.

    A folder that holds only files of ours is replaced; one that holds anything else is left alone.

    Args:
        folder: The place.
        fill: Writes the files into the folder it is given.
        ours: Names of the files that may be replaced; none where only an empty folder may.
        asked: The first sentence of an error.
        read: Where an error says to read more.

    Returns:
        The folder.

    Raises:
        SaveError: The place holds something else, or the disk does not take it.
    """
    if folder.exists() and not _holds_only(folder, ours):
        found, fix = "Something is there.", "Name a new or an empty folder."
        if ours:
            found, fix = "Something else is there.", "Name a new folder, or one written so before."
        raise SaveError(asked, found, fix, read)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise SaveError(asked, f"{error}.", "Name a place that can be written.", read) from error
    try:
        fill(fresh)
        fresh.chmod(0o777 & ~_umask())  # mkdtemp gives 0o700
        _swap(fresh, folder)
    except OSError as error:
        raise SaveError(asked, f"{error}.", "Make room, or name another place.", read) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _holds_only(folder: Path, ours: Collection[str]) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= set(ours)


def _swap(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    kept = aside / folder.name
    try:
        os.replace(folder, kept)
        os.replace(fresh, folder)
    except OSError:
        if kept.exists():
            os.replace(kept, folder)
        raise
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
