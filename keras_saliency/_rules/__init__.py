"""Backward rules: other propagations than the true gradient, over the steps of a model's run.

A rule runs each `Step` (`_graph.operations`) of a model and defines its backward pass. The score
is unchanged; its "gradient" by the picture is the rule's result: only the positive part at
rectifiers, relevance, or contributions against a baseline.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC
from collections.abc import Callable, Iterator
from typing import Any

from keras_saliency import _backend
from keras_saliency._backend.hooks import intercept, intercept_methods, is_intercepted
from keras_saliency._graph import CallTrace
from keras_saliency._graph import operations as steps
from keras_saliency._graph.operations import Run, Step, is_float
from keras_saliency.errors import KerasSaliencyError, MethodError

# scores(run, images, target_args, extra_inputs) -> (scores, aux): one run of the model, by steps
Scores = Callable[[Run | None, Any, Any, Any], tuple[Any, dict[str, Any]]]


class Rule(ABC):
    """A backward pass through a model. Rules are frozen: they are keys of compiled programs."""

    method: str  # the method's name, for messages

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        """Run the model once under this rule and return ``(scores, aux)``.

        By default each step goes through `runner`; a rule with more inputs (``inputs``), or more
        runs, overrides this.
        """
        return scores(self.runner(), images, target_args, extra_inputs)

    def runner(self) -> Run:
        """Return the function that runs the steps of one run of the model."""
        return Step.run

    def at_output(self, logits: Any) -> Any:
        """Return the output's logits, with the rule's start value as their gradient."""
        return logits

    def probe_shapes(self, survey: Callable[[], CallTrace]) -> tuple[tuple[int, ...], ...]:
        """Return shapes, without the batch axis, of the arrays that the rule collects.

        Args:
            survey: Returns which layers run; costs a run of the model the first time.
        """
        return ()

    def collect(self, seen: dict[str, Any], survey: Callable[[], CallTrace]) -> dict[str, Any]:
        """Return the part of a run's notes that belongs to the result."""
        return seen

    def refused(self, step: Step, why: str = "no rule for it is known", owner: Any = None) -> Any:
        """Run a step without a backward rule; raise an error only where a gradient reaches it.

        Not before: it may lead to another output only. (JAX traces every path back, and refuses.)
        ``owner`` is the layer whose call runs the step, where it is not the step's own.
        """
        import keras

        def back(upstream):
            raise self.unsupported(step, why, owner)

        def cut(leaf):
            if not is_float(leaf):
                return leaf
            return _backend.current().redirect(leaf, step.inputs, back)

        try:
            output = step.run()
        except MethodError as inner:  # JAX refuses an inner step first: report the outer one
            raise self.unsupported(step, why, owner) from inner
        return keras.tree.map_structure(cut, output) if step.inputs else output

    def unsupported(
        self, step: Step, why: str = "no rule for it is known", owner: Any = None
    ) -> MethodError:
        """Return the error for a step that this rule cannot go back through."""
        where = f"layer {step.operation.name!r}"
        if owner is not None:
            where = f"{where} in the call() of {type(owner).__name__} {owner.name!r}"
        return MethodError(
            f"Method {self.method!r} needs a backward rule for every step of the model.",
            f"It cannot go back through {step.name} ({where}): {why}.",
            "Use a method that needs no rule for each layer, such as 'integrated_gradients'.",
            "help(keras_saliency._rules)",
        )


# A variable to the left of an operator would read the value of its right operand.
_OPERATORS = tuple(
    f"__{name}__"
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "div",
                 "lt", "le", "gt", "ge", "ne", "and", "or", "xor")
)  # fmt: skip


class NotSeen(Exception):
    """A call computes with its tensors outside Keras' operations."""


@contextlib.contextmanager
def sent_to(run: Run) -> Iterator[None]:
    """Inside this block, send operations on tensors wrapped by `through` to ``run``, as steps.

    Layers with a handler go to the handler as before.
    """
    import keras

    def layer(original, self, *args, **kwargs):
        if not _wrapped(args, kwargs):
            return original(self, *args, **kwargs)
        args, kwargs = _plain((args, kwargs))
        if is_intercepted(self):
            return _wrap(original(self, *args, **kwargs))
        with intercept([(self, steps.handler(self, run))]):  # made in the call itself
            return _wrap(original(self, *args, **kwargs))

    def operation(original, self, *args, **kwargs):
        if not _wrapped(args, kwargs):
            return original(self, *args, **kwargs)
        args, kwargs = _plain((args, kwargs))
        return _wrap(steps.handler(self, run)(self.call, *args, **kwargs))

    def operator(original, self, other):
        return NotImplemented if isinstance(other, _tensor_type()) else original(self, other)

    with (
        intercept_methods(keras.Layer, {"__call__": layer}),
        intercept_methods(keras.Operation, {"symbolic_call": operation}),
        intercept_methods(keras.Variable, dict.fromkeys(_OPERATORS, operator)),
    ):
        yield


def through(step: Step) -> Any:
    """Run a step inside `sent_to`, on wrapped tensors, and return its output unwrapped.

    Raises:
        NotSeen: A computation on a tensor is no operation of Keras.
        KerasSaliencyError: As ``run`` raises it.
    """
    before = dict(vars(step.operation))
    try:
        output = step.function(*map(_wrap, step.inputs))
        return _plain(output)
    except KerasSaliencyError:
        raise
    except Exception as error:  # whatever a call makes of a tensor without a value
        raise NotSeen from error
    finally:  # a call may store its results as attributes
        for name, value in list(vars(step.operation).items()):
            if isinstance(value, _tensor_type()):
                if name in before:
                    object.__setattr__(step.operation, name, before[name])
                else:
                    object.__delattr__(step.operation, name)


@functools.cache
def _tensor_type() -> Any:
    import keras

    class Seen(keras.KerasTensor):
        """A tensor whose operations are seen."""

        def __init__(self, tensor: Any) -> None:
            dtype = keras.backend.standardize_dtype(tensor.dtype)
            super().__init__(tuple(tensor.shape), dtype, name="seen")
            self.tensor = tensor

        @property
        def __jax_array__(self):
            raise AttributeError("Let JAX's own operators leave it to this one's.")

    return Seen


def _wrap(nest: Any) -> Any:
    import keras

    def one(leaf):
        return _tensor_type()(leaf) if keras.ops.is_tensor(leaf) else leaf

    return keras.tree.map_structure(one, nest)


def _plain(nest: Any) -> Any:
    import keras

    def one(leaf):
        if isinstance(leaf, _tensor_type()):
            return leaf.tensor
        if isinstance(leaf, keras.KerasTensor):
            raise NotSeen
        return leaf

    return keras.tree.map_structure(one, nest)


def _wrapped(args: Any, kwargs: Any) -> bool:
    import keras

    return any(isinstance(leaf, _tensor_type()) for leaf in keras.tree.flatten((args, kwargs)))
