"""What is compiled: a model and a target as one function of arrays, kept per model.

Compiled functions are told apart by the target's fixed part, the layer and the model's variables,
so a second call with other weights, another class or another picture compiles nothing. Everything
kept holds the model weakly: it goes when the user lets go of the model.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Literal

from keras_saliency import _backend, folding, layers, logits
from keras_saliency.adapter import Adapter, Packing
from keras_saliency.backward import Rule, hidden
from keras_saliency.batch import Batch
from keras_saliency.errors import TargetError
from keras_saliency.kept import kept
from keras_saliency.pieces import Run
from keras_saliency.targets import Output, Outputs, Target

Kind = Literal["scores", "gradient", "activations", "scores of activations", "layer gradient"]


def compiled(
    kind: Kind,
    adapter: Adapter,
    target: Target,
    packing: Packing,
    call: layers.Call | None = None,
    rule: Rule | None = None,
) -> Callable[..., Any]:
    """Return a compiled function; what it takes and gives depends on its kind.

    ===========================  =================================================================
    ``"scores"``                 ``(images, rows, sides)`` to ``(scores, learnt)``
    ``"activations"``            the same; ``learnt`` holds the ``"activations"`` of a layer call
    ``"scores of activations"``  ``(activations, images, rows, sides)`` to ``(scores, learnt)``: the
                                 call's output replaced by these
    ``"gradient"``               ``(images, rows, sides)`` to ``(scores, learnt, gradient)``; by a
                                 rule that wants more, ``((images, probes), rows, sides)`` or
                                 ``(images, rows, sides, baselines)``
    ``"layer gradient"``         ``(zeros, images, rows, sides)``, the gradient by the call's output
    ===========================  =================================================================

    Args:
        kind: Which of these.
        adapter: The model.
        target: What is explained; only its fixed part is compiled in.
        packing: Which input the images go into.
        call: The layer call, for the kinds that are about one.
        rule: How the gradient goes back, where it is not the true one.
    """
    backend = _backend.current()
    reference = weakref.ref(adapter.model)
    kept_target = target.for_cache()

    def variables() -> list[Any]:
        return reference().variables  # type: ignore[union-attr]  # it lives while it is explained

    def make():
        body = _scores(reference, kept_target, packing, rule)
        function = body if call is None else _AT_A_LAYER[kind](body, call)
        if rule is None:
            function = _folded(reference, function)
        run = backend.value_and_grad if kind.endswith("gradient") else backend.forward
        return run(function, variables)

    place = None if call is None else (id(call.layer), call.index)  # two may have one path
    return kept(adapter.model, (kind, place, target.static, packing, rule), make)


def survey(adapter: Adapter, target: Target, batch: Batch) -> layers.Survey:
    """Return which layers are called, and which of them lead to the target's output."""
    packing, seen = batch.packing, []

    def body(images, sides):
        def run():
            outputs = adapter.forward(images, sides, packing)
            picked = adapter.picked(outputs, target.output)
            return [*picked, *(record.of(tensor)[0] for tensor in picked)]

        size = batch.images.shape[1:3]
        with _watched(adapter) as record:  # within the survey, which then sees every layer
            seen.append(layers.survey(adapter.model, run, size, adapter.channels_first))
        return images

    def make():
        first = batch.images[:1], tuple(side[:1] for side in batch.sides)
        _backend.current().dry_run(body, lambda: adapter.model.variables, *first)
        return seen[-1]

    key = ("survey", target.output, packing, batch.images.shape[1:])
    return kept(adapter.model, key, make)


def output_shape(adapter: Adapter, target: Target, batch: Batch) -> tuple[int | None, ...]:
    """Return the shape of the target's output, channels last, with the batch axis."""
    symbolic = adapter.symbolic("output")
    if symbolic is None:  # a subclassed model: only a run can tell
        shape = survey(adapter, target, batch).output_shape
    else:
        shape = tuple(adapter.picked(symbolic, target.output)[0].shape)
    if adapter.channels_first and len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    return shape


