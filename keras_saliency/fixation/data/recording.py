"""One picture and its human fixations: the form into which every data set is read; its halves."""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_saliency.errors import FixationError, _arguments
from keras_saliency.fixation import maps


@dataclass(frozen=True, eq=False)
class Recording:
    """One picture and the fixations of all who viewed it.

    Attributes:
        name: Unique within its data set.
        dataset: The data set's name, such as ``"osie"``.
        split: ``"train"``, ``"val"`` or another.
        picture: The picture's file, the bytes of one, a function that returns these bytes, or
            its pixels (H, W, 3) uint8; read it with ``pixels()``.
        size: Height and width of the picture in pixels.
        y: (N,) float32, rows in pixels, 0-based, ``0 <= y < H``; the pixel is the floor.
        x: (N,) float32, columns likewise.
        subject: (N,) int, the viewer's number within the data set; None where it is not known.
        sigma: Pixels to one degree of visual angle, the blur of the ground truth.
        category: Of the picture, where the data set has them.
    """

    name: str
    dataset: str
    split: str
    picture: Picture
    size: tuple[int, int]
    y: np.ndarray
    x: np.ndarray
    sigma: float
    subject: np.ndarray | None = None
    category: str | None = None

    def __repr__(self) -> str:
        """Return one line: names, size, number of fixations."""
        height, width = self.size
        return (
            f"<Recording {self.dataset}/{self.name} ({self.split}): {width}x{height}, "
            f"{len(self.y)} fixations>"
        )

    def density(self) -> np.ndarray:
        """Return the ground truth, (H, W) float64, sum 1: fixations blurred by ``sigma``."""
        return maps.blurred(self.y, self.x, self.size, self.sigma)

    def pixels(self) -> np.ndarray:
        """Return the picture as stored, (H, W, 3) uint8; EXIF orientation is ignored.

        Raises:
            FixationError: It is missing, truncated, not 8-bit, or not of ``size``.
        """
        return read(self.picture, self.size, f"{self.dataset}/{self.name}")


class Half(NamedTuple):
    """One picture's fixations by half of its observers; it stands in for a recording.

    Attributes:
        y: (N,) rows in pixels.
        x: (N,) columns.
        subject: (N,) the observers' numbers.
        size: Height and width of the picture.
        sigma: Pixels to one degree of visual angle.
    """

    y: np.ndarray
    x: np.ndarray
    subject: np.ndarray
    size: tuple[int, int]
    sigma: float


