"""Which backend Keras will load, and a clear error where it cannot.

Nothing here sets ``KERAS_BACKEND``; only the ``keras-saliency`` command does, for its own process.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

from keras_saliency.errors import BackendError

BACKENDS = ("jax", "tensorflow", "torch")  # in the order in which the command tries them


def installed_backends() -> tuple[str, ...]:
    """Return the backends whose package can be found, without importing any."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


def configured_backend() -> tuple[str, str]:
    """Return the backend that Keras would load, and who says so.

    Keras reads ``KERAS_BACKEND``, then ``keras.json``, then takes TensorFlow.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend(), "Keras is already imported"
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "KERAS_BACKEND"
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        name = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        name = None
    if isinstance(name, str):
        return name, str(home / "keras.json")
    return "tensorflow", "Keras' default"


def usable_backend() -> str:
    """Return the backend for the command: Keras' choice if installed, else the first that is.

    Raises:
        BackendError: ``KERAS_BACKEND`` names one that is absent, or none is installed.
    """
    name, source = configured_backend()
    installed = installed_backends()
    if name in installed:
        return name
    if source == "KERAS_BACKEND" or not installed:
        raise _cannot_import(name, source)
    return installed[0]


def require_keras() -> ModuleType:
    """Import Keras, or say which backend is missing and which line mends it.

    Raises:
        BackendError: Keras' choice of backend is not installed or not one of ours.
    """
    if "keras" not in sys.modules:
        name, source = configured_backend()
        if name not in installed_backends():
            raise _cannot_import(name, source)
    keras = importlib.import_module("keras")
    if keras.config.backend() not in BACKENDS:
        raise _cannot_import(keras.config.backend(), configured_backend()[1])
    return keras


def _cannot_import(name: str, source: str) -> BackendError:
    installed = installed_backends()
    if installed:
        fix = (
            f"Set it before Python starts: export KERAS_BACKEND={installed[0]} "
            f"(or, first line of your script: os.environ['KERAS_BACKEND'] = {installed[0]!r})."
        )
    else:
        fix = "Install one: pip install jax."
    absent = "is not one of jax, tensorflow, torch" if name not in BACKENDS else "is not installed"
    return BackendError(
        f"Keras was asked for the backend {name!r} (by {source}), which {absent}.",
        f"Installed: {', '.join(installed) or 'none'}.",
        fix,
        "keras-saliency doctor",
    )
