"""One HTML file with all in it: photos, maps over them, scores, checks and the manifest."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.plot.scale import limits
from keras_saliency.report import images
from keras_saliency.report.table import NONE, Table, number

MARK = "<!doctype html>\n<!-- made by keras-saliency report -->"  # how a page of ours begins
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Layer:
    """One method's map of a photo.

    Attributes:
        name: Of the method.
        map: (H, W) in the photo's frame, not rescaled.
        signed: Whether its sign has a meaning.
        scores: Words such as ``"deletion 0.12"``.
        checks: What the method measured of itself.
        findings: Sentences about what looks wrong.
    """

    name: str
    map: np.ndarray
    signed: bool
    scores: Sequence[str] = ()
    checks: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and what is shown of it.

    Attributes:
        name: Of the file.
        title: What was explained, such as ``"espresso, logit 9.13"``.
        picture: (H, W, C), uint8 or float.
        layers: One for each method that has a map.
        table: The scores of this photo.
    """

    name: str
    title: str
    picture: np.ndarray
    layers: Sequence[Layer]
    table: Table


def page(
    title: str,
    photos: Sequence[Photo],
    manifest: Mapping[str, Any],
    summary: Table | None = None,
    percentile: float = 99.0,
) -> str:
    """Return one HTML file that opens in a browser without a network.

    Args:
        title: Of the page.
        photos: What is shown, in order.
        manifest: Where it comes from; whatever JSON can hold.
        summary: The scores over all photos, if there are several.
        percentile: Where each map's colour scale ends.

    Example:
        >>> "<script>alert" in page("<script>alert(1)</script>", [], {})
        False
    """
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    told = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False, default=repr)
    overall = (
        f'<section aria-labelledby="overall"><h2 id="overall">All {len(photos)} photos</h2>'
        f"{_wide('Scores of all photos', summary.html())}</section>"
        if summary
        else ""
    )
    parts = {
        "mark": MARK,
        "title": html.escape(title),
        "digest": digest,
        "style": _part("page.css")
        .replace("SIGNED", images.gradient(True))
        .replace("PLAIN", images.gradient(False)),
        "script": script,
        "links": _links(photos),
        "summary": overall,
        "photos": "".join(_photo(k, photo, percentile) for k, photo in enumerate(photos)),
        "manifest": html.escape(told),
    }
    # One pass: what is put in is not searched again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _part("page.html"))


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _links(photos: Sequence[Photo]) -> str:
    if len(photos) < 2:
        return ""
    rows = (
        f'<li><a href="#photo-{k}">{html.escape(p.name)}</a></li>' for k, p in enumerate(photos)
    )
    return f'<nav aria-label="Photos"><ul>{"".join(rows)}</ul></nav>'


def _photo(k: int, photo: Photo, percentile: float) -> str:
    name = html.escape(photo.name)
    height, width = np.shape(photo.picture)[:2]
    ends = [limits(layer.map, layer.signed, percentile) for layer in photo.layers]
    overlays, choices, tiles = [], [], []
    for number_, (layer, end) in enumerate(zip(photo.layers, ends, strict=True)):
        method, shown = html.escape(layer.name), number_ == 0
        kind = "signed" if layer.signed else "plain"
        key = f"{k}-{number_}"
        overlays.append(
            f'<img class="over {kind}" id="over-{key}" data-method="{method}" '
            f'data-low="{_end(end[0])}" data-high="{_end(end[1])}" '
            f'alt="Map of {method} over {name}" '
            f'src="{images.map_uri(layer.map, layer.signed, end)}"{"" if shown else " hidden"}>'
        )
        choices.append(
            f'<label><input type="radio" name="method-{k}" value="{key}"'
            f"{' checked' if shown else ''}> <span>{_breaking(method)}</span></label>"
        )
        words = "".join(f"<span>{html.escape(score)}</span>" for score in layer.scores)
        tiles.append(
            f'<li><button type="button" class="tile" data-key="{key}" '
            f'aria-pressed="{"true" if shown else "false"}"><span class="stack {kind}" '
            f'style="{_fit(width, height, "14rem")}"><img class="base" alt="">'
            f'<img class="over" alt=""></span><strong>{_breaking(method)}</strong>'
            f'<span class="words">{words}</span></button></li>'
        )
    stage = (
        f'<figure class="stage"><div class="stack" style="{_fit(width, height, "75vh")}">'
        f'<img class="base" alt="Photo {name}" src="{images.photo_uri(photo.picture)}">'
        f"{''.join(overlays)}</div>"
        f'<figcaption><span class="now" aria-live="polite"></span><span class="scale">'
        f'<span class="low"></span><span class="bar"></span><span class="high"></span></span>'
        f"</figcaption></figure>"
    )
    controls = (
        f'<div class="controls"><div class="slide"><label for="opacity-{k}">Opacity of the map'
        f'</label><input type="range" id="opacity-{k}" class="opacity" min="0" max="100" '
        f'step="1" value="80"><output for="opacity-{k}">80%</output></div>'
        f'<label class="switch"><input type="checkbox" class="grey" checked> Photo in grey</label>'
        f'<fieldset class="methods"><legend>Method</legend>{"".join(choices)}</fieldset></div>'
        if choices
        else '<p class="note">No method has a map of this photo.</p>'
    )
    return (
        f'<section class="photo" id="photo-{k}" aria-labelledby="name-{k}">'
        f'<h2 id="name-{k}">{name}</h2><p class="what">{html.escape(photo.title)}</p>'
        f'<div class="viewer">{stage}{controls}</div>'
        f"<h3>Scores</h3>{_wide(f'Scores of {name}', photo.table.html())}"
        f'<h3>All maps</h3><ul class="tiles">{"".join(tiles)}</ul>{_checks(photo)}</section>'
    )


def _checks(photo: Photo) -> str:
    """Return what the methods measured of themselves, and what looks wrong."""
    rows = []
    for layer in photo.layers:
        said = [f"{name.replace('_', ' ')} {number(value)}" for name, value in layer.checks.items()]
        found = "".join(f'<li class="finding">{html.escape(one)}</li>' for one in layer.findings)
        rows.append(
            f'<tr><th scope="row">{html.escape(layer.name)}</th>'
            f"<td>{html.escape(', '.join(said) or NONE)}</td>"
            f"<td>{f'<ul>{found}</ul>' if found else 'none'}</td></tr>"
        )
    count = sum(len(layer.findings) for layer in photo.layers)
    told = f"{count} finding{'s' * (count != 1)}" if count else "no findings"
    table = (
        '<table><thead><tr><th scope="col">method</th><th scope="col">measured</th>'
        f'<th scope="col">findings</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return (
        f"<details{' open' if count else ''}><summary>Checks: {told}</summary>"
        + _wide(f"Checks of {html.escape(photo.name)}", table)
        + "</details>"
    )


def _wide(label: str, inner: str) -> str:
    """Return what may be wider than the window, and can be scrolled by keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{inner}</div>'


def _fit(width: int, height: int, tallest: str) -> str:
    """Return the style that keeps a picture's shape, and it no taller than something."""
    return f"aspect-ratio:{width}/{height};max-width:calc({tallest}*{width / height:.4f})"


def _breaking(escaped: str) -> str:
    """Return a name that may be broken where its words end."""
    return escaped.replace("_", "_<wbr>").replace("(", "<wbr>(")


def _end(value: float) -> str:
    return f"{value:.2g}".replace("-", "\u2212")
