"""While another thread changes the weights, a map is of one state of them, or refused."""

import contextlib
import hashlib
import threading
import time

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_saliency import compare, errors, explain, methods
from keras_saliency._engine import weights
from keras_saliency._results import provenance

BACKEND = keras.config.backend()


def _x():
    return np.random.default_rng(0).random((1, 8, 8, 3)).astype("float32")


def _model():
    keras.utils.set_random_seed(2)
    conv = L.Conv2D(4, 3, activation="relu")
    return keras.Sequential(
        [keras.Input((8, 8, 3)), conv, L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(3)]
    )


@contextlib.contextmanager
def _meanwhile(step, pause):
    """Have another thread take steps inside this block."""
    stop, raised = threading.Event(), []

    def work():
        try:
            while not stop.is_set():
                step()
                time.sleep(pause)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not raised


@pytest.mark.parametrize("pause", [0.0, 0.004, 0.03])
def test_every_map_is_of_one_of_two_states(pause):
    """Six micro-batches a map: of two states, it would be neither's."""
    model, method = _model(), methods.SmoothGrad(samples=6)
    states = [model.get_weights(), [np.flip(w) * -1.5 for w in model.get_weights()]]
    maps = []
    for state in states:
        model.set_weights(state)
        maps.append(explain(model, _x(), method, target=1, batch_size=1).values)
    hashes, turn = [], [0]
    for state in states:
        model.set_weights(state)
        hashes.append(provenance.model_hash(model))

    pauses = [pause]

    def toggle():
        turn[0] = 1 - turn[0]
        model.set_weights(states[turn[0]])
        time.sleep(pauses[-1])

    right, tries = 0, 0
    with _meanwhile(toggle, 0):
        while tries < 8 or (pause == 0.03 and not right and tries < 18):
            if tries >= 8:  # on a machine that is busy a call takes longer than the pause
                pauses.append(2 * pauses[-1])
            tries += 1
            try:
                result = explain(model, _x(), method, target=1, batch_size=1)
            except errors.ModelError:
                continue
            same = [np.allclose(result.values, one, rtol=1e-3, atol=1e-6) for one in maps]
            assert any(same)
            assert result.model_sha256 in (hashes[same.index(True)], None)
            right += 1
    assert right or pause < 0.03, pauses


class _Slow(list):
    """Weights of which the second is there only when it is said so."""

    def __init__(self, values, halfway, goes_on):
        super().__init__(values)
        self.halfway, self.goes_on = halfway, goes_on

    def __iter__(self):
        for i, value in enumerate(super().__iter__()):
            if i == 1:
                self.halfway.set()
                assert self.goes_on.wait(60)
            yield value


def test_a_thread_put_aside_in_the_midst_of_an_update():
    """On a busy machine the weights of half an update stand still for as long as one likes."""
    model = _model()
    new = [np.flip(w) * -1.5 for w in model.get_weights()]
    halfway, goes_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: model.set_weights(_Slow(new, halfway, goes_on)))
    thread.start()
    try:
        assert halfway.wait(60)
        with pytest.raises(errors.ModelError, match="changed, or could not be read"):
            explain(model, _x(), target=1)
        explain(_model(), _x(), target=1)  # another model's update is none of this one's
    finally:
        goes_on.set()
        thread.join()
    before = explain(model, _x(), target=1)
    model.set_weights(new)
    np.testing.assert_array_equal(explain(model, _x(), target=1).values, before.values)


@pytest.mark.parametrize("call", ["explain", "compare"])
def test_fit_in_another_thread(call):
    model = _model()
    model.compile("sgd", "mse")
    pictures = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
    run = {"explain": lambda: explain(model, _x(), target=1),
           "compare": lambda: compare(model, _x(), ["gradient"], ["sparseness"])}[call]  # fmt: skip
    run()
    fit = lambda: model.fit(pictures, np.zeros((8, 3)), batch_size=2, verbose=0)  # noqa: E731
    fit()
    with _meanwhile(fit, 0.02):
        for _ in range(6):
            with contextlib.suppress(errors.KerasSaliencyError):
                run()
    assert np.isfinite(explain(model, _x(), target=1).values).all()


