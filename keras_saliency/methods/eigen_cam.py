"""The first principal component of a layer's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency.methods.base import Attribution, CamMethod, PresetMixin, joined, why_zero

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_ROUNDING = 1e-5  # a sum over channels that is a smaller share of its terms is 0


@dataclass(frozen=True)
class EigenCam(PresetMixin, CamMethod):
    """The maps, as a matrix (h w, K), times its first right singular vector.

    As in the paper, maps are not centred and nothing is clipped. The map depends neither on the
    target nor on a gradient: it shows what the layer responds to most. Its sign is chosen to
    correlate with the mean activation, so without centring it is nowhere negative after a ReLU.
    ``checks[i]["share"]`` is the component's share of the activations' energy, 0 to 1.

    Args:
        layer: As for `GradCam`.
        centred: Whether to subtract each map's mean first: the component is then the one along
            which positions differ most.
        relu: Whether negative values become 0; otherwise the map is signed.
        interpolation: As for `GradCam`.
        like: ``"pytorch-grad-cam"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.EigenCam())
        >>> 0 < e.checks[0]["share"] <= 1
        True
    """

    needs_gradient = False
    reference = (
        "Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components, 2020, "
        "arXiv:2008.00299"
    )
    presets: ClassVar = {"pytorch-grad-cam": {"centred": True, "relu": True}}

    centred: bool = False
    relu: bool = False

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """Whether the map is signed: where nothing is clipped."""
        return not self.relu

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.activations(self.layer)
        grids, shares, findings = zip(
            *(_component(maps, self.centred) for maps in at.activations), strict=True
        )
        grid = np.stack(grids)
        clipped = self.clipped(grid) if self.relu else grid
        uncut = "methods.EigenCam(relu=False)"
        zero = why_zero(at.layer, grid, clipped, at.activations, uncut=uncut)
        checks = {"share": np.array(shares)}
        return self.attribution(at, self.enlarged(engine, clipped), joined(findings, zero), checks)


def _component(maps: np.ndarray, centred: bool) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Return a picture's grid (h, w), its share of the energy, and its findings."""
    matrix = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
    if not np.isfinite(matrix).all():
        return np.full(maps.shape[:-1], np.nan), np.nan, ()
    if centred:
        matrix -= matrix.mean(axis=0)
    _, sizes, directions = np.linalg.svd(matrix, full_matrices=False)
    direction = directions[0]
    said: tuple[str, ...] = ()
    grid = (matrix @ direction).reshape(maps.shape[:-1])
    # The map times the mean activation has the sign of the direction's sum.
    sign = direction.sum()
    if abs(sign) <= _ROUNDING * np.abs(direction).sum():
        sign = grid.flat[np.abs(grid).argmax()]
        said = ("the mean activation is 0 everywhere: the sign is that of the map's peak",)
    energy = sizes**2
    return (-grid if sign < 0 else grid), energy[0] / max(energy.sum(), 1e-300), said
