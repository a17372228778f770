"""A progress bar on stderr for what takes more than a moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_outer = threading.local()
_PATIENCE = 2.0  # seconds of silence; what is over by then needs no bar


def track(
    things: Iterable[T], total: int | None, label: str, wait: float = _PATIENCE, done: int = 0
) -> Iterator[T]:
    """Yield ``things``; show a bar from ``wait`` seconds on if a person is watching stderr.

    Args:
        things: What is worked on.
        total: How many there are, or None.
        label: What is being done.
        wait: Seconds before the bar appears.
        done: How many of the total were done before; the time left is told without them.
    """
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    if not watched or getattr(_outer, "tracking", False):  # a bar within a bar tells nobody more
        yield from things
        return
    started, bar = time.monotonic(), None
    _outer.tracking = True
    try:
        for thing in things:
            yield thing
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
        # Results that are piped somewhere are no part of the bar's terminal.
        redirect_stdout=sys.stdout.isatty(),
    )
