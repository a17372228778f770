"""Superpixels: segments of a picture, or of another kind of input, for methods that change parts.

`of` returns labels (H, W), one number per segment, of other spatial axes alike;
`felzenszwalb_scales` yields overlapping masks. Functions that need scikit-image (the extra
``superpixels``) import it when they run; ``"grid"`` and user labels do without.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from keras_saliency._inputs import PICTURE, Kind
from keras_saliency.errors import MethodError, _arguments, did_you_mean

WAYS = ("slic", "felzenszwalb", "grid")
SCALES = (50, 100, 150, 250, 500, 1200)

_SUPERPIXELS = 50  # default number
_CELLS = {1: 32, 2: 8, 3: 4}  # of the grid along each axis, by the number of axes
# SLIC's weight of position against colour, for colours 0..100 (Lab). The first is its default;
# where busy colours break most segments into fragments, which are merged away, the next is tried.
_COMPACTNESS = (10.0, 30.0, 100.0, 300.0)
_READ = "help(keras_saliency._inputs.segments.of)"


def possible(how: Any) -> bool:
    """Return whether `of` may take this: a known word, a whole number above 0, or an array."""
    if isinstance(how, str):
        return how in WAYS
    return _arguments.is_count(how) or isinstance(how, np.ndarray | list | tuple)


def of(how: Any, picture: np.ndarray, kind: Kind = PICTURE) -> np.ndarray:
    """Labels of a picture's segments, (H, W) int64, counted 0, 1, ... without gaps.

    Of a signal segments are intervals, of a volume or a video blocks of voxels, labels (D, H, W).
    Each word of a text and each feature of a table is a segment, unless labels say otherwise.

    The picture is scaled to 0..1 by its own least and largest value first, so any range works. A
    constant picture is no error: SLIC cuts it into about equal parts, Felzenszwalb leaves it whole.

    Args:
        how: ``"slic"`` (about 50 superpixels; Achanta et al. 2012), ``"felzenszwalb"``
            (Felzenszwalb, Huttenlocher 2004), ``"grid"`` (8x8 squares), a whole number (SLIC with
            about so many), or labels (H, W) of whole numbers. Pixels with a negative label belong
            to no segment and retain the label -1; the other labels are renumbered, in their order.
        picture: (H, W, C) of any range, or (*space, C).
        kind: What it is.

    Raises:
        MethodError: Another word, labels that do not fit, or scikit-image is not installed.

    Example:
        >>> from keras_saliency import segments
        >>> segments.of("grid", img).max()
        np.int64(63)
    """
    if _arguments.is_integer(how):
        how = operator.index(how)
    elif not isinstance(how, str | bool):
        return _own(how, picture.shape[:-1])
    if not possible(how):
        raise MethodError(
            f"Expected segments: {', '.join(map(repr, WAYS))}, a whole number above 0, or labels "
            "(H, W).",
            f"Got {how!r}.",
            did_you_mean(str(how), WAYS) or "Pass one of these.",
            _READ,
        )
    if not kind.has_neighbours:
        return np.arange(picture[..., 0].size).reshape(picture.shape[:-1])
    if how == "grid":
        return _grid(picture.shape[:-1], _CELLS[picture.ndim - 1])
    if how == "felzenszwalb":
        _check_flat(picture, how, kind)
        result = _skimage("segmentation", how).felzenszwalb(_scaled(picture), scale=100, sigma=0.5)
    else:
        result = _slic(picture, how if isinstance(how, int) else _SUPERPIXELS)
    return _counted(result)


def _grid(size: tuple[int, ...], most: int) -> np.ndarray:
    """Return labels of equal blocks, up to ``most`` along each axis."""
    labels = np.zeros((1,) * len(size), np.int64)
    for axis, length in enumerate(size):
        count = min(most, length)
        along = np.arange(length) * count // length
        shape = [-1 if other == axis else 1 for other in range(len(size))]
        labels = labels * count + along.reshape(shape)
    return labels


def _check_flat(picture: np.ndarray, how: str, kind: Kind) -> None:
    """Raise MethodError where a segmentation of pictures is asked of something else."""
    if picture.ndim != 3:
        raise MethodError(
            f"Expected segments of {kind.one}: 'slic', 'grid', a whole number above 0, or labels "
            f"{picture.shape[:-1]}.",
            f"Got {how!r}, which segments pictures only.",
            "Pass one of these.",
            _READ,
        )


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
    at a time is held. There is at least one mask per scale; at each scale they cover the picture.

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
    centres = [_centres(n, scaled.shape[i]) for i, n in enumerate(size)]
    for scale in scales:
        result = segmentation.felzenszwalb(scaled, scale=scale, sigma=sigma, min_size=min_size)
        labels = _counted(result[np.ix_(*centres)])
        for label, box in enumerate(ndimage.find_objects(labels + 1)):
            yield _grown(labels, label, box, dilation)


def scales(picture: np.ndarray, sizes: Sequence[float], dilation: int) -> Iterator[np.ndarray]:
    """Yield overlapping masks of bool, segments of several sizes, each grown a little.

    Pictures are segmented by `felzenszwalb_scales`. Other inputs, (*space, C), are segmented by
    SLIC into 4, 8, 16, ... segments, as often as there are sizes; they grow by at most a 40th of
    the shortest axis.
    """
    if picture.ndim == 3:
        yield from felzenszwalb_scales(picture, sizes, dilation=dilation)
        return
    radius = min(dilation, min(picture.shape[:-1]) // 40)
    for number in range(len(sizes)):
        labels = _counted(_slic(picture, 4 * 2**number))
        for label, box in enumerate(ndimage.find_objects(labels + 1)):
            yield _grown(labels, label, box, radius)


def paint(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a map (H, W): every pixel gets its segment's value, one without a segment 0."""
    return np.append(values, 0.0)[labels]


