"""A comparison as CSV, as JSON and as an HTML page."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import SaveError
from keras_saliency.report import MARK, Layer, Photo, page

if TYPE_CHECKING:
    from keras_saliency.comparison.result import Comparison

SCHEMA_VERSION = 1
OURS = ("figure.png", "scores.png", "table.csv", "table.json")


def csv_text(comparison: Comparison) -> str:
    """Return a line for each method and picture; empty where there is no number."""
    buffer = io.StringIO()
    write = csv.writer(buffer).writerow
    write(["method", "picture", *comparison.metrics, "seconds", "error"])
    for m, method in enumerate(comparison.methods):
        for i, picture in enumerate(comparison.names):
            numbers = [*comparison.values[m, :, i].tolist(), float(comparison.seconds[m])]
            cells = ["" if math.isnan(one) else repr(one) for one in numbers]
            write([method, picture, *cells, comparison.errors.get(method, "")])
    return buffer.getvalue()


def json_text(comparison: Comparison) -> str:
    """Return all that is known, as JSON; null where there is no number."""
    return json.dumps(told(comparison), indent=2, allow_nan=False, default=repr) + "\n"


def told(comparison: Comparison) -> dict[str, Any]:
    """Return all that is known, as what JSON can hold."""
    first = next(iter(comparison.explanations.values()), None)
    explained = [
        {"name": name}
        if first is None
        else {
            "name": name,
            "target": str(first.targets[i]),
            "label": first.labels[i] or None,
            "score": float(first.scores[i]),
            "probability": None if first.probabilities is None else float(first.probabilities[i]),
        }
        for i, name in enumerate(comparison.names)
    ]
    ways = zip(comparison.metrics, comparison.higher_is_better, strict=True)
    return plain(
        {
            "schema_version": SCHEMA_VERSION,
            **comparison.info,
            "pictures": explained,
            "metrics": [{"name": name, "higher_is_better": higher} for name, higher in ways],
            "methods": [_method(comparison, m) for m in range(len(comparison.methods))],
        }
    )


def _method(comparison: Comparison, m: int) -> dict[str, Any]:
    name = comparison.methods[m]
    found = comparison.explanations.get(name)
    scores = {}
    for k, metric in enumerate(comparison.metrics):
        mean, low, high = comparison.intervals[m, k].tolist()
        scores[metric] = {
            "mean": mean,
            "low": low,
            "high": high,
            "values": comparison.values[m, k].tolist(),
            "error": comparison.metric_errors.get((name, metric)),
        }
    row = {"name": name, "seconds": float(comparison.seconds[m]), "scores": scores}
    if found is None:
        return {**row, "error": comparison.errors.get(name)}
    whole = ("method", "parameters", "layer", "score")
    return {
        **row,
        **{key: found.info[key] for key in whole if key in found.info},
        "checks": [dict(check) for check in found.checks],
        "error": None,
    }


def check_report(path: Path) -> None:
    """Refuse to write a report over anything but a report.

    Raises:
        SaveError: Something else is there.
    """
    asked = f"A report was to be written to {str(path)!r}."
    fix, read = "Name a new file, such as report.html.", "help(keras_saliency.Comparison.to_html)"
    if path.is_dir():
        raise SaveError(asked, "It is a folder.", fix, read)
    if path.exists():
        try:
            with path.open("rb") as file:
                ours = file.read(len(MARK)) == MARK.encode()
        except OSError as error:
            raise SaveError(asked, f"{error}.", fix, read) from error
        if not ours:
            raise SaveError(asked, "Something else is there.", fix, read)


def html_text(comparison: Comparison, percentile: float) -> str:
    """Return the report: one HTML page with all in it."""
    found = comparison.explanations
    manifest = told(comparison)
    manifest["model_sha256"] = next(iter(found.values())).model_hash() if found else None
    photos = [_photo(comparison, i) for i in range(len(comparison))]
    summary = comparison.summary(findings=False) if len(comparison) > 1 else None
    title = f"Where {comparison.info['model']} looks"
    return page(title, photos, manifest, summary, percentile)


def _photo(comparison: Comparison, i: int) -> Photo:
    layers, title = [], ""
    for name, found in comparison.explanations.items():
        one, title = found[i], found.title(i)
        checks = {key: value for key, value in one.checks[0].items() if key != "findings"}
        scores = comparison.scores_of(name, i)
        layers.append(
            Layer(name, one.maps()[0], one.signed, scores, checks, one.checks[0]["findings"])
        )
    several = len(comparison) > 1  # whose summary says the rest
    table = comparison.picture_table(i) if several else comparison.summary(findings=False)
    return Photo(comparison.names[i], title, comparison.pictures[i], layers, table)


def plain(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinity have no word there."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.size <= 64 else f"array of shape {value.shape}"
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return getattr(value, "name", None) or repr(value)
