"""Compiled programs: a model and a target as one function of arrays; and traces of a run.

`Engine` caches them by the target's fixed part, the layer, the model's variables and its
configuration: a second call with other weights, another class or another picture does not compile,
and one with another slope or another layer does. They hold the model weakly, so that they go when
the user deletes it.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from keras_saliency import _backend, _graph
from keras_saliency._backend import differentiated, variables_of
from keras_saliency._engine import layer_programs
from keras_saliency._engine.layer_programs import ANSWERS, AT_A_LAYER, weakened
from keras_saliency._graph import logits
from keras_saliency._graph.adapter import Adapter, InputLayout
from keras_saliency._graph.model_cache import Using, watched
from keras_saliency._graph.operations import Run
from keras_saliency._inputs.batch import Batch
from keras_saliency._rules import Rule, gradients
from keras_saliency.errors import KerasSaliencyError
from keras_saliency.targets import Output, Outputs, Target
from keras_saliency.targets.base import check_output, check_scores
from keras_saliency.targets.together import Several

Kind = Literal[
    "scores",
    "gradient",
    "activations",
    "scores of activations",
    "layer gradient",
    "answers",
    "answers' gradient",
]


def compiled(
    kind: Kind,
    adapter: Adapter,
    target: Target,
    packing: InputLayout,
    call: _graph.Call | tuple[_graph.Call, ...] | None = None,
    rule: Rule | None = None,
    using: Using = (),
) -> Callable[..., Any]:
    """Compile a function; its arguments and results depend on its kind.

    ``args`` below are the target's arguments by name, ``extra`` the extra inputs, both with B rows.

    ===========================  =================================================================
    ``"scores"``                 ``(images, args, extra)`` to ``(scores, aux)``
    ``"activations"``            the same; ``aux`` has the ``"activations"`` of a layer call
    ``"scores of activations"``  ``(activations, images, args, extra)`` to ``(scores, aux)``: the
                                 call's output replaced by these
    ``"gradient"``               ``(images, args, extra)`` to ``(scores, aux, gradient)``; by a
                                 rule with more inputs, ``((images, probes), args, extra)`` or
                                 ``(images, args, extra, baselines)``
    ``"layer gradient"``         ``(zeros, images, args, extra)``, the gradient by the call's output
    ``"answers"``                ``(zeros, images, args, extra, strength)`` to ``(scores, aux)``,
                                 of several calls: ``aux`` has a few numbers for each cell of
                                 each output; kernels are multiplied by the strength, (B,)
    ``"answers' gradient"``      the same, and the gradients by these outputs
    ===========================  =================================================================

    Args:
        kind: Which of these.
        adapter: The model.
        target: What is explained; only its fixed part is compiled in.
        packing: Which input takes the images.
        call: The layer call, for the kinds that are about one; for "answers", several.
        rule: How the gradient is propagated, where it is not the true one.
        using: References to the target's callables.
    """
    backend = _backend.current()
    reference = weakref.ref(adapter.model)
    cached_target = target.for_cache()
    variables = variables_of(adapter.model)
    body = _scores(reference, cached_target, packing, rule)
    function = body if call is None else AT_A_LAYER[kind](body, call)
    if kind in ANSWERS:
        function = weakened(reference, function)
    if rule is None:
        function = _folded(reference, function)
    if not kind.endswith("gradient"):
        return watched(adapter.model, backend.forward(function, variables), using)
    plain = function if rule is None else _without_rule(_scores(reference, cached_target, packing))
    run = backend.value_and_grad(function, variables)
    run = differentiated(run, lambda: backend.forward(plain, variables))
    return watched(adapter.model, run, using)


def survey(
    adapter: Adapter,
    target: Target,
    batch: Batch,
    target_args: Mapping[str, np.ndarray],
    using: Using = (),
) -> _graph.CallTrace:
    """Return the calls of a run, with their dependence on the input and the score's on them.

    Args:
        adapter: The model.
        target: What is explained.
        batch: The pictures; the run uses the first one.
        target_args: The target's arguments, for each picture.
        using: References to the target's callables.
    """
    model, packing, recorders = adapter.model, batch.packing, []

    def body(note, images, target_args, extra_inputs):
        recorders.append(_graph.Recorder(model, note))
        note(_graph.EXPLAINED, images)
        run = _scores(weakref.ref(model), target, packing, None, recorders[-1])
        note(_graph.SCORE, run(images, target_args, extra_inputs)[0])

    first = {name: _first(values, adapter) for name, values in target_args.items()}
    images, extra_inputs = _one_picture(batch, adapter)
    args = images, first, extra_inputs
    run = watched(model, _backend.current().ancestors, using)
    ancestors = run(body, lambda: model.variables, *args)
    result = recorders[-1].survey(ancestors, adapter.is_channels_first(packing.axes))
    return result.of_one_picture(len(images))


def output_shape(adapter: Adapter, target: Target, batch: Batch) -> tuple[int | None, ...]:
    """Return the shape of the target's output, channels last, with the batch axis."""
    outputs = adapter.symbolic("output")
    if outputs is None:  # a subclassed model: only a run shows it
        outputs = _outputs(adapter, batch)
    shape = tuple(adapter.select_output(outputs, target.output)[0].shape)
    if adapter.channels_first and len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    return shape


