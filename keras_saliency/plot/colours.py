"""Colours of maps, the ends of their scale, and maps laid over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import MethodError, _arguments, did_you_mean
from keras_saliency.plot.panel import Panel

if TYPE_CHECKING:
    from matplotlib.colors import Colormap


def limits(map: np.ndarray, signed: bool, percentile: float = 99.0) -> tuple[float, float]:
    """Return the two ends of a map's colour scale: ``(0, q)``, or ``(-q, q)`` when signed.

    Gradient maps are heavy-tailed: a few pixels would leave everything else black, so ``q`` is a
    percentile. Where that is 0 (a sparse map) it is the maximum; for a map of zeros, 1.

    Args:
        map: Attribution of any shape; non-finite values are ignored.
        signed: Whether the sign has meaning; the scale then covers magnitudes.
        percentile: Share of the values that the scale covers, in (0, 100].

    Raises:
        MethodError: The percentile is out of range.

    Example:
        >>> limits(np.arange(101.0), signed=False, percentile=90)
        (0.0, 90.0)
    """
    if not (_arguments.is_number(percentile) and 0 < percentile <= 100):
        raise MethodError(
            "Expected percentile, the end of the colour scale, above 0 and up to 100.",
            f"Got percentile={percentile!r}.",
            "Pass a number above 0 and up to 100; 100 clips nothing.",
            "help(keras_saliency.plot.limits)",
        )
    values = np.asarray(map, np.float64)
    values = values[np.isfinite(values)]
    values = np.abs(values) if signed else values
    ends = (float(np.percentile(values, q)) for q in (percentile, 100) if values.size)
    top = next((end for end in ends if end > 0), 1.0)
    return (-top if signed else 0.0), top


def colormap(signed: bool) -> Colormap:
    """Return the colormap of maps: inferno; for signed maps red (for) and blue (against).

    RdBu is white at 0 and equally dark at both ends, which stay distinct under the three
    colour-vision deficiencies.
    """
    import matplotlib

    return matplotlib.colormaps["RdBu_r" if signed else "inferno"]


def paper(signed: bool) -> Colormap:
    """Return the colormap of what stands on a white ground: pale where the map is 0.

    Signed maps are as in `colormap`; others are darker orange where they are larger. The darkest
    colours, on which no text and no line is seen, are left out.
    """
    import matplotlib
    from matplotlib.colors import ListedColormap

    whole = matplotlib.colormaps["RdBu_r" if signed else "Oranges"]
    return ListedColormap(whole(np.linspace(0.08 if signed else 0.0, 0.92, 511)))


def shares(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Return values as shares of a scale's end, in [-1, 1], float64; 0 where they are not finite.

    Example:
        >>> shares(np.array([1.0, -8.0, np.nan]), (-2.0, 2.0)).tolist()
        [0.5, -1.0, 0.0]
    """
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values.clip(*scale), 0.0) / scale[1]


def scales(panels: Sequence[Panel], percentile: float) -> list[tuple[float, float]]:
    """Return the limits of every panel, after checking that there are any, all of pictures."""
    if (bare := isinstance(panels, Panel)) or len(panels) == 0:
        raise MethodError(
            "Expected a list of one or more panels.",
            "Got a single Panel." if bare else "Got an empty list (or an empty row of it).",
            "Pass a list such as [Panel(picture, map)].",
            "help(keras_saliency.plot.pair)",
        )
    if other := next((panel.kind for panel in panels if panel.kind != "picture"), None):
        raise MethodError(
            "Expected panels of pictures.",
            f"Got one of kind {other!r}.",
            "Draw it with keras_saliency.plot.several, which takes any kind.",
            "help(keras_saliency.plot.several)",
        )
    return [limits(panel.map, panel.signed, percentile) for panel in panels]


