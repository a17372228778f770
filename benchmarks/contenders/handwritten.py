"""The lower bound: programs as an expert of each backend writes them by hand for a Keras model.

They explain given classes of a network that gives logits, in loops over chunks of eight, keep sums
on the device, and know nothing of other models, pictures or layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss

from benchmarks.cases import CELLS, CHUNK, MASKS, SAMPLES, STEPS
from benchmarks.contenders import Entry, MakeEntry
from benchmarks.networks import Subject

Array = np.ndarray
_SETTINGS = f"compiled, chunks of {CHUNK}"


def load() -> MakeEntry:
    """Return `entry`; Keras has imported the backend."""
    return entry


def entry(method: str, subject: Subject) -> Entry:
    """Return the hand-written program of a method on this process's backend."""
    import keras

    make = {"jax": jax_programs, "tensorflow": tensorflow_programs, "torch": torch_programs}
    layer = subject.loaded.layer if method == "grad_cam" else None
    # The model may be changed: its weights are frozen on PyTorch.
    programs = make[keras.config.backend()](subject.loaded.with_logits, layer)
    return looped(method, subject, programs)


def looped(method: str, subject: Subject, programs: Programs) -> Entry:
    """Return the loop of a method around programs."""
    loops: dict[str, Callable[[], Entry]] = {
        "gradient": lambda: Entry(lambda: programs.gradient(pictures, classes), "compiled"),
        "grad_cam": lambda: Entry(lambda: programs.grad_cam(pictures, classes), "compiled", "map"),
        "smooth_grad": lambda: _smooth_grad(programs, subject),
        "integrated_gradients": lambda: _integrated_gradients(programs, subject),
        "occlusion": lambda: _occlusion(programs, subject),
        "rise": lambda: _rise(programs, subject),
    }
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    return loops[method]()


def _chunks(rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for chunk in (slice(start, start + CHUNK) for start in range(0, len(rows), CHUNK)):
        yield chunk, rows[chunk]


def _integrated_gradients(programs: Programs, subject: Subject) -> Entry:
    """The straight path from 0, Gauss-Legendre."""
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    points, weights = leggauss(STEPS)
    rows = np.repeat(np.arange(subject.batch, dtype=np.int32), STEPS)
    places = np.tile((points + 1) / 2, subject.batch).astype(np.float32)
    shares = np.tile(weights / 2, subject.batch).astype(np.float32)

    def call() -> np.ndarray:
        images = programs.to_device(pictures)
        total = sum(
            programs.path(images, classes[some], some, places[chunk], shares[chunk])
            for chunk, some in _chunks(rows)
        )
        return programs.to_numpy(total) * pictures

    return Entry(call, _SETTINGS)


def _smooth_grad(programs: Programs, subject: Subject) -> Entry:
    pictures, classes, noise = subject.pictures, subject.classes.astype(np.int32), subject.noise
    rows = np.repeat(np.arange(subject.batch, dtype=np.int32), SAMPLES)

    def call(seed: int = 0) -> np.ndarray:
        images = programs.to_device(pictures)
        total = sum(
            programs.noisy(images, classes[some], some, noise, seed * len(rows) + chunk.start)
            for chunk, some in _chunks(rows)
        )
        return programs.to_numpy(total) / SAMPLES

    return Entry(call, _SETTINGS, "drawn", lambda: call(seed=1))


def _occlusion(programs: Programs, subject: Subject) -> Entry:
    """Windows of 0 that touch and do not overlap."""
    side, window = subject.loaded.side, subject.window
    count = -(-side // window)
    masks = np.ones((count * count, side, side), np.float32)
    for number, mask in enumerate(masks):
        top, left = (window * place for place in divmod(number, count))
        mask[top : top + window, left : left + window] = 0

    def call() -> np.ndarray:
        scores = _scores(programs, subject, masks)
        whole = programs.scores(subject.pictures, subject.classes.astype(np.int32))
        return np.tensordot(whole[:, None] - scores, 1 - masks, axes=1)

    return Entry(call, f"chunks of {CHUNK}, window {window}")


def _rise(programs: Programs, subject: Subject) -> Entry:
    from scipy.ndimage import zoom

    side = subject.loaded.side
    cell = -(-side // CELLS)

    def call(seed: int = 0) -> np.ndarray:
        random, total = np.random.default_rng(seed), np.zeros((subject.batch, side, side))
        for _ in range(MASKS // CHUNK):
            masks = np.empty((CHUNK, side, side), np.float32)
            for mask in masks:
                grid = (random.random((CELLS, CELLS)) < 0.5).astype(np.float32)
                top, left = random.integers(cell, size=2)
                large = zoom(
                    grid, (CELLS + 1) * cell / CELLS, order=1, mode="nearest", grid_mode=True
                )
                mask[:] = large[top : top + side, left : left + side]
            total += np.tensordot(_scores(programs, subject, masks), masks, axes=1)
        return total / (MASKS * 0.5)

    return Entry(call, f"chunks of {CHUNK}", "drawn", lambda: call(seed=1))


def _scores(programs: Programs, subject: Subject, masks: np.ndarray) -> np.ndarray:
    """Return the scores (B, N) of every picture seen through every mask."""
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    scores = np.empty((subject.batch, len(masks)), np.float32)
    for row in range(subject.batch):
        for start in range(0, len(masks), CHUNK):
            some = masks[start : start + CHUNK]
            seen = pictures[row] * some[..., None]
            scores[row, start : start + CHUNK] = programs.scores(
                seen, classes[row].repeat(len(some))
            )
    return scores


# ------------------------------------------------------------------------ gradients of each backend


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


def split(model: Any, layer: str | None) -> tuple[Any, Any]:
    """Return what is in front of a layer's output, and what comes after it: all must pass there."""
    import keras

    if layer is None:
        return None, None
    maps = model.get_layer(layer).output
    return keras.Model(model.inputs, maps), keras.Model(maps, model.outputs)


def first_output(part: Any, x: Any) -> Any:
    """Return what a model gives, out of its list where it gives a list of one."""
    result = part(x, training=False)
    return result[0] if isinstance(result, list) else result


def jax_programs(model: Any, layer: str | None) -> Programs:
    """In JAX: one jit a function, weights as arguments."""
    import jax
    import jax.numpy as jnp
    import keras

    front, tail = split(model, layer)
    weights = [variable.value for variable in model.variables]

    def run(part: Any, x: Any, weights: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            return first_output(part, x)

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

    def chosen(part: Any, x: Any, classes: Any) -> Any:
        return tf.gather(first_output(part, x), classes, batch_dims=1)

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
        maps = first_output(front, x)
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

    def chosen(part: Any, x: Any, classes: Any) -> Any:
        return first_output(part, x).gather(1, tensor(classes).long()[:, None])[:, 0]

    def slope(part: Any, x: Any, classes: Any) -> Any:
        x = x.detach().requires_grad_()
        (result,) = torch.autograd.grad(chosen(part, x, classes).sum(), x)
        return result

    def scores(x: Any, classes: Any) -> Any:
        with torch.inference_mode():
            return chosen(model, tensor(x), classes)

    def grad_cam(x: Any, classes: Any) -> Any:
        with torch.no_grad():
            maps = first_output(front, tensor(x))
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
