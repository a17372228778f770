"""Values of attributes as tokens, which compare equal where the values do.

Values are copied and objects identified by serial numbers, so a token holds no reference to them.
"""

from __future__ import annotations

import array
import functools
import sys
import types
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# An object with values of its own, to be read separately; one that is known by its identity.
BY_ITSELF, BY_IDENTITY = "by itself", "by identity"
PLAIN = frozenset({str, int, float, bool, complex, bytes, types.NoneType, types.EllipsisType})


def of_class(owner: type) -> Iterator[tuple[str, Any]]:
    import keras

    for name, value in list(vars(owner).items()):
        code = isinstance(value, types.FunctionType)
        if code and name == "__init__" and issubclass(owner, keras.Operation):
            continue  # what it read once is among the attributes
        if code or not name.startswith("__"):
            yield name, getattr(value, "__func__", value)  # of a static or class method


def of_object(item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(item, functools.partial):
        yield from (("function", item.func), ("arguments", item.args))
        yield "keywords", item.keywords
    yield from list(getattr(item, "__dict__", {}).items())
    for owner in type(item).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(item, name):
                yield name, getattr(item, name)


def inert(reader: Any, value: Any) -> Any:
    """Return None, for values that no computation depends on."""
    return None


def of_training(reader: Any, value: Any) -> Any:
    """Read an initializer and the like: no layer of Keras computes with its own."""
    reader.met.append(value)
    return reader.serial(value)


def variable(reader: Any, value: Any) -> Any:
    """Read a variable: on JAX another value is another array, elsewhere it is always read again."""
    return reader.serial(value), None if reader.is_given(value) else reader.serial(value._value)


def _class_or_module(reader: Any, value: Any) -> Any:
    if is_users(value):
        reader.met.append(value)
    return reader.serial(value)


def _container(reader: Any, value: Any) -> None:
    if is_users(type(value)):  # it may have attributes beside what it contains
        reader.met.append(value)


def _sequence(reader: Any, value: Any) -> Any:
    _container(reader, value)
    return type(value).__name__, tuple([reader.token(one) for one in list(value)])


def _set(reader: Any, value: Any) -> Any:
    return "set", frozenset(map(repr, map(reader.token, list(value))))


def _mapping(reader: Any, value: Any) -> Any:
    _container(reader, value)
    return "dict", tuple([(reader.token(k), reader.token(v)) for k, v in list(value.items())])


def _array(reader: Any, value: Any) -> Any:
    if value.dtype.hasobject:
        return _sequence(reader, value.ravel().tolist())
    content = zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    return value.shape, str(value.dtype), content


def _number(reader: Any, value: Any) -> Any:
    return type(value).__name__, value.tobytes()


def _shown(reader: Any, value: Any) -> Any:
    return repr(value)


def _method(reader: Any, value: Any) -> Any:
    return reader.token(value.__func__), reader.token(value.__self__)


def _property(reader: Any, value: Any) -> Any:
    return reader.token(value.fget)


def _reference(reader: Any, value: Any) -> Any:
    return reader.token(value())


def _tensor(reader: Any, value: Any) -> Any:
    return reader.serial(value), getattr(value, "_version", None)


def _policy(reader: Any, value: Any) -> Any:
    return type(value).__name__, value.name


@functools.lru_cache(1024)
def reader_of(kind: Any) -> Any:
    """Return how values of a type are read: ``BY_ITSELF``, ``BY_IDENTITY`` or a function.

    The function takes a `Reader` and the value.
    """
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
        ((keras.Operation, types.FunctionType, functools.partial), BY_ITSELF),
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
        ((types.BuiltinFunctionType, types.CodeType), BY_IDENTITY),
    ]
    for types_, reader in readers:
        if issubclass(kind, types_):
            return reader
    root = kind.__module__.partition(".")[0]
    if kind.__name__ == "Parameter" or (root in _FRAMEWORKS and hasattr(kind, "shape")):
        return _tensor
    return BY_ITSELF if root != "keras" else _of_keras(kind)


def _of_keras(kind: type) -> Any:
    return BY_IDENTITY if kind.__name__ in ("SerializableDict", "Tracker", "Node") else BY_ITSELF


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
def names_in(code: types.CodeType) -> tuple[str, ...]:
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return (*code.co_names, *(name for one in inner for name in names_in(one)))


# Of a model: its training, and its graph, which is known by the operations in it.
_OF_MODELS = frozenset(
    ("_compile_config", "_compile_loss", "_compile_metrics", "_compiled_trainable_state",
     "_compute_loss_has_training_arg", "_distribute_strategy", "_eval_epoch_iterator",
     "_functional", "_initial_epoch", "_inputs", "stop_evaluating", "stop_predicting",
     "_inputs_struct", "_jax_state", "_jax_state_synced", "_jit_compile", "_loss_tracker", "_nodes",
     "_nodes_by_depth", "_operations", "_operations_by_depth", "_outputs", "_outputs_struct",
     "_run_eagerly", "compiled", "history", "loss", "optimizer", "predict_function",
     "steps_per_execution", "stop_training", "test_function", "train_function"))  # fmt: skip
HOOKS = ("_buffers", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks",
          "_backward_pre_hooks")  # fmt: skip  # of a layer on PyTorch, which is a module
_STILL_SEEN = ("name", "_dtype_policy", *HOOKS)
OF_TENSORFLOW = ("_self_", "_tf_", "_saved_model_")  # its bookkeeping


def is_plain(value: Any) -> bool:
    """Whether a value is compared whole, and may be held since it leads to no model."""
    kind = type(value)
    if kind in PLAIN or (kind is tuple and all(type(one) in PLAIN for one in value)):
        return True
    if kind is types.FunctionType:
        inside = value.__closure__ or value.__dict__
        return not inside and not is_own(value.__module__ or "")
    return kind.__module__.startswith("keras.") and kind.__name__ in ("DTypePolicy",)


@functools.cache
def bookkeeping() -> frozenset[str]:
    """Attributes that every layer has and no computation reads."""
    import keras

    plain = set(vars(keras.layers.Layer(name="plain"))) | {"_inbound_nodes", "_outbound_nodes"}
    return frozenset(plain - set(_STILL_SEEN)) | _OF_MODELS
