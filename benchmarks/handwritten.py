"""The gradient as an expert of each backend writes it by hand, for a Keras model that gives logits.

Each function takes such a model, which it may change (explain() is timed on another), and returns
a compiled function of a batch that gives NumPy arrays. All pick the predicted class in the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Gradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # scores (B,), gradients
Forward = Callable[[np.ndarray], np.ndarray]  # logits


def native(model: Any) -> tuple[Gradient, Forward]:
    """Return the gradient of the predicted class's logit, and the forward pass beside it."""
    import keras

    return {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[keras.config.backend()](model)


def _jax(model: Any) -> tuple[Gradient, Forward]:
    import jax
    import jax.numpy as jnp
    import keras

    weights = [variable.value for variable in model.variables]

    def logits(x, weights):
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            return model(x, training=False)

    def total(x, weights):
        values = logits(x, weights)
        predicted = values.argmax(axis=-1, keepdims=True)
        scores = jnp.take_along_axis(values, predicted, axis=-1)[:, 0]
        return scores.sum(), scores

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
    compiled_forward = jax.jit(logits)

    def gradient(x):
        (_, scores), gradients = compiled(x, weights)
        return np.asarray(scores), np.asarray(gradients)

    return gradient, lambda x: np.asarray(compiled_forward(x, weights))


def _tensorflow(model: Any) -> tuple[Gradient, Forward]:
    import tensorflow as tf

    @tf.function
    def compiled(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            logits = model(x, training=False)
            scores = tf.gather(logits, tf.argmax(logits, axis=-1), batch_dims=1)
        return scores, tape.gradient(scores, x)

    @tf.function
    def compiled_forward(x):
        return model(x, training=False)

    def gradient(x):
        scores, gradients = compiled(tf.convert_to_tensor(x))
        return scores.numpy(), gradients.numpy()

    return gradient, lambda x: compiled_forward(tf.convert_to_tensor(x)).numpy()


def _torch(model: Any) -> tuple[Gradient, Forward]:
    import torch

    model.requires_grad_(False)
    device = next(model.parameters()).device

    def gradient(x):
        pictures = torch.tensor(x, device=device, requires_grad=True)
        logits = model(pictures, training=False)
        scores = logits.gather(1, logits.argmax(dim=-1, keepdim=True))[:, 0]
        (gradients,) = torch.autograd.grad(scores.sum(), pictures)
        return scores.detach().cpu().numpy(), gradients.cpu().numpy()

    def forward(x):
        with torch.inference_mode():
            return model(torch.tensor(x, device=device), training=False).cpu().numpy()

    return gradient, forward
