"""A network run by hand on one picture, by Keras and the backend alone: what oracles compare with.

Its scores, its gradient (the backend's own), every layer's output and the gradient by it, and how
they move when the picture does. See `coverage_oracles`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.studies.coverage_families import Family

_MOVED = 1e-5  # of a layer's size: a change that is more than rounding
_CONTENTS = 8  # other pixels for each strip of the picture


class Wrong(Exception):
    """A map that an oracle rejects; the message says which and by how much."""


class Witness:
    """A network run by hand on one picture.

    Args:
        family: What it is, and its score.
        twin: The network, without a softmax at its end.
        image: (1, H, W, C) in its input range.
    """

    def __init__(self, family: Family, twin: Any, image: np.ndarray) -> None:
        """Fix the class that is explained."""
        self.family, self.twin, self.image = family, twin, image
        if family.target is None:
            self.index = int(np.argmax(_numpy(self._outputs(image))[0]))

    # ------------------------------------------------------------------ scores

    def _outputs(self, images: Any) -> Any:
        import keras

        given = keras.tree.map_structure(keras.ops.convert_to_tensor, self.family.given(images))
        result = self.twin(given, training=False)
        return result[0] if isinstance(result, list) and self.family.target is None else result

    def _score(self, images: Any) -> Any:
        outputs = self._outputs(images)
        if self.family.target is not None:
            return self.family.target(outputs)
        return outputs[:, self.index]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the scores of images, one by one."""
        return np.array([_numpy(self._score(one[None]))[0] for one in images], np.float64)

    @cached_property
    def score(self) -> float:
        """The score of the picture."""
        return float(self.scores(self.image)[0])

    @cached_property
    def spread(self) -> float:
        """How far the score moves when the picture turns round: what a difference is worth."""
        others = np.stack([self.image[0, ::-1], self.image[0, :, ::-1], 0 * self.image[0]])
        return float(np.abs(self.scores(others) - self.score).max())

    @cached_property
    def _slopes(self) -> Any:
        return _differentiated(self.twin, self._score)

    def gradient(self, image: np.ndarray | None = None) -> np.ndarray:
        """Return the backend's gradient of the score by an image, (1, H, W, C)."""
        image = self.image if image is None else image.astype(np.float32)
        return self._slopes([image])[0]

    @cached_property
    def slope(self) -> np.ndarray:
        """The gradient at the picture."""
        return self.gradient()

    # ------------------------------------------------------------------ layers

    @cached_property
    def outputs(self) -> dict[tuple[int, int], np.ndarray]:
        """What every layer call gave on the picture: by layer and number of the call, in order."""
        return self._recorded(self.image, lambda _, output: output)

    @cached_property
    def layers(self) -> dict[str, Any]:
        """Layers and operations by path; a nested one's has the names around it."""
        result: dict[str, Any] = {}

        def visit(parent: Any, prefix: str) -> None:
            flatten = getattr(parent, "_flatten_layers", None)
            inside = flatten(include_self=False, recursive=False) if flatten else []
            for child in [*getattr(parent, "operations", []), *inside]:
                if any(child is one for one in result.values()):
                    continue
                result[prefix + child.name] = child
                visit(child, f"{prefix}{child.name}/")

        visit(self.twin, "")
        return result

    def _recorded(self, images: np.ndarray, note: Any) -> dict[tuple[int, int], Any]:
        """Return ``note(key, output)`` of every layer call with a floating output, in order."""
        result: dict[tuple[int, int], Any] = {}

        def seen(key: tuple[int, int], tensor: Any) -> Any:
            if "Tracer" in type(tensor).__name__:  # in a branch of JAX's cond there are no numbers
                return tensor
            result[key] = note(key, _numpy(tensor))
            return tensor

        with _watched(self.layers.values(), seen):
            self._score(images)
        return result

    @cached_property
    def by_layer(self) -> dict[tuple[int, int], np.ndarray]:
        """The gradient of the score by every layer call's output; none where there is no way."""
        keys = [key for key, one in self.outputs.items() if _may_be_map(one)]

        def function(image: Any, *zeros: Any) -> Any:
            added = dict(zip(keys, zeros, strict=True))
            add = lambda key, tensor: tensor + added[key] if key in added else tensor  # noqa: E731
            with _watched(self.layers.values(), add):
                return self._score(image)

        zeros = [np.zeros_like(self.outputs[key]) for key in keys]
        result = _differentiated(self.twin, function)([self.image, *zeros])[1:]
        return {key: one for key, one in zip(keys, result, strict=True) if one is not None}

    @cached_property
    def _moved(self) -> dict[tuple[int, int], np.ndarray | None]:
        """The change at each position, (4, _CONTENTS, h, w), when a strip of the picture changes.

        The strips are a third of the picture at the top, bottom, left and right; what they are
        filled with are their own pixels in another order. None where there is no row a picture.
        """
        random, side = np.random.default_rng(0), self.image.shape[1]
        first, last, whole = slice(0, side // 3), slice(side - side // 3, side), slice(None)
        changed = []
        for rows, columns in ((first, whole), (last, whole), (whole, first), (whole, last)):
            for _ in range(_CONTENTS):
                image = self.image[0].copy()
                strip = image[rows, columns]
                mixed = random.permutation(strip.reshape(-1, strip.shape[-1]))
                image[rows, columns] = mixed.reshape(strip.shape)
                changed.append(image)

        def moved(key: tuple[int, int], outputs: np.ndarray) -> np.ndarray | None:
            own = self.outputs.get(key)
            if own is None or not _may_be_map(own):
                return None
            if outputs.shape != (len(changed), *own.shape[1:]):
                return None
            by_place = np.abs(as_map(outputs) - as_map(own)).sum(-1, dtype=np.float64)
            return by_place.reshape(4, _CONTENTS, *by_place.shape[1:])

        return self._recorded(np.stack(changed), moved)

    def why_no_map(self, key: tuple[int, int]) -> str:
        """Return why a layer call is no map of the picture on the way to the score, or ``""``."""
        output = self.outputs.get(key)
        if output is None or not _may_be_map(output):
            return f"its output {None if output is None else output.shape} is no map of one picture"
        moved = self._moved.get(key)
        if moved is None:
            return "it has no row for each picture"
        if moved.max(initial=0) <= _MOVED * np.abs(output).max():
            return "it does not change with the picture"
        slope = self.by_layer.get(key)
        if slope is None or not np.abs(slope).max() > 0:
            return "the score does not depend on it"
        if (output >= 0).all() and np.allclose(output.sum(-1), 1, atol=1e-4):
            return "its rows add up to 1: these are attention weights"
        return _misplaced(moved)

    @cached_property
    def maps(self) -> list[tuple[int, int]]:
        """All layer calls that are maps on the way to the score, in order."""
        return [key for key in self.outputs if not self.why_no_map(key)]

    def key_of(self, path: str) -> tuple[int, int]:
        """Return the layer call that a reported path (``path`` or ``path@k``) means."""
        name, at, number = path.partition("@")
        layer = self.layers.get(name)
        calls = [key for key in self.outputs if layer is not None and key[0] == id(layer)]
        if not calls:
            raise Wrong(f"layer: {path!r} did not run")
        return calls[int(number)] if at else calls[-1]


def _misplaced(moved: np.ndarray) -> str:
    """Return which axis of a map is not the picture's, or ``""``.

    The centre of what moves must go down when the lower strip is changed instead of the upper one:
    surely (by two standard errors over the contents), and more than from left to right.
    """
    for axis, name in ((0, "rows"), (1, "columns")):
        length = moved.shape[2 + axis]
        if length == 1:
            continue
        along = moved.sum(3 - axis)  # (4, contents, length)
        centres = along @ np.arange(length) / np.maximum(along.sum(-1), 1e-300)
        down, right = centres[1] - centres[0], centres[3] - centres[2]
        own, other = (down, right) if axis == 0 else (right, down)
        if not own.mean() > max(2 * own.std() / (_CONTENTS - 1) ** 0.5, abs(other.mean())):
            return (
                f"its {name} are not the picture's: they move by {own.mean():.3f} of {length} with "
                f"the picture's, by {other.mean():.3f} with the other axis"
            )
    return ""


def _may_be_map(output: np.ndarray) -> bool:
    ranked = output.ndim in (3, 4) and output.shape[0] == 1
    return ranked and max(as_map(output).shape[1:3]) > 1


def as_map(output: np.ndarray) -> np.ndarray:
    """Return a layer's output (B, h, w, K) or square tokens (B, T, D), extra ones first, as a map.

    The families' pictures are square, and what is put before their tokens is fewer than a row more
    would take.
    """
    if output.ndim == 4:
        return output
    side = math.isqrt(output.shape[1])
    return output[:, output.shape[1] - side * side :].reshape(len(output), side, side, -1)


# ------------------------------------------------------------------------------ the backend by hand


def _numpy(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _is_float(tensor: Any) -> bool:
    return "float" in str(getattr(tensor, "dtype", ""))


@contextlib.contextmanager
def _watched(layers: Any, see: Any) -> Iterator[None]:
    """Let ``see((id of the layer, number of the call), output)`` replace every first output."""
    import keras

    counts: dict[int, int] = {}
    changed: list[tuple[Any, Any]] = []

    def standing(layer: Any, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            output = original(*args, **kwargs)
            key = id(layer), counts.get(id(layer), 0)
            counts[id(layer)] = key[1] + 1
            flat = keras.tree.flatten(output)
            if not flat or not _is_float(flat[0]):
                return output
            flat[0] = see(key, flat[0])
            return keras.tree.pack_sequence_as(output, flat)

        return call

    try:
        for layer in layers:
            changed.append((layer, layer.__dict__.get("call")))
            object.__setattr__(layer, "call", standing(layer, layer.call))
        yield
    finally:
        for layer, before in changed:
            if before is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", before)


def _differentiated(twin: Any, function: Any) -> Any:
    """Return what gives the gradients of ``function(*arrays).sum()``, by the backend itself."""
    import keras

    match keras.config.backend():
        case "torch":
            return lambda arrays: _by_torch(function, arrays)
        case "tensorflow":
            return lambda arrays: _by_tensorflow(function, arrays)
        case "jax":
            import jax

            def run(given: Any, values: Any) -> Any:
                mapping = list(zip(twin.variables, values, strict=True))
                with keras.StatelessScope(state_mapping=mapping):
                    return function(*given).sum()

            slopes = jax.jit(jax.grad(run))
            values = [variable.value for variable in twin.variables]
            return lambda arrays: [np.asarray(one) for one in slopes(arrays, values)]
        case other:
            raise ValueError(f"no gradient by hand on {other!r}")


def _by_torch(function: Any, arrays: list[np.ndarray]) -> list[np.ndarray | None]:
    import torch

    with torch.enable_grad():
        given = [torch.tensor(one, requires_grad=True) for one in arrays]
        result = torch.autograd.grad(function(*given).sum(), given, allow_unused=True)
    return [None if one is None else _numpy(one) for one in result]


def _by_tensorflow(function: Any, arrays: list[np.ndarray]) -> list[np.ndarray | None]:
    import tensorflow as tf

    given = [tf.constant(one) for one in arrays]
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = tf.reduce_sum(function(*given))
    return [None if one is None else _numpy(one) for one in tape.gradient(total, given)]
