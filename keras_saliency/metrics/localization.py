"""Does a map lie on the object? Compared with boxes or masks that people have drawn.

A map that misses the object may still be right: the model may use other evidence. Only where the
model is known to use the object do these metrics judge the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from keras_saliency._inputs.geometry import ORDER, Box, NoBox, is_box, read
from keras_saliency.metrics import inputs

__all__ = ["box_masks", "energy_inside", "grid_pointing_game", "mosaic", "overlap", "pointing_game"]

# Masks (B, *space) bool; or for each picture a box (top, left, bottom, right), or several.
Truth = Any

_NEAR = 15.0  # the paper's, in pixels of photographs


def pointing_game(maps: ArrayLike, inside: Truth, *, tolerance: float | None = None) -> np.ndarray:
    """Return whether the map's highest pixel lies on the object, or near it. Higher is better.

    Args:
        maps: (B, H, W), any scale; or (B, *space).
        inside: The objects: masks (B, *space) bool, or for each picture a box
            ``(top, left, bottom, right)`` in its pixels, or several boxes. A box may be a
            `keras_saliency.Box` or a dict with these names, too.
        tolerance: Distance from the object that still counts, in pixels between pixel centres.
            None takes the paper's 15 for maps (B, H, W), those of photographs at their own size,
            and 0 for others.

    Returns:
        (B,) float64, 1 for a hit, 0 for a miss. Where several pixels are highest, the share of them
        that hit.

    Raises:
        MetricError: Maps are not (B, *space) and finite, or an object does not fit or is empty.

    Source:
        J. Zhang, S. A. Bargal, Z. Lin, J. Brandt, X. Shen, S. Sclaroff: Top-down neural attention
        by excitation backprop, 2018, arXiv:1608.00507.

    Example:
        >>> pointing_game([[[0, 5, 1, 0]]], [(0, 0, 1, 1)], tolerance=0)
        array([0.])
        >>> pointing_game([[[0, 5, 1, 0]]], [(0, 0, 1, 1)], tolerance=1)
        array([1.])
    """
    values, truth = _maps_and_masks(maps, inside)
    if tolerance is None:
        tolerance = _NEAR if values.ndim == 3 else 0.0
    tolerance = inputs.number(tolerance, "tolerance", 0.0)
    near = np.stack([ndimage.distance_transform_edt(~one) <= tolerance for one in truth])
    space = inputs.space(values)
    highest = values == values.max(axis=space, keepdims=True)
    return (highest & near).sum(axis=space) / highest.sum(axis=space)


def energy_inside(maps: ArrayLike, inside: Truth) -> np.ndarray:
    """Return the share of the map's positive values on the object. Higher is better.

    Args:
        maps: (B, H, W), any scale; or (B, *space). Negative values count as 0.
        inside: As in `pointing_game`.

    Returns:
        (B,) float64, 0 to 1. A constant map has the object's share of the picture; one without a
        positive value has 0.

    Raises:
        MetricError: As in `pointing_game`.

    Source:
        H. Wang et al.: Score-CAM, 2020, arXiv:1910.01279 ("energy-based pointing game"); the same
        number is "relevance mass accuracy" in L. Arras, A. Osman, W. Samek, 2022, arXiv:2003.07258.

    Example:
        >>> energy_inside([[[3, 1, -9]]], [(0, 0, 1, 1)])
        array([0.75])
    """
    values, truth = _maps_and_masks(maps, inside)
    return share_inside(values, truth)


def overlap(
    maps: ArrayLike, inside: Truth, *, level: float | None = None, seed: int = 0
) -> np.ndarray:
    """Return the intersection over union of high pixels and the object. Higher is better.

    Args:
        maps: (B, H, W), any scale; or (B, *space).
        inside: As in `pointing_game`.
        level: Pixels of at least this share of the map's peak are high, above 0 to 1. None takes as
            many of the highest as the object has: only the order of values counts then.
        seed: Of the order of equal values, where ``level`` is None.

    Returns:
        (B,) float64, 0 to 1. With a level, a map without a positive value has no high pixels and
        gets 0.

    Raises:
        MetricError: As in `pointing_game`, or the level is out of range.

    Source:
        The thresholded form: B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba: Learning deep
        features for discriminative localization, 2016, arXiv:1512.04150. As many pixels as the
        object has: "relevance rank", L. Arras et al., 2022, arXiv:2003.07258, as an overlap.

    Example:
        >>> overlap([[[3, 2, 1, 0]]], [(0, 1, 1, 3)])
        array([0.33333333])
    """
    values, truth = _maps_and_masks(maps, inside)
    space = inputs.space(values)
    if level is None:
        high = np.zeros(truth.shape, bool)
        for one, order, area in zip(
            high, inputs.highest_first(values, seed), truth.sum(axis=space), strict=True
        ):
            one.flat[order[:area]] = True
    else:
        level = inputs.number(level, "level", np.finfo(np.float64).tiny, 1.0)
        peak = values.max(axis=space, keepdims=True)
        high = (values >= level * peak) & (peak > 0)
    return (high & truth).sum(axis=space) / (high | truth).sum(axis=space)


def box_masks(boxes: Sequence[Any], size: tuple[int, int], first: int = 0) -> np.ndarray:
    """Return masks of boxes: the pixels whose centres lie in them.

    Args:
        boxes: For each picture a box ``(top, left, bottom, right)`` in pixels, or several; 0 is the
            upper or left edge of the first pixel. Boxes are clipped to the picture; but four
            numbers without names that reach past it, and would not as (left, top, right, bottom),
            are an error.
        size: Height and width of the pictures.
        first: The number of the first picture, for errors.

    Returns:
        (B, H, W) bool.

    Raises:
        MetricError: A box is not four finite numbers in this order, or holds no pixel's centre.

    Example:
        >>> box_masks([(0, 0, 1, 2)], (2, 3)).astype(int)
        array([[[1, 1, 0],
                [0, 0, 0]]])
    """
    centres_y, centres_x = (np.arange(n) + 0.5 for n in size)
    result = np.zeros((len(boxes), *size), bool)
    for row, one in enumerate(boxes):
        for top, left, bottom, right in _corners(one, first + row, size):
            down = (top <= centres_y) & (centres_y < bottom)
            box = down[:, None] & (left <= centres_x) & (centres_x < right)
            if not box.any():
                raise inputs.refused(
                    f"Expected a box that holds a pixel's centre, for picture {first + row} of "
                    f"{size[0]} by {size[1]} pixels (height, width).",
                    f"Got ({top:g}, {left:g}, {bottom:g}, {right:g}).",
                    f"Pass {ORDER} in the pixels of the maps.",
                    "help(keras_saliency.metrics.localization.box_masks)",
                )
            result[row] |= box
    return result


def share_inside(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the share (B,) of positive values (B, *space) inside; 0 where there is none."""
    positive, space = np.maximum(values, 0.0), inputs.space(values)
    peak = positive.max(axis=space, keepdims=True)
    positive = positive / np.where(peak > 0, peak, 1.0)  # no sum overflows
    total = positive.sum(axis=space)
    return np.where(truth, positive, 0.0).sum(axis=space) / np.where(total > 0, total, 1.0)


