"""Gradients as an expert of each backend writes them by hand, for a Keras model with logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Programs:
    """Compiled functions of one network; classes, rows and the rest are arguments of them.

    Args:
        gradient: (pictures, classes (B,)) -> gradients of the classes' logits, NumPy.
        scores: (pictures, classes (B,)) -> logits (B,), NumPy.
        grad_cam: (pictures, classes (B,)) -> maps of the layer (B, h, w), NumPy.
        path: (device pictures, classes, rows, steps, shares (n,)) -> on the device, the sum over
            the points ``steps * pictures[rows]`` of ``shares`` times the gradient, picture by
            picture (B, H, W, C). Classes are those of the points.
        noisy: (device pictures, classes, rows, noise, seed) -> on the device, the sum of gradients
            at pictures with normal noise, (B, H, W, C).
        to_device: Takes pictures there.
        to_numpy: Takes sums back.
    """

    gradient: Callable[[Array, Array], Array]
    scores: Callable[[Array, Array], Array]
    grad_cam: Callable[[Array, Array], Array]
    path: Callable[[Any, Array, Array, Array, Array], Any]
    noisy: Callable[[Any, Array, Array, float, int], Any]
    to_device: Callable[[Array], Any]
    to_numpy: Callable[[Any], Array]


def programs(model: Any, layer: str | None = None) -> Programs:
    """Return the programs of a model on this process's backend.

    Args:
        model: It gives logits. It may be changed: its weights are frozen on PyTorch.
        layer: Where Grad-CAM looks; everything must pass through it.
    """
    import keras

    make = {"jax": jax_programs, "tensorflow": tensorflow_programs, "torch": torch_programs}
    return make[keras.config.backend()](model, layer)


def split(model: Any, layer: str | None) -> tuple[Any, Any]:
    """Return what is in front of a layer's output, and what comes after it."""
    import keras

    if layer is None:
        return None, None
    maps = model.get_layer(layer).output
    return keras.Model(model.inputs, maps), keras.Model(maps, model.outputs)


