"""Volumes and videos: slices and frames under their map, projections, and animations."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.errors import _arguments as options
from keras_saliency.plot import signals
from keras_saliency.plot.colours import blend, limits
from keras_saliency.plot.panel import Panel, shrink, stretched
from keras_saliency.plot.sheet import MARGIN, Sheet, height, width, wrap, write

_SLICES, _FRAMES = 4, 6
_GAP, _TALLEST, _ALPHA = 0.12, 2.4, 0.75
_POINTS = 8.0
_AXES = ("depth", "height", "width")


def slices(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a volume: the slices with the most attribution, and the maximum along each axis."""
    scale, gray = limits(panel.map, panel.signed, percentile), luma(panel)
    values, share = np.asarray(panel.map), shares_along(panel.map)
    column = (signals.WIDE - (_SLICES - 1) * _GAP) / _SLICES
    shown = most(share, _SLICES)
    of = f" (0 to {len(share) - 1})"
    row = [
        (gray[k], values[k], f"{_AXES[0]} {k}{of}\n{share[k]:.0%} of attribution") for k in shown
    ]
    bar = _row(sheet, sheet.y, row, column, scale, panel.signed)
    row = [
        (gray.max(axis=axis), _outermost(values, axis), f"maximum along {name}")
        for axis, name in enumerate(_AXES)
    ]
    _row(sheet, sheet.bottom + 0.14, row, column, scale, panel.signed)
    sheet.scale_bar(MARGIN, sheet.bottom + 0.1, 1.8, scale, bar)


def frames(sheet: Sheet, panel: Panel, percentile: float) -> None:
    """Draw a video: frames at even distances and the one with the most attribution; its course."""
    scale, gray = limits(panel.map, panel.signed, percentile), luma(panel)
    values, share = np.asarray(panel.map), shares_along(panel.map)
    peak = int(share.argmax())
    even = np.linspace(0, len(share) - 1, min(_FRAMES, len(share))).round().astype(int)
    shown = sorted({peak, *even.tolist()})
    column = (signals.WIDE - (len(shown) - 1) * _GAP) / len(shown)
    both = tuple(part.sum(axis=(1, 2)) for part in signals.by_sign(values))
    text = "attribution\nof each frame"
    left = MARGIN + max(map(width, text.split("\n"))) + width("\u22120.0000") + 0.1
    row = [
        (gray[k], values[k], f"frame {k}{', most' * bool(k == peak and share[k] > 0)}")
        for k in shown
    ]
    bar = _row(sheet, sheet.y, row, min(column, 1.6), scale, panel.signed, left)
    axes = signals.curve(sheet, left, sheet.bottom + 0.1, both, panel.signed, text)
    for k in shown:
        style: Any = {"color": "0.2", "linewidth": 1.2 if k == peak else 0.6, "linestyle": ":"}
        axes.axvline(k, zorder=3, **style)
    signals.numbered(axes, "frame")
    sheet.right = max(sheet.right, left + signals.WIDE + 0.12)
    sheet.scale_bar(left, sheet.bottom + 0.3, 1.8, scale, bar)


def pixels(panel: Panel) -> np.ndarray:
    """Return a volume or a video as (N, H, W, 1 or 3) in [0, 1], all slices on one scale."""
    whole = np.asarray(panel.picture).reshape(*panel.space, -1)
    whole = whole[..., : 3 if whole.shape[-1] >= 3 else 1]
    return (whole.astype(np.float64) if whole.dtype == np.uint8 else stretched(whole)) / 255


def luma(panel: Panel) -> np.ndarray:
    """Return a volume or a video in gray, (N, H, W) in [0, 1], all slices on one scale."""
    values = pixels(panel)
    return values @ (np.array([0.299, 0.587, 0.114]) if values.shape[-1] == 3 else np.ones(1))


def shares_along(map: np.ndarray) -> np.ndarray:
    """Return the share of all magnitude in each slice along the first axis, (N,) float64.

    Example:
        >>> shares_along(np.array([[[3.0]], [[-1.0]]])).tolist()
        [0.75, 0.25]
    """
    sizes = np.abs(np.nan_to_num(np.asarray(map, np.float64), posinf=0.0, neginf=0.0))
    sums = sizes.sum(axis=(1, 2))
    return sums / (sums.sum() or 1.0)


def most(share: np.ndarray, count: int) -> list[int]:
    """Return the numbers of the slices with the largest shares, in order, apart where they can be.

    Neighbours look alike: a slice within an eighth of the volume from a chosen one comes last.

    Example:
        >>> most(np.array([0.0, 0.3, 0.4, 0.0, 0.1, 0.2]), 2)
        [1, 2]
    """
    apart, falling = len(share) // 8, np.argsort(-share, kind="stable").tolist()
    chosen: list[int] = []
    for k in falling:
        if len(chosen) < count and all(abs(k - other) > apart for other in chosen):
            chosen.append(k)
    rest = [k for k in falling if k not in chosen]
    return sorted(chosen + rest[: max(0, min(count, len(share)) - len(chosen))])


