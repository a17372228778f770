"""Checks for pixels passed as preprocessed numbers, and the reverse.

The known preprocessing's range over pixels is the range of a model's input. Floats far outside are
refused; those that are only suspicious are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_saliency.errors import PreprocessError

_READ = "help(keras_saliency.Preprocess)"
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
            _READ,
        )


def check_uint8(picture: np.ndarray) -> tuple[str, ...]:
    """Return what is suspicious about a uint8 picture: 0..1 cast to whole numbers is black."""
    if picture.size > 3 and 0 < int(picture.max()) <= 1:
        return (
            "the uint8 values are 0 and 1, nearly black: if the picture was divided by 255, pass "
            "(image * 255).astype('uint8')",
        )
    return ()
