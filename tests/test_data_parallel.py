"""Two devices do what one does: `keras.distribution.DataParallel` on simulated JAX devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

_HEAD = """
import sys
sys.path.insert(0, {tests!r})
import jax, keras, json
if sys.argv[2] == "2":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
"""
LEARN = """
import test_fixation_training as t
t.tiny_encoder.register()
one = t.RECIPE
recipe = t.Preset(build=one.build, stages=one.stages[1:], canvases=one.canvases, batch_size=4)
model = t.run(t.Path(sys.argv[1]), recipe)
print(json.dumps([len(jax.devices()), str(model)]))
"""
# The model's weights are drawn by NumPy, so they are the same in both processes.
EXPLAIN = """
import networks, numpy as np
from keras_saliency import _backend, explain, methods
model = networks.small_cnn()
draw = np.random.default_rng(0).normal
model.set_weights([draw(0, 0.3, w.shape) for w in model.get_weights()])
backend, used, to_numpy = _backend.current(), [], _backend.current().to_numpy
def watch(tensors):
    used.append(sorted({{len(t.addressable_shards[0].data) for t in jax.tree.leaves(tensors)}}))
    return to_numpy(tensors)
backend.to_numpy = watch
x = draw(0, 1, (5, 16, 16, 3)).astype("float32")
maps = [explain(model, x, m, target=1, batch_size=4).values for m in
        ("gradient", "grad_cam", methods.Occlusion(window=8, stride=8))]
np.save(sys.argv[1], np.stack(maps))
print(json.dumps([len(jax.devices()), used]))
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(keras.config.backend() != "jax", reason="devices are simulated on JAX only"),
]


def _on(count, script, place):
    """Run a script on so many devices; return what it says."""
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
    }
    script = (_HEAD + script).format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", script, str(place), str(count)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    devices, said = json.loads(done.stdout.splitlines()[-1])
    assert devices == count
    return said


def test_two_devices_learn_what_one_does(tmp_path):
    from test_fixation_training import assert_same

    assert_same(*(Path(_on(count, LEARN, tmp_path / str(count))) for count in (1, 2)))


def test_two_devices_see_what_one_does(tmp_path):
    import numpy as np

    rows = {count: _on(count, EXPLAIN, tmp_path / f"{count}.npy") for count in (1, 2)}
    one, two = (np.load(tmp_path / f"{count}.npy") for count in (1, 2))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5 * one.max())
    assert rows[1][0] == [4]
    assert rows[2][0] == [2]  # each device had half of the micro-batch
