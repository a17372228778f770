"""Rows read back from files of JSON lines, also those of older benchmarks."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
