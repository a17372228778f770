"""Intercept calls of layers and functions, in one thread and for the length of a block.

While a handler is active, the layer's ``call`` is a dispatcher on the instance: the thread that
installed the handler gets it, every other thread gets the layer's own method. The last handler to
leave removes the dispatcher, so the model is unchanged afterwards, also after an exception.
Functions of a module work the same way.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

Handler = Callable[..., Any]  # handler(original, *args, **kwargs) -> output

_CALLS = ("call", "quantized_call")  # a quantised layer is run through the second
# Under remat the output is made inside a checkpoint, and no code outside may hold it.
_REMAT = "rematerialized_call"  # Keras 3.12 has operations without
_lock = threading.RLock()
_users: dict[Any, int] = {}  # key of a hook -> how many handlers it has, over all threads
_mine = threading.local()  # .handlers: key -> this thread's handlers, first one innermost


@contextlib.contextmanager
def intercept(handlers: Iterable[tuple[Any, Handler]]) -> Iterator[None]:
    """Route calls of each layer through its handler, in this thread, until the block ends.

    Args:
        handlers: Pairs of a Keras layer (or operation) and ``handler(original, *args, **kwargs)``,
            whose result replaces the layer's output.
    """
    with contextlib.ExitStack() as stack:
        for layer, handler in handlers:
            names = [name for name in (*_CALLS, _REMAT) if hasattr(layer, name)]
            stack.enter_context(_one(id(layer), layer, names, handler))
        yield


@contextlib.contextmanager
def intercept_functions(module: ModuleType, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Route calls of a module's functions through handlers, in this thread, until the block ends.

    Args:
        module: The module. Code that imported a function from it earlier is not reached.
        handlers: By the function's name. A name that the module does not have is left out: a
            private one may go in any version.
    """
    with contextlib.ExitStack() as stack:
        for name, handler in handlers.items():
            if hasattr(module, name):
                stack.enter_context(_one((id(module), name), module, [name], handler))
        yield


@contextlib.contextmanager
def intercept_methods(owner: type, handlers: Mapping[str, Handler]) -> Iterator[None]:
    """Route calls of a class's methods through handlers, in this thread, until the block ends.

    Args:
        owner: The class; a subclass with a method of its own is not reached.
        handlers: By the method's name, ``handler(original, self, *args, **kwargs)``. A name that
            the class does not have is left out.
    """
    with contextlib.ExitStack() as stack:
        for name, handler in handlers.items():
            if hasattr(owner, name):
                stack.enter_context(_one((id(owner), name), owner, [name], handler))
        yield


@contextlib.contextmanager
def _one(key: Any, owner: Any, names: list[str], handler: Handler) -> Iterator[None]:
    if not hasattr(_mine, "handlers"):
        _mine.handlers = {}
    with _lock:
        _users[key] = _users.get(key, 0) + 1
        if _users[key] == 1:
            for name in names:
                make = _plain_if_mine if name == _REMAT else _dispatcher
                _set(owner, name, make(key, getattr(owner, name)))
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
                for name in names:
                    _unset(owner, name)


def _set(owner: Any, name: str, dispatcher: Any) -> None:
    dispatcher._replaced = owner.__dict__.get(name)
    _writing(owner).__setattr__(owner, name, dispatcher)


def _unset(owner: Any, name: str) -> None:
    dispatcher = owner.__dict__.get(name)
    if hasattr(dispatcher, "_replaced"):
        if dispatcher._replaced is None:
            _writing(owner).__delattr__(owner, name)
        else:
            _writing(owner).__setattr__(owner, name, dispatcher._replaced)


def _writing(owner: Any) -> Any:
    # object.__setattr__ and __delattr__: Keras and torch track attributes set the usual way.
    return type if isinstance(owner, type) else object


def is_intercepted(layer: Any) -> bool:
    """Whether calls of a layer or operation go through a handler in this thread."""
    return bool(_handlers(id(layer)))


def _handlers(key: Any) -> list[Handler]:
    return getattr(_mine, "handlers", {}).get(key, [])


def _dispatcher(key: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args, **kwargs):
        run = original
        for handler in _handlers(key):
            run = _Routed(handler, run)
        return run(*args, **kwargs)

    return call


class _Routed(functools.partial):
    """A function through a handler."""


def rerouted(original: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` through the handlers that ``original``, given to a handler, goes through.

    A handler that computes a layer's output itself so leaves it to the handlers within.
    """
    if not isinstance(original, _Routed):
        return function
    return _Routed(original.func, rerouted(original.args[0], function))


def _plain_if_mine(key: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def rematerialized_call(function, *args, **kwargs):
        return function if _handlers(key) else original(function, *args, **kwargs)

    return rematerialized_call


def is_builtin_keras_layer(operation: Any) -> bool:
    """Whether this is one of Keras' own; what a subclass does in its call is unknown."""
    return type(operation).call.__module__.startswith("keras.")
