"""Methods with cheap options, and the oracles that reject a wrong map of one.

Oracles know nothing of this package: they compare with a `Witness`, a network run by hand.

score      The explained score is the network's own on the preprocessed picture (of a classifier
           with a softmax: that of its twin without one, the same weights).
numbers    Maps have the picture's size, are finite, and are not 0 everywhere without a finding.
gradient   gradient, input_x_gradient, smooth_grad (of almost no noise) and integrated_gradients
           (eight Gauss-Legendre points) are recomputed from the backend's gradient; a network
           without rectifiers has it for guided_backprop and deconvnet too. full_grad is at least
           the input times the gradient, of which it is the sum with the biases' parts.
gap        The attributions of a method (paths, deep_lift, lrp) add up to the score, or the score's
           gap to the baseline, within 10 %, or a finding says that it does not. In lrp biases take
           relevance by definition: conservation_error must be the true share that is missing, and
           from half of the score on a finding must report it.
layer      The layer of a CAM changes with the picture; reaches the score (a gradient by its
           output that is not 0); has positions (the centre of what moves in it follows a strip of
           the picture that is changed, on each axis, and that axis more than the other); is no
           softmax over its last axis; and is late: at most half of all such maps come after it, or
           a finding says that it is early.
cam        grad_cam, hires_cam, layer_cam, x_grad_cam and eigen_cam are recomputed from the layer's
           output and gradient.
drops      occlusion is recomputed window by window; kernel_shap and shapley_sampling on four
           segments are the exact Shapley values of sixteen scores.

The others (rise, lime, xrai, score_cam, ablation_cam, the attention methods, grad_cam_pp,
finer_cam, guided_grad_cam) have the oracles above that apply to them, and no recomputed map.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.studies.coverage_witness import Witness, Wrong, as_map
from keras_saliency import methods

SAME = 0.02  # relative L2 of two maps that are the same; kinks of rectifiers move them 5e-3
SCORE = 1e-3  # relative difference of scores that are the same, and of their spread
HALF = 0.5  # of the score, that lrp may lose without a finding
GAP = 0.1  # of a gap, that may be missed without a finding: as explain() has it
STEPS = 8
BLUR = 4.0
NOISE = 1e-5  # of the picture's range, for smooth_grad: next to none
_FEW = r"attributions miss the score gap|more masks"  # what few steps or masks make a method say
_FINER = 8  # times as many
_CAMS = ("grad_cam", "hires_cam", "layer_cam", "x_grad_cam", "eigen_cam")


def method(name: str, witness: Witness) -> methods.Method:
    """Return a method with the options used here; baselines and fillings are 0 in model range."""
    image = witness.image
    side = image.shape[1]
    path = methods.IntegratedGradients(steps=STEPS, baseline=0.0)
    low, high = float(image.min()), float(image.max())
    options: dict[str, dict[str, Any]] = {
        "smooth_grad": {"samples": 2, "noise": NOISE},
        "integrated_gradients": {"steps": STEPS, "baseline": 0.0},
        "expected_gradients": {"samples": 8, "references": np.zeros_like(image)},
        "guided_integrated_gradients": {"steps": STEPS, "baseline": 0.0},
        "blur_integrated_gradients": {"steps": STEPS, "max_sigma": BLUR},
        "idgi": {"base": path},
        "xrai": {"base": methods.IntegratedGradients(steps=4, baseline=[low, high]),
                 "masks": np.stack([quarters(side) == k for k in range(4)]), "min_area": 1},
        "deep_lift": {"baseline": 0.0},
        "score_cam": {"channels": 4, "fill": 0.0},
        "ablation_cam": {"channels": 4},
        "occlusion": {"window": side // 4 + 1, "stride": side // 4 + 1, "fill": 0.0},
        "rise": {"masks": 8, "cells": 3, "fill": 0.0},
        "lime": {"segments": quarters(side), "samples": 24, "fill": 0.0},
        "kernel_shap": {"segments": quarters(side), "samples": 40, "fill": 0.0},
        "shapley_sampling": {"segments": quarters(side), "samples": 4, "fill": 0.0},
    }  # fmt: skip
    return methods.classes()[name](**options.get(name, {}))


def only_few(result: Any) -> bool:
    """Whether all findings are what few steps or masks, as here, make a method say."""
    findings = result.checks[0]["findings"]
    path = result.info["method"] not in ("lrp", "deep_lift")
    return path and bool(findings) and all(re.search(_FEW, one) for one in findings)


def finer(one: methods.Method) -> methods.Method | None:
    """Return the same method with more steps or samples; None where it has none."""
    if isinstance(getattr(one, "base", None), methods.IntegratedGradients):
        return replace(one, base=replace(one.base, steps=_FINER * one.base.steps))
    for option in ("steps", "samples"):
        if hasattr(one, option):
            return replace(one, **{option: _FINER * getattr(one, option)})
    return None


def is_better(finer: Any, result: Any) -> bool:
    """Whether more steps come at least twice as near to the gap, as a quadrature does.

    integrated_gradients need not: `check` recomputes it, steps and all.
    """
    if result.info["method"] == "integrated_gradients":
        return True
    errors = [one.checks[0].get("completeness_error") for one in (finer, result)]
    if None in errors:
        return not finer.checks[0]["findings"]
    return errors[0] <= max(errors[1] / 2, GAP)


def quarters(side: int) -> np.ndarray:
    """Return four segments, (H, W) labels."""
    rows = (np.arange(side) >= side // 2).astype(int)
    return 2 * rows[:, None] + rows[None, :]


def check(name: str, result: Any, witness: Witness) -> None:
    """Hold an explanation of one picture against the oracles.

    Args:
        name: The method's.
        result: An `Explanation`.
        witness: The network run by hand, on the same picture.

    Raises:
        Wrong: An oracle rejects it.
    """
    findings = result.checks[0]["findings"]
    _score(result, witness)
    _numbers(result, witness, findings)
    if layer := result.info.get("layer"):
        _layer(str(layer), witness, findings)
        if name in _CAMS:
            _same("cam", result.values[0], _cam(name, str(layer), witness), findings)
    if name == "gradient":
        _same("gradient", result.attributions, witness.slope, findings)
    elif name == "smooth_grad":
        rough = SAME + _roughness(witness)
        _same("gradient", result.attributions, witness.slope, findings, rough)
    elif name == "input_x_gradient":
        _same("gradient", result.attributions, witness.image * witness.slope, findings)
    elif name == "integrated_gradients":
        _same("gradient", result.attributions, _integrated(witness), findings)
    elif name in ("guided_backprop", "deconvnet") and not witness.family.rectified:
        _same("gradient", result.attributions, witness.slope, findings)
    elif name == "full_grad":
        least = np.abs(witness.image * witness.slope).sum(-1)
        if (result.values < least * (1 - SAME) - SAME * least.mean()).any():
            raise Wrong("gradient: less than the input times the gradient, which is a part of it")
    elif name == "occlusion":
        _same("drops", result.values[0], _occluded(witness), findings)
    elif name in ("kernel_shap", "shapley_sampling"):
        _same("drops", result.values[0], _shapley(witness), findings)
    if methods.classes()[name].complete or name in ("lrp", "deep_lift"):
        _gap(name, result, witness, findings)


# ----------------------------------------------------------------------------------------- oracles


def _score(result: Any, witness: Witness) -> None:
    given, own = float(result.scores[0]), witness.score
    if not abs(given - own) <= SCORE * max(abs(own), witness.spread):
        raise Wrong(f"score: {given:.5g} where the network gives {own:.5g}")


def _numbers(result: Any, witness: Witness, findings: tuple[str, ...]) -> None:
    values = result.values
    if values.shape != witness.image.shape[:3]:
        raise Wrong(f"numbers: shape {values.shape}")
    if findings:
        return
    if not np.isfinite(values).all():
        raise Wrong("numbers: not finite, and no finding")
    if not values.any():
        raise Wrong("numbers: 0 everywhere, and no finding")


def _layer(path: str, witness: Witness, findings: tuple[str, ...]) -> None:
    key = witness.key_of(path)
    if why := witness.why_no_map(key):
        raise Wrong(f"layer {path}: {why}")
    maps = witness.maps
    later = len(maps) - 1 - maps.index(key)
    reported = any(repr(path) in one and "is early" in one for one in findings)
    if later > len(maps) / 2 and not reported:
        raise Wrong(f"layer {path}: {later} of {len(maps)} maps on the way come after it")


def _same(
    oracle: str,
    one: np.ndarray,
    other: np.ndarray,
    findings: tuple[str, ...],
    tolerance: float = SAME,
) -> None:
    if one is None or one.shape != other.shape:
        raise Wrong(f"{oracle}: shape {getattr(one, 'shape', None)}, not {other.shape}")
    size, off = float(np.linalg.norm(other)), float(np.linalg.norm(one - other))
    if not off <= tolerance * size + 1e-12:
        if findings:  # nothing but rounding, and it is reported
            return
        raise Wrong(f"{oracle}: {off / max(size, 1e-30):.2g} of the map's size away from it")


def _gap(name: str, result: Any, witness: Witness, findings: tuple[str, ...]) -> None:
    image = witness.image
    if name == "lrp":
        gap = witness.score
    else:
        start = _blurred(image) if name == "blur_integrated_gradients" else np.zeros_like(image)
        gap = witness.score - float(witness.scores(start)[0])
    missed = abs(float(result.attributions.sum(dtype=np.float64)) - gap)
    noise = SCORE * np.abs(result.attributions).sum() + SCORE * abs(witness.score)
    if name == "lrp":  # what biases absorb is LRP's loss by definition: the number must say it
        reported = float(result.checks[0]["conservation_error"]) * abs(gap)
        if not abs(reported - missed) <= SAME * missed + noise:
            raise Wrong(f"gap: misses {missed:.3g}, and conservation_error says {reported:.3g}")
        if missed <= HALF * abs(gap):
            return
    if not missed <= GAP * abs(gap) + noise and not findings:
        raise Wrong(f"gap: misses {missed / max(abs(gap), 1e-30):.0%} of it, and no finding")


# ------------------------------------------------------------------------------------------ by hand


def _roughness(witness: Witness) -> float:
    """Return how much the gradient changes where smooth_grad looks, in relative L2: kinks."""
    random, reach = np.random.default_rng(1), NOISE * np.ptp(witness.image)
    near = (witness.image + reach * random.normal(size=witness.image.shape) for _ in range(3))
    off = max(float(np.linalg.norm(witness.gradient(one) - witness.slope)) for one in near)
    return off / max(float(np.linalg.norm(witness.slope)), 1e-30)


def _integrated(witness: Witness) -> np.ndarray:
    places, weights = np.polynomial.legendre.leggauss(STEPS)
    total = sum(
        weight / 2 * witness.gradient((place + 1) / 2 * witness.image).astype(np.float64)
        for place, weight in zip(places, weights, strict=True)
    )
    return witness.image * total


def _blurred(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = (0, BLUR, BLUR, 0)
    return gaussian_filter(image.astype(np.float64), sigma, mode="mirror").astype(np.float32)


def _cam(name: str, path: str, witness: Witness) -> np.ndarray:
    """Return a CAM of a layer at the picture's size, by its definition."""
    from PIL import Image

    key = witness.key_of(path)
    maps = as_map(witness.outputs[key])[0].astype(np.float64)
    slopes = as_map(witness.by_layer[key])[0].astype(np.float64)
    if name == "grad_cam":
        grid = np.maximum(maps @ slopes.mean((0, 1)), 0)
    elif name == "hires_cam":
        grid = np.maximum((maps * slopes).sum(-1), 0)
    elif name == "layer_cam":
        grid = np.maximum((maps * np.maximum(slopes, 0)).sum(-1), 0)
    elif name == "x_grad_cam":
        total, size = maps.sum((0, 1)), np.abs(maps).sum((0, 1))
        shares = (maps * slopes).sum((0, 1)) / np.where(np.abs(total) > 1e-5 * size, total, np.inf)
        grid = np.maximum(maps @ shares, 0)
    else:
        flat = maps.reshape(-1, maps.shape[-1])
        first = np.linalg.svd(flat, full_matrices=False)[2][0]
        grid = (flat @ (first * np.sign(first.sum()))).reshape(maps.shape[:2])
    side = witness.image.shape[1:3][::-1]
    whole = Image.fromarray(grid.astype(np.float32))
    return np.asarray(whole.resize(side, Image.Resampling.BILINEAR))


def _occluded(witness: Witness) -> np.ndarray:
    side = witness.image.shape[1]
    window = side // 4 + 1
    grid = np.zeros((side, side))
    for top, left in itertools.product(range(0, side, window), repeat=2):
        covered = witness.image.copy()
        covered[:, top : top + window, left : left + window] = 0
        grid[top : top + window, left : left + window] = witness.score - witness.scores(covered)[0]
    return grid


def _shapley(witness: Witness) -> np.ndarray:
    labels = quarters(witness.image.shape[1])
    worth = {}
    for shown in itertools.product((0, 1), repeat=4):
        mask = np.array(shown)[labels][None, :, :, None]
        worth[shown] = witness.scores(witness.image * mask.astype(np.float32))[0]
    values = np.zeros(4)
    for shown in worth:
        for player in range(4):
            if not shown[player]:
                joined = tuple(1 if one == player else shown[one] for one in range(4))
                weight = math.factorial(sum(shown)) * math.factorial(3 - sum(shown)) / 24
                values[player] += weight * (worth[joined] - worth[shown])
    return values[labels]
