"""Layer-wise relevance propagation: the score, redistributed from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency._graph import operations
from keras_saliency._rules import one_run, sharing
from keras_saliency._rules.relevance import Relevance
from keras_saliency.errors import MethodError
from keras_saliency.methods.base import EVERY, Attribution, PresetMixin, relative_error

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_COMPOSITES = {  # how convolutions share, how dense layers do; the first layer where it differs
    "epsilon": ("epsilon", "epsilon"),
    "gamma": ("gamma", "gamma"),
    "z_plus": ("z_plus", "z_plus"),
    "alpha2_beta1": ("alpha2_beta1", "alpha2_beta1"),
    "alpha_beta": ("alpha_beta", "alpha_beta"),
    "epsilon_plus": ("z_plus", "epsilon"),
    "epsilon_gamma_box": ("gamma", "epsilon", "z_box"),
    "epsilon_alpha2_beta1": ("alpha2_beta1", "epsilon"),
    "epsilon_alpha_beta": ("alpha_beta", "epsilon"),
}
_SINGLE = (
    "epsilon", "gamma", "z_plus", "alpha2_beta1", "alpha_beta", "w_square", "flat", "z_box",
)  # fmt: skip
# Beyond, the map misses more of the score than it holds (or has as much too much). Networks with
# biases usually lose a tenth to a half: that is the method, and the check states it.
_LOST = 0.5


@dataclass(frozen=True)
class LRP(PresetMixin):
    """The score goes back as relevance: each layer distributes its relevance to its inputs.

    Batch normalisation is folded into the layer before it, sums share by contribution, maxima give
    all to the winner. In layer, RMS, group and unit normalisation the divisor is held fixed
    (AttnLRP, Achtibat et al. 2024, arXiv:2402.05602); ``checks[i]["norms_held"]`` counts them. An
    error names a layer that has no rule. Biases absorb relevance, which is then lost:
    ``checks[i]["conservation_error"]`` is the lost share of the score, and
    ``checks[i]["kept_by_biases"]`` the share that biases absorb.

    Args:
        rule: How layers distribute relevance. For all of them: ``"epsilon"`` (by contribution),
            ``"gamma"`` (contributions of the sum's sign count more), ``"z_plus"`` (only positive
            ones), ``"alpha2_beta1"``, ``"alpha_beta"``. Composites take epsilon for ``Dense`` and
            ``EinsumDense``, also on maps and tokens, and another for convolutions:
            ``"epsilon_plus"`` (z_plus), ``"epsilon_gamma_box"`` (gamma, z_box at the first layer),
            ``"epsilon_alpha2_beta1"``, ``"epsilon_alpha_beta"``.
        first: The rule of the first layer, if another: also ``"w_square"`` (by squared weights),
            ``"flat"`` (evenly) or ``"z_box"`` (bounded by black and white).
        epsilon: For ``"epsilon"`` and for normalisations, as a share of the mean magnitude of a
            layer's outputs.
        gamma: For ``"gamma"``.
        absolute: Add epsilon as it is, as captum, zennit and innvestigate do.
        alpha: For ``"alpha_beta"``: how much positive contributions share; alpha - beta is 1.
        beta: And negative ones.
        rules: Rules of single layers, which take precedence: a mapping from a path (as
            `keras_saliency.layer_tree` lists them), a pattern (``"block1*"``) or a function
            ``(path, layer) -> bool`` to one of the names above that is no composite,
            ``"w_square"``, ``"flat"``, ``"z_box"``, or an object of
            `keras_saliency._rules.sharing`. If several match a layer, the first applies.
        low: The least value of a pixel in the model's input range, for ``"z_box"``: a number, one
            for each channel, or an array (H, W, C). ``None`` takes it from black and white.
        high: The greatest value, as ``low``.
        like: ``"captum"``: that library's options, see docs/migrating.md.

    Raises:
        MethodError: An impossible option; in explain(), a layer that has no rule.
        LayerError: In explain(), a path or pattern of ``rules`` that matches no layer.

    Example:
        >>> e = explain(model, img, methods.LRP("epsilon"))
        >>> bool(abs(e.values.sum() - e.scores) < 0.01 * abs(e.scores))  # this model has no biases
        True
        >>> e = explain(model, img, methods.LRP("epsilon_plus", rules={"classes": "gamma"}))
        >>> e.info["rules"]
        {'classes': 'gamma'}
    """

    family = "propagation"
    kinds = EVERY
    signed = True
    reference = (
        "Bach et al.: On Pixel-Wise Explanations by Layer-Wise Relevance Propagation, 2015; "
        "Montavon et al.: Layer-Wise Relevance Propagation, an Overview, 2019"
    )
    presets: ClassVar = {"captum": {"rule": "epsilon", "epsilon": 1e-9, "absolute": True}}

    rule: Literal[
        "epsilon", "gamma", "z_plus", "alpha2_beta1", "alpha_beta", "epsilon_plus",
        "epsilon_gamma_box", "epsilon_alpha2_beta1", "epsilon_alpha_beta",
    ] = "epsilon_plus"  # fmt: skip
    first: str | None = None
    epsilon: float = 1e-6
    gamma: float = 0.25
    absolute: bool = False
    alpha: float = 2.0
    beta: float = 1.0
    rules: Any = ()
    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        self._require(self.rule in _COMPOSITES, "rule", f"one of {tuple(_COMPOSITES)}")
        self._require(self.first in (None, *_SINGLE), "first", f"None or one of {_SINGLE}")
        self._require_share("epsilon")
        self._require_share("gamma")
        self._require(isinstance(self.absolute, bool), "absolute", "True or False")
        sharing.AlphaBeta(self.alpha, self.beta)  # refuses others
        object.__setattr__(self, "rules", sharing.checked(self.rules or (), _SINGLE))
        self._require_bounds()

    def _require_bounds(self) -> None:
        """Raise MethodError unless low and high are bounds of something."""
        if self.low is None and self.high is None:
            return
        name, other = ("low", "high") if self.low is None else ("high", "low")
        both = self.low is not None and self.high is not None
        self._require(both, name, f"set together with {other}")
        self._require(self._has_box(), "low", "None where no layer has the rule 'z_box'")
        try:
            low, high = (np.asarray(one, np.float64) for one in (self.low, self.high))
            below = bool(np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all())
        except (TypeError, ValueError):
            below = False
        self._require(below, "low", "a finite number or array below high")

    def _has_box(self) -> bool:
        rules = [*_COMPOSITES[self.rule][2:], *(rule for _, rule in self.rules)]
        if self.first is not None:
            rules = [self.first, *rules[len(_COMPOSITES[self.rule][2:]) :]]
        return any(rule == "z_box" or isinstance(rule, sharing.ZBox) for rule in rules)

    def parameters(self) -> dict[str, Any]:
        """Return the options, for a manifest; rules of single layers as text."""
        names = super().parameters()
        rules = {sharing.text_of(at): sharing.text_of(rule) for at, rule in self.rules}
        return {**names, "rules": rules}

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        convolution, dense, *first = map(self._named, _COMPOSITES[self.rule])
        layers = engine.layers_by_path if self.rules else {}
        chosen = sharing.resolved(self.rules, layers)
        rule = Relevance(
            self._named(self.first) if self.first else next(iter(first), None),
            convolution,
            dense,
            self._named("epsilon"),
            tuple((path, id(layers[path]), self._named(one)) for path, one in chosen.items()),
        )
        back = engine.backward(rule, *(self._bounds(engine) if self._has_box() else ()))
        scores, values = engine.scores, back.values
        reached = values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64)
        error = relative_error(reached, scores)
        size = np.where(scores == 0, np.finfo(np.float32).tiny, scores)[:, None]
        lost = back.collected[0].astype(np.float64) / size
        checks = {"conservation_error": error, "kept_by_biases": lost[:, 0]}
        if norms := int(back.seen["norms"][0]):
            checks["norms_held"] = np.full(len(values), norms)
        findings = [
            (*_inside(back.seen), *_loss(share, by_biases, altogether - by_biases) * bool(score))
            for score, share, (by_biases, altogether) in zip(
                scores, reached / size[:, 0], lost, strict=True
            )
        ]
        names = {path: sharing.text_of(one) for path, one in chosen.items()}
        return Attribution(values, checks, {"rules": names} if names else {}, findings)

    def _named(self, rule: str | sharing.LRPRule) -> sharing.LRPRule:
        """Return the rule of a name."""
        rules: Mapping[str, sharing.LRPRule] = {
            "epsilon": sharing.Epsilon(self.epsilon, self.absolute),
            "gamma": sharing.Gamma(self.gamma),
            "z_plus": sharing.AlphaBeta(1.0, 0.0),
            "alpha2_beta1": sharing.AlphaBeta(2.0, 1.0),
            "alpha_beta": sharing.AlphaBeta(self.alpha, self.beta),
            "w_square": sharing.WSquare(),
            "flat": sharing.Flat(),
            "z_box": sharing.ZBox(),
        }
        return rules[rule] if isinstance(rule, str) else rule

    def _bounds(self, engine: Engine) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the greatest value of each pixel, broadcastable to (B, H, W, C)."""
        if self.low is None:
            return _black_and_white(engine)
        shape = engine.images.shape
        try:
            low, high = (
                np.broadcast_to(np.asarray(one, np.float32), shape) for one in (self.low, self.high)
            )
        except ValueError as error:
            sizes = f"{np.shape(self.low)} and {np.shape(self.high)}"
            raise MethodError(
                f"Expected low and high that fit pictures of shape {shape[1:]}.",
                f"Got shapes {sizes}.",
                f"Pass numbers, {shape[-1]} numbers for channels, or arrays of shape {shape[1:]}.",
                "help(keras_saliency.methods.LRP)",
            ) from error
        return low, high


