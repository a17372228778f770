"""Archive: the results that `write` has stored in a folder, read part by part."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._io import files, folders
from keras_saliency._io.files import bytes_of, local_path
from keras_saliency._results import archive_parts, provenance
from keras_saliency._results.archive_parts import Record
from keras_saliency.errors import UNREADABLE, SaveError, did_you_mean

_UNFINISHED = re.compile(r"\.part-\d+\..*")  # the temporary names of folders.write
_READ = "help(keras_saliency.Archive)"


@dataclass(frozen=True)
class Index:
    """The content of an archive, by key.

    Attributes:
        where: The part and the row of each picture.
        left_out: The reason for each skipped picture.
        requested: The requested target of each of both.
    """

    where: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    requested: dict[str, Any] = field(default_factory=dict)


def index(folder: Path, mark: str, what: str, read: str) -> Index:
    """Return the index of a folder's parts, whose manifest has this `checksums.mark`.

    Raises:
        SaveError: A part is broken, or a key occurs twice.
    """
    result = Index()
    for number in archive_parts.numbers(folder):
        content = archive_parts.rows(folder, number, mark, what, read)
        for i, row in enumerate(content["rows"]):
            _once(result, row["key"], number, what, read)
            result.where[row["key"]] = (number, i)
            result.requested[row["key"]] = row["asked"]
        for row in content["left_out"]:
            _once(result, row["key"], number, what, read)
            result.left_out[row["key"]] = row["reason"]
            result.requested[row["key"]] = row["asked"]
    return result


def _once(result: Index, key: str, number: int, what: str, read: str) -> None:
    if key in result.requested:
        raise SaveError(
            what,
            f"The picture {key!r} is in it twice, the second time in part-{number:05d}.",
            "Remove that folder, if it was copied there.",
            read,
        )


class Archive:
    """Results of many pictures in a folder, as `Explainer.write` writes them.

    Keys are read at once, maps part by part on access. An archive can be read while it is being
    written: it has the parts that were complete when it was opened.

    Args:
        folder: The folder.

    Attributes:
        folder: The folder.
        info: The manifest: method, parameters, target, seed, model's hash, versions.
        left_out: The pictures that could not be read, and why, by key.

    Raises:
        SaveError: The folder is no archive, or a broken one.

    Example:
        >>> import tempfile
        >>> from keras_saliency import Explainer
        >>> folder = tempfile.mkdtemp()
        >>> archive = Explainer(model).write([img, img / 2], folder, keys=["one", "half"])
        >>> archive["half"].map().shape, [record.key for record in Archive(folder)]
        ((24, 24), ['one', 'half'])
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        """Read the manifest and the keys, without the maps."""
        self.folder: Path = local_path(folder, _READ)
        self._what = f"Cannot read the archive {str(self.folder)!r}."
        self.info: Mapping[str, Any] = load(self.folder, self._what, _READ)
        self._mark = folders.mark(self.info)
        result = index(self.folder, self._mark, self._what, _READ)
        self._where = result.where
        self.left_out: Mapping[str, str] = result.left_out
        self._last: tuple[int, list[Record]] = (-1, [])

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the pictures, in the order in which they were written."""
        return tuple(self._where)

    def __len__(self) -> int:
        """Return the number of pictures, without those left out."""
        return len(self._where)

    def __contains__(self, key: object) -> bool:
        """Whether there is a picture with this key."""
        return key in self._where

    def __getitem__(self, key: Any) -> Record:
        """Return the record of a picture, by its key: a string, a path, or a number.

        Raises:
            KeyError: There is no such picture.
            SaveError: Its part is broken.
        """
        name = str(int(key)) if hasattr(key, "__index__") else fspath(key)
        if name not in self._where:
            out = self.left_out.get(name)
            raise KeyError(
                f"{name!r} was left out: {out}"
                if out
                else f"no {name!r} in {str(self.folder)!r}. {did_you_mean(name, self._some())}"
            )
        number, row = self._where[name]
        if self._last[0] != number:  # the next record is likely in the same part
            self._last = number, self._records(number)
        return self._last[1][row]

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records; one part is in memory at a time."""
        for number in sorted({number for number, _ in self._where.values()}):
            yield from self._records(number)

    def maps(self) -> Iterator[np.ndarray]:
        """Iterate over the maps in the pictures' own frames, (H0, W0) float32."""
        return (record.map() for record in self)

    def __repr__(self) -> str:
        """Return one line: content, number of pictures, method and folder."""
        out = f", {len(self.left_out)} left out" if self.left_out else ""
        by = f" by {self.info['method']}" if "method" in self.info else ""
        return f"<Archive of {len(self)} {self.info['holds']}{by}{out}: {str(self.folder)!r}>"

    def _records(self, number: int) -> list[Record]:
        form = self.info["format"]
        return archive_parts.records(self.folder, number, form, self._mark, self._what, _READ)

    def _some(self) -> list[str]:
        # Looking for the nearest of a million names would take minutes.
        return [key for _, key in zip(range(1000), self._where, strict=False)]


