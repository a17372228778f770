"""A real notebook: each figure once, tables as HTML, a bar with and without ipywidgets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("ipykernel")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

pytestmark = [pytest.mark.long, pytest.mark.any_backend]

START = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import models
from keras_saliency import compare, explain, methods, plot, targets
from keras_saliency._io import track
model, x = models.flat(), models.pictures(1)
e = explain(model, x, "grad_cam")
"""
# What a cell holds, and how many images and HTML tables it shows.
CELLS = [
    (START, 0, 0),
    ("e", 1, 0),
    ("e.plot()", 1, 0),
    ("figure = e.plot('overlay')", 0, 0),
    ("figure", 1, 0),
    ("e.plot('contours').show()", 1, 0),
    ("for _ in range(25): e.plot('heatmap')", 0, 0),
    ("from matplotlib import pyplot as plt\ne.plot()", 1, 0),
    ("figure, ax = plt.subplots()\ne.plot(ax=ax)", 1, 0),
    ("plot.pair(e.panels())", 1, 0),
    ("explain(model, x, target=targets.Top(3))", 1, 0),
    ("explain(model, x, ['gradient', 'grad_cam']).plot('overlay')", 1, 0),
    ("r = compare(model, x, ['gradient', 'grad_cam'], metrics=['sparseness'])\nr", 0, 1),
    ("r.plot()", 1, 0),
    ("r.plot('scores')", 1, 0),
    ("e.to_pil()", 1, 0),
]
BAR = """
import time
for _ in track(range(3), 3, "some <work>", wait=0):
    time.sleep(0.3)
"""


def executed(cells, folder):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [cell.outputs for cell in notebook.cells]


def shown(outputs, mime):
    return [one for one in outputs if mime in one.get("data", {})]


def test_figures_are_shown_once_and_tables_as_html(tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Jupyter's own
    results = executed([code for code, *_ in CELLS], str(tmp_path))
    for (code, images, tables), outputs in zip(CELLS, results, strict=True):
        assert len(shown(outputs, "image/png")) == images, code
        assert len(shown(outputs, "text/html")) == tables, code
        if code != START:  # where Keras may print
            assert not [one for one in outputs if one.output_type == "stream"], code


@pytest.mark.parametrize("widgets", [True, False])
def test_a_bar_needs_no_widgets(tmp_path, widgets, monkeypatch):
    fake = tmp_path / "ipywidgets.py"
    fake.write_text("" if widgets else "raise ImportError('no ipywidgets')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    spy = """
from IPython import display
handle, contents = display.DisplayHandle, []
whole = handle.update
handle.update = lambda self, content, **its: (contents.append(content), whole(self, content, **its))
"""
    _, outputs, reported = executed([START + spy, BAR, "print(contents)"], str(tmp_path))
    assert len(shown(outputs, "text/html")) == 1
    assert not [one for one in outputs if one.output_type == "stream"]  # nor a warning
    assert outputs[0]["data"]["text/html"] == ""  # gone once it is done
    text = "".join(one["text"] for one in reported)
    assert 'max="3" value="2"' in text
    assert "some &lt;work&gt;" in text
    assert "s left" in text
