"""How far the score drops when a window of the input is covered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
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

    Needs no gradient. Windows that cross the far edges are clipped there. Of a text each word is a
    window by default, of a table each feature.

    Args:
        window: Side of the window in steps of the model's input (pixels), or one for each spatial
            axis, as (height, width); None takes an eighth of the shortest axis.
        stride: Step between windows, or one for each axis; None takes half a window.
        fill: What covers: ``"mean"`` (the picture's mean colour), ``"black"``, ``"white"``,
            ``"blur"``, a number or an array in the model's input range.
        channels: ``"together"``, or ``"apart"``: each channel is covered on its own, and
            attributions have channels.
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

    window: int | tuple[int, ...] | None = None
    stride: int | tuple[int, ...] | None = None
    fill: Any = "mean"
    channels: Literal["together", "apart"] = field(default="together", kw_only=True)
    reduce: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        self._require(self.reduce in ("mean", "sum"), "reduce", "'mean' or 'sum'")
        for option in ("window", "stride"):
            value = getattr(self, option)
            lengths = value if isinstance(value, tuple | list) else (value,)
            good = value is None or (len(lengths) > 0 and all(map(_arguments.is_count, lengths)))
            self._require(good, option, "a whole number above 0, or one for each spatial axis")
        known = ("together", "apart")
        self._require(self.channels in known, "channels", f"one of {known}")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, cover = engine.images, engine.fill(self.fill)
        windows = self._windows(engine)
        apart = self.channels == "apart"
        shape = images.shape if apart else images.shape[:-1]
        total, times = np.zeros(shape), np.zeros(shape[1:])
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

    def _windows(self, engine: Engine) -> list[tuple[slice | int, ...]]:
        """Return the windows as indices of an image."""
        size, channels = engine.images.shape[1:-1], engine.images.shape[-1]
        usual = max(1, -(-min(size) // _WINDOWS)) if engine.kind.has_neighbours else 1
        lengths = self._by_axis("window", self.window or usual, size)
        window = [min(n, side) for n, side in zip(lengths, size, strict=True)]
        stride = [max(1, n // 2) for n in window]
        if self.stride:
            stride = self._by_axis("stride", self.stride, size)
        starts = [_starts(*numbers) for numbers in zip(size, window, stride, strict=True)]
        windows: list[tuple[slice | int, ...]] = [
            tuple(slice(start, start + n) for start, n in zip(corner, window, strict=True))
            for corner in itertools.product(*starts)
        ]
        if self.channels == "together":
            return windows
        return [(*window, channel) for window in windows for channel in range(channels)]

    def _by_axis(self, option: str, value: Any, size: tuple[int, ...]) -> list[int]:
        """Return an option's number for each spatial axis."""
        if not isinstance(value, tuple | list):
            return [value] * len(size)
        wanted = f"a whole number, or one for each of the {len(size)} spatial axes"
        self._require(len(value) == len(size), option, wanted)
        return list(value)


def _starts(side: int, window: int, stride: int) -> range:
    """Return the starts of windows: enough of them to reach the far edge."""
    return range(0, -(-(side - window) // stride) * stride + 1, stride)
