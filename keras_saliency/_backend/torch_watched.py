"""Tensor operations of a run that a recording of it could not repeat.

A recording holds operations and Python's numbers. It does not stand for the program where a shape
depends on values, where a value becomes a Python number or leaves PyTorch, where random numbers are
drawn, or where a tensor that outlives the run is written to.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_UNFIXED = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
_NAMESPACES = ("aten", "prims", "prim")
# They read values inside PyTorch, and have no tag for it.
_READERS = ("is_nonzero", "_pack_padded_sequence", "allclose")
_LEAVING = {
    "numpy", "__array__", "tolist", "item", "__bool__", "__int__", "__float__", "__complex__",
    "__index__", "__contains__", "__dlpack__", "to_dlpack", "is_nonzero", "equal", "allclose",
    "data_ptr", "storage", "untyped_storage", "_typed_storage", "__reduce_ex__", "__deepcopy__",
    "__cuda_array_interface__", "__format__", "__repr__", "__hash__", "register_hook",
}  # fmt: skip
_HARMLESS = {"__hash__", "register_hook"}  # of the object, not of its values
_SPLITS = ("tensor_split", "pack_padded_sequence")  # read a tensor of positions in C++


class Watch:
    """Whether the run within `watching` did what a recording cannot repeat.

    Attributes:
        reason: The first such step, or None.
    """

    def __init__(self) -> None:
        self.reason: str | None = None

    def refuse(self, reason: str) -> None:
        """Remember that this run is not to be recorded."""
        self.reason = self.reason or reason

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the operations and the tensors' methods of this thread in this block."""
        with _Methods(self), _Operations(self):
            yield


class _Methods(torch.overrides.TorchFunctionMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "__get__":  # of a property
            name = getattr(getattr(function, "__self__", None), "__name__", "")
        reads = name in _SPLITS and any(isinstance(one, torch.Tensor) for one in args[1:])
        if reads or (name in _LEAVING and name not in _HARMLESS):
            self._watch.refuse(name)
            raise TypeError(f"{name} takes a tensor's values to Python: not while recording.")
        return function(*args, **kwargs)


class _Operations(TorchDispatchMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._constants: dict[int, torch.Tensor] = {}  # held, so that no id is reused

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        # What Python itself put into a tensor it may read again.
        constant = "lift_fresh" in str(function) or all(id(x) in self._constants for x in tensors)
        drawn = torch.Tag.nondeterministic_seeded in function.tags
        if (not constant or drawn) and not _is_fixed(function, args, kwargs):
            self._watch.refuse(str(function))
        made = function(*args, **kwargs)
        if function._schema.is_mutable and not constant:
            if any(id(x) in self._constants for x in tensors):  # and what views it has
                self._constants.clear()
        elif constant and not drawn and "empty" not in str(function):
            result = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor)]
            self._constants.update({id(x): x for x in result})
        return made


def _is_fixed(function: Any, args: Any, kwargs: Any) -> bool:
    """Whether shapes and results of an operation follow from its arguments' shapes and values."""
    name = function._schema.name.partition("::")[2]
    if function.namespace not in _NAMESPACES or name in _READERS or "sparse" in name:
        return False
    tags = set(function.tags)
    if name == "index":  # by whole numbers the shape is known
        indices = [one for one in args[1] if one is not None]
        return not any(one.dtype in (torch.bool, torch.uint8) for one in indices)
    if tags & _UNFIXED:
        return False
    return torch.Tag.nondeterministic_seeded not in tags or _draws_nothing(function, args, kwargs)


def _draws_nothing(function: Any, args: Any, kwargs: Any) -> bool:
    """Whether an operation that may drop numbers at random drops none, as in inference."""
    given = dict(kwargs)
    for position, parameter in enumerate(function._schema.arguments):
        if position < len(args):
            given[parameter.name] = args[position]
        elif parameter.name not in given and parameter.has_default_value():
            given[parameter.name] = parameter.default_value
    share = [given[name] for name in ("dropout_p", "dropout") if name in given]
    training = [given[name] for name in ("train", "training") if name in given]
    return 0 in share or False in training


def writes_outside(graph: torch.fx.Graph) -> bool:
    """Whether a recording writes to a tensor that was there before the run."""
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not schema.is_mutable:
            continue
        for parameter, argument in zip(schema.arguments, node.args, strict=False):
            written = parameter.alias_info is not None and parameter.alias_info.is_write
            if written and isinstance(argument, torch.fx.Node) and _origin(argument) is None:
                return True
    return False


def _origin(node: torch.fx.Node) -> torch.fx.Node | None:
    """Return the node that made a tensor's memory, None where the run did not make it."""
    while node.op == "call_function":
        schema = getattr(node.target, "_schema", None)
        shares = schema is not None and schema.arguments and schema.arguments[0].alias_info
        before = node.args[0] if node.args else None
        if not shares and "reshape" not in str(node.target) and "getitem" not in str(node.target):
            return node
        if not isinstance(before, torch.fx.Node):
            return node
        node = before
    return None


_CHUNK = 1 << 15  # words that are multiplied by the same numbers; longer arrays are cut


def read(variables: list[Any], apart: bool = False) -> list[Any]:
    """Return the values of variables, detached; copies where they are to be ``apart``."""
    values = [value.detach() for value in _stored(variables)]
    return [value.clone() for value in values] if apart else values


def marked(variables: list[Any]) -> Any:
    """Return marks that show whether variables were written since."""
    values = _stored(variables)
    return [weakref.ref(value) for value in values], _versions(values)


def are_marked(marks: Any, variables: list[Any]) -> bool:
    """Whether variables were not written since they were marked."""
    references, versions = marks
    values = _stored(variables)
    return (
        len(references) == len(values)
        and all([one() is value for one, value in zip(references, values, strict=True)])
        and versions == _versions(values)
    )


def _stored(variables: list[Any]) -> list[Any]:
    """Return the tensors of variables; the public property takes ten times as long."""
    values = [variable._value for variable in variables]
    if any([value is None for value in values]):
        return [variable.value for variable in variables]
    return values


def content(values: list[Any]) -> Any:
    """Return a checksum of each value, which shows writes that PyTorch does not see.

    ``parameter.data`` and a NumPy view can be written to without a mark. On a GPU it is empty.
    """
    return [_sum(value) for value in values if value.device.type == "cpu"]


def _versions(tensors: list[torch.Tensor]) -> list[Any]:
    return [(one.is_inference() or one._version, one.data_ptr()) for one in tensors]


def _sum(tensor: torch.Tensor) -> Any:
    """Multiply the words of a tensor by fixed odd numbers and add up, modulo 2**64."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    flat = np.ascontiguousarray(tensor.numpy()).reshape(-1)
    words = flat.view(np.uint8 if flat.nbytes % 8 else np.uint64)
    if words.dtype == np.uint8:
        whole = len(words) // 8 * 8
        return _sum_words(words[:whole].view(np.uint64)), words[whole:].tobytes()
    return _sum_words(words)


def _sum_words(words: np.ndarray) -> Any:
    if len(words) <= _CHUNK:
        return int(np.dot(words, _factors()[: len(words)]))
    whole = len(words) // _CHUNK * _CHUNK
    rows = np.dot(words[:whole].reshape(-1, _CHUNK), _factors())
    return rows.tobytes(), int(np.dot(words[whole:], _factors()[: len(words) - whole]))


@functools.cache
def _factors() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 63, _CHUNK, np.uint64) * np.uint64(
        2
    ) + np.uint64(1)
