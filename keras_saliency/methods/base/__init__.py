"""What methods are made of, all of them or those of one kind.

=============  ====================================================================================
`method`       `Method`, `Attribution`; names
`cams`         `CamMethod`: adds up a layer's maps; `GradientCam`: by gradients
`paths`        `PathMethod`: sums gradients from a baseline to the picture
`around`       `Around`: asks another method
`rectified`    `RectifiedMethod`: the gradient, changed at rectifiers
`games`        `ShapleyMethod`: Shapley values of segments
`gaps`         how well attributions share out a gap in score
`sizes`        from a layer's map to the picture's size
`presets`      `Alike`: does as another library does, ``like="captum"``
=============  ====================================================================================
"""

from __future__ import annotations

from keras_saliency.methods.base.around import Around
from keras_saliency.methods.base.cams import CamMethod, GradientCam, cancelled
from keras_saliency.methods.base.games import ShapleyMethod
from keras_saliency.methods.base.gaps import clean, completeness_error, gap_findings, share_missed
from keras_saliency.methods.base.method import Attribution, Method, classes, get, names
from keras_saliency.methods.base.paths import PathMethod, Stop
from keras_saliency.methods.base.presets import Alike
from keras_saliency.methods.base.rectified import RectifiedMethod
from keras_saliency.methods.base.sizes import INTERPOLATIONS, Interpolation, enlarge

__all__ = [
    "INTERPOLATIONS",
    "Alike",
    "Around",
    "Attribution",
    "CamMethod",
    "GradientCam",
    "Interpolation",
    "Method",
    "PathMethod",
    "RectifiedMethod",
    "ShapleyMethod",
    "Stop",
    "cancelled",
    "classes",
    "clean",
    "completeness_error",
    "enlarge",
    "gap_findings",
    "get",
    "names",
    "share_missed",
]
