"""What the command says: results on stdout, all else on stderr, a line each."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

from keras_saliency.errors import KerasSaliencyError


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def tell(error: BaseException, with_traceback: bool, about: str = "") -> str:
    """Print an error's message, and return it."""
    if with_traceback:
        traceback.print_exception(error)
    if isinstance(error, KerasSaliencyError):
        message = str(error)
    else:
        message = (
            f"This was not foreseen. {type(error).__name__}: {error}. "
            "Please report it, with what --traceback shows. See keras-saliency doctor."
        )
    say(f"error: {about}{message}")
    return message


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep stdout for results (Keras reports downloads there), and warnings to a line each."""

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            say(f"warning: {' '.join(str(message).split())}")

    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.showwarning = show
        warnings.filterwarnings("ignore", r"picture \d+: ")  # findings are told with their photo
        yield


def printable(text: str) -> str:
    """Return text that stdout can take: arrows become words where its encoding has none."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.replace("↑", "(up)").replace("↓", "(down)").replace("–", "-")
        return plain.encode("ascii", "replace").decode("ascii")
    return text
