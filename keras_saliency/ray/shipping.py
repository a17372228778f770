"""Sending a model to actors, and an actor's environment: backend, threads."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_saliency._imports import configured_backend, require_keras
from keras_saliency.errors import BackendError, KerasSaliencyError, ModelFileError

_READ = "help(keras_saliency.ray)"


@dataclass(frozen=True)
class Shipped:
    """A model that is sent to actors, and its backend."""

    source: Any  # a path, a callable, or a reference to the bytes of a .keras file
    backend: str


def ship(model: Any) -> Shipped:
    """Return a model to send to actors, with the backend of this process.

    Args:
        model: A path, a callable without arguments, or a ``keras.Model``; the last is saved once,
            into Ray's object store. Custom layers in it must be registered
            (``keras.saving.register_keras_serializable``) by a module that actors can import.
    """
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        ray = import_ray()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            model = ray.put(path.read_bytes())
    elif isinstance(model, os.PathLike):
        model = os.fspath(model)
    return Shipped(model, configured_backend()[0])


def actors(
    concurrency: int | tuple[int, int] = 1, num_cpus: float = 1, num_gpus: float | None = None
) -> dict[str, Any]:
    """Return arguments of ``map_batches``: this process' backend, as many threads as CPUs.

    Args:
        concurrency: Actors, or the least and the most of them.
        num_cpus: Of an actor.
        num_gpus: Of an actor.
    """
    threads = str(max(1, int(num_cpus)))
    names = (
        "OMP_NUM_THREADS",  # PyTorch
        "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
        "NPROC",  # the threads of XLA's client on the CPU: JAX
    )  # fmt: skip
    variables = {"KERAS_BACKEND": configured_backend()[0], **dict.fromkeys(names, threads)}
    given = {"num_cpus": num_cpus, "concurrency": concurrency, "num_gpus": num_gpus}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "runtime_env": {"env_vars": variables},
    }


def loaded(model: Any, from_file: Callable[[str], Any]) -> Any:
    """Return the model that was sent, in the actor.

    Args:
        model: The result of `ship`; or a path, a callable, a model.
        from_file: Makes a model of a path.

    Raises:
        BackendError: Keras was imported there with another backend.
        ModelFileError: The file cannot be loaded.
    """
    if isinstance(model, Shipped):
        if "keras" not in sys.modules:
            os.environ["KERAS_BACKEND"] = model.backend
        here = require_keras().config.backend()
        if here != model.backend:
            raise BackendError(
                f"Expected the backend {model.backend!r} in an actor.",
                f"Keras was imported there with {here!r}.",
                "Pass map_batches the result of keras_saliency.ray.actors().",
                _READ,
            )
        model = model.source
    keras = require_keras()
    if isinstance(model, str | os.PathLike):
        return from_file(os.fspath(model))
    if isinstance(model, keras.Model):
        return model
    if type(model).__name__ == "ObjectRef":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(import_ray().get(model))
            # Trusted: the program that runs this actor saved it.
            return _read(path, safe=False)
    return model() if callable(model) else model


def _read(path: str | Path, safe: bool = True) -> Any:
    importlib.import_module("keras_saliency.fixation.layers")  # Keras knows them from then on
    return require_keras().saving.load_model(path, compile=False, safe_mode=safe)


def from_file(path: str) -> Any:
    """Return the model in a ``.keras`` file, loaded with Keras' safe mode on.

    Raises:
        ModelFileError: It cannot be loaded.
    """
    try:
        return _read(path)
    except Exception as error:  # Keras raises whatever the file makes it raise
        if isinstance(error, KerasSaliencyError):
            raise
        raise ModelFileError(
            f"Cannot load the model {path!r}.",
            f"Keras reports {type(error).__name__}: {error}.",
            "Name a .keras file that each node can read, or pass a callable that returns a model.",
            _READ,
        ) from error


def import_ray() -> Any:
    """Return Ray, with Ray Data.

    Raises:
        BackendError: It is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BackendError(
            "Cannot import Ray Data.",
            f"Python reports: {error}.",
            "Install it: pip install 'keras-saliency[ray]'.",
            _READ,
        ) from error
    return ray
