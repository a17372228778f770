"""How well a model predicts fixations, beside the centre bias below it and humans above it."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_saliency import plot
from keras_saliency._io import encoding, folders, track
from keras_saliency._io.files import local_path, shown
from keras_saliency._results import provenance
from keras_saliency.errors import FixationError, _arguments
from keras_saliency.fixation.metrics import scores as metrics
from keras_saliency.fixation.metrics.baselines import CentreBias, Humans, centre_bias, human_ceiling
from keras_saliency.fixation.predict import predict_fixations
from keras_saliency.fixation.predictor import FixationModelLike

_CHUNK = 16  # pictures predicted at once; their maps are in memory together
_READ = "help(keras_saliency.fixation.evaluate)"


def evaluate(
    recordings: Sequence[Any],
    training: Sequence[Any] = (),
    model: FixationModelLike = "default",
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
            the centre bias of the scored pictures themselves, which ``info["notes"]`` reports.
        model: As in `predict_fixations`, or a function from a recording to the natural logarithm
            of a density, (H, W), in the picture's frame.
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
        >>> from keras_saliency.fixation import data
        >>> scored = data.read_table("fixations", split="val")  # doctest: +SKIP
        >>> training = data.read_table("fixations", split="train")  # doctest: +SKIP
        >>> print(evaluate(scored, training))  # doctest: +SKIP
    """
    seed = _arguments.seed(seed, FixationError, _READ)
    seen = [one for one in recordings if len(one.y)]
    if not seen:
        raise FixationError(
            "Expected recordings with fixations.",
            f"None of the {len(recordings)} recordings has one.",
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
        for number, (one, log_density) in enumerate(track(scored, len(group), dataset)):
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
    result: Evaluation,
    recordings: Sequence[Any],
    model: Any = "default",
    count: int = 3,
    *,
    mirror: bool | None = None,
) -> bytes:
    """Return a figure of the pictures with the most and the least information gain, as PNG.

    Args:
        result: What `evaluate` returned.
        recordings: As passed to `evaluate`.
        model: As passed to `evaluate`.
        count: Of the best, and of the worst.
        mirror: As passed to `evaluate`.
    """
    order = result.ordered()
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


METRICS = ("NSS", "AUC", "sAUC", "CC", "SIM", "KLD", "IG")
_JSON, _CSV, _TEXT, _FIGURE = "evaluation.json", "pictures.csv", "table.md", "best_and_worst.png"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a model, of the centre bias and of humans, picture by picture.

    Attributes:
        model: The model's name in the rows.
        rows: A dict for each picture and predictor: ``dataset``, ``category``, ``picture``,
            ``predictor``, ``fixations`` and the metrics NSS, AUC, sAUC, CC, SIM, KLD (nat; less is
            better) and IG (bit over the centre bias).
        info: Backend, versions, and ``notes`` about what was not as usual.
    """

    model: str
    rows: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]

    def means(self, by: Literal["dataset", "category"] = "dataset") -> list[dict[str, Any]]:
        """Return the means over pictures, a row for each predictor and data set (or category).

        Rows of the model also have ``share``: (model - centre bias) / (humans - centre bias) for
        each metric, over the pictures that have all three; metrics by which humans are not better
        than the centre bias have none. A truth of half the observers is a noisy one: by CC, SIM and
        KLD a model can pass humans.
        """
        keys = ("dataset",) if by == "dataset" else ("dataset", "category")
        groups: dict[tuple, dict[str, list[Mapping[str, Any]]]] = {}
        for row in self.rows:
            group = groups.setdefault(tuple(row[key] for key in keys), {})
            group.setdefault(row["predictor"], []).append(row)
        return [
            {
                **dict(zip(keys, names, strict=True)),
                "predictor": who,
                "pictures": len(rows),
                **_mean(rows),
                **({"share": _share(group, self.model)} if who == self.model else {}),
            }
            for names, group in groups.items()
            for who, rows in group.items()
        ]

    def table(self, by: Literal["dataset", "category"] = "dataset") -> str:
        """Return the means as a Markdown table."""
        head, *lines = self._cells(by)
        lines = [head, ["---"] * len(head), *lines]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def _cells(self, by: Literal["dataset", "category"]) -> list[list[str]]:
        """Return the texts of the table: its head, and a line for each predictor."""
        head = ["data set", *(["category"] if by == "category" else []), "predictor", "n", *METRICS]
        lines = [head]
        for row in self.means(by):
            names = [row["dataset"], *([row["category"] or "-"] if by == "category" else [])]
            lines.append([*names, row["predictor"], str(row["pictures"]),
                          *(f"{row[key]:.3f}" for key in METRICS)])  # fmt: skip
            if row.get("share"):
                shares = row["share"]
                share = (f"{100 * shares[key]:.0f} %" if key in shares else "-" for key in METRICS)
                lines.append([*names, "share of the way to humans", str(row["pictures"]), *share])
        return lines

    def _repr_html_(self) -> str:
        """Return the HTML table that notebooks show; all text is escaped."""
        head, *lines = (map(html.escape, line) for line in self._cells("dataset"))
        top = "".join(f'<th scope="col">{text}</th>' for text in head)
        body = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in line)}</tr>" for line in lines)
        return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"

    def __str__(self) -> str:
        """Return the table by data set."""
        return self.table()

    def ordered(self, key: str = "IG") -> list[Mapping[str, Any]]:
        """Return the model's rows, best first by a metric."""
        sign = 1 if key == "KLD" else -1
        own = [row for row in self.rows if row["predictor"] == self.model]
        return sorted(own, key=lambda row: sign * row[key])

    def json(self) -> str:
        """Return means, and means by category where there are any, as JSON."""
        report = {"model": self.model, **self.info, "means": self.means()}
        if any(row["category"] for row in self.rows):
            report["categories"] = self.means("category")
        return json.dumps(report, indent=2)

    def save(self, folder: str | PathLike[str], figure: bytes | None = None) -> Path:
        """Write ``evaluation.json``, ``pictures.csv``, ``table.md`` and, if given, the figure.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """

        def fill(fresh: Path) -> None:
            (fresh / _JSON).write_text(shown(self.json()) + "\n", encoding="utf-8")
            with (fresh / _CSV).open("w", newline="", encoding="utf-8") as file:
                encoding.write(file, self.rows, self.rows[0])
            (fresh / _TEXT).write_text(shown(self.table()) + "\n", encoding="utf-8")
            if figure is not None:
                (fresh / _FIGURE).write_bytes(figure)

        what = f"Cannot save an evaluation as the folder {str(folder)!r}."
        return folders.write(
            local_path(folder, _READ), fill, (_JSON, _CSV, _TEXT, _FIGURE), what, _READ
        )


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in METRICS}


def _share(group: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> dict[str, float] | None:
    """The model's position between centre bias (0) and humans (1), by the means of each metric."""
    if "humans" not in group or "centre bias" not in group:
        return None
    known = {row["picture"] for row in group["humans"]}
    low, own, high = (
        _mean([row for row in group[who] if row["picture"] in known])
        for who in ("centre bias", model, "humans")
    )
    # Where humans are not better than the centre bias there is no share (KLD, with half of them).
    return {
        key: (own[key] - low[key]) / (high[key] - low[key])
        for key in METRICS
        if (low[key] > high[key] if key == "KLD" else high[key] > low[key])
    }
