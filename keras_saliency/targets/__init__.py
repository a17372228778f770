"""What is explained: one score a picture, made from a model's outputs.

===============  ==========================================================================
`TopClass`       the class the model predicts (the default)
`Class`          one class, or one class a picture
`Margin`         one class against another: the difference of their scores
`Contrast`       one class against those most like it on the picture
`Pixel`          one point of a dense output (B, h, w) or (B, h, w, K)
`Region`         the mean (or sum) of a dense output over a box or a mask
any callable     ``outputs -> (B,)`` scores, written with ``keras.ops``
===============  ==========================================================================

``score`` says which number: ``"logit"`` (the default: the value before a final softmax or
sigmoid), ``"probability"`` or ``"log_probability"``. Where a model ends in neither, its output
counts as logits: of a softmax over several classes, of a sigmoid for one.
"""

from __future__ import annotations

from typing import Any

from keras_saliency.errors import TargetError
from keras_saliency.targets.base import READ, Output, Outputs, Score, Target
from keras_saliency.targets.classes import Class, Margin, TopClass
from keras_saliency.targets.contrast import Contrast
from keras_saliency.targets.dense import Pixel, Region
from keras_saliency.targets.function import Function

__all__ = [
    "Class",
    "Contrast",
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


def get(target: Any) -> Target:
    """Return the target meant by explain()'s argument.

    Args:
        target: ``None`` (the predicted class), a class number, a list of them (one a picture), a
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
    whole = hasattr(target, "__index__") and not isinstance(target, bool)
    if whole or (hasattr(target, "__len__") and not isinstance(target, str | bytes | dict)):
        return Class(int(target) if whole and not hasattr(target, "__len__") else target)
    raise TargetError(
        "A target was asked for.",
        f"{target!r} was given.",
        "Give a class number, a list of them, a keras_saliency.targets object, or a callable.",
        READ,
    )
