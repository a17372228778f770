"""One process a folder: a lock that ends with the process, however that ends."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from keras_saliency.errors import SaveError

try:
    import fcntl
except ImportError:  # Windows: there a second process is not noticed
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
_TAKEN = (errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def held(folder: Path, asked: str, read: str) -> Iterator[None]:
    """Hold the folder's lock inside this block.

    Raises:
        SaveError: Another process or thread holds it, or the disk does not take it.
    """
    try:
        file = (folder / NAME).open("a")
    except OSError as error:
        raise SaveError(asked, f"{error}.", "Name a place that can be written.", read) from error
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:  # any other: a file system that knows no locks
                raise SaveError(
                    asked,
                    "Another process is writing to it.",
                    "Wait for that one, or give each process a folder of its own.",
                    read,
                ) from None
        yield
