"""A folder written all or not at all, and read back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._io import files
from keras_saliency._io.encoding import restored, storable
from keras_saliency._io.files import bytes_of, regular, shown
from keras_saliency.errors import UNREADABLE, SaveError

_ATTEMPTS = 20  # to read a folder that other processes replace
_PAUSE = 0.005  # seconds between two attempts


def write(
    folder: Path, fill: Callable[[Path], None], ours: Collection[str], what: str, read: str
) -> Path:
    """Fill a folder beside its path, then move it there in one step.

    A folder that holds only ``ours`` is replaced; one with other files is not touched. A kill at
    any moment leaves the old folder or the new one, and `read` reads it.

    Args:
        folder: The path.
        fill: Writes the files into the folder passed to it.
        ours: Names of the files that may be replaced; none if only an empty folder may.
        what: The first sentence of an error.
        read: Where an error says to read more.

    Returns:
        The folder.

    Raises:
        SaveError: The folder holds other files, or cannot be written.
    """
    check(folder, ours, what, read)
    target = _real(folder)  # a link stays one, and "." has a name and a parent
    fix = "Name a place that can be written."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.fresh(target) as fresh:
            fix = "Make room, or name another place."
            fill(fresh)
            fresh.chmod(0o777 & ~_umask())  # mkdtemp gives 0o700
            for path in (*fresh.iterdir(), fresh):
                files.sync(path)
            files.put(fresh, target)
    except OSError as error:
        raise SaveError(what, f"{error}.", fix, read) from error
    return folder


def check(folder: Path, ours: Collection[str], what: str, read: str) -> None:
    """Check that `write` may write a folder; for use before work that takes long.

    Raises:
        SaveError: The folder holds other files.
    """
    if folder.exists() and not _holds_only(folder, ours):
        result, fix = "Files are there already.", "Name a new or an empty folder."
        if ours:
            result, fix = (
                "Other files are there.",
                "Name a new folder, or one saved by this before.",
            )
        raise SaveError(what, result, fix, read)


def write_text(path: Path, text: str, read: str) -> Path:
    """Write a text file beside its path, then move it there in one step.

    Args:
        path: The path.
        text: The content, written as UTF-8.
        read: Where an error says to read more.

    Returns:
        The path.

    Raises:
        SaveError: It cannot be written.
    """
    what = f"Cannot write the file {str(path)!r}."
    fresh = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        fresh = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(shown(text))
        fresh.chmod(0o666 & ~_umask())  # mkstemp gives 0o600
        os.replace(fresh, path)
    except OSError as error:
        if fresh is not None:
            fresh.unlink(missing_ok=True)
        raise SaveError(what, f"{error}.", "Name a place that can be written.", read) from error
    return path


def seal(
    folder: Path, name: str, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray], npz: str
) -> None:
    """Write arrays, and JSON with the checksums of itself and of every file in the folder.

    Args:
        folder: The folder; its existing files get checksums too.
        name: The JSON file's name.
        content: The JSON content.
        arrays: Arrays by name.
        npz: The name of the arrays' file.
    """
    numbers, own = storable(arrays)
    np.savez_compressed(folder / npz, **numbers)  # type: ignore[arg-type]
    sums = {path.name: of_file(path) for path in folder.iterdir()}
    whole = sealed({**content, **({"dtypes": own} if own else {})}, sums)
    text = json.dumps(whole, indent=2, allow_nan=True)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def read(
    folder: Path,
    manifest: str,
    arrays: str,
    schema: int,
    fields: Callable[[dict[str, Any], dict[str, np.ndarray]], dict[str, Any]],
    what: str,
    fix: str,
    where: str,
) -> dict[str, Any]:
    """Return the fields that a manifest and its arrays hold.

    Files of schema 1, which had no checksums, are read without a check.

    Args:
        folder: The folder.
        manifest: The name of the JSON file, with a ``schema_version``.
        arrays: The name of the ``.npz`` file.
        schema: The latest version that can be read.
        fields: Makes the result from the manifest (without its version) and the arrays.
        what: The first sentence of an error.
        fix: The third sentence of an error where a file is missing or broken.
        where: Where an error says to read more.

    Raises:
        SaveError: A file is missing, broken or altered, or of a later schema.
    """
    folder = _real(folder)
    for left in reversed(range(_ATTEMPTS)):
        current = files.where(folder)
        before = _identity(current)
        try:
            text, data = bytes_of(current / manifest), bytes_of(current / arrays)
            content = json.loads(text.decode("utf-8"))
            return fields(*_checked(content, data, arrays, schema, what, where))
        except UNREADABLE as error:
            if left and (files.is_busy(folder) or _identity(files.where(folder)) != before):
                time.sleep(_PAUSE)  # another process replaces it, or has just replaced it
                continue
            if isinstance(error, SaveError):
                raise
            got = f"{type(error).__name__}: {error}."
            raise SaveError(what, got, fix, where) from error
    raise AssertionError  # the last attempt returns or raises


def _checked(
    content: Any, data: bytes, name: str, schema: int, what: str, where: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a manifest without its version, and the arrays, after comparing checksums."""
    result = content["schema_version"]
    if result > schema:
        raise SaveError(
            what,
            f"It has schema version {result}; this package reads up to {schema}.",
            "Upgrade: pip install -U keras-saliency.",
            where,
        )
    if type(result) is not int or result < 1:
        raise ValueError(f"its schema version is {result!r}")
    if result > 1 or FIELD in content:
        content, sums = opened(content)
        check_bytes(data, name, sums)
    content = dict(content)
    del content["schema_version"]
    own = content.pop("dtypes", {}) if result > 1 else {}
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return content, restored(dict(stored), own)


