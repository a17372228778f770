"""Stand between a layer and its output, for one thread and one moment.

While a handler is in place the layer's ``call`` is a dispatcher on the instance: the thread that
asked gets its handler, every other thread gets the layer's own method. The last one out takes the
dispatcher away, so a model is found again as it was, also after an exception.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Handler = Callable[..., Any]  # handler(original, *args, **kwargs) -> output

_CALLS = ("call", "quantized_call")  # a quantised layer is run through the second
_lock = threading.RLock()
_users: dict[int, int] = {}  # id(layer) -> how many handlers are in place, over all threads
_mine = threading.local()  # .handlers: id(layer) -> this thread's handlers, first one innermost


@contextlib.contextmanager
def intercept(handlers: Iterable[tuple[Any, Handler]]) -> Iterator[None]:
    """Route calls of each layer through its handler, in this thread, until the block ends.

    Args:
        handlers: Pairs of a Keras layer (or operation) and ``handler(original, *args, **kwargs)``,
            whose result replaces the layer's output.
    """
    with contextlib.ExitStack() as stack:
        for layer, handler in handlers:
            stack.enter_context(_one(layer, handler))
        yield


@contextlib.contextmanager
def _one(layer: Any, handler: Handler) -> Iterator[None]:
    key = id(layer)
    if not hasattr(_mine, "handlers"):
        _mine.handlers = {}
    with _lock:
        _users[key] = _users.get(key, 0) + 1
        if _users[key] == 1:
            _install(layer)
    _mine.handlers.setdefault(key, []).append(handler)
    try:
        yield
    finally:
        _mine.handlers[key].remove(handler)
        if not _mine.handlers[key]:
            del _mine.handlers[key]
        with _lock:
            _users[key] -= 1
            if not _users[key]:
                del _users[key]
                _uninstall(layer)


def _install(layer: Any) -> None:
    for name in _CALLS:
        if hasattr(layer, name):
            _set(layer, name, _dispatcher(id(layer), getattr(layer, name)))
    # Under remat the output would be born inside a checkpoint, where nobody outside may keep it.
    if hasattr(layer, "rematerialized_call"):  # Keras 3.12 has operations without
        _set(layer, "rematerialized_call", _plain_if_mine(id(layer), layer.rematerialized_call))


def _uninstall(layer: Any) -> None:
    for name in (*_CALLS, "rematerialized_call"):
        dispatcher = layer.__dict__.get(name)
        if hasattr(dispatcher, "_replaced"):
            # object.__setattr__ and __delattr__: Keras and torch track what goes the usual way.
            if dispatcher._replaced is None:
                object.__delattr__(layer, name)
            else:
                object.__setattr__(layer, name, dispatcher._replaced)


def _set(layer: Any, name: str, dispatcher: Any) -> None:
    dispatcher._replaced = layer.__dict__.get(name)
    object.__setattr__(layer, name, dispatcher)


def _handlers(key: int) -> list[Handler]:
    return getattr(_mine, "handlers", {}).get(key, [])


def _dispatcher(key: int, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args, **kwargs):
        run = original
        for handler in _handlers(key):
            run = functools.partial(handler, run)
        return run(*args, **kwargs)

    return call


def _plain_if_mine(key: int, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def rematerialized_call(function, *args, **kwargs):
        return function if _handlers(key) else original(function, *args, **kwargs)

    return rematerialized_call
