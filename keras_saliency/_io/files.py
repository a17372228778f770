"""Files: opened without blocking, written all or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_saliency.errors import KerasSaliencyError, SaveError

_SMALL = 100_000_000  # bytes: unpacking less is harmless
# Of unpacked bytes to the file's; weights hardly compress, and Keras stores them uncompressed.
_MOST_RATIO = 20


# A path may become a FIFO after it was checked.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file; never block, as on a FIFO.

    Raises:
        OSError: It is not a regular file, or cannot be opened.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        file = open(os.open(path, _FLAGS), "rb")  # noqa: SIM115
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError("It is no regular file but a pipe, a socket or a device")


def bytes_of(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file; raise OSError as `regular` does."""
    with regular(path) as file:
        return file.read()


def local_path(
    value: Any, read: str, error: type[KerasSaliencyError] = SaveError, what: str = "a path"
) -> Path:
    """Return a user's argument as a path.

    Args:
        value: The argument.
        read: Where to read more, for the message.
        error: The class to raise.
        what: The expected value, for the message.

    Raises:
        KerasSaliencyError: It is neither a str nor an os.PathLike that gives one.

    Example:
        >>> local_path("maps", "").name
        'maps'
    """
    try:
        return Path(value)
    except TypeError:
        kind = type(value).__name__
        literal = f"{value!r}, " if isinstance(value, bytes | int | float) else ""
        raise error(
            f"Expected {what}, a str or a pathlib.Path.",
            f"Got {literal}a {kind}.",
            "Pass one, such as 'results'.",
            read,
        ) from None


def shown(name: str) -> str:
    """Return a name as text that any file, page or figure takes.

    A file's name on POSIX is bytes; bytes that are not UTF-8 become lone surrogates in Python,
    which no encoding writes and no font draws. They become U+FFFD, the replacement character.

    Example:
        >>> shown("caf\\udce9.png") == "caf\\ufffd.png"
        True
    """
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def unpacks_to(path: str | os.PathLike[str]) -> int | None:
    """Return the unpacked size of a zip archive in bytes if it is out of proportion, else None.

    By the archive's own table: reading stops at the sizes stated there.

    Raises:
        OSError, zipfile.BadZipFile, ...: See `keras_saliency.errors.UNREADABLE`.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
    packed = Path(path).stat().st_size
    return total if total > max(_SMALL, _MOST_RATIO * packed) else None


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TOKEN = r"[a-z0-9_]+"
_LONG = 60  # characters of a name: the longest name of a file has 255 bytes
_OLD_AGE = 86400.0  # seconds: without locks, an older leftover is that of a dead process
_ATTEMPTS = 20  # other processes may save to the same path at the same moment
_AT_FDCWD, _EXCHANGE = -100, 2  # renameat2 of Linux; renamex_np of macOS has the same flag
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
_NOT_THERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EXDEV)


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """Make a folder beside ``folder``, locked inside this block and removed after it."""
    for _ in range(_ATTEMPTS):
        made = Path(tempfile.mkdtemp(prefix=f".{_short(folder.name)}.new.", dir=folder.parent))
        with _lock(made) as held:
            if held is False:  # swept by another process before it was locked
                continue
            try:
                yield made
                return
            finally:
                shutil.rmtree(made, ignore_errors=True)
    raise OSError(errno.EBUSY, "Other processes remove the new folder", str(folder.parent))


def put(made: Path, folder: Path) -> None:
    """Move a folder that `fresh` made to ``folder``, replacing the old one."""
    for _ in range(_ATTEMPTS):
        if not folder.exists():
            try:
                os.rename(made, folder)
                break
            except OSError as error:
                if error.errno not in _TAKEN and not folder.exists():
                    raise
                continue  # another process was faster
        if _exchange(made, folder) or _move(made, folder):
            break
    else:
        raise OSError(errno.EBUSY, "Other processes write to it at the same time", str(folder))
    sync(folder.parent)
    sweep(folder)


def where(folder: Path) -> Path:
    """Return where a folder's content is: at its path, or aside if a save was killed half-way."""
    if not folder.exists():
        for path, token in _left(folder, "old"):
            previous = path / "kept"
            if previous.is_dir() and _name(folder, "new", token).is_dir() and not folder.exists():
                return previous
    return folder


def is_busy(folder: Path) -> bool:
    """Return whether a save to ``folder`` is under way, or was killed and not yet swept."""
    return bool(_left(folder, "new") or _left(folder, "old"))


def sweep(folder: Path) -> None:
    """Remove leftovers of killed saves to ``folder``, which must exist."""
    if not folder.exists():
        return
    for kind in ("old", "new"):
        for path, _ in _left(folder, kind):
            with _lock(path) as held:
                if held or (held is None and _is_old(path)):
                    shutil.rmtree(path, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk, where the system supports it."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems sync no folders
        if error.errno not in _NOT_THERE:
            raise
    finally:
        os.close(handle)


def _move(made: Path, folder: Path) -> bool:
    """Move the old folder aside and the new one to its path; False if others were faster."""
    token = made.name.rpartition(".")[2]
    aside = _name(folder, "old", token)
    previous = aside / "kept"
    aside.mkdir(exist_ok=True)
    with _lock(aside) as held:
        if held is False:  # swept by another process before it was locked
            return False
        try:
            os.replace(folder, previous)
        except OSError as error:
            aside.rmdir()
            if isinstance(error, FileNotFoundError):  # another process has moved it
                return False
            raise
        try:
            os.replace(made, folder)
        except OSError as error:
            if error.errno in _TAKEN or folder.exists():  # another process has put its own there
                shutil.rmtree(aside, ignore_errors=True)
                return False
            os.replace(previous, folder)
            aside.rmdir()
            raise
        shutil.rmtree(aside, ignore_errors=True)
        return True


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders' names in one step, where the system supports it."""
    first, second = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform.startswith("linux"):
            call = ctypes.CDLL(None, use_errno=True).renameat2
            failed = call(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE)
        elif sys.platform == "darwin":
            failed = ctypes.CDLL(None, use_errno=True).renamex_np(first, second, _EXCHANGE)
        else:
            return False
    except (AttributeError, OSError):  # a C library without it
        return False
    return not failed


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool | None]:
    """Lock a folder; yield whether it exists and is locked, None without support for locks."""
    if fcntl is None:
        yield None
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        held: bool | None = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held = False if error.errno in (errno.EAGAIN, errno.EACCES) else None
        yield held and path.exists()
    finally:
        os.close(handle)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD_AGE
    except OSError:
        return False


def _left(folder: Path, kind: str) -> list[tuple[Path, str]]:
    """Return the leftovers of saves to ``folder``, each with its token."""
    form = re.compile(rf"\.{re.escape(_short(folder.name))}\.{kind}\.({_TOKEN})")
    try:
        names = os.listdir(folder.parent)
    except OSError:
        return []
    result = ((name, form.fullmatch(name)) for name in names)
    return [(folder.parent / name, match[1]) for name, match in result if match]


def _name(folder: Path, kind: str, token: str) -> Path:
    return folder.parent / f".{_short(folder.name)}.{kind}.{token}"


def _short(name: str) -> str:
    if len(name) <= _LONG:
        return name
    return f"{name[:20]}.{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
