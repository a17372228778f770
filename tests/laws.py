"""The laws every method keeps. Each is written once; each has a mutant that it must reject.

A law takes ``run(model, x, **options) -> Explanation``, a case of the table, and a folder.
"""

from __future__ import annotations

import keras
import models
import numpy as np
import pytest

from keras_saliency import Explanation, errors, targets

# float32 sums in another order (another batch size, another layout) differ by rounding; a ReLU near
# 0 is no risk on these networks, whose largest difference over all backends was 4e-7 of the peak.
_ROUNDING = 1e-5


def _same(one, other, tolerance=_ROUNDING):
    peak = max(np.abs(other).max(), 1e-6)
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= tolerance * peak


def image_sized_finite_float32(run, case, folder):
    x = models.pictures()
    e = run(case.networks.flat(), x)
    assert e.values.shape == x.shape[:3]
    assert e.values.dtype == np.float32
    assert np.isfinite(e.values).all()
    assert e.values.any()
    assert e.signed == case.method.signed
    assert e.attributions is None or (
        e.attributions.shape == x.shape and e.attributions.dtype == np.float32
    )


def same_seed_same_map(run, case, folder):
    x = models.pictures(2)
    np.testing.assert_array_equal(
        run(case.networks.flat(), x, seed=3).values, run(case.networks.flat(), x, seed=3).values
    )


def another_seed_another_map_if_stochastic(run, case, folder):
    x = models.pictures(1)
    one, other = (run(case.networks.flat(), x, seed=seed).values for seed in (3, 4))
    assert np.array_equal(one, other) != case.method.stochastic


def batch_is_singles(run, case, folder):
    x = models.pictures()
    together = run(case.networks.flat(), x)
    for i in range(len(x)):
        alone = run(case.networks.flat(), x[i])
        _same(together.values[i : i + 1], alone.values)
        assert together.targets[i] == alone.targets[0]


def micro_batch_changes_nothing(run, case, folder):
    x = models.pictures()
    whole = run(case.networks.flat(), x, batch_size=8)
    for size in (1, 2):
        _same(run(case.networks.flat(), x, batch_size=size).values, whole.values)


def model_left_as_found(run, case, folder):
    model = case.networks.chain(name="untouched")
    model.layers[1].trainable = False
    before = _state(model)
    run(model, models.pictures(1))
    assert _state(model) == before

    class _Stop(Exception):
        pass

    def stop(outputs):
        raise _Stop

    with pytest.raises(errors.MethodError if case.only_classes else _Stop):
        run(model, models.pictures(1), target=stop)
    assert _state(model) == before


_NOTES = ("_called", "_parent_path")


def _state(model):
    """All that a user could notice: weights, flags, and every attribute of every layer.

    Left out are Keras' own notes that a layer has been called, and where from.
    """
    layers = [model, *model._flatten_layers(include_self=False)]
    return (
        [w.tobytes() for w in model.get_weights()],
        [(v.trainable, getattr(v.value, "requires_grad", None)) for v in model.variables],
        [{k: id(v) for k, v in layer.__dict__.items() if k not in _NOTES} for layer in layers],
        [getattr(getattr(v, "value", None), "grad", None) is None for v in model.variables],
        [len(layer.losses) for layer in layers],
    )  # fmt: skip


def nested_is_flat(run, case, folder):
    x = models.pictures(2)
    flat, nested = run(case.networks.flat(), x), run(case.networks.nested(), x)
    _same(nested.values, flat.values)


def exact_on_linear(run, case, folder):
    if case.on_linear is not None:
        x = models.pictures(2)
        model, w = models.linear()
        e = run(model, x, target=[1, 4])
        _same(e.values, case.on_linear(w[[1, 4]], x).astype("float32"), 1e-4)
    if case.on_cam is not None:
        x = models.pictures(2)
        model, kernel, head = models.pooled()
        e = run(model, x, target=2)
        features = np.maximum(x @ kernel, 0)
        _same(e.values, case.on_cam(features, head[:, 2]).astype("float32"), 1e-4)


