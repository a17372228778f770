"""The only place where a gradient is taken: scores and gradients of a model, in micro-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from keras_saliency import _backend, _graph
from keras_saliency._engine import programs, weights
from keras_saliency._engine.layer_programs import Backward, LayerGradient, LayerOutput, Source
from keras_saliency._engine.plan import (
    BatchSize,
    MeasuredSize,
    Plan,
    Site,
    Size,
    Variants,
    maps,
    site,
    trained,
)
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.configuration import Reader
from keras_saliency._graph.model_cache import Using, callables
from keras_saliency._graph.probing import Grid
from keras_saliency._inputs import Kind
from keras_saliency._inputs.batch import Batch
from keras_saliency._rules import Rule
from keras_saliency.targets import Target


class Engine(Variants):
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
        self.target: Target = target
        self._chosen: Target = target
        self._planned: tuple[Target | None, Plan] = None, Plan()
        if source is None:
            rows = list(range(len(batch.images)))
            source = Source(batch.images, rows, target.rows(len(rows)))
            target.check(self.output_shape)
        self.reference_images: np.ndarray = source.reference_images
        self.source_indices: list[int] = source.indices
        self._target_args = source.target_args
        self._shared = source.shared

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

    def as_images(self, value: Any) -> np.ndarray:
        """Return arrays in the axes of `images`, such as references; see `Batch.as_images`."""
        return self._batch.as_images(value)

    @property
    def spans(self) -> list[Any]:
        """The greatest minus the least value of each picture; of several inputs, of each's own."""
        return self._batch.spans(self.images)

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

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the target's output, channels last, with the batch axis."""
        target, batch = self.target, self._batch
        key = ("output shape", target.output, batch.packing, self.images.shape[1:])
        return self._adapter.cache.get_or_create(
            key, lambda: programs.output_shape(self._adapter, target, batch)
        )

    def head(self) -> _graph.Head:
        """Return the layer that made the target's output, of which a class is explained."""
        plan = self._plan()
        if plan.head is None:
            plan.head = _graph.head(self._survey())
            plan.trained = trained(self._adapter, plan.head.path)
        return plan.head

    def is_regression(self) -> bool:
        """Whether the target's output was compiled with a loss for numbers, not for classes."""
        head, plan = self.head(), self._plan()
        losses = [Reader().token(getattr(model(), "loss", None)) for model in plan.trained]
        if plan.losses != losses:  # a model may be compiled at any time
            loss = self._adapter.loss(self.target.output, head.path)
            plan.losses, plan.is_regression = losses, _graph.is_regression(loss)
        return plan.is_regression

    @property
    def layers_by_path(self) -> dict[str, Any]:
        """The model's layers and operations by path, as `keras_saliency.layer_tree` lists them."""
        return dict(_graph.walk(self._adapter.model))

    def fill(self, value: Any) -> np.ndarray:
        """Return pictures without content; see `keras_saliency._inputs.resampling.fill`."""
        return self._batch.fill(value, self.images)

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
            self._shared,
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

    def layer_gradient(self, layer: str | None = None) -> LayerGradient:
        """Return a layer's output and the gradient of the score by it.

        Args:
            layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared one; the last
                call with a map larger than 1x1 where it is None. A vision transformer's tokens
                (B, T, D) are a map, without its class and register tokens.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        site = self._site(layer)
        shape: Any = len(self.images), *site.call.shape[1:]
        args = (np.zeros(shape, self.images.dtype), *self._args())
        scores, aux, gradients = self._run("layer gradient", args, site.call)
        whole = aux.pop("activations")
        self._record(scores, aux)
        maps, gradients = site.maps(whole), site.maps(gradients)
        return LayerGradient(site.name, maps, site.finding, site.call, whole, gradients)

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
            LayerError: No MultiHeadAttention leads to the output, or its tokens are no grid.
        """
        return self._survey().attended_grid(method, self._measured)

    def activations(self, layer: str | None = None) -> LayerOutput:
        """Return a layer's output (B, h, w, K), without gradients; ``layer`` as above.

        Raises:
            LayerError: No such layer, or its output is no map.
        """
        site = self._site(layer)
        scores, aux, *_ = self._run("activations", call=site.call)
        whole = aux.pop("activations")
        self._record(scores, aux)
        return LayerOutput(site.name, site.maps(whole), site.finding, site.call, whole)

    # ------------------------------------------------------------------ the target's choice

    def _record(self, scores: np.ndarray, aux: dict[str, np.ndarray]) -> None:
        if ("hidden" in aux and aux["hidden"].all()) or "beyond" in aux:
            self._chosen.check_aux(aux)
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

    def _args(self) -> tuple[Any, ...]:
        """The pictures, the target's arguments and the extra inputs."""
        return self.images, self._target_args, self._batch.extra_inputs

    def _run(
        self,
        kind: programs.Kind,
        args: tuple[Any, ...] | None = None,
        call: _graph.Call | None = None,
        rule: Rule | None = None,
        rows: list[int] | None = None,
    ) -> tuple[Any, ...]:
        """Run a compiled function over all rows of its arguments, in micro-batches."""
        args = self._args() if args is None else args
        if self._shared and not rule and (result := self._shared(self, kind, args, rows, call)):
            return result
        program, size = self._program(kind, call, rule), self._size(kind)
        given, model = (program, args, size), self._adapter.model
        return weights.consistently(model, lambda _: _backend.in_micro_batches(*given))[0]

    def _size(self, kind: programs.Kind) -> Size:
        """Return how many rows go through at once, measured once per model, kind and shape."""
        if (rows := self._plan().fixed_rows) is not None:
            return Size(rows, is_fixed=True)
        if self._batch_size != "auto":
            return Size(self._batch_size)
        key = ("micro-batch", kind, self.images.shape[1:])
        return self._adapter.cache.get_or_create(key, MeasuredSize)

    # ------------------------------------------------------------------ computed once

    def _once(self, key: Any, make: Callable[[Using], Any], target: Any = None) -> Any:
        """Return what depends on the model, the target's fixed part and a key only."""
        static = (target or self._chosen).static
        using = callables(static)
        whole = (*key, static, self._batch.packing)
        return self._adapter.cache.get_or_create(whole, lambda: make(using), using)

    def _program(
        self,
        kind: programs.Kind,
        call: _graph.Call | tuple[_graph.Call, ...] | None = None,
        rule: Rule | None = None,
        target: Any = None,
    ) -> Callable[..., Any]:
        calls = call if isinstance(call, tuple) else (call,) if call else ()
        where = tuple([(id(one.reference()), one.index) for one in calls])  # paths may be equal
        given = kind, self._adapter, target or self._chosen, self._batch.packing, call, rule
        return self._once((kind, where, rule), lambda its: programs.compiled(*given, its), target)

    def _plan(self) -> Plan:
        target, plan = self._planned
        if target is not self._chosen:
            key, model = ("plan", self.images.shape[1:]), self._adapter.model
            plan = self._once(key, lambda using: Plan(Adapter(model).fixed_rows, using))
            self._planned = self._chosen, plan
        return plan

    def _survey(self) -> _graph.CallTrace:
        plan = self._plan()
        if plan.trace is None:
            given = self._adapter, self._chosen, self._batch, self._target_args, plan.using
            plan.trace = programs.survey(*given)
        return plan.trace

    def _site(self, layer: str | None) -> Site:
        """Return the layer call of a method's ``layer=``."""
        plan = self._plan()
        if layer not in plan.sites:
            plan.sites[layer] = site(layer, self._survey(), self._measured, self._adapter.model)
        return plan.sites[layer]

    def _measured(self, calls: list[_graph.Call]) -> dict[int, _graph.Measured]:
        size, trace = self._size("answers"), self._survey()
        size = Size(size.rows, is_fixed=size.is_fixed)
        given = calls, self._program, self._batch, self._target_args, size, trace.sizes()
        key = ("maps", self.images.shape[1:], tuple(call.number for call in calls))
        return self._once(key, lambda _: maps(*given))
