"""One self-contained HTML file: photos, maps over them, scores, checks and the manifest.

Inputs that are no pictures have no map over them, but a figure for each method.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_saliency._inputs import resampling
from keras_saliency.comparison.table import NONE, Table, number
from keras_saliency.plot.colours import colormap, limits
from keras_saliency.plot.panel import channels, rgb

MARK = "<!doctype html>\n<!-- made by keras-saliency report -->"  # the first lines of such a page
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Layer:
    """One method's map of a photo.

    Attributes:
        name: The method's name.
        map: (H, W) in the photo's frame, not rescaled.
        signed: Whether its sign has a meaning.
        scores: Texts such as ``"deletion 0.12"``.
        checks: The method's own checks.
        findings: Sentences about what looks wrong.
        figure: A PNG to show in place of a map over the photo.
    """

    name: str
    map: np.ndarray
    signed: bool
    scores: Sequence[str] = ()
    checks: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[str] = ()
    figure: bytes | None = None


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, its maps and its scores.

    Attributes:
        name: The file's name.
        title: The explained target, such as ``"espresso, logit 9.13"``.
        picture: (H, W, C), uint8 or float; None where each layer has its own figure.
        layers: One for each method that has a map.
        table: The scores of this photo.
        noun: What it is called.
    """

    name: str
    title: str
    picture: np.ndarray | None
    layers: Sequence[Layer]
    table: Table
    noun: str = "photo"


def page(
    title: str,
    photos: Sequence[Photo],
    manifest: Mapping[str, Any],
    summary: Table | None = None,
    percentile: float = 99.0,
) -> str:
    """Return one HTML file that opens in a browser without a network.

    Args:
        title: The page's title.
        photos: The photos, in order.
        manifest: The provenance; any JSON content.
        summary: The scores over all photos, if there are several.
        percentile: End of each map's colour scale.

    Example:
        >>> "<script>alert" in page("<script>alert(1)</script>", [], {})
        False
    """
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False, default=repr)
    nouns = f"{photos[0].noun if photos else 'photo'}s"
    overall = (
        f'<section aria-labelledby="overall"><h2 id="overall">All {len(photos)} {nouns}</h2>'
        f"{_wide(f'Scores of all {nouns}', summary.html())}</section>"
        if summary
        else ""
    )
    parts = {
        "mark": MARK,
        "title": html.escape(title),
        "digest": digest,
        "style": _part("page.css")
        .replace("SIGNED", gradient(True))
        .replace("PLAIN", gradient(False)),
        "script": script,
        "links": _links(photos, nouns.capitalize()),
        "summary": overall,
        "photos": "".join(_photo(k, photo, percentile) for k, photo in enumerate(photos)),
        "manifest": html.escape(text),
    }
    # One pass: inserted text is not searched again.
    return re.sub(r"\{\{(\w+)\}\}", lambda result: parts[result[1]], _part("page.html"))


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _links(photos: Sequence[Photo], label: str) -> str:
    if len(photos) < 2:
        return ""
    rows = (
        f'<li><a href="#photo-{k}">{html.escape(p.name)}</a></li>' for k, p in enumerate(photos)
    )
    return f'<nav aria-label="{label}"><ul>{"".join(rows)}</ul></nav>'


def _photo(k: int, photo: Photo, percentile: float) -> str:
    name = html.escape(photo.name)
    ends = [limits(layer.map, layer.signed, percentile) for layer in photo.layers]
    overlays, choices, tiles = [], [], []
    base = "" if photo.picture is None else '<img class="base" alt="">'
    for number_, (layer, end) in enumerate(zip(photo.layers, ends, strict=True)):
        method, shown = html.escape(layer.name), number_ == 0
        kind = "signed" if layer.signed else "plain"
        key = f"{k}-{number_}"
        overlays.append(
            f'<img class="over {kind}" id="over-{key}" data-method="{method}" '
            f'data-low="{_end(end[0])}" data-high="{_end(end[1])}" '
            f'alt="Map of {method} over {name}" '
            f'src="{_layer_uri(layer, end)}"{"" if shown else " hidden"}>'
        )
        choices.append(
            f'<label><input type="radio" name="method-{k}" value="{key}"'
            f"{' checked' if shown else ''}> <span>{_breaking(method)}</span></label>"
        )
        words = "".join(f"<span>{html.escape(score)}</span>" for score in layer.scores)
        tiles.append(
            f'<li><button type="button" class="tile" data-key="{key}" '
            f'aria-pressed="{"true" if shown else "false"}">'
            f"{_stack(photo, 'span', kind, '14rem')}{base}"
            f'<img class="over" alt=""></span><strong>{_breaking(method)}</strong>'
            f'<span class="words">{words}</span></button></li>'
        )
    ground = scale = fading = drawn = ""
    if photo.picture is not None:
        ground = f'<img class="base" alt="Photo {name}" src="{photo_uri(photo.picture)}">'
        scale = (
            '<span class="scale"><span class="low"></span><span class="bar"></span>'
            '<span class="high"></span></span>'
        )
        fading = (
            f'<div class="slide"><label for="opacity-{k}">Opacity of the map'
            f'</label><input type="range" id="opacity-{k}" class="opacity" min="0" max="100" '
            f'step="1" value="80"><output for="opacity-{k}">80%</output></div>'
            '<label class="switch"><input type="checkbox" class="grey" checked> Photo in grey'
            "</label>"
        )
        drawn = channels(np.shape(photo.picture))
    stage = (
        f'<figure class="stage">{_stack(photo, "div", "", "75vh")}{ground}'
        f"{''.join(overlays)}</div>"
        f'<figcaption><span class="now" aria-live="polite"></span>{scale}'
        f"</figcaption></figure>"
    )
    controls = (
        f'<div class="controls">{fading}'
        f'<fieldset class="methods"><legend>Method</legend>{"".join(choices)}</fieldset></div>'
        if choices
        else f'<p class="note">No method has a map of this {photo.noun}.</p>'
    )
    what = ", ".join(filter(None, [photo.title, drawn]))
    return (
        f'<section class="photo" id="photo-{k}" aria-labelledby="name-{k}">'
        f'<h2 id="name-{k}">{name}</h2><p class="what">{html.escape(what)}</p>'
        f'<div class="viewer">{stage}{controls}</div>'
        f"<h3>Scores</h3>{_wide(f'Scores of {name}', photo.table.html())}"
        f'<h3>All maps</h3><ul class="tiles">{"".join(tiles)}</ul>{_checks(photo)}</section>'
    )


