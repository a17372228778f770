"""Does a map lie on the object? Against boxes or masks that people have drawn.

A map that misses the object may still be right: the model may look elsewhere. Only where the model
is known to look at the object do these metrics judge the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from keras_saliency.metrics import inputs, ranking

__all__ = ["box_masks", "energy_inside", "overlap", "pointing_game"]

# Masks (B, H, W) bool; or for each picture a box (left, top, right, bottom), or several.
Truth = Any


def pointing_game(maps: ArrayLike, inside: Truth, *, tolerance: float = 15) -> np.ndarray:
    """Return whether the map's highest pixel lies on the object, or near it. Higher is better.

    Args:
        maps: (B, H, W), any scale.
        inside: The objects: masks (B, H, W) bool, or for each picture a box
            ``(left, top, right, bottom)`` in its pixels, or several boxes.
        tolerance: How many pixels from the object still count, between pixel centres. The paper's
            15 is for photographs at their own size.

    Returns:
        (B,) float64, 1 for a hit, 0 for a miss. Where several pixels are highest, the share of them
        that hit, as if one were drawn.

    Raises:
        MetricError: Maps are not (B, H, W) and finite, or an object does not fit or is empty.

    Source:
        J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff: Top-down neural attention
        by excitation backprop, 2018, arXiv:1608.00507.

    Example:
        >>> pointing_game([[[0, 5, 1, 0]]], [(0, 0, 1, 1)], tolerance=0)
        array([0.])
        >>> pointing_game([[[0, 5, 1, 0]]], [(0, 0, 1, 1)], tolerance=1)
        array([1.])
    """
    values, truth = _given(maps, inside)
    tolerance = inputs.number(tolerance, "tolerance", 0.0)
    near = np.stack([ndimage.distance_transform_edt(~one) <= tolerance for one in truth])
    highest = values == values.max(axis=(1, 2), keepdims=True)
    return (highest & near).sum(axis=(1, 2)) / highest.sum(axis=(1, 2))


def energy_inside(maps: ArrayLike, inside: Truth) -> np.ndarray:
    """Return which share of the map's positive values lies on the object. Higher is better.

    Args:
        maps: (B, H, W), any scale; negative values count as 0.
        inside: As in `pointing_game`.

    Returns:
        (B,) float64, 0 to 1. A constant map has the object's share of the picture; one without a
        positive value points nowhere and has 0.

    Raises:
        MetricError: As in `pointing_game`.

    Source:
        H. Wang et al.: Score-CAM, 2020, arXiv:1910.01279 ("energy-based pointing game"); the same
        number is "relevance mass accuracy" in L. Arras, A. Osman, W. Samek, 2022, arXiv:2003.07258.

    Example:
        >>> energy_inside([[[3, 1, -9]]], [(0, 0, 1, 1)])
        array([0.75])
    """
    values, truth = _given(maps, inside)
    return share_inside(values, truth)


def overlap(
    maps: ArrayLike, inside: Truth, *, level: float | None = None, seed: int = 0
) -> np.ndarray:
    """Return the intersection over union of high pixels and the object. Higher is better.

    Args:
        maps: (B, H, W), any scale.
        inside: As in `pointing_game`.
        level: Pixels of at least this share of the map's peak are high, above 0 to 1. None takes as
            many as the object has, the highest: only the order of values counts then.
        seed: Of the order of equal values, where ``level`` is None.

    Returns:
        (B,) float64, 0 to 1. With a level, a map without a positive value has no high pixels and
        gets 0.

    Raises:
        MetricError: As in `pointing_game`, or the level is none.

    Source:
        The thresholded form: B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba: Learning deep
        features for discriminative localization, 2016, arXiv:1512.04150. As many pixels as the
        object has: "relevance rank", L. Arras et al., 2022, arXiv:2003.07258, as an overlap.

    Example:
        >>> overlap([[[3, 2, 1, 0]]], [(1, 0, 3, 1)])
        array([0.33333333])
    """
    values, truth = _given(maps, inside)
    if level is None:
        high = np.zeros(truth.shape, bool)
        for one, order, area in zip(
            high, ranking.highest_first(values, seed), truth.sum(axis=(1, 2)), strict=True
        ):
            one.flat[order[:area]] = True
    else:
        level = inputs.number(level, "level", np.finfo(np.float64).tiny, 1.0)
        peak = values.max(axis=(1, 2), keepdims=True)
        high = (values >= level * peak) & (peak > 0)
    return (high & truth).sum(axis=(1, 2)) / (high | truth).sum(axis=(1, 2))


def box_masks(boxes: Sequence[Any], size: tuple[int, int], first: int = 0) -> np.ndarray:
    """Return which pixels lie in boxes: those whose centres do.

    Args:
        boxes: For each picture a box ``(left, top, right, bottom)`` in pixels, or several; 0 is the
            left or upper edge of the first pixel. What reaches past the picture is cut off.
        size: Height and width of the pictures.
        first: The number of the first picture, for errors.

    Returns:
        (B, H, W) bool.

    Raises:
        MetricError: A box is not four finite numbers in this order, or holds no pixel's centre.

    Example:
        >>> box_masks([(0, 0, 2, 1)], (2, 3)).astype(int)
        array([[[1, 1, 0],
                [0, 0, 0]]])
    """
    centres_y, centres_x = (np.arange(n) + 0.5 for n in size)
    found = np.zeros((len(boxes), *size), bool)
    for row, given in enumerate(boxes):
        for left, top, right, bottom in _corners(given, first + row):
            down = (top <= centres_y) & (centres_y < bottom)
            box = down[:, None] & (left <= centres_x) & (centres_x < right)
            if not box.any():
                raise inputs.refused(
                    f"A box of picture {first + row}, which has {size[0]} by {size[1]} pixels "
                    "(height, width), must hold a pixel's centre.",
                    f"({left:g}, {top:g}, {right:g}, {bottom:g}) holds none.",
                    "Give (left, top, right, bottom) in the pixels of the maps.",
                    "help(keras_saliency.metrics.localization.box_masks)",
                )
            found[row] |= box
    return found


def share_inside(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the share (B,) of positive values (B, H, W) that lies inside; 0 where none is."""
    positive = np.maximum(values, 0.0)
    peak = positive.max(axis=(1, 2), keepdims=True)
    positive = positive / np.where(peak > 0, peak, 1.0)  # no sum overflows
    total = positive.sum(axis=(1, 2))
    return np.where(truth, positive, 0.0).sum(axis=(1, 2)) / np.where(total > 0, total, 1.0)


