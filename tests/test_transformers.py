"""Attention rollout and attribution of vision transformers against a slow twin in NumPy."""

import math
from functools import cache

import keras
import numpy as np
import pytest
import vits
from keras import layers, ops

from keras_saliency import explain, methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs.batch import prepare
from keras_saliency.errors import LayerError, MethodError

WIDTH = vits.WIDTH
GRIDS = {  # tokens in front, behind, height and width of the picture
    "class token": (1, 0, (12, 12)),
    "behind": (0, 1, (12, 12)),
    "registers": (5, 0, (12, 12)),
    "registers behind": (1, 4, (12, 12)),
    "no class token": (0, 0, (12, 12)),
    "wide": (1, 0, (6, 15)),
    "tall, no class token": (0, 0, (18, 6)),
}


class Tokens(layers.Layer):
    """Trained tokens (B, count, D), as many rows as the tokens given."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def build(self, shape):
        self.tokens = self.add_weight(shape=(1, self.count, shape[-1]), name="tokens")

    def call(self, x):
        return ops.broadcast_to(self.tokens, (ops.shape(x)[0], self.count, x.shape[-1]))


def vit(front, behind, size, **kwargs):
    """A vision transformer whose extra tokens are concatenated."""
    inputs = keras.Input((*size, 3))
    maps = layers.Conv2D(WIDTH, 3, strides=3, name="patch")(inputs)
    x = layers.Reshape((size[0] * size[1] // 9, WIDTH))(maps)
    parts = [Tokens(front)(x)] if front else []
    parts += [x, Tokens(behind)(x)] if behind else [x]
    x = layers.Concatenate(axis=1)(parts) if len(parts) > 1 else x
    x = layers.LayerNormalization()(vits.blocks(x))
    row = 0 if front else size[0] * size[1] // 9
    x = x[:, row] if front + behind else layers.GlobalAveragePooling1D()(x)
    return vits.drawn(keras.Model(inputs, layers.Dense(5, name="head")(x), **kwargs))


@cache
def built(name):
    return vit(*GRIDS[name])


def pictures(name, count=2):
    return np.random.default_rng(0).normal(size=(count, *GRIDS[name][2], 3)).astype("float32")


# --- the twin: the same network written out in float64


def _norm(x, gamma, beta):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-3) * gamma + beta


def _softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


_erf = np.vectorize(math.erf)


def twin(name, picture, nudges=None):
    """Logits and attentions (N, heads, T, T) of one picture, N times, each with its own nudges.

    ``nudges`` (N, layers, heads, T, T) are added to what the layers attend to.
    """
    front, behind, (height, width) = GRIDS[name]
    model = built(name)
    weights = [w.astype("float64") for w in model.get_weights()]
    take = lambda count: [weights.pop(0) for _ in range(count)]  # noqa: E731
    kernel, bias = take(2)
    cut = picture.reshape(height // 3, 3, width // 3, 3, 3)
    x = np.einsum("hiwjc,ijcd->hwd", cut, kernel).reshape(1, -1, WIDTH) + bias
    before = take(1) if front else []
    after = take(1) if behind else []
    x = np.concatenate([*before, x, *after], axis=1)
    attentions, count = [], 1 if nudges is None else len(nudges)
    x = np.repeat(x, count, axis=0)
    for block in range(2):
        y = _norm(x, *take(2))
        q, k, v = (np.einsum("btd,dhe->bhte", y, w) + b[:, None] for w, b in
                   (take(2), take(2), take(2)))  # fmt: skip
        attention = _softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]))
        attention = attention if nudges is None else attention + nudges[:, block]
        attentions.append(attention)
        out, bias = take(2)
        x = x + np.einsum("bhte,hed->btd", attention @ v, out) + bias
        y = _norm(x, *take(2))
        w1, b1, w2, b2 = take(4)
        y = y @ w1 + b1
        x = x + (y * (1 + _erf(y / np.sqrt(2))) / 2) @ w2 + b2
    x = _norm(x, *take(2))
    own = slice(front, front + height * width // 9)
    row = 0 if front else own.stop
    x = x[:, row] if front + behind else x.mean(1)
    kernel, bias = take(2)
    return x @ kernel + bias, attentions


def seen(name, flow):
    """The class token's row (or the mean) of (T, T) on the grid of patches."""
    front, behind, (height, width) = GRIDS[name]
    count = height * width // 9
    row = flow[0 if front else count] if front + behind else flow.mean(0)
    return row[front : front + count].reshape(height // 3, width // 3)


def grid_of(model, x, method, target=1):
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(target), prepare(adapter, x))
    return method.attribute(engine, 0)


