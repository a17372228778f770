"""CSV cells are text or numbers, never formulas, and come back as they were."""

from __future__ import annotations

import csv

import models
import numpy as np
import pytest
from recordings import disc

from keras_saliency import compare, comparison, methods
from keras_saliency._io import encoding
from keras_saliency.fixation import data
from keras_saliency.fixation.data.table import INDEX

NAMES = ["=1+1", "+7", "-5.jpg", "@SUM(A1)", "\tx", "\r=x", "'=x", "''x", "'tis", "'", "", "cat",
         "a=b", "\uff1d1", "'-"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_no_formula_and_comes_back(name):
    assert encoding.cell(name)[:1] not in set("=+-@\t\r\n\uff1d")
    assert encoding.original(encoding.cell(name)) == name


def test_numbers_stay_numbers():
    assert [encoding.cell(one) for one in (-1.5, 2, np.float64(-3), None)] == [-1.5, 2, -3, None]
    assert encoding.original("-1.5") == "-1.5"
    assert encoding.original("'tis") == "'tis"


class Named(methods.Gradient):
    @property
    def name(self):
        return "=cmd|' /C calc'!A0"


def test_a_comparison(tmp_path):
    result = compare(
        models.flat(), models.pictures(2), ["gradient", Named()], ["sparseness"],
        names=["=1+1", "-5.jpg"],
    )  # fmt: skip
    path = result.to_csv(tmp_path / "table.csv")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    for row in rows[1:]:
        assert not any(text[:1] in tuple("=+-@") for text in (row[0], row[1], row[-1]))
        float(row[2])
    back = encoding.read(path)
    assert [row["picture"] for row in back] == ["=1+1", "-5.jpg"] * 2
    assert {row["method"] for row in back} == set(result.methods)
    whole = comparison.read(result.save(tmp_path / "out"))
    assert [row["picture"] for row in whole["rows"]] == ["=1+1", "-5.jpg"] * 2
    assert [one["name"] for one in whole["pictures"]] == ["=1+1", "-5.jpg"]


def test_a_table_of_fixations(tmp_path):
    from dataclasses import replace

    given = [replace(disc(0), name="=1+1", category="-x"), replace(disc(1), name="@b")]
    data.write_table(given, tmp_path / "table")
    text = (tmp_path / "table" / INDEX).read_text()
    assert ",'=1+1," in text
    back = data.read_table(tmp_path / "table")
    assert [(one.name, one.category) for one in back] == [("=1+1", "-x"), ("@b", None)]
