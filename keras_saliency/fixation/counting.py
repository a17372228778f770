"""What is asked of a density: how many fixations in a region, how small an area holds a share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_saliency.errors import FixationError

_READ = "help(keras_saliency.FixationPrediction.expected_fixations)"


def checked_count(count: Any) -> float:
    """Return a number of fixations, 0 or more.

    Raises:
        FixationError: It is none.
    """
    try:
        number = float(count)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < np.inf:
        raise FixationError(
            f"The expected places of {count!r} fixations were asked for.",
            "That is no number of fixations.",
            "Give a number such as 10.",
            _READ,
        )
    return number


def checked_share(share: Any) -> None:
    """Refuse a share that is not above 0 and up to 1.

    Raises:
        FixationError: It is not.
    """
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise FixationError(
            f"The smallest area with a share of {share!r} of the fixations was asked for.",
            "A share is above 0 and up to 1.",
            "Give 0.5 for half of them.",
            "help(keras_saliency.FixationPrediction.area)",
        )


def covered(density: np.ndarray, share: float) -> float:
    """Return which part of all pixels the fewest are that hold ``share`` of a density's sum."""
    falling = np.cumsum(np.sort(density, axis=None)[::-1], dtype=np.float64)
    return float(np.searchsorted(falling, share * falling[-1]) + 1) / falling.size


def weights(region: Any, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return a region, or one for each picture, as (H0, W0) weights 0..1.

    Args:
        region: A box, a mask, or a list of these.
        sizes: Heights and widths of the pictures.

    Raises:
        FixationError: A region is none, or does not lie in its picture.
    """
    several = isinstance(region, list) and not _is_box(region)
    regions = region if several else [region] * len(sizes)
    if len(regions) != len(sizes):
        raise FixationError(
            f"The fixations in {len(regions)} regions were asked for.",
            f"There are {len(sizes)} pictures.",
            "Give one region, or a list with one for each picture.",
            _READ,
        )
    return [_weights(one, size) for one, size in zip(regions, sizes, strict=True)]


def _is_box(region: Any) -> bool:
    return isinstance(region, list | tuple) and len(region) == 4 and np.ndim(region) == 1


def _weights(region: Any, size: tuple[int, int]) -> np.ndarray:
    if _is_box(region):
        return _of_box(region, size)
    asked = f"The fixations in a region of a picture of {size[0]}x{size[1]} were asked for."
    fix = f"Give a box (top, left, bottom, right), or a mask of shape {size}."
    try:
        mask = np.asarray(region).astype(np.float64)
    except (TypeError, ValueError):
        found = f"{type(region).__name__} was given as the region."
        raise FixationError(asked, found, fix, _READ) from None
    if mask.shape != size:
        raise FixationError(asked, f"The region has shape {mask.shape}.", fix, _READ)
    if not ((mask >= 0) & (mask <= 1)).all():
        found = f"The mask goes from {mask.min():g} to {mask.max():g}."
        raise FixationError(asked, found, "Give truth values, or weights 0..1: mask > 0.", _READ)
    return mask


def _of_box(box: Sequence[Any], size: tuple[int, int]) -> np.ndarray:
    top, left, bottom, right = box
    inside = 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]
    if not inside or any(int(edge) != edge for edge in box):
        raise FixationError(
            f"The fixations in the box {tuple(box)} were asked for.",
            f"The picture has {size[0]} rows and {size[1]} columns.",
            "Give whole numbers (top, left, bottom, right) inside it, bottom and right exclusive.",
            _READ,
        )
    weights = np.zeros(size)
    weights[int(top) : int(bottom), int(left) : int(right)] = 1.0
    return weights