def _given(maps: ArrayLike, inside: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (B, H, W) and masks of the objects, (B, H, W)."""
    values = inputs.maps(maps)
    masks = isinstance(inside, np.ndarray) and (
        inside.dtype == bool or inside.shape == values.shape
    )
    if not masks:
        count = len(inside) if hasattr(inside, "__len__") else 0
        if count != len(values):
            raise inputs.refused(
                "Every map must have its object.",
                f"There are {len(values)} maps and boxes of {count} pictures.",
                "Give for each picture a box (left, top, right, bottom), or several; or masks.",
                "help(keras_saliency.metrics.localization)",
            )
        inside = box_masks(inside, values.shape[1:])
    return values, inputs.masks(inside, values.shape, "Objects")


def _corners(given: Any, row: int) -> np.ndarray:
    try:
        boxes = np.asarray(given, np.float64)
        boxes = boxes[None] if boxes.ndim == 1 else boxes
    except (TypeError, ValueError):
        boxes = np.zeros(0)
    if boxes.ndim != 2 or boxes.shape[1:] != (4,) or not len(boxes) or not np.isfinite(boxes).all():
        raise inputs.refused(
            f"For picture {row} a box (left, top, right, bottom) was asked for, or several.",
            f"{given!r} was given.",
            "Give four finite numbers a box.",
            "help(keras_saliency.metrics.localization.box_masks)",
        )
    return boxes
