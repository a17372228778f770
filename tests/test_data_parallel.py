"""Two devices learn what one learns: `keras.distribution.DataParallel` on simulated JAX devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import jax, keras, json
if sys.argv[2] == "2":
    keras.distribution.set_distribution(keras.distribution.DataParallel())
import test_fixation_training as t
t.tiny_encoder.register()
one = t.RECIPE
recipe = t.Preset(build=one.build, stages=one.stages[1:], canvases=one.canvases, batch_size=4)
model = t.run(t.Path(sys.argv[1]), recipe)
print(json.dumps([len(jax.devices()), str(model)]))
"""


@pytest.mark.skipif(keras.config.backend() != "jax", reason="devices are simulated on JAX only")
def test_two_devices_learn_what_one_does(tmp_path):
    from test_fixation_training import assert_same

    models = []
    for count in ("1", "2"):
        environment = {
            **os.environ,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
        }
        script = SCRIPT.format(tests=str(Path(__file__).parent))
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / count), count],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        devices, model = json.loads(done.stdout.splitlines()[-1])
        assert devices == int(count)
        models.append(Path(model))
    assert_same(*models)
