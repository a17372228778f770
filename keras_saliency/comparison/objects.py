"""Where the objects are: boxes and masks as metrics of localization take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_saliency._inputs.geometry import is_box
from keras_saliency.errors import MetricError
from keras_saliency.metrics import localization

_READ = "help(keras_saliency.compare)"


def ground_truth_masks(
    boxes: Any, masks: Any, sizes: Sequence[tuple[int, ...]]
) -> list[np.ndarray] | None:
    """Return the object of each picture as a mask (H0, W0) in the picture's own frame, or None.

    Objects in other inputs are masks in the input's spatial axes.

    Args:
        boxes: For each picture a box ``(top, left, bottom, right)`` or several; one picture's box
            or boxes may stand alone.
        masks: For each picture (H0, W0) bool; one picture's may stand alone.
        sizes: Height and width of each picture, or an input's spatial sizes.

    Raises:
        MetricError: Both are passed, or they do not fit the pictures.
    """
    if boxes is None and masks is None:
        return None
    objects, kind = (boxes, "boxes") if masks is None else (masks, "masks")
    if boxes is not None and masks is not None:
        raise _refused("boxes or masks", "Got both.")
    if kind == "boxes" and len(sizes[0]) != 2:
        raise MetricError(
            f"Expected masks of the objects: inputs of {len(sizes[0])} spatial axes have no boxes.",
            "Got boxes=.",
            f"Pass masks=, for each input one of bool, such as of shape {sizes[0]}.",
            _READ,
        )
    if len(sizes) == 1 and _is_one(objects, kind, len(sizes[0])):
        objects = [objects]
    try:
        count = len(objects)
    except TypeError:  # arrays without an axis among them
        count = None
    if count != len(sizes):
        raise _refused(kind, f"Got {len(sizes)} pictures and {kind} of {count}.")
    result = []
    for row, (one, size) in enumerate(zip(objects, sizes, strict=True)):
        if kind == "boxes":
            result.append(localization.box_masks([one], (size[0], size[1]), first=row)[0])
            continue
        mask = np.asarray(one)
        if mask.dtype != bool or mask.shape != size or not mask.any():
            raise _refused(
                kind,
                f"Got {mask.dtype} of shape {mask.shape} with {np.count_nonzero(mask)} pixels "
                f"inside for picture {row}; the picture has {size}.",
            )
        result.append(mask)
    return result


def _is_one(objects: Any, kind: str, axes: int) -> bool:
    """Return whether these are one picture's objects: a box, several in a row, a mask."""
    if kind == "masks":
        return np.ndim(objects) == axes
    if is_box(objects):
        return True
    try:
        shape = np.shape(objects)
    except ValueError:  # lists of different lengths
        return False
    return shape[:1] > (1,) and len(shape) <= 2  # dicts have no shape of their own


def _refused(kind: str, got: str) -> MetricError:
    return MetricError(
        f"Expected the objects in the pictures as {kind}, one entry for each picture.",
        got,
        "Pass for each picture a box (top, left, bottom, right), several, or a mask (H, W) of "
        "bool with a pixel inside; all in the picture's own pixels.",
        _READ,
    )
