"""The figure of a training: loss and validation loss of each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def losses(rows: Sequence[Mapping[str, Any]], figure: Figure | None = None) -> Figure:
    """Draw the losses of a training, epoch after epoch, its stages side by side.

    Args:
        rows: One for each epoch, with ``stage``, ``loss`` and ``validation_loss``.
        figure: Figure to draw on; it is cleared. None makes one in pyplot.

    Example:
        >>> row = {"stage": "readout", "loss": 0.9, "validation_loss": 0.8}
        >>> figure = losses([row])
    """
    from matplotlib.ticker import MaxNLocator

    if figure is None:
        from matplotlib import pyplot

        figure = pyplot.figure()
    figure.clear()
    figure.set_size_inches(6.0, 3.4)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    epochs = range(1, len(rows) + 1)
    for key, colour, label in (
        ("loss", "#888888", "training (augmented, with dropout)"),
        ("validation_loss", "#1b6ca8", "validation"),
    ):
        values = [row[key] for row in rows]
        axes.plot(epochs, values, "o-", color=colour, markersize=3.5, label=label)
    starts = [i for i in epochs if i == 1 or rows[i - 1]["stage"] != rows[i - 2]["stage"]]
    for start in starts:
        if start > 1:
            axes.axvline(start - 0.5, color="#cccccc", linewidth=0.8, zorder=0)
        axes.annotate(
            rows[start - 1]["stage"],
            (start - 0.4, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=8.5,
        )
    axes.set_xlim(0.5, len(rows) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(facecolor="white", edgecolor="none", framealpha=1.0, fontsize=8.5)
    return figure
