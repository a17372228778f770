"""The stored pixels of a recorded picture, exactly where its fixations were counted.

Unlike ``keras_saliency.pictures``, nothing here is turned by an EXIF tag: fixations refer to the
pixels as they are stored (one picture of CAT2000 carries a wrong tag).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_saliency.errors import FixationError

Picture: TypeAlias = Path | bytes | np.ndarray | Callable[[], bytes]

READ = "help(keras_saliency.data)"


def read(picture: Picture, size: tuple[int, int], name: str) -> np.ndarray:
    """Return a picture's pixels as they are stored; grey becomes three equal channels.

    Args:
        picture: A file, the bytes of one, a function that returns these bytes, or an array
            (H, W), (H, W, 1) or (H, W, 3) of uint8.
        size: Height and width that the fixations were recorded for.
        name: What to call the picture in an error.

    Returns:
        (H, W, 3) uint8, 0..255, not turned by any EXIF tag.

    Raises:
        FixationError: The picture is missing, truncated, transparent, not 8-bit RGB or grey, or
            of another size.

    Example:
        >>> read(np.full((2, 3), 7, np.uint8), (2, 3), "grey").shape
        (2, 3, 3)
    """
    asked = f"The pixels of {name!r}{_place(picture)} were asked for."
    if isinstance(picture, np.ndarray):
        return _from_array(picture, size, asked)
    try:
        with Image.open(_file(picture)) as image:
            check_size(image, size, asked)
            image.load()
            return _from_pil(image, asked)
    except FixationError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FixationError(asked, _found(error), _FIX, READ) from error


def header(picture: Path | bytes, name: str) -> tuple[int, int]:
    """Return height and width from a picture's first bytes, without decoding it.

    Raises:
        FixationError: The file is missing or no picture.
    """
    try:
        with Image.open(_file(picture)) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        asked = f"The size of {name!r}{_place(picture)} was asked for."
        raise FixationError(asked, _found(error), _FIX, READ) from error


def check_size(image: Image.Image, size: tuple[int, int], asked: str) -> None:
    """Refuse a picture of another size than its fixations were recorded for."""
    if (image.height, image.width) != tuple(size):
        raise FixationError(
            asked,
            f"It has {image.width}x{image.height} pixels, but its fixations were recorded on "
            f"{size[1]}x{size[0]}.",
            "Take the picture that was shown, or move the coordinates with it.",
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


def _found(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "There is no such file."
    if isinstance(error, UnidentifiedImageError):
        return "It is not a picture that Pillow can read."
    return f"It is broken: {str(error).rstrip('.')}."


def _from_pil(image: Image.Image, asked: str) -> np.ndarray:
    transparent = image.has_transparency_data
    if transparent and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise _not_plain(asked, f"mode {image.mode!r} with transparent pixels")
    if not transparent and image.mode not in ("RGB", "L", "P", "1"):
        raise _not_plain(asked, f"mode {image.mode!r}")
    return np.asarray(image.convert("RGB"))


def _from_array(array: np.ndarray, size: tuple[int, int], asked: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.shape not in ((*size, 1), (*size, 3)):
        raise FixationError(
            asked,
            f"Its array has shape {array.shape} and dtype {array.dtype}.",
            f"Give uint8 pixels of shape {(*size, 3)}.",
            READ,
        )
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _not_plain(asked: str, found: str) -> FixationError:
    fix = "Save it as 8-bit RGB or grey, on the background that was shown."
    return FixationError(asked, f"It has {found}, which is not 8-bit RGB or grey.", fix, READ)
