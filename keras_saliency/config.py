"""One switch for all faster forms in which a model runs here, instead of as in Keras.

To be fast, convolutions, pools and normalisations run in equivalent forms (JAX on CPU, PyTorch),
batch normalisation is folded into convolutions (TensorFlow), and repeated runs are recorded and
played back (PyTorch). With the switch off, every layer runs exactly as Keras runs it: slower, and
the first thing to try when a map looks wrong.

The switch is on unless the environment says ``KERAS_SALIENCY_REWRITING=0``. It applies to the whole
process and from the next call on; what was compiled under the other setting is not used.

Below are the choice of Keras' backend and names that are imported at first use. Nothing here sets
``KERAS_BACKEND``; only the ``keras-saliency`` command does, for its own process.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_saliency.errors import BackendError

__all__ = ["disable_rewriting", "enable_rewriting", "is_rewriting_enabled", "plain"]

_VARIABLE = "KERAS_SALIENCY_REWRITING"


class _Switch(threading.local):
    """The setting of the process, an attribute of the class, unless a thread has its own."""

    rewriting = os.environ.get(_VARIABLE, "1").strip().lower() not in ("0", "false", "off", "no")


switch = _Switch()  # switch.rewriting: `is_rewriting_enabled` where every call counts


def is_rewriting_enabled() -> bool:
    """Return whether models may be rewritten, folded, recorded and played back.

    Example:
        >>> from keras_saliency import config
        >>> config.is_rewriting_enabled()
        True
    """
    return switch.rewriting


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Run every layer exactly as Keras does within this block, in this thread."""
    outer = vars(switch).get("rewriting")
    switch.rewriting = False
    try:
        yield
    finally:
        if outer is None:
            del switch.rewriting


def disable_rewriting() -> None:
    """Run every layer exactly as Keras does, from the next call on.

    Example:
        >>> from keras_saliency import config
        >>> config.disable_rewriting()
        >>> config.is_rewriting_enabled()
        False
        >>> config.enable_rewriting()
    """
    _Switch.rewriting = False


def enable_rewriting() -> None:
    """Allow the faster forms again, from the next call on."""
    _Switch.rewriting = True


BACKENDS = ("jax", "tensorflow", "torch")  # in the order in which the command tries them


def installed_backends() -> tuple[str, ...]:
    """Return the backends whose package is installed, without importing any."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


def configured_backend() -> tuple[str, str]:
    """Return the backend that Keras would load, and the setting that selects it.

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
    """Import Keras; the error for a missing backend has the line that fixes it.

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
        f"The backend {name!r}, selected by {source}, {absent}.",
        f"Installed: {', '.join(installed) or 'none'}.",
        fix,
        "keras-saliency doctor",
    )


def attach(
    package: str, names: Mapping[str, str], modules: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its ``__name__``.
        names: The module behind each public name, relative to the package.
        modules: Its own modules and packages that are public themselves.
    """

    def get(name: str) -> Any:
        if name in names:
            value = getattr(importlib.import_module(f"{package}.{names[name]}"), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        elif isinstance(old := sys.modules.get(f"{package}.{name}"), _Moved):
            return old
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        here = vars(sys.modules[package])
        return sorted({*here, *here["__all__"]})

    return get, listed


def renamed(package: str, names: Mapping[str, tuple[str, str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose names were changed.

    Args:
        package: Its ``__name__``.
        names: For each old name the new one, and the version that drops the old one.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        new, version = names[name]
        message = f"{package}.{name} is called {new} now; the old name goes with {version}."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[package], new)

    return get


class _Moved(ModuleType):
    """A module under its old name: the new one, with a warning for each use."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(old, f"Moved to {new}.")
        self.__dict__["_new"] = new

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and its tools look at every module
            raise AttributeError(name)
        value = getattr(importlib.import_module(self._new), name)
        message = f"{self.__name__}.{name} has moved; this name goes with version 0.2."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return value


def moved(modules: Mapping[str, str]) -> None:
    """Make modules importable by their old names, for one release.

    Args:
        modules: Where each is now, both relative to ``keras_saliency``. A package that `attach`
            serves has the old name as an attribute too.
    """
    root = __name__.partition(".")[0]
    for old, new in modules.items():
        sys.modules.setdefault(f"{root}.{old}", _Moved(f"{root}.{old}", f"{root}.{new}"))
