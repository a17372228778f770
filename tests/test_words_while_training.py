"""Words are read from the same weights as the model that is explained on them."""

from __future__ import annotations

import contextlib
import threading

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import _explain, explain


@contextlib.contextmanager
def _another_thread():
    """Have a thread live that does nothing, as a training loop between two steps."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("when", ["before the words are read", "after"])
def test_an_update_between_the_words_and_the_model(monkeypatch, when):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), L.Embedding(7, 3), L.GRU(4), L.Dense(2)]
    )
    x = np.array([[1, 2, 3, 4, 5], [6, 0, 1, 1, 2]])
    states = [model.get_weights(), [1.5 * np.flip(w) for w in model.get_weights()]]
    wanted = []
    for state in states:
        model.set_weights(state)
        wanted.append(explain(model, x, "input_x_gradient", target=1))
    model.set_weights(states[0])
    waiting, prepare = [True], _explain.prepare

    def updated(*args):
        if waiting and when != "after":
            model.set_weights(states[waiting.pop()])
        batch = prepare(*args)
        if waiting:
            model.set_weights(states[waiting.pop()])
        return batch

    monkeypatch.setattr(_explain, "prepare", updated)
    with _another_thread():
        found = explain(model, x, "input_x_gradient", target=1)
    assert not waiting
    same = [np.allclose(found.values, one.values, rtol=1e-3, atol=1e-6) for one in wanted]
    assert sum(same) == 1
    of = wanted[same.index(True)]
    np.testing.assert_allclose(found.scores, of.scores, rtol=1e-4)
    assert found.model_sha256 in (of.model_sha256, None)
