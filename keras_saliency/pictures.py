"""Reading pictures: paths, PIL images and arrays become arrays that can be trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_saliency.errors import ImageError

MAX_PIXELS = 40_000_000  # a larger picture costs gigabytes and shows nothing more
MIN_SIDE = 8  # a smaller one, enlarged to a model's input, is a blur

_READ = "help(keras_saliency.explain)"
_PLAIN_MODES = ("RGB", "L", "P", "1")


def read(picture: Any) -> np.ndarray:
    """Return one picture as (H, W, C): uint8 with 1 or 3 channels, or a float array as it came.

    Args:
        picture: A path, a ``PIL.Image.Image``, or an array (H, W) or (H, W, C).

    Raises:
        ImageError: It is missing, broken, transparent, not 8-bit, too small or too large, or
            holds values that are not finite.
    """
    if isinstance(picture, str | os.PathLike):
        return _open(Path(picture))
    if isinstance(picture, Image.Image):
        return _from_pil(picture, "a PIL image")
    return _from_array(picture)


def is_one(picture: Any) -> bool:
    """Whether ``picture`` is one picture: a path, a PIL image or an array of rank 2 or 3."""
    if isinstance(picture, str | os.PathLike | Image.Image):
        return True
    return hasattr(picture, "__array__") and len(picture.shape) in (2, 3)


def apart(pictures: Any) -> list[Any]:
    """Return a picture, a batch or a list of pictures as a list of pictures, not yet read.

    What is none of these comes back alone: `read` says what is wrong with it.
    """
    if not is_one(pictures) and hasattr(pictures, "__array__") and len(pictures.shape) == 4:
        return list(np.asarray(pictures))
    return list(pictures) if isinstance(pictures, list | tuple) else [pictures]


def _open(path: Path) -> np.ndarray:
    asked = f"The picture {str(path)!r} was asked for."
    if path.is_dir():
        raise ImageError(asked, "It is a directory.", "Name the pictures in it.", _READ)
    if not path.exists():
        raise ImageError(asked, "There is no such file.", "Check the path.", _READ)
    try:
        with Image.open(path) as image:
            _check_size(image.size, asked)
            image.load()
            return _from_pil(image, f"the file {str(path)!r}")
    except UnidentifiedImageError:
        raise ImageError(
            asked,
            f"It is not a picture Pillow can read ({path.stat().st_size} bytes).",
            "Give a JPEG, PNG or another picture file.",
            _READ,
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(asked, f"{error}.", _shrink_hint(), _READ) from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            asked, f"It is broken: {error}.", "Save it again or take another.", _READ
        ) from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    asked = f"Pixels of {name} were asked for."
    _check_size(image.size, asked)
    image = ImageOps.exif_transpose(image)
    transparent = image.has_transparency_data
    if transparent and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise ImageError(
            asked,
            f"It has mode {image.mode!r} with transparent pixels, which have no one colour.",
            "Put it on a background: PIL.Image.alpha_composite(background, image.convert('RGBA'))"
            ".convert('RGB').",
            _READ,
        )
    if not transparent and image.mode not in _PLAIN_MODES:
        raise ImageError(
            asked,
            f"It has mode {image.mode!r}, which is not 8-bit RGB or grey.",
            "Convert it as you see fit first: image.convert('RGB') for CMYK, a scaling of your "
            "choice to 0..255 for 16-bit or float pixels.",
            _READ,
        )
    grey = image.mode in ("L", "1")
    array = np.asarray(image.convert("L" if grey else "RGB"))
    return array[..., None] if grey else array


def _from_array(picture: Any) -> np.ndarray:
    try:
        array = np.asarray(picture)
    except Exception as error:
        raise _not_a_picture(picture) from error
    if array.dtype.kind not in "fui" or array.dtype == object:
        raise _not_a_picture(picture)
    asked = "An array was given as a picture."
    found = f"It has shape {array.shape} and dtype {array.dtype}"
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size:
        raise ImageError(
            asked, f"{found}.", "Give (H, W, C), or (B, H, W, C) for a batch, B >= 1.", _READ
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise ImageError(
                asked,
                f"{found}, and {count} of its values are NaN or infinite.",
                "Mend them first, for example with numpy.nan_to_num.",
                _READ,
            )
        return array
    if array.dtype == np.uint8:
        if array.shape[-1] == 4 and array.shape[0] > 4 and (array[..., 3] == 255).all():
            array = array[..., :3]
        return array
    raise ImageError(
        asked,
        f"{found}, and how its values map to 0..255 is not known.",
        "Give uint8 pixels 0..255 (scale 16-bit ones yourself), or preprocessed floats.",
        _READ,
    )


def _not_a_picture(picture: Any) -> ImageError:
    return ImageError(
        "A picture was asked for.",
        f"{type(picture).__module__}.{type(picture).__qualname__} was given.",
        "Give a path, a PIL image, an array (H, W, C), or a list of these.",
        _READ,
    )


def _check_size(size: tuple[int, int], asked: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            asked,
            f"It has {width}x{height} = {width * height:,} pixels, over the limit of "
            f"{MAX_PIXELS:,}.",
            _shrink_hint(),
            _READ,
        )


def _shrink_hint() -> str:
    return (
        "Shrink it first: image.thumbnail((2000, 2000)) with Pillow; "
        "models look at a few hundred pixels a side."
    )


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a (H, W, 3) uint8 picture as (H, W, 1), by the luma of ITU-R BT.601."""
    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]
