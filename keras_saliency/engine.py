"""The only place where a gradient is taken: scores and gradients of a model, in micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from keras_saliency import layers, micro_batches, perturb, programs, progress
from keras_saliency.adapter import Adapter
from keras_saliency.backward import Rule
from keras_saliency.batch import Batch
from keras_saliency.errors import LayerError
from keras_saliency.kept import kept
from keras_saliency.micro_batches import BatchSize, MeasuredSize, Size
from keras_saliency.targets import Target
from keras_saliency.tokens import Grid

Variant = tuple[int, np.ndarray]  # which picture it is made from, and the changed picture (H, W, C)


@dataclass(frozen=True)
class LayerOutput:
    """A layer's output, (B, h, w, K) channels last; tokens that are no picture are left out."""

    call: layers.Call
    whole: np.ndarray  # as the layer gave it

    @property
    def layer(self) -> str:
        """The layer's path."""
        return self.call.path

    @property
    def activations(self) -> np.ndarray:
        """The output as maps."""
        return self.call.to_map(self.whole)


@dataclass(frozen=True)
class LayerGradient(LayerOutput):
    """A layer's output and the gradient of the score by it, of the same shape."""

    gradients: np.ndarray


@dataclass(frozen=True)
class Backward:
    """What a rule let back: to the pictures (B, H, W, C), into its probes, and what it saw."""

    values: np.ndarray
    collected: tuple[np.ndarray, ...]
    seen: dict[str, np.ndarray]


