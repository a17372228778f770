"""Laws about what a method claims: on linear networks, of the score's change, of seed and sign."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_saliency import errors, targets
from keras_saliency._results.explanation import Explanation
from keras_saliency.testing import networks
from keras_saliency.testing.case import (
    Case,
    Run,
    broken,
    identical,
    listed,
    raises,
    require,
    same,
    to_array,
    with_output,
)


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
