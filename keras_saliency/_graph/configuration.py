"""A model's configuration as plain values: layers and their attributes.

A compiled program is one of a structure and of numbers that Python read while it was traced: a
slope, an epsilon, strides, a list of layers, a NumPy array, a function's closure, an attribute of a
class, a name in a module. The explained model's variables are no part of it, those of any other
model are. Values are copied and objects identified by serial numbers, so a configuration holds no
references. Values outside Python, or reached by a name put together at run time, are not seen.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import types
import weakref
from collections.abc import Callable, Iterator, Set
from typing import Any

from keras_saliency._graph.attribute_values import (
    BY_IDENTITY,
    BY_ITSELF,
    HOOKS,
    OF_TENSORFLOW,
    PLAIN,
    bookkeeping,
    inert,
    is_own,
    is_plain,
    is_users,
    names_in,
    of_class,
    of_object,
    of_training,
    reader_of,
    variable,
)
from keras_saliency.errors import ModelError

_serials: dict[int, tuple[weakref.ref[Any], int]] = {}
_counter = itertools.count()


def serial(value: Any) -> Any:
    """Return a number for an object that no other object ever gets; an id may be reused."""
    key = id(value)
    entry = _serials.get(key)
    if entry is not None and entry[0]() is value:
        return entry[1]
    try:
        reference = weakref.ref(value, functools.partial(_forget, key))
    except TypeError:  # it takes no weak references
        return type(value).__qualname__, key
    _serials[key] = reference, next(_counter)
    return _serials[key][1]


def _forget(key: int, reference: weakref.ref[Any]) -> None:
    entry = _serials.get(key)
    if entry is not None and entry[0] is reference:
        del _serials[key]


class Reader:
    """Reads values as tokens, which may be compared.

    Attributes:
        met: Objects with values of their own, to be read separately: functions, classes, modules,
            objects and layers. Their tokens only identify them.
        names: Every name in the code of functions that were read: what may be read of a module.
    """

    serial = staticmethod(serial)  # for `attribute_values`

    def __init__(self, given: Callable[[], Any] = tuple) -> None:
        """Start empty.

        Args:
            given: Returns the variables whose values are arguments of compiled functions.
        """
        self.met: list[Any] = []
        self.names: set[str] = set()
        self._given = functools.cache(lambda: frozenset(map(id, given())))
        self._left = _MOST_VALUES
        self._within: list[int] = []

    def anew(self, value: Any) -> Any:
        """Read another attribute."""
        self._left = _MOST_VALUES
        return self.token(value)

    def token(self, value: Any) -> Any:
        """Return the token of a value, with its items where it is a container."""
        kind: Any = type(value)
        if kind in PLAIN:
            return kind, value
        self._left -= 1
        if self._left < 0 or len(self._within) > _DEEPEST or id(value) in self._within:
            return serial(value)
        self._within.append(id(value))
        try:
            read = reader_of(kind)
            if read is BY_ITSELF:
                self.met.append(value)
            return serial(value) if read in (BY_ITSELF, BY_IDENTITY) else read(self, value)
        finally:
            self._within.pop()

    def is_given(self, variable: Any) -> bool:
        """Whether a variable's value is an argument, not part of the compiled program."""
        return id(variable) in self._given()

    def parts(self, item: Any) -> Iterator[tuple[str, Any]]:
        """Yield the values that an item of ``met`` depends on, by qualified names."""
        if isinstance(item, types.FunctionType):
            parts = self._of_function(item)
        elif isinstance(item, type):
            parts = of_class(item)
        else:
            self.met.extend(filter(is_users, type(item).__mro__))
            parts = of_object(item)
        owner = getattr(item, "__qualname__", type(item).__qualname__)
        return ((f"{name} of {owner}", value) for name, value in parts)

    def _of_function(self, function: Any) -> Iterator[tuple[str, Any]]:
        code = function.__code__
        yield "code", code
        if not is_own(function.__module__ or ""):
            return
        yield "defaults", (function.__defaults__, function.__kwdefaults__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # an empty cell
                yield name, cell.cell_contents
        names = names_in(code)
        self.names.update(names)
        for name in names:
            if name in function.__globals__:
                yield f"global {name}", function.__globals__[name]
        yield from list(function.__dict__.items())


Entries = dict[tuple[Any, str], Any]  # (serial of the owner, attribute) -> its value as a token

STRUCTURE = "its layers"
WEIGHTS = "its weights"
_MOST_VALUES = 5000  # values in one attribute; a longer one is known by its identity
_DEEPEST = 8
_MOST_MET = 5000  # functions, classes and objects that one value leads to; the nearest count


class Configuration:
    """The configuration of one model or target, read again at each call.

    Reading 12,000 attributes takes 7 ms, so a layer's tokens are reused as long as its plain
    attributes compare equal; the others are read each time.
    """

    def __init__(self, ignored: Set[Any] = frozenset()) -> None:
        """Start empty.

        Args:
            ignored: Keys of entries to leave out, with all that only they lead to.
        """
        self._ignored = ignored
        self._seen: dict[Any, _Attributes] = {}
        self._shared: Entries = {}
        self._entries: Entries = {}

    def look(self, root: Any, explained: Any) -> Entries:
        """Return the present entries of a root: the same object as before if unchanged.

        Args:
            root: The explained model, or a callable that is used with it.
            explained: That model. The values of its variables are arguments of compiled programs.
        """
        reader = Reader(lambda: explained.variables)
        reader.token(root)
        shared: Entries = {(0, "keras.config"): _settings()}
        seen: dict[Any, _Attributes] = {}
        known = set() if root is explained else {id(explained)}  # it has its own configuration
        modules: list[Any] = []
        same = True
        for one in _growing(reader.met, lambda: self._of_modules(modules, reader, shared)):
            if id(one) in known or len(known) > _MOST_MET:
                continue
            known.add(id(one))
            if isinstance(one, types.ModuleType):
                modules.append(one)
            elif _is_operation(one):
                inner = operations(one)
                shared[serial(one), STRUCTURE] = tuple(map(serial, inner))
                if one is not explained:
                    weights = getattr(one, "weights", ())
                    shared[serial(one), WEIGHTS] = tuple(map(reader.token, weights))
                known.update(map(id, inner))
                for operation in inner:
                    number = serial(operation)
                    seen[number] = its = self._seen.get(number) or _Attributes(self._ignored)
                    same = its.are_as_before(operation, number, reader) and same
                    reader.met.extend(_own_classes(type(operation)))
            else:
                number = serial(one)
                shared[number, "its kind"] = serial(type(one))
                for name, value in reader.parts(one):
                    if (number, name) not in self._ignored:
                        shared[number, name] = reader.anew(value)
        if same and shared == self._shared and seen.keys() == self._seen.keys():
            return self._entries
        self._seen, self._shared = seen, shared
        each = (((n, name), token) for n, one in seen.items() for name, token in one.all.items())
        self._entries = {**shared, **dict(each)}
        return self._entries

    def _of_modules(self, modules: list[Any], reader: Reader, shared: Entries) -> None:
        """Read of modules only the names that occur in code: all would be too many."""
        for one in modules:
            number, values = serial(one), vars(one)
            for name in reader.names & values.keys():
                key = number, f"{name} of {one.__name__}"
                if key not in shared and key not in self._ignored:
                    shared[key] = reader.anew(values[name])


def operations(root: Any) -> list[Any]:
    """Return a model or layer and all layers and operations inside it, each once."""
    reached, waiting = {id(root): root}, [root]
    while waiting:
        for one in children(waiting.pop()):
            if id(one) not in reached:
                reached[id(one)] = one
                waiting.append(one)
    return list(reached.values())


def children(parent: Any) -> list[Any]:
    """Return the layers and operations directly inside a model or layer; some may come twice."""
    import keras

    # Layer._flatten_layers is private, but the only list that also holds the sublayers of a
    # subclassed layer; `operations` adds what a Functional graph holds beside layers (ops.relu).
    flatten = getattr(parent, "_flatten_layers", None)
    if flatten is None and isinstance(parent, keras.layers.Layer):
        raise ModelError(
            "Expected Keras' private method Layer._flatten_layers, which lists sublayers.",
            f"Keras {keras.__version__} does not have it.",
            "Use a version of Keras that this package was tested with.",
            "keras-saliency doctor",
        )
    sublayers = flatten(include_self=False, recursive=False) if flatten else []
    return [*getattr(parent, "operations", []), *sublayers]


def _growing(items: list[Any], more: Callable[[], None]) -> Iterator[Any]:
    """Yield from a list that grows meanwhile, and by ``more`` at its end."""
    index = 0
    while index < len(items):
        yield items[index]
        index += 1
        if index == len(items):
            more()


class _Attributes:
    """The attributes of one layer: plain ones are compared, others read."""

    def __init__(self, ignored: Set[Any]) -> None:
        self.all: dict[str, Any] = {}  # by name, as tokens
        self._ignored = ignored
        self._names: tuple[str, ...] = ()
        self._plain: tuple[Any, ...] = ()
        self._types: tuple[type, ...] = ()
        self._others: dict[str, Any] = {}
        self._hooks: tuple[str, ...] = ()

    def are_as_before(self, operation: Any, number: Any, reader: Reader) -> bool:
        attributes = operation.__dict__
        if tuple(attributes) == self._names:
            plain = self._get(attributes)
            if (
                plain == self._plain
                and tuple(map(type, plain)) == self._types
                and self._read(attributes, self._others, reader) == self._others
            ):
                return not any(self._get_hooks(attributes))
        return self._renew(operation, number, reader)

    def _renew(self, operation: Any, number: Any, reader: Reader) -> bool:
        attributes, hidden = operation.__dict__, bookkeeping()
        self._names = tuple(attributes)
        names = [
            name
            for name in self._names
            if name not in hidden and not name.startswith(OF_TENSORFLOW)
            if getattr(attributes[name], "_replaced", attributes) is not None
            if (number, name) not in self._ignored
        ]
        if type(operation).__name__ == "TorchModuleWrapper":
            names.append("_modules")
        plain = [name for name in names if is_plain(attributes[name])]
        rest = [name for name in names if name not in plain]
        # A layer's variables are Keras' business; its own layers compute with no initializer.
        own = is_own(type(operation).__module__)
        unread = (inert, variable) if own else (inert, variable, of_training)
        kinds: dict[str, Any] = {name: type(attributes[name]) for name in rest}
        others = [name for name, kind in kinds.items() if reader_of(kind) not in unread]
        hooks = [name for name in others if name in HOOKS and not attributes[name]]
        self._get, self._get_hooks = _getter(plain), _getter(hooks)
        self._plain = self._get(attributes)
        self._types = tuple(map(type, self._plain))
        others = [name for name in others if name not in hooks]
        self._others = self._read(attributes, others, reader)
        tokens = zip(plain, map(Reader().token, self._plain), strict=True)
        result = {**dict(tokens), **self._others}
        same, self.all = result == self.all, result
        return same

    @staticmethod
    def _read(attributes: Any, names: Any, reader: Reader) -> dict[str, Any]:
        result = {}
        for name in names:
            value = attributes[name]
            if hasattr(value, "_replaced"):  # a run in another thread intercepts its call
                value = value._replaced
            result[name] = reader.anew(value)
        return result


def _getter(names: list[str]) -> Any:
    """Return a function from a dict to the values of these names, a tuple."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda attributes: tuple(attributes[name] for name in names)


def _settings() -> tuple[Any, ...]:
    from keras import config

    policy = config.dtype_policy().name
    return config.floatx(), config.epsilon(), config.image_data_format(), policy


def _own_classes(kind: type) -> list[type]:
    return [one for one in kind.__mro__ if is_own(one.__module__)]


def _is_operation(value: Any) -> bool:
    import keras

    return isinstance(value, keras.Operation)