class Engine:
    """A model, pictures and a target: everything a method may ask for.

    ``company`` are the pictures that were given, and ``places`` which of them each is made from.

    Args:
        adapter: The model.
        target: What is explained.
        batch: The pictures.
        batch_size: How many pictures go through the model at once; ``"auto"`` finds that out.
    """

    def __init__(
        self, adapter: Adapter, target: Target, batch: Batch, batch_size: BatchSize = 8
    ) -> None:
        """Check that the target fits the model's output and the pictures."""
        self._adapter = adapter
        self._batch = batch
        self._batch_size = batch_size
        self._learnt: dict[str, np.ndarray] | None = None
        self._scores: np.ndarray | None = None
        self.target = target
        self.company, self.places = batch.images, list(range(len(batch.images)))
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
            self._learn(*self._run("scores"))
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
        twin.places = [self.places[row] for row in rows]
        sides = tuple(side[rows] for side in self._batch.sides)
        twin._batch = replace(self._batch, images=images, sides=sides)
        twin._rows = {name: row[rows] for name, row in self._rows.items()}
        twin._scores = None
        return twin

    def explaining(self, target: Target) -> Engine:
        """Return an engine at the same pictures, explaining something else."""
        return Engine(self._adapter, target, self._batch, self._batch_size)

    # ------------------------------------------------------------------ what methods ask for

    def gradient(self) -> np.ndarray:
        """Return the gradient of each score by its picture, (B, H, W, C)."""
        scores, learnt, gradients = self._run("gradient")
        self._learn(scores, learnt)
        return gradients

    def backward(self, rule: Rule, *given: np.ndarray) -> Backward:
        """Return what a rule lets back from each score to its picture.

        Args:
            rule: One of `keras_saliency.backward`.
            given: What else the rule asks for, each with B rows, such as baselines.
        """
        if given:  # what stands beside a picture is explained by that picture's class
            self._choose()
        probes: tuple[np.ndarray, ...] = ()
        if shapes := rule.probes(self._survey):
            dtype, count = self.images.dtype, len(self.images)
            probes = tuple(np.zeros((count, *shape), dtype) for shape in shapes)
        images = (self.images, probes) if probes else self.images
        more = (one.astype(self.images.dtype, copy=False) for one in given)
        args = (images, self._rows, self._batch.sides, *more)
        scores, learnt, gradients = self._run("gradient", args, rule=rule)
        seen = learnt.pop("back", {})
        self._learn(scores, learnt)
        collected: tuple[np.ndarray, ...] = ()
        if probes:
            gradients, collected = gradients
        return Backward(gradients, tuple(collected), seen)

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
        for rows, images in self.chunks(variants, total, "scores"):
            yield from self._at(rows, images, "scores")[0]

    def chunks(
        self,
        variants: Iterable[Variant],
        total: int | None = None,
        kind: programs.Kind = "gradient",
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield variants in micro-batches: the rows they are made from, and (b, H, W, C)."""
        stream = iter(progress.track(variants, total, "explaining"))
        while chunk := list(islice(stream, self._size(kind).rows)):
            rows, images = zip(*chunk, strict=True)
            yield list(rows), np.stack(images)

    def layer_gradient(self, layer: str | None = None) -> LayerGradient:
        """Return a layer's output and the gradient of the score by it.

        Args:
            layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared one; the last
                call with a map larger than 1x1 where it is None. A vision transformer's tokens
                (B, T, D) are a map, without its class and register tokens.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        call = self._call(layer)
        zeros = np.zeros((len(self.images), *call.shape[1:]), self.images.dtype)  # type: ignore[type-var]
        args = (zeros, self.images, self._rows, self._batch.sides)
        scores, learnt, gradients = self._run("layer gradient", args, call)
        activations = learnt.pop("activations")
        self._learn(scores, learnt)
        return LayerGradient(call, activations, call.to_map(gradients))

    def look(self, rule: Rule) -> dict[str, np.ndarray]:
        """Return what a rule saw on a run of the model, without gradients."""
        scores, learnt = self._run("scores", rule=rule)
        seen = learnt.pop("back", {})
        self._learn(scores, learnt)
        return rule.kept(seen, self._survey)

    def tokens(self, method: str) -> Grid:
        """Return where the picture is in the tokens of the model's attention layers.

        Args:
            method: Which method asks, for the message.

        Raises:
            LayerError: No ``keras.layers.MultiHeadAttention`` leads to the output, or its tokens
                are no grid.
        """
        found = self._survey()
        grids = {call.grid for call in found.attentions()}
        if len(grids) == 1 and (grid := grids.pop()) is not None:
            return grid
        raise LayerError(
            f"The method {method!r} was asked for on model {found.model!r}.",
            f"Its {len(found.attentions())} keras.layers.MultiHeadAttention take tokens that are "
            "no picture, or not always in the same order."
            if found.attentions()
            else "It has no keras.layers.MultiHeadAttention on the way to the output.",
            "Take a method that needs no attention, such as 'grad_cam'.",
            "keras_saliency.layers.tree(model)",
        )

    def activations(self, layer: str | None = None) -> LayerOutput:
        """Return a layer's output (B, h, w, K), without gradients; ``layer`` as above.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        call = self._call(layer)
        scores, learnt, *_ = self._run("activations", call=call)
        activations = learnt.pop("activations")
        self._learn(scores, learnt)
        return LayerOutput(call, activations)

    def scores_of_activations(
        self, at: LayerOutput, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score with a layer's output replaced by each variant (h, w, K), in order.

        Args:
            at: What `activations` or `layer_gradient` gave.
            variants: From which picture each is made, and the output.
            total: How many, for a progress bar.
        """
        self._choose()
        for rows, maps in self.chunks(variants, total, "scores of activations"):
            whole = at.call.from_map(maps, at.whole[rows])
            args = (whole, self.images[rows], *self._given(rows))
            yield from self._run("scores of activations", args, at.call)[0]

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

    def _given(self, rows: list[int]) -> tuple[Any, Any]:
        """The target's numbers and the other inputs of variants made from these rows."""
        numbers = {name: row[rows] for name, row in self._rows.items()}
        return numbers, tuple(side[rows] for side in self._batch.sides)

    def _at(self, rows: list[int], images: np.ndarray, kind: programs.Kind) -> tuple[Any, ...]:
        self._choose()
        return self._run(kind, (images, *self._given(rows)))

    # ------------------------------------------------------------------ running

    def _run(
        self,
        kind: programs.Kind,
        args: tuple[Any, ...] | None = None,
        call: layers.Call | None = None,
        rule: Rule | None = None,
    ) -> tuple[Any, ...]:
        """Run a compiled function over all rows of its arguments, in micro-batches."""
        program = programs.compiled(
            kind, self._adapter, self.target, self._batch.packing, call, rule
        )
        if args is None:
            args = (self.images, self._rows, self._batch.sides)
        return micro_batches.run(program, args, self._size(kind))

    def _size(self, kind: programs.Kind) -> Size:
        """Return how many rows go through at once, measured once per model, kind and shape."""
        if self._batch_size != "auto":
            return Size(self._batch_size)
        key = ("micro-batch", kind, self.images.shape[1:])
        return kept(self._adapter.model, key, MeasuredSize)

    def _survey(self) -> layers.Survey:
        return programs.survey(self._adapter, self.target, self._batch)

    def _call(self, layer: str | None) -> layers.Call:
        """Return the layer call that a method's ``layer=`` means."""
        found = self._survey()
        if layer is None:
            return found.last_spatial()
        name, at, number = layer.partition("@")
        path, _ = layers.find(self._adapter.model, name)
        if at and not number.isdigit():
            raise LayerError(
                f"Call {number!r} of layer {path!r} of model {found.model!r} was asked for.",
                "Calls are numbered from 0.",
                f"Give {path + '@0'!r} for the first, {path!r} for the last.",
                "keras_saliency.layers.tree(model)",
            )
        call = found.call_of(path, int(number) if at else -1)
        if not call.is_map:
            raise LayerError(
                f"The map of layer {path!r} of model {found.model!r} was asked for.",
                f"Its output has shape {call.shape} for one picture.",
                "Name a layer whose output is (B, h, w, K), or the tokens of a picture.",
                "keras_saliency.layers.tree(model)",
            )
        return call
