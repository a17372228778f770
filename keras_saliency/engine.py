"""The only place where a gradient is taken: scores and gradients of a model, in micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from keras_saliency import _backend, layers, perturb, programs, progress
from keras_saliency.adapter import Adapter
from keras_saliency.batch import Batch
from keras_saliency.errors import LayerError
from keras_saliency.targets import Target

Variant = tuple[int, np.ndarray]  # which picture it is made from, and the changed picture (H, W, C)


@dataclass(frozen=True)
class LayerGradient:
    """A layer's output and the gradient of the score by it, both (B, h, w, K) channels last."""

    layer: str
    activations: np.ndarray
    gradients: np.ndarray


class Engine:
    """A model, pictures and a target: everything a method may ask for.

    Args:
        adapter: The model.
        target: What is explained.
        batch: The pictures.
        batch_size: How many pictures go through the model at once.
    """

    def __init__(self, adapter: Adapter, target: Target, batch: Batch, batch_size: int = 8) -> None:
        """Check that the target fits the model's output and the pictures."""
        self._adapter = adapter
        self._batch = batch
        self._batch_size = batch_size
        self._learnt: dict[str, np.ndarray] | None = None
        self._scores: np.ndarray | None = None
        self.target = target
        self._rows = target.rows(len(batch.images))
        target.check(programs.output_shape(adapter, target, batch))

    # ------------------------------------------------------------------ what is explained

    @property
    def images(self) -> np.ndarray:
        """The pictures, (B, H, W, C) in the model's input range."""
        return self._batch.images

    @property
    def scores(self) -> np.ndarray:
        """The score of each picture, (B,) float64."""
        if self._scores is None:
            self._learn(*self._run("scores", self.images, self._rows, self._batch.sides))
        return self._scores  # type: ignore[return-value]

    @property
    def learnt(self) -> dict[str, np.ndarray]:
        """What the target learnt on the pictures: ``"index"`` and ``"probability"`` of a class."""
        _ = self.scores
        return self._learnt or {}

    def fill(self, value: Any) -> np.ndarray:
        """Return pictures that hold nothing; see `keras_saliency.perturb.fill`."""
        return perturb.fill(value, self.images, self._batch.preprocess)

    def at(self, rows: list[int], images: np.ndarray) -> Engine:
        """Return an engine at other pictures, explaining what was chosen on these.

        Args:
            rows: From which picture each of the images is made.
            images: (len(rows), H, W, C).
        """
        self._choose()
        twin = object.__new__(Engine)
        twin.__dict__.update(self.__dict__)
        sides = tuple(side[rows] for side in self._batch.sides)
        twin._batch = replace(self._batch, images=images, sides=sides)
        twin._rows = {name: row[rows] for name, row in self._rows.items()}
        twin._scores = None
        return twin

    # ------------------------------------------------------------------ what methods ask for

    def gradient(self) -> np.ndarray:
        """Return the gradient of each score by its picture, (B, H, W, C)."""
        scores, learnt, gradients = self._run(
            "gradient", self.images, self._rows, self._batch.sides
        )
        self._learn(scores, learnt)
        return gradients

    def gradients(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield score and gradient (H, W, C) of each variant, in order, a micro-batch at a time."""
        for rows, images in self.chunks(variants, total):
            scores, _, gradients = self._at(rows, images, "gradient")
            yield from zip(scores, gradients, strict=True)

    def variant_scores(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score of each variant, in order, without gradients."""
        for rows, images in self.chunks(variants, total):
            yield from self._at(rows, images, "scores")[0]

    def chunks(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield variants in micro-batches: the rows they are made from, and (b, H, W, C)."""
        stream = iter(progress.track(variants, total, "explaining"))
        while chunk := list(islice(stream, self._batch_size)):
            rows, images = zip(*chunk, strict=True)
            yield list(rows), np.stack(images)

    def layer_gradient(self, layer: str | None = None) -> LayerGradient:
        """Return a layer's output and the gradient of the score by it.

        Args:
            layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared one; the last
                call with a map larger than 1x1 where it is None.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        call = self._call(layer)
        scores, learnt, gradients = self._run(
            "gradient", self.images, self._rows, self._batch.sides, call
        )
        activations = learnt.pop("activations")
        self._learn(scores, learnt)
        if call.channels_first:
            activations, gradients = (np.moveaxis(a, 1, -1) for a in (activations, gradients))
        return LayerGradient(call.path, activations, gradients)

    # ------------------------------------------------------------------ choosing and learning

    def _learn(self, scores: np.ndarray, learnt: dict[str, np.ndarray]) -> None:
        self.target.check_learnt(learnt)
        self._scores = scores.astype(np.float64)
        self._learnt = learnt
        chosen = self.target.resolved(learnt)
        if chosen is not self.target:
            self.target = chosen
            self._rows = chosen.rows(len(self.images))

    def _choose(self) -> None:
        """Fix what the target leaves open (the predicted class) on the pictures themselves."""
        if type(self.target).resolved is not Target.resolved:
            _ = self.scores

    def _at(self, rows: list[int], images: np.ndarray, kind: programs.Kind) -> tuple[Any, ...]:
        self._choose()
        numbers = {name: row[rows] for name, row in self._rows.items()}
        return self._run(kind, images, numbers, tuple(side[rows] for side in self._batch.sides))

    # ------------------------------------------------------------------ running

    def _run(
        self,
        kind: programs.Kind,
        images: np.ndarray,
        rows: dict[str, np.ndarray],
        sides: tuple[np.ndarray, ...],
        call: layers.Call | None = None,
    ) -> tuple[Any, ...]:
        """Run a compiled function over all images, padded to few sizes; join the results."""
        backend = _backend.current()
        program = programs.compiled(kind, self._adapter, self.target, self._batch.packing, call)
        parts = []
        for start in range(0, len(images), self._batch_size):
            chunk = slice(start, start + self._batch_size)
            args = _map(lambda array, chunk=chunk: array[chunk], (images, rows, sides))
            count = len(args[0])
            size = self._padded(count, len(images)) if backend.COMPILES else count
            if size > count:
                more = size - count
                args = _map(lambda a, more=more: np.concatenate([a, a[-1:].repeat(more, 0)]), args)
            if call is not None:
                zeros = np.zeros((size, *call.shape[1:]), images.dtype)  # type: ignore[type-var]
                args = (zeros, *args)
            result = backend.to_numpy(program(*args))
            parts.append(_map(lambda array, count=count: array[:count], result))
        return parts[0] if len(parts) == 1 else _map(lambda *a: np.concatenate(a), *parts)

    def _padded(self, count: int, total: int) -> int:
        """Every size is compiled anew, so few are used: powers of two, up to the micro-batch."""
        if total > self._batch_size:
            return self._batch_size
        return min(self._batch_size, 1 << (count - 1).bit_length())

    def _call(self, layer: str | None) -> layers.Call:
        """Return the layer call that a method's ``layer=`` means."""
        found = programs.survey(self._adapter, self.target, self._batch)
        if layer is None:
            return found.last_spatial()
        name, _, number = layer.partition("@")
        path, _ = layers.find(self._adapter.model, name)
        call = found.call_of(path, int(number) if number.isdigit() else -1)
        if len(call.shape) != 4:
            raise LayerError(
                f"The map of layer {path!r} of model {found.model!r} was asked for.",
                f"Its output has shape {call.shape}.",
                "Name a layer whose output is (B, h, w, K).",
                "keras_saliency.layers.tree(model)",
            )
        return call


def _map(function: Any, *nests: Any) -> Any:
    import keras

    return keras.tree.map_structure(function, *nests)
