"""A callback of ``model.fit``: where the model looks, epoch after epoch.

    >>> from keras_saliency.callbacks import SaliencyCallback
    >>> look = SaliencyCallback("dog.jpg", ["grad_cam"], folder="looks", every=5)
    >>> model.fit(x, y, epochs=20, callbacks=[look])  # doctest: +SKIP

Importing this module imports Keras, whose callbacks it inherits from.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from keras_saliency import methods as known_methods
from keras_saliency import targets
from keras_saliency._engine.plan import BatchSize
from keras_saliency._explain import explain
from keras_saliency._inputs import KindName
from keras_saliency._inputs.pictures import ModelInputs
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency._io.event_file import EventFile
from keras_saliency._io.files import local_path
from keras_saliency._results.explanation import Explanation
from keras_saliency.comparison.table import labelled
from keras_saliency.config import require_keras
from keras_saliency.errors import KerasSaliencyError, MethodError, SaveError, _arguments
from keras_saliency.methods import Method
from keras_saliency.metrics.agreement import rank_correlation
from keras_saliency.targets.base import TargetLike

__all__ = ["SaliencyCallback"]

_READ = "help(keras_saliency.callbacks.SaliencyCallback)"
_Callback: Any = require_keras().callbacks.Callback


class SaliencyCallback(_Callback):
    """Explains the same pictures during training, and reports how far their maps drift.

    It explains before the first epoch and after every n-th. Each time it writes a figure, and puts
    a number for each method into ``logs``, so that ``History``, ``CSVLogger``, TensorBoard and
    every other callback behind it see it: ``saliency_drift_grad_cam``, or
    ``saliency_drift_smooth_grad(samples=5)`` for options that are not the defaults.

    The drift is 1 minus Spearman's rank correlation of a picture's map with its map of the time
    before, averaged over the pictures: 0 where the pixels have kept their order, 1 where the two
    maps have nothing in common, 2 where the order is reversed. Pictures on which one of the maps is
    constant do not count. It is NaN where none counts, and after epochs without an explanation.

    Training is not changed: the weights after ``fit`` are the same as without it. The first
    explanation compiles, later ones do not. An argument that cannot be used, or a map that cannot
    be computed, raises before the first epoch; a failure later is a warning.

    Args:
        images: Pictures, or inputs of another kind, as `keras_saliency.explain` takes them: a path,
            an array, a batch, or a list of a few.
        methods: A method, by name or with options, or a list of methods.
        every: Number of epochs between two explanations.
        folder: Where figures go, ``epoch-0005.png`` after 5 epochs; ``epoch-0000.png`` is before
            training. None writes none.
        tensorboard: Folder of a run, in which an event file with the figures and the drift is
            written. TensorBoard need not be installed here. None writes none.
        target: As for `keras_saliency.explain`. None explains the class predicted at that time,
            which may change between two epochs; pass the true classes, one for each picture, to
            compare maps of one class.
        preprocess, batch_size, seed, kind: As for `keras_saliency.explain`.

    Attributes:
        explanations: The latest `keras_saliency.Explanation` by method, as named in ``logs``.

    Raises:
        KerasSaliencyError: An argument cannot be used; each message says what to do.

    Example:
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> look = SaliencyCallback(img, "grad_cam", target=1)
        >>> history = model.fit(img[None], np.array([1]), epochs=2, verbose=0, callbacks=[look])
        >>> [0 <= drift <= 2 for drift in history.history["saliency_drift_grad_cam"]]
        [True, True]
    """

    explanations: dict[str, Explanation]

    def __init__(
        self,
        images: ModelInputs,
        methods: str | Method | type[Method] | Sequence[str | Method | type[Method]] = "gradient",
        *,
        every: int = 1,
        folder: str | PathLike[str] | None = None,
        tensorboard: str | PathLike[str] | None = None,
        target: TargetLike = None,
        preprocess: Preprocessing = "auto",
        batch_size: BatchSize = 8,
        seed: int = 0,
        kind: KindName | None = None,
    ) -> None:
        super().__init__()
        self.explanations = {}
        self._images = images
        self._methods = _chosen(methods)
        targets.get(target)  # refuses what is none
        self._every = _arguments.integer(every, "every", MethodError, _READ, fix="Leave it at 1.")
        self._folder = None if folder is None else local_path(folder, _READ)
        self._events = None if tensorboard is None else local_path(tensorboard, _READ)
        self._file: EventFile | None = None
        self._options: dict[str, Any] = {
            "target": target,
            "preprocess": preprocess,
            "batch_size": _arguments.batch_size(batch_size),
            "seed": _arguments.seed(seed, MethodError, _READ),
            "kind": kind,
        }

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the maps of an earlier training."""
        self.explanations, self._file = {}, None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Explain before the first epoch: what cannot be explained costs no training."""
        if self.explanations:
            return
        try:
            self._look(epoch)
        except OSError as error:
            where = " or ".join(str(one) for one in (self._folder, self._events) if one is not None)
            raise SaveError(
                f"Cannot write figures into {where}.",
                f"{error}.",
                "Name a folder that can be written.",
                _READ,
            ) from error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Explain after every n-th epoch, and put the drift into ``logs``."""
        drifts = dict.fromkeys(self._methods, float("nan"))
        if (epoch + 1) % self._every == 0:
            try:
                with warnings.catch_warnings():  # said before the first epoch
                    warnings.filterwarnings("ignore", r"picture \d+: ")
                    drifts = self._look(epoch + 1)
            except (KerasSaliencyError, OSError) as error:
                warnings.warn(f"No maps after {epoch + 1} epochs: {error}", stacklevel=2)
        if logs is not None:
            logs.update({_name(label): drift for label, drift in drifts.items()})

    def _look(self, epoch: int) -> dict[str, float]:
        """Explain after a number of epochs, write figures, and return the drift by method."""
        before = self.explanations
        self.explanations = {
            label: explain(self.model, self._images, method, **self._options)
            for label, method in self._methods.items()
        }
        each = {
            label: _drifts(one, before[label])
            for label, one in self.explanations.items()
            if label in before
        }
        drifts = {label: _mean(each.get(label)) for label in self._methods}
        if self._folder is None and self._events is None:
            return drifts
        png = _figure(epoch, self.explanations, each)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = self._folder / f".epoch-{epoch:04d}.{os.getpid()}"
            fresh.write_bytes(png)
            fresh.replace(self._folder / f"epoch-{epoch:04d}.png")
        if self._events is not None:
            self._file = self._file or EventFile(self._events)
            numbers = {_name(label): drifts[label] for label in each}
            width, height = struct.unpack(">II", png[16:24])  # of the PNG's header
            self._file.write(epoch, numbers, {"saliency": (png, (height, width))})
        return drifts