def close(result, wanted, tolerance=1e-4):
    peak = np.abs(wanted).max()
    assert peak > 0
    assert result.shape == wanted.shape
    assert np.abs(result - wanted).max() <= tolerance * peak


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_is_recognised(name):
    front, behind, (height, width) = GRIDS[name]
    adapter, x = Adapter(built(name)), pictures(name)
    grid = Engine(adapter, targets.get(1), prepare(adapter, x)).tokens("any")
    assert grid.size == (height // 3, width // 3)
    assert (grid.first, grid.count) == (front, front + behind + height * width // 9)
    assert grid.has_extra == (front + behind > 0)


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("name", GRIDS)
def test_rollout(name, heads):
    if heads != "mean" and name != "registers":
        pytest.skip("once is enough")
    x = pictures(name)
    e = explain(built(name), x, methods.AttentionRollout(heads), target=1)
    logits = [twin(name, one.astype("float64"))[0][0, 1] for one in x]
    np.testing.assert_allclose(e.scores, logits, rtol=1e-4)  # the twin is the network
    result = grid_of(built(name), x, methods.AttentionRollout(heads)).values
    for one, picture in zip(result, x, strict=True):
        flow = np.eye(sum(GRIDS[name][:2]) + result[0].size)
        for attention in twin(name, picture.astype("float64"))[1]:
            mixed = getattr(np, heads)(attention[0], axis=0)
            mixed = 0.5 * mixed + 0.5 * np.eye(len(mixed))
            mixed = mixed / mixed.sum(-1, keepdims=True)
            flow = mixed @ flow
        assert np.allclose(flow.sum(-1), 1)  # what arrives somewhere comes from somewhere
        close(one, seen(name, flow))
    if name == "no class token":
        assert np.allclose(result.sum((1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["class token", "behind", "registers behind", "wide",
                                  "no class token"])  # fmt: skip
def test_attribution_by_finite_differences(name):
    x = pictures(name)
    result = grid_of(built(name), x, methods.TransformerAttribution(), target=[1, 3]).values
    for one, picture, target in zip(result, x, [1, 3], strict=True):
        picture = picture.astype("float64")
        _, attentions = twin(name, picture)
        shape = (2, *attentions[0].shape[1:])
        step, size = 1e-5, int(np.prod(shape))
        slopes = []
        for start in range(0, size, 128):
            nudges = step * np.eye(size)[start : start + 128].reshape(-1, *shape)
            up, down = (twin(name, picture, sign * nudges)[0][:, target] for sign in (1, -1))
            slopes.append((up - down) / (2 * step))
        gradient = np.concatenate(slopes).reshape(shape)
        relevance = np.eye(shape[-1])
        for attention, slope in zip(attentions, gradient, strict=True):
            relevance = relevance + np.maximum(attention[0] * slope, 0).mean(0) @ relevance
        close(one, seen(name, relevance - np.eye(shape[-1])))


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_clothes_of_a_transformer(method):
    x = pictures("class token")
    wanted = explain(vits.flat(), x, method, target=1).values
    close(explain(vits.nested(), x, method, target=1).values, wanted, 1e-5)


@pytest.mark.parametrize("method", [methods.AttentionRollout(), methods.TransformerAttribution()])
def test_the_layers_are_left_unchanged(method):
    model = built("class token")
    layer = next(one for one in model.layers if isinstance(one, layers.MultiHeadAttention))
    before, x = dict(vars(layer)), pictures("class token")
    explain(model, x, method, target=0)
    assert vars(layer).keys() == before.keys()
    assert "call" not in vars(layer)


# --- planted


def planted():
    """Red and blue pull two heads; class 0 is shown by what head 0 saw, class 1 by head 1.

    Tokens are (red, blue, is the class token, 0).
    """
    inputs = keras.Input((12, 15, 3))
    maps = layers.Conv2D(4, 3, strides=3, use_bias=False)(inputs)
    x = layers.Reshape((20, 4))(maps)
    x = layers.Concatenate(axis=1)([Tokens(1)(x), x])
    y = layers.MultiHeadAttention(2, 1, value_dim=1, output_shape=2, use_bias=False)(x, x)
    model = keras.Model(inputs, y[:, 0])
    patch = np.zeros((3, 3, 3, 4))
    patch[:, :, 0, 0] = patch[:, :, 2, 1] = 1 / 9
    asks = np.zeros((4, 2, 1))
    asks[2] = 12
    colour = np.zeros((4, 2, 1))
    colour[0, 0] = colour[1, 1] = 1
    model.set_weights([patch, np.array([[[0, 0, 1.0, 0]]]), asks, colour, colour,
                       np.eye(2).reshape(2, 1, 2)])  # fmt: skip
    x = np.zeros((1, 12, 15, 3), "float32")
    x[:, 3:6, 9:12, 0] = 1  # red at row 1, column 3
    x[:, 9:12, 0:3, 2] = 1  # blue at row 3, column 0
    return model, x


def test_classes_are_distinguished():
    model, x = planted()
    method = methods.TransformerAttribution()
    red, blue = (grid_of(model, x, method, target).values[0] for target in (0, 1))
    assert np.unravel_index(red.argmax(), red.shape) == (1, 3)
    assert np.unravel_index(blue.argmax(), blue.shape) == (3, 0)
    assert red[3, 0] < 0.01 * red[1, 3]
    assert blue[1, 3] < 0.01 * blue[3, 0]
    e = explain(model, x, method, target=0)
    assert e.values[0, 3:6, 9:12].mean() > 10 * e.values[0, :, :6].mean()


def test_rollout_finds_what_the_class_token_attends_to():
    model, x = planted()
    for target in (0, 1):
        grid = grid_of(model, x, methods.AttentionRollout(), target).values[0]
        assert set(np.argsort(grid.ravel())[-2:]) == {1 * 5 + 3, 3 * 5}
        rest = np.delete(grid.ravel(), [8, 15])
        assert rest.max() < 0.01 * grid.max()


# --- attention in other clothes


@cache
def other(kind):
    inputs = keras.Input((12, 12, 3))
    x = layers.Concatenate(axis=1)([Tokens(1)(y := vits.tokens_of(inputs)), y])
    if kind == "grouped":
        x = layers.GroupQueryAttention(4, 4, 2)(x, x)
    elif kind == "scores asked for":
        x, scores = layers.MultiHeadAttention(2, 4)(x, x, return_attention_scores=True)
        x = x * (1 + ops.sum(scores[:, 0, :, :1], axis=-1, keepdims=True))
    elif kind == "dropout":
        x = layers.MultiHeadAttention(2, 4, dropout=0.5)(x, x)
    elif kind == "masked":
        mask = np.triu(np.ones((17, 17), bool))  # the class token sees all
        x = layers.MultiHeadAttention(2, 4)(x, x, attention_mask=mask[None])
    elif kind == "plain":
        x = layers.MultiHeadAttention(2, 4)(x, x)
    elif kind == "two outputs":
        x = layers.MultiHeadAttention(2, 4)(x, x)
        other = layers.Dense(2, name="other")(layers.MultiHeadAttention(1, 4)(y, y)[:, 0])
        head = layers.Dense(5, name="head")(x[:, 0])
        return vits.drawn(keras.Model(inputs, {"head": head, "other": other}))
    return vits.drawn(keras.Model(inputs, layers.Dense(5)(x[:, 0])))


@pytest.mark.parametrize("kind", ["grouped", "scores asked for", "dropout", "masked", "plain"])
@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_other_attention(kind, method):
    model, x = other(kind), pictures("class token")
    e = explain(model, x, method, target=1)
    assert e.info["attentions"] == 1
    assert e.values.any()
    assert not e.checks[0]["findings"]
    for layer in model.layers:  # a grouped one remembers what it was asked for
        assert not getattr(layer, "_return_attention_scores", False) or kind == "scores asked for"
    plain = explain(model, x, "gradient", target=1).scores
    np.testing.assert_allclose(e.scores, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_attention_that_leads_to_another_output(method):
    model, x = other("two outputs"), pictures("class token")
    result = explain(model, x, method, target=targets.Class(1, output="head"))
    one = keras.Model(model.input, model.output["head"])
    wanted = explain(one, x, method, target=1)
    close(result.values, wanted.values, 1e-5)


# --- what is refused


def refused(kind):
    inputs = keras.Input((12, 12, 3))
    x = vits.tokens_of(inputs)
    if kind == "cross":
        x = layers.MultiHeadAttention(1, 4)(x, layers.MaxPooling1D(2)(x))
    elif kind == "flash":
        x = layers.MultiHeadAttention(1, 4, name="flash")(x, x)
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_flash_attention_is_refused(method, monkeypatch):
    model, x = refused("flash"), pictures("class token")
    adapter = Adapter(model)
    engine = Engine(adapter, targets.get(0), prepare(adapter, x))
    grid, survey = engine.tokens("any"), engine._survey()
    monkeypatch.setattr(Engine, "tokens", lambda self, method: grid)
    monkeypatch.setattr(Engine, "_survey", lambda self: survey)
    model.get_layer("flash")._flash_attention = True  # no CPU can run it
    with pytest.raises(MethodError, match="flash"):
        explain(model, x, method, target=0)


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_cross_attention_is_refused(method):
    with pytest.raises(MethodError, match="same tokens"):
        explain(refused("cross"), pictures("class token"), method, target=0)


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_attribution"])
def test_no_attention_is_refused(method):
    with pytest.raises(LayerError, match=r"keras\.layers\.MultiHeadAttention"):
        explain(refused("none"), pictures("class token"), method, target=0)


# --- real size


@pytest.mark.long
def test_a_transformer_of_real_size():
    """ViT-Ti/16 at 224, two blocks of twelve."""
    inputs = keras.Input((224, 224, 3))
    x = layers.Reshape((196, 192))(layers.Conv2D(192, 16, strides=16)(inputs))
    x = layers.Concatenate(axis=1)([Tokens(1)(x), x])
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(3, 64)(y, y)])
        y = layers.Dense(768, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(192)(y)])
    model = keras.Model(inputs, layers.Dense(10)(layers.LayerNormalization()(x)[:, 0]))
    picture = np.random.default_rng(0).normal(size=(1, 224, 224, 3)).astype("float32")
    for method in ("attention_rollout", "transformer_attribution"):
        e = explain(model, picture, method, target=3)
        assert e.values.shape == (1, 224, 224)
        assert e.info["attentions"] == 2
