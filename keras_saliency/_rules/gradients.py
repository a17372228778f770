"""Rules that change or collect gradients: at rectifiers; of attention, and of biases."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_saliency import _backend
from keras_saliency._backend.hooks import intercept_functions, is_builtin_keras_layer
from keras_saliency._graph import Call, CallTrace, is_attention, operations
from keras_saliency._graph.operations import Run, Step
from keras_saliency._rules import Rule, Scores
from keras_saliency.errors import MethodError


@dataclass(frozen=True)
class Attention(Rule):
    """The true score and gradient, with the attention of every attention layer noted.

    A run sees ``"0"``, ``"1"``, ...: for each layer, in order, (B, T, T) attention of each token
    (row) to each token, over heads as ``heads`` says: ``"mean"``, ``"max"`` or ``"min"``.
    """

    heads: str = "mean"
    method = "attention_rollout"

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        from keras import ops

        fuse = {"mean": ops.mean, "max": ops.max, "min": ops.min}[self.heads]
        seen: list[Any] = []

        def forward_with_rule(attention):
            seen.append(ops.cast(fuse(attention, axis=1), images.dtype))
            return attention

        watcher = _Watcher(self, forward_with_rule, images)
        result, aux = scores(watcher.run, images, target_args, extra_inputs)
        return result, {**aux, "back": {str(k): one for k, one in enumerate(seen)}}

    def collect(self, seen: dict[str, Any], survey: Callable[[], CallTrace]) -> dict[str, Any]:
        """Leave out layers that lead to another output only."""
        result = survey()
        leading = {id(call) for call in result.attentions()}
        numbers = [k for k, call in enumerate(_running(result)) if id(call) in leading]
        return {str(k): seen[str(number)] for k, number in enumerate(numbers)}


@dataclass(frozen=True)
class WeightedAttention(Rule):
    """Attention times its gradient, where positive, averaged over heads, (B, T, T) a layer."""

    method = "transformer_attribution"

    def probe_shapes(self, survey: Callable[[], CallTrace]) -> tuple[tuple[int, ...], ...]:
        # All that run fill a probe; where one leads to another output, its gradient is 0.
        counts = [call.shape[1] or 0 for call in _running(survey())]
        return tuple((count, count) for count in counts)

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        from keras import ops

        pictures, probe_shapes = images
        waiting = list(probe_shapes)

        def collect(attention):
            probe = waiting.pop(0)

            def back(up):
                weighted = ops.mean(ops.relu(attention * up), axis=1)
                return up, ops.cast(weighted, probe.dtype)

            return _backend.current().redirect(attention, [attention, probe], back)

        watcher = _Watcher(self, collect, pictures)
        return scores(watcher.run, pictures, target_args, extra_inputs)


def _running(survey: CallTrace) -> list[Call]:
    """All attention layers that run, wherever they lead."""
    return [call for call in survey.calls if is_attention(call.layer)]


class _Watcher:
    """Passes the attention of each attention layer, (B, heads, T, T), to ``use``, in one run."""

    def __init__(self, rule: Rule, use: Any, images: Any) -> None:
        self._rule, self._use, self._count = rule, use, images.shape[0]
        self._inside = False

    def run(self, step: Step) -> Any:
        if is_attention(step.operation):
            return self._attention(step)
        output = step.run()
        return self._use(output) if self._inside and step.name == "Softmax" else output

    def _attention(self, step: Step) -> Any:
        if getattr(step.operation, "_flash_attention", False):
            raise self._rule.unsupported(step, "flash attention never has all of it at once")
        self._inside = True
        try:  # with this option, the layer computes attention as separate steps
            output, attention = step.function(*step.inputs, return_attention_scores=True)
        finally:
            self._inside = False
            if hasattr(step.operation, "_return_attention_scores"):  # a grouped one remembers
                step.operation._return_attention_scores = False
        if attention.shape[0] not in (self._count, None):
            raise self._rule.unsupported(step, "its rows are windows, or the like, of pictures")
        if len(attention.shape) != 4 or attention.shape[2] != attention.shape[3]:
            raise self._rule.unsupported(step, "it does not attend from tokens to the same tokens")
        return (output, attention) if step.keywords.get("return_attention_scores") else output


_NORMS = ("BatchNormalization", "Normalization", "Rescaling")


@dataclass(frozen=True)
class Biases(Rule):
    """The true gradient; each layer's bias times the gradient at it is collected.

    The bias of a layer that only scales is its value at 0: of batch normalisation beta - gamma
    mean / std, of rescaling its offset. Each layer with a bias fills a probe (B, h, w, 2), or
    (B, 1, 1, 2) where it outputs no map: sums over channels of the absolute contributions of the
    bias, and of the contributions.

    Attributes:
        axes: Number of spatial axes of the explained input.
    """

    method = "full_grad"

    axes: int = 2

    def probe_shapes(self, survey: Callable[[], CallTrace]) -> tuple[tuple[int, ...], ...]:
        calls = [call for call in survey().calls if _has_bias(call.layer)]
        return tuple((*_map_size(call, self.axes), 2) for call in calls)

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        pictures, probe_shapes = (
            images if isinstance(images, tuple) else (images, ())
        )  # no bias at all
        waiting = list(probe_shapes)

        def run(step: Step) -> Any:
            output = step.run()
            by_itself = step.name in operations.KERNELS or step.name in _NORMS
            if not by_itself or not _has_bias(step.operation):
                return output
            probe = waiting.pop(0)
            if output.shape[0] not in (pictures.shape[0], None):
                return self.refused(step, "its rows are windows, or the like, of pictures")
            rank, axis = len(output.shape), _channel_axis(step.operation, len(output.shape))
            bias = _bias(step, rank, axis)

            def back(up):
                return up, _collected(bias * up, axis, probe, self.axes)

            return _backend.current().redirect(output, [output, probe], back)

        return scores(run, pictures, target_args, extra_inputs)


def _map_size(call: Call, axes: int) -> tuple[int, ...]:
    """Sizes of a call's output, by the axis of its own bias."""
    if len(call.shape) != axes + 2 or call.frames is not None:
        return (1,) * axes
    axis = _channel_axis(call.layer, axes + 2)
    return tuple(size or 1 for number, size in enumerate(call.shape) if number not in (0, axis))


