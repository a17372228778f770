"""A fixation model ready to predict: loaded once, with its canvas and its micro-batches."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import _backend
from keras_saliency._backend import variables_of
from keras_saliency._engine import layer_programs
from keras_saliency._graph.model_cache import KerasModel, get_or_create, watched
from keras_saliency._inputs.geometry import EMPTY
from keras_saliency.config import require_keras
from keras_saliency.errors import FixationModelError, ModelError, ModelFileError

SIDE = 512  # of the canvas, where neither model nor manifest says
_READ = "help(keras_saliency.predict_fixations)"

FixationModelLike = str | os.PathLike[str] | KerasModel


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model, and the form of the pictures it takes.

    Attributes:
        model: A Keras model from canvases (B, H, W, 3), NaN around the picture, to (B, H, W, 1).
        canvas: Height and width of the canvas that pictures are placed on.
        mirror: Whether its predictions are averaged over picture and mirrored picture.
    """

    model: Any
    canvas: tuple[int, int]
    mirror: bool = False

    def log_densities(
        self, canvases: Iterable[np.ndarray], mirror: bool, batch_size: int
    ) -> Iterator[np.ndarray]:
        """Yield the log density (H, W) float32 on each canvas, exp() summing to 1; -10000 around.

        Args:
            canvases: (H, W, 3) float32 0..255, NaN around the picture; read as they are needed.
            mirror: Whether to average over canvas and mirrored canvas.
            batch_size: How many go through the model at once.

        Raises:
            FixationModelError: The model's output is no log density.
        """
        views = (view for one in canvases for view in ((one, one[:, ::-1]) if mirror else (one,)))
        inside: list[np.ndarray] = []
        result: list[np.ndarray] = []
        for images, outputs in self._run(views, batch_size):
            inside += [~np.isnan(image).any(axis=-1) for image in images]
            result += list(outputs)
            while len(result) >= (2 if mirror else 1):
                one, where = result.pop(0).astype(np.float64), inside.pop(0)
                one = self._normalised(one, where)
                if mirror:  # a geometric mean: of log densities, and normalised again
                    inside.pop(0)
                    other = result.pop(0)[:, ::-1].astype(np.float64)
                    one = _log_softmax((one + self._normalised(other, where)) / 2, where)[0]
                yield one.astype(np.float32)

    def _run(
        self, images: Iterator[np.ndarray], batch_size: int
    ) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        """Yield micro-batches and the model's outputs, (n, H, W).

        Every batch size is compiled anew, so the last is padded to a power of two.
        """
        last = False
        while not last:
            chunk = list(islice(images, batch_size))
            last = len(chunk) < batch_size
            if not chunk:
                return
            size = min(batch_size, 1 << (len(chunk) - 1).bit_length())
            batch = np.stack(chunk + chunk[-1:] * (size - len(chunk)))
            yield chunk, self._outputs(batch)[: len(chunk)]

    def _outputs(self, batch: np.ndarray) -> np.ndarray:
        outputs = self._compiled()(batch)
        shape = getattr(outputs, "shape", None)
        shape = None if shape is None else tuple(shape)
        if shape not in ((*batch.shape[:3], 1), batch.shape[:3]):
            raise FixationModelError(
                f"Expected an output of shape {(*batch.shape[:3], 1)} from model "
                f"{self.model.name!r} for pictures {batch.shape}.",
                f"Got shape {shape}." if shape else f"Got type {type(outputs).__name__}.",
                f"Use a model whose output is {(*batch.shape[:3], 1)}, as FixationModel builds.",
                _READ,
            )
        return _backend.current().to_numpy(outputs).reshape(batch.shape[:3])

    def _compiled(self) -> Callable[[np.ndarray], Any]:
        """Return the model as a compiled function; Keras' own predict takes 3 to 5 times as long.

        (On JAX, where depthwise convolutions are written otherwise, and on PyTorch.)
        """
        reference = weakref.ref(self.model)  # what is cached for a model may not hold it

        def run(images: Any) -> Any:
            model: Any = reference()
            with layer_programs.folded(model):
                return model(images, training=False)

        def make() -> Callable[..., Any]:
            return watched(self.model, _backend.current().forward(run, variables_of(self.model)))

        return get_or_create(self.model, ("fixations",), make)

    def _normalised(self, log_density: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Take off rounding errors; refuse what is no log density."""
        result, off = _log_softmax(log_density, inside)
        if not abs(off) < 0.01:  # NaN too
            got = (
                f"Its exp() sums to {np.exp(off):.3g} over the picture, not to 1."
                if np.isfinite(off)
                else "Got values that are NaN or infinite: it may not take NaN as padding."
            )
            raise FixationModelError(
                f"Expected a log density from model {self.model.name!r}.",
                got,
                "Use a model as FixationModel builds: its last layer is LogDensity.",
                _READ,
            )
        return result


def predictor(model: Any = "default") -> Predictor:
    """Return a model ready to predict; a file is read once a process.

    Args:
        model: ``"default"``, a folder, a ``.keras`` file, or a ``keras.Model``, used as it is.

    Raises:
        ModelFileError: There is no such file, or it is broken.
        ModelError: It is neither a name nor a Keras model.
        FixationModelError: It takes no pictures (H, W, 3).
        BackendError: Keras' backend is not installed.
    """
    keras = require_keras()
    if isinstance(model, str | os.PathLike):
        source = os.fspath(model)
        return _stored(source, _stamp(source), keras.config.dtype_policy().name)
    if not isinstance(model, keras.Model):
        raise ModelError(
            "Expected model to be a fixation model or the name of one.",
            f"Got type {type(model).__module__}.{type(model).__qualname__}.",
            "Pass 'default', a folder, a .keras file or a keras.Model.",
            _READ,
        )
    return Predictor(model, _canvas(model, SIDE))


@lru_cache(maxsize=2)
def _stored(source: str, stamp: tuple[Any, ...], policy: str) -> Predictor:
    from keras_saliency.fixation.model import MANIFEST, load_model, read_manifest

    model = load_model(source)
    about = {} if source.endswith(".keras") else read_manifest(source)
    side, mirror = about.get("side", SIDE), about.get("mirror", False)
    if not isinstance(side, int) or side < 32 or side % 32 or not isinstance(mirror, bool):
        raise ModelFileError(
            f"Expected side, a multiple of 32, and mirror, true or false, of model {source!r}.",
            f"Got side = {side!r} and mirror = {mirror!r} in {MANIFEST}.",
            "Correct them there.",
            _READ,
        )
    return Predictor(model, _canvas(model, side), mirror)


def _stamp(source: str) -> tuple[Any, ...]:
    """Return what changes when the files of a model do."""
    if source == "default":
        return ()
    path = Path(source)
    files = [path] if not os.path.isdir(path) else sorted(path.iterdir())
    stats = [file.stat() for file in files if os.path.isfile(file)]
    return (str(path.resolve()), *((stat.st_mtime_ns, stat.st_size) for stat in stats))


def _canvas(model: Any, side: int) -> tuple[int, int]:
    """Return the canvas of a model: its own size, or ``side`` where that is free."""
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):  # a subclassed model has none
        return side, side
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
        raise FixationModelError(
            f"Expected model {model.name!r} to have one input (B, H, W, 3).",
            f"Got input shape {shape}.",
            "Use a model with one input (B, H, W, 3), as FixationModel builds.",
            _READ,
        )
    return shape[1] or side, shape[2] or side


def _log_softmax(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Return values less the logarithm of their exp()'s sum over ``inside``, and that logarithm."""
    chosen = values[inside]
    top = chosen.max()
    off = float(top + np.log(np.exp(chosen - top).sum()))
    return np.where(inside, np.maximum(values - off, EMPTY), EMPTY), off