def shared(how: Any, maps: np.ndarray, images: np.ndarray, kind: Kind = PICTURE) -> np.ndarray:
    """Return painted maps (B, H, W) divided by the number of pixels of each pixel's segment.

    So the pixels of a segment sum to its value, and a sum over pixels counts it once.

    Args:
        how: As in `of`; each picture's segments are made again.
        maps: (B, H, W) by `paint`.
        images: (B, H, W, C), whose segments they are.
        kind: What these are.
    """
    result = np.array(maps, np.float64)
    for one, image in zip(result, images, strict=True):
        labels = of(how, image, kind)
        one /= paint(labels, np.bincount(labels[labels >= 0])) + (labels < 0)
    return result


def findings(labels: np.ndarray) -> tuple[str, ...]:
    """Return what looks wrong about labels (H, W), as sentences."""
    outside = float((labels < 0).mean())
    result = []
    if outside:
        result.append(f"{outside:.1%} of the picture belongs to no segment: it stays, and gets 0")
    if labels.max() == 0:
        result.append("there is only one segment: the map cannot show where")
    return tuple(result)


def _own(labels: Any, size: tuple[int, ...]) -> np.ndarray:
    """The user's labels, checked; negative ones become -1."""
    array = np.asarray(labels)
    whole = np.issubdtype(array.dtype, np.integer)
    if not whole or array.shape != size or not (array >= 0).any():
        raise MethodError(
            f"Expected labels {size}, whole numbers: the model sees inputs of that size.",
            f"Got {array.dtype} of shape {array.shape}"
            + (", all negative." if whole and array.size and array.max() < 0 else "."),
            "Pass whole numbers of that shape, 0 or more where there is a segment.",
            _READ,
        )
    counted = np.full(array.shape, -1, np.int64)
    counted[array >= 0] = _counted(array[array >= 0])
    return counted


def _slic(picture: np.ndarray, count: int) -> np.ndarray:
    if picture.ndim == 2:  # a signal: intervals, as a picture one row high
        return _slic(picture[None], count)[0]
    scaled = _scaled(picture)
    if scaled.shape[-1] == 1 and scaled.ndim == 3:
        scaled = scaled.repeat(3, axis=-1)
    colour = (
        scaled.shape[-1] == 3 and scaled.ndim == 3
    )  # other channels are no colour: they stay in 0..1
    slic = _skimage("segmentation", "slic").slic
    result = np.zeros(scaled.shape[:-1], np.int64)
    for compactness in _COMPACTNESS:
        result = slic(
            scaled,
            n_segments=count,
            compactness=compactness if colour else compactness / 100,
            convert2lab=colour,
            channel_axis=-1,
            start_label=0,
        )
        if len(np.unique(result)) > count / 2:
            break
    return result


def _scaled(picture: np.ndarray) -> np.ndarray:
    picture = np.asarray(picture, np.float64)
    least, span = picture.min(), np.ptp(picture)
    return (picture - least) / (span or 1.0)


def _counted(labels: np.ndarray) -> np.ndarray:
    """The same segments, numbered 0, 1, ... in the order of their labels."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def _centres(count: int, of: int) -> np.ndarray:
    """Cell, of ``of`` cells, of the centre of each of ``count`` pixels."""
    return (2 * np.arange(count) + 1) * of // (2 * count)


def _grown(labels: np.ndarray, label: int, box: tuple[slice, ...], radius: int) -> np.ndarray:
    """Mask of a label and all within ``radius`` of it, computed in its surroundings only."""
    near = tuple(slice(max(0, one.start - radius), one.stop + radius) for one in box)
    mask = np.zeros(labels.shape, bool)
    away = ndimage.distance_transform_edt(labels[near] != label)
    mask[near] = away <= radius
    return mask


def _skimage(module: str, how: str) -> Any:
    try:
        return importlib.import_module(f"skimage.{module}")
    except ImportError as error:
        raise MethodError(
            f"Expected scikit-image, which makes the segments {how!r}.",
            f"It cannot be imported: {error}.",
            'Run: pip install "keras-saliency[superpixels]", or pass "grid" or labels (H, W).',
            _READ,
        ) from error
