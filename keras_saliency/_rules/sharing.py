"""LRP rules of a layer with a kernel: shares of relevance for its inputs (Montavon et al. 2019).

Each rule is exact for inputs of any sign. A share is a contribution over the sum of all; biases
take part in it and absorb their own share. (Left out, small sums blow up on networks with
batch normalisation.)
"""

from __future__ import annotations

import fnmatch
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency._backend.hooks import is_builtin_keras_layer
from keras_saliency._graph import operations
from keras_saliency._graph.linear_steps import Linear
from keras_saliency.errors import LayerError, MethodError, did_you_mean

_LEAST = 1e-9  # of the mean size of the sums, to avoid division by 0

# Relevance of the outputs to that of the inputs, and to the part that biases absorb, (B,).
Back = Callable[[Any], tuple[Any, Any]]


class LRPRule(ABC):
    """A rule to share relevance."""

    @abstractmethod
    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        """Return the backward pass of one linear step.

        Args:
            step: The step.
            x: Its input.
            bounds: The least and the largest possible value of each input, for the first layer.
        """


@dataclass(frozen=True)
class Epsilon(LRPRule):
    """By contribution: x_i w_ij / (z_j + epsilon sign(z_j)), where sign(0) is 1.

    Attributes:
        epsilon: As a share of the mean abs(z) of that picture.
        absolute: Whether to add it unscaled, as captum, zennit and innvestigate do.
    """

    epsilon: float = 1e-6
    absolute: bool = False

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        return _by_contribution(step, [(x, step.kernel)], step.bias, self.epsilon, self.absolute)


@dataclass(frozen=True)
class Gamma(LRPRule):
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
            up, up_kept = ways[0](ops.where(total > 0, relevance, nothing))
            down, down_kept = ways[1](ops.where(total > 0, nothing, relevance))
            return up + down, up_kept + down_kept

        return back


@dataclass(frozen=True)
class AlphaBeta(LRPRule):
    """Positive contributions share alpha, negative ones -beta; alpha - beta is 1. z+ is (1, 0).

    Raises:
        MethodError: alpha - beta is not 1, or beta is below 0.
    """

    alpha: float = 1.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        """Refuse factors that would not conserve relevance."""
        fine = isinstance(self.alpha, int | float) and isinstance(self.beta, int | float)
        if not fine or not (self.beta >= 0 and math.isclose(self.alpha - self.beta, 1)):
            raise MethodError(
                "Expected alpha - beta = 1 with beta >= 0.",
                f"Got alpha={self.alpha!r}, beta={self.beta!r}.",
                "Pass alpha=2, beta=1, or alpha=1, beta=0, which is z+.",
                "help(keras_saliency.methods.LRP)",
            )

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        bias = step.bias
        positive = _by_contribution(
            step, _split(x, step.kernel), None if bias is None else ops.relu(bias)
        )
        if not self.beta:
            return positive  # alpha is 1
        negative = _by_contribution(
            step, _split(x, -step.kernel), None if bias is None else ops.relu(-bias)
        )

        def back(relevance):
            pairs = zip(positive(relevance), negative(relevance), strict=True)
            return tuple(self.alpha * one - self.beta * other for one, other in pairs)

        return back


class OfTheFirst(LRPRule):
    """A rule for the first layer: of a layer in two steps, for the first step."""


@dataclass(frozen=True)
class WSquare(OfTheFirst):
    """By squared weights, whatever the input."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        return _by_contribution(step, [(ops.ones_like(x), ops.square(step.kernel))], None)


@dataclass(frozen=True)
class Flat(OfTheFirst):
    """To all inputs alike."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        return _by_contribution(step, [(ops.ones_like(x), ops.ones_like(step.kernel))], None)


@dataclass(frozen=True)
class ZBox(OfTheFirst):
    """For pixels: by contribution, less what the least and the largest pixel would contribute."""

    def back(self, step: Linear, x: Any, bounds: tuple[Any, ...]) -> Back:
        from keras import ops

        low, high = bounds
        terms = [(x, step.kernel), (-low, ops.relu(step.kernel)), (high, ops.relu(-step.kernel))]
        return _by_contribution(step, terms, None)


def divided(relevance: Any, sums: Any, epsilon: float = _LEAST, absolute: bool = False) -> Any:
    """Return relevance over sums, moved away from 0 by a share of their mean size; 0 over 0 is 0.

    Where it is ``absolute``, epsilon is added as it is.
    """
    from keras import ops

    axes = tuple(range(1, len(sums.shape)))
    away = epsilon if absolute else epsilon * ops.mean(ops.abs(sums), axis=axes, keepdims=True)
    absorbed = ops.where(sums >= 0, sums + away, sums - away)
    nothing = absorbed == 0
    return ops.where(
        nothing, 0.0, relevance / ops.where(nothing, ops.ones_like(absorbed), absorbed)
    )


