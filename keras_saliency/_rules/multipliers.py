"""DeepLIFT: it propagates multipliers, differences of outputs over differences of inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency._graph import linear_steps, operations
from keras_saliency._graph.linear_steps import precise
from keras_saliency._graph.operations import Run, Step, is_float
from keras_saliency._rules import Rule, Scores
from keras_saliency._rules.one_run import OneRun, as_rows, casts, tensors

_SAME = 1e-10  # inputs that differ by less count as equal: there the gradient is used
_MASKED = -3e4  # of which the exponential is 0; fits half precision


@dataclass(frozen=True)
class DeepLiftRule(Rule):
    """DeepLIFT against a baseline, by the rescale rule; sums are linear and need none.

    Pictures and baselines run through the model together, one half of the batch each. Exact for
    products, softmax and normalisations as well: contributions sum to the difference in score.
    """

    method = "deep_lift"

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        """Run the model once; ``inputs`` are the baselines (B, H, W, C)."""
        import keras
        from keras import ops

        def doubled(nest):
            return keras.tree.map_structure(lambda one: ops.concatenate([one, one]), nest)

        both = ops.concatenate([images, inputs[0]])
        one_run = _OneRun(self)
        with one_run.running():
            result, aux = scores(one_run.run, both, doubled(target_args), doubled(extra_inputs))
        count = ops.shape(images)[0]
        first = keras.tree.map_structure(lambda one: one[:count], aux)
        back = {
            "baseline_scores": result[count:],
            "passed": as_rows(one_run.passed, images),
            "norms": ops.full((count,), one_run.norms),
        }
        return result[:count], {**first, "back": back}


class _OneRun(OneRun):
    norms = 0  # how many normalisations ran

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._constants: dict[int, Any] = {}  # tensors made of the model's own numbers alone

    def run(self, step: Step) -> Any:
        hidden = self._blind or casts(step.operation) or not step.inputs
        constant = not hidden and not any(map(self._follows, step.inputs))
        output = super().run(step)
        if constant:
            self._constants.update((id(one), one) for one in tensors(output))
        return output

    def _follows(self, x: Any) -> bool:
        """Whether a tensor may follow from the pictures."""
        return self._blind or (self.knows(x) and id(x) not in self._constants)

    def _changes(self, inputs: tuple[Any, ...]) -> list[bool]:
        """Return for each input whether it has rows; others are constants of the model."""
        rank = max(len(x.shape) for x in inputs)
        if not rank:
            return [False] * len(inputs)
        rows = max(x.shape[0] for x in inputs if len(x.shape) == rank)
        return [
            len(x.shape) > 0
            and x.shape[0] == rows
            and id(x) not in self._constants
            and (len(x.shape) == rank or self.knows(x))
            for x in inputs
        ]

    def step(self, step: Step) -> Any:
        import keras

        if self.choices(step) and any(map(is_float, keras.tree.flatten(output := step.run()))):
            self.passed.append((self._owner or step.operation.name, step.name))
            if not step.inputs:
                return output
        way = self._way(step) if step.inputs else Step.run
        if way is not Step.run and any(map(self.has_moved, step.inputs)):
            return self._rule.refused(step, "its first axis is not the pictures'")
        return way(step)

    def _way(self, step: Step) -> Run:
        name = step.name
        if step.keywords.get("training") is True and name in operations.TRAINED:
            return lambda step: self.without_rule(step, "it runs as in training")
        changing = sum(self._changes(step.inputs))
        if not changing:  # the model's own numbers
            return Step.run
        alone = changing == 1
        if name in ("Maximum", "Minimum") and alone:  # against a constant
            return self._rescaled
        if name.startswith(("MaxPool", "GlobalMaxPooling")):
            return _rescaled_maxima
        if operations.is_weighted_average(step):
            return lambda step: self.without_rule(step, "its weights change with the picture")
        linear = operations.KERNELS | operations.SUMS | operations.MOVES | operations.SCALINGS
        if name in linear or operations.is_nothing(name):
            return Step.run
        if name in operations.PRODUCTS:
            return self._product
        if name in operations.BILINEAR and changing <= 2:
            return Step.run if alone else self._bilinear
        if name in operations.SOFTMAXES:
            return _softmax
        if name in linear_steps.NORMS and alone:
            return self._norm
        if alone and (name in operations.ELEMENTWISE | operations.CURVES or " of " in name):
            return self._rescaled
        return self.without_rule

    def _norm(self, step: Step) -> Any:
        """(x - mean) times 1 / spread: squares and the reciprocal are rescaled, the product is
        shared as products are."""
        from keras import ops

        parts = linear_steps.norm(step)
        if parts is None:
            return self.without_rule(step, "only of its usual form a rule is known")
        self.norms += 1
        x = step.inputs[0]
        centred = parts.centred(precise(x))
        size = parts.size(_rescale(ops.square, centred))
        result = parts.scaled(_multiply(centred, _rescale(parts.inverse, size)))
        output = step.run()  # beta is in it, and every digit as the model has it
        result = ops.cast(result, output.dtype)
        return _backend.current().redirect(output, [result], lambda up: (up,))

    def _rescaled(self, step: Step) -> Any:
        index = self._changes(step.inputs).index(True)
        before, x, after = step.inputs[:index], step.inputs[index], step.inputs[index + 1 :]
        return _rescale(lambda x: step.function(*before, x, *after), x)

    def _product(self, step: Step) -> Any:
        from keras import ops

        changes = self._changes(step.inputs)
        if sum(changes) == 1:  # the others are constants, above or below the line
            return self._rescaled(step)
        if step.name == "Multiply":
            changing = [x for x, one in zip(step.inputs, changes, strict=True) if one]
            constant = [x for x, one in zip(step.inputs, changes, strict=True) if not one]
            return functools.reduce(ops.multiply, constant, functools.reduce(_multiply, changing))
        above, below = step.inputs
        return _multiply(above, _rescale(ops.reciprocal, below))

    def _bilinear(self, step: Step) -> Any:
        """Linear in each of two tensors."""
        changes = self._changes(step.inputs)
        one, other = (x for x, changing in zip(step.inputs, changes, strict=True) if changing)

        def function(one, other):
            pair = iter((one, other))
            return step.function(
                *(next(pair) if changing else x
                  for x, changing in zip(step.inputs, changes, strict=True))
            )  # fmt: skip

        return _half_way(function, step.run(), one, other)


def _halves(both: Any) -> tuple[Any, Any]:
    from keras import ops

    count = ops.shape(both)[0] // 2
    return both[:count], both[count:]


def _twice(half: Any) -> Any:
    from keras import ops

    return ops.concatenate([half, half])


def _over(change: Any, difference: Any, gradient: Any) -> Any:
    """Return change / difference; the gradient where the difference is 0."""
    from keras import ops

    dtype = gradient.dtype
    change, difference, gradient = (precise(one) for one in (change, difference, gradient))
    same = ops.abs(difference) < _SAME
    over = change / ops.where(same, ops.ones_like(difference), difference)
    return ops.cast(ops.where(same, gradient, over), dtype)


def _difference(both: Any) -> Any:
    x, baseline = _halves(both)
    return x - baseline


def _rescale(function: Callable[[Any], Any], x: Any) -> Any:
    """An elementwise function: the difference of outputs over that of inputs."""
    from keras import ops

    backend = _backend.current()
    output, pullback = backend.vjp(function, x)
    slope, _ = _halves(pullback(ops.ones_like(output))[0])
    multiplier = _twice(_over(_difference(output), _difference(x), slope))
    return backend.redirect(output, [x], lambda up: (up * multiplier,))


def _rescaled_maxima(step: Step) -> Any:
    """A maximum: a rise comes from the picture's winner, a fall from the baseline's."""
    from keras import ops

    backend = _backend.current()
    (x,) = step.inputs
    output, pullback = backend.vjp(step.function, x)
    now, before = _halves(output)
    largest = ops.maximum(now, before)

    def back(up):
        first, _ = _halves(up)
        shares = ops.concatenate([first * (largest - before), first * (now - largest)])
        rise, fall = _halves(pullback(shares)[0])
        slope, _ = _halves(pullback(up)[0])
        return (_twice(_over(rise + fall, _difference(x), slope)),)

    return backend.redirect(output, [x], back)


def _multiply(one: Any, other: Any) -> Any:
    from keras import ops

    return _half_way(ops.multiply, one * other, one, other)


def _half_way(function: Callable[..., Any], output: Any, one: Any, other: Any) -> Any:
    """A function linear in each of two tensors: the gradient half way between is exact."""
    backend = _backend.current()
    half_way = [_twice(sum(_halves(x)) / 2) for x in (one, other)]
    _, pullback = backend.vjp(function, *half_way)
    return backend.redirect(output, [one, other], pullback)


def _softmax(step: Step) -> Any:
    """e / sum(e): exponentials and the reciprocal are rescaled, the product as products are."""
    from keras import ops

    (x,) = step.inputs
    if (mask := step.keywords.get("mask")) is not None:
        x = ops.where(mask, x, ops.full_like(x, _MASKED))
    axis = -1 if step.name == "softmax" else step.operation.axis
    largest = ops.max(ops.stop_gradient(x), axis=axis, keepdims=True)
    largest = _twice(ops.maximum(*_halves(largest)))  # the same for both: differences stay
    exponentials = _rescale(ops.exp, x - largest)
    sums = ops.sum(exponentials, axis=axis, keepdims=True)
    return _multiply(exponentials, _rescale(ops.reciprocal, sums))