def dead_pixel_gets_zero(run, case, folder):
    e = run(case.networks.blind(), models.pictures(2))
    if case.method.local:
        assert not e.values[:, models.SIZE // 2 :].any()
        assert not e.values[:, :, models.SIZE // 2 :].any()
    assert e.values[:, : models.SIZE // 2, : models.SIZE // 2].any()


def complete_where_claimed(run, case, folder):
    x = models.pictures()
    e = run(case.networks.flat(), x, target=1)
    logits = [
        keras.ops.convert_to_numpy(case.networks.logits()(z))[:, 1] for z in (x, case.baseline(x))
    ]
    gap = (logits[0] - logits[1]).astype("float64")
    # Relative to the gap in score: an absolute bound once let a map pass that was 10 % wrong.
    assert (
        np.abs(e.attributions.sum((1, 2, 3), dtype="float64") - gap) <= 0.03 * np.abs(gap)
    ).all()
    assert all(check["completeness_error"] <= 0.03 for check in e.checks)


def unsigned_is_non_negative(run, case, folder):
    e = run(case.networks.flat(), models.pictures())
    assert (e.values >= 0).all()


def _argmax(outputs):
    return keras.ops.cast(keras.ops.argmax(outputs, axis=-1), "float32")


def gradient_free_where_claimed(run, case, folder):
    if case.only_classes:
        with pytest.raises(errors.MethodError, match="is no class"):
            run(case.networks.flat(), models.pictures(1), target=_argmax)
    elif case.method.needs_gradient:
        with pytest.raises(errors.GradientError, match="No differentiable path"):
            run(case.networks.flat(), models.pictures(1), target=_argmax)
    else:
        e = run(case.networks.flat(), models.pictures(1), target=_argmax)
        assert e.scores == _argmax(case.networks.flat()(models.pictures(1)))


def channels_first_is_channels_last(run, case, folder):
    x = models.pictures(2)
    last = run(case.networks.flat(), x)
    for given in (x, x.transpose(0, 3, 1, 2)):
        try:
            first = run(case.networks.channels_first(), given)
        except errors.ModelError as error:  # without oneDNN, TensorFlow's CPU kernels are NHWC only
            if "TensorFlow cannot run that on this device" not in str(error):
                raise
            pytest.skip("TensorFlow runs no channels first on this processor")
        _same(first.values, last.values)
        if last.attributions is not None:
            _same(first.attributions, last.attributions)


def save_and_load_round_trip(run, case, folder):
    e = run(case.networks.flat(), models.pictures(2))
    back = Explanation.load(e.save(folder / "saved"))
    np.testing.assert_array_equal(back.values, e.values)
    np.testing.assert_array_equal(back.scores, e.scores)
    np.testing.assert_array_equal(back.maps(), e.maps())
    assert (back.attributions is None) == (e.attributions is None)
    assert (back.labels, back.targets, back.checks) == (e.labels, e.targets, e.checks)
    assert {**back.info, "parameters": 0} == {**e.info, "parameters": 0}


def foreign_inputs_change_nothing(run, case, folder):
    """Another input adds the same to every score, however its pixels are shuffled."""
    drawn = np.random.default_rng(4)
    other = drawn.random((1, 36, 2)).astype("float32")
    both = (other, other[:, drawn.permutation(36)])
    one, another = (
        run(
            case.networks.two_inputs(),
            {"picture": models.pictures(1), "other": pixels.reshape(1, 6, 6, 2)},
            target=1,
        )
        for pixels in both
    )
    assert "other" not in one.info.get("layer", "")
    _same(another.values, one.values)


def layer_is_reached_and_reaches(run, case, folder):
    """A CAM's layer changes with the explained picture, and the score with the layer."""
    model = case.networks.two_inputs_two_heads()
    given = {"picture": models.pictures(1), "other": models.pictures(1, seed=1)}
    e = run(model, given, target=targets.Class(1, output="head"))
    layer = model
    for part in e.info["layer"].partition("@")[0].split("/"):
        layer = layer.get_layer(part)
    one, score = _with_output(layer, lambda y: y, model, given)
    another, _ = _with_output(layer, lambda y: y, model, {**given, "picture": -given["picture"]})
    _, without = _with_output(layer, keras.ops.zeros_like, model, given)
    assert not np.array_equal(one, another)
    assert not np.array_equal(score, without)


def _with_output(layer, change, model, given):
    """Return a layer's output and the head's, where that output is changed on the way."""
    call, seen = layer.call, []

    def changed(*args, **kwargs):
        seen.append(keras.ops.convert_to_numpy(call(*args, **kwargs)))
        return change(keras.ops.convert_to_tensor(seen[-1]))

    layer.call = changed
    try:
        head = model({name: keras.ops.convert_to_tensor(x) for name, x in given.items()})["head"]
    finally:
        del layer.call
    return seen[0], keras.ops.convert_to_numpy(head)


def another_run_is_a_fresh_run(run, case, folder):
    """What was compiled or recorded on some pictures holds nothing of them."""
    used, fresh = case.networks.flat(), case.networks.chain()
    with models.recorded_at_once():
        run(used, models.pictures(2), target=1)
        e = run(used, models.pictures(2, seed=9), target=1)
    plain = run(fresh, models.pictures(2, seed=9), target=1)
    _same(e.values, plain.values)
    _same(e.scores, plain.scores)


LAWS = [
    image_sized_finite_float32,
    same_seed_same_map,
    another_seed_another_map_if_stochastic,
    batch_is_singles,
    micro_batch_changes_nothing,
    model_left_as_found,
    nested_is_flat,
    exact_on_linear,
    dead_pixel_gets_zero,
    complete_where_claimed,
    unsigned_is_non_negative,
    gradient_free_where_claimed,
    channels_first_is_channels_last,
    save_and_load_round_trip,
    foreign_inputs_change_nothing,
    layer_is_reached_and_reaches,
    another_run_is_a_fresh_run,
]

_CONCERNS = {  # what a method claims, where a law is of such methods only
    exact_on_linear: lambda case: case.on_linear is not None or case.on_cam is not None,
    complete_where_claimed: lambda case: case.method.complete,
    unsigned_is_non_negative: lambda case: not case.method.signed,
    layer_is_reached_and_reaches: lambda case: case.method.family == "cam",
}


def concerns(law, case):
    """Whether a law asserts something of a method."""
    return _CONCERNS.get(law, lambda case: True)(case)
