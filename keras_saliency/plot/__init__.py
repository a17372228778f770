"""Figures of attribution maps: side by side, overlaid, or several methods in a grid.

This package draws and does not depend on models. Maps are scaled for display here and only here,
never modified, and drawn beside their colour scale. Matplotlib is imported when drawing starts.
"""

from __future__ import annotations

from keras_saliency.plot.figures import Column, gallery, grid, overlay, pair, scores
from keras_saliency.plot.fixations import comparison, density, losses
from keras_saliency.plot.panel import Panel, colormap, limits, render_png

__all__ = [
    "Column",
    "Panel",
    "colormap",
    "comparison",
    "density",
    "gallery",
    "grid",
    "limits",
    "losses",
    "overlay",
    "pair",
    "render_png",
    "scores",
]
