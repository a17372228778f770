"""What a training leaves to read: a table and a figure of its losses, and a card."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from keras_saliency import plot
from keras_saliency.errors import SaveError


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write ``history.csv`` and ``history.png``: a row, a point, for each epoch.

    Raises:
        SaveError: The disk does not take them.
    """
    figure = plot.render_png(plot.losses, rows)
    try:
        _write(folder, rows, figure)
    except OSError as error:
        raise SaveError(
            f"The history of a training was to be written into {str(folder)!r}.",
            f"{error}.",
            "Make room, and run the same command again: it goes on from the last checkpoint.",
            "help(keras_saliency.fixation.train)",
        ) from error


def _write(folder: Path, rows: list[dict[str, Any]], figure: bytes) -> None:
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "history.png").write_bytes(figure)


def card(name: str, about: str, training: dict[str, Any]) -> str:
    """Return the text that goes with a model: what it is and how it came about."""
    rows = training["history"]
    best = min(rows, key=lambda row: row["validation_loss"]) if rows else None
    lines = [
        f"# {name}",
        "",
        about or "A fixation model: picture in, density of fixations out.",
        "",
    ]
    lines += ["## Recipe", ""]
    for key in ("preset", "command", "data", "seed", "minutes", "backend"):
        if key in training:
            value = training[key]
            if isinstance(value, dict):
                value = ", ".join(f"{name} {count} pictures" for name, count in value.items())
            lines.append(f"- {key}: {value}")
    if best:
        lines.append(
            f"- best validation loss: {best['validation_loss']:.4f} "
            f"(stage {best['stage']}, epoch {best['epoch']})"
        )
    return "\n".join(lines) + "\n"
