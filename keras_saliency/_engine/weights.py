"""One state of a model's weights for an explanation and its hash.

Another thread may train the model meanwhile. Where other threads live, the weights are read once
and the model runs on these values: JAX and TensorFlow never write into an array that is in use, so
that is free; on PyTorch, whose weights change in place, they are copied once a change is seen. An
update goes variable by variable, so values count where no thread stands inside one of Keras' own
updates, and they are stable for a moment: a thread that the system has put aside writes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from keras_saliency import _backend
from keras_saliency._backend import pinned
from keras_saliency._graph import walk
from keras_saliency.config import require_keras
from keras_saliency.errors import ModelError

T = TypeVar("T")
P = ParamSpec("P")

_ATTEMPTS = 3
_STANDS = 0.005  # seconds: a thread that waits for the interpreter gets it after as long
_TRIES = 20
_within = threading.local()  # .states: models that this thread runs on one state, and these


@dataclass
class _Known:
    """Marks that show whether a model's weights are unchanged, and their hash once computed."""

    marks: Any
    hashed: tuple[Any, str | None] = (None, None)  # content and SHA-256, in one for other threads


@dataclass
class _State:
    """One state of a model's variables; values are read when needed where no other thread lives."""

    variables: list[Any]
    known: _Known
    values: list[Any] | None = None


_known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()  # the last that stood


def consistently(
    model: Any, run: Callable[[int], T], *, apart: bool = False, hashed: bool = False
) -> tuple[T, str | None]:
    """Run a function on one state of a model's weights; return its result and their SHA-256.

    Args:
        model: The model.
        run: Called with the number of the attempt, up to three times while the weights change.
        apart: Whether to copy the weights at once where another thread might change them: for long
            runs.
        hashed: Whether to compute the hash.

    Returns:
        The result of ``run``, and the SHA-256 of the weights: None where ``run`` itself changed
        them, or ``hashed`` is False.

    Raises:
        ModelError: The weights changed, or could not be read, at every attempt.
    """
    backend, error = _backend.current(), None
    for outer, its in getattr(_within, "states", ()):
        if outer is model:
            return run(0), _digest(model, its, backend) if hashed else None
    for attempt in range(_ATTEMPTS):
        if len(sys._current_frames()) == 1:
            return _alone(model, run, attempt, hashed, backend)
        lasting = apart or attempt > 0  # the values are copies
        state = _taken(model, backend, lasting)
        if state is None:
            break
        hold = backend.READS_ARE_APART or lasting
        try:
            with _inside(model, state), pinned(state.variables if hold else [], state.values or []):
                result = run(attempt)
            digest = _digest(model, state, backend) if hashed else None
        except Exception as raised:
            if lasting or _stands(state, model, backend):
                raise
            error = raised
            continue
        if _stands(state, model, backend):
            _known[model] = state.known
            return result, digest
        if hold and not _is_restored(state, model, backend):
            return result, digest
    raise _changing(model) from error


def _alone(
    model: Any, run: Callable[[int], T], attempt: int, hashed: bool, backend: Any
) -> tuple[T, str | None]:
    """Run where there is no other thread, so that only the run itself can change the weights."""
    variables, known = model.variables, _known.get(model)
    if known is None or not backend.are_marked(known.marks, variables):
        marks = backend.marked(variables)
        if marks is None:
            raise _changing(model)
        known = _Known(marks)
    state = _State(variables, known)
    with _inside(model, state):
        result = run(attempt)
    if not _stands(state, model, backend):
        return result, None
    _known[model] = known
    return result, _digest(model, state, backend) if hashed else None


def held(model: Any) -> list[tuple[Any, Any]]:
    """Return a model's variables with the values that `consistently` runs it on; [] for its own."""
    for outer, state in getattr(_within, "states", ()):
        if outer is model and state.values:
            return list(zip(state.variables, state.values, strict=True))
    return []