def _collected(contributions: Any, axis: int, probe: Any, axes: int) -> Any:
    from keras import ops

    both = [ops.abs(contributions), contributions]
    if len(contributions.shape) == axes + 2:
        sums = [ops.sum(one, axis=axis) for one in both]
    else:
        others = tuple(range(1, len(contributions.shape)))
        sums = [ops.reshape(ops.sum(one, axis=others), (-1, *[1] * axes)) for one in both]
    return ops.cast(ops.stack(sums, axis=-1), probe.dtype)


def _has_bias(operation: Any) -> bool:
    name = type(operation).__name__
    if not is_builtin_keras_layer(operation) or name == "EinsumDense":
        return False
    if name == "Rescaling":
        return bool(np.any(operation.offset))
    return name in _NORMS or (name in operations.KERNELS and operation.use_bias)


def _bias(step: Step, rank: int, axis: int) -> Any:
    from keras import ops

    if step.name in _NORMS:
        return step.function(*map(ops.zeros_like, step.inputs))
    shape = [1] * rank
    shape[axis] = -1
    return ops.reshape(ops.convert_to_tensor(step.operation.bias), shape)


def _channel_axis(operation: Any, rank: int) -> int:
    if type(operation).__name__ == "BatchNormalization":
        return operation.axis % rank
    first = getattr(operation, "data_format", None) == "channels_first"
    return 1 if first else rank - 1


