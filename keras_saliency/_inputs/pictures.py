"""Pictures read from paths, PIL images and arrays; checks of their shape and range of numbers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_saliency._io import files
from keras_saliency.errors import ImageError, PreprocessError, _arguments

MAX_PIXELS = 40_000_000  # a larger picture costs gigabytes and shows no more detail
_SHRINK = "Shrink it first: image.thumbnail((2000, 2000)); models take a few hundred pixels a side."
MIN_SIDE = 8  # a smaller one, enlarged to a model's input, is a blur


class Array(Protocol):
    """An array of NumPy, JAX, TensorFlow or PyTorch."""

    def __array__(self) -> Any: ...


Picture = str | os.PathLike[str] | Image.Image | Array
Pictures = Picture | Sequence[Picture]
ModelInput = Picture | Mapping[str, Any]  # of one call: a dict for models with several inputs
ModelInputs = Pictures | Mapping[str, Any]

_READ = "help(keras_saliency.explain)"
_PLAIN_MODES = ("RGB", "L", "P", "1")
_ALPHA_MODES = ("RGBA", "LA", "PA")


def read(picture: Any) -> np.ndarray:
    """Return one picture as (H, W, C): uint8 with 1 or 3 channels, or a float array unchanged.

    Args:
        picture: A path, a ``PIL.Image.Image``, or an array (H, W) or (H, W, C).

    Raises:
        ImageError: It is missing, broken, transparent, not 8-bit, too small or too large, or
            holds values that are not finite.
    """
    if isinstance(picture, str | os.PathLike):
        return _open(picture)
    if isinstance(picture, Image.Image):
        what = "Expected a PIL image of 8-bit RGB or grey pixels."
        with _refused(what):
            return _from_pil(picture, what)
    return _from_array(picture)


def is_one(picture: Any) -> bool:
    """Whether ``picture`` is one picture: a path, a PIL image or an array of rank 2 or 3."""
    if isinstance(picture, str | os.PathLike | Image.Image):
        return True
    return _rank(picture) in (2, 3)


def _rank(picture: Any) -> int | None:
    return picture.ndim if isinstance(picture, np.ndarray) else _arguments.rank(picture)


def apart(pictures: Any) -> list[Any]:
    """Return a picture, a batch or a list of pictures as a list of pictures, not yet read.

    Any other value is returned alone; `read` raises its error.
    """
    if not is_one(pictures) and _rank(pictures) == 4:
        return list(_to_array(pictures))
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]


def _open(path: str | os.PathLike[str]) -> np.ndarray:
    name = os.fsdecode(path)
    what = f"Cannot read the picture {name!r}."
    # Of the open file, not of its name: Pillow would map some formats into memory, and a file that
    # shrinks meanwhile ends the process.
    with _opened(name) as file:
        size = f" ({os.fstat(file.fileno()).st_size} bytes)"
        with _refused(what, size), Image.open(file) as image:
            _check_size(image.size, what)
            image.load()
            return _from_pil(image, what)


def _opened(name: str) -> BinaryIO:
    """Open a regular file; never wait for one without data, such as a FIFO."""
    what, fix = f"Cannot open the picture {name!r}.", "Check the path."
    try:
        return files.regular(name)
    except FileNotFoundError:
        what, got = f"No such file: {name!r}.", "Expected the path of a picture."
    except IsADirectoryError:
        what, got = f"Expected a picture file: {name!r}.", "Got a directory."
        fix = "Pass the pictures in it."
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        got = f"{getattr(error, 'strerror', None) or error}."
    raise ImageError(what, got, fix, _READ)


@contextlib.contextmanager
def _refused(what: str, size: str = "") -> Iterator[None]:
    """Turn whatever Pillow raises on a broken picture into an ImageError.

    Its decoders raise more than they document: SyntaxError, struct.error, RuntimeError,
    ZeroDivisionError, MemoryError.
    """
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            what,
            f"It is not a picture Pillow can read{size}.",
            "Pass a JPEG, PNG or another picture file.",
            _READ,
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(what, f"{error}.", _SHRINK, _READ) from None
    except Exception as error:
        raise ImageError(
            what,
            f"It is broken: {error or type(error).__name__}.",
            "Save it again or pass another.",
            _READ,
        ) from error


def _from_pil(image: Image.Image, what: str) -> np.ndarray:
    _check_size(image.size, what)
    image = ImageOps.exif_transpose(image)
    if image.mode not in (*_PLAIN_MODES, *_ALPHA_MODES):
        raise ImageError(
            what,
            f"It has mode {image.mode!r}, which is not 8-bit RGB or grey.",
            "Convert it first: image.convert('RGB') for CMYK, a scaling of your choice to 0..255 "
            "for 16-bit or float pixels.",
            _READ,
        )
    transparent = image.has_transparency_data
    if transparent and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ImageError(
            what,
            f"It has mode {image.mode!r} with transparent pixels, whose colour is undefined.",
            "Put it on a background: PIL.Image.alpha_composite(background, image.convert('RGBA'))"
            ".convert('RGB').",
            _READ,
        )
    grey = image.mode in ("L", "1")
    array = np.asarray(image.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def _to_array(picture: Any) -> np.ndarray:
    if type(picture) is np.ndarray and picture.dtype.kind in "fui":
        return picture
    try:
        array = _arguments.to_array(picture)
    except Exception as error:  # whatever a tensor without values raises
        raise _not_a_picture(picture, str(error)) from error
    if array.dtype.kind == "b":
        raise ImageError(
            "Expected a picture of uint8 pixels or floats.",
            f"Got shape {array.shape} and dtype bool, which is no brightness.",
            "For black and white pass image = numpy.asarray(image).astype('uint8') * 255.",
            _READ,
        )
    if array.dtype.kind not in "fui":
        raise _not_a_picture(picture, f"dtype {array.dtype}")
    return array


def _from_array(picture: Any) -> np.ndarray:
    array = _to_array(picture)
    what = "Expected an array (H, W, C) or (H, W) as a picture."
    result = f"Got shape {array.shape} and dtype {array.dtype}"
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size:
        raise ImageError(
            what, f"{result}.", "Pass (H, W, C), or (B, H, W, C) for a batch, B >= 1.", _READ
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise ImageError(
                "Expected a picture of finite values.",
                f"{result}, and {count} of its values are NaN or infinite.",
                "Replace them first, for example with numpy.nan_to_num.",
                _READ,
            )
        return array
    if array.dtype == np.uint8:
        if array.shape[-1] == 4 and array.shape[0] > 4 and (array[..., 3] == 255).all():
            array = array[..., :3]
        return array
    pixels = array.min() >= 0 and array.max() <= 255
    raise ImageError(
        "Expected a picture of uint8 pixels or preprocessed floats.",
        f"{result}, whose scaling to 0..255 is unknown.",
        "If they are pixels 0..255, pass uint8: image = numpy.asarray(image).astype('uint8')."
        if pixels
        else "Pass uint8 pixels 0..255 (scale 16-bit ones yourself), or preprocessed floats.",
        _READ,
    )


def _not_a_picture(picture: Any, why: str) -> ImageError:
    one = picture if isinstance(picture, type) else type(picture)
    kind = f"{one.__module__}.{one.__qualname__}"
    if one is picture:
        kind, why = f"the class {kind}", ""
    why = " ".join(why.split())
    return ImageError(
        "Expected a picture.",
        f"Got {kind}{f' ({why[:200]})' if why and hasattr(one, '__array__') else ''}.",
        "Pass a path, a PIL image, an array (H, W, C), or a list of these.",
        _READ,
    )


def _check_size(size: tuple[int, int], what: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            what,
            f"It has {width}x{height} = {width * height:,} pixels, over the limit of "
            f"{MAX_PIXELS:,}.",
            _SHRINK,
            _READ,
        )


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a (H, W, 3) uint8 picture as (H, W, 1), by the luma of ITU-R BT.601."""
    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