def marks(scale: tuple[float, float]) -> list[str]:
    """Return the two ends of a scale and its middle, in order, to two digits."""
    texts = (f"{value:.2g}" for value in (scale[0], sum(scale) / 2, scale[1]))
    return [t.replace("e-0", "e-").replace("e+0", "e").replace("-", "\u2212") for t in texts]


def label(panel: Panel, scale: tuple[float, float], percentile: float) -> str:
    """Return the label of one map's colour bar."""
    values = np.asarray(panel.map)[np.isfinite(panel.map)]
    if not values.any():
        return "attribution, zero everywhere"
    return "attribution" + clipping(percentile) * bool((values != values.clip(*scale)).any())


def caption(panels: Sequence[Panel], percentile: float) -> str:
    """Return the caption on the colour bars of a whole figure."""
    own = ", each map on its own scale" * (len(panels) > 1)
    said = f"Attribution{own}{clipping(percentile) * (percentile < 100)}."
    return " ".join(filter(None, [said, changes(panels)]))


def changes(panels: Sequence[Panel]) -> str:
    """Return text on what was done to maps for display, empty where nothing was.

    Example:
        >>> one = Panel(np.zeros((8, 8)), np.zeros((8, 8)), drawn="bicubic from 2 × 2")
        >>> changes([one, one])
        'For display: bicubic from 2 × 2.'
    """
    said: dict[str, dict[str, None]] = {}
    for what, _, grid in (panel.drawn.partition(" from ") for panel in panels if panel.drawn):
        said.setdefault(what, {})[grid] = None
    texts = (" from ".join(filter(None, [what, ", ".join(some)])) for what, some in said.items())
    return f"For display: {'; '.join(texts)}." if said else ""


def clipping(percentile: float) -> str:
    """Return text for a caption on the percentile at which colour bars end."""
    endings = {} if percentile in (11, 12, 13) else {1.0: "st", 2.0: "nd", 3.0: "rd"}
    return f", clipped at the {percentile:g}{endings.get(percentile % 10, 'th')} percentile"


_TINT = 0.15  # of a diverging colormap, from its middle


def blend(
    ground: np.ndarray, share: np.ndarray, signed: bool, alpha: float, cmap: Colormap | None = None
) -> np.ndarray:
    """Return RGB in [0, 1]: the colours of a map over a picture, more opaque where it is larger.

    Args:
        ground: The picture, gray (h, w) or RGB (h, w, 3), in [0, 1].
        share: (h, w) shares of the scale's end, in [-1, 1].
        signed: Whether the sign has meaning.
        alpha: Opacity at the scale's end.
        cmap: The map's colours; None takes those of `colormap`.
    """
    ground = ground if ground.ndim > share.ndim else ground[..., None]
    opacity = alpha * np.nan_to_num(np.abs(share))[..., None] ** (0.85 if signed else 0.6)
    # Signed colours begin with a tint: white would show a small value as light, without a sign.
    tinted = 0.5 + np.sign(share) * (_TINT + (0.5 - _TINT) * np.abs(share))
    colours = (cmap or colormap(signed))(tinted if signed else share)[..., :3]
    # Away from the colours' strong end.
    return (0.35 + 0.65 * ground if signed else 0.7 * ground) * (1 - opacity) + colours * opacity


def chosen(cmap: Any, signed: bool) -> Colormap:
    """Return a colormap by its name in matplotlib, or as it is; None takes that of `colormap`.

    Raises:
        MethodError: matplotlib has none of this name.
    """
    import matplotlib
    from matplotlib.colors import Colormap

    if cmap is None:
        return colormap(signed)
    if isinstance(cmap, Colormap):
        return cmap
    if isinstance(cmap, str) and cmap in matplotlib.colormaps:
        return matplotlib.colormaps[cmap]
    raise MethodError(
        "Expected cmap to be a colormap of matplotlib, or the name of one.",
        f"Got cmap={cmap!r}.",
        did_you_mean(str(cmap), list(matplotlib.colormaps)) or "Pass a name such as 'viridis'.",
        "help(keras_saliency.plot.overlay)",
    )
