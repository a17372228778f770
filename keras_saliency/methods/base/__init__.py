"""Base classes and helpers of methods.

=============  ====================================================================================
`method`       `Method`, `Attribution`; names
`cams`         `CamMethod`: adds up a layer's maps; `GradientCam`: by gradients
`paths`        `PathMethod`: sums gradients from a baseline to the picture
`method`       `WrapperMethod`: runs another method
`rectified`    `RectifiedMethod`: the gradient, changed at rectifiers
`games`        `ShapleyMethod`: Shapley values of segments
`gaps`         how well attributions sum to a gap in score
`sizes`        from a layer's map to the picture's size
`zeros`        why a map is 0 everywhere
`presets`      `PresetMixin`: another library's options, ``like="captum"``
=============  ====================================================================================
"""

from __future__ import annotations

from keras_saliency.methods.base.cams import (
    INTERPOLATIONS,
    CamMethod,
    GradientCam,
    Interpolation,
    RectifiedMethod,
    cancelled,
    enlarge,
)
from keras_saliency.methods.base.games import ShapleyMethod
from keras_saliency.methods.base.method import (
    Attribution,
    Method,
    PresetMixin,
    WrapperMethod,
    classes,
    get,
    names,
)
from keras_saliency.methods.base.paths import (
    ZERO,
    PathMethod,
    PathPoint,
    clean,
    completeness_error,
    gap_findings,
    joined,
    relative_error,
    why_zero,
)

__all__ = [
    "INTERPOLATIONS",
    "ZERO",
    "Attribution",
    "CamMethod",
    "GradientCam",
    "Interpolation",
    "Method",
    "PathMethod",
    "PathPoint",
    "PresetMixin",
    "RectifiedMethod",
    "ShapleyMethod",
    "WrapperMethod",
    "cancelled",
    "classes",
    "clean",
    "completeness_error",
    "enlarge",
    "gap_findings",
    "get",
    "joined",
    "names",
    "relative_error",
    "why_zero",
]
