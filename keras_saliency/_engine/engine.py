"""The only place where a gradient is taken: scores and gradients of a model, in micro-batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from keras_saliency import _graph
from keras_saliency._engine import measuring, micro_batches, programs, weights
from keras_saliency._engine.layer_programs import (
    Backward,
    LayerGradient,
    LayerOutput,
    Source,
    Variant,
)
from keras_saliency._engine.micro_batches import BatchSize, MeasuredSize, Size
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency._graph.probing import Grid
from keras_saliency._inputs import baselines
from keras_saliency._inputs.batch import Batch
from keras_saliency._inputs.kinds import Kind
from keras_saliency._io import progress
from keras_saliency._rules import Rule
from keras_saliency.targets import Target


class Engine:
    """A model, pictures and a target: the whole interface of methods.

    ``reference_images`` are the pictures of the call, and ``source_indices`` the index in them
    that each of ``images`` is made from. None of the public attributes ever changes.

    Args:
        adapter: The model.
        target: What is explained.
        batch: The pictures.
        batch_size: How many pictures go through the model at once; ``"auto"`` measures it.
    """

    def __init__(
        self,
        adapter: Adapter,
        target: Target,
        batch: Batch,
        batch_size: BatchSize = 8,
        *,
        source: Source | None = None,
    ) -> None:
        """Check that the target fits the model's output and the pictures."""
        self._adapter = adapter
        self._batch = batch
        self._batch_size = batch_size
        self._aux: dict[str, np.ndarray] | None = None
        self._scores: np.ndarray | None = None
        self._trace: tuple[Target | None, _graph.CallTrace | None] = None, None
        self.target: Target = target
        self._chosen: Target = target
        if source is None:
            rows = list(range(len(batch.images)))
            source = Source(batch.images, rows, target.rows(len(rows)))
            target.check(programs.output_shape(adapter, target, batch))
        self.reference_images: np.ndarray = source.reference_images
        self.source_indices: list[int] = source.indices
        self._target_args = source.target_args

    # ------------------------------------------------------------------ what is explained

    @property
    def images(self) -> np.ndarray:
        """The pictures, (B, H, W, C) in the model's input range."""
        return self._batch.images

    @property
    def kind(self) -> Kind:
        """What the pictures are: pictures, signals, ..."""
        return self._batch.kind

    def is_grid(self, values: np.ndarray) -> bool:
        """Whether values are a map already, without channels."""
        return values.ndim < self.images.ndim

    @property
    def scores(self) -> np.ndarray:
        """The score of each picture, (B,) float64."""
        if self._scores is None:
            self._record(*self._run("scores"))
        return self._scores  # type: ignore[return-value]

    @property
    def chosen_target(self) -> Target:
        """The target with its choice made: a class in place of the predicted one."""
        self._choose()
        return self._chosen

    @property
    def aux(self) -> dict[str, np.ndarray]:
        """The target's other outputs, each (B,): ``"index"`` and ``"probability"`` of a class."""
        _ = self.scores
        return self._aux or {}

    def head(self) -> _graph.Head:
        """Return the layer that made the target's output, of which a class is explained."""
        return _graph.head(self._survey())

    def loss(self) -> Any:
        """Return the loss that the target's output was compiled with; None if unknown."""
        return self._adapter.loss(self.target.output, self.head().path)

    @property
    def layers_by_path(self) -> dict[str, Any]:
        """The model's layers and operations by path, as `keras_saliency.layer_tree` lists them."""
        return dict(_graph.walk(self._adapter.model))

    def fill(self, value: Any) -> np.ndarray:
        """Return pictures without content; see `keras_saliency._inputs.baselines.fill`."""
        return baselines.fill(value, self.images, self._batch.preprocess, self.kind)

    def with_images(self, rows: list[int], images: np.ndarray) -> Engine:
        """Return an engine with other pictures and the target chosen on these.

        Args:
            rows: Index of the picture that each of the images is made from.
            images: (len(rows), H, W, C).
        """
        self._choose()
        source = Source(
            self.reference_images,
            [self.source_indices[row] for row in rows],
            {name: values[rows] for name, values in self._target_args.items()},
        )
        extra_inputs = tuple(one[rows] for one in self._batch.extra_inputs)
        batch = replace(self._batch, images=images, extra_inputs=extra_inputs)
        return Engine(self._adapter, self._chosen, batch, self._batch_size, source=source)

    def with_target(self, target: Target) -> Engine:
        """Return an engine with the same pictures and another target."""
        return Engine(self._adapter, target, self._batch, self._batch_size)

    # ------------------------------------------------------------------ the interface of methods

    def gradient(self) -> np.ndarray:
        """Return the gradient of each score by its picture, (B, H, W, C)."""
        scores, aux, gradients = self._run("gradient")
        self._record(scores, aux)
        return gradients

    def backward(self, rule: Rule, *inputs: np.ndarray) -> Backward:
        """Return a rule's values at each picture, propagated from its score.

        Args:
            rule: One of `keras_saliency._rules`.
            inputs: The rule's further inputs, each with B rows, such as baselines.
        """
        if inputs:  # a picture's baselines are explained by the picture's own class
            self._choose()
        probe_shapes: tuple[np.ndarray, ...] = ()
        if shapes := rule.probe_shapes(self._survey):
            dtype, count = self.images.dtype, len(self.images)
            probe_shapes = tuple(np.zeros((count, *shape), dtype) for shape in shapes)
        images = (self.images, probe_shapes) if probe_shapes else self.images
        more = (one.astype(self.images.dtype, copy=False) for one in inputs)
        args = (images, self._target_args, self._batch.extra_inputs, *more)
        scores, aux, gradients = self._run("gradient", args, rule=rule)
        seen = aux.pop("back", {})
        self._record(scores, aux)
        collected: tuple[np.ndarray, ...] = ()
        if probe_shapes:
            gradients, collected = gradients
        return Backward(gradients, tuple(collected), seen)

    def gradients(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield score and gradient (H, W, C) of each variant, in order, a micro-batch at a time."""
        for rows, images in self.chunks(variants, total):
            scores, _, gradients = self._run_variants(rows, images, "gradient")
            yield from zip(scores, gradients, strict=True)

    def variant_scores(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score of each variant, in order, without gradients."""
        for rows, images in self.chunks(variants, total, "scores"):
            yield from self._run_variants(rows, images, "scores")[0]

    def chunks(
        self,
        variants: Iterable[Variant],
        total: int | None = None,
        kind: programs.Kind = "gradient",
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield variants in micro-batches: indices of their sources, and (b, H, W, C)."""
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
        args = (zeros, self.images, self._target_args, self._batch.extra_inputs)
        scores, aux, gradients = self._run("layer gradient", args, call)
        activations = aux.pop("activations")
        self._record(scores, aux)
        return LayerGradient(
            call, activations, self._too_early(layer, call), call.to_map(gradients)
        )

    def forward_with_rule(self, rule: Rule) -> dict[str, np.ndarray]:
        """Return a rule's notes of a run of the model, without gradients."""
        scores, aux = self._run("scores", rule=rule)
        seen = aux.pop("back", {})
        self._record(scores, aux)
        return rule.collect(seen, self._survey)

    def tokens(self, method: str) -> Grid:
        """Return the picture's grid in the tokens of the model's attention layers.

        Args:
            method: The method's name, for the message.

        Raises:
            LayerError: No ``keras.layers.MultiHeadAttention`` leads to the output, or its tokens
                are no grid.
        """
        return self._survey().attended_grid(method, self._measured)

    def activations(self, layer: str | None = None) -> LayerOutput:
        """Return a layer's output (B, h, w, K), without gradients; ``layer`` as above.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        call = self._call(layer)
        scores, aux, *_ = self._run("activations", call=call)
        activations = aux.pop("activations")
        self._record(scores, aux)
        return LayerOutput(call, activations, self._too_early(layer, call))

    def scores_of_activations(
        self, original: LayerOutput, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score with a layer's output replaced by each variant (h, w, K), in order.

        Args:
            original: The result of `activations` or `layer_gradient`.
            variants: Index of each one's picture, and the output.
            total: How many, for a progress bar.
        """
        self._choose()
        for rows, maps in self.chunks(variants, total, "scores of activations"):
            whole = original.call.from_map(maps, original.whole[rows])
            args = (whole, self.images[rows], *self._args_of(rows))
            yield from self._run("scores of activations", args, original.call)[0]

    # ------------------------------------------------------------------ the target's choice

    def _record(self, scores: np.ndarray, aux: dict[str, np.ndarray]) -> None:
        self._chosen.check_learnt(aux)
        self._scores = scores.astype(np.float64)
        self._aux = aux
        chosen = self._chosen.resolved(aux)
        if chosen is not self._chosen:
            self._chosen = chosen
            self._target_args = chosen.rows(len(self.images))

    def _choose(self) -> None:
        """Fix what the target leaves open (the predicted class) on the pictures themselves."""
        if type(self._chosen).resolved is not Target.resolved:
            _ = self.scores

    def _args_of(self, rows: list[int]) -> tuple[Any, Any]:
        """The target's arguments and the extra inputs of variants of these pictures."""
        target_args = {name: values[rows] for name, values in self._target_args.items()}
        return target_args, tuple(one[rows] for one in self._batch.extra_inputs)

    def _run_variants(
        self, rows: list[int], images: np.ndarray, kind: programs.Kind
    ) -> tuple[Any, ...]:
        self._choose()
        return self._run(kind, (images, *self._args_of(rows)))

    # ------------------------------------------------------------------ running

    def _run(
        self,
        kind: programs.Kind,
        args: tuple[Any, ...] | None = None,
        call: _graph.Call | None = None,
        rule: Rule | None = None,
    ) -> tuple[Any, ...]:
        """Run a compiled function over all rows of its arguments, in micro-batches."""
        program = programs.compiled(
            kind, self._adapter, self._chosen, self._batch.packing, call, rule
        )
        if args is None:
            args = (self.images, self._target_args, self._batch.extra_inputs)
        size = self._size(kind)
        model = self._adapter.model
        return weights.consistently(model, lambda _: micro_batches.run(program, args, size))[0]

    def _size(self, kind: programs.Kind) -> Size:
        """Return how many rows go through at once, measured once per model, kind and shape."""
        if (rows := self._adapter.fixed_rows) is not None:
            return Size(rows, is_fixed=True)
        if self._batch_size != "auto":
            return Size(self._batch_size)
        key = ("micro-batch", kind, self.images.shape[1:])
        return get_or_create(self._adapter.model, key, MeasuredSize)

    def _survey(self) -> _graph.CallTrace:
        target, trace = self._trace
        if trace is None or target is not self._chosen:
            trace = programs.survey(self._adapter, self._chosen, self._batch, self._target_args)
            self._trace = self._chosen, trace
        return trace

    def _measured(self, calls: list[_graph.Call]) -> dict[int, _graph.Measured]:
        size = self._size("answers")
        return measuring.maps(
            calls,
            self._adapter,
            self._chosen,
            self._batch,
            self._target_args,
            Size(size.rows, is_fixed=size.is_fixed),
            self._survey().sizes(),
        )

    def _call(self, layer: str | None) -> _graph.Call:
        """Return the layer call of a method's ``layer=``."""
        result = self._survey()
        if layer is None:
            return result.last_map(self._measured)
        name, at, number = layer.partition("@")
        path, _ = _graph.find(self._adapter.model, name)
        return result.call_of(path, number if at else None, self._measured)

    def _too_early(self, layer: str | None, call: _graph.Call) -> str:
        """Return a finding where the default layer is one of the first."""
        return self._survey().too_early(call) if layer is None else ""
