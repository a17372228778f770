"""Rectifiers that run where no rule sees them: in the body of somebody's own ``call``.

Every rectifier of Keras ends in one of three functions of its backend module. That module is
private, so where it has changed nothing is noticed, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_FUNCTIONS = ("relu", "relu6", "leaky_relu")
_mine = threading.local()  # .unseen: what this thread found; .sight: whether it is in sight now
_lock = threading.Lock()
_watchers = 0


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Return a list of the rectifiers that this thread runs out of sight inside this block."""
    global _watchers
    outer = getattr(_mine, "unseen", None), getattr(_mine, "sight", False)
    _mine.unseen, _mine.sight = [], False
    with _lock:
        _watchers += 1
        if _watchers == 1:
            _install()
    try:
        yield _mine.unseen
    finally:
        with _lock:
            _watchers -= 1
            if not _watchers:
                _uninstall()
        _mine.unseen, _mine.sight = outer


@contextlib.contextmanager
def in_sight(really: bool = True) -> Iterator[None]:
    """Mark what runs inside this block as seen, or as hidden."""
    outer, _mine.sight = getattr(_mine, "sight", False), really
    try:
        yield
    finally:
        _mine.sight = outer


def _module() -> Any:
    from keras.src import backend

    return backend.nn


def _install() -> None:
    for name in _FUNCTIONS:
        if hasattr(_module(), name):
            setattr(_module(), name, _noted(name, getattr(_module(), name)))


def _uninstall() -> None:
    for name in _FUNCTIONS:
        original = getattr(getattr(_module(), name, None), "original", None)
        if original is not None:
            setattr(_module(), name, original)


def _noted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args, **kwargs):
        if getattr(_mine, "unseen", None) is not None and not _mine.sight:
            _mine.unseen.append(name)
        return original(*args, **kwargs)

    function.original = original  # type: ignore[attr-defined]
    return function
