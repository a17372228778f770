"""Start Keras for the command: a backend for this process, without start-up messages."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from keras_saliency import _imports
from keras_saliency.errors import BackendError

_show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ


def start_keras() -> tuple[str, str]:
    """Choose a backend for this process and import Keras.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        BackendError: None is installed, or the configured one is not or is broken.
    """
    configured, why = _imports.configured_backend()
    name = _imports.usable_backend()
    if name != configured:
        why = f"{why} names {configured!r}, which is not installed"
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
