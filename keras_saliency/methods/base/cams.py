"""Base classes of methods that add up a layer's maps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency._rules import Rectified
from keras_saliency.errors import KerasSaliencyError
from keras_saliency.methods.base.method import EVERY, Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine
    from keras_saliency._engine.layer_programs import LayerGradient, LayerOutput

_CANCELLED = 1e-5  # float32 leaves up to 1e-6 of a mean that is 0


@dataclass(frozen=True)
class CamMethod(Method):
    """A method that adds up a layer's maps A_k; negative values of the sum become 0.

    Args:
        layer: Path of the layer, or ``"path@k"`` for the k-th call of a layer that is called more
            than once. ``None`` takes the last feature map of the explained input that the score
            depends on, larger than 1x1.
        interpolation: How the map is enlarged: ``"bilinear"`` (pixels are areas), ``"corners"``
            (bilinear, corner on corner) or ``"nearest"``.
    """

    family = "cam"
    local = False
    kinds = ("picture", "signal", "volume", "video", "tokens")

    layer: str | None = None
    interpolation: Interpolation = field(default="bilinear", kw_only=True)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        known = self.interpolation in INTERPOLATIONS
        self._require(known, "interpolation", f"one of {INTERPOLATIONS}")
        self._require(self.layer is None or isinstance(self.layer, str), "layer", "a layer's path")

    def clipped(self, sums: np.ndarray) -> np.ndarray:
        """Return the weighted sum with its negative values set to 0."""
        return np.maximum(sums, 0)

    def attribution(
        self,
        at: LayerOutput,
        grid: np.ndarray,
        findings: Sequence[tuple[str, ...]] = (),
        checks: Mapping[str, np.ndarray] | None = None,
    ) -> Attribution:
        """Return a grid with the name of its layer, and the layer's finding if it has one."""
        if at.finding:
            findings = [(at.finding, *more) for more in findings or [()] * len(grid)]
        return Attribution(grid, checks or {}, info={"layer": at.layer}, findings=findings)

    def enlarged(self, engine: Engine, grid: np.ndarray) -> np.ndarray:
        """Return a grid, enlarged here unless its interpolation is the default, bilinear."""
        if self.interpolation == "bilinear":
            return grid
        return enlarge(grid, engine.images.shape[1:-1], self.interpolation)


class GradientCam(CamMethod):
    """A CAM that weighs maps by their gradients."""

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.layer_gradient(self.layer)
        sums = self.add_up(at)
        clipped = self.clipped(sums)
        zero = why_zero(at.layer, sums, clipped, at.activations, at.gradients)
        return self.attribution(at, self.enlarged(engine, clipped), joined(self.findings(at), zero))

    @abstractmethod
    def add_up(self, at: LayerGradient) -> np.ndarray:
        """Return the weighted sum (B, h, w) of a layer's maps."""

    def findings(self, at: LayerGradient) -> Sequence[tuple[str, ...]]:
        """Return the findings of each picture."""
        return ()


def cancelled(terms: np.ndarray, at: LayerGradient) -> list[tuple[str, ...]]:
    """Return, for each picture, a finding where the mean of every channel is only rounding.

    This holds by construction where a norm or a softmax over positions follows the layer.

    Args:
        terms: (B, *space, K), the terms of which a method takes the mean over positions.
        at: The layer.
    """
    space = resampling.spatial_axes(terms)
    mean = np.abs(terms.mean(axis=space, dtype=np.float64))
    size = np.abs(terms).mean(axis=space, dtype=np.float64)
    noise = (mean <= _CANCELLED * size).all(axis=-1) & size.any(axis=-1)
    said = (
        f"the gradients of layer {at.layer!r} cancel over its positions, and the map is rounding: "
        "name an earlier layer, or take 'hires_cam'"
    )
    return [(said,) if one else () for one in noise]


Interpolation = Literal["bilinear", "corners", "nearest"]
INTERPOLATIONS = ("bilinear", "corners", "nearest")


def enlarge(maps: np.ndarray, size: tuple[int, ...], how: str) -> np.ndarray:
    """Return maps (B, *cells) enlarged to (B, *size) float32.

    Args:
        maps: What to enlarge.
        size: Sizes of the result.
        how: ``"bilinear"``, where pixels are areas (half-pixel centres); ``"corners"``, bilinear
            with the centres of corner cells on those of corner pixels; ``"nearest"``, the value of
            the cell that a pixel's centre lies in.
    """
    if how == "bilinear":
        return resampling.resize(maps, size)
    pairs = list(zip(size, maps.shape[1:], strict=True))
    if how == "nearest":
        chosen = [(2 * np.arange(side) + 1) * cells // (2 * side) for side, cells in pairs]
        return maps[(slice(None), *np.ix_(*chosen))].astype(np.float32, copy=False)
    weights = [_between_corners(side, cells) for side, cells in pairs]
    return resampling.along_axes(maps, weights).astype(np.float32)


def _between_corners(side: int, cells: int) -> np.ndarray:
    """Return the weights (side, cells) of cells in each pixel."""
    positions = np.linspace(0, cells - 1, side)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells)))