@dataclass(frozen=True)
class Rectified(Rule):
    """At every rectifier relu(upstream); if ``guided``, only where its output is > 0 as well.

    A rectifier's own slope and upper end (``negative_slope``, ``max_value``) count where guided:
    beyond 6 a ReLU6 propagates 0.
    """

    guided: bool

    @property
    def method(self) -> Literal["guided_backprop", "deconvnet"]:  # type: ignore[override]
        return "guided_backprop" if self.guided else "deconvnet"

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        from keras import ops

        seen: list[str] = []
        with watched() as unseen:
            result, aux = scores(self._run(seen), images, target_args, extra_inputs)
        if unseen:
            raise MethodError(
                f"Method {self.method!r} expects every rectifier to be a layer or an argument.",
                f"The model computes {len(unseen)} rectifiers inside the call() of a layer or "
                "model, or a function, where their gradient cannot be changed.",
                "Make them layers (keras.layers.ReLU) or arguments (activation='relu').",
                f"help(keras_saliency.methods.{self.method})",
            )
        count = ops.full((ops.shape(images)[0],), len(seen))
        return result, {**aux, "back": {"rectifiers": count}}

    def _run(self, seen: list[str]) -> Run:
        from keras import ops

        backend = _backend.current()

        def positive(upstream: Any) -> Any:
            return ops.maximum(upstream, 0)  # no relu: JAX traces this in the middle of a run

        def run(step: Step) -> Any:
            # Steps inside others, such as Lambda or a recurrent layer, are out of sight too; but
            # Keras may make an elementwise function of a rectifier, such as hard_sigmoid.
            ours = is_builtin_keras_layer(step.operation)
            with in_sight(ours and step.name in operations.ELEMENTWISE):
                if not ours or step.name not in operations.RECTIFIERS:
                    return step.run()
                seen.append(step.name)
                if not self.guided:
                    return backend.redirect(step.run(), step.inputs, lambda up: (positive(up),))
                output, pullback = backend.vjp(step.function, *step.inputs)

            def back(upstream):
                positive_part = positive(upstream)
                return pullback(ops.where(output > 0, positive_part, ops.zeros_like(positive_part)))

            return backend.redirect(output, step.inputs, back)

        return run


_FUNCTIONS = ("relu", "relu6", "leaky_relu")
_mine = threading.local()  # .sight: whether the steps that this thread runs are in sight


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Return a list of the rectifiers that this thread runs out of sight inside this block.

    Raises:
        MethodError: Keras has moved one of the functions, so rectifiers cannot be seen.
    """
    module = _module()
    unseen: list[str] = []

    def noting(name: str) -> Any:
        def note(original, *args, **kwargs):
            if not getattr(_mine, "sight", False):
                unseen.append(name)
            return original(*args, **kwargs)

        return note

    with (
        in_sight(False),
        intercept_functions(module, {name: noting(name) for name in _FUNCTIONS}),
    ):
        yield unseen


@contextlib.contextmanager
def in_sight(really: bool = True) -> Iterator[None]:
    """Mark the steps inside this block as seen, or as hidden."""
    outer, _mine.sight = getattr(_mine, "sight", False), really
    try:
        yield
    finally:
        _mine.sight = outer


def _module() -> Any:
    """Return Keras' module of the rectifiers.

    Raises:
        MethodError: One of them has moved.
    """
    try:
        module = importlib.import_module("keras.src.backend").nn
    except (ImportError, AttributeError):
        module = None
    moved = [name for name in _FUNCTIONS if not callable(getattr(module, name, None))]
    if moved:
        import keras

        raise MethodError(
            "Expected Keras' private functions in which this method sees every rectifier, also "
            "those inside a call() of your own.",
            f"Keras {keras.__version__} has no "
            f"{', '.join(f'keras.src.backend.nn.{name}' for name in moved)}.",
            "Use a method that needs none of them, such as 'gradient' or 'integrated_gradients', "
            "or a version of Keras that this package was tested with.",
            "help(keras_saliency.methods.GuidedBackprop)",
        )
    return module
