"""The bar on stderr: it changes nothing that passes through, and bars do not nest."""

from __future__ import annotations

import io
import sys

import pytest

from keras_saliency import _io
from keras_saliency._io import track

pytestmark = pytest.mark.no_model


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("watched", [False, True])
def test_everything_passes_through(monkeypatch, watched):
    stderr = _Terminal() if watched else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    inner = [list(track("ab", 2, "inner", wait=0)) for _ in track("xyz", 3, "outer", wait=0)]
    assert inner == [["a", "b"]] * 3
    assert ("outer" in stderr.getvalue()) == watched
    assert "inner" not in stderr.getvalue()


def test_what_is_soon_over_shows_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert list(track(range(3), 3, "quick")) == [0, 1, 2]
    assert sys.stderr.getvalue() == ""


def test_what_was_done_before_is_counted(monkeypatch):
    class Bar:
        def add_task(self, label, total, completed):
            reported.append((total, completed))

        def start(self):
            pass

        def update(self, task, completed):
            reported.append(completed)

        stop = start

    reported = []
    monkeypatch.setattr(sys, "stderr", _Terminal())
    monkeypatch.setattr(_io, "_bar", Bar)
    assert list(track("ab", 7, "resumed", wait=0, done=5)) == ["a", "b"]
    assert reported == [(7, 6), 6, 7]


def test_a_bar_ends_with_an_exception(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    with pytest.raises(ZeroDivisionError):
        list(track((1 / n for n in (1, 0)), 2, "fails", wait=0))
    assert list(track("ab", 2, "again", wait=0)) == ["a", "b"]
    assert "again" in sys.stderr.getvalue()