ZERO = "the map is 0 everywhere"
_CUT = "and the method's ReLU cut that off"


def why_zero(
    layer: str,
    sums: np.ndarray,
    clipped: np.ndarray,
    activations: np.ndarray,
    gradients: np.ndarray | None = None,
    uncut: str = "methods.GradCam(relu=False)",
) -> list[tuple[str, ...]]:
    """Return, for each picture, a finding where a CAM is 0 everywhere.

    Args:
        layer: The layer's path.
        sums: (B, h, w) weighted sums of the layer's maps.
        clipped: (B, h, w) the sums after clipping.
        activations: (B, h, w, K) the layer's maps.
        gradients: (B, h, w, K) of the score by these, where they were computed.
        uncut: The method that shows the clipped part.
    """
    result: list[tuple[str, ...]] = []
    for row, (before, after) in enumerate(zip(sums, clipped, strict=True)):
        if after.any() or not np.isfinite(before).all():
            result.append(())
            continue
        slope = None if gradients is None else gradients[row]
        if before.any():
            what = f"no sum of the maps of layer {layer!r} is above 0, {_CUT} (try {uncut})"
        elif not activations[row].any():
            what = f"the output of layer {layer!r} is 0 everywhere"
        elif slope is not None and not slope.any():
            what = f"the gradient of the score by layer {layer!r} is 0 at this picture"
        elif slope is not None and slope.max() <= 0:
            what = f"no gradient of the score by layer {layer!r} is above 0, {_CUT} (try {uncut})"
        else:
            what = f"every map of layer {layer!r} has the weight 0"
        result.append((f"{ZERO}: {what}",))
    return result


_SATURATED = " (probabilities saturate: try a target with score='logit')"
_STILL = (
    " (a box that the model clips or rounds does not move with the picture: try a target with "
    "score='logit', or a method that needs no gradient, such as 'occlusion')"
)
_APART = (
    " (an overlap is flat where boxes do not meet or are clipped: try a target with "
    "score='logit', or a method that needs no gradient, such as 'rise')"
)
_FLAT = {
    "probability": _SATURATED, "log_probability": _SATURATED,
    "box": _STILL, "overlap": _APART, "similarity": _APART,
}  # fmt: skip


def why_map_is_zero(method: Method, result: Attribution, engine: Engine) -> list[str]:
    """Return, for each picture, the measured reason of a map of zeros, to append to `ZERO`."""
    if not method.needs_gradient:
        reason = f": no part of the picture that {method.name!r} tried changes the score"
        return [reason] * len(result.values)
    try:
        slopes = engine.gradient()
    except KerasSaliencyError:  # a custom method may claim a gradient that does not exist
        return [f": every attribution by {method.name!r} is 0"] * len(result.values)
    dead = ": the gradient of the score is 0 at this picture" + _FLAT.get(engine.target.score, "")
    working = (
        f", although the gradient of the score by the picture is not: {method.name!r} blocks all "
        "of it (compare 'gradient')"
    )
    cancel = ": the attributions are not 0, but cancel where they are added up over channels"
    return [
        cancel if values.any() else working if slope.any() else dead
        for values, slope in zip(result.values, slopes, strict=True)
    ]


def joined(*findings: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return findings of several kinds as one list, one entry per picture."""
    kinds = [one for one in findings if len(one)]
    return [tuple(said for one in rows for said in one) for rows in zip(*kinds, strict=True)]


class RectifiedMethod(Method):
    """The gradient by the rule `Rectified`; a finding where there is no rectifier."""

    family = "gradient"
    kinds = EVERY
    guided: ClassVar[bool]

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Return the gradient that the rule passes back."""
        result = engine.backward(Rectified(self.guided))
        count = int(result.seen["rectifiers"][0])
        findings = () if count else (("no rectifier is on the way: the plain gradient",),)
        return Attribution(
            result.values, info={"rectifiers": count}, findings=findings * len(result.values)
        )

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return the largest magnitude over channels."""
        return resampling.max_abs(attributions)
