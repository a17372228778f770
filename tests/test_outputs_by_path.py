"""Each output has a path in the nest that a model returns."""

from __future__ import annotations

from collections import namedtuple

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from keras_saliency import errors, explain, targets
from keras_saliency._graph.outputs import outputs_by_path

Heads = namedtuple("Heads", "zeta alpha")

NESTS = {
    "dict with list": lambda a, b, c: {"aux": [a, b], "head": c},
    "tuple with dict": lambda a, b, c: (a, {"x": b, "y": c}),
    "deep": lambda a, b, c: {"z": {"y": [a, {"x": b}]}, "a": c},
    "list": lambda a, b, c: [a, b, c],
    "namedtuple": lambda a, b, c: Heads(zeta=a, alpha={"x": b, "y": c}),
    "same key twice": lambda a, b, c: {"m": {"out": a}, "n": {"out": b}, "out": c},
}


@pytest.mark.any_backend  # each name is compiled anew, and is looked up in plain Python
@pytest.mark.parametrize("subclassed", [False, True])
@pytest.mark.parametrize("nest", NESTS)
def test_an_output_is_named_by_its_path(nest, subclassed):
    """Each output reads one pixel; whichever path is named, its gradient lies on that pixel."""
    heads = []
    for place in range(3):
        kernel = np.zeros((16, 2), "float32")
        kernel[place] = 1, 2
        heads.append(
            kl.Dense(2, use_bias=False, kernel_initializer=lambda *a, k=kernel, **_: ops.array(k))
        )
    flat = kl.Flatten()

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.heads, self.flat = heads, flat

        def call(self, x):
            return NESTS[nest](*(head(flat(x)) for head in heads))

    picture = keras.Input((4, 4, 1))
    model = Net() if subclassed else keras.Model(picture, Net().call(picture))
    x = np.ones((4, 4, 1), "float32")
    if nest == "namedtuple":
        for name, place in (("zeta", 0), ("0", 0), ("alpha/y", 2), ("1/y", 2)):
            e = explain(model, x, target=targets.Class(1, output=name))
            assert np.flatnonzero(e.values[0]).tolist() == [place], name
    numbered = NESTS[nest](*np.arange(3))
    assert len(outputs_by_path(numbered)) == 3
    for number, (path, place) in enumerate(outputs_by_path(numbered)):
        for name in (path, number):
            e = explain(model, x, target=targets.Class(1, output=name))
            assert np.flatnonzero(e.values[0]).tolist() == [int(place)], name
    with pytest.raises(errors.TargetError, match="3 outputs"):
        explain(model, x, target=targets.Class(1))
    with pytest.raises(errors.TargetError, match=r"No single output is called '(m/ou|au)'"):
        explain(model, x, target=targets.Class(1, output="m/ou" if "twice" in nest else "au"))
