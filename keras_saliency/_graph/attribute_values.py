"""Values of attributes as tokens, which compare equal where the values do.

Values are copied and objects identified by serial numbers, so a token holds no reference to them.
"""

from __future__ import annotations

import array
import contextlib
import functools
import itertools
import sys
import types
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

PLAIN = frozenset({str, int, float, bool, complex, bytes, types.NoneType, types.EllipsisType})
_MOST = 5000  # values in one attribute; a longer one is known by its identity
_DEEPEST = 8

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

    def __init__(self, given: Callable[[], Any] = tuple) -> None:
        """Start empty.

        Args:
            given: Returns the variables whose values are arguments of compiled functions.
        """
        self.met: list[Any] = []
        self.names: set[str] = set()
        self._given = functools.cache(lambda: frozenset(map(id, given())))
        self._left = _MOST
        self._within: list[int] = []

    def anew(self, value: Any) -> Any:
        """Read another attribute."""
        self._left = _MOST
        return self.token(value)

    def token(self, value: Any) -> Any:
        """Return the token of a value, with its items where it is a container."""
        kind = type(value)
        if kind in PLAIN:
            return kind, value
        self._left -= 1
        if self._left < 0 or len(self._within) > _DEEPEST or id(value) in self._within:
            return serial(value)
        self._within.append(id(value))
        try:
            return reader_of(value)(self, value)
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
            parts = _of_class(item)
        else:
            self.met.extend(filter(is_users, type(item).__mro__))
            parts = _of_object(item)
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
        names = _names(code)
        self.names.update(names)
        for name in names:
            if name in function.__globals__:
                yield f"global {name}", function.__globals__[name]
        yield from list(function.__dict__.items())


def _of_class(owner: type) -> Iterator[tuple[str, Any]]:
    import keras

    for name, value in list(vars(owner).items()):
        code = isinstance(value, types.FunctionType)
        if code and name == "__init__" and issubclass(owner, keras.Operation):
            continue  # what it read once is among the attributes
        if code or not name.startswith("__"):
            yield name, getattr(value, "__func__", value)  # of a static or class method


def _of_object(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, functools.partial):
        yield from (("function", item.func), ("arguments", item.args))
        yield "keywords", item.keywords
    yield from list(getattr(item, "__dict__", {}).items())
    for owner in type(item).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(item, name):
                yield name, getattr(item, name)


def inert(reader: Reader, value: Any) -> Any:
    """Return None, for values that no computation depends on."""
    return None


def _by_identity(reader: Reader, value: Any) -> Any:
    return serial(value)


def _by_itself(reader: Reader, value: Any) -> Any:
    reader.met.append(value)
    return serial(value)


def of_training(reader: Reader, value: Any) -> Any:
    """Read an initializer and the like: no layer of Keras computes with its own."""
    return _by_itself(reader, value)


def variable(reader: Reader, value: Any) -> Any:
    """Read a variable: on JAX another value is another array, elsewhere it is always read again."""
    return serial(value), None if reader.is_given(value) else serial(value._value)


def _class_or_module(reader: Reader, value: Any) -> Any:
    return _by_itself(reader, value) if is_users(value) else serial(value)


def _container(reader: Reader, value: Any) -> None:
    if is_users(type(value)):  # it may have attributes beside what it contains
        reader.met.append(value)


def _sequence(reader: Reader, value: Any) -> Any:
    _container(reader, value)
    return type(value).__name__, tuple([reader.token(one) for one in list(value)])


def _set(reader: Reader, value: Any) -> Any:
    return "set", frozenset(map(repr, map(reader.token, list(value))))


def _mapping(reader: Reader, value: Any) -> Any:
    _container(reader, value)
    return "dict", tuple([(reader.token(k), reader.token(v)) for k, v in list(value.items())])


def _array(reader: Reader, value: Any) -> Any:
    if value.dtype.hasobject:
        return _sequence(reader, value.ravel().tolist())
    content = zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return value.shape, str(value.dtype), content


def _number(reader: Reader, value: Any) -> Any:
    return type(value).__name__, value.tobytes()


def _shown(reader: Reader, value: Any) -> Any:
    return repr(value)


def _method(reader: Reader, value: Any) -> Any:
    return reader.token(value.__func__), reader.token(value.__self__)


def _property(reader: Reader, value: Any) -> Any:
    return reader.token(value.fget)


def _reference(reader: Reader, value: Any) -> Any:
    return reader.token(value())


def _tensor(reader: Reader, value: Any) -> Any:
    return serial(value), getattr(value, "_version", None)


def _policy(reader: Reader, value: Any) -> Any:
    return type(value).__name__, value.name


def reader_of(value: Any) -> Any:
    """Return how a value is read: a function of a `Reader` and the value."""
    kind: Any = type(value)
    return _kind(kind)


@functools.lru_cache(1024)
def _kind(kind: Any) -> Any:
    """Return how values of a type are read."""
    import keras

    nothing = (
        keras.Metric, keras.optimizers.Optimizer, keras.KerasTensor, keras.InputSpec,
        keras.random.SeedGenerator,
    )  # fmt: skip
    training = (
        keras.Initializer, keras.regularizers.Regularizer, keras.constraints.Constraint, keras.Loss,
    )  # fmt: skip
    readers: list[tuple[Any, Any]] = [
        (nothing, inert),
        (keras.Variable, variable),
        (training, of_training),
        ((keras.Operation, types.FunctionType, functools.partial), _by_itself),
        (keras.dtype_policies.DTypePolicy, _policy),
        (np.ndarray, _array),
        (np.generic, _number),
        ((list, tuple, deque), _sequence),
        ((set, frozenset), _set),
        (Mapping, _mapping),
        (types.MethodType, _method),
        (property, _property),
        (weakref.ref, _reference),
        ((np.dtype, range, slice, bytearray, array.array), _shown),
        ((type, types.ModuleType), _class_or_module),
        ((types.BuiltinFunctionType, types.CodeType), _by_identity),
    ]
    for types_, reader in readers:
        if issubclass(kind, types_):
            return reader
    root = kind.__module__.partition(".")[0]
    if kind.__name__ == "Parameter" or (root in _FRAMEWORKS and hasattr(kind, "shape")):
        return _tensor
    return _by_itself if root != "keras" else _of_keras(kind)


def _of_keras(kind: type) -> Any:
    return _by_identity if kind.__name__ in ("SerializableDict", "Tracker", "Node") else _by_itself


_FRAMEWORKS = ("jax", "jaxlib", "tensorflow", "torch")


@functools.lru_cache(4096)
def is_own(module: str) -> bool:
    """Whether a module is not of Keras, a framework or Python, whose code does not change."""
    root = module.partition(".")[0]
    if root.startswith("keras") or root in (*_FRAMEWORKS, "numpy", "flax"):
        return False
    return root == "__main__" or root not in sys.stdlib_module_names


def is_users(value: Any) -> bool:
    """Whether a class or module is the user's, not one of an installed package."""
    name = getattr(value, "__module__" if isinstance(value, type) else "__name__", "")
    return isinstance(name, str) and is_own(name) and not _is_installed(name)


@functools.lru_cache(4096)
def _is_installed(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return any(folder in file for folder in ("site-packages", "dist-packages"))


@functools.lru_cache(4096)
def _names(code: types.CodeType) -> tuple[str, ...]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return (*code.co_names, *(name for one in inner for name in _names(one)))
