"""Rectifiers that run where no rule sees them: in the body of somebody's own ``call``.

Every rectifier of Keras ends in one of three functions of its backend module. That module is
private, so where it has changed nothing is noticed, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from keras_saliency.intercept import intercept_functions

_FUNCTIONS = ("relu", "relu6", "leaky_relu")
_mine = threading.local()  # .sight: whether what this thread runs is in sight


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Return a list of the rectifiers that this thread runs out of sight inside this block."""
    from keras.src import backend

    unseen: list[str] = []

    def noting(name: str) -> Any:
        def note(original, *args, **kwargs):
            if not getattr(_mine, "sight", False):
                unseen.append(name)
            return original(*args, **kwargs)

        return note

    with (
        in_sight(False),
        intercept_functions(backend.nn, {name: noting(name) for name in _FUNCTIONS}),
    ):
        yield unseen


@contextlib.contextmanager
def in_sight(really: bool = True) -> Iterator[None]:
    """Mark what runs inside this block as seen, or as hidden."""
    outer, _mine.sight = getattr(_mine, "sight", False), really
    try:
        yield
    finally:
        _mine.sight = outer
