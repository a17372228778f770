"""Values as JSON and as cells of a table, and back."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any, TextIO

import numpy as np

_INLINE = "biuf"  # kinds of NumPy scalars that JSON's numbers hold without loss
_WIDEST = 8  # bytes of those


def plain(value: Any) -> Any:
    """Return a value as plain data: no object of a custom class, so no model either.

    Numbers, text, arrays, lists, tuples and dicts stay. Dataclasses become dicts, functions and
    classes their names, tensors arrays; other objects become their ``repr``.

    Example:
        >>> plain({"layer": "conv", "sizes": (3, np.float32(0.5)), "how": len})
        {'layer': 'conv', 'sizes': (3, np.float32(0.5)), 'how': 'builtins.len'}
    """
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, np.ma.MaskedArray):
        return {"data": plain(np.asarray(value.data)), "mask": np.ma.getmaskarray(value)}
    if isinstance(value, np.ndarray):
        array = np.asarray(value)
        return plain(array.tolist()) if array.dtype.hasobject else array
    if isinstance(value, np.generic):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return {"is": type(value).__qualname__, **plain(fields)}
    if isinstance(value, Mapping):
        return {plain_key(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    if isinstance(value, Set):
        return [plain(one) for one in sorted(value, key=repr)]
    kinds: tuple[Any, ...] = (int, float, complex, str, bytes)
    for kind in kinds:  # subclasses, such as an enum of text
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _tensor(value)


def plain_key(key: Any) -> Any:
    """Return a dict's key as plain data."""
    if isinstance(key, tuple):
        return tuple(plain_key(one) for one in key)
    return key if isinstance(key, bool | int | float | str | None) else repr(key)


def _tensor(value: Any) -> Any:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        import keras

        try:
            return np.asarray(keras.ops.convert_to_numpy(value))
        except Exception:  # a symbolic tensor has no numbers
            pass
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def encode(value: Any, arrays: dict[str, np.ndarray] | None) -> Any:
    """Return plain data as JSON content.

    Arrays are added to ``arrays`` under new names; if that is None, they stay in the JSON.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    scalar = isinstance(value, np.generic)
    if scalar and value.dtype.kind in _INLINE and value.dtype.itemsize <= _WIDEST:
        return {"__numpy__": value.dtype.str, "value": value.item()}
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)
        if arrays is None:
            kind = array.dtype.name if _is_extension(array.dtype) else array.dtype.str
            raw = array.tobytes().hex()
            return {"__inline__": raw, "dtype": kind, "shape": list(array.shape), "scalar": scalar}
        name = f"data_{len(arrays)}"
        while name in arrays:
            name += "_"
        arrays[name] = array
        shape = "scalar" if scalar else list(array.shape)
        return {"__array__": name, "dtype": str(array.dtype), "shape": shape}
    if isinstance(value, tuple):
        return {"__tuple__": [encode(one, arrays) for one in value]}
    if isinstance(value, list):
        return [encode(one, arrays) for one in value]
    if isinstance(value, complex):
        return {"__complex__": [value.real, value.imag]}
    if isinstance(value, bytes):
        return {"__bytes__": value.hex()}
    if not isinstance(value, dict):
        return encode(plain(value), arrays)
    if all(type(key) is str and not key.startswith("__") for key in value):
        return {key: encode(one, arrays) for key, one in value.items()}
    pairs = [[encode(key, arrays), encode(one, arrays)] for key, one in value.items()]
    return {"__dict__": pairs}


def decode(value: Any, arrays: Mapping[str, np.ndarray] | None = None) -> Any:
    """Return the value that `encode` encoded, with the same arrays.

    Raises:
        KeyError, TypeError, ValueError: `encode` did not make it.
    """
    if isinstance(value, list):
        return [decode(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if not any(key.startswith("__") for key in value):
        return {key: decode(one, arrays) for key, one in value.items()}
    if "__numpy__" in value:
        return np.dtype(value["__numpy__"]).type(value["value"])
    if "__array__" in value:
        array = (arrays or {})[value["__array__"]]
        return array[()] if value["shape"] == "scalar" else array
    if "__inline__" in value:
        flat = np.frombuffer(bytes.fromhex(value["__inline__"]), _dtype(value["dtype"])).copy()
        array = flat.reshape(value["shape"])
        return array[()] if value["scalar"] else array
    if "__tuple__" in value:
        return tuple(decode(one, arrays) for one in value["__tuple__"])
    if "__complex__" in value:
        return complex(*value["__complex__"])
    if "__bytes__" in value:
        return bytes.fromhex(value["__bytes__"])
    return {decode(key, arrays): decode(one, arrays) for key, one in value["__dict__"]}


def storable(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return arrays that an ``.npz`` can hold, and the names of dtypes that it cannot.

    An ``.npz`` returns bfloat16 and similar dtypes as raw bytes: they are stored as whole numbers
    of the same size.
    """
    own = {name: one.dtype.name for name, one in arrays.items() if _is_extension(one.dtype)}
    numbers = {
        name: one.view(f"u{one.dtype.itemsize}") if name in own else one
        for name, one in arrays.items()
    }
    return numbers, own


def restored(arrays: Mapping[str, np.ndarray], own: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the arrays that `storable` converted."""
    return {
        name: one.view(_dtype(own[name])) if name in own else one for name, one in arrays.items()
    }


def _is_extension(dtype: np.dtype) -> bool:
    return dtype.kind == "V" and dtype.type is not np.void


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes  # comes with Keras

        return np.dtype(getattr(ml_dtypes, name))


def same(one: Any, other: Any) -> bool:
    """Whether two values of plain data are equal: types, arrays and NaN included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray | np.generic):
        a, b = np.asarray(one), np.asarray(other)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(one, Mapping):
        both = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(same(k, m) and same(v, w) for (k, v), (m, w) in both)
    if isinstance(one, Sequence) and not isinstance(one, str | bytes):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


_FORMULAS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # and their full-width forms


def cell(value: Any) -> Any:
    """Return a value as a cell that is no formula; values other than text stay.

    Example:
        >>> cell("=1+1"), cell("cat.jpg"), cell(-0.5), original(cell("-5.jpg"))
        ("'=1+1", 'cat.jpg', -0.5, '-5.jpg')
    """
    if not isinstance(value, str):
        return value
    # A quote that would be read as an escape gets one more.
    quoted = value[:1] == "'" and value[1:2] != "" and value[1] in _FORMULAS + "'"
    return "'" + value if quoted or (value != "" and value[0] in _FORMULAS) else value


def original(text: str) -> str:
    """Return the text that `cell` escaped."""
    escaped = text[:1] == "'" and text[1:2] != "" and text[1] in _FORMULAS + "'"
    return text[1:] if escaped else text


def write(file: TextIO, rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Write rows as CSV, under a line with the columns' names."""
    names = list(columns)
    writer = csv.writer(file)
    writer.writerow([cell(name) for name in names])
    writer.writerows([cell(row.get(name, "")) for name in names] for row in rows)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that `write` wrote, as text.

    Raises:
        OSError, UnicodeError, csv.Error: It cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {original(name): original(text or "") for name, text in row.items() if name is not None}
            for row in csv.DictReader(file)
        ]
