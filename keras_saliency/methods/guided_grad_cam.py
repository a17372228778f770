"""A class activation map times guided backprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import (
    INTERPOLATIONS,
    Alike,
    Attribution,
    Interpolation,
    enlarge,
    get,
)

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class GuidedGradCam(Alike):
    """A CAM, enlarged to the picture, times guided backprop: where the class is, in fine grain.

    Args:
        cam: The method for the place: a name or a `Method` that gives a grid.
        guided: The method for the grain: one that gives attributions of the picture's values.
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
        """As the map of the fine grain."""
        return self.guided.signed

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """If either is."""
        return self.cam.stochastic or self.guided.stochastic

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        """If either does."""
        return self.cam.needs_gradient or self.guided.needs_gradient

    @property
    def local(self) -> bool:  # type: ignore[override]
        """If either is: 0 times anything is 0."""
        return self.cam.local or self.guided.local

    def __post_init__(self) -> None:
        """Refuse what cannot be multiplied."""
        super().__post_init__()
        for option in ("cam", "guided"):
            object.__setattr__(self, option, get(getattr(self, option)))
        known = self.interpolation in INTERPOLATIONS
        self._require(known, "interpolation", f"one of {INTERPOLATIONS}")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        cam, guided = (one.attribute(engine, seed) for one in (self.cam, self.guided))
        if not cam.is_grid or guided.is_grid:
            raise MethodError(
                f"{self.cam.name!r} was to be multiplied by {self.guided.name!r}.",
                f"The first gives {cam.values.shape}, the second {guided.values.shape}.",
                "Take a method that gives a grid, such as 'grad_cam', and one that attributes to "
                "the picture's values, such as 'guided_backprop'.",
                "help(keras_saliency.methods.GuidedGradCam)",
            )
        place = enlarge(cam.values, guided.values.shape[1:3], self.interpolation)
        return Attribution(
            place[..., None] * guided.values,
            checks={**cam.checks, **guided.checks},
            info={**cam.info, **guided.info},
            findings=[
                tuple(
                    said
                    for found in (cam, guided)
                    if found.findings
                    for said in found.findings[row]
                )
                for row in range(len(place))
            ],
        )

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        return self.guided.to_map(attributions)
