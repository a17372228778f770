"""An actor's work on a batch of a data set; its model and environment."""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_saliency._graph.configuration import KerasModel
from keras_saliency._imports import configured_backend, require_keras
from keras_saliency._inputs.kinds import KindName
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency.errors import (
    BackendError,
    ImageError,
    KerasSaliencyError,
    MethodError,
    ModelFileError,
    did_you_mean,
)
from keras_saliency.methods import Method
from keras_saliency.targets.base import TargetLike

Batch = dict[str, Any]
ModelSource = str | os.PathLike[str] | KerasModel | Callable[[], Any]  # called in each actor


class Explaining:
    """The callable of ``Dataset.map_batches`` that explains pictures; built once in each actor.

    Args:
        model: The result of `ship`; or a path, a callable without arguments, a ``keras.Model``.
        method: See `explain`, as all others.
    """

    def __init__(
        self,
        model: ModelSource | Shipped,
        method: str | Method | type[Method] = "gradient",
        *,
        column: str = "image",
        target: TargetLike | str = None,
        preprocess: Preprocessing = "auto",
        batch_size: int = 8,
        seed: int = 0,
        frame: Frame = "model",
        kind: KindName | None = None,
    ) -> None:
        """Load the model."""
        from keras_saliency._explainer import Explainer

        self._column, self._frame = column, checked(frame)
        self._targets = target if isinstance(target, str) else None
        fixed: Any = None if self._targets else target
        self._explainer = Explainer(
            loaded(model, from_file),
            method,
            target=fixed,
            preprocess=preprocess,
            batch_size=batch_size,
            seed=seed,
            kind=kind,
        )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with maps, scores and findings of its pictures."""
        each = self._targets and [int(one) for one in cells(batch, self._targets)]
        pictures = [as_picture(one) for one in cells(batch, self._column)]
        result = list(self._explainer.stream(pictures, each or None))
        maps = [one.maps()[0] if self._frame == "picture" else one.values[0] for one in result]
        explained = [one.targets[0] for one in result]
        if not all(isinstance(one, int) for one in explained):
            explained = [str(one) for one in explained]
        new = {
            "saliency": column_of(maps),
            "score": np.array([one.scores[0] for one in result], np.float64),
            "target": np.array(explained),
            "label": np.array([one.labels[0] for one in result]),
            "findings": np.array(["; ".join(one.checks[0]["findings"]) for one in result]),
        }
        words = [one.info["words"][0] for one in result if "words" in one.info]
        if words:
            new["words"] = column_of([np.array(one, object) for one in words])
        return with_columns(batch, new, may_replace=self._targets)


class Predicting:
    """The callable of ``Dataset.map_batches`` that predicts fixations; built once in each actor.

    Args:
        model: ``"default"``, the result of `ship`, a path, a callable, or a ``keras.Model``.
        column: See `predict_fixations`, as all others.
    """

    def __init__(
        self,
        model: ModelSource | Shipped = "default",
        *,
        column: str = "image",
        batch_size: int = 1,
        mirror: bool | None = None,
        frame: Frame = "picture",
    ) -> None:
        """Load the model."""
        from keras_saliency.fixation.predict import FixationPredictor

        self._column, self._frame = column, checked(frame)
        # A path stays one: the folder's manifest has canvas and mirror beside the weights.
        result = loaded(model, lambda path: path)
        self._predictor = FixationPredictor(result, batch_size=batch_size, mirror=mirror)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the densities on its pictures."""
        pictures = (as_picture(one) for one in cells(batch, self._column))
        result = self._predictor.stream(pictures)
        own = self._frame == "picture"
        maps = [one.maps()[0] if own else one.values[0] for one in result]
        return with_columns(batch, {"saliency": column_of(maps)})


Frame = Literal["model", "picture"]

_READ = "help(keras_saliency.ray)"


def checked(frame: Frame) -> Frame:
    """Return the frame.

    Raises:
        MethodError: It is no frame.
    """
    if frame not in ("model", "picture"):
        raise MethodError(
            "Expected frame to be 'model' or 'picture'.",
            f"Got frame={frame!r}.",
            "Pass one of these.",
            _READ,
        )
    return frame


def cells(batch: Mapping[str, Any], column: str) -> Any:
    """Return a batch's column.

    Raises:
        ImageError: There is none of this name.
    """
    if column not in batch:
        raise ImageError(
            f"No column is called {column!r}.",
            f"The data set has {', '.join(map(repr, batch))}.",
            did_you_mean(column, batch) or "Name one of these: column=....",
            _READ,
        )
    return batch[column]


def with_columns(
    batch: Mapping[str, Any], new: Mapping[str, np.ndarray], may_replace: str | None = None
) -> dict[str, Any]:
    """Return a batch with more columns.

    Raises:
        ImageError: One is there already: true labels are not overwritten.
    """
    for name in new:
        if name in batch and name != may_replace:
            raise ImageError(
                f"Cannot add the column {name!r}.",
                "The data set has one already.",
                f"Rename that one first: ds.rename_columns({{{name!r}: 'my_{name}'}}).",
                _READ,
            )
    return {**batch, **new}


def as_picture(value: Any) -> Any:
    """Return a cell as a picture: a file's bytes are opened, all else is one already.

    Raises:
        ImageError: The bytes are no picture.
    """
    if not isinstance(value, bytes):
        return value
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(value))
    except UnidentifiedImageError as error:
        raise ImageError(
            "Expected the bytes of a picture file.",
            f"Got {len(value)} bytes that Pillow cannot read.",
            "Pass a JPEG, PNG or another picture file.",
            _READ,
        ) from error


def column_of(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return maps as a column: one array where they are alike, else an array of arrays."""
    if len({one.shape for one in maps}) == 1:
        return np.stack(maps)
    column = np.empty(len(maps), object)
    for i, one in enumerate(maps):  # NumPy would try to make one array of them
        column[i] = one
    return column


@dataclass(frozen=True)
class Shipped:
    """A model that is sent to actors, and its backend."""

    source: Any  # a path, a callable, or a reference to the bytes of a .keras file
    backend: str


def ship(model: ModelSource) -> Shipped:
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
