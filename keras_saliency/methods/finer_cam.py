"""A class activation map of what sets a class apart from those most like it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import Around, Attribution, get
from keras_saliency.targets import Class, Contrast, TopClass

if TYPE_CHECKING:
    from keras_saliency.engine import Engine


@dataclass(frozen=True)
class FinerCam(Around):
    """Any method's map of y_c - gamma * mean(y of similar classes), instead of y_c.

    Similar are the classes with the highest other scores on the picture; they are in
    ``info["contrasted"]``. The score and label of the explanation stay those of the class. Around
    `SmoothGrad`, put it outside: ``FinerCam(SmoothGrad("grad_cam"))`` takes the classes of the
    picture itself.

    Args:
        base: The method: a name or a `Method`, a CAM in the paper.
        similar: How many classes the class is held against.
        gamma: How strongly: at 0 this is the base.

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

    def __post_init__(self) -> None:
        """Refuse what is no contrast."""
        object.__setattr__(self, "base", get(self.base))
        self._require_count("similar")
        if self.gamma != 0:
            self._require_share("gamma")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        target = engine.target
        if not isinstance(target, TopClass | Class):
            raise MethodError(
                "Finer-CAM was asked for: a class against similar classes.",
                f"The target is {target}, which is no class.",
                "Explain a class, or write the contrast yourself: targets.Contrast.",
                "help(keras_saliency.methods.FinerCam)",
            )
        contrast = engine.explaining(
            Contrast(
                engine.learnt["index"].tolist(),
                self.similar,
                self.gamma,
                score=target.score,
                output=target.output,
            )
        )
        others = contrast.learnt["others"].tolist()
        found = self.base.attribute(contrast, seed)
        return replace(found, info={**found.info, "contrasted": others})
