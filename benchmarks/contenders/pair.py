"""PAIR saliency, one picture at a time as its functions have it, its model call a tf.function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import saliency.core as pair
import tensorflow as tf

from benchmarks.cases import CHUNK, NOISE, SAMPLES, STEPS
from benchmarks.contenders import Entry
from benchmarks.contenders.handwritten_programs import split
from benchmarks.networks import Subject


def entry(method: str, subject: Subject) -> Entry:
    """Return its masks of all pictures."""
    call_model = _cam_call(subject) if method == "grad_cam" else _gradient_call(subject)
    gradient, integrated, grad_cam = (
        pair.GradientSaliency(), pair.IntegratedGradients(), pair.GradCam()
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
        return np.stack([mask(x, call_model, {"class": index}, **options) for x, index in pairs])

    return Entry(call, f"call_model_function a tf.function{setting}", terms)


def _gradient_call(subject: Subject) -> Callable[..., dict[str, Any]]:
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
        return {pair.base.INPUT_OUTPUT_GRADIENTS: gradient(x, index)}

    return call


def _cam_call(subject: Subject) -> Callable[..., dict[str, Any]]:
    front, tail = split(subject.loaded.with_logits, subject.loaded.layer)

    @tf.function
    def both(x: Any, index: Any) -> Any:
        maps = front(x, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(maps)
            logits = tail(maps, training=False)
            scores = (logits[0] if isinstance(logits, list) else logits)[:, index]
        return maps, tape.gradient(scores, maps)

    def call(x: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:
        x = tf.convert_to_tensor(x, tf.float32)
        maps, gradients = both(x, tf.constant(call_model_args["class"]))
        return {
            pair.base.CONVOLUTION_LAYER_VALUES: maps,
            pair.base.CONVOLUTION_OUTPUT_GRADIENTS: gradients,
        }

    return call
