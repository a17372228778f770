"""An unpickler that knows dictionaries, torch tensors and torch storages, and nothing else.

Unpickling can call anything that the file names. Here every name is looked up in one short table
and refused, before anything is imported, where it is not there.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import IO, Any, NamedTuple

# Strings, not classes: a pickle can call classes and set their attributes.
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


class Storage(NamedTuple):
    """A flat run of ``numel`` numbers, whose bytes stand elsewhere in the file."""

    key: str
    dtype: str
    numel: int


class Tensor(NamedTuple):
    """A view on a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class RefusedName(pickle.UnpicklingError):
    """The pickle asks for a Python object that no tensor needs."""


class TensorUnpickler(pickle.Unpickler):
    """Unpickle tensors as ``Tensor``, and note in ``storages`` where their numbers are.

    Args:
        file: An open binary file; reading stops at the end of the pickle.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Admit the few names that a dictionary of tensors needs."""
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

        def rebuild(storage, offset, shape, strides, requires_grad, hooks, metadata=None):
            return Tensor(storage, offset, shape, strides)

        # A new function for each reading: whatever a pickle might hang on it is dropped with it.
        self._admitted: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild,
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return our stand-in for an admitted name; import nothing."""
        if (module, name) not in self._admitted:
            raise RefusedName(f"{module}.{name}")
        return self._admitted[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Note which storage a tensor lies in."""
        kind, dtype, key, _device, numel, view = pid
        if kind != "storage" or dtype not in _STORAGES.values() or view is not None:
            raise ValueError(f"unknown persistent id {pid!r}")
        if not isinstance(key, str) or not are_counts((numel,)):
            raise ValueError(f"a storage needs a key and a length, not {key!r} and {numel!r}")
        storage = Storage(key, dtype, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key!r} is described twice, differently")
        return storage


def are_counts(values: tuple[Any, ...]) -> bool:
    """Tell whether all values are integers of at least 0 (and no booleans)."""
    return all(type(value) is int and value >= 0 for value in values)
