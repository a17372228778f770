"""Archive: what `write` has left in a folder, read part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.archive import manifest, parts
from keras_saliency.archive.record import Record
from keras_saliency.errors import SaveError, did_you_mean

_READ = "help(keras_saliency.Archive)"


@dataclass(frozen=True)
class Index:
    """What is in an archive, by key.

    Attributes:
        where: The part and the row of each picture.
        left_out: Why each picture that is not there is not.
        asked: What was asked for on each of both.
    """

    where: dict[str, tuple[int, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)


def index(folder: Path, asked: str, read: str) -> Index:
    """Return what is in the parts of a folder.

    Raises:
        SaveError: A part is broken, or a key is there twice.
    """
    found = Index()
    for number in parts.numbers(folder):
        told = parts.rows(folder, number, asked, read)
        for i, row in enumerate(told["rows"]):
            _once(found, row["key"], number, asked, read)
            found.where[row["key"]] = (number, i)
            found.asked[row["key"]] = row["asked"]
        for row in told["left_out"]:
            _once(found, row["key"], number, asked, read)
            found.left_out[row["key"]] = row["reason"]
            found.asked[row["key"]] = row["asked"]
    return found


def _once(found: Index, key: str, number: int, asked: str, read: str) -> None:
    if key in found.asked:
        raise SaveError(
            asked,
            f"The picture {key!r} is in it twice, the second time in part-{number:05d}.",
            "Was a folder copied into it? Remove that one.",
            read,
        )


class Archive:
    """Results of many pictures in a folder, as `Explainer.write` writes them.

    Keys and places are read at once, maps part by part, when they are asked for. An archive that is
    still being written can be read: it has the parts that were whole when it was opened.

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
        """Read what is there, without the maps."""
        self.folder = Path(folder)
        self._asked = f"The archive {str(self.folder)!r} was asked for."
        self.info: Mapping[str, Any] = manifest.load(self.folder, self._asked, _READ)
        found = index(self.folder, self._asked, _READ)
        self._where = found.where
        self.left_out: Mapping[str, str] = found.left_out
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
        """Return the record of a picture, by its key: a string, a path, or a place.

        Raises:
            KeyError: There is none.
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
        if self._last[0] != number:  # the next is likely to lie beside it
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
        """Return one line: what, how many, where."""
        out = f", {len(self.left_out)} left out" if self.left_out else ""
        by = f" by {self.info['method']}" if "method" in self.info else ""
        return f"<Archive of {len(self)} {self.info['holds']}{by}{out}: {str(self.folder)!r}>"

    def _records(self, number: int) -> list[Record]:
        return parts.records(self.folder, number, self.info["format"], self._asked, _READ)

    def _some(self) -> list[str]:
        # Looking for the nearest of a million names would take minutes.
        return [key for _, key in zip(range(1000), self._where, strict=False)]
