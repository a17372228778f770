"""Attribution methods, one published idea a file. A string names a file: ``"grad_cam"``.

=======================  ========================================================================
`Gradient`               ``"gradient"``: the default
`InputXGradient`         ``"input_x_gradient"``
`SmoothGrad`             ``"smooth_grad"``: around any method
`IntegratedGradients`    ``"integrated_gradients"``
`GradCam`                ``"grad_cam"``
`Occlusion`              ``"occlusion"``: needs no gradient
=======================  ========================================================================
"""

from __future__ import annotations

from keras_saliency.methods.base import Attribution, Method, classes, get, names
from keras_saliency.methods.grad_cam import GradCam
from keras_saliency.methods.gradient import Gradient
from keras_saliency.methods.input_x_gradient import InputXGradient
from keras_saliency.methods.integrated_gradients import IntegratedGradients
from keras_saliency.methods.occlusion import Occlusion
from keras_saliency.methods.smooth_grad import SmoothGrad

__all__ = [
    "Attribution",
    "GradCam",
    "Gradient",
    "InputXGradient",
    "IntegratedGradients",
    "Method",
    "Occlusion",
    "SmoothGrad",
    "classes",
    "get",
    "names",
]
