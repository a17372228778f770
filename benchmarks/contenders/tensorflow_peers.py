"""tf-keras-vis, xplique and PAIR saliency. Each loader imports its own library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.cases import CELLS, CHUNK, MASKS, NOISE, SAMPLES, STEPS
from benchmarks.contenders import Entry, MakeEntry
from benchmarks.contenders.handwritten import first_output, split
from benchmarks.networks import Subject


def tf_keras_vis() -> MakeEntry:
    """tf-keras-vis on a model that gives logits, so that nothing is cloned or replaced."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    def entry(method: str, subject: Subject) -> Entry:
        """Return its saliency, smoothed or not, with signs and channels, or its Grad-CAM."""
        model, score = subject.loaded.with_logits, CategoricalScore(subject.classes.tolist())
        saliency, grad_cam = (kind(model, clone=False) for kind in (Saliency, Gradcam))

        def slope(samples: int) -> np.ndarray:
            result = saliency(
                score, subject.pictures, smooth_samples=samples, smooth_noise=NOISE, keepdims=True,
                gradient_modifier=None, normalize_map=False,
            )  # fmt: skip
            return np.asarray(result)

        def cam() -> np.ndarray:
            return np.asarray(grad_cam(
                score, subject.pictures, penultimate_layer=subject.loaded.layer,
                seek_penultimate_conv_layer=False, normalize_cam=False,
            ))  # fmt: skip

        settings = "clone=False, gradient_modifier=None"
        return {
            "gradient": Entry(lambda: slope(0), settings),
            "smooth_grad": Entry(lambda: slope(SAMPLES), settings, "drawn"),
            "grad_cam": Entry(cam, "clone=False", "corners"),
        }[method]

    return entry


_XPLIQUE_TERMS = {
    "gradient": "sizes",
    "smooth_grad": "drawn",
    "integrated_gradients": "another quadrature",
    "grad_cam": "another enlargement",
    "rise": "drawn",
}


def xplique() -> MakeEntry:
    """xplique on a model that gives logits."""
    from xplique.attributions import (
        GradCAM,
        IntegratedGradients,
        Occlusion,
        Rise,
        Saliency,
        SmoothGrad,
    )

    def entry(method: str, subject: Subject) -> Entry:
        """Return its explainer of a method, made once: it caches what it compiled."""
        model, window, size = subject.loaded.with_logits, subject.window, 32
        kinds: dict[str, Callable[[], Any]] = {
            "gradient": lambda: Saliency(model, batch_size=size, reducer=None),
            "smooth_grad": lambda: SmoothGrad(
                model,
                batch_size=size,
                nb_samples=SAMPLES,
                noise=subject.noise,
                reducer=None,
            ),
            "integrated_gradients": lambda: IntegratedGradients(
                model, batch_size=size, steps=STEPS, baseline_value=0.0, reducer=None
            ),
            "grad_cam": lambda: GradCAM(model, batch_size=size, conv_layer=subject.loaded.layer),
            "occlusion": lambda: Occlusion(
                model,
                batch_size=size,
                patch_size=window,
                patch_stride=window,
                occlusion_value=0.0,
            ),
            "rise": lambda: Rise(model, batch_size=size, nb_samples=MASKS, grid_size=CELLS),
        }
        explainer = kinds[method]()
        targets = np.eye(model.output_shape[-1], dtype=np.float32)[subject.classes]

        def call() -> np.ndarray:
            result = explainer.explain(subject.pictures, targets).numpy()
            return result[..., 0] if result.ndim == 4 and result.shape[-1] == 1 else result

        return Entry(call, f"batch_size={size}", _XPLIQUE_TERMS.get(method, "equal"))

    return entry


def pair() -> MakeEntry:
    """PAIR saliency, one picture at a time as its functions have it; the model call is compiled."""
    from saliency import core

    def entry(method: str, subject: Subject) -> Entry:
        """Return its masks of all pictures."""
        call_model = _cam_call(subject) if method == "grad_cam" else _gradient_call(subject)
        gradient, integrated, grad_cam = (
            core.GradientSaliency(), core.IntegratedGradients(), core.GradCam()
        )  # fmt: skip
        masks: dict[str, tuple[Callable[..., np.ndarray], dict[str, Any], str, str]] = {
            "gradient": (gradient.GetMask, {}, "", "equal"),
            "smooth_grad": (
                gradient.GetSmoothedMask,
                {"stdev_spread": NOISE, "nsamples": SAMPLES, "magnitude": False},
                "", "drawn",
            ),
            "integrated_gradients": (
                integrated.GetMask, {"x_steps": STEPS, "batch_size": CHUNK},
                f", batch_size={CHUNK}", "another quadrature",
            ),
            "grad_cam": (grad_cam.GetMask, {"three_dims": False}, "", "another enlargement"),
        }  # fmt: skip
        mask, options, setting, terms = masks[method]
        pairs = list(zip(subject.pictures, subject.classes.tolist(), strict=True))

        def call() -> np.ndarray:
            return np.stack(
                [mask(x, call_model, {"class": index}, **options) for x, index in pairs]
            )

        return Entry(call, f"call_model_function a tf.function{setting}", terms)

    return entry


def _gradient_call(subject: Subject) -> Callable[..., dict[str, Any]]:
    from saliency.core import base

    model = subject.loaded.with_logits

    @tf.function
    def gradient(x: Any, index: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            scores = model(x, training=False)[:, index]
        return tape.gradient(scores, x)

    def call(x: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        x = tf.convert_to_tensor(x, tf.float32)
        index = tf.constant(call_model_args["class"])  # a number would be traced again
        return {base.INPUT_OUTPUT_GRADIENTS: gradient(x, index)}

    return call


def _cam_call(subject: Subject) -> Callable[..., dict[str, Any]]:
    from saliency.core import base

    front, tail = split(subject.loaded.with_logits, subject.loaded.layer)

    @tf.function
    def both(x: Any, index: Any) -> Any:
        maps = front(x, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            scores = first_output(tail, maps)[:, index]
        return maps, tape.gradient(scores, maps)

    def call(x: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        x = tf.convert_to_tensor(x, tf.float32)
        maps, gradients = both(x, tf.constant(call_model_args["class"]))
        return {
            base.CONVOLUTION_LAYER_VALUES: maps,
            base.CONVOLUTION_OUTPUT_GRADIENTS: gradients,
        }

    return call
