"""One variable of a MATLAB file, or an error that says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_saliency.errors import FixationError


def variable(file: Path, name: str) -> Any:
    """Return a variable of a ``.mat`` file (up to version 7) as ``scipy.io.loadmat`` gives it.

    Raises:
        FixationError: The file is missing or broken, or has no such variable.
    """
    from scipy import io

    asked = f"The variable {name!r} of {file.name!r} was asked for."
    fix, read = "Copy the file again from where it came from.", "help(keras_saliency.data)"
    if not file.is_file():
        raise FixationError(asked, f"There is no {file.name}.", fix, read)
    try:
        found = io.loadmat(file)
    except Exception as error:  # scipy raises many kinds, NotImplementedError and zlib's among them
        raise FixationError(asked, f"{file.name} is broken: {error}.", fix, read) from error
    if name not in found:
        names = ", ".join(key for key in found if not key.startswith("__")) or "nothing"
        raise FixationError(asked, f"{file.name} has no {name!r} but {names}.", fix, read)
    return found[name]
