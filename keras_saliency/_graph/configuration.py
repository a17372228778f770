"""A model's layers by path, and its configuration as plain values: layers and their attributes.

A compiled program is one of a structure and of numbers that Python read while it was traced: a
slope, an epsilon, strides, a list of layers, a NumPy array, a function's closure, an attribute of a
class, a name in a module. The explained model's variables are no part of it, those of any other
model are. A configuration holds no references (see `attribute_values`). Values outside Python, or
reached by a name that is put together at run time, are not seen.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable, Iterator, Set
from typing import Any, Protocol

from keras_saliency._graph.attribute_values import (
    PLAIN,
    Reader,
    inert,
    is_own,
    of_training,
    reader_of,
    serial,
    variable,
)
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


Entries = dict[tuple[Any, str], Any]  # (serial of the owner, attribute) -> its value as a token

STRUCTURE = "its layers"
WEIGHTS = "its weights"
_MOST_MET = 5000  # functions, classes and objects that one value leads to; the nearest count
# Of a model: its training, and its graph, which is known by the operations in it.
_OF_MODELS = frozenset(
    ("_compile_config", "_compile_loss", "_compile_metrics", "_compiled_trainable_state",
     "_compute_loss_has_training_arg", "_distribute_strategy", "_eval_epoch_iterator",
     "_functional", "_initial_epoch", "_inputs", "stop_evaluating", "stop_predicting",
     "_inputs_struct", "_jax_state", "_jax_state_synced", "_jit_compile", "_loss_tracker", "_nodes",
     "_nodes_by_depth", "_operations", "_operations_by_depth", "_outputs", "_outputs_struct",
     "_run_eagerly", "compiled", "history", "loss", "optimizer", "predict_function",
     "steps_per_execution", "stop_training", "test_function", "train_function"))  # fmt: skip
_HOOKS = ("_buffers", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks",
          "_backward_pre_hooks")  # fmt: skip  # of a layer on PyTorch, which is a module
_STILL_SEEN = ("name", "_dtype_policy", *_HOOKS)


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
    found, waiting = {id(root): root}, [root]
    while waiting:
        for one in children(waiting.pop()):
            if id(one) not in found:
                found[id(one)] = one
                waiting.append(one)
    return list(found.values())


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
        attributes, hidden = operation.__dict__, _bookkeeping()
        self._names = tuple(attributes)
        names = [
            name
            for name in self._names
            if name not in hidden and not name.startswith(_OF_TENSORFLOW)
            if getattr(attributes[name], "_replaced", attributes) is not None
            if (number, name) not in self._ignored
        ]
        if type(operation).__name__ == "TorchModuleWrapper":
            names.append("_modules")
        plain = [name for name in names if _is_plain(attributes[name])]
        rest = [name for name in names if name not in plain]
        # A layer's variables are Keras' business; its own layers compute with no initializer.
        own = is_own(type(operation).__module__)
        unread = (inert, variable) if own else (inert, variable, of_training)
        others = [name for name in rest if reader_of(attributes[name]) not in unread]
        hooks = [name for name in others if name in _HOOKS and not attributes[name]]
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


_OF_TENSORFLOW = ("_self_", "_tf_", "_saved_model_")  # its bookkeeping


def _getter(names: list[str]) -> Any:
    """Return a function from a dict to the values of these names, a tuple."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda attributes: tuple(attributes[name] for name in names)


def _is_plain(value: Any) -> bool:
    """Whether a value is compared whole, and may be held since it leads to no model."""
    kind = type(value)
    if kind in PLAIN or (kind is tuple and all(type(one) in PLAIN for one in value)):
        return True
    if kind is types.FunctionType:
        inside = value.__closure__ or value.__dict__
        return not inside and not is_own(value.__module__ or "")
    return kind.__module__.startswith("keras.") and kind.__name__ in ("DTypePolicy",)


def _settings() -> tuple[Any, ...]:
    from keras import config

    policy = config.dtype_policy().name
    return config.floatx(), config.epsilon(), config.image_data_format(), policy


def _own_classes(kind: type) -> list[type]:
    return [one for one in kind.__mro__ if is_own(one.__module__)]


def _is_operation(value: Any) -> bool:
    import keras

    return isinstance(value, keras.Operation)


@functools.cache
def _bookkeeping() -> frozenset[str]:
    """Attributes that every layer has and no computation reads."""
    import keras

    plain = set(vars(keras.layers.Layer(name="plain"))) | {"_inbound_nodes", "_outbound_nodes"}
    return frozenset(plain - set(_STILL_SEEN)) | _OF_MODELS
