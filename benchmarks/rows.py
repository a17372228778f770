"""Rows: printed as a table, written as JSON lines, and read back, also from older benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contenders import BY_HAND, OURS

Row = dict[str, Any]
Key = tuple[str, str, int, int, str]  # network, method, pictures, side, contender


def read(paths: Iterable[Path]) -> dict[Key, Row]:
    """Return the rows of a run by what they are about; a later row replaces an earlier one.

    Rows of other benchmarks are left out.
    """
    rows = (
        json.loads(line)
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    )
    known = (_from_warm(row) if row["benchmark"] == "warm" else row for row in rows)
    return {key(row): row for row in known if row and row["benchmark"] == "run"}


def key(row: Row) -> Key:
    """Return what a row is about."""
    return row["network"], row["method"], row["batch"], row["side"], row["contender"]


def case(row: Row) -> str:
    """Return in words what was timed."""
    pictures = "1 picture" if row["batch"] == 1 else f"{row['batch']} pictures"
    return f"{row['network']}, {row['method']}, {pictures}"


def is_peer(row: Row) -> bool:
    """Whether a row is another library's, or of a program by hand for a network without Keras."""
    return row["library"] not in (OURS, BY_HAND) or row["form"] != "Keras model"


def _from_warm(row: Row) -> Row | None:
    """Return a row of the first benchmark of all as if it came from a run of today."""
    library = {"explain": OURS, "handwritten": BY_HAND}.get(row["contestant"])
    if library is None:
        return None
    return {
        "benchmark": "run",
        "network": row["model"],
        "method": "gradient",
        "batch": row["batch"],
        "side": 224,
        "contender": f"{library} ({row['backend']})",
        "library": library,
        "backend": row["backend"],
        "form": "Keras model",
        "settings": "",
        "rounds": row["rounds"],
        "seconds": row["seconds"],
        "ratios": {BY_HAND: row["ratio"]},
        "first_seconds": row["first_seconds"],
        "agreement": row["agreement"],
        "machine": row["machine"],
    }


# -------------------------------------------------------------------------- while a run is going on


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
