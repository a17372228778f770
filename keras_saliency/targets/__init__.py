"""What is explained: one score per picture, computed from a model's outputs.

===============  ==========================================================================
`TopClass`       the class the model predicts (the default)
`Top`            the few highest classes, one explanation for each
`Class`          one class, or one class per picture
`Margin`         one class against another: the difference of their scores
`Contrast`       one class against the most similar ones on the picture
`Group`          a group of classes, alone or against the rest or another group
`Pixel`          one point of a dense output (B, h, w) or (B, h, w, K)
`Region`         the mean (or sum) of a dense output over a box or a mask
`Sequence`       one token at one step of a sequence output (B, T, V)
`Detection`      one detection of a model that returns boxes
any callable     ``outputs -> (B,)`` scores, written with ``keras.ops``
===============  ==========================================================================

``score`` selects the number: ``"logit"`` (the default: the value before a final softmax or
sigmoid), ``"probability"`` or ``"log_probability"``. The output of a model that ends in neither
is taken as logits: of a softmax for several classes, of a sigmoid for one.
"""

from __future__ import annotations

import operator
from typing import Any

from keras_saliency.errors import TargetError, _arguments
from keras_saliency.targets.base import READ, Output, Outputs, Score, Target, TargetLike
from keras_saliency.targets.classes import Class, Top, TopClass
from keras_saliency.targets.contrasts import Contrast, Group, Margin
from keras_saliency.targets.dense import Pixel, Region, Sequence
from keras_saliency.targets.detection import Detection
from keras_saliency.targets.function import Function

__all__ = [
    "Class",
    "Contrast",
    "Detection",
    "Function",
    "Group",
    "Margin",
    "Output",
    "Outputs",
    "Pixel",
    "Region",
    "Score",
    "Sequence",
    "Target",
    "Top",
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
    if several(target) is not None:
        raise TargetError(
            "Expected one target here.",
            f"Got {target}." if isinstance(target, Top) else f"Got a list of {len(target)}.",  # type: ignore[arg-type]
            "Pass one; explain(model, image, target=...) takes several.",
            READ,
        )
    if hasattr(target, "__len__") and not isinstance(target, str | bytes | dict):
        return Class(target)
    raise TargetError(
        "Expected a class number, a list of them, a keras_saliency.targets object, or a callable.",
        f"Got target={target!r}.",
        "Pass one of these.",
        READ,
    )


def several(target: Any) -> list[Target] | None:
    """Return the targets of a list with an object or a callable, or of `Top`; None for one target.

    Raises:
        TargetError: One of them is no target.
    """
    if isinstance(target, Top):
        return target.each()
    if not isinstance(target, list | tuple):
        return None
    if not any(isinstance(one, Target) or callable(one) for one in target):
        return None  # a class for each picture
    return [get(one) for one in target]
