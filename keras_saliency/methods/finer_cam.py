"""A class activation map of what distinguishes a class from the most similar ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import Attribution, WrapperMethod, get
from keras_saliency.targets import Class, Contrast, TopClass

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine


@dataclass(frozen=True)
class FinerCam(WrapperMethod):
    """Any method's map of y_c - gamma * mean(y of similar classes), instead of y_c.

    The similar classes are those with the highest other scores on the picture, listed in
    ``info["contrasted"]``. The score and label of the explanation stay those of the class. To
    combine it with `SmoothGrad`, wrap that: ``FinerCam(SmoothGrad("grad_cam"))`` uses the classes
    of the picture itself.

    Args:
        base: The method: a name or a `Method`, a CAM in the paper.
        similar: Number of classes to contrast with.
        gamma: Weight of the contrast; at 0 the map is the base's.

    Example:
        >>> e = explain(model, img, methods.FinerCam(similar=2))
        >>> len(e.info["contrasted"][0])
        2
    """

    family = "cam"
    reference = (
        "Zhang et al.: Finer-CAM: Spotting the Difference Reveals Finer Details for Visual "
        "Explanation, 2025, arXiv:2501.11309"
    )

    base: Any = "grad_cam"
    similar: int = 3
    gamma: float = 0.6

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base.stochastic

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """As the base."""
        return self.base.kinds

    def __post_init__(self) -> None:
        """Check the options."""
        object.__setattr__(self, "base", get(self.base))
        self._require_count("similar")
        self._require_share("gamma", zero=True)

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        target = engine.target
        if not isinstance(target, TopClass | Class):
            raise MethodError(
                "Expected a class as Finer-CAM's target: it contrasts a class with similar ones.",
                f"Got target={target}, which is no class.",
                "Explain a class, or pass the contrast yourself: targets.Contrast.",
                "help(keras_saliency.methods.FinerCam)",
            )
        contrast = engine.with_target(
            Contrast(
                engine.aux["index"].tolist(),
                self.similar,
                self.gamma,
                score=target.score,
                output=target.output,
            )
        )
        others = contrast.aux["others"].tolist()
        result = self.base.attribute(contrast, seed)
        return replace(result, info={**result.info, "contrasted": others})
