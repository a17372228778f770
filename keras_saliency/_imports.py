"""Lazy imports: Keras with its backend, and this package's own public names.

``KERAS_BACKEND`` is set only where Keras' own choice is not installed, and only before Keras is
imported: in Python as in the ``keras-saliency`` command.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_saliency.errors import BackendError

BACKENDS = ("jax", "tensorflow", "torch")  # in the order in which they are tried
_OTHER_BACKENDS = ("numpy", "openvino")  # Keras runs on them; they have no gradients

_fallback = ("", "")  # the backend that was set here, and why


def installed_backends() -> tuple[str, ...]:
    """Return the backends whose package is installed, without importing any."""
    return tuple(name for name in BACKENDS if _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # imported already, without a spec
        return True
    return spec is not None and spec.origin is not None  # None: a mere folder of that name


def configured_backend() -> tuple[str, str]:
    """Return the backend that Keras would load, and the setting that selects it.

    Keras reads ``KERAS_BACKEND``, then ``keras.json``, then takes TensorFlow.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"].config.backend(), "Keras is already imported"
    if name := os.environ.get("KERAS_BACKEND"):
        return _fallback if name == _fallback[0] else (name, "KERAS_BACKEND")
    file = _keras_home() / "keras.json"
    try:
        named = json.loads(file.read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        named = None
    return (named, str(file)) if isinstance(named, str) else ("tensorflow", "Keras' default")


def _keras_home() -> Path:
    """Return the folder of ``keras.json``, by Keras' own rule."""
    if "KERAS_HOME" in os.environ:
        return Path(os.environ["KERAS_HOME"]).expanduser()
    home = os.path.expanduser("~")
    return Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"


def choose_backend() -> tuple[str, str]:
    """Return the backend to use, and why: Keras' choice if installed, else the first that is.

    Raises:
        BackendError: ``KERAS_BACKEND`` names one that is absent, or none is installed.
    """
    name, source = configured_backend()
    installed = installed_backends()
    if name in installed:
        return name, source
    if source == "KERAS_BACKEND" or not installed or "keras" in sys.modules:
        raise _cannot_import(name, source)
    # Keras itself writes "tensorflow" into keras.json on its first import.
    source = "Keras' default" if name == "tensorflow" else source
    return installed[0], f"{source} names {name!r}, which is not installed"


def settle_backend() -> None:
    """Set ``KERAS_BACKEND`` where Keras could not be imported without it, and report that once.

    Nothing happens where Keras is imported already, where its choice can be imported, and where no
    backend can. `logging` shows the line as it is in a shell and in a notebook; a warning would
    take two lines, and stop a program that runs with ``-W error``.
    """
    global _fallback
    if "keras" in sys.modules or configured_backend()[0] in _OTHER_BACKENDS:
        return
    try:
        name, why = choose_backend()
    except BackendError:  # raised again, with its message, where Keras is needed
        return
    if name == configured_backend()[0]:
        return
    _fallback = name, why
    os.environ["KERAS_BACKEND"] = name
    if not _is_command():
        import logging

        logging.getLogger("keras_saliency").warning(
            "keras_saliency: %s: using %s. Set KERAS_BACKEND to choose (installed: %s).",
            why, name, ", ".join(installed_backends()),
        )  # fmt: skip


def _is_command() -> bool:
    """Return whether this process is the command, which reports its backend where it uses one."""
    script = Path(sys.argv[0]).stem if getattr(sys, "argv", None) else ""
    module = ("-m", "keras_saliency") in itertools.pairwise(sys.orig_argv)
    return script == "keras-saliency" or module


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


MOVED_UNTIL = "0.3"  # the version that drops the old names of modules


class _Moved(ModuleType):
    """A module under its old name: the new one, with a warning for each use."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(old, f"Moved to {new}.")
        self.__dict__["_new"] = new

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and its tools look at every module
            raise AttributeError(name)
        value = getattr(importlib.import_module(self._new), name)
        message = f"{self.__name__}.{name} has moved; this name goes with version {MOVED_UNTIL}."
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
