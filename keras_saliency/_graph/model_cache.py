"""A model, its layers by path, and a cache of what was compiled and measured, as long as it lives.

An entry is valid for the same variables and the same configuration only: after ``Sequential.add``,
``quantize()``, another slope or another closure of a target it is made anew. Attributes that a run
itself changes (a counter, attention stored for inspection) are no configuration.

Models are held weakly: all entries go when the user deletes the model, so no cached value may hold
it.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from keras_saliency._graph.configuration import Configuration, Entries, children, serial
from keras_saliency.config import require_keras
from keras_saliency.errors import ModelError


class KerasModel(Protocol):
    """What a type checker asks of a Keras 3 model; Keras itself has no types that mypy reads.

    `Adapter` checks at run time that it is one.
    """

    name: Any
    built: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    @property
    def layers(self) -> Any: ...

    @property
    def weights(self) -> Any: ...

    def get_weights(self) -> Any: ...

    def set_weights(self, weights: Any) -> Any: ...


def walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield ``(path, operation)`` for every layer and operation inside ``model``, each once.

    A nested layer's path holds the names of the layers around it: ``"backbone/conv5_out"``.
    """
    seen: set[int] = {id(model)}
    yield from _walk(model, "", seen)


def _walk(parent: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    for child in children(parent):
        if id(child) in seen:
            continue
        seen.add(id(child))
        path = prefix + child.name
        yield path, child
        yield from _walk(child, path + "/", seen)


_MOST = 48  # made for one model
_CONFIGURATIONS = 16  # per model
_lock = threading.RLock()

Using = Sequence[Callable[[], Any]]  # each returns a callable, or None where it is gone


class ModelCache:
    """What is computed once about a model, as long as its configuration is the same."""

    def __init__(self, model: Any, *, within_call: bool = False) -> None:
        """Check that this is a model of the Keras that is running.

        Args:
            model: A Keras 3 model. It is held.
            within_call: Whether to read the configuration once, not at each look-up: for one call
                in which no code runs that may change the model.

        Raises:
            ModelError: ``model`` is not a Keras 3 model.
        """
        self._model = model
        self._record = _of(model)
        self._within_call = within_call
        self._state: Any = None
        self._entries: Entries = {}
        self._ignored: Any = None

    def get_or_create(self, key: Any, make: Callable[[], Any], using: Using = ()) -> Any:
        """Return the value under a key, while model and callables are unchanged.

        Args:
            key: What else the value depends on, hashable.
            make: Makes the value.
            using: References to callables that it depends on, such as a target's function.
        """
        record = self._record
        with _lock:
            if self._state is None or not self._within_call:
                self._read()
            key = (*key, self._state, record.numbers(self._model, using) if using else ())
            if key in record.made:
                record.made.move_to_end(key)
                return record.made[key]
        made = make()
        self.forget()  # the model may have been run, and by that changed or built
        with _lock:
            made = record.made.setdefault(key, made)
            while len(record.made) > _MOST:
                record.made.popitem(last=False)
        return made

    def forget(self) -> None:
        """Read the configuration again at the next look-up."""
        self._state = None

    def changed_since_predict(self) -> str | None:
        """Return what differs from the model that Keras' compiled ``predict`` may still be of."""
        with _lock:
            stale = self._ignored is not self._record.changing
            if self._state is None or not self._within_call or stale:
                self._read()
            return self._record.changed_since_predict(self._model, self._entries)

    def _read(self) -> None:
        (self._entries,) = self._record.entries(self._model, ())
        variables = tuple(map(serial, self._model.variables))
        self._state = variables, self._record.number(self._entries)
        self._ignored = self._record.changing


def callables(parts: Sequence[Any]) -> Using:
    """Return references to the callables in a key, whose own attributes count as well."""
    return [
        one if isinstance(one, weakref.ref) else functools.partial(_itself, one)
        for one in parts
        if isinstance(one, weakref.ref) or callable(one)
    ]


def _itself(function: Any) -> Any:
    return function


def get_or_create(model: Any, key: Any, make: Callable[[], Any], using: Using = ()) -> Any:
    """Return a model's cached value under a key, see `ModelCache.get_or_create`."""
    return ModelCache(model).get_or_create(key, make, using)


def watched(model: Any, run: Callable[..., Any], using: Using = ()) -> Callable[..., Any]:
    """Return a function that records at its first run what the run itself changes in the model."""
    reference, first = weakref.ref(model), [True]

    def watching(*args):
        if not first:
            return run(*args)
        record, here = _of(reference()), reference()
        with _lock:
            before = record.entries(here, using)
        result = run(*args)
        with _lock:
            record.ignore(before, lambda: record.entries(here, using))
        first.clear()
        return result

    return watching


class _Record:
    """The cache of one model."""

    def __init__(self) -> None:
        self.made: OrderedDict[Any, Any] = OrderedDict()
        self._configurations: OrderedDict[Any, Configuration] = OrderedDict()
        self._known: list[tuple[Entries, int]] = []  # the last one used at the end
        self._count = 0
        self.changing: set[Any] = set()  # entries that a run itself changes
        self._before: Entries | None = None  # as it was when last looked at
        self._predict: tuple[Any, Entries] | None = None  # Keras' function, what it is of

    def numbers(self, model: Any, using: Using) -> tuple[int, ...]:
        """Return the numbers of the configurations of callables."""
        given = [one() for one in using]
        return tuple(self.number(self._look(one, model)) for one in given if one is not None)

    def entries(self, model: Any, using: Using) -> list[Entries]:
        given = [one() for one in using]
        its = self._look(model, model)
        self._watch_predict(model, its)
        return [its, *(self._look(one, model) for one in given if one is not None)]

    def _look(self, root: Any, model: Any) -> Entries:
        # A method is another object each time.
        parts = (root.__self__, root.__func__) if hasattr(root, "__func__") else (root,)
        key = tuple(map(serial, parts))
        looking = self._configurations.pop(key, None) or Configuration(self.changing)
        self._configurations[key] = looking
        while len(self._configurations) > _CONFIGURATIONS:
            self._configurations.popitem(last=False)
        return looking.look(root, model)

    def number(self, entries: Entries) -> int:
        """Return a number that entries share with equal ones only."""
        for index, (known, number) in enumerate(self._known):
            if known is entries or known == entries:
                self._known.append(self._known.pop(index))
                return number
        self._count += 1
        self._known = [*self._known[1 - _CONFIGURATIONS :], (entries, self._count)]
        return self._count

    def ignore(self, before: list[Entries], look: Callable[[], list[Entries]]) -> None:
        """Ignore entries that a run changed, and those that only they lead to."""
        changing = set(self.changing)
        for one, other in zip(before, look(), strict=False):
            if one is not other:
                changing |= _difference(one, other)
        if len(changing) == len(self.changing):
            return
        numbers = [self.number(entries) for entries in before]
        self.changing = changing
        self._configurations.clear()
        self._before = None
        after = look()
        if self._predict is not None and self._predict[1] is before[0]:
            self._predict = self._predict[0], after[0]
        others = [known for known in self._known if known[1] not in numbers]
        self._known = [*others, *zip(after, numbers, strict=False)]

    def _watch_predict(self, model: Any, entries: Entries) -> None:
        function = getattr(model, "predict_function", None)
        if function is None:
            self._predict = None
        elif self._predict is None or self._predict[0] != serial(function):
            self._predict = serial(function), self._before or entries
        self._before = entries

    def changed_since_predict(self, model: Any, entries: Entries) -> str | None:
        if self._predict is None or self._predict[1] is entries:
            return None
        changed = [
            (owner, name)
            for owner, name in _difference(self._predict[1], entries, both=True) - self.changing
            if name not in ("name", "trainable", "keras.config")
        ]
        if not changed:
            return None
        paths = {serial(one): repr(path) for path, one in walk(model)}
        changes = list(
            dict.fromkeys(
                name if " of " in name else f"{name} of {paths.get(owner, 'the model')}"
                for owner, name in sorted(changed, key=str)
            )
        )
        return ", ".join(changes[:3]) + (" and more" if len(changes) > 3 else "")


def _difference(one: Entries, other: Entries, both: bool = False) -> set[Any]:
    """Return the keys of entries that differ; on request only those of owners in both."""
    nothing = object()
    keys = {key for key in {**one, **other} if one.get(key, nothing) != other.get(key, nothing)}
    if not both or not keys:
        return keys
    owners = {owner for owner, _ in one} & {owner for owner, _ in other}
    return {key for key in keys if key[0] in owners}


_records: weakref.WeakKeyDictionary[Any, _Record] = weakref.WeakKeyDictionary()


def _of(model: Any) -> _Record:
    with _lock:
        try:
            record = _records.get(model)
        except TypeError:  # what takes no weak reference is no model
            record = None
        if record is None:
            _check(model)
            record = _records[model] = _Record()
        return record


def _check(model: Any) -> None:
    keras = require_keras()
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__qualname__}"
        raise ModelError(
            "Expected a Keras 3 model.",
            f"Got {kind}.",
            "Load it with keras.saving.load_model, or build it with keras.Model; "
            "tf_keras (Keras 2) and plain torch modules are not supported.",
            "help(keras_saliency.explain)",
        )
