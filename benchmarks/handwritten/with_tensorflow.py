"""By hand in TensorFlow: one tf.function each, with XLA on a GPU; on CPUs that is slower."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from benchmarks.handwritten import Programs, split


def programs(model: Any, layer: str | None) -> Programs:
    """Return the programs of a model."""
    front, tail = split(model, layer)
    compiled = tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))

    def run(part: Any, x: Any) -> Any:
        found = part(x, training=False)
        return found[0] if isinstance(found, list) else found

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
        found = shares[:, None, None, None] * slope(model, points, classes)
        return tf.math.unsorted_segment_sum(found, rows, tf.shape(x)[0])

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
        to_numpy=lambda found: found.numpy(),
    )
