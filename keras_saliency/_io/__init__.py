"""Files and folders, written all or nothing and read back; here a progress bar for long work."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_outer = threading.local()
_PATIENCE = 2.0  # seconds; shorter work needs no bar


def track(
    items: Iterable[T], total: int | None, label: str, wait: float = _PATIENCE, done: int = 0
) -> Iterator[T]:
    """Yield ``items``; show a bar from ``wait`` seconds on if stderr is a terminal or a notebook.

    Args:
        items: The items to process.
        total: Their number, or None.
        label: The text beside the bar.
        wait: Seconds before the bar appears.
        done: Number of the total that were done before; the remaining time does not count them.
    """
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    if not watched or getattr(_outer, "tracking", False):  # no bar within a bar
        yield from items
        return
    started, bar = time.monotonic(), None
    _outer.tracking = True
    try:
        for item in items:
            yield item
            done += 1
            if bar is None and time.monotonic() - started >= wait:
                bar = _bar()
                task = bar.add_task(label, total=total, completed=done)
                bar.start()
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        _outer.tracking = False
        if bar is not None:
            bar.stop()


def _bar():
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # Results that are piped elsewhere are not printed on the bar's terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
