"""Figures of attribution maps: side by side, overlaid, or several methods in a grid.

This room draws and knows nothing about models. Maps are scaled for the eye here and only here,
never modified, and drawn beside their colour scale. Matplotlib is imported when drawing starts.
"""

from __future__ import annotations

from keras_saliency.plot.comparison import comparison
from keras_saliency.plot.figures import grid, overlay, pair
from keras_saliency.plot.fixations import density
from keras_saliency.plot.gallery import gallery
from keras_saliency.plot.losses import losses
from keras_saliency.plot.panel import Panel
from keras_saliency.plot.render import render_png
from keras_saliency.plot.scale import colormap, limits
from keras_saliency.plot.scores import Column, scores

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