def on_one_state(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function of a model (and more) run on one state of its weights, copied at once."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        keras = require_keras()
        model = args[0] if args else kwargs.get("model")
        if not isinstance(model, keras.Model) or not model.built:
            return function(*args, **kwargs)
        return consistently(model, lambda _: function(*args, **kwargs), apart=True)[0]

    return run


def digest(model: Any) -> str:
    """Return the SHA-256 of a model's weights, names and shapes, computed once a version of them.

    Raises:
        ModelError: They change too fast, or cannot be read.
    """
    return consistently(model, lambda _: None, hashed=True)[1]  # type: ignore[return-value]


def _taken(model: Any, backend: Any, apart: bool) -> _State | None:
    """Read a stable state of the weights; None where there is none."""
    held = getattr(backend, "held", None)  # where marks are the values, these are none of between
    for _ in range(_TRIES):
        variables, known = model.variables, _known.get(model)
        # A copy may have been made in the midst of a write, which shows only after it.
        if known is not None and (backend.READS_ARE_APART or not apart):
            values = held(known.marks) if held else backend.read(variables, apart)
            if values is not None and backend.are_marked(known.marks, variables):
                return _State(variables, known, values)
        marks = backend.marked(variables)
        if marks is not None and not _are_being_written(variables):
            values = held(marks) if held else backend.read(variables, apart)
            if values is not None and backend.are_marked(marks, variables):
                state = _State(variables, _Known(marks), values)
                time.sleep(_STANDS)
                if _stands(state, model, backend):
                    return state
                continue
        time.sleep(_STANDS)
    return None


def _stands(state: _State, model: Any, backend: Any) -> bool:
    return backend.are_marked(state.known.marks, model.variables)


def _are_being_written(variables: list[Any]) -> bool:
    """Whether another thread stands inside a function of Keras that writes these in turn."""
    updates, here, wanted = _updates(), threading.get_ident(), set(map(id, variables))
    for thread, frame in sys._current_frames().items():
        current: FrameType | None = None if thread == here else frame
        while current is not None:
            if not isinstance(current, FrameType):  # seen once: the thread was leaving the frame
                return True
            if current.f_code in updates:
                writer = current.f_locals.get("self")  # a layer, or an optimizer
                its = getattr(writer, "variables", ()), getattr(writer, "_trainable_variables", ())
                if any(id(one) in wanted for some in its for one in some):
                    return True
            current = current.f_back
    return False


@functools.cache
def _updates() -> frozenset[CodeType]:
    keras = require_keras()
    return frozenset(
        inspect.unwrap(one).__code__
        for one in (
            keras.Layer.set_weights,
            keras.Layer.load_own_variables,
            keras.Model.load_weights,
            keras.optimizers.Optimizer.apply,
        )
    )


def _is_restored(state: _State, model: Any, backend: Any) -> bool:
    """Whether the weights were others and are the same again.

    So does a method that changes the model while it explains it; it has not seen its own weights.
    """
    values, before = backend.read(model.variables, False), state.values or []
    if values is None or len(values) != len(before):
        return False
    try:
        pairs = zip(_arrays(backend, values), _arrays(backend, before), strict=True)
    except (RuntimeError, ValueError):  # fit() of JAX deletes them: then it is unknown
        return True
    return all(one.tobytes() == other.tobytes() for one, other in pairs)


class _inside:
    """A block in which this thread runs a model on one state."""

    def __init__(self, model: Any, state: _State) -> None:
        self._inside = model, state

    def __enter__(self) -> None:
        _within.states = [*getattr(_within, "states", ()), self._inside]

    def __exit__(self, *error: Any) -> None:
        _within.states = _within.states[:-1]


def _digest(model: Any, state: _State, backend: Any) -> str:
    known, values = state.known, state.values
    content_before, digest = known.hashed
    if backend.READS_ARE_APART and digest is not None:  # what was read stays as it is
        return digest
    if values is None:
        values = backend.read(state.variables)
    if values is None:
        raise _changing(model)
    content = backend.content(values)
    if digest is not None and content == content_before:
        return digest
    sha = hashlib.sha256()
    weights = set(map(id, model.weights))  # seeds are none: they count what was drawn
    models = _names_of_models(model)
    for variable, value in zip(state.variables, _arrays(backend, values), strict=True):
        if id(variable) not in weights:
            continue
        sha.update(f"{_path(variable, models)} {value.dtype} {value.shape}".encode())
        sha.update(value.tobytes())
    if state.values is not None or _stands(state, model, backend):  # not amid a method's change
        known.hashed = content, sha.hexdigest()
    return sha.hexdigest()


def _names_of_models(model: Any) -> set[str]:
    keras = require_keras()
    inner = (one for _, one in walk(model))
    return {one.name for one in (model, *inner) if isinstance(one, keras.Model)}


def _path(variable: Any, models: set[str]) -> str:
    """Return a variable's path without the models around it, which Keras leaves out on loading."""
    parts = variable.path.split("/")
    while len(parts) > 1 and parts[0] in models:
        parts.pop(0)
    return "/".join(parts)


def _arrays(backend: Any, values: list[Any]) -> list[np.ndarray]:
    return [np.ascontiguousarray(one) for one in backend.to_numpy(values)]


def _changing(model: Any) -> ModelError:
    return ModelError(
        f"The weights of model {model.name!r} changed, or could not be read, during this call.",
        "Another thread trains it or runs fit() or predict(), which on JAX takes the weights away "
        "until an epoch ends.",
        "Call from a callback of the training (on_epoch_end), or use a copy: "
        "keras.models.clone_model(model), then set_weights(model.get_weights()).",
        "help(keras_saliency.explain)",
    )