def test_weights_that_fit_has_taken_are_refused():
    """JAX's fit holds them while an epoch runs; Keras then gives newly drawn ones for them."""
    model, said = _model(), []
    model.compile("sgd", "mse")
    explain(model, _x())

    class Looking(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            try:
                said.append(explain(model, _x(), target=1).scores)
            except errors.ModelError as error:
                said.append(error)

        def on_epoch_end(self, epoch, logs=None):
            said.append(explain(model, _x(), target=1).scores)

    model.fit(
        np.zeros((2, 8, 8, 3)), np.zeros((2, 3)), batch_size=1, verbose=0, callbacks=[Looking()]
    )
    assert len(said) == 3
    assert not isinstance(said[2], Exception)
    assert all(isinstance(one, errors.ModelError) == (BACKEND == "jax") for one in said[:2])


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX")
@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_weights_deleted_while_they_are_copied(monkeypatch, error):
    """JAX says so in two ways: before it runs the copy, and within it."""
    from keras_saliency._backend import jax as backend

    def deleted(value, copy):
        value.delete()
        raise error("Buffer has been deleted or donated.")

    monkeypatch.setattr(backend.jnp, "array", deleted)
    assert backend.read(_model().variables, apart=True) is None


def test_the_private_attribute_that_is_read_is_there():
    variable = _model().variables[0]
    assert variable._value is not None, "keras.Variable._value moved: see read() in _backend"


def test_an_optimizers_step_is_known_to_write_the_weights():
    model, optimizer = _model(), keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    within = []

    def step():  # what another thread sees of it
        thread = threading.Thread(
            target=lambda: within.append(weights._are_being_written(model.variables))
        )
        thread.start()
        thread.join()
        return True

    optimizer._clip_gradients = lambda grads: step() and grads
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    assert any(within), "keras.Optimizer._trainable_variables moved: see weights.py in _engine"


def _hash(model):
    sha = hashlib.sha256()
    for v in model.variables:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(v.value))
        path = v.path.removeprefix(f"{model.name}/")  # which Keras leaves out on loading
        sha.update(f"{path} {value.dtype} {value.shape}".encode() + value.tobytes())
    return sha.hexdigest()


def _in_torch(model):
    model.variables[0].value.data[0] += 1


CHANGES = {
    "set_weights": lambda m: m.set_weights([w + 1e-6 for w in m.get_weights()]),
    "negated": lambda m: m.set_weights([-w for w in m.get_weights()]),
    "permuted": lambda m: m.set_weights([np.flip(w) for w in m.get_weights()]),
    "assign": lambda m: m.variables[1].assign(m.variables[1] + 1.0),
    "train": lambda m: (m.compile("adam", "mse"), m.train_on_batch(_x(), np.ones((1, 3)))),
    "past torch": _in_torch,
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_hash_is_of_the_weights_that_made_the_map(change):
    if change == "past torch" and BACKEND != "torch":
        pytest.skip("about PyTorch")
    model = _model()
    old = explain(model, _x())
    before = _hash(model)
    CHANGES[change](model)
    new = explain(model, _x())
    assert old.model_sha256 == before
    assert new.model_sha256 == _hash(model) != before


def test_unchanged_weights_are_hashed_once(monkeypatch):
    model, hashed = _model(), []
    once = weights._arrays
    monkeypatch.setattr(weights, "_arrays", lambda *given: hashed.append(1) or once(*given))
    for _ in range(3):
        explain(model, _x())
    assert len(hashed) == 1


def test_a_method_that_changes_the_weights_sees_them_changed(monkeypatch):
    model = _model()

    class Noisy(methods.Gradient):
        def attribute(self, engine, seed):
            first = model.get_weights()
            model.set_weights([2 * w for w in first])
            try:
                return super().attribute(engine, seed)
            finally:
                model.set_weights(first)

    plain = explain(model, _x(), target=1)
    for alone in (True, False):
        with contextlib.nullcontext() if alone else _meanwhile(lambda: None, 0.001):
            if alone:  # other tests may have left threads behind
                monkeypatch.setattr(weights.sys, "_current_frames", lambda: {0: None})
            try:
                noisy = explain(model, _x(), Noisy(), target=1)
            except errors.ModelError:
                assert not alone
                continue
            finally:
                monkeypatch.undo()
        assert not np.allclose(noisy.values, plain.values)
        assert noisy.model_sha256 is None