def _split(x: Any, kernel: Any) -> list[tuple[Any, Any]]:
    """The positive contributions: positive inputs by positive weights, negative by negative."""
    from keras import ops

    return [(ops.relu(x), ops.relu(kernel)), (-ops.relu(-x), -ops.relu(-kernel))]


def _by_contribution(
    step: Linear,
    terms: list[tuple[Any, Any]],
    bias: Any,
    epsilon: float = _LEAST,
    absolute: bool = False,
) -> Back:
    """Share by the contributions of all terms (inputs, kernel) to their sum."""
    from keras import ops

    backend = _backend.current()
    sums, ways = bias, []
    for part, kernel in terms:
        output, pullback = backend.vjp(lambda x, kernel=kernel: step.apply(x, kernel), part)
        sums = output if sums is None else sums + output
        ways.append((part, pullback))

    def back(relevance):
        share = divided(relevance, sums, epsilon, absolute)
        absorbed = total(share * bias if bias is not None else ops.zeros_like(share))
        return sum(part * pullback(share)[0] for part, pullback in ways), absorbed

    return back


def total(relevance: Any) -> Any:
    """Return the relevance of each picture, (B,)."""
    from keras import ops

    return ops.sum(relevance, axis=tuple(range(1, len(relevance.shape))))


Where = str | Callable[[str, Any], bool]  # a path, a pattern of paths, or (path, layer) -> bool
Rules = tuple[tuple[Where, str | LRPRule], ...]
_READ = "help(keras_saliency.methods.LRP)"


def checked(rules: Any, names: tuple[str, ...]) -> Rules:
    """Return rules as pairs, in their order.

    Args:
        rules: A mapping from path, pattern or predicate to a rule, or pairs of them.
        names: The rules that have a name.

    Raises:
        MethodError: They are none of these.
    """
    try:
        pairs = tuple(rules.items() if isinstance(rules, Mapping) else map(tuple, rules))
        good = all(_is_pair(pair, names) for pair in pairs)
    except TypeError:
        pairs, good = (), False
    if not good:
        raise MethodError(
            "Expected rules such as {'block1*': 'gamma', 'head': 'epsilon'}.",
            f"Got {rules!r}.",
            "Map the path of a layer, a pattern of paths or a function (path, layer) -> bool to "
            f"one of {names} or to a way of keras_saliency._rules.sharing.",
            _READ,
        )
    return pairs


def _is_pair(pair: Any, names: tuple[str, ...]) -> bool:
    if len(pair) != 2:
        return False
    where, rule = pair
    return (isinstance(where, str) or callable(where)) and (
        isinstance(rule, LRPRule) or (isinstance(rule, str) and rule in names)
    )


def resolved(rules: Rules, layers: Mapping[str, Any]) -> dict[str, str | LRPRule]:
    """Return the rule of each layer that one is for, by path; of several the first counts.

    Args:
        rules: As `checked` returns them.
        layers: All layers of the model by path.

    Raises:
        LayerError: One matches no layer with a kernel.
    """
    result: dict[str, str | LRPRule] = {}
    for where, rule in rules:
        matching = _matching(where, layers)
        sharing_ones = [path for path in matching if _has_kernel(layers[path])]
        if not sharing_ones:
            raise _no_kernel(where, matching, layers)
        for path in sharing_ones:
            result.setdefault(path, rule)
    return result


def _matching(where: Where, layers: Mapping[str, Any]) -> list[str]:
    if not isinstance(where, str):
        return [path for path, layer in layers.items() if where(path, layer)]
    if where in layers:
        return [where]
    return [path for path in layers if fnmatch.fnmatchcase(path, where)]


def _has_kernel(layer: Any) -> bool:
    return type(layer).__name__ in operations.KERNELS and is_builtin_keras_layer(layer)


def _no_kernel(where: Where, matching: list[str], layers: Mapping[str, Any]) -> LayerError:
    key = repr(where) if isinstance(where, str) else f"the function {text_of(where)}"
    what = f"Expected a layer with a kernel for the rule at {key}."
    kernels = [path for path, layer in layers.items() if _has_kernel(layer)]
    if matching:
        first = matching[0]
        inside = [path for path in kernels if path.startswith(first + "/")]
        return LayerError(
            what,
            f"Got {type(layers[first]).__name__} {first!r}, which has none.",
            f"Write {first + '/*'!r} for the layers inside." if inside else _some(kernels),
            "keras_saliency.layer_tree(model)",
        )
    near = did_you_mean(where, layers) if isinstance(where, str) else ""
    return LayerError(
        what, "No path matches.", near or _some(kernels), "keras_saliency.layer_tree(model)"
    )


def _some(kernels: list[str]) -> str:
    more = ", ..." if len(kernels) > 5 else ""
    return f"Layers with a kernel: {', '.join(map(repr, kernels[:5])) or 'none'}{more}."


def text_of(rule: Any) -> str:
    """Return a rule, or the key of its layers, as text for a manifest."""
    if isinstance(rule, str):
        return rule
    return repr(rule) if isinstance(rule, LRPRule) else getattr(rule, "__qualname__", repr(rule))