def _chosen(given: Any) -> dict[str, Method]:
    """Return methods by their labels.

    Raises:
        MethodError: There is none, or one is unknown.
    """
    some = list(given) if isinstance(given, list | tuple) else [given]
    if not some:
        raise MethodError(
            "Expected one or more methods.",
            "Got an empty list.",
            "Pass a name, such as 'grad_cam'.",
            _READ,
        )
    return labelled([known_methods.get(one) for one in some])


def _name(label: str) -> str:
    return f"saliency_drift_{label}"


def _drifts(now: Explanation, before: Explanation) -> np.ndarray:
    """Return 1 minus the rank correlation of maps, (B,); NaN where one is constant."""
    result = 1.0 - rank_correlation(now.values, before.values)
    flat = [one.reshape(len(one), -1) for one in (now.values, before.values)]
    constant = np.any([np.ptp(one, axis=1) == 0 for one in flat], axis=0)
    return np.where(constant, np.nan, result)


def _mean(drifts: np.ndarray | None) -> float:
    if drifts is None or np.isnan(drifts).all():
        return float("nan")
    return float(np.nanmean(drifts))


def _figure(
    epoch: int, explanations: Mapping[str, Explanation], drifts: Mapping[str, np.ndarray]
) -> bytes:
    """Return a PNG: a row for each picture, a column for each method."""
    from keras_saliency import plot

    columns = []
    for label, one in explanations.items():
        said = [
            "" if np.isnan(drift) else f"\ndrift {drift:.2f}"
            for drift in drifts.get(label, np.full(len(one), np.nan))
        ]
        columns.append([
            dataclasses.replace(panel, title=f"epoch {epoch}: {panel.title}", method=label + words)
            for panel, words in zip(one.panels(), said, strict=True)
        ])  # fmt: skip
    rows = [list(row) for row in zip(*columns, strict=True)]
    if rows[0][0].kind == "picture":
        return plot.render_png(plot.grid, rows)
    return plot.render_png(plot.several, [panel for row in rows for panel in row])