def halves(recording: Any, seed: int = 0) -> list[tuple[Half, Half]]:
    """Return who predicts whom: two halves of a picture's observers, each predicting the other.

    Observers are split, never one observer's fixations; of an odd number one half has one more.
    The split depends on the seed and on the fixations, not on the order of pictures.

    Args:
        recording: With ``.y``, ``.x``, ``.subject`` (N,), ``.size`` and ``.sigma``.
        seed: Of the split.

    Returns:
        ``[(predicting, predicted), (predicted, predicting)]``: score both and take the mean.

    Raises:
        FixationError: The observers are not known, or fewer than two.

    Source:
        T. Judd, F. Durand, A. Torralba, MIT-CSAIL-TR-2012-001 (how well n observers predict n
        others).

    Example:
        >>> from types import SimpleNamespace as Seen
        >>> y, x, who = np.array([[1, 2, 3], [4, 5, 6], [7, 7, 9]])
        >>> one = Seen(y=y, x=x, subject=who, size=(9, 9), sigma=1.0)
        >>> [sorted(half.subject.tolist()) for half in halves(one)[0]]
        [[7, 7], [9]]
    """
    seed = _arguments.seed(
        seed, FixationError, "help(keras_saliency.fixation.metrics.baselines.halves)"
    )
    who = None if recording.subject is None else np.asarray(recording.subject)
    observers = np.unique(who) if who is not None else np.array([])
    if who is None or len(observers) < 2:
        result = "fixations without subjects" if who is None else f"{len(observers)} observer(s)"
        raise FixationError(
            "Expected two observers of a picture, one to predict the other.",
            f"Got {result}.",
            "Leave the picture out of the ceiling, or give each fixation its subject.",
            "help(keras_saliency.fixation.metrics.baselines.halves)",
        )
    y, x = np.asarray(recording.y, np.float64), np.asarray(recording.x, np.float64)
    maps.pixels(y, x, recording.size)
    if who.shape != y.shape:
        raise FixationError(
            f"Expected a subject for each of {y.size} fixations.",
            f"Got subjects of shape {who.shape}.",
            "Pass subject as (N,), in the order of y and x.",
            "help(keras_saliency.fixation.metrics.baselines.halves)",
        )
    # Pictures seen by the same observers must not all be split alike: one good half would predict
    # everywhere.
    own = zlib.crc32(np.stack([y, x]).astype("<f4").tobytes())
    drawn = np.random.default_rng([seed, own]).permutation(observers)
    inside = np.isin(who, drawn[: len(drawn) // 2])
    size, sigma = recording.size, float(recording.sigma)
    one, other = (Half(y[at], x[at], who[at], size, sigma) for at in (inside, ~inside))
    return [(one, other), (other, one)]


def inside(y: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which fixations fall on a picture of ``size`` (H, W): (N,) bool, False for NaN.

    Example:
        >>> inside([0.0, 1.9, 2.0, -0.1], [0.0, 2.9, 0.0, 0.0], (2, 3)).tolist()
        [True, True, False, False]
    """
    y, x = np.asarray(y), np.asarray(x)
    return (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])


Picture: TypeAlias = Path | bytes | np.ndarray | Callable[[], bytes]

READ = "help(keras_saliency.fixation.data)"


def read(picture: Picture, size: tuple[int, int], name: str) -> np.ndarray:
    """Return a picture's pixels as stored; grey becomes three equal channels.

    Args:
        picture: A file, the bytes of one, a function that returns these bytes, or an array
            (H, W), (H, W, 1) or (H, W, 3) of uint8.
        size: Height and width that the fixations were recorded for.
        name: Of the picture, in an error.

    Returns:
        (H, W, 3) uint8, 0..255, not rotated by any EXIF tag.

    Raises:
        FixationError: The picture is missing, truncated, transparent, not 8-bit RGB or grey, or
            of another size.

    Example:
        >>> read(np.full((2, 3), 7, np.uint8), (2, 3), "grey").shape
        (2, 3, 3)
    """
    what = f"Cannot read the pixels of {name!r}{_place(picture)}."
    if isinstance(picture, np.ndarray):
        return _from_array(picture, size, what)
    try:
        with Image.open(_file(picture)) as image:
            check_size(image, size, what)
            image.load()
            return _from_pil(image, what)
    except FixationError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FixationError(what, _reason(error), _FIX, READ) from error


def header(picture: Path | bytes, name: str) -> tuple[int, int]:
    """Return height and width from a picture's first bytes, without decoding it.

    Raises:
        FixationError: The file is missing or no picture.
    """
    try:
        with Image.open(_file(picture)) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        what = f"Cannot read the size of {name!r}{_place(picture)}."
        raise FixationError(what, _reason(error), _FIX, READ) from error


def check_size(image: Image.Image, size: tuple[int, int], what: str) -> None:
    """Refuse a picture of another size than its fixations were recorded for."""
    if (image.height, image.width) != tuple(size):
        raise FixationError(
            what,
            f"Got {image.width}x{image.height} pixels; its fixations were recorded on "
            f"{size[1]}x{size[0]}.",
            "Use the picture that was shown, or scale the coordinates with it.",
            READ,
        )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_FIX = "Copy it again from where it came from, or leave it out."


def _file(picture: Path | bytes | Callable[[], bytes]) -> str | io.BytesIO:
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    return io.BytesIO(picture if isinstance(picture, bytes) else picture())


def _place(picture: object) -> str:
    return f" ({picture})" if isinstance(picture, str | os.PathLike) else ""


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "No such file."
    if isinstance(error, UnidentifiedImageError):
        return "It is not a picture that Pillow can read."
    return f"It is broken: {str(error).rstrip('.')}."


def _from_pil(image: Image.Image, what: str) -> np.ndarray:
    transparent = image.has_transparency_data
    if transparent and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise _not_plain(what, f"mode {image.mode!r} with transparent pixels")
    if not transparent and image.mode not in ("RGB", "L", "P", "1"):
        raise _not_plain(what, f"mode {image.mode!r}")
    return np.asarray(image.convert("RGB"))


def _from_array(array: np.ndarray, size: tuple[int, int], what: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.shape not in ((*size, 1), (*size, 3)):
        raise FixationError(
            what,
            f"Got an array of shape {array.shape} and dtype {array.dtype}.",
            f"Pass uint8 pixels of shape {(*size, 3)}.",
            READ,
        )
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _not_plain(what: str, result: str) -> FixationError:
    fix = "Save it as 8-bit RGB or grey, on the background that was shown."
    return FixationError(what, f"It has {result}, which is not 8-bit RGB or grey.", fix, READ)