def _stack(photo: Photo, tag: str, kind: str, tallest: str) -> str:
    """Return the start of an element whose images lie over each other, or that has one figure."""
    if photo.picture is None:
        return f'<{tag} class="stack figure">'
    height, width = np.shape(photo.picture)[:2]
    names = f"stack {kind}".strip()
    return f'<{tag} class="{names}" style="{_fit(width, height, tallest)}">'


def _layer_uri(layer: Layer, end: tuple[float, float]) -> str:
    if layer.figure is None:
        return map_uri(layer.map, layer.signed, end)
    return _uri("png", io.BytesIO(layer.figure))


def _checks(photo: Photo) -> str:
    """Return a table of the methods' own checks and findings."""
    rows = []
    for layer in photo.layers:
        said = [f"{name.replace('_', ' ')} {number(value)}" for name, value in layer.checks.items()]
        result = "".join(f'<li class="finding">{html.escape(one)}</li>' for one in layer.findings)
        rows.append(
            f'<tr><th scope="row">{html.escape(layer.name)}</th>'
            f"<td>{html.escape(', '.join(said) or NONE)}</td>"
            f"<td>{f'<ul>{result}</ul>' if result else 'none'}</td></tr>"
        )
    count = sum(len(layer.findings) for layer in photo.layers)
    text = f"{count} finding{'s' * (count != 1)}" if count else "no findings"
    table = (
        '<table><thead><tr><th scope="col">method</th><th scope="col">measured</th>'
        f'<th scope="col">findings</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return (
        f"<details{' open' if count else ''}><summary>Checks: {text}</summary>"
        + _wide(f"Checks of {html.escape(photo.name)}", table)
        + "</details>"
    )


def _wide(label: str, inner: str) -> str:
    """Return an element that may be wider than the window and scrolls, by keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{inner}</div>'


def _fit(width: int, height: int, tallest: str) -> str:
    """Return the style that preserves a picture's aspect ratio up to a greatest height."""
    return f"aspect-ratio:{width}/{height};max-width:calc({tallest}*{width / height:.4f})"


def _breaking(escaped: str) -> str:
    """Return a name with line-break opportunities between its words."""
    return escaped.replace("_", "_<wbr>").replace("(", "<wbr>(")


def _end(value: float) -> str:
    return f"{value:.2g}".replace("-", "\u2212")


_PHOTO, _MAP = 1024, 512  # pixels of the longer side


def photo_uri(picture: np.ndarray) -> str:
    """Return a picture as a JPEG of at most 1024 pixels a side."""
    height, width = np.shape(picture)[:2]
    scale = min(1.0, _PHOTO / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(np.ascontiguousarray(rgb(picture))).resize(size)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, optimize=True)
    return _uri("jpeg", buffer)


def map_uri(values: np.ndarray, signed: bool, limits: tuple[float, float]) -> str:
    """Return a map as a PNG of at most 512 pixels a side, to be laid over its picture.

    256 colours, as `keras_saliency.plot.overlay` draws them: opacity grows with the magnitude.

    Args:
        values: (H, W), not rescaled.
        signed: Whether the sign has a meaning.
        limits: The ends of the colour scale.
    """
    scale = min(1.0, _MAP / max(values.shape))
    size = tuple(max(1, round(side * scale)) for side in values.shape)
    finite = np.nan_to_num(np.asarray(values, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    small = resampling.resize(finite[None], (size[0], size[1]))[0]
    low, high = limits
    share = (np.clip(small, low, high) - low) / (high - low)
    image = Image.fromarray(np.round(255 * share).astype(np.uint8))
    colours = np.round(255 * colormap(signed)(np.arange(256))[:, :3]).astype(np.uint8)
    image.putpalette(colours.tobytes())
    at = np.abs(np.linspace(low / high, 1.0, 256))
    opacity = np.round(255 * at**0.6).astype(np.uint8)
    if signed:
        opacity[127:129] = 0  # 0 lies between the two middle colours
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=opacity.tobytes())
    return _uri("png", buffer)


def gradient(signed: bool) -> str:
    """Return a colour scale as a CSS gradient, from left to right."""
    stops = np.round(255 * colormap(signed)(np.linspace(0, 1, 11))[:, :3]).astype(int)
    colours = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in stops.tolist())
    return f"linear-gradient(90deg,{colours})"


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
