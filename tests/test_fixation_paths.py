"""Whole paths: a model exported and run without Keras, ResNet-50 from random weights to a fit."""

import keras
import numpy as np
import pytest
import tiny_encoder
from recordings import disc

from keras_saliency.fixation import FixationLoss, FixationModel, data


@pytest.mark.filterwarnings("ignore")  # what exporters say of their own dependencies
def test_exported_and_run_without_keras(tmp_path, monkeypatch):
    monkeypatch.setitem(tiny_encoder.ENCODERS, "tiny", tiny_encoder.TINY)
    model = FixationModel("tiny", input_shape=(64, 96, 3), weights=None, filters=8)
    x = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    x[:, :10] = np.nan
    wanted = np.asarray(model.predict_on_batch(x))
    if keras.config.backend() == "torch":
        import torch

        model.export(tmp_path / "model.pt2", format="torch", verbose=False)
        run = torch.export.load(tmp_path / "model.pt2").module()
        result = run(torch.tensor(x)).detach().numpy()
    else:
        tensorflow = pytest.importorskip("tensorflow")
        model.export(str(tmp_path / "model"), format="tf_saved_model", verbose=False)
        loaded = tensorflow.saved_model.load(str(tmp_path / "model"))
        result = np.asarray(loaded.serve(x))
    np.testing.assert_allclose(result, wanted, atol=1e-4)


# The same path on all backends, with a smaller encoder: test_fixation_training.py.
@pytest.mark.long
@pytest.mark.skipif(keras.config.backend() != "torch", reason="others compile for a minute")
def test_resnet50_from_random_weights_learns_eight_pictures():
    """Every weight gets a gradient, and KLD falls below 0.05 nat."""
    recordings = [disc(i, (60, 60)) for i in range(8)]
    pictures, truth = data.FixationBatches(recordings, [(64, 64)], 8)[0]
    model = FixationModel("resnet50", input_shape=(64, 64, 3), weights=None, dropout=0.0)
    before = [keras.ops.convert_to_numpy(v.value).copy() for v in model.trainable_variables]
    model.compile(keras.optimizers.Adam(3e-4, clipnorm=1.0), FixationLoss(kld=1.0))
    for _ in range(120):
        divergence = float(np.asarray(model.train_on_batch(pictures, truth)))
        if divergence < 0.05:
            break
    assert divergence < 0.05
    after = [keras.ops.convert_to_numpy(v.value) for v in model.trainable_variables]
    still = [
        v.path
        for v, one, other in zip(model.trainable_variables, before, after, strict=True)
        if np.array_equal(one, other)
    ]
    assert not still