def _outputs(adapter: Adapter, batch: Batch) -> Any:
    """Return a model's outputs for one picture, as shapes and dtypes."""
    import keras

    seen = []

    def body(images, extra_inputs):
        with _watched(adapter):
            outputs = adapter.forward(images, extra_inputs, batch.packing)
        # Other values stay: a call() may return None beside its logits.
        leaves = [
            keras.KerasTensor(tuple(one.shape), keras.backend.standardize_dtype(one.dtype))
            if hasattr(one, "shape") and hasattr(one, "dtype")
            else one
            for one in keras.tree.flatten(outputs)
        ]
        seen.append(keras.tree.pack_sequence_as(outputs, leaves))
        return images

    with _callable(adapter, batch):
        first = _one_picture(batch, adapter)
        run = watched(adapter.model, _backend.current().dry_run)
        run(body, lambda: adapter.model.variables, *first)
    return seen[-1]


def _first(rows: np.ndarray, adapter: Adapter) -> np.ndarray:
    """Return the first row, as often as the model takes rows."""
    return rows[:1].repeat(adapter.fixed_rows or 1, 0)


def _one_picture(batch: Batch, adapter: Adapter) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return the first picture and its extra inputs, as often as the model takes rows."""
    return _first(batch.images, adapter), tuple(_first(one, adapter) for one in batch.extra_inputs)


@contextlib.contextmanager
def _callable(adapter: Adapter, batch: Batch) -> Iterator[None]:
    """Turn an exception of a model's call() on its first picture into a ModelError."""
    try:
        yield
    except KerasSaliencyError:
        raise
    except Exception as error:
        if _backend.current().is_out_of_memory(error):
            raise
        raise adapter.not_callable(error, batch.images[:1], batch.extra_inputs) from error


@contextlib.contextmanager
def _watched(adapter: Adapter, run: Run | None = None) -> Iterator[logits.Logits]:
    """Run a model inside this block as it is to be explained."""
    operations = [adapter.model, *(operation for _, operation in _graph.walk(adapter.model))]
    with (
        _graph.without_remat(operations),
        logits.recorded(operations, adapter.channels_first, run) as record,
    ):
        yield record


def _scores(
    reference: Any,
    target: Target,
    packing: InputLayout,
    rule: Rule | None = None,
    recorder: _graph.Recorder | None = None,
) -> Callable[..., Any]:
    """The whole way from pictures to scores, as a function of tensors."""
    import keras
    from keras import ops

    def body(images, target_args, extra_inputs, *inputs):
        if rule is None:
            return explained(None, images, target_args, extra_inputs)
        return rule.run(explained, images, target_args, extra_inputs, *inputs)

    def explained(run, images, target_args, extra_inputs):
        adapter = Adapter(reference())
        # Inside, so that the recorder sees every layer as it is run here.
        watching = recorder.watching() if recorder else contextlib.nullcontext()
        with _watched(adapter, run) as record, watching:
            arranged = adapter.arranged(images, packing)
            if recorder and len(arranged) == 1:
                first = adapter.is_channels_first(packing.axes)
                recorder.starts(arranged[0], first, packing.axes)
            outputs = adapter.call(arranged, extra_inputs, packing)

        def pick(name):
            (values,) = adapter.select_output(outputs, name)
            check_output(values, adapter.model.name)
            before, activation = record.of(values)
            if recorder:
                recorder.ends(values, before)
            if rule is not None:
                values, before = rule.at_output(values), rule.at_output(before)
            if adapter.channels_first and len(values.shape) == 4:
                values, before = (ops.transpose(t, (0, 2, 3, 1)) for t in (values, before))
            return Output(precise(values, images), precise(before, images), activation)

        raw = outputs if rule is None else keras.tree.map_structure(rule.at_output, outputs)
        if recorder:
            raw = keras.tree.map_structure(lambda one: recorder.part(one, record.of), outputs)
        with gradients.in_sight():  # a target's rectifiers are not the model's
            size = tuple(images.shape[1:-1])
            scores, aux = target.scores(Outputs(raw, pick, size), target_args)
        if isinstance(target, Several):
            return tuple(checked(one, images) for one in scores), aux
        return checked(scores, images), aux

    def checked(scores, images):
        check_scores(scores, images)
        return precise(scores, images)

    def precise(tensor, images):  # half precision is too coarse for a softmax or a sum
        return tensor if tensor.dtype == images.dtype else ops.cast(tensor, images.dtype)

    return body


def _without_rule(body: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of scores with the arguments of a rule's gradient."""

    def run(images, target_args, extra_inputs, *inputs):
        return body(images[0] if isinstance(images, tuple) else images, target_args, extra_inputs)

    return run


def _folded(reference: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same in fewer steps."""

    def run(*args):
        with layer_programs.folded(reference()):
            return function(*args)

    return run


@contextlib.contextmanager
def recorded_at_once() -> Iterator[None]:
    """Have PyTorch record a run the first time it comes; the other backends always compile."""
    import keras

    if keras.config.backend() != "torch":
        yield
        return
    from keras_saliency._backend import torch_recorded

    after, torch_recorded.AFTER = torch_recorded.AFTER, 0
    try:
        yield
    finally:
        torch_recorded.AFTER = after
