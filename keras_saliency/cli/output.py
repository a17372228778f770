"""What the process shows: Keras started in silence, lines on stderr, folders, rows of JSON."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency import _imports
from keras_saliency._io.files import shown
from keras_saliency.cli import messages
from keras_saliency.errors import BackendError, KerasSaliencyError

if TYPE_CHECKING:
    from keras_saliency._results.explanation import Explanation

_show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ


def announce_backend() -> str:
    """Import Keras, and say which backend it uses where its own choice is not installed."""
    backend, why = start_keras()
    if why.endswith("not installed"):
        say(f"{why}: using {backend}")
    return backend


def start_keras() -> tuple[str, str]:
    """Choose a backend for this process and import Keras.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        BackendError: None is installed, or the configured one is not or is broken.
    """
    name, why = _imports.choose_backend()
    if "keras" in sys.modules:
        return name, why
    os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with held_stderr():
            _imports.require_keras()
    except ImportError as error:
        raise BackendError(
            f"Cannot import Keras with the backend {name!r} ({why}).",
            f"It is installed, but broken: {error}.",
            "Install it again, or choose another: set KERAS_BACKEND.",
            "keras-saliency doctor",
        ) from error
    return name, why


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """Drop TensorFlow's messages on stderr while it is imported.

    Its C++ writes past ``sys.stderr``, and at that moment past TF_CPP_MIN_LOG_LEVEL too. With that
    variable set everything is shown; so it is if the import fails.
    """
    if "tensorflow" in sys.modules or _show_all:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ImportError:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(shown(line), file=sys.stderr, flush=True)


def words(error: KerasSaliencyError, args: Any) -> str:
    """Return an error's message in words of the shell, for a parsed command line or None."""
    parser = getattr(args, "parser", None)
    options = parser.options if parser is not None else ()
    model = shlex.quote(str(getattr(args, "model", "MODEL")))
    return messages.for_shell(error, getattr(args, "verb", None) or "", options, model)


def tell(error: BaseException, args: Any, about: str = "") -> str:
    """Print an error's message in words of the shell, and return it.

    Args:
        error: The error.
        args: The parsed command line, or None.
        about: The file that it is about, with a colon.
    """
    if getattr(args, "traceback", False):
        traceback.print_exception(error)
    if isinstance(error, KerasSaliencyError):
        message = words(error, args)
    else:
        message = (
            f"Unexpected error. {type(error).__name__}: {error}. "
            "Please report it, with what --traceback shows. See keras-saliency doctor."
        )
    say(f"error: {about}{message}")
    return message


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Reserve stdout for results (Keras reports downloads there); print a warning as one line."""

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            say(f"warning: {' '.join(str(message).split())}")

    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.showwarning = show
        warnings.filterwarnings("ignore", r"picture \d+: ")  # printed with their photo
        yield


def printable(text: str) -> str:
    """Return text that stdout can take: arrows become words where its encoding has none."""
    text = shown(text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.replace("↑", "(up)").replace("↓", "(down)").replace("–", "-")
        return plain.encode("ascii", "replace").decode("ascii")
    return text


_KEYS = ("picture", "folder", "figure", "label", "class", "target", "score", "score_kind",
        "probability", "method", "layer", "seconds", "checks", "overlay", "error")  # fmt: skip


def row(photo: Any) -> dict[str, Any]:
    """Return a row of JSON with all its keys and nothing in it but the file's path."""
    return {**dict.fromkeys(_KEYS), "picture": str(photo)}


def of(explanation: Explanation, folder: Path) -> dict[str, Any]:
    """Return the JSON entries of the explanation of one photo, saved in a folder."""
    info, target = explanation.info, explanation.targets[0]
    sure = explanation.probabilities
    return {
        "folder": str(folder),
        "figure": str(folder / "figure.png"),
        "label": explanation.labels[0] or None,
        "class": target if isinstance(target, int) else None,
        "target": str(target),
        "score": float(explanation.scores[0]),
        "score_kind": info["score"],
        "probability": None if sure is None else float(sure[0]),
        "method": info["method"],
        "layer": info.get("layer"),
        "seconds": info["seconds"],
        "checks": dict(explanation.checks[0]),
    }


def plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
