"""Read the tensors of a legacy ``torch.save`` file without torch, and without trusting the file.

Such a file is five pickles (magic number, protocol, system info, the object, the storage keys)
followed by the length and the raw bytes of each storage. The pickles go through a
``TensorUnpickler``, which calls nothing the file names; tensors are views on storages, and are cut
out with bounds checked.
"""

from __future__ import annotations

import io
import math
from os import PathLike
from pathlib import Path

import numpy as np

from keras_saliency.errors import PretrainedError
from keras_saliency.pretrained.tensor_unpickler import (
    RefusedName,
    Storage,
    Tensor,
    TensorUnpickler,
    are_counts,
)

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_state_dict(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict from a legacy (torch before 1.6, not zip) ``torch.save`` file.

    Args:
        path: A ``.pth`` file that holds a flat dictionary of dense CPU tensors, little-endian.

    Returns:
        Name to array, in the file's order, with the file's shapes and dtypes. The arrays are
        contiguous, writable and share no memory.

    Raises:
        PretrainedError: The file cannot be read, is cut short or damaged, is in another format,
            or holds anything but tensors. Nothing that the file names is imported or called.

    Source:
        The layout is that of ``torch.serialization._legacy_save``.

    Example:
        >>> read_state_dict("efficientnet-lite0-57934424.pth")["_fc.weight"].shape
        (1000, 1280)
    """
    path = Path(path)
    try:
        return _read(io.BytesIO(path.read_bytes()))
    except RefusedName as refused:
        found = f"It also asks for the Python object {refused}, which was not imported."
        raise _unreadable(path, found) from refused
    except OSError as error:
        raise _unreadable(path, f"The file cannot be opened: {error}.") from error
    except Exception as error:  # damaged bytes make pickle raise whatever they please
        found = (
            f"The file is cut short, damaged or of another kind ({type(error).__name__}: {error})."
        )
        raise _unreadable(path, found) from error


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    if file.getvalue().startswith(b"PK\x03\x04"):
        raise ValueError("it is a zip file, the format of torch 1.6 and later")
    # One unpickler per pickle: the five share no memo.
    magic, protocol, system = (TensorUnpickler(file).load() for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or system["little_endian"] is not True:
        raise ValueError(f"it starts with {magic!r}, {protocol!r}, {system!r}")
    unpickler = TensorUnpickler(file)
    tensors = unpickler.load()
    if not isinstance(tensors, dict):
        raise TypeError(f"it holds a {type(tensors).__name__}, not a dictionary")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"its entry {name!r} is a {type(tensor).__name__}, not a tensor")
    keys = TensorUnpickler(file).load()
    contents = {key: _content(file, unpickler.storages[key]) for key in keys}
    return {name: _cut_out(view, contents[view.storage.key]) for name, view in tensors.items()}


def _content(file: io.BytesIO, storage: Storage) -> np.ndarray:
    """Read the next storage: its length as int64, then its bytes."""
    numel = int.from_bytes(file.read(8), "little", signed=True)
    if numel != storage.numel:
        raise ValueError(f"storage {storage.key!r} has {numel} elements, not {storage.numel}")
    dtype = np.dtype(storage.dtype)
    content = file.read(numel * dtype.itemsize)
    return np.frombuffer(content, dtype, count=numel)  # raises where the bytes are too few


def _cut_out(tensor: Tensor, content: np.ndarray) -> np.ndarray:
    """Return a copy of the part of a storage that a tensor shows."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    if len(shape) != len(strides) or not are_counts((offset, *shape, *strides)):
        raise ValueError(f"shape {shape}, strides {strides} and offset {offset} do not fit")
    if 0 in shape:
        return np.empty(shape, content.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # The second test is about stride 0: a few bytes could ask for a terabyte.
    if last >= content.size or math.prod(shape) > content.size:
        raise ValueError(f"shape {shape}, strides {strides}, offset {offset} leave the storage")
    steps = tuple(step * content.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(content[offset:], shape, steps).copy(order="C")


def _unreadable(path: Path, found: str) -> PretrainedError:
    return PretrainedError(
        f"A dictionary of tensors was to be read from {str(path)!r}, a legacy torch file.",
        found,
        "Get the file anew from its source, or save it again in torch with "
        "torch.save(state_dict, path, _use_new_zipfile_serialization=False).",
        "help(keras_saliency.pretrained.torch_pickle)",
    )
