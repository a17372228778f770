"""Records of pictures, and the part of an archive that holds some: written all or not at all."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._inputs.geometry import Geometry, Letterbox
from keras_saliency._io import folders
from keras_saliency._io.encoding import decode, encode
from keras_saliency._io.files import bytes_of, regular
from keras_saliency.errors import UNREADABLE, SaveError, did_you_mean
from keras_saliency.errors._arguments import is_word

FORMATS = ("npz", "array_record")
_NAMES = ("values", "attributions")
_IN_ROWS = ("key", "score", "probability", "target", "label")
_OPTIONAL = ("words", "features")  # along the map's axis, where they are known
_READ = "help(keras_saliency.Explainer.write)"


def check_format(form: str) -> None:
    """Check that a format is known and its package installed.

    Raises:
        SaveError: It is not.
    """
    if not is_word(form, FORMATS):
        raise SaveError(
            f"No format is called {form!r}.",
            f"Known: {', '.join(map(repr, FORMATS))}.",
            did_you_mean(str(form), FORMATS) or "Take one of these.",
            _READ,
        )
    if form == "array_record":
        _array_record()


def write_arrays(folder: Path, form: str, records: Sequence[Record]) -> None:
    """Write the arrays of a part's records into its folder."""
    if form == "npz":
        np.savez(folder / "maps.npz", **_as_arrays(records))  # type: ignore[arg-type]
        return
    # One record per group: each can be read without its neighbours.
    writer = _array_record().ArrayRecordWriter(str(folder / "maps.array_record"), "group_size:1")
    for record in records:
        writer.write(_as_bytes(record))
    writer.close()


def read_arrays(
    folder: Path, form: str, count: int, sums: Mapping[str, str] | None = None
) -> list[dict[str, np.ndarray]]:
    """Return the arrays of each of a part's ``count`` records.

    Args:
        folder: The part.
        form: How its maps are written.
        count: How many there are.
        sums: SHA-256 by file name; None for a part without checksums.

    Raises:
        OSError, ValueError, KeyError: They are missing, broken or altered.
    """
    if form == "npz":
        data = bytes_of(folder / "maps.npz")
        if sums is not None:
            folders.check_bytes(data, "maps.npz", sums)
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return _apart(dict(stored), count)
    path = folder / "maps.array_record"
    with regular(path):  # the library's error for a missing file depends on its version
        pass
    if sums is not None and folders.of_file(path) != sums.get(path.name):
        raise ValueError(f"the checksum of {path.name} does not match: the file has changed")
    try:
        reader = _array_record().ArrayRecordReader(str(path))
        if reader.num_records() != count:
            raise ValueError(f"{reader.num_records()} maps, not {count}")
        stored = reader.read(0, count)
        reader.close()
    except (RuntimeError, IndexError) as error:  # the library's errors
        raise OSError(str(error)) from error
    return [_from_bytes(one) for one in stored]


