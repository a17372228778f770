"""What a comparison looks like as text and as a page: made of plain data, knowing no model.

`Table` is a table of scores as text, HTML and for rich. `page` is one HTML file that opens without
a network: `Photo` and `Layer` are what it shows.
"""

from __future__ import annotations

from keras_saliency.report.page import MARK, Layer, Photo, page
from keras_saliency.report.table import BEST, Cell, Table, interval, number, seconds

__all__ = [
    "BEST",
    "MARK",
    "Cell",
    "Layer",
    "Photo",
    "Table",
    "interval",
    "number",
    "page",
    "seconds",
]