SCHEMA_VERSION = 2  # 1 had no checksums
NAME = "manifest.json"
_BESIDE = f".{NAME}.new"
_LONGEST = 80  # of what an error quotes


def described(value: Any) -> Any:
    """Return any value as JSON content that is the same in every process.

    Functions and classes are represented by their names, large arrays by their hash.

    Example:
        >>> described(targets.Class(3))
        {'is': 'Class', 'score': 'logit', 'output': None, 'index': 3}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.size <= 64:
            return value.tolist()
        return f"array {value.shape} sha256 {provenance.picture_hash(value)}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return {"is": type(value).__qualname__, **described(fields)}
    if isinstance(value, Mapping):
        return {str(name): described(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def write_or_check_manifest(
    folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any], what: str, read: str
) -> dict[str, Any]:
    """Write a new archive's manifest, or check that an old one is equal; return it.

    Args:
        folder: The archive's folder, which exists and is locked.
        identity: Entries that must be equal in every call, as `described`.
        about: Further entries of the first call's manifest.
        what: The first sentence of an error.
        read: Where an error says to read more.

    Raises:
        SaveError: The folder holds an archive with another identity, or a broken one.
    """
    if not (folder / NAME).exists():
        content = {"schema_version": SCHEMA_VERSION, **identity, **about}
        text = json.dumps(folders.sealed(content), indent=2, allow_nan=True) + "\n"
        (folder / _BESIDE).write_text(text, encoding="utf-8")
        files.sync(folder / _BESIDE)
        os.replace(folder / _BESIDE, folder / NAME)
        files.sync(folder)
    content = load(folder, what, read)
    same = json.loads(json.dumps(dict(identity), allow_nan=True))
    differ = [
        f"{name} was {_short(content.get(name))} and is now {_short(value)}"
        for name, value in same.items()
        if _words(content.get(name)) != _words(value)
    ]
    if differ:
        raise SaveError(
            what,
            f"It was begun with other options: {'; '.join(differ)}.",
            "Pass the same options again, or name a new folder.",
            read,
        )
    return content


def load(folder: Path, what: str, read: str) -> dict[str, Any]:
    """Return the manifest.

    Raises:
        SaveError: There is none, or it is broken or of a later schema.
    """
    fix = "Name a folder written by Explainer.write or FixationPredictor.write."
    try:
        content = json.loads(bytes_of(folder / NAME))
        version = content["schema_version"]
        newer = version > SCHEMA_VERSION
        if not newer and (version != 1 or folders.FIELD in content):
            content, _ = folders.opened(content)
        if type(version) is not int or version < 1:
            raise ValueError(f"its schema version is {version!r}")
        content["holds"], content["format"]
    except UNREADABLE as error:
        result = f"Its {NAME} cannot be read ({type(error).__name__}: {error})."
        raise SaveError(what, result, fix, read) from error
    if newer:
        result = f"It has schema version {version}; this package reads up to {SCHEMA_VERSION}."
        raise SaveError(what, result, "Upgrade: pip install -U keras-saliency.", read)
    return content


def sweep(folder: Path) -> None:
    """Remove unfinished parts of killed processes."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)


def is_ours(name: str) -> bool:
    """Whether a file of this name is an unfinished part, or manifest; the next overwrites that."""
    return name == _BESIDE or _UNFINISHED.fullmatch(name) is not None


def _words(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, allow_nan=True
    )  # NaN differs from NaN; its text does not


def _short(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
