"""`_backend.ancestors`: what each noted tensor was computed from, however it was computed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from keras_saliency import _backend

X, Y = np.ones((1, 6, 6, 2), "float32"), np.full((1, 6, 6, 2), 2.0, "float32")


def ancestors(function, variables=()):
    def noted(note, x, y):
        note("x", x)
        note("y", y)
        function(note, x, y)

    return _backend.current().ancestors(noted, lambda: list(variables), X, Y)


def leads(function):
    """Which of x and y the noted "result" depends on."""
    return ancestors(lambda note, x, y: note("result", function(x, y)))["result"] & {"x", "y"}


def _split(x, y):
    return ops.split(ops.concatenate([x, y], axis=-1) * 1.0, 2, axis=-1)[0]


WAYS = {
    "sum": (lambda x, y: x + y, "xy"),
    "one of two": (lambda x, y: (x * 2, y * 3)[0], "x"),
    "shape only": (lambda x, y: ops.zeros(ops.shape(x)) + y, "y"),
    "stopped gradient": (lambda x, y: ops.stop_gradient(x) * 2, "x"),
    "integers": (lambda x, y: ops.argmax(ops.reshape(y, (1, -1)), axis=-1), "y"),
    "where": (lambda x, y: ops.where(x > 0, y, 0.0), "xy"),
    "a list's other half": (lambda x, y: ops.unstack(ops.stack([x, y]), axis=0)[1] * 1, "xy"),
    "split": (_split, "xy"),
    "nothing": (lambda x, y: ops.ones((1, 2)), ""),
    "update": (lambda x, y: ops.slice_update(ops.zeros((1, 6, 6, 2)), (0, 0, 0, 0), x), "x"),
    "einsum": (lambda x, y: ops.einsum("bhwc,bhwd->bcd", x, x), "x"),
    "cast": (lambda x, y: ops.cast(ops.cast(y, "float16"), "float32"), "y"),
    "loop": (
        lambda x, y: ops.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a + x), (0, y))[1],
        "xy",
    ),
    "scan": (lambda x, y: ops.scan(lambda c, _: (c + x, c), y, None, length=2)[0], "xy"),
    "branches": (lambda x, y: ops.cond(ops.sum(x) > 0, lambda: y * 2, lambda: y * 3), "xy"),
    "map": (lambda x, y: ops.vectorized_map(lambda row: row * 2, x), "x"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_seen(way):
    function, wanted = WAYS[way]
    if way == "branches" and keras.config.backend() == "torch":
        wanted = "y"  # Python has branched before: the number is gone
    assert leads(function) == set(wanted)


LAYERS = {
    "convolution": lambda: kl.Conv2D(2, 3),
    "nested": lambda: keras.Sequential([kl.Conv2D(2, 3), kl.BatchNormalization(), kl.ReLU()]),
    "recurrent": lambda: keras.Sequential([kl.Reshape((6, 12)), kl.LSTM(3)]),
    "by step": lambda: kl.TimeDistributed(kl.Dense(3)),
    "attention": lambda: keras.Sequential([kl.Reshape((36, 2)), _SelfAttention()]),
}


class _SelfAttention(keras.Layer):
    def __init__(self):
        super().__init__()
        self.attention = kl.MultiHeadAttention(1, 2)

    def call(self, x):
        return self.attention(x, x)


@pytest.mark.parametrize("kind", LAYERS)
def test_each_layer_leads_from_its_input_only(kind):
    one, other = LAYERS[kind](), LAYERS[kind]()
    one(X)
    other(X)
    variables = [*one.variables, *other.variables]

    def function(note, x, y):
        left, right = one(x), other(y)
        note("left", left)
        note("right", right)
        note("both", ops.sum(left) + ops.sum(right))

    result = ancestors(function, variables)
    assert result["left"] == {"x", "left"}
    assert result["right"] == {"y", "right"}
    assert result["both"] == {"x", "y", "left", "right", "both"}


def test_a_tensor_noted_twice_has_both_names():
    def function(note, x, y):
        z = x * 2
        note("late", z + 1)
        note("one", z)
        note("other", z)

    result = ancestors(function)
    assert result["one"] == result["other"] == {"x", "one", "other"}
    assert result["late"] == {"x", "one", "other", "late"}  # also what used it before it was noted


@pytest.mark.skipif(keras.config.backend() != "torch", reason="only there tensors change in place")
def test_what_changes_in_place_is_followed():
    import torch

    def function(note, x, y):
        whole = torch.zeros(2, 3)
        part = whole[:, :2]
        note("before", whole)
        part.copy_(x[0, :2, :2, 0])
        note("after", whole)
        whole += y[0, :2, :3, 0]
        note("later", part)
        out = torch.empty(2, 3)
        torch.add(x[0, :2, :3, 0], 1, out=out)
        note("out", out)
        note("relu", torch.nn.functional.relu(out, inplace=True))

    result = {name: one & {"x", "y"} for name, one in ancestors(function).items()}
    assert result["before"] == set()
    assert result["after"] == {"x"}
    assert result["later"] == {"x", "y"}
    assert result["out"] == result["relu"] == {"x"}
