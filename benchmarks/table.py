"""Rows as a table for people and as JSON lines for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Table:
    """A table printed line by line, as rows come in: a long run shows what it has.

    Args:
        columns: Heading and width of each column; text columns have a negative width.
    """

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        """Print the headings."""
        self._widths = [width for _, width in columns]
        self.line(*(heading for heading, _ in columns))

    def line(self, *cells: Any) -> None:
        """Print one line; floats as they are formatted by the caller."""
        texts = zip(map(str, cells), self._widths, strict=True)
        cut = (text.rjust(width) if width > 0 else text.ljust(-width) for text, width in texts)
        print("  ".join(cut).rstrip(), flush=True)


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits or all of them."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


class JsonLines:
    """A file that gets one JSON object a line, each on disk as soon as it is known."""

    def __init__(self, path: Path | None) -> None:
        """Empty the file; ``None`` writes nothing."""
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        """Append one row."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