def _maps_and_masks(maps: ArrayLike, inside: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (B, *space) and masks of the objects, (B, *space)."""
    values = inputs.maps(maps)
    masks = isinstance(inside, np.ndarray) and (
        inside.dtype == bool or inside.shape == values.shape
    )
    if not masks:
        count = len(inside) if hasattr(inside, "__len__") else 0
        if count != len(values):
            raise inputs.refused(
                f"Expected boxes or masks of {len(values)} pictures, one for each map.",
                f"Got boxes of {count} pictures.",
                f"Pass for each picture a box {ORDER}, or several; or masks.",
                "help(keras_saliency.metrics.localization)",
            )
        if values.ndim != 3:
            raise inputs.refused(
                f"Expected masks of bool with shape {values.shape}, since the maps are those of no "
                "pictures.",
                "Got boxes, which have two axes.",
                "Pass masks, True on the object.",
                "help(keras_saliency.metrics.localization)",
            )
        inside = box_masks(inside, values.shape[1:])
    return values, inputs.masks(inside, values.shape, "objects")


def _corners(boxes: Any, row: int, size: tuple[int, int]) -> list[Box]:
    several = [boxes] if is_box(boxes) or not hasattr(boxes, "__len__") else list(boxes)
    try:
        if not several or isinstance(boxes, str):
            raise NoBox(f"Got {boxes!r}.", "Pass four finite numbers per box.")
        return [read(one, size, cut=True) for one in several]
    except NoBox as error:
        raise inputs.refused(
            f"Expected a box {ORDER}, or several, for picture {row}.",
            error.got,
            error.fix,
            "help(keras_saliency.metrics.localization.box_masks)",
        ) from None


def mosaic(images: ArrayLike) -> np.ndarray:
    """Return one picture (n H, n W, C) made of n * n pictures, row by row.

    Of inputs with one spatial axis any number makes one, end to end; with three n * n * n do.

    Args:
        images: (n * n, H, W, C), or (n ** axes, *space, C), each of another class, each recognised
            with certainty.

    Returns:
        (n H, n W, C), or n times as long along each axis, of the pictures' dtype.

    Raises:
        MetricError: Their number is not a square, or of three axes not a cube.

    Source:
        M. Böhle, M. Fritz, B. Schiele: Convolutional dynamic alignment networks for interpretable
        classifications, 2021, arXiv:2104.00032.

    Example:
        >>> mosaic(np.arange(4.0).reshape(4, 1, 1, 1))[..., 0]
        array([[0., 1.],
               [2., 3.]])
    """
    result = inputs.pictures(images)
    count, *space, channels = result.shape
    axes = len(space)
    side = round(count ** (1 / axes))
    if side**axes != count:
        raise inputs.refused(
            "Expected as many pictures along each axis: a square number, as many down as across; "
            "of three axes a cube.",
            f"Got {count} pictures.",
            f"Pass {2**axes} or {3**axes}.",
            "help(keras_saliency.metrics.localization.mosaic)",
        )
    cells = result.reshape(*[side] * axes, *space, channels)
    order = [axis for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for axis in pair]
    return cells.transpose(*order, 2 * axes).reshape(*[side * n for n in space], channels)


def grid_pointing_game(maps: ArrayLike, cells: ArrayLike, *, grid: int = 2) -> np.ndarray:
    """Return the share of positive values in the right cell. Higher is better.

    Args:
        maps: (B, n H, n W) of mosaics, each map that of the class of one cell; or of mosaics of
            other inputs, n times as long along each axis.
        cells: (B,) whole numbers of cells: 0 is the upper left, then row by row.
        grid: Cells along each axis, n.

    Returns:
        (B,) float64, 0 to 1; chance is 1 / n^2 (of pictures), and a constant map has it. A map
        without a positive value has 0.

    Raises:
        MetricError: Maps are not (B, *space) and finite or do not divide into n cells along each
            axis, or there is no such cell.

    Source:
        M. Böhle, M. Fritz, B. Schiele: Convolutional dynamic alignment networks for interpretable
        classifications, 2021, arXiv:2104.00032.

    Example:
        >>> grid_pointing_game([[[3, 1], [0, -5]]], [0])
        array([0.75])
    """
    values = inputs.maps(maps)
    grid = inputs.count(grid, "grid", low=2)
    space, total = values.shape[1:], grid ** (values.ndim - 1)
    if any(n % grid for n in space):
        raise inputs.refused(
            f"Expected maps whose sides divide into {' by '.join([str(grid)] * len(space))} cells.",
            f"Got {' by '.join(map(str, space))} pixels.",
            "Pass grid=, or the maps of mosaic(images).",
            "help(keras_saliency.metrics.localization.grid_pointing_game)",
        )
    wanted = np.asarray(cells)
    if (
        wanted.shape != values.shape[:1]
        or not np.issubdtype(wanted.dtype, np.integer)
        or not ((wanted >= 0) & (wanted < total)).all()
    ):
        raise inputs.refused(
            f"Expected for each of {len(values)} maps the number of a cell, 0 to {total - 1}.",
            f"Got {cells!r}.",
            "Count cells from the upper left, row by row.",
            "help(keras_saliency.metrics.localization.grid_pointing_game)",
        )
    along = [np.arange(n) * grid // n for n in space]
    numbers = np.ravel_multi_index(np.ix_(*along), (grid,) * len(space))
    return share_inside(values, numbers == wanted.reshape(-1, *[1] * len(space)))
