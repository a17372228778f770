"""How far the score drops when a window of the picture is covered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency.errors import _arguments
from keras_saliency.methods.base import Attribution, PresetMixin

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_WINDOWS = 8  # windows a side by default


@dataclass(frozen=True)
class Occlusion(PresetMixin):
    """The score drop of each covered window, averaged over the windows that cover a pixel.

    Needs no gradient. Windows that cross the right or bottom edge are clipped there.

    Args:
        window: Side of the square window in model pixels, or (height, width); None takes an
            eighth of the picture.
        stride: Step between windows, or (down, right); None takes half a window.
        fill: What covers: ``"mean"`` (the picture's mean colour), ``"black"``, ``"white"``,
            ``"blur"``, a number or an array in the model's input range.
        reduce: ``"mean"`` over the windows that cover a pixel, or their ``"sum"``.
        like: ``"captum"`` or ``"pair"``: that library's options, see docs/migrating.md. Both move
            the window by one pixel: that is slow.

    Example:
        >>> e = explain(model, img, methods.Occlusion(window=8, fill="blur"))
        >>> e.attributions is None  # no channels: a window covers them all
        True
    """

    family = "perturbation"
    signed = True
    needs_gradient = False
    local = False
    reference = (
        "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, 2013, "
        "arXiv:1311.2901"
    )
    presets: ClassVar = {
        "captum": {"stride": 1, "fill": 0.0},
        "pair": {"window": 15, "stride": 1, "fill": 0.0, "reduce": "sum"},
    }

    window: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] | None = None
    fill: Any = "mean"
    reduce: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        self._require(self.reduce in ("mean", "sum"), "reduce", "'mean' or 'sum'")
        for option in ("window", "stride"):
            value = getattr(self, option)
            pair = value if isinstance(value, tuple | list) else (value, value)
            good = value is None or (len(pair) == 2 and all(map(_arguments.is_count, pair)))
            self._require(good, option, "a whole number above 0, or two of them")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, cover = engine.images, engine.fill(self.fill)
        windows = self._windows(images.shape[1:3])
        total, times = np.zeros(images.shape[:3]), np.zeros(images.shape[1:3])
        for window in windows:
            times[window] += 1

        def covered() -> Iterator[tuple[int, np.ndarray]]:
            for row, image in enumerate(images):
                for window in windows:
                    variant = image.copy()
                    variant[window] = cover[row][window]
                    yield row, variant

        pairs = ((row, window) for row in range(len(images)) for window in windows)
        scores = engine.variant_scores(covered(), len(images) * len(windows))
        for (row, window), score in zip(pairs, scores, strict=True):
            total[row][window] += engine.scores[row] - score
        return Attribution(total / np.maximum(times, 1) if self.reduce == "mean" else total)

    def _windows(self, size: tuple[int, ...]) -> list[tuple[slice, slice]]:
        eighth = max(1, -(-min(size) // _WINDOWS))
        window = [min(n, side) for n, side in zip(_pair(self.window or eighth), size, strict=True)]
        stride = _pair(self.stride) if self.stride else [max(1, n // 2) for n in window]
        down, right = (_starts(*numbers) for numbers in zip(size, window, stride, strict=True))
        return [
            (slice(top, top + window[0]), slice(left, left + window[1]))
            for top in down
            for left in right
        ]


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def _starts(side: int, window: int, stride: int) -> range:
    """Return the starts of windows: enough of them to reach the far edge."""
    return range(0, -(-(side - window) // stride) * stride + 1, stride)
