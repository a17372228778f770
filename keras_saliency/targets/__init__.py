"""What is explained: one score per picture, computed from a model's outputs.

===============  ==========================================================================
`TopClass`       the class the model predicts (the default)
`Class`          one class, or one class per picture
`Margin`         one class against another: the difference of their scores
`Contrast`       one class against the most similar ones on the picture
`Pixel`          one point of a dense output (B, h, w) or (B, h, w, K)
`Region`         the mean (or sum) of a dense output over a box or a mask
`Detection`      one detection of a model that returns boxes
any callable     ``outputs -> (B,)`` scores, written with ``keras.ops``
===============  ==========================================================================

``score`` selects the number: ``"logit"`` (the default: the value before a final softmax or
sigmoid), ``"probability"`` or ``"log_probability"``. The output of a model that ends in neither
is taken as logits: of a softmax for several classes, of a sigmoid for one.
"""

from __future__ import annotations

import operator

from keras_saliency.errors import TargetError, _arguments
from keras_saliency.targets.base import READ, Output, Outputs, Score, Target, TargetLike
from keras_saliency.targets.classes import Class, Contrast, Margin, TopClass
from keras_saliency.targets.dense import Pixel, Region
from keras_saliency.targets.detection import Detection
from keras_saliency.targets.function import Function

__all__ = [
    "Class",
    "Contrast",
    "Detection",
    "Function",
    "Margin",
    "Output",
    "Outputs",
    "Pixel",
    "Region",
    "Score",
    "Target",
    "TopClass",
    "get",
]


def get(target: TargetLike) -> Target:
    """Return the target for explain()'s argument.

    Args:
        target: ``None`` (the predicted class), a class number, a list of them (one per picture), a
            `Target`, or a callable ``outputs -> (B,)`` scores.

    Raises:
        TargetError: It is none of these.
    """
    if target is None:
        return TopClass()
    if isinstance(target, Target):
        return target
    if callable(target):
        return Function(target)
    if _arguments.is_integer(target):
        return Class(operator.index(target))  # type: ignore[arg-type]
    if hasattr(target, "__len__") and not isinstance(target, str | bytes | dict):
        return Class(target)
    raise TargetError(
        "Expected a class number, a list of them, a keras_saliency.targets object, or a callable.",
        f"Got target={target!r}.",
        "Pass one of these.",
        READ,
    )