@contextlib.contextmanager
def _watched(adapter: Adapter, run: Run | None = None) -> Iterator[logits.Logits]:
    """Run a model inside this block as it is to be explained."""
    operations = [adapter.model, *(operation for _, operation in layers.walk(adapter.model))]
    with (
        layers.without_remat(operations),
        logits.recorded(operations, adapter.channels_first, run) as record,
    ):
        yield record


def _scores(
    reference: Any, target: Target, packing: Packing, rule: Rule | None
) -> Callable[..., Any]:
    """The whole way from pictures to scores, as a function of tensors."""
    import keras
    from keras import ops

    def body(images, rows, sides, *given):
        if rule is None:
            return explained(None, images, rows, sides)
        return rule.around(explained, images, rows, sides, *given)

    def explained(run, images, rows, sides):
        adapter = Adapter(reference())
        with _watched(adapter, run) as record:
            outputs = adapter.forward(images, sides, packing)

        def pick(name):
            (values,) = adapter.picked(outputs, name)
            before, activation = record.of(values)
            if rule is not None:
                values, before = rule.at_output(values), rule.at_output(before)
            if adapter.channels_first and len(values.shape) == 4:
                values, before = (ops.transpose(t, (0, 2, 3, 1)) for t in (values, before))
            return Output(precise(values, images), precise(before, images), activation)

        raw = outputs if rule is None else keras.tree.map_structure(rule.at_output, outputs)
        with hidden.in_sight():  # what a target rectifies is none of the model's
            scores, learnt = target.scores(Outputs(raw, pick), rows)
        _check_scores(scores, images)
        return precise(scores, images), learnt

    def precise(tensor, images):  # half precision is no place for a softmax or a sum
        return tensor if tensor.dtype == images.dtype else ops.cast(tensor, images.dtype)

    return body


def _folded(reference: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same in fewer steps."""

    def run(*args):
        with folding.folded(reference()):
            return function(*args)

    return run


def _changed_at(body: Callable[..., Any], call: layers.Call) -> Callable[..., Any]:
    """The same, of a zero added to one layer's output, whose gradient is the layer's."""
    from keras import ops

    def changed(delta, images, rows, sides):
        seen = []

        def add(output):
            seen.append(output + ops.cast(delta, output.dtype))
            return seen[-1]

        with layers.tap(call, add):
            scores, learnt = body(images, rows, sides)
        return scores, {**learnt, "activations": ops.cast(seen[0], delta.dtype)}

    return changed


def _replaced_at(body: Callable[..., Any], call: layers.Call) -> Callable[..., Any]:
    """The same, one layer's output replaced. What only leads there is compiled away."""
    from keras import ops

    def replaced(activations, images, rows, sides):
        with layers.tap(call, lambda output: ops.cast(activations, output.dtype)):
            return body(images, rows, sides)

    return replaced


def _seen_at(body: Callable[..., Any], call: layers.Call) -> Callable[..., Any]:
    """The same, and one layer's output."""
    from keras import ops

    def seen_at(images, rows, sides):
        seen = []

        def note(output):
            seen.append(output)
            return output

        with layers.tap(call, note):
            scores, learnt = body(images, rows, sides)
        return scores, {**learnt, "activations": ops.cast(seen[0], images.dtype)}

    return seen_at


_AT_A_LAYER: dict[Kind, Callable[..., Any]] = {
    "activations": _seen_at,
    "scores of activations": _replaced_at,
    "layer gradient": _changed_at,
}


def _check_scores(scores: Any, images: Any) -> None:
    shape = tuple(getattr(scores, "shape", ()))
    if not hasattr(scores, "shape") or shape not in ((images.shape[0],), (None,)):
        raise TargetError(
            "A target must give one score a picture.",
            f"It gave {f'shape {shape}' if hasattr(scores, 'shape') else type(scores).__name__} "
            f"for {images.shape[0]} pictures.",
            f"Return a tensor of shape ({images.shape[0]},), written with keras.ops: reduce all "
            "axes but the first.",
            "help(keras_saliency.targets)",
        )