def _outermost(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the value of largest magnitude along an axis."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    high, low = finite.max(axis=axis), finite.min(axis=axis)
    return np.where(high >= -low, high, low)


def _row(
    sheet: Sheet,
    y: float,
    tiles: Sequence[tuple[np.ndarray, np.ndarray, str]],
    column: float,
    scale: tuple[float, float],
    signed: bool,
    left: float = MARGIN,
):
    """Draw (gray, map, title) in a row, all enlarged alike; return the colours of their bar."""
    from matplotlib.colors import ListedColormap

    tall = max(gray.shape[0] for gray, _, _ in tiles)
    wide = max(gray.shape[1] for gray, _, _ in tiles)
    size = min(column / wide, _TALLEST / tall)
    words = [wrap(title, column, _POINTS) for _, _, title in tiles]
    y += height(max(map(len, words)), _POINTS)
    for k, (gray, values, _) in enumerate(tiles):
        h, w = gray.shape
        axes = sheet.axes(left + k * (column + _GAP), y, size * w, size * h)
        share = shrink(np.clip(values, *scale)) / scale[1]
        image = blend(shrink(gray), share, signed, _ALPHA)
        axes.imshow(image, extent=(-0.5, w - 0.5, h - 0.5, -0.5), interpolation="antialiased")
        write(axes, "\n".join(words[k]), (0, 1), (0, 3), size=_POINTS, va="bottom", ha="left")
    ramp = np.linspace(scale[0] / scale[1], 1, 256)
    mean = np.mean([gray.mean() for gray, _, _ in tiles])
    return ListedColormap(blend(np.full(256, mean), ramp, signed, _ALPHA))


_READ = "help(keras_saliency.plot.animation)"
_SIDE, _STRIP = 320, 36  # pixels


def animation(panel: Panel, percentile: float = 99.0, fps: float = 8.0) -> bytes:
    """Return the bytes of a GIF: a video's frames, or a volume's slices, beside their map.

    Below runs the attribution of each frame, with the present one marked. It repeats for ever.

    Args:
        panel: Of a video, or of a volume, which is animated along its depth.
        percentile: End of the colour scale, in (0, 100]; one scale for all frames.
        fps: Frames per second, above 0 and up to 50.

    Raises:
        MethodError: A panel of another kind, or a number out of range.

    Example:
        >>> panel = Panel(np.zeros((3, 8, 8)), np.ones((3, 8, 8)), kind="video")
        >>> animation(panel)[:6]
        b'GIF89a'
    """
    from PIL import Image

    if not isinstance(panel, Panel) or panel.kind not in ("video", "volume"):
        got = f"one of kind {panel.kind!r}" if isinstance(panel, Panel) else repr(panel)[:80]
        raise MethodError(
            "Expected a panel of a video or of a volume to animate.",
            f"Got {got}.",
            "Draw it with keras_saliency.plot.several.",
            _READ,
        )
    if not (options.is_number(fps) and 0 < fps <= 50):
        raise MethodError(
            "Expected fps, frames per second, above 0 and up to 50.",
            f"Got fps={fps!r}.",
            "Pass a number such as 8.",
            _READ,
        )
    scale = limits(panel.map, panel.signed, percentile)
    stills = np.broadcast_to(pixels(panel), (*panel.space, 3))
    both = [part.sum(axis=(1, 2)) for part in signals.by_sign(np.asarray(panel.map))]
    images, maps = [], np.asarray(panel.map)
    for k, (still, gray, values) in enumerate(zip(stills, luma(panel), maps, strict=True)):
        share = np.clip(values.astype(np.float64), *scale) / scale[1]
        over = blend(gray, share, panel.signed, _ALPHA)
        pair = np.concatenate([_enlarged(still), _enlarged(over)], 1)
        strip = _strip(both, k, pair.shape[1], panel.signed)
        whole = np.round(255 * np.concatenate([pair, strip])).astype(np.uint8)
        images.append(Image.fromarray(whole).quantize(128, dither=Image.Dither.NONE))
    file = io.BytesIO()
    wait = max(20, round(100 / fps) * 10)  # a GIF counts hundredths of a second
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=wait, loop=0)
    return file.getvalue()


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) with about 320 pixels a side, by whole numbers: repeated, or averaged."""
    side = max(image.shape[:2])
    if side > 2 * _SIDE:
        step = -(-side // (2 * _SIDE))
        h, w = image.shape[0] // step or 1, image.shape[1] // step or 1
        cut = image[: h * step, : w * step]
        return cut.reshape(h, cut.shape[0] // h, w, cut.shape[1] // w, 3).mean(axis=(1, 3))
    zoom = max(1, round(_SIDE / side))
    return image.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _strip(both: Sequence[np.ndarray], k: int, wide: int, signed: bool) -> np.ndarray:
    """Return (36, wide, 3) in [0, 1]: the attribution of each frame as bars, the k-th marked."""
    strip = np.full((_STRIP, wide, 3), 1.0)
    above, below = both
    span = float(above.max() - below.min()) or 1.0
    zero = 2 + round((_STRIP - 4) * float(above.max()) / span)
    columns = np.arange(wide) * len(above) // wide
    strip[:, columns == k] = 0.82
    rows = np.arange(_STRIP)[:, None]
    up = (rows < zero) & (rows >= zero - np.round((_STRIP - 4) * above[columns] / span))
    down = (rows >= zero) & (rows < zero - np.round((_STRIP - 4) * below[columns] / span))
    for where, colour in zip((up, down), signals.tints(signed), strict=True):
        strip[where] = colour[:3] if not isinstance(colour, str) else float(colour)
    return strip
