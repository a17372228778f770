"""From arrays to what is drawn: pictures as RGB, large arrays averaged down, maps blended in."""

from __future__ import annotations

import numpy as np

from keras_saliency.plot.scale import colormap

_MOST = 1200  # pixels of a side


def shrink(array: np.ndarray) -> np.ndarray:
    """Return (H, W, ...) as float, in means of blocks along a side that is too long to draw."""
    (h, w), rest = array.shape[:2], array.shape[2:]
    down, across = -(-h // _MOST), -(-w // _MOST)
    whole = array[: h // down * down, : w // across * across]
    blocks = whole.reshape(h // down, down, w // across, across, *rest)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def rgb(picture: np.ndarray) -> np.ndarray:
    """Return a picture as (h, w, 3) uint8; other dtypes are scaled from least to greatest.

    Channels that are neither grey nor colours, such as two or four, are shown as their mean.
    """
    picture = np.asarray(picture)
    small = shrink(picture.reshape(*picture.shape[:2], -1))
    if small.shape[-1] not in (1, 3):
        small = small.mean(axis=-1, keepdims=True)
    if picture.dtype != np.uint8:
        finite = small[np.isfinite(small)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        small = np.nan_to_num(small, nan=low, posinf=high, neginf=low) - low
        small = 255 * small / ((high - low) or 1.0)
    return np.broadcast_to(np.round(small).astype(np.uint8), (*small.shape[:2], 3))


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture's luma (ITU-R BT.601), (h, w) in [0, 1]."""
    return rgb(picture) @ np.array([0.299, 0.587, 0.114]) / 255


def blend(gray: np.ndarray, share: np.ndarray, signed: bool, alpha: float) -> np.ndarray:
    """Return RGB in [0, 1]: the colours of ``share`` in [-1, 1] over gray in [0, 1]."""
    opacity = alpha * np.nan_to_num(np.abs(share))[..., None] ** 0.6
    colours = colormap(signed)((share + 1) / 2 if signed else share)[..., :3]
    ground = 0.35 + 0.65 * gray if signed else 0.7 * gray  # away from the colours' strong end
    return ground[..., None] * (1 - opacity) + colours * opacity
