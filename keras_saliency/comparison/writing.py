"""A comparison as CSV, as JSON and as an HTML page."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._io import encoding, files, folders
from keras_saliency._io.files import bytes_of, regular
from keras_saliency.comparison import drawing
from keras_saliency.comparison.page import MARK, Layer, Photo, page
from keras_saliency.comparison.table import of_picture, scores_of
from keras_saliency.errors import UNREADABLE, MetricError, SaveError

if TYPE_CHECKING:
    from keras_saliency.comparison.result import Comparison

SCHEMA_VERSION = 2  # 1 had no checksums
OURS = ("figure.png", "scores.png", "table.csv", "table.json")


def csv_text(comparison: Comparison) -> str:
    """Return a line for each method and picture; empty where there is no number."""
    buffer = io.StringIO()
    write = csv.writer(buffer).writerow
    heads = ["method", "picture", *comparison.metrics, "seconds", "error"]
    write([encoding.cell(head) for head in heads])
    for m, method in enumerate(comparison.methods):
        for i, picture in enumerate(comparison.names):
            numbers = [*comparison.values[m, :, i].tolist(), float(comparison.seconds[m])]
            shown = ["" if math.isnan(one) else repr(one) for one in numbers]
            error = comparison.errors.get(method, "")
            write([encoding.cell(method), encoding.cell(picture), *shown, encoding.cell(error)])
    return buffer.getvalue()


def dataframe(comparison: Comparison) -> Any:
    """Return a pandas DataFrame with a row for each method and picture.

    Raises:
        MetricError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MetricError(
            "Expected pandas to be installed for a DataFrame.",
            f"Got {type(error).__name__}: {error}.",
            "Install it: pip install pandas; or take to_csv(path), which needs nothing.",
            "help(keras_saliency.Comparison.to_dataframe)",
        ) from error
    methods, metrics, pictures = comparison.values.shape
    columns = {
        "method": np.repeat(np.array(comparison.methods, object), pictures),
        "picture": list(comparison.names) * methods,
    }
    for k in range(metrics):
        columns[comparison.metrics[k]] = comparison.values[:, k].reshape(-1)
    columns["seconds"] = np.repeat(comparison.seconds, pictures)
    return pandas.DataFrame(columns)


def json_text(comparison: Comparison, sums: Mapping[str, str] | None = None) -> str:
    """Return the whole comparison as JSON with checksums; null where there is no number.

    Args:
        comparison: The comparison.
        sums: SHA-256 of the files beside it, by name.
    """
    whole = json.loads(json.dumps(as_json(comparison), allow_nan=False, default=repr))
    return json.dumps(folders.sealed(whole, sums), indent=2, allow_nan=False) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """Return the content of a comparison's folder: ``table.json``, and ``"rows"`` of ``table.csv``.

    Raises:
        SaveError: There is no comparison, or a file has changed since it was written.
    """
    what = f"Cannot read the comparison in {str(folder)!r}."
    where = "help(keras_saliency.Comparison.save)"
    try:
        current = files.where(Path(os.path.realpath(folder)))
        whole = json.loads(bytes_of(current / "table.json"))
        result, sums = folders.opened(whole)
        for name, one in sums.items():
            if folders.of_file(current / name) != one:
                raise ValueError(f"the checksum of {name} does not match: the file has changed")
        return {**result, "rows": encoding.read(current / "table.csv")}
    except UNREADABLE as error:
        said = f"{type(error).__name__}: {error}."
        raise SaveError(what, said, "Name a folder written by Comparison.save.", where) from error


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the whole comparison as JSON content."""
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
    result = comparison.explanations.get(name)
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
    if result is None:
        return {**row, "error": comparison.errors.get(name)}
    whole = ("method", "parameters", "layer", "score")
    return {
        **row,
        **{key: result.info[key] for key in whole if key in result.info},
        "checks": [dict(check) for check in result.checks],
        "error": None,
    }


def check_report(path: Path) -> None:
    """Check that a path is free, or holds a report.

    Raises:
        SaveError: It holds a folder or another file.
    """
    what = f"Cannot write the report to {str(path)!r}."
    fix, read = "Name a new file, such as report.html.", "help(keras_saliency.Comparison.to_html)"
    if path.is_dir():
        raise SaveError(what, "It is a folder.", fix, read)
    if path.exists():
        try:
            with regular(path) as file:
                ours = file.read(len(MARK)) == MARK.encode()
        except OSError as error:
            raise SaveError(what, f"{error}.", fix, read) from error
        if not ours:
            raise SaveError(what, "Another file is there.", fix, read)


def html_text(comparison: Comparison, percentile: float) -> str:
    """Return the report as one self-contained HTML page."""
    result = comparison.explanations
    manifest = as_json(comparison)
    manifest["model_sha256"] = next(iter(result.values())).model_sha256 if result else None
    photos = [_photo(comparison, i) for i in range(len(comparison))]
    summary = comparison.summary(findings=False) if len(comparison) > 1 else None
    title = f"Where {comparison.info['model']} looks"
    return page(title, photos, manifest, summary, percentile)


def _photo(comparison: Comparison, i: int) -> Photo:
    layers, title = [], ""
    for name, result in comparison.explanations.items():
        one, title = result[i], result.title(i)
        checks = {key: value for key, value in one.checks[0].items() if key != "findings"}
        scores = scores_of(comparison, name, i)
        figure = None if comparison.are_flat else drawing.figure(one)
        findings = one.checks[0]["findings"]
        layers.append(Layer(name, one.maps()[0], one.signed, scores, checks, findings, figure))
    several = len(comparison) > 1  # the summary then has intervals and notes
    table = of_picture(comparison, i) if several else comparison.summary(findings=False)
    picture = comparison.pictures[i] if comparison.are_flat else None
    noun = "photo" if comparison.are_flat else comparison.kind.noun
    return Photo(comparison.names[i], title, picture, layers, table, noun)


def plain(value: Any) -> Any:
    """Return a value as JSON content; NaN and infinity, which JSON lacks, become None."""
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
