"""How well a model predicts fixations, beside the centre bias below it and humans above it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_saliency import plot, progress, provenance
from keras_saliency.errors import FixationError
from keras_saliency.fixation.evaluation import Evaluation
from keras_saliency.fixation.predict import predict_fixations
from keras_saliency.metrics import fixation as metrics
from keras_saliency.metrics.baselines import CentreBias, Humans, centre_bias, human_ceiling

_CHUNK = 16  # pictures predicted at once; their maps are in memory together
_READ = "help(keras_saliency.fixation.evaluate)"


def evaluate(
    recordings: Sequence[Any],
    training: Sequence[Any] = (),
    model: Any = "default",
    *,
    name: str | None = None,
    mirror: bool | None = None,
    humans: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Score a model on recordings of human fixations.

    Each data set is scored by itself. Its centre bias is fitted on its training pictures; the
    negatives of shuffled AUC are the fixations of its other pictures.

    Args:
        recordings: Pictures to score, such as ``data.read_table(folder, split="val")``. Pictures
            without fixations are left out and counted.
        training: Recordings of the same data sets for the centre bias. A data set without any gets
            the centre bias of the scored pictures themselves, and the result says so.
        model: What `predict_fixations` takes, or a function from a recording to the natural
            logarithm of a density, (H, W), in the picture's frame.
        name: Of the model, in tables.
        mirror: As in `predict_fixations`.
        humans: Whether half of the observers are scored as a model of the other half. Pictures
            whose observers are not known, or fewer than two, have no such row.
        seed: Of the halves.

    Returns:
        A row for each picture and predictor, and their means.

    Raises:
        FixationError: There is no recording with a fixation.

    Source:
        The meaning of the metrics is that of the MIT/Tuebingen benchmark: Kuemmerer, Wallis,
        Bethge 2018, arXiv:1704.08615.

    Example:
        >>> from keras_saliency import data
        >>> scored = data.read_table("fixations", split="val")  # doctest: +SKIP
        >>> training = data.read_table("fixations", split="train")  # doctest: +SKIP
        >>> print(evaluate(scored, training))  # doctest: +SKIP
    """
    seen = [one for one in recordings if len(one.y)]
    if not seen:
        raise FixationError(
            "A model was to be scored on recordings.",
            f"None of the {len(recordings)} has a fixation.",
            "Name a split that has fixations.",
            _READ,
        )
    label = name or (model if isinstance(model, str) else str(getattr(model, "name", "model")))
    rows: list[dict[str, Any]] = []
    notes: dict[str, str] = {}
    if len(seen) < len(recordings):
        notes["left out"] = f"{len(recordings) - len(seen)} pictures without a fixation"
    sets = {one.dataset: [r for r in seen if r.dataset == one.dataset] for one in seen}
    for dataset, group in sets.items():
        fitted = [one for one in training if one.dataset == dataset and len(one.y)]
        if not fitted:
            notes[f"centre bias of {dataset}"] = "fitted on the scored pictures themselves"
        bias = centre_bias(fitted or group)
        scored = zip(group, _predicted(group, model, mirror), strict=True)
        for number, (one, log_density) in enumerate(progress.track(scored, len(group), dataset)):
            away, truth = metrics.others(group, number), one.density()
            baseline = bias.log_density(one.size)
            for who, guess in ((label, log_density), ("centre bias", baseline)):
                scores = _of_map(np.exp(guess), one, truth, away)
                scores["IG"] = metrics.information_gain(guess, baseline, one.y, one.x)
                rows.append({**_about(one, who), **scores})
        if humans:
            rows += _humans(group, bias, seed)
    return Evaluation(label, tuple(rows), {**provenance.of_backend(), "notes": notes, "seed": seed})


def best_and_worst(
    found: Evaluation,
    recordings: Sequence[Any],
    model: Any = "default",
    count: int = 3,
    *,
    mirror: bool | None = None,
) -> bytes:
    """Return a figure of the pictures with the most and the least information gain, as PNG.

    Args:
        found: What `evaluate` returned.
        recordings: What it was given.
        model: Likewise.
        count: Of the best, and of the worst.
        mirror: What `evaluate` was given.
    """
    order = found.ordered()
    chosen = [*order[:count], *order[max(count, len(order) - count) :]]
    known = {(one.dataset, one.name): one for one in recordings}
    group = [known[row["dataset"], row["picture"]] for row in chosen]
    rows = []
    maps = _predicted(group, model, mirror)
    for one, row, log_density in zip(group, chosen, maps, strict=True):
        picture = one.pixels()
        title = f"{one.dataset} {one.name}: {row['IG']:.2f} bit, NSS {row['NSS']:.2f}"
        measured = plot.Panel(picture, one.density(), title, f"measured ({len(one.y)} fixations)")
        rows.append([measured, plot.Panel(picture, np.exp(log_density), title, "predicted")])
    return plot.render_png(plot.comparison, rows)


def _predicted(group: Sequence[Any], model: Any, mirror: bool | None) -> Iterator[np.ndarray]:
    """Yield the log density of each recording; a function of recordings is called as it is."""
    if callable(model) and not hasattr(model, "layers"):
        yield from map(model, group)
        return
    for start in range(0, len(group), _CHUNK):
        pictures = [one.pixels() for one in group[start : start + _CHUNK]]
        yield from predict_fixations(pictures, model, mirror=mirror).log_maps()


def _about(one: Any, who: str) -> dict[str, Any]:
    return {
        "dataset": one.dataset,
        "category": one.category,
        "picture": one.name,
        "predictor": who,
        "fixations": len(one.y),
    }


def _of_map(saliency: np.ndarray, seen: Any, truth: np.ndarray, away: Any) -> dict[str, float]:
    return {
        "NSS": metrics.nss(saliency, seen.y, seen.x),
        "AUC": metrics.auc(saliency, seen.y, seen.x),
        "sAUC": metrics.shuffled_auc(saliency, seen.y, seen.x, *away),
        "CC": metrics.cc(saliency, truth),
        "SIM": metrics.similarity(saliency, truth),
        "KLD": metrics.kl_divergence(saliency, truth),
    }


def _humans(group: Sequence[Any], bias: CentreBias, seed: int) -> Iterable[dict[str, Any]]:
    known = [one for one in group if _observers(one) > 1]
    if not known:
        return
    humans = human_ceiling(known, bias, seed)
    for one in known:
        away = metrics.others(group, next(i for i, other in enumerate(group) if other is one))
        halves = [_half(humans, a, b, away, bias) for a, b in humans.halves(one)]
        means = {key: float(np.mean([half[key] for half in halves])) for key in halves[0]}
        yield {**_about(one, "humans"), **means}


def _observers(one: Any) -> int:
    return 0 if one.subject is None else len(np.unique(one.subject))


def _half(humans: Humans, a: Any, b: Any, away: Any, bias: CentreBias) -> dict[str, float]:
    log_density = humans.log_density(a)
    return {
        **_of_map(humans.saliency(a), b, humans.saliency(b), away),
        "IG": metrics.information_gain(log_density, bias.log_density(b.size), b.y, b.x),
    }
