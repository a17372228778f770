"""What a law gets, and how it reports that a method breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import LawError
from keras_saliency.methods import Method
from keras_saliency.testing import networks

# float32 sums in another order (another batch size, another layout) differ by rounding; a ReLU near
# 0 is no risk on these networks, whose largest difference over all backends was 4e-7 of the peak.
_ROUNDING = 1e-5
_READ = "help(keras_saliency.testing)"

Run: TypeAlias = Callable[..., Explanation]  # (model, x, **options of explain)


@dataclass(frozen=True)
class Case:
    """A method with cheap options, and what the laws need to know of it.

    Attributes:
        method: The method.
        on_linear: ``(w, x)`` to the map (B, H, W) for y = sum(w * x), w and x of shape
            (B, H, W, C) and baseline 0.
        on_cam: ``(a, v)`` to the grid (B, h, w) of a CAM for y = sum_k v_k mean(A_k).
        only_classes: Whether a target that is no class is refused.
        baseline: Of a complete method, pictures to the pictures that its attributions start from.
        networks: The module that the laws take their networks from.
    """

    method: Method
    on_linear: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    on_cam: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    only_classes: bool = False
    baseline: Callable[[np.ndarray], np.ndarray] = np.zeros_like
    networks: Any = networks

    def __str__(self) -> str:
        return self.method.name


class Inapplicable(Exception):
    """A law that this machine cannot run."""


def broken(what: str, got: str, fix: str) -> LawError:
    """Return the error of a broken law."""
    return LawError(what, got, fix, _READ)


def require(holds: bool, what: str, got: str, fix: str) -> None:
    """Raise LawError unless ``holds``."""
    if not holds:
        raise broken(what, got, fix)


def same(
    one: np.ndarray, other: np.ndarray, what: str, fix: str, tolerance: float = _ROUNDING
) -> None:
    """Raise LawError unless ``one`` is ``other``, to a share of the other's largest value."""
    _same_shape(one, other, what, fix)
    peak = max(np.abs(other).max(), 1e-6)
    gap = np.abs(one - other)
    if not gap.max() <= tolerance * peak:  # NaN is no small gap
        raise broken(
            f"Expected {what}, to {tolerance:g} of the largest value.",
            f"Got {_at(gap, one, other)}, {gap.max() / peak:.2g} of the largest value apart.",
            fix,
        )


def identical(one: np.ndarray, other: np.ndarray, what: str, fix: str) -> None:
    """Raise LawError unless two arrays are the same to the last bit."""
    _same_shape(one, other, what, fix)
    if not np.array_equal(one, other, equal_nan=True):
        where = _at(np.abs(one - other), one, other)
        raise broken(f"Expected {what}, to the last bit.", f"Got {where}.", fix)


def raises(kind: type[Exception], words: str, act: Callable[[], Any], what: str, fix: str) -> None:
    """Raise LawError unless ``act`` raises an error of a kind, whose message has these words."""
    try:
        act()
    except kind as error:
        said = str(error)
        require(re.search(words, said) is not None, f"Expected {what}.", f"Got {said!r}.", fix)
    else:
        raise broken(f"Expected {what}.", "Got no error.", fix)


def listed(numbers: np.ndarray) -> str:
    """Return numbers as text."""
    return ", ".join(f"{number:.3g}" for number in numbers)


def to_array(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _same_shape(one: np.ndarray, other: np.ndarray, what: str, fix: str) -> None:
    shape = np.shape(one)
    require(
        shape == other.shape,
        f"Expected {what}, of shape {other.shape}.",
        f"Got shape {shape}.",
        fix,
    )


def _at(gap: np.ndarray, one: np.ndarray, other: np.ndarray) -> str:
    """Return both values where they differ most, or where one first is NaN."""
    place = tuple(int(i) for i in np.unravel_index(gap.argmax(), gap.shape))
    return f"{one[place]:.6g} instead of {other[place]:.6g} at {list(place)}"


_NOTES = ("_called", "_parent_path")


def state(model: Any) -> dict[str, Any]:
    """Return all that a user could notice: weights, flags, and every attribute of every layer.

    Left out are Keras' own notes that a layer has been called, and where from.
    """
    layers = [model, *model._flatten_layers(include_self=False)]
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "trainable flags": [
            (v.trainable, getattr(v.value, "requires_grad", None)) for v in model.variables
        ],
        "attributes": [
            {k: id(v) for k, v in layer.__dict__.items() if k not in _NOTES} for layer in layers
        ],
        "gradients": [
            getattr(getattr(v, "value", None), "grad", None) is None for v in model.variables
        ],
        "losses": [len(layer.losses) for layer in layers],
    }


def unchanged(model: Any, before: dict[str, Any]) -> None:
    """Raise LawError unless a model's `state` is as before."""
    after = state(model)
    require(
        after == before,
        "Expected the model as it was before the run.",
        f"Got other {', '.join(name for name in after if after[name] != before[name])}.",
        "Take gradients and activations from the engine, and write to no layer.",
    )


def with_output(
    layer: Any, change: Callable[[Any], Any], model: Any, given: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's output and the head's, where that output is changed on the way."""
    call, seen = layer.call, []

    def changed(*args: Any, **kwargs: Any) -> Any:
        seen.append(to_array(call(*args, **kwargs)))
        return change(keras.ops.convert_to_tensor(seen[-1]))

    layer.call = changed
    try:
        head = model({name: keras.ops.convert_to_tensor(x) for name, x in given.items()})["head"]
    finally:
        del layer.call
    return seen[0], to_array(head)