def _real(folder: Path) -> Path:
    try:
        return Path(os.path.realpath(folder))
    except OSError:  # the working directory is gone
        return folder


def _identity(folder: Path) -> tuple[Any, ...]:
    """Return a key that changes if a folder at a path is replaced or moved aside."""
    try:
        state = folder.stat()
    except OSError:
        return (folder,)
    return folder, state.st_dev, state.st_ino, state.st_mtime_ns


def _holds_only(folder: Path, ours: Collection[str]) -> bool:
    """Whether a folder holds no other files; true for one that was just moved aside."""
    try:
        return {path.name for path in folder.iterdir()} <= set(ours)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


FIELD = "checksums"
_OWN = "this file"


def sealed(content: Mapping[str, Any], sums: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return JSON content with its checksum and those of other files.

    Args:
        content: JSON content.
        sums: SHA-256 by file name.
    """
    content = json.loads(
        json.dumps(content, allow_nan=True)
    )  # as it will be read back: keys are text
    whole = {**content, FIELD: dict(sums or {})}
    return {**whole, FIELD: {**whole[FIELD], _OWN: _digest(whole)}}


def opened(content: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the content of a sealed file, and the checksums of its neighbours.

    Raises:
        ValueError: The content has changed since it was sealed.
    """
    if not isinstance(content, dict) or not isinstance(content.get(FIELD), dict):
        raise ValueError("it has no checksums")
    sums = dict(content[FIELD])
    own = sums.pop(_OWN, None)
    if own != _digest({**content, FIELD: sums}):
        raise ValueError("its checksum does not match: a digit or a letter of it has changed")
    return {name: one for name, one in content.items() if name != FIELD}, sums


def mark(content: Mapping[str, Any]) -> str:
    """Return the checksum of JSON content without neighbours, sealed or not."""
    return _digest({**content, FIELD: {}})


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_bytes(data: bytes, name: str, sums: Mapping[str, str]) -> None:
    """Check that a neighbour's bytes match its checksum.

    Raises:
        ValueError: They do not.
    """
    if hashlib.sha256(data).hexdigest() != sums.get(name):
        raise ValueError(f"the checksum of {name} does not match: the file has changed")


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, allow_nan=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