def _black_and_white(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value that a pixel can have, (B, 1, 1, C) each."""
    try:
        black, white = (engine.fill(name) for name in ("black", "white"))
    except MethodError as error:
        raise MethodError(
            "Expected black and white, which bound 'z_box' at the first layer of LRP.",
            error.got,
            "Pass explain(preprocess=...), methods.LRP(low=, high=), or another rule for the first "
            "layer, as in methods.LRP('epsilon_gamma_box', first='w_square').",
            "help(keras_saliency.methods.LRP)",
        ) from error
    if engine.kind.has_neighbours:  # the same everywhere
        black, white = _corner(black), _corner(white)
    return np.minimum(black, white), np.maximum(black, white)


def _corner(images: np.ndarray) -> np.ndarray:
    """Return the first position of each picture, with its channels."""
    return images[(slice(None), *[slice(1)] * (images.ndim - 2))]


def _inside(seen: Mapping[str, np.ndarray]) -> list[str]:
    """Return findings about calls that are not Keras' own."""
    said = []
    if passed := one_run.notes_of(seen["passed"]):
        said.append(
            f"in the call() of {one_run.said(passed)} no rule could be applied: relevance was "
            "passed there as gradients are, and may be lost or created"
        )
    if read := one_run.notes_of(seen["read"]):
        names = {name for _, name in read}
        ways = []
        if names - operations.PRODUCTS - operations.BILINEAR:
            ways.append("functions passed relevance on as activations do")
        if names & operations.PRODUCTS:
            ways.append("the larger factor of a product took all of it (equal ones alike)")
        if names & operations.BILINEAR:
            ways.append("each of two matrices took half of it")
        said.append(f"in the call() of {one_run.said(read)}, without layers: {', '.join(ways)}")
    return said


def _loss(reached: float, by_biases: float, absorbed: float) -> list[str]:
    """Return findings about relevance that does not arrive; all are shares of the score."""
    if not (math.isfinite(reached) and abs(1 - reached) > _LOST):
        return []
    takers = [
        (by_biases, "biases and constants in sums"),
        (absorbed, "epsilon, and outputs whose contributions are all of one sign,"),
    ]
    # Relevance has both signs: a bias may also add some, or absorb more than all of it.
    where = [
        f"{who} {'absorb' if share > 0 else 'add'} {abs(share):.0%}"
        for share, who in takers
        if abs(share) > 0.05
    ]
    return [
        f"the relevance adds up to {reached:.0%} of the score: "
        f"{' and '.join(where) or 'what was passed without a rule changed it'}; try 'deep_lift', "
        "where biases cancel, 'full_grad', which shows what they contribute, or another rule"
    ]
