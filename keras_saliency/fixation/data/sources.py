"""Sources of data sets: folders, MATLAB files, degrees, and records that cannot be used."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_saliency._io.files import local_path
from keras_saliency.errors import FixationError
from keras_saliency.fixation.data.recording import Recording, inside

_NAMED = 10  # entries of a list; counts are of all


class Skipped:
    """Collects the reasons why pictures and fixations are left out, for one warning at the end.

    Args:
        source: Of the recordings, such as ``"the table '/data/lab'"``.

    Example:
        >>> skipped = Skipped("the table 'lab'")
        >>> skipped.picture("7.jpg", "no such file")
        >>> skipped.fixations("8.jpg", 2)
        >>> skipped.used = 99
        >>> print(skipped.message())
        In the table 'lab', 1 of 100 pictures was left out: 7.jpg (no such file). 2 fixations were \
left out, outside their picture: 8.jpg (2).
    """

    def __init__(self, source: str) -> None:
        """Begin with nothing left out."""
        self.used = 0  # pictures that are used, counted by the reader
        self._source = source
        self._pictures: list[str] = []
        self._fixations: list[str] = []
        self._count = 0

    def picture(self, name: str, why: str) -> None:
        """Count a picture that cannot be used."""
        self._pictures.append(f"{name} ({why})")

    def fixations(self, name: str, count: int) -> None:
        """Count fixations of one picture that lie outside it or are not numbers."""
        if count:
            self._fixations.append(f"{name} ({count})")
            self._count += count

    def message(self) -> str:
        """Return the warning, or an empty string where nothing was left out."""
        parts = []
        if self._pictures:
            count = len(self._pictures)
            verb = "was" if count == 1 else "were"
            parts.append(
                f"{count} of {count + self.used} pictures {verb} left out: "
                f"{_listed(self._pictures)}."
            )
        if self._count:
            some = "1 fixation was" if self._count == 1 else f"{self._count} fixations were"
            parts.append(f"{some} left out, outside their picture: {_listed(self._fixations)}.")
        return f"In {self._source}, {' '.join(parts)}" if parts else ""

    def report(self, stacklevel: int = 3) -> None:
        """Warn once of all that was left out.

        Raises:
            FixationError: Nothing is left.
        """
        message = self.message()
        if self._pictures and not self.used:
            raise FixationError(
                f"Expected usable recordings in {self._source}.",
                f"No picture is left: {message}",
                "Fix the reasons named.",
                "help(keras_saliency.fixation.data)",
            )
        if message:
            warnings.warn(message, UserWarning, stacklevel=stacklevel)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def require(folder: str | os.PathLike, wanted: tuple[str, ...], what: str) -> Path:
    """Return the folder if everything in ``wanted`` is in it.

    Args:
        folder: Where to look.
        wanted: Paths below it, each a file or a folder.
        what: Content of the folder, such as ``"a table of fixations"``.

    Raises:
        FixationError: It is missing, a file, a zip archive, or has another content.
    """
    read = "help(keras_saliency.fixation.data)"
    folder = local_path(folder, read, FixationError, what)
    expected = f"Expected {what} in the folder {str(folder)!r}."
    if folder.is_file():
        packed = zipfile.is_zipfile(folder)
        result = "It is a zip archive, not a folder." if packed else "It is a file, not a folder."
        fix = "Unpack it and name the folder." if packed else f"Name {str(folder.parent)!r}."
        raise FixationError(expected, result, fix, read)
    if not folder.is_dir():
        raise FixationError(expected, "No such folder.", "Check the path.", read)
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        archives = sorted(path.name for path in folder.glob("*.zip"))
        fix = "Name the folder that does." if missing == list(wanted) else "Add what is missing."
        raise FixationError(
            expected,
            f"There is no {' and no '.join(repr(name) for name in missing)} in it; it holds "
            f"{contents(folder)}.",
            f"Unpack {archives[0]!r} there." if archives else fix,
            read,
        )
    return folder


def nearest(folder: str | os.PathLike, ways: tuple[str, ...], wanted: tuple[str, ...]) -> Path:
    """Return the first of ``folder / way`` that holds something wanted, else ``folder`` itself.

    Archives unpack with or without a folder of their own around them.
    """
    for way in ways:
        if any((Path(folder) / way / name).exists() for name in wanted):
            return Path(folder) / way
    return Path(folder)


def contents(folder: Path, most: int = 8) -> str:
    """Return the names in a folder as a phrase, the first ``most`` of them."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    more = len(names) - most
    listed = ", ".join(repr(name) for name in names[:most]) + (f" and {more} more" * (more > 0))
    return listed or "nothing"


