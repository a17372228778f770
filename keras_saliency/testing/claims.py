"""Laws about what a method claims: on linear networks, of the score's change, of seed and sign."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_saliency import errors, targets
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


def another_seed_another_map_if_stochastic(run: Run, case: Case) -> None:
    """Another seed gives another map if the method is stochastic, and the same map if not."""
    x = networks.pictures(1)
    one, other = (run(case.networks.flat(), x, seed=seed).values for seed in (3, 4))
    if case.method.stochastic:
        require(
            not np.array_equal(one, other),
            "Expected another map from another seed, since stochastic is True.",
            "Got the same map from seeds 3 and 4.",
            "Draw random numbers from np.random.default_rng(seed), or set stochastic = False.",
        )
    else:
        what = "the same map from seeds 3 and 4, since stochastic is False"
        identical(one, other, what, "Set stochastic = True.")


def exact_on_linear(run: Run, case: Case) -> None:
    """On a linear network the map is the one that the method's formula gives."""
    fix = "Correct attribute(), or the formula that is passed."
    if case.on_linear is not None:
        x = networks.pictures(2)
        model, w = networks.linear()
        e = run(model, x, target=[1, 4])
        wanted = case.on_linear(w[[1, 4]], x).astype("float32")
        same(e.values, wanted, "the map on_linear(w, x) for y = sum(w * x)", fix, 1e-4)
    if case.on_cam is not None:
        x = networks.pictures(2)
        model, kernel, head = networks.pooled()
        e = run(model, x, target=2)
        wanted = case.on_cam(np.maximum(x @ kernel, 0), head[:, 2]).astype("float32")
        same(e.values, wanted, "the grid on_cam(a, v) for y = sum_k v_k mean(A_k)", fix, 1e-4)


def dead_pixel_gets_zero(run: Run, case: Case) -> None:
    """A pixel that the score ignores gets 0 from a local method; others get something."""
    values, half = run(case.networks.blind(), networks.pictures(2)).values, networks.SIZE // 2
    ignored = np.ones(values.shape, bool)
    ignored[:, :half, :half] = False
    others = int(np.count_nonzero(values[ignored]))
    require(
        not case.method.local or not others,
        "Expected 0 at pixels that the score ignores, since local is True.",
        f"Got others at {others} of {ignored.sum()}, up to {np.abs(values[ignored]).max():.3g}.",
        "Set local = False if a grid or a mask blurs the map.",
    )
    require(
        bool(values[~ignored].any()),
        "Expected a map that is not 0 at the pixels that the score depends on.",
        "Got only zeros there.",
        "Check that attribute() uses the score or its gradient.",
    )


def complete_where_claimed(run: Run, case: Case) -> None:
    """Attributions of a complete method sum to the change in score from its baseline."""
    x = networks.pictures(2)
    e = run(case.networks.flat(), x, target=1)
    logits = [to_array(case.networks.logits()(z))[:, 1] for z in (x, case.baseline(x))]
    gap = (logits[0] - logits[1]).astype("float64")
    if e.attributions is None or any("completeness_error" not in one for one in e.checks):
        raise broken(
            "Expected attributions (B, H, W, C) and the check 'completeness_error', since complete "
            "is True.",
            "Got none of the first." if e.attributions is None else "Got none of the second.",
            "Return Attribution(values, checks={'completeness_error': errors}), errors (B,).",
        )
    # Relative to the gap in score: an absolute bound once let a map pass that was 10 % wrong.
    sums = e.attributions.sum((1, 2, 3), dtype="float64")
    require(
        bool((np.abs(sums - gap) <= 0.03 * np.abs(gap)).all()),
        "Expected attributions that sum to the change in score from the baseline, to 3 %.",
        f"Got sums {listed(sums)}; the score changes by {listed(gap)}.",
        "Pass baseline= if it is not 0, take more steps, or set complete = False.",
    )
    reported = np.array([one["completeness_error"] for one in e.checks])
    require(
        bool((reported <= 0.03).all()),
        "Expected the check 'completeness_error' to be 0.03 or less.",
        f"Got {listed(reported)}.",
        "Report the share of the change in score that the attributions miss.",
    )


def unsigned_is_non_negative(run: Run, case: Case) -> None:
    """A map whose sign means nothing has no negative values."""
    values = run(case.networks.flat(), networks.pictures(2)).values
    require(
        bool((values >= 0).all()),
        "Expected no negative values, since signed is False.",
        f"Got {int((values < 0).sum())} of {values.size}, down to {values.min():.3g}.",
        "Set signed = True, or take magnitudes in to_map().",
    )


def _argmax(outputs: Any) -> Any:
    return keras.ops.cast(keras.ops.argmax(outputs, axis=-1), "float32")


def gradient_free_where_claimed(run: Run, case: Case) -> None:
    """A score without a gradient is explained or refused, as the method claims."""

    def explained() -> Explanation:
        return run(case.networks.flat(), networks.pictures(1), target=_argmax)

    if case.only_classes:
        what = "the MethodError '... is no class' for a target that is no class"
        raises(errors.MethodError, "is no class", explained, what, "Pass only_classes=False.")
    elif case.method.needs_gradient:
        what = "a GradientError for a score without a gradient, since needs_gradient is True"
        fix = "Set needs_gradient = False if it works without, or let engine.gradient() raise."
        raises(errors.GradientError, "No differentiable path", explained, what, fix)
    else:
        score = float(to_array(_argmax(case.networks.flat()(networks.pictures(1))))[0])
        explained_score = float(explained().scores[0])
        require(
            explained_score == score,
            f"Expected the score {score:g}.",
            f"Got {explained_score:g}.",
            "Take scores from the engine.",
        )


def layer_is_reached_and_reaches(run: Run, case: Case) -> None:
    """A CAM's layer changes with the explained picture, and the score with the layer."""
    model = case.networks.two_inputs_two_heads()
    given = {"picture": networks.pictures(1), "other": networks.pictures(1, seed=1)}
    e = run(model, given, target=targets.Class(1, output="head"))
    fix = (
        "Return info={'layer': at.layer}, of at = engine.layer_gradient() or engine.activations()."
    )
    name = e.info.get("layer")
    if not isinstance(name, str):
        raise broken("Expected info['layer'], the layer's name.", f"Got {name!r}.", fix)
    layer = model
    for part in name.partition("@")[0].split("/"):
        layer = layer.get_layer(part)
    one, score = with_output(layer, lambda y: y, model, given)
    another, _ = with_output(layer, lambda y: y, model, {**given, "picture": -given["picture"]})
    _, without = with_output(layer, keras.ops.zeros_like, model, given)
    require(
        not np.array_equal(one, another),
        "Expected a layer whose output changes with the explained picture.",
        f"Got {name!r}, whose output stays the same.",
        fix,
    )
    require(
        not np.array_equal(score, without),
        "Expected a layer that the score depends on.",
        f"Got {name!r}; with zeros for its output the score stays the same.",
        fix,
    )
