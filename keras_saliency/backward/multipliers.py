"""DeepLIFT: what goes back are multipliers, differences of outputs over differences of inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency.backward import kinds
from keras_saliency.backward.base import Rule, Scores
from keras_saliency.backward.linear import precise
from keras_saliency.intercept import is_ours_to_split
from keras_saliency.pieces import Piece, Run

_SAME = 1e-10  # inputs that differ by less count as equal: there the gradient is taken
_MASKED = -3e4  # of which the exponential is 0; fits half precision


@dataclass(frozen=True)
class Multipliers(Rule):
    """Multipliers against a baseline, by the rescale rule; sums are linear and need none.

    Pictures and baselines run through the model together, one half of the batch each. Exact for
    products and softmax as well: contributions sum to the difference in score.
    """

    method = "deep_lift"

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        """Run the model once; ``given`` are the baselines (B, H, W, C)."""
        import keras
        from keras import ops

        def doubled(nest):
            return keras.tree.map_structure(lambda one: ops.concatenate([one, one]), nest)

        both = ops.concatenate([images, given[0]])
        found, learnt = scores(self._run, both, doubled(rows), doubled(sides))
        count = ops.shape(images)[0]
        first = keras.tree.map_structure(lambda one: one[:count], learnt)
        return found[:count], {**first, "back": {"baseline_scores": found[count:]}}

    def _run(self, piece: Piece) -> Any:
        if kinds.is_container(piece.operation) or not piece.inputs:
            return piece.run()
        return self._way(piece)(piece)

    def _way(self, piece: Piece) -> Run:
        name = piece.name
        if not is_ours_to_split(piece.operation):
            return self.opaque
        alone = sum(_changes(piece.inputs)) == 1
        if name in ("Maximum", "Minimum") and alone:  # against a constant
            return _rescaled
        if name.startswith(("MaxPooling", "GlobalMaxPooling")):
            return _rescaled_maxima
        linear = kinds.KERNELS | kinds.SUMS | kinds.MOVES | kinds.SCALINGS
        if name in linear or kinds.is_nothing(name):
            return Piece.run
        if name in kinds.PRODUCTS:
            return _product
        if name in kinds.SOFTMAXES:
            return _softmax
        if alone and (name in kinds.ELEMENTWISE or " of " in name):
            return _rescaled
        return self.refused


def _changes(inputs: tuple[Any, ...]) -> list[bool]:
    """Return for each input whether it has rows; what has not is a constant of the model."""
    rank = max(len(x.shape) for x in inputs)
    rows = max(x.shape[0] for x in inputs if len(x.shape) == rank)
    return [len(x.shape) == rank and x.shape[0] == rows for x in inputs]


def _halves(both: Any) -> tuple[Any, Any]:
    from keras import ops

    count = ops.shape(both)[0] // 2
    return both[:count], both[count:]


def _twice(half: Any) -> Any:
    from keras import ops

    return ops.concatenate([half, half])


def _over(change: Any, given: Any, gradient: Any) -> Any:
    """Return change / given; the gradient where nothing is given."""
    from keras import ops

    dtype = gradient.dtype
    change, given, gradient = (precise(one) for one in (change, given, gradient))
    same = ops.abs(given) < _SAME
    over = change / ops.where(same, ops.ones_like(given), given)
    return ops.cast(ops.where(same, gradient, over), dtype)


def _difference(both: Any) -> Any:
    x, baseline = _halves(both)
    return x - baseline


def _rescaled(piece: Piece) -> Any:
    place = _changes(piece.inputs).index(True)
    before, x, after = piece.inputs[:place], piece.inputs[place], piece.inputs[place + 1 :]
    return _rescale(lambda x: piece.function(*before, x, *after), x)


def _rescale(function: Callable[[Any], Any], x: Any) -> Any:
    """An elementwise function: the difference of outputs over that of inputs."""
    from keras import ops

    backend = _backend.current()
    output, pullback = backend.vjp(function, x)
    slope, _ = _halves(pullback(ops.ones_like(output))[0])
    multiplier = _twice(_over(_difference(output), _difference(x), slope))
    return backend.redirect(output, [x], lambda up: (up * multiplier,))


def _rescaled_maxima(piece: Piece) -> Any:
    """A maximum: a rise comes from the picture's winner, a fall from the baseline's."""
    from keras import ops

    backend = _backend.current()
    (x,) = piece.inputs
    output, pullback = backend.vjp(piece.function, x)
    now, before = _halves(output)
    largest = ops.maximum(now, before)

    def back(up):
        first, _ = _halves(up)
        shares = ops.concatenate([first * (largest - before), first * (now - largest)])
        rise, fall = _halves(pullback(shares)[0])
        slope, _ = _halves(pullback(up)[0])
        return (_twice(_over(rise + fall, _difference(x), slope)),)

    return backend.redirect(output, [x], back)


def _product(piece: Piece) -> Any:
    from keras import ops

    changes = _changes(piece.inputs)
    if sum(changes) == 1:  # the others are constants, above or below the line
        return _rescaled(piece)
    if piece.name == "Multiply":
        changing = [x for x, one in zip(piece.inputs, changes, strict=True) if one]
        constant = [x for x, one in zip(piece.inputs, changes, strict=True) if not one]
        return functools.reduce(ops.multiply, constant, functools.reduce(_multiply, changing))
    above, below = piece.inputs
    return _multiply(above, _rescale(ops.reciprocal, below))


def _multiply(one: Any, other: Any) -> Any:
    """For two factors the gradient half way between is exact."""
    from keras import ops

    backend = _backend.current()
    half_way = [_twice(sum(_halves(x)) / 2) for x in (one, other)]
    _, pullback = backend.vjp(ops.multiply, *half_way)
    return backend.redirect(one * other, [one, other], pullback)


def _softmax(piece: Piece) -> Any:
    """e / sum(e): exponentials and the reciprocal are rescaled, the product as products are."""
    from keras import ops

    (x,) = piece.inputs
    if (mask := piece.keywords.get("mask")) is not None:
        x = ops.where(mask, x, ops.full_like(x, _MASKED))
    axis = -1 if piece.name == "softmax" else piece.operation.axis
    largest = ops.max(ops.stop_gradient(x), axis=axis, keepdims=True)
    largest = _twice(ops.maximum(*_halves(largest)))  # the same for both: differences stay
    exponentials = _rescale(ops.exp, x - largest)
    sums = ops.sum(exponentials, axis=axis, keepdims=True)
    return _multiply(exponentials, _rescale(ops.reciprocal, sums))
