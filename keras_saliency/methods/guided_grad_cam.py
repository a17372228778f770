"""A class activation map times guided backprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import (
    INTERPOLATIONS,
    ZERO,
    Attribution,
    Interpolation,
    PresetMixin,
    enlarge,
    get,
    joined,
)

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class GuidedGradCam(PresetMixin):
    """A CAM, enlarged to the picture, times guided backprop: class evidence at pixel resolution.

    Args:
        cam: The coarse method: a name or a `Method` that returns a grid.
        guided: The fine method: one that returns attributions of the picture's values.
        interpolation: How the CAM is enlarged, as for `GradCam`.
        like: ``"captum"``: that library's options, see docs/migrating.md.

    Example:
        >>> e = explain(model, img, methods.GuidedGradCam(cam="hires_cam"))
        >>> e.attributions.shape
        (1, 24, 24, 3)
    """

    family = "cam"
    reference = "Selvaraju et al.: Grad-CAM, 2017, arXiv:1610.02391"
    presets: ClassVar = {"captum": {"interpolation": "nearest"}}

    cam: Any = "grad_cam"
    guided: Any = "guided_backprop"
    interpolation: Interpolation = "bilinear"

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """Whether the fine method is signed."""
        return self.guided.signed

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether either method is stochastic."""
        return self.cam.stochastic or self.guided.stochastic

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        """Whether either method needs a gradient."""
        return self.cam.needs_gradient or self.guided.needs_gradient

    @property
    def local(self) -> bool:  # type: ignore[override]
        """Whether either method is local: 0 times any number is 0."""
        return self.cam.local or self.guided.local

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """The kinds of both methods."""
        return tuple(kind for kind in self.cam.kinds if kind in self.guided.kinds)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for option in ("cam", "guided"):
            object.__setattr__(self, option, get(getattr(self, option)))
        known = self.interpolation in INTERPOLATIONS
        self._require(known, "interpolation", f"one of {INTERPOLATIONS}")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        cam, guided = (one.attribute(engine, seed) for one in (self.cam, self.guided))
        if not engine.is_grid(cam.values) or engine.is_grid(guided.values):
            raise MethodError(
                "Expected cam to return a grid (B, h, w), and guided attributions (B, H, W, C).",
                f"Got {cam.values.shape} from {self.cam.name!r}, and {guided.values.shape} from "
                f"{self.guided.name!r}.",
                "Take a method that returns a grid, such as 'grad_cam', and one that attributes to "
                "the picture's values, such as 'guided_backprop'.",
                "help(keras_saliency.methods.GuidedGradCam)",
            )
        coarse = enlarge(cam.values, guided.values.shape[1:-1], self.interpolation)
        values = coarse[..., None] * guided.values
        nothing = [
            self._why_zero(*parts) for parts in zip(values, coarse, guided.values, strict=True)
        ]
        return Attribution(
            values,
            checks={**cam.checks, **guided.checks},
            info={**cam.info, **guided.info},
            findings=joined(cam.findings, guided.findings, nothing),
        )

    def _why_zero(
        self, values: np.ndarray, coarse: np.ndarray, guided: np.ndarray
    ) -> tuple[str, ...]:
        if values.any() or not coarse.any():  # the CAM reports itself why it is 0
            return ()
        if guided.any():
            return (f"{ZERO}: where {self.cam.name!r} is not 0, {self.guided.name!r} is",)
        return (f"{ZERO}: {self.guided.name!r} passes nothing back to the picture",)

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return self.guided.to_map(attributions)
