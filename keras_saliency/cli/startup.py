"""How the command gets Keras running: a backend for this process, without start-up chatter."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from keras_saliency import _keras
from keras_saliency.errors import BackendError

_show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ


def start_keras() -> tuple[str, str]:
    """Choose a backend for this process and import Keras.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        BackendError: None is installed, or the one that was asked for is not or is broken.
    """
    asked, why = _keras.configured_backend()
    name = _keras.usable_backend()
    if name != asked:
        why = f"{why} asks for {asked!r}, which is not installed"
    if "keras" in sys.modules:
        return name, why
    os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with held_stderr():
            _keras.require_keras()
    except ImportError as error:
        raise BackendError(
            f"Keras was to be imported with the backend {name!r} ({why}).",
            f"It is installed, but broken: {error}.",
            "Install it again, or choose another: set KERAS_BACKEND.",
            "keras-saliency doctor",
        ) from error
    return name, why


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """Drop what TensorFlow says on stderr while it is imported.

    Its C++ writes past ``sys.stderr``, and at that moment past TF_CPP_MIN_LOG_LEVEL too. Whoever
    sets that variable sees everything; so does everybody if the import fails.
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
