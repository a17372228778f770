"""A fixation model made ready to predict: loaded once, its canvas, its micro-batches."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import _backend, folding
from keras_saliency._keras import require_keras
from keras_saliency.errors import FixationModelError, ModelError, ModelFileError
from keras_saliency.kept import kept
from keras_saliency.letterbox import EMPTY

SIDE = 512  # of the canvas, where neither model nor manifest says
_READ = "help(keras_saliency.predict_fixations)"


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model, and how it wants its pictures.

    Attributes:
        model: A Keras model from canvases (B, H, W, 3), NaN around the picture, to (B, H, W, 1).
        canvas: Height and width of the canvas that pictures are laid on.
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
            FixationModelError: What the model gives is no log density.
        """
        views = (view for one in canvases for view in ((one, one[:, ::-1]) if mirror else (one,)))
        inside: list[np.ndarray] = []
        found: list[np.ndarray] = []
        for images, outputs in self._run(views, batch_size):
            inside += [~np.isnan(image).any(axis=-1) for image in images]
            found += list(outputs)
            while len(found) >= (2 if mirror else 1):
                one, where = found.pop(0).astype(np.float64), inside.pop(0)
                one = self._normalised(one, where)
                if mirror:  # a geometric mean: of log densities, and normalised again
                    inside.pop(0)
                    other = found.pop(0)[:, ::-1].astype(np.float64)
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
                f"Model {self.model.name!r} was asked for the fixations on {len(batch)} pictures.",
                f"For {batch.shape} it gave "
                + (f"shape {shape}." if shape else f"a {type(outputs).__name__}."),
                f"Take a model whose output is {(*batch.shape[:3], 1)}, as FixationModel builds.",
                _READ,
            )
        return _backend.current().to_numpy(outputs).reshape(batch.shape[:3])

    def _compiled(self) -> Callable[[np.ndarray], Any]:
        """Return the model as a compiled function; Keras' own predict takes 3 to 5 times as long.

        (On JAX, where depthwise convolutions are written otherwise, and on PyTorch.)
        """
        reference = weakref.ref(self.model)  # what is kept for a model may not hold it

        def run(images: Any) -> Any:
            model: Any = reference()
            with folding.folded(model):
                return model(images, training=False)

        def variables() -> list[Any]:
            return reference().variables  # type: ignore[union-attr]

        make = partial(_backend.current().forward, run, variables)
        return kept(self.model, ("fixations",), make)

    def _normalised(self, log_density: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Take off rounding errors; refuse what is no log density."""
        result, off = _log_softmax(log_density, inside)
        if not abs(off) < 0.01:  # NaN too
            found = (
                f"Its exp() sums to {np.exp(off):.3g} over the picture."
                if np.isfinite(off)
                else "Values are NaN or infinite: it may not take NaN for padding."
            )
            raise FixationModelError(
                f"Model {self.model.name!r} was asked for a log density.",
                found,
                "Take a model as FixationModel builds: its last layer is LogDensity.",
                _READ,
            )
        return result


def predictor(model: Any = "default") -> Predictor:
    """Return a model ready to predict; what comes from a file is read once a process.

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
            "The fixations predicted by a model were asked for.",
            f"{type(model).__module__}.{type(model).__qualname__} was given as the model.",
            "Give 'default', a folder, a .keras file or a keras.Model.",
            _READ,
        )
    return Predictor(model, _canvas(model, SIDE))


@lru_cache(maxsize=2)
def _stored(source: str, stamp: tuple[Any, ...], policy: str) -> Predictor:
    from keras_saliency.fixation import trained

    model = trained.load_model(source)
    about = {} if source.endswith(".keras") else trained.read_manifest(source)
    side, mirror = about.get("side", SIDE), about.get("mirror", False)
    if not isinstance(side, int) or side < 32 or side % 32 or not isinstance(mirror, bool):
        raise ModelFileError(
            f"The fixation model {source!r} was asked for.",
            f"Its {trained.MANIFEST} has side = {side!r} and mirror = {mirror!r}.",
            "side is a multiple of 32, mirror true or false.",
            _READ,
        )
    return Predictor(model, _canvas(model, side), mirror)


def _stamp(source: str) -> tuple[Any, ...]:
    """Return what changes when the files of a model do."""
    if source == "default":
        return ()
    path = Path(source)
    files = [path] if not path.is_dir() else sorted(path.iterdir())
    stats = [file.stat() for file in files if file.is_file()]
    return (str(path.resolve()), *((stat.st_mtime_ns, stat.st_size) for stat in stats))


def _canvas(model: Any, side: int) -> tuple[int, int]:
    """Return the canvas of a model: its own size, or ``side`` where that is free."""
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):  # a subclassed model does not say
        return side, side
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
        raise FixationModelError(
            f"Model {model.name!r} was asked for the fixations on pictures.",
            f"It takes {shape}.",
            "Take a model with one input (B, H, W, 3), as FixationModel builds.",
            _READ,
        )
    return shape[1] or side, shape[2] or side


def _log_softmax(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Return values less the logarithm of their exp()'s sum over ``inside``, and that logarithm."""
    chosen = values[inside]
    top = chosen.max()
    off = float(top + np.log(np.exp(chosen - top).sum()))
    return np.where(inside, np.maximum(values - off, EMPTY), EMPTY), off
