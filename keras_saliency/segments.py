"""Superpixels: which pixels of a picture belong together, shared by methods that ask about parts.

`of` gives labels (H, W), one number a segment; `felzenszwalb_scales` gives overlapping masks. What
needs scikit-image (the extra ``superpixels``) imports it when it runs; ``"grid"`` and labels of
one's own need nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from keras_saliency.errors import MethodError, did_you_mean

WAYS = ("slic", "felzenszwalb", "grid")
SCALES = (50, 100, 150, 250, 500, 1200)

_SUPERPIXELS = 50  # about so many, where the user does not say
_SQUARES = 8  # a side, of the grid
# SLIC's weight of place against colour, for colours 0..100 (Lab). The first is its usual one; where
# colours are so busy that most segments fall to pieces and are merged away, the next is tried.
_COMPACTNESS = (10.0, 30.0, 100.0, 300.0)
_READ = "help(keras_saliency.segments.of)"


def possible(how: Any) -> bool:
    """Return whether `of` may take this: a known word, a whole number above 0, or an array."""
    if isinstance(how, str):
        return how in WAYS
    if isinstance(how, bool):
        return False
    return how > 0 if isinstance(how, int) else isinstance(how, np.ndarray | list | tuple)


def of(how: Any, picture: np.ndarray) -> np.ndarray:
    """Return the segments of a picture: labels (H, W) int64 that count 0, 1, ... without gaps.

    The picture is scaled to 0..1 by its own least and largest value first, so any range will do. A
    constant picture is no error: SLIC cuts it into about equal parts, Felzenszwalb leaves it whole.

    Args:
        how: ``"slic"`` (about 50 superpixels; Achanta et al. 2012), ``"felzenszwalb"``
            (Felzenszwalb, Huttenlocher 2004), ``"grid"`` (8x8 squares), a whole number (SLIC with
            about so many), or labels (H, W) of whole numbers. Pixels with a negative label belong
            to no segment and keep the label -1; the other labels are counted anew, in their order.
        picture: (H, W, C) of any range.

    Raises:
        MethodError: Another word, labels that do not fit, or scikit-image is not installed.

    Example:
        >>> from keras_saliency import segments
        >>> segments.of("grid", img).max()
        np.int64(63)
    """
    if not isinstance(how, str) and not isinstance(how, int):
        return _own(how, picture.shape[:2])
    if not possible(how):
        raise MethodError(
            f"The segments {how!r} were asked for.",
            f"Known: {', '.join(map(repr, WAYS))}, a whole number above 0, labels (H, W).",
            did_you_mean(str(how), WAYS) or "Take one of these.",
            _READ,
        )
    if how == "grid":
        rows, columns = (
            np.arange(side) * min(_SQUARES, side) // side for side in picture.shape[:2]
        )
        return rows[:, None] * (columns[-1] + 1) + columns
    if how == "felzenszwalb":
        found = _skimage("segmentation", how).felzenszwalb(_scaled(picture), scale=100, sigma=0.5)
    else:
        found = _slic(picture, how if isinstance(how, int) else _SUPERPIXELS)
    return _counted(found)


def felzenszwalb_scales(
    picture: np.ndarray,
    scales: Sequence[float] = SCALES,
    *,
    sigma: float = 0.8,
    min_size: int = 150,
    side: int | None = 224,
    dilation: int = 5,
) -> Iterator[np.ndarray]:
    """Yield masks (H, W) of bool: every Felzenszwalb segment at every scale, grown a little.

    As XRAI's authors do it: the picture is resized to a square and scaled to -1..1 by its own
    least and largest value, so that scales and sizes mean the same for any picture. One mask
    at a time is held. At least one mask a scale; at each scale the masks cover the picture.

    Args:
        picture: (H, W, C) of any range.
        scales: Larger ones give larger segments.
        sigma: Blur before the segmentation, in pixels of the resized picture.
        min_size: Smaller segments are merged; in pixels of the resized picture.
        side: Side of that square; None leaves the picture as it is.
        dilation: How far each mask grows, a disk's radius in pixels of the picture.

    Raises:
        MethodError: scikit-image is not installed.
    """
    segmentation = _skimage("segmentation", "felzenszwalb")
    size, scaled = picture.shape[:2], np.asarray(picture, np.float64)
    if side is not None:
        transform = _skimage("transform", "felzenszwalb")
        scaled = transform.resize(scaled, (side, side), order=3, mode="edge", anti_aliasing=True)
    scaled = 2 * _scaled(scaled) - 1
    places = [_centres(n, scaled.shape[i]) for i, n in enumerate(size)]
    for scale in scales:
        found = segmentation.felzenszwalb(scaled, scale=scale, sigma=sigma, min_size=min_size)
        labels = _counted(found[np.ix_(*places)])
        for label, box in enumerate(ndimage.find_objects(labels + 1)):
            yield _grown(labels, label, box, dilation)


def paint(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a map (H, W): every pixel gets its segment's value, one without a segment 0."""
    return np.append(values, 0.0)[labels]


