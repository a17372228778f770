"""How many rows go through the model at once, and what happens when memory runs out."""

import models
import numpy as np
import pytest

from keras_saliency import _backend, explain, methods
from keras_saliency._engine import micro_batches
from keras_saliency._engine.micro_batches import MeasuredSize, Size
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency.errors import MethodError

BACKEND = _backend.current()


class _Device:
    """A program that doubles its input, on a device with room for so many rows."""

    def __init__(self, room):
        self.room, self.seen = room, []

    def __call__(self, x, more):
        self.seen.append(len(x))
        if len(x) > self.room:
            raise _out_of_memory()
        return 2 * x, {"more": more["numbers"]}


def _out_of_memory():
    """What the framework itself raises."""
    match BACKEND.__name__.rpartition(".")[2]:
        case "jax":
            import jax

            return jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte")
        case "tensorflow":
            import tensorflow as tf

            return tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        case "torch":
            import torch

            return torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def plain(monkeypatch):
    """Arrays instead of tensors."""
    monkeypatch.setattr(BACKEND, "to_numpy", lambda nest: nest)


def _run(device, rows, size):
    x = np.arange(rows, dtype="float32")
    doubled, aux = micro_batches.run(device, (x, {"numbers": x + 1}), size)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_array_equal(aux["more"], x + 1)
    return device.seen


def test_few_sizes_where_each_is_compiled(plain, monkeypatch):
    monkeypatch.setattr(BACKEND, "COMPILES", True)
    assert _run(_Device(99), 19, Size(8)) == [8, 8, 8]
    assert _run(_Device(99), 5, Size(8)) == [8]
    assert _run(_Device(99), 3, Size(8)) == [4]
    monkeypatch.setattr(BACKEND, "COMPILES", False)
    assert _run(_Device(99), 19, Size(8)) == [8, 8, 3]


def test_a_size_that_was_asked_for_is_used(plain):
    with pytest.raises(MethodError, match=r"memory for 8 pictures.*smaller batch_size, or 'auto'"):
        _run(_Device(4), 16, Size(8))


def test_auto_halves_for_good_when_memory_runs_out(plain, monkeypatch):
    monkeypatch.setattr(BACKEND, "COMPILES", False)
    size = MeasuredSize()
    assert _run(_Device(3), 5, size) == [5, 4, 2, 2, 1]
    assert size.settled
    assert _run(_Device(3), 5, size) == [2, 2, 1]


def test_auto_gives_up_at_one(plain):
    with pytest.raises(MethodError, match="Explain smaller pictures"):
        _run(_Device(0), 2, MeasuredSize())


def test_other_errors_are_not_memory(plain):
    def broken(x, more):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _run(broken, 2, MeasuredSize())
    for error in (ValueError("RESOURCE_EXHAUSTED"), RuntimeError("shape"), MemoryError()):
        assert not BACKEND.is_out_of_memory(error)
    assert BACKEND.is_out_of_memory(_out_of_memory())


@pytest.mark.parametrize(
    ("a_row", "best"),
    [
        ({8: 1.0, 16: 0.97, 32: 0.1, 64: 0.1}, 8),  # 3 % is no gain, and no larger one is tried
        ({8: 1.0, 16: 0.9, 32: 0.95, 64: 0.1}, 16),
        ({8: 1.0, 16: 0.9, 32: 0.8, 64: 0.7}, 64),
    ],
)
def test_auto_doubles_while_that_is_faster(a_row, best):
    size = MeasuredSize()
    for _ in range(12):
        rows = size.rows
        size.took(rows, 5.0 if rows not in size._seconds else rows * a_row[rows])  # compiling first
        size.took(rows // 2 + 1, 0.0)  # what is not full says nothing
    assert (size.rows, size.settled) == (best, True)


def test_after_memory_ran_out_it_does_not_grow_again():
    size = MeasuredSize()
    for _ in range(3):
        size.took(8, 8.0)
    assert size.rows == 16
    assert size.shrink()
    for _ in range(9):
        size.took(size.rows, 0.001)
    assert size.rows == 8


def test_auto_gives_the_same_maps_and_is_measured_once_a_model():
    model, x = models.flat(), models.pictures()
    method = methods.IntegratedGradients(steps=24, baseline=0.0)
    auto = explain(model, x, method, batch_size="auto")
    usual = explain(model, x, method)
    np.testing.assert_allclose(auto.values, usual.values, atol=1e-5 * np.abs(usual.values).max())
    key = ("micro-batch", "gradient", x.shape[1:])
    result = get_or_create(model, key, lambda: pytest.fail("nothing was cached"))
    assert result._seconds[8]
    assert auto.info["batch_size"] == "auto"


def test_what_is_no_batch_size():
    for wrong in (0, -1, 2.5, "all", None):
        with pytest.raises(MethodError, match=r"whole number above 0.*or pass 'auto'"):
            explain(models.flat(), models.pictures(1), batch_size=wrong)
