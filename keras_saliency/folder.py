"""A folder written all or not at all, and read back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import UNREADABLE, SaveError


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
    check(folder, ours, asked, read)
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


def check(folder: Path, ours: Collection[str], asked: str, read: str) -> None:
    """Refuse a place that `write` would leave alone; before work that takes long.

    Raises:
        SaveError: The place holds something else.
    """
    if folder.exists() and not _holds_only(folder, ours):
        found, fix = "Something is there.", "Name a new or an empty folder."
        if ours:
            found, fix = "Something else is there.", "Name a new folder, or one written so before."
        raise SaveError(asked, found, fix, read)


def write_text(path: Path, text: str, read: str) -> Path:
    """Write a file of text beside its place, then move it there in one step.

    Args:
        path: The place.
        text: What is written, in UTF-8.
        read: Where an error says to read more.

    Returns:
        The path.

    Raises:
        SaveError: The disk does not take it.
    """
    asked = f"The file {str(path)!r} was to be written."
    fresh = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        fresh = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        fresh.chmod(0o666 & ~_umask())  # mkstemp gives 0o600
        os.replace(fresh, path)
    except OSError as error:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
        raise SaveError(asked, f"{error}.", "Name a place that can be written.", read) from error
    return path


def read(
    manifest: Path,
    arrays: Path,
    schema: int,
    fields: Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, Any]],
    asked: str,
    fix: str,
    where: str,
) -> dict[str, Any]:
    """Return what a manifest and its arrays say.

    Args:
        manifest: The file of JSON, with a ``schema_version``.
        arrays: The file ``.npz``.
        schema: The latest version that can be read.
        fields: Makes the result of the manifest (without its version) and the arrays.
        asked: The first sentence of an error.
        fix: What an error advises where a file is missing or broken.
        where: Where an error says to read more.

    Raises:
        SaveError: A file is missing or broken, or of a later schema.
    """
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        found = told.pop("schema_version")
        if found > schema:
            raise SaveError(
                asked,
                f"It has schema version {found}; this package reads up to {schema}.",
                "Upgrade: pip install -U keras-saliency.",
                where,
            )
        with np.load(arrays, allow_pickle=False) as stored:
            return fields(told, dict(stored))
    except UNREADABLE as error:
        if isinstance(error, SaveError):
            raise
        found_out = f"It cannot be read ({type(error).__name__}: {error})."
        raise SaveError(asked, found_out, fix, where) from error


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
