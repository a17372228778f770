"""The bar on stderr: it changes nothing that passes through, and bars do not nest."""

from __future__ import annotations

import io
import sys
import types

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


class _Display:
    """What a Jupyter kernel receives, by a stand-in for IPython."""

    def __init__(self, monkeypatch):
        self.contents = []
        kernel = types.SimpleNamespace(kernel=object())
        shell = types.ModuleType("IPython")
        shell.get_ipython = lambda: kernel
        front = types.ModuleType("IPython.display")
        front.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", shell)
        monkeypatch.setitem(sys.modules, "IPython.display", front)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        monkeypatch.setitem(sys.modules, "ipywidgets", None)  # cannot be imported

    def display(self, content, *, raw, display_id):
        self.update(content, raw=raw)
        return self

    def update(self, content, *, raw):
        assert raw
        self.contents.append(content)


def test_a_notebook_has_a_bar_without_widgets(monkeypatch):
    shown = _Display(monkeypatch)
    monkeypatch.setattr(_io, "_APART", 0.0)
    assert list(track("abc", 3, "<maps>", wait=0)) == ["a", "b", "c"]
    first, *_, last = shown.contents
    assert 'max="3" value="1"' in first["text/html"]
    assert "&lt;maps&gt;" in first["text/html"]
    assert first["text/plain"].startswith("<maps> 1/3")
    assert 'value="3"' in shown.contents[-2]["text/html"]
    assert last == {"text/plain": "", "text/html": ""}
    assert sys.stderr.getvalue() == ""


def test_a_notebook_is_not_flooded(monkeypatch):
    shown = _Display(monkeypatch)
    assert len(list(track(range(5000), None, "many", wait=0))) == 5000
    assert len(shown.contents) < 20
    assert "<progress style" in shown.contents[0]["text/html"]  # of an unknown number
