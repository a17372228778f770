"""The arrays of a part: one ``.npz``, or an ``.array_record`` with an ``.npz`` for each picture."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.archive.record import Record, as_row
from keras_saliency.errors import SaveError, did_you_mean

FORMATS = ("npz", "array_record")
_NAMES = ("values", "attributions")
_READ = "help(keras_saliency.Explainer.write)"


def check(form: str) -> None:
    """Refuse a format that nobody knows, or whose package is missing.

    Raises:
        SaveError: It is such a one.
    """
    if form not in FORMATS:
        raise SaveError(
            f"The format {form!r} was asked for.",
            f"Known: {', '.join(map(repr, FORMATS))}.",
            did_you_mean(str(form), FORMATS) or "Take one of these.",
            _READ,
        )
    if form == "array_record":
        _array_record()


def write(folder: Path, form: str, records: Sequence[Record]) -> None:
    """Write the arrays of a part's records into its folder."""
    if form == "npz":
        np.savez(folder / "maps.npz", **_as_arrays(records))  # type: ignore[arg-type]
        return
    # One record a group: each can be read without its neighbours.
    writer = _array_record().ArrayRecordWriter(str(folder / "maps.array_record"), "group_size:1")
    for record in records:
        writer.write(_as_bytes(record))
    writer.close()


def read(folder: Path, form: str, count: int) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each of a part's ``count`` records.

    Raises:
        OSError, ValueError, KeyError: They are missing or broken.
    """
    if form == "npz":
        with np.load(folder / "maps.npz", allow_pickle=False) as stored:
            return _apart(dict(stored), count)
    path = folder / "maps.array_record"
    if not path.exists():  # what the library says of a missing file depends on its version
        raise FileNotFoundError(f"There is no {path.name}")
    try:
        reader = _array_record().ArrayRecordReader(str(path))
        if reader.num_records() != count:
            raise ValueError(f"{reader.num_records()} maps, not {count}")
        stored = reader.read(0, count)
        reader.close()
    except (RuntimeError, IndexError) as error:  # as the library says it
        raise OSError(str(error)) from error
    return [_from_bytes(one) for one in stored]


def _as_arrays(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """Return what an npz holds: (n, H, W) where all are of one size, else ``values_0``, ..."""
    arrays = {
        "keys": np.array([record.key for record in records], dtype=np.str_),
        "scores": np.array([_number(record.score) for record in records], np.float64),
    }
    for name in _NAMES:
        found = {i: getattr(record, name) for i, record in enumerate(records)}
        found = {i: one for i, one in found.items() if one is not None}
        if len(found) == len(records) and len({one.shape for one in found.values()}) == 1:
            arrays[name] = np.stack(list(found.values()))
        else:
            arrays |= {f"{name}_{i}": one for i, one in found.items()}
    return arrays


def _apart(stored: Mapping[str, np.ndarray], count: int) -> list[dict[str, np.ndarray]]:
    if len(stored["keys"]) != count:
        raise ValueError(f"{len(stored['keys'])} maps, not {count}")
    rows: list[dict[str, np.ndarray]] = []
    for i in range(count):
        row = {name: stored[f"{name}_{i}"] for name in _NAMES if f"{name}_{i}" in stored}
        # A copy: one map that is kept shall not keep the whole part.
        row |= {name: stored[name][i].copy() for name in _NAMES if name in stored}
        rows.append(row)
    return rows


def _as_bytes(record: Record) -> bytes:
    file = io.BytesIO()
    row = json.dumps(as_row(record), allow_nan=True)
    arrays: dict[str, Any] = {
        "key": np.array(record.key, dtype=np.str_),
        "score": np.array(_number(record.score), np.float64),
        "row": np.array(row, dtype=np.str_),
    }
    for name in _NAMES:
        if getattr(record, name) is not None:
            arrays[name] = getattr(record, name)
    np.savez(file, **arrays)
    return file.getvalue()


def _from_bytes(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name].copy() for name in _NAMES if name in stored.files}


def _number(score: float | None) -> float:
    return np.nan if score is None else score


def _array_record() -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise SaveError(
            "The format 'array_record' was asked for.",
            f"The package array_record cannot be imported ({error}).",
            "Install it: pip install 'keras-saliency[data]'; or take format='npz'.",
            _READ,
        ) from error
    return array_record_module