def jax_programs(model: Any, layer: str | None) -> Programs:
    """In JAX: one jit a function, weights as arguments."""
    import jax
    import jax.numpy as jnp
    import keras

    front, tail = split(model, layer)
    weights = [variable.value for variable in model.variables]

    def run(part: Any, x: Any, weights: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            result = part(x, training=False)
        return result[0] if isinstance(result, list) else result

    def chosen(part: Any, x: Any, weights: Any, classes: Any) -> Any:
        return jnp.take_along_axis(run(part, x, weights), classes[:, None], axis=-1)[:, 0]

    def slope(x: Any, weights: Any, classes: Any) -> Any:
        return jax.grad(lambda x: chosen(model, x, weights, classes).sum())(x)

    @jax.jit
    def scores(x: Any, weights: Any, classes: Any) -> Any:
        return chosen(model, x, weights, classes)

    @jax.jit
    def grad_cam(x: Any, weights: Any, classes: Any) -> Any:
        maps = run(front, x, weights)
        result = jax.grad(lambda maps: chosen(tail, maps, weights, classes).sum())(maps)
        return jax.nn.relu(jnp.einsum("bhwk,bk->bhw", maps, result.mean((1, 2))))

    @jax.jit
    def path(x: Any, weights: Any, classes: Any, rows: Any, steps: Any, shares: Any) -> Any:
        points = steps[:, None, None, None] * x[rows]
        result = shares[:, None, None, None] * slope(points, weights, classes)
        return jnp.zeros_like(x).at[rows].add(result)

    @jax.jit
    def noisy(x: Any, weights: Any, classes: Any, rows: Any, noise: Any, seed: Any) -> Any:
        near = x[rows]
        near += noise * jax.random.normal(jax.random.key(seed), near.shape)
        return jnp.zeros_like(x).at[rows].add(slope(near, weights, classes))

    gradient = jax.jit(slope)
    return Programs(
        gradient=lambda x, classes: np.asarray(gradient(x, weights, classes)),
        scores=lambda x, classes: np.asarray(scores(x, weights, classes)),
        grad_cam=lambda x, classes: np.asarray(grad_cam(x, weights, classes)),
        path=lambda x, classes, *rest: path(x, weights, classes, *rest),
        noisy=lambda x, classes, *rest: noisy(x, weights, classes, *rest),
        to_device=jnp.asarray,
        to_numpy=np.asarray,
    )


def tensorflow_programs(model: Any, layer: str | None) -> Programs:
    """In TensorFlow: one tf.function each, with XLA on a GPU; on CPUs that is slower."""
    import tensorflow as tf

    front, tail = split(model, layer)
    compiled = tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))

    def run(part: Any, x: Any) -> Any:
        result = part(x, training=False)
        return result[0] if isinstance(result, list) else result

    def chosen(part: Any, x: Any, classes: Any) -> Any:
        return tf.gather(run(part, x), classes, batch_dims=1)

    def slope(part: Any, x: Any, classes: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            scores = chosen(part, x, classes)
        return tape.gradient(scores, x)

    @compiled
    def gradient(x: Any, classes: Any) -> Any:
        return slope(model, x, classes)

    @compiled
    def scores(x: Any, classes: Any) -> Any:
        return chosen(model, x, classes)

    @compiled
    def grad_cam(x: Any, classes: Any) -> Any:
        maps = run(front, x)
        weights = tf.reduce_mean(slope(tail, maps, classes), axis=(1, 2))
        return tf.nn.relu(tf.einsum("bhwk,bk->bhw", maps, weights))

    @compiled
    def path(x: Any, classes: Any, rows: Any, steps: Any, shares: Any) -> Any:
        points = steps[:, None, None, None] * tf.gather(x, rows)
        result = shares[:, None, None, None] * slope(model, points, classes)
        return tf.math.unsorted_segment_sum(result, rows, tf.shape(x)[0])

    @compiled
    def noisy(x: Any, classes: Any, rows: Any, noise: Any, seed: Any) -> Any:
        near = tf.gather(x, rows)
        near += noise * tf.random.stateless_normal(tf.shape(near), tf.stack([seed, 0]))
        return tf.math.unsorted_segment_sum(slope(model, near, classes), rows, tf.shape(x)[0])

    tensor = tf.convert_to_tensor  # NumPy arrays would be constants, one trace each
    return Programs(
        gradient=lambda *given: gradient(*map(tensor, given)).numpy(),
        scores=lambda *given: scores(*map(tensor, given)).numpy(),
        grad_cam=lambda *given: grad_cam(*map(tensor, given)).numpy(),
        path=lambda *given: path(*map(tensor, given)),
        noisy=lambda *given: noisy(*map(tensor, given)),
        to_device=tensor,
        to_numpy=lambda result: result.numpy(),
    )


def torch_programs(model: Any, layer: str | None) -> Programs:
    """In PyTorch: eager, frozen weights, autograd.grad; on CPUs torch.compile is slower."""
    import torch

    front, tail = split(model, layer)
    model.requires_grad_(False)
    device = next(model.parameters()).device

    def tensor(value: Any) -> Any:
        return torch.as_tensor(value, device=device)

    def run(part: Any, x: Any) -> Any:
        result = part(x, training=False)
        return result[0] if isinstance(result, list) else result

    def chosen(part: Any, x: Any, classes: Any) -> Any:
        return run(part, x).gather(1, tensor(classes).long()[:, None])[:, 0]

    def slope(part: Any, x: Any, classes: Any) -> Any:
        x = x.detach().requires_grad_()
        (result,) = torch.autograd.grad(chosen(part, x, classes).sum(), x)
        return result

    def scores(x: Any, classes: Any) -> Any:
        with torch.inference_mode():
            return chosen(model, tensor(x), classes)

    def grad_cam(x: Any, classes: Any) -> Any:
        with torch.no_grad():
            maps = run(front, tensor(x))
        weights = slope(tail, maps, classes).mean((1, 2))
        return torch.einsum("bhwk,bk->bhw", maps, weights).relu()

    def path(x: Any, classes: Any, rows: Any, steps: Any, shares: Any) -> Any:
        rows, steps, shares = map(tensor, (rows, steps, shares))
        result = slope(model, steps[:, None, None, None] * x[rows], classes)
        return torch.zeros_like(x).index_add_(0, rows, shares[:, None, None, None] * result)

    def noisy(x: Any, classes: Any, rows: Any, noise: float, seed: int) -> Any:
        rows, generator = tensor(rows), torch.Generator(device).manual_seed(seed)
        near = x[rows]
        near += noise * torch.randn(near.shape, generator=generator, device=device)
        return torch.zeros_like(x).index_add_(0, rows, slope(model, near, classes))

    def numpy(result: Any) -> Any:
        return result.cpu().numpy()

    return Programs(
        gradient=lambda x, classes: numpy(slope(model, tensor(x), classes)),
        scores=lambda x, classes: numpy(scores(x, classes)),
        grad_cam=lambda x, classes: numpy(grad_cam(x, classes)),
        path=path,
        noisy=noisy,
        to_device=tensor,
        to_numpy=numpy,
    )
