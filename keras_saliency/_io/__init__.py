"""Files and folders, written all or nothing and read back; here a progress bar for long work.

The bar is on stderr, or below a notebook's cell, from 2 s on.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_outer = threading.local()
_PATIENCE = 2.0  # seconds; shorter work needs no bar
_APART = 0.2  # seconds between two messages to a notebook


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
    notebook = in_notebook()
    watched = notebook or sys.stderr.isatty()
    if not watched or getattr(_outer, "tracking", False):  # no bar within a bar
        yield from items
        return
    started = time.monotonic()
    bar: Any = None
    _outer.tracking = True
    try:
        for item in items:
            yield item
            done += 1
            if bar is None and time.monotonic() - started >= wait:
                bar = _InNotebook() if notebook else _bar()
                task = bar.add_task(label, total=total, completed=done)
                bar.start()
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        _outer.tracking = False
        if bar is not None:
            bar.stop()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this code."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _InNotebook:
    """A bar of plain HTML, which needs no ipywidgets; other front ends show its text.

    It has the methods of rich's ``Progress`` that `track` calls, and is empty once it is stopped.
    """

    def add_task(self, label: str, total: int | None, completed: int) -> int:
        self.label, self.total, self.first, self.done = label, total, completed, completed
        return 0

    def start(self) -> None:
        from IPython.display import display

        self.started = self.shown = time.monotonic()
        self.handle = display(self._content(), raw=True, display_id=True)

    def update(self, task: int, completed: int) -> None:
        self.done = completed
        if time.monotonic() - self.shown >= _APART:
            self.shown = time.monotonic()
            self.handle.update(self._content(), raw=True)

    def stop(self) -> None:
        self.handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def _content(self) -> dict[str, str]:
        """Return the bar as HTML, and as text for front ends without it."""
        text = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
        since, done = time.monotonic() - self.started, self.done - self.first
        if self.total is not None and done > 0 and since > 0:
            text += f", {round((self.total - self.done) * since / done)} s left"
        ends = "" if self.total is None else f' max="{self.total}" value="{self.done}"'
        bar = f'<progress{ends} style="width:20em;max-width:60%"></progress>'
        label = html.escape(self.label)
        return {
            "text/plain": f"{self.label} {text}",
            "text/html": f"<div>{label} {bar} {text}</div>",
        }


def _bar() -> Any:
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
