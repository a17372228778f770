"""The first principal component of a layer's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.methods.base import Attribution, CamMethod

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_ROUNDING = 1e-5  # a sum over channels that is a smaller share of its terms is 0


@dataclass(frozen=True)
class EigenCam(CamMethod):
    """The maps, as a matrix (h w, K), times its first right singular vector.

    As in the paper, maps are not centred. The target has no part in it, and no gradient is taken:
    it shows what the layer answers to most. The sign is that in which the map goes along with the
    mean activation, so it is nowhere negative behind a ReLU. ``checks[i]["share"]`` is the part of
    the activations' energy that the component holds.

    Args:
        layer: As for `GradCam`.

    Example:
        >>> e = explain(model, img, methods.EigenCam())
        >>> 0 < e.checks[0]["share"] <= 1
        True
    """

    signed = True
    needs_gradient = False
    reference = (
        "Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components, 2020, "
        "arXiv:2008.00299"
    )

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.activations(self.layer)
        grids, shares, findings = zip(*map(_component, at.activations), strict=True)
        return Attribution(
            np.stack(grids),
            checks={"share": np.array(shares)},
            info={"layer": at.layer},
            findings=findings,
        )


def _component(maps: np.ndarray) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Return a picture's grid (h, w), the share of the energy in it, and what looks wrong."""
    matrix = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
    if not np.isfinite(matrix).all():
        return np.full(maps.shape[:2], np.nan), np.nan, ()
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
