"""Rectifiers that propagate only positive gradients: DeconvNet and guided backpropagation."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from keras_saliency import _backend
from keras_saliency._graph import operations
from keras_saliency._graph.operations import Run, Step
from keras_saliency._hooks import intercept_functions, is_builtin_keras_layer
from keras_saliency._rules.base import Rule, Scores
from keras_saliency.errors import MethodError


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