def variable(file: Path, name: str) -> Any:
    """Return a variable of a ``.mat`` file (up to version 7) as ``scipy.io.loadmat`` gives it.

    Raises:
        FixationError: The file is missing or broken, or has no such variable.
    """
    from scipy import io

    what = f"Cannot read the variable {name!r} of {file.name!r}."
    fix, read = "Copy the file again from where it came from.", "help(keras_saliency.fixation.data)"
    if not file.is_file():
        raise FixationError(what, f"No such file: {file.name!r}.", fix, read)
    try:
        result = io.loadmat(file)
    except Exception as error:  # scipy raises many kinds, NotImplementedError and zlib's among them
        raise FixationError(what, f"{file.name} is broken: {error}.", fix, read) from error
    if name not in result:
        names = ", ".join(key for key in result if not key.startswith("__")) or "nothing"
        raise FixationError(what, f"{file.name} has no {name!r} but {names}.", fix, read)
    return result[name]


# Pixels a degree, and the long side they are counted on (None: the picture as it was shown).
# osie, mit1003, cat2000: the MIT/Tuebingen saliency benchmark blurs all its data sets with 23.99
# pixels, a Gaussian that halves 8 cycles on 1024 pixels. mit1003 was recorded at 35 pixels a
# degree, cat2000 at about 38, and the maps that come with cat2000 are blurred with 48 (the same
# 8 cycles, on 2048). salicon: its authors' API; there was no screen of known size.
KNOWN: dict[str, tuple[float, int | None]] = {
    "osie": (24.0, None),
    "mit1003": (24.0, None),
    "scene500": (8.0, 256),
    "cat2000": (24.0, None),
    "salicon": (19.0, None),
}


def sigma(
    dataset: str, size: tuple[int, int], shown: tuple[int, int], degree: float | None
) -> float:
    """Return one degree in pixels of the stored picture.

    Args:
        dataset: The data set's name, looked up in ``KNOWN`` where ``degree`` is None.
        size: Height and width of the stored picture.
        shown: Height and width of the picture as it was shown to the viewers.
        degree: One degree in pixels of the picture as shown, or None.

    Raises:
        FixationError: The degree is not a positive number, or neither given nor known.

    Example:
        >>> sigma("osie", (432, 576), (600, 800), None)
        17.28
        >>> sigma("my lab", (300, 400), (600, 800), 30)
        15.0
    """
    side: int | None = None
    if degree is None:
        if dataset not in KNOWN:
            raise FixationError(
                f"Expected one degree of visual angle for the data set {dataset!r}.",
                f"It is known for {', '.join(KNOWN)} only.",
                f"Pass degrees={{{dataset!r}: 24}}, in pixels of the pictures as they were shown, "
                "or add a column 'degree' to the index.",
                "help(keras_saliency.fixation.data.read_table)",
            )
        degree, side = KNOWN[dataset]
    if not (math.isfinite(degree) and degree > 0):
        raise FixationError(
            f"Expected one degree of visual angle of the data set {dataset!r} to be above 0.",
            f"Got {degree} pixels.",
            "Pass a positive number of pixels.",
            "help(keras_saliency.fixation.data.read_table)",
        )
    return float(degree * max(size) / (side or max(shown)))


def usable(
    recordings: Iterable[Recording], skipped: Skipped, need_fixations: bool = True
) -> Iterator[Recording]:
    """Yield the recordings that can be used; the rest is counted and named.

    Args:
        recordings: Each picture is decoded once.
        skipped: Where to count what is left out.
        need_fixations: Whether a picture without a fixation is left out.
    """
    for recording in recordings:
        try:
            recording.pixels()
        except FixationError as error:
            skipped.picture(recording.name, error.got.rstrip("."))
            continue
        used = inside(recording.y, recording.x, recording.size)
        skipped.fixations(recording.name, int((~used).sum()))
        if need_fixations and not used.any():
            skipped.picture(recording.name, "no fixation")
            continue
        subject = recording.subject
        yield replace(
            recording,
            y=recording.y[used],
            x=recording.x[used],
            subject=None if subject is None else subject[used],
        )
