"""Pictures of which fixations are predicted: read, and refused where their pixels are unclear."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import pictures
from keras_saliency.errors import ImageError

_READ = "help(keras_saliency.predict_fixations)"


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture as it came.

    Attributes:
        pixels: (H0, W0, 3) or, where it is grey, (H0, W0, 1) uint8.
        name: The file's name; ``""`` where there is no file.
    """

    pixels: np.ndarray
    name: str = ""

    @property
    def rgb(self) -> np.ndarray:
        """The pixels as (H0, W0, 3)."""
        return np.ascontiguousarray(np.broadcast_to(self.pixels, (*self.pixels.shape[:2], 3)))


def read(image: Any) -> list[Photo]:
    """Return a picture, a batch or a list of pictures, which may differ in size.

    A `Photo` in a list is one that was read already.

    Raises:
        ImageError: One of them cannot be read, is too small, or has no uint8 pixels.
    """
    given = pictures.apart(image)
    if not given:
        asked = "The fixations on some pictures were asked for."
        raise ImageError(asked, "The list is empty.", "Give at least one.", _READ)
    return [_photo(one) for one in given]


def _photo(picture: Any) -> Photo:
    if isinstance(picture, Photo):
        return picture
    pixels = pictures.read(picture)
    name = Path(picture).name if isinstance(picture, str | os.PathLike) else ""
    asked = f"The fixations on {repr(name) if name else 'a picture'} were asked for."
    if pixels.dtype != np.uint8:
        raise ImageError(
            asked,
            f"It has shape {pixels.shape} and dtype {pixels.dtype}, and whether its values mean "
            "0..1 or 0..255 is not known.",
            "Give uint8 pixels 0..255: (255 * x).round().astype('uint8') for 0..1.",
            _READ,
        )
    if pixels.shape[-1] not in (1, 3):
        raise ImageError(
            asked,
            f"It has shape {pixels.shape}: {pixels.shape[-1]} channels.",
            "Give RGB (H, W, 3) or grey (H, W), channels last.",
            _READ,
        )
    if min(pixels.shape[:2]) < pictures.MIN_SIDE:
        raise ImageError(
            asked,
            f"It has only {pixels.shape[0]}x{pixels.shape[1]} pixels (height x width).",
            f"Give one of at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE}.",
            _READ,
        )
    return Photo(pixels, name)
