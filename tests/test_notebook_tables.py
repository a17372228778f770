"""Tables in notebooks: comparisons and evaluations as HTML, and as a pandas DataFrame."""

from __future__ import annotations

import sys

import models
import numpy as np
import pytest

from keras_saliency import compare, errors

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def compared():
    names = ["gradient", "attention_rollout", "lrp"]  # the second has no map: there is no attention
    return compare(models.flat(), models.pictures(2), names, ["sparseness", "completeness_error"])


def test_a_row_for_each_method_and_picture(compared):
    pytest.importorskip("pandas")
    frame = compared.to_dataframe()
    assert list(frame.columns) == ["method", "picture", *compared.metrics, "seconds"]
    assert frame["method"].tolist() == [name for name in compared.methods for _ in range(2)]
    assert frame["picture"].tolist() == [*compared.names] * 3
    for k, metric in enumerate(compared.metrics):
        assert frame[metric].dtype == np.float64
        wide = frame.pivot(index="method", columns="picture", values=metric)
        wide = wide.loc[[*compared.methods], [*compared.names]].to_numpy()
        np.testing.assert_array_equal(wide, compared.values[:, k])
    np.testing.assert_array_equal(frame["seconds"][::2], compared.seconds)
    assert frame.set_index("method")["sparseness"].isna()["attention_rollout"].all()


def test_without_pandas_the_error_says_how_to_install_it(compared, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(errors.MetricError, match="pip install pandas"):
        compared.to_dataframe()


def test_tables_are_html(compared):
    from keras_saliency.fixation.scoring import METRICS, Evaluation

    assert compared._repr_html_().count("<tr>") == 1 + len(compared.methods)
    scores = dict.fromkeys(METRICS, 0.5)
    row = {"dataset": "<b>", "category": "", "picture": "a", "predictor": "own", **scores}
    html = Evaluation("own", ({**row, "fixations": 3},), {})._repr_html_()
    assert "&lt;b&gt;" in html
    assert html.count("<tr>") == 2
    assert html.count("<td>0.500</td>") == len(METRICS)