def shared(how: Any, maps: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return painted maps (B, H, W) divided by the number of pixels of each pixel's segment.

    So the pixels of a segment sum to its value, and a sum over pixels counts it once.

    Args:
        how: As in `of`; each picture's segments are made again.
        maps: (B, H, W) by `paint`.
        images: (B, H, W, C), whose segments they are.
    """
    found = np.array(maps, np.float64)
    for one, image in zip(found, images, strict=True):
        labels = of(how, image)
        one /= paint(labels, np.bincount(labels[labels >= 0])) + (labels < 0)
    return found


def findings(labels: np.ndarray) -> tuple[str, ...]:
    """Return what looks wrong about labels (H, W), as sentences."""
    outside = float((labels < 0).mean())
    found = []
    if outside:
        found.append(f"{outside:.1%} of the picture belongs to no segment: it stayed, and gets 0")
    if labels.max() == 0:
        found.append("there is one segment: the map cannot say where")
    return tuple(found)


def _own(labels: Any, size: tuple[int, ...]) -> np.ndarray:
    """Labels of the user's own, checked; negative ones become -1."""
    array = np.asarray(labels)
    whole = np.issubdtype(array.dtype, np.integer)
    if not whole or array.shape != size or not (array >= 0).any():
        raise MethodError(
            "Labels were given as segments.",
            f"They are {array.dtype} of shape {array.shape}"
            + (", all negative" if whole and array.size and array.max() < 0 else "")
            + f"; the pictures are {size[0]}x{size[1]} pixels as the model sees them.",
            "Give whole numbers (H, W) of that size, 0 or more where there is a segment.",
            _READ,
        )
    counted = np.full(array.shape, -1, np.int64)
    counted[array >= 0] = _counted(array[array >= 0])
    return counted


def _slic(picture: np.ndarray, count: int) -> np.ndarray:
    scaled = _scaled(picture)
    if scaled.shape[-1] == 1:
        scaled = scaled.repeat(3, axis=-1)
    colour = scaled.shape[-1] == 3  # other channels are no colour: they stay in 0..1
    slic = _skimage("segmentation", "slic").slic
    found = np.zeros(scaled.shape[:2], np.int64)
    for compactness in _COMPACTNESS:
        found = slic(
            scaled,
            n_segments=count,
            compactness=compactness if colour else compactness / 100,
            convert2lab=colour,
            start_label=0,
        )
        if len(np.unique(found)) > count / 2:
            break
    return found


def _scaled(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture, np.float64)
    least, span = picture.min(), np.ptp(picture)
    return (picture - least) / (span or 1.0)


def _counted(labels: np.ndarray) -> np.ndarray:
    """The same parts, counted 0, 1, ... in the order of their labels."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def _centres(side: int, of: int) -> np.ndarray:
    """Which of ``of`` cells the centres of ``side`` pixels lie in."""
    return (2 * np.arange(side) + 1) * of // (2 * side)


def _grown(labels: np.ndarray, label: int, box: tuple[slice, ...], radius: int) -> np.ndarray:
    """The mask of a label and all within ``radius`` of it; only its surroundings are looked at."""
    near = tuple(slice(max(0, one.start - radius), one.stop + radius) for one in box)
    mask = np.zeros(labels.shape, bool)
    away = ndimage.distance_transform_edt(labels[near] != label)
    mask[near] = away <= radius
    return mask


def _skimage(module: str, asked: str) -> Any:
    try:
        return importlib.import_module(f"skimage.{module}")
    except ImportError as error:
        raise MethodError(
            f"The segments {asked!r} were asked for.",
            f"scikit-image, which makes them, cannot be imported: {error}.",
            'Run: pip install "keras-saliency[superpixels]", or give "grid" or labels (H, W).',
            _READ,
        ) from error
