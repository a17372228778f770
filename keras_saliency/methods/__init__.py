"""Attribution methods, one published idea per file. A string names a file: ``"grad_cam"``.

===========================  =======================================================================
`Gradient`                   ``"gradient"``: the default
`InputXGradient`             ``"input_x_gradient"``
`GuidedBackprop`             ``"guided_backprop"``
`DeconvNet`                  ``"deconvnet"``
`FullGrad`                   ``"full_grad"``: the picture and every bias
`LRP`                        ``"lrp"``: relevance from layer to layer
`DeepLift`                   ``"deep_lift"``: differences from layer to layer
`SmoothGrad`                 ``"smooth_grad"``: around any method
`IntegratedGradients`        ``"integrated_gradients"``
`ExpectedGradients`          ``"expected_gradients"``: many references as baselines
`GuidedIntegratedGradients`  ``"guided_integrated_gradients"``: a path that avoids steep points
`BlurIntegratedGradients`    ``"blur_integrated_gradients"``: a path from a blurred picture
`Idgi`                       ``"idgi"``: along the path of any of these
`Xrai`                       ``"xrai"``: regions, best first
`GradCam`                    ``"grad_cam"``
`GradCamPP`                  ``"grad_cam_pp"``: Grad-CAM++
`HiResCam`                   ``"hires_cam"``: each position by its own gradient
`LayerCam`                   ``"layer_cam"``: the same, only positive gradients
`XGradCam`                   ``"x_grad_cam"``: gradients averaged by activation
`EigenCam`                   ``"eigen_cam"``: the first principal component, of no class
`ScoreCam`                   ``"score_cam"``: maps as masks; needs no gradient
`AblationCam`                ``"ablation_cam"``: each map left out; needs no gradient
`FinerCam`                   ``"finer_cam"``: around any CAM, against similar classes
`GuidedGradCam`              ``"guided_grad_cam"``: a CAM times guided backprop
`AttentionRollout`           ``"attention_rollout"``: vision transformers, of no class
`TransformerAttribution`     ``"transformer_attribution"``: the same, weighted by gradients
`Occlusion`                  ``"occlusion"``: needs no gradient
`RISE`                       ``"rise"``: random masks
`Lime`                       ``"lime"``: a linear model of segments
`KernelShap`                 ``"kernel_shap"``: Shapley values of segments, by regression
`ShapleySampling`            ``"shapley_sampling"``: Shapley values of segments, by orders
===========================  =======================================================================

For a method of one's own: `Method` is its base class, `Engine` what it gets, `Attribution` what it
returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency._engine.engine import Engine
from keras_saliency._imports import renamed
from keras_saliency.methods.ablation_cam import AblationCam
from keras_saliency.methods.attention_rollout import AttentionRollout
from keras_saliency.methods.base import Attribution, Method, classes, get, names
from keras_saliency.methods.blur_integrated_gradients import BlurIntegratedGradients
from keras_saliency.methods.deconvnet import DeconvNet
from keras_saliency.methods.deep_lift import DeepLift
from keras_saliency.methods.eigen_cam import EigenCam
from keras_saliency.methods.expected_gradients import ExpectedGradients
from keras_saliency.methods.finer_cam import FinerCam
from keras_saliency.methods.full_grad import FullGrad
from keras_saliency.methods.grad_cam import GradCam
from keras_saliency.methods.grad_cam_pp import GradCamPP
from keras_saliency.methods.gradient import Gradient
from keras_saliency.methods.guided_backprop import GuidedBackprop
from keras_saliency.methods.guided_grad_cam import GuidedGradCam
from keras_saliency.methods.guided_integrated_gradients import GuidedIntegratedGradients
from keras_saliency.methods.hires_cam import HiResCam
from keras_saliency.methods.idgi import Idgi
from keras_saliency.methods.input_x_gradient import InputXGradient
from keras_saliency.methods.integrated_gradients import IntegratedGradients
from keras_saliency.methods.kernel_shap import KernelShap
from keras_saliency.methods.layer_cam import LayerCam
from keras_saliency.methods.lime import Lime
from keras_saliency.methods.lrp import LRP
from keras_saliency.methods.occlusion import Occlusion
from keras_saliency.methods.rise import RISE
from keras_saliency.methods.score_cam import ScoreCam
from keras_saliency.methods.shapley_sampling import ShapleySampling
from keras_saliency.methods.smooth_grad import SmoothGrad
from keras_saliency.methods.transformer_attribution import TransformerAttribution
from keras_saliency.methods.x_grad_cam import XGradCam
from keras_saliency.methods.xrai import Xrai

__all__ = [
    "LRP",
    "RISE",
    "AblationCam",
    "AttentionRollout",
    "Attribution",
    "BlurIntegratedGradients",
    "DeconvNet",
    "DeepLift",
    "EigenCam",
    "Engine",
    "ExpectedGradients",
    "FinerCam",
    "FullGrad",
    "GradCam",
    "GradCamPP",
    "Gradient",
    "GuidedBackprop",
    "GuidedGradCam",
    "GuidedIntegratedGradients",
    "HiResCam",
    "Idgi",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "LayerCam",
    "Lime",
    "Method",
    "Occlusion",
    "ScoreCam",
    "ShapleySampling",
    "SmoothGrad",
    "TransformerAttribution",
    "XGradCam",
    "Xrai",
    "classes",
    "get",
    "names",
]

_RENAMED = {"Lrp": ("LRP", "0.3"), "Rise": ("RISE", "0.3")}
if not TYPE_CHECKING:  # where every name would be known
    __getattr__ = renamed(__name__, _RENAMED)
