"""The first principal component of a layer's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_saliency.methods.base import Alike, Attribution, CamMethod

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_ROUNDING = 1e-5  # a sum over channels that is a smaller share of its terms is 0


@dataclass(frozen=True)
class EigenCam(Alike, CamMethod):
    """The maps, as a matrix (h w, K), times its first right singular vector.

    As in the paper, maps are not centred, and nothing is cut off. The target has no part in it, and
    no gradient is taken: it shows what the layer answers to most. The sign is that in which the map
    goes along with the mean activation, so without centring it is nowhere negative behind a ReLU.
    ``checks[i]["share"]`` is the part of the activations' energy that the component holds.

    Args:
        layer: As for `GradCam`.
        centred: Whether each map's mean is taken off first: then the component is that along which
            positions differ most.
        relu: Whether what is negative becomes 0; else the map is signed.
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
        """Where nothing is cut off."""
        return not self.relu

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.activations(self.layer)
        grids, shares, findings = zip(
            *(_component(maps, self.centred) for maps in at.activations), strict=True
        )
        grid = np.stack(grids)
        return Attribution(
            self.enlarged(engine, self.kept(grid) if self.relu else grid),
            checks={"share": np.array(shares)},
            info={"layer": at.layer},
            findings=findings,
        )


def _component(maps: np.ndarray, centred: bool) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Return a picture's grid (h, w), the share of the energy in it, and what looks wrong."""
    matrix = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
    if not np.isfinite(matrix).all():
        return np.full(maps.shape[:2], np.nan), np.nan, ()
    if centred:
        matrix -= matrix.mean(axis=0)
    _, sizes, directions = np.linalg.svd(matrix, full_matrices=False)
    direction = directions[0]
    said: tuple[str, ...] = ()
    grid = (matrix @ direction).reshape(maps.shape[:2])
    # The map times the mean activation has the sign of the direction's sum.
    sign = direction.sum()
    if abs(sign) <= _ROUNDING * np.abs(direction).sum():
        sign = grid.flat[np.abs(grid).argmax()]
        said = ("the mean activation is 0 everywhere: the sign is that of the map's peak",)
    energy = sizes**2
    return (-grid if sign < 0 else grid), energy[0] / max(energy.sum(), 1e-300), said
