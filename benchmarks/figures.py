"""Figures of a run: bars of ratios with their quartiles, and a line where both are as fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import BY_HAND, OURS
from benchmarks.rows import Row, case, is_peer
from benchmarks.worker import BACKENDS

_COLOURS = {"jax": "#7b5ea7", "tensorflow": "#e07b39", "torch": "#3a7ca5"}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw(found: list[Row], folder: Path) -> list[Path]:
    """Draw what there is to draw, and return the files: ``backends.png`` and ``peers.png``.

    Args:
        found: Rows of a run.
        folder: Made where it is missing.
    """
    good = [row for row in found if "error" not in row]
    ours = [row for row in good if row["library"] == OURS and BY_HAND in row["ratios"]]
    peers = [row for row in good if is_peer(row) and OURS in row["ratios"]]
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    if ours:
        order = {name: place for place, name in enumerate(BACKENDS)}
        ours.sort(key=lambda row: order[row["backend"]])
        title = "This package against a hand-written program for the same backend"
        path = folder / "backends.png"
        _bars(
            ours, BY_HAND, lambda row: row["backend"], title, "times as long as hand-written", path
        )
        made.append(path)
    if peers:
        title = "Other libraries beside this package on the same backend"
        path = folder / "peers.png"
        _bars(
            peers, OURS, lambda row: row["contender"], title, "times as long as this package", path
        )
        made.append(path)
    return made


def _bars(found: list[Row], library: str, name: Any, title: str, axis: str, path: Path) -> None:
    """Draw a group of bars a case, from top to bottom."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(case(row), []).append(row)
    places, ticks, top = [], [], 0.0
    for rows in groups.values():
        inside = top + np.arange(len(rows))
        places += inside.tolist()
        ticks.append(float(inside.mean()))
        top += len(rows) + 0.8
    ordered = [row for rows in groups.values() for row in rows]
    middle, low, high = (
        np.array([row["ratios"][library][each] for row in ordered])
        for each in ("median", "q1", "q3")
    )
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.26 * top), layout="constrained")
    axes.barh(
        places, middle - 1, left=1, height=0.86,
        color=[_COLOURS[row["backend"]] for row in ordered],
    )  # fmt: skip
    axes.errorbar(
        middle, places, xerr=[middle - low, high - middle], fmt="none", ecolor="#333333",
        elinewidth=1,
    )  # fmt: skip
    for place, row, value, end in zip(places, ordered, middle, high, strict=True):
        axes.annotate(
            f"{value:.2f}  {name(row)}", (max(end, 1), place), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, float(low.min()) / 1.1), max(1.25, float(high.max())) * 3)
    left, right = axes.get_xlim()
    ticks_shown = [each for each in _TICKS if left <= each <= right]
    axes.set_xticks(ticks_shown, [f"{each:g}" for each in ticks_shown])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(ticks, groups)
    axes.set_ylim(top - 1.2, -0.8)
    axes.set_xlabel(f"{axis} (median, quartiles; to the left is faster)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
