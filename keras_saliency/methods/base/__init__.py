"""Base classes and helpers of methods.

=============  ====================================================================================
`method`       `Method`, `Attribution`; `WrapperMethod`: runs another method; names, in any of
               their usual spellings; `PresetMixin`: another library's options
`cams`         `CamMethod`: adds up a layer's maps; `GradientCam`: by gradients; from a map to the
               picture's size; why a map is 0; `RectifiedMethod`: another gradient at rectifiers
`paths`        `PathMethod`: sums gradients from a baseline to the picture; how well they sum to a
               gap in score; `ShapleyMethod`: Shapley values of segments
=============  ====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach
from keras_saliency.methods.base.cams import (
    INTERPOLATIONS,
    ZERO,
    CamMethod,
    GradientCam,
    Interpolation,
    RectifiedMethod,
    cancelled,
    enlarge,
    joined,
    why_map_is_zero,
    why_zero,
)
from keras_saliency.methods.base.method import (
    EVERY,
    Attribution,
    Method,
    PresetMixin,
    WrapperMethod,
    classes,
    get,
    names,
)
from keras_saliency.methods.base.paths import (
    PathMethod,
    PathPoint,
    ShapleyMethod,
    clean,
    completeness_error,
    gap_findings,
    relative_error,
)

__all__ = [
    "EVERY",
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
    "why_map_is_zero",
    "why_zero",
]

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
