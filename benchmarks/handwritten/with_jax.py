"""By hand in JAX: one jit a function, weights as arguments."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.handwritten import Programs, split


def programs(model: Any, layer: str | None) -> Programs:
    """Return the programs of a model."""
    front, tail = split(model, layer)
    weights = [variable.value for variable in model.variables]

    def run(part: Any, x: Any, weights: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            found = part(x, training=False)
        return found[0] if isinstance(found, list) else found

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
        found = jax.grad(lambda maps: chosen(tail, maps, weights, classes).sum())(maps)
        return jax.nn.relu(jnp.einsum("bhwk,bk->bhw", maps, found.mean((1, 2))))

    @jax.jit
    def path(x: Any, weights: Any, classes: Any, rows: Any, steps: Any, shares: Any) -> Any:
        points = steps[:, None, None, None] * x[rows]
        found = shares[:, None, None, None] * slope(points, weights, classes)
        return jnp.zeros_like(x).at[rows].add(found)

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
