"""What methods that add up a layer's maps have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.methods.base.method import Attribution, Method
from keras_saliency.methods.base.sizes import INTERPOLATIONS, Interpolation, enlarge

if TYPE_CHECKING:
    from keras_saliency.engine import Engine, LayerGradient

_CANCELLED = 1e-5  # float32 leaves up to 1e-6 of a mean that is 0


@dataclass(frozen=True)
class CamMethod(Method):
    """A method that adds up a layer's maps A_k; what is negative in the sum becomes 0.

    Args:
        layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared layer. ``None``
            takes the last layer on the way to the target whose map is larger than 1x1.
        interpolation: How the map is enlarged: ``"bilinear"`` (pixels are areas), ``"corners"``
            (bilinear, corner on corner) or ``"nearest"``.
    """

    family = "cam"
    local = False

    layer: str | None = None
    interpolation: Interpolation = field(default="bilinear", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what is no layer's path."""
        super().__post_init__()
        known = self.interpolation in INTERPOLATIONS
        self._require(known, "interpolation", f"one of {INTERPOLATIONS}")
        self._require(self.layer is None or isinstance(self.layer, str), "layer", "a layer's path")

    def kept(self, sums: np.ndarray) -> np.ndarray:
        """Return what is kept of the weighted sum: what is positive."""
        return np.maximum(sums, 0)

    def enlarged(self, engine: Engine, grid: np.ndarray) -> np.ndarray:
        """Return a grid, enlarged already where it is not to be enlarged as all grids are."""
        if self.interpolation == "bilinear":
            return grid
        return enlarge(grid, engine.images.shape[1:3], self.interpolation)


class GradientCam(CamMethod):
    """A CAM that weighs maps by their gradients."""

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.layer_gradient(self.layer)
        grid = self.enlarged(engine, self.kept(self.add_up(at)))
        return Attribution(grid, info={"layer": at.layer}, findings=self.findings(at))

    @abstractmethod
    def add_up(self, at: LayerGradient) -> np.ndarray:
        """Return the weighted sum (B, h, w) of a layer's maps."""

    def findings(self, at: LayerGradient) -> Sequence[tuple[str, ...]]:
        """Return, for each picture, what looks wrong."""
        return ()


def cancelled(terms: np.ndarray, at: LayerGradient) -> list[tuple[str, ...]]:
    """Return, for each picture, a finding where the mean of every channel is only rounding.

    So it is by construction where a norm or a softmax over positions follows the layer.

    Args:
        terms: (B, h, w, K), what a method takes the mean of over positions.
        at: The layer.
    """
    mean = np.abs(terms.mean(axis=(1, 2), dtype=np.float64))
    size = np.abs(terms).mean(axis=(1, 2), dtype=np.float64)
    noise = (mean <= _CANCELLED * size).all(axis=-1) & size.any(axis=-1)
    said = (
        f"the gradients of layer {at.layer!r} cancel over its positions, and the map is rounding: "
        "name an earlier layer, or take 'hires_cam'"
    )
    return [(said,) if one else () for one in noise]
