"""Figures of attribution maps: side by side, overlaid, or several methods in a grid.

:func:`several` draws inputs of any kind, each in a way of its own; the other figures are of
pictures. This package draws and does not depend on models. Maps are scaled for display here and
only here, never modified, and drawn beside their colour scale. Matplotlib is imported when drawing
starts.
"""

from __future__ import annotations

from keras_saliency.plot.colours import colormap, limits
from keras_saliency.plot.figures import contours, heatmap, overlay, pair
from keras_saliency.plot.fixations import comparison, density, losses
from keras_saliency.plot.grids import gallery, grid
from keras_saliency.plot.kinds import several
from keras_saliency.plot.metric_scores import Column, scores
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.sheet import render_png
from keras_saliency.plot.volumes import animation
from keras_saliency.plot.words import html

__all__ = [
    "Column",
    "Panel",
    "animation",
    "colormap",
    "comparison",
    "contours",
    "density",
    "gallery",
    "grid",
    "heatmap",
    "html",
    "limits",
    "losses",
    "overlay",
    "pair",
    "render_png",
    "scores",
    "several",
]