_READ_PREPROCESS = "help(keras_saliency.Preprocess)"
_FAR = 2.0  # how many spans beyond its ends a range still counts: noise, adversarial pictures
_WIDE = 64.0  # a range of pixels rather than of units
# Where pixels map to no value below 0: how far below numbers may be, as a share of how far they are
# above. Enlarging by cubic or Lanczos kernels goes beyond an edge by a tenth of it, or less.
_OVERSHOT = 0.2


@dataclass(frozen=True)
class PixelRange:
    """The range that a preprocessing maps pixels 0..255 to.

    Attributes:
        low: The smallest.
        high: The largest.
        whole: Whether it makes whole numbers of whole numbers.
    """

    low: float
    high: float
    whole: bool

    @classmethod
    def of(cls, function: Callable[[np.ndarray], np.ndarray], channels: int) -> PixelRange | None:
        """Return the range of a preprocessing; None where it fails on the test pictures.

        Args:
            function: uint8 pixels (B, H, W, C) to the model's input.
            channels: C.
        """
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
        # All levels, their negative and two flat ones: it may look at a picture's own statistics.
        pictures = np.stack([levels, 255 - levels, 0 * levels, 0 * levels + 255])
        pictures = np.repeat(pictures[..., None], channels, axis=-1)
        for some in (pictures, pictures[:2]):
            try:
                with np.errstate(all="ignore"):
                    values = function(some)
            except Exception:  # it divides by a flat picture's deviation, or needs another size
                continue
            whole = bool((values == np.rint(values)).all())
            return cls(float(values.min()), float(values.max()), whole)
        return None

    def check(self, picture: np.ndarray, name: str) -> tuple[str, ...]:
        """Return what is suspicious about a float picture that counts as preprocessed.

        Args:
            picture: Any shape, float.
            name: The preprocessing's name.

        Raises:
            PreprocessError: The preprocessing cannot have produced its numbers.
        """
        low, high = float(picture.min()), float(picture.max())
        span = self.high - self.low
        if span <= 0:
            return ()
        beyond = max(high - self.high, self.low - low)
        below = self.low >= 0 and self.low - low > _OVERSHOT * max(high - self.low, 0)
        if beyond > _FAR * span or below or self._are_pixels(picture, low, high):
            raise self._refusal(picture, low, high, name)
        said = f"the values lie in {low:.3g}..{high:.3g}, but pixels 0..255 become "
        said += f"{self.low:.4g}..{self.high:.4g} here"
        if span > _WIDE and low >= -1 and 0 < high <= 1:
            return (f"{said}: pass pixels as uint8, as in image = (image * 255).astype('uint8')",)
        if span > _WIDE and self.low < -0.1 * span and low >= 0 and high > 1:
            return (f"{said}, and none is below 0: if these are pixels, pass them as uint8",)
        return ()

    def _are_pixels(self, picture: np.ndarray, low: float, high: float) -> bool:
        """Whether numbers from 0 on are pixels 0..255 that were not preprocessed."""
        if low < 0 or high > 255 or high <= 2:
            return False
        span = self.high - self.low
        if span > _WIDE and self.low < -0.1 * span and high > self.high + 0.01 * span:
            return True  # above the range and never below 0, where much of the range lies
        return not self.whole and bool((picture == np.rint(picture)).all())

    def _refusal(self, picture: np.ndarray, low: float, high: float, name: str) -> PreprocessError:
        pixels = low >= 0 and high <= 255
        fix = 'image = numpy.asarray(image).round().astype("uint8")'
        fix = (
            f"Pass pixels as uint8, which are preprocessed: {fix}; "
            if pixels
            else "Pass pixels as uint8, or preprocess them first; "
        )
        return PreprocessError(
            f"Expected floats already preprocessed ({name}): pixels 0..255 become "
            f"{self.low:g}..{self.high:g}.",
            f"Got {picture.dtype} values in {low:g}..{high:g}"
            + (", which look like pixels that are not preprocessed." if pixels else "."),
            fix + "preprocess=None takes any numbers as they are.",
            _READ_PREPROCESS,
        )


def check_uint8(picture: np.ndarray) -> tuple[str, ...]:
    """Return what is suspicious about a uint8 picture: 0..1 cast to whole numbers is black."""
    if picture.size > 3 and 0 < int(picture.max()) <= 1:
        return (
            "the uint8 values are 0 and 1, nearly black: if the picture was divided by 255, pass "
            "(image * 255).astype('uint8')",
        )
    return ()