def _as_arrays(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """Return the arrays of an npz: (n, H, W) where all have one size, else ``values_0``, ..."""
    arrays = {
        "keys": np.array([record.key for record in records], dtype=np.str_),
        "scores": np.array([record.score for record in records], np.float64),
    }
    for name in _NAMES:
        result = {i: getattr(record, name) for i, record in enumerate(records)}
        result = {i: one for i, one in result.items() if one is not None}
        if len(result) == len(records) and len({one.shape for one in result.values()}) == 1:
            arrays[name] = np.stack(list(result.values()))
        else:
            arrays |= {f"{name}_{i}": one for i, one in result.items()}
    return arrays


def _apart(stored: Mapping[str, np.ndarray], count: int) -> list[dict[str, np.ndarray]]:
    if len(stored["keys"]) != count:
        raise ValueError(f"{len(stored['keys'])} maps, not {count}")
    rows: list[dict[str, np.ndarray]] = []
    for i in range(count):
        row = {name: stored[f"{name}_{i}"] for name in _NAMES if f"{name}_{i}" in stored}
        # A copy: one map in use must not hold the whole part in memory.
        row |= {name: stored[name][i].copy() for name in _NAMES if name in stored}
        rows.append(row)
    return rows


def _as_bytes(record: Record) -> bytes:
    file = io.BytesIO()
    row = json.dumps(as_row(record), allow_nan=True)
    arrays: dict[str, Any] = {
        "key": np.array(record.key, dtype=np.str_),
        "score": np.array(record.score, np.float64),
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


def _array_record() -> Any:
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise SaveError(
            "Expected the package array_record, for the format 'array_record'.",
            f"It cannot be imported ({error}).",
            "Install it: pip install 'keras-saliency[data]'; or take format='npz'.",
            _READ,
        ) from error
    return array_record_module


_NAME = re.compile(r"part-(\d+)")
_ROWS = "rows.json"
_ARCHIVE = "archive"  # absent from the oldest parts
SCHEMA_VERSION = 2  # 1 had no checksums, and no version in its rows


@dataclass(frozen=True)
class SkippedRecord:
    """A picture that could not be read, and why."""

    key: str
    reason: str


def numbers(folder: Path) -> list[int]:
    """Return the numbers of an archive's parts, in order."""
    result = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in result if match)


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a part."""
    return folder / f"part-{number:05d}"


def write(
    folder: Path,
    number: int,
    form: str,
    results: Sequence[tuple[Record | SkippedRecord, Any]],
    about: Mapping[str, Any],
    mark: str,
    what: str,
    read: str,
) -> None:
    """Write a part beside its path, then move it there in one step.

    Args:
        folder: The archive's folder.
        number: The part's number, a new one.
        form: How its maps are written.
        results: Pictures and the requested target of each.
        about: Further entries of the part, such as versions.
        mark: The archive it belongs to: `checksums.mark` of the manifest.
        what: The first sentence of an error.
        read: Where an error says to read more.

    Raises:
        SaveError: It cannot be written.
    """
    written = [(record, its) for record, its in results if isinstance(record, Record)]
    out = [(one, its) for one, its in results if isinstance(one, SkippedRecord)]
    rows = {
        "schema_version": SCHEMA_VERSION,
        **about,
        _ARCHIVE: mark,
        "rows": [{**as_row(record), "asked": its} for record, its in written],
        "left_out": [{"key": one.key, "reason": one.reason, "asked": its} for one, its in out],
    }

    def fill(fresh: Path) -> None:
        if written:
            write_arrays(fresh, form, [record for record, _ in written])
        sums = {path.name: folders.of_file(path) for path in fresh.iterdir()}
        text = json.dumps(folders.sealed(rows, sums), allow_nan=True)
        (fresh / _ROWS).write_text(text + "\n", encoding="utf-8")

    folders.write(path_of(folder, number), fill, (), what, read)


def rows(folder: Path, number: int, mark: str, what: str, read: str) -> dict[str, Any]:
    """Return a part's pictures: ``rows`` and ``left_out``.

    Raises:
        SaveError: It is broken.
    """
    try:
        content = json.loads(bytes_of(path_of(folder, number) / _ROWS))
        if "schema_version" in content or folders.FIELD in content:
            content, sums = folders.opened(content)
            if content["schema_version"] > SCHEMA_VERSION:
                raise ValueError(
                    f"schema version {content['schema_version']}: upgrade keras-saliency"
                )
            content = {**content, folders.FIELD: sums}
        if content.get(_ARCHIVE, mark) != mark:
            raise ValueError("it belongs to another archive")
        for name in ("rows", "left_out"):
            for row in content[name]:
                row["key"], row["asked"]
        return content
    except UNREADABLE as error:
        raise _broken(folder, number, error, what, read) from error


def records(folder: Path, number: int, form: str, mark: str, what: str, read: str) -> list[Record]:
    """Return the records of a part.

    Raises:
        SaveError: It is broken.
    """
    whole = rows(folder, number, mark, what, read)
    content, sums = whole["rows"], whole.get(folders.FIELD)
    if not content:
        return []
    try:
        arrays = read_arrays(path_of(folder, number), form, len(content), sums)
        return [from_row(row, its) for row, its in zip(content, arrays, strict=True)]
    except UNREADABLE as error:
        if isinstance(error, SaveError):
            raise
        raise _broken(folder, number, error, what, read) from error


def _broken(folder: Path, number: int, error: Exception, what: str, read: str) -> SaveError:
    return SaveError(
        what,
        f"{path_of(folder, number).name} cannot be read ({type(error).__name__}: {error}).",
        "Remove that folder and call write again: it computes these pictures again.",
        read,
    )


@dataclass(frozen=True, eq=False)
class Record:
    """One picture of an `Archive`.

    Attributes:
        key: Its path, its position in the stream, or the key passed for it.
        values: (H, W) float32 in the model's frame: the map; for fixations the log density on the
            canvas, -10000 around the picture.
        geometry: How the picture was fitted to the model.
        score: The explained score; None for fixations.
        probability: Of the explained class; None where the target is no class.
        target: The explained target.
        label: The class's name; ``""`` where there is no class.
        checks: Numbers such as ``completeness_error``, and ``findings``: what looks wrong.
        attributions: (H, W, C) float32 where they were stored and the method has any.
        words: The tokens of a text, without padding; ().
        features: Names of a table's columns; ().
    """

    key: str
    values: np.ndarray
    geometry: Geometry | Letterbox
    score: float | None = None
    probability: float | None = None
    target: Any = None
    label: str = ""
    checks: Mapping[str, Any] = field(default_factory=lambda: {"findings": ()})
    attributions: np.ndarray | None = None
    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    def map(self) -> np.ndarray:
        """Return the map in the picture's frame, (H0, W0) float32; for fixations a density."""
        if isinstance(self.geometry, Geometry):
            return self.geometry.undo(self.values)
        height, width = self.geometry.window[2:]
        log_density = self.geometry.undo(self.values, (round(height), round(width)))
        return np.exp(log_density).astype(np.float32)

    def __repr__(self) -> str:
        """Return one line: key, size, label and score."""
        score = "" if self.score is None else f", score {self.score:.3g}"
        label = f", {self.label}" if self.label else ""
        return f"<Record {self.key!r} {self.values.shape}{label}{score}>"


def as_row(record: Record) -> dict[str, Any]:
    """Return a record without its arrays, as JSON content."""
    frame = "geometry" if isinstance(record.geometry, Geometry) else "letterbox"
    checks = {**record.checks, "findings": list(record.checks["findings"])}
    optional = {name: list(getattr(record, name)) for name in _OPTIONAL if getattr(record, name)}
    return {
        **{name: encode(getattr(record, name), None) for name in _IN_ROWS},
        **optional,
        "checks": encode(checks, None),
        frame: asdict(record.geometry),
    }


def from_row(row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Record:
    """Return the record of a row and its arrays."""
    kind: Any = Geometry if "geometry" in row else Letterbox
    frame = row["geometry" if kind is Geometry else "letterbox"]
    checks = decode(row["checks"])
    return Record(
        **{name: decode(row[name]) for name in _IN_ROWS},
        geometry=kind(**{name: tuple(value) for name, value in frame.items()}),
        checks={**checks, "findings": tuple(checks["findings"])},
        values=arrays["values"],
        attributions=arrays.get("attributions"),
        words=tuple(row.get("words", ())),
        features=tuple(row.get("features", ())),
    )
