"""Colour scales: where they end, which colours they have, and the words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.plot.panel import Panel

if TYPE_CHECKING:
    from matplotlib.colors import Colormap


def limits(map: np.ndarray, signed: bool, percentile: float = 99.0) -> tuple[float, float]:
    """Return the two ends of a map's colour scale: ``(0, q)``, or ``(-q, q)`` when signed.

    Gradient maps are heavy-tailed: a few pixels would leave everything else black, so ``q`` is a
    percentile. Where that is zero (a sparse map) it is the maximum; with nothing to show, 1.

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
    if not 0 < percentile <= 100:
        raise MethodError(
            "A colour scale ends at a percentile of the map.",
            f"The percentile given is {percentile!r}.",
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
    """Return the colours of a kind of map: inferno, or red for and blue against when signed.

    RdBu is white at zero and as dark on one side as on the other, and its ends stay apart under
    the three colour-vision deficiencies.
    """
    import matplotlib

    return matplotlib.colormaps["RdBu_r" if signed else "inferno"]


def scales(panels: Sequence[Panel], percentile: float) -> list[tuple[float, float]]:
    """Return the limits of every panel, after checking that there are any."""
    if (bare := isinstance(panels, Panel)) or len(panels) == 0:
        raise MethodError(
            "A figure draws a list of at least one panel.",
            "One was given bare." if bare else "The list given (or a row of it) is empty.",
            "Pass a list such as [Panel(picture, map)].",
            "help(keras_saliency.plot.pair)",
        )
    return [limits(panel.map, panel.signed, percentile) for panel in panels]


def marks(scale: tuple[float, float]) -> list[str]:
    """Return the two ends of a scale and its middle, in order, to two digits."""
    texts = (f"{value:.2g}" for value in (scale[0], sum(scale) / 2, scale[1]))
    return [t.replace("e-0", "e-").replace("e+0", "e").replace("-", "\u2212") for t in texts]


def label(panel: Panel, scale: tuple[float, float], percentile: float) -> str:
    """Say what the colour bar of one map measures."""
    values = np.asarray(panel.map)[np.isfinite(panel.map)]
    if not values.any():
        return "attribution, zero everywhere"
    return "attribution" + clipping(percentile) * bool((values != values.clip(*scale)).any())


def caption(panels: Sequence[Panel], percentile: float) -> str:
    """Say what the colour bars of a whole figure measure."""
    own = ", each map on its own scale" * (len(panels) > 1)
    return f"Attribution{own}{clipping(percentile) * (percentile < 100)}."


def clipping(percentile: float) -> str:
    """Say at which percentile colour bars end, to be added to a caption."""
    endings = {} if percentile in (11, 12, 13) else {1.0: "st", 2.0: "nd", 3.0: "rd"}
    return f", clipped at the {percentile:g}{endings.get(percentile % 10, 'th')} percentile"
