"""How a layer with a kernel shares relevance among its inputs (Montavon et al. 2019).

Each way is exact for inputs of any sign. A share is a contribution over the sum of all; biases take
part in it, so what they contributed stays with them. (Left out, small sums blow up on networks with
batch normalisation.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency.backward.linear import Linear

_LEAST = 1e-9  # of the mean size of the sums, so that nothing is divided by 0

Back = Callable[[Any], Any]  # relevance of the outputs to relevance of the inputs


class Sharing(ABC):
    """A way to share."""

    @abstractmethod
    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        """Return the way back through one linear step.

        Args:
            step: The step.
            x: Its input.
            bounds: The least and the largest value that each input can have, where this is the
                first layer.
        """


@dataclass(frozen=True)
class Epsilon(Sharing):
    """By contribution: x_i w_ij / (z_j + epsilon sign(z_j)).

    Attributes:
        epsilon: As a share of the mean abs(z) of that picture.
    """

    epsilon: float = 1e-6

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        return _by_contribution(step, [(x, step.kernel)], step.bias, self.epsilon)


@dataclass(frozen=True)
class Gamma(Sharing):
    """Contributions of the sum's own sign count 1 + gamma times."""

    gamma: float = 0.25

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        with_sign, against = _split(x, step.kernel), _split(x, -step.kernel)
        bias = step.bias
        ways = []
        for sign, terms in ((1, with_sign), (-1, against)):
            favoured = [(part, step.kernel + self.gamma * sign * kernel) for part, kernel in terms]
            extra = None if bias is None else bias + self.gamma * sign * ops.relu(sign * bias)
            ways.append(_by_contribution(step, favoured, extra))
        total = step.apply(x, step.kernel)
        total = total if bias is None else total + bias

        def back(relevance):
            nothing = ops.zeros_like(relevance)
            return ways[0](ops.where(total > 0, relevance, nothing)) + ways[1](
                ops.where(total > 0, nothing, relevance)
            )

        return back


@dataclass(frozen=True)
class AlphaBeta(Sharing):
    """Positive contributions share alpha, negative ones -beta; alpha - beta is 1. z+ is (1, 0)."""

    alpha: float = 1.0
    beta: float = 0.0

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        bias = step.bias
        positive = _by_contribution(
            step, _split(x, step.kernel), None if bias is None else ops.relu(bias)
        )
        if not self.beta:
            return lambda relevance: self.alpha * positive(relevance)
        negative = _by_contribution(
            step, _split(x, -step.kernel), None if bias is None else ops.relu(-bias)
        )
        return lambda relevance: self.alpha * positive(relevance) - self.beta * negative(relevance)


@dataclass(frozen=True)
class WSquare(Sharing):
    """By squared weights, whatever the input."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        return _by_contribution(step, [(ops.ones_like(x), ops.square(step.kernel))], None)


@dataclass(frozen=True)
class Flat(Sharing):
    """To all inputs alike."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        return _by_contribution(step, [(ops.ones_like(x), ops.ones_like(step.kernel))], None)


@dataclass(frozen=True)
class ZBox(Sharing):
    """For pixels: by contribution, less what the least and the largest pixel would contribute."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        low, high = bounds
        terms = [(x, step.kernel), (-low, ops.relu(step.kernel)), (high, ops.relu(-step.kernel))]
        return _by_contribution(step, terms, None)


def divided(relevance: Any, sums: Any, epsilon: float = _LEAST) -> Any:
    """Return relevance over sums, kept away from 0 by a share of their mean size; 0 over 0 is 0."""
    from keras import ops

    axes = tuple(range(1, len(sums.shape)))
    away = epsilon * ops.mean(ops.abs(sums), axis=axes, keepdims=True)
    kept = ops.where(sums >= 0, sums + away, sums - away)
    nothing = kept == 0
    return ops.where(nothing, 0.0, relevance / ops.where(nothing, ops.ones_like(kept), kept))


def _split(x: Any, kernel: Any) -> list[tuple[Any, Any]]:
    """The positive contributions: positive inputs by positive weights, negative by negative."""
    from keras import ops

    return [(ops.relu(x), ops.relu(kernel)), (-ops.relu(-x), -ops.relu(-kernel))]


def _by_contribution(
    step: Linear, terms: list[tuple[Any, Any]], bias: Any, epsilon: float = _LEAST
) -> Back:
    """Share by the contributions of all terms (inputs, kernel) to their sum."""
    backend = _backend.current()
    sums, ways = bias, []
    for part, kernel in terms:
        output, pullback = backend.vjp(lambda x, kernel=kernel: step.apply(x, kernel), part)
        sums = output if sums is None else sums + output
        ways.append((part, pullback))

    def back(relevance):
        share = divided(relevance, sums, epsilon)
        return sum(part * pullback(share)[0] for part, pullback in ways)

    return back
