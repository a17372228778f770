"""The only room that names a framework: the same in ``jax.py``, ``tensorflow.py``, ``torch.py``.

====================  ==============================================================================
``COMPILES``          whether a new batch size costs a compilation (then batches are padded)
``FOLDS``             whether batch normalisation is better folded into convolutions; unused
                      results must be free there
``forward``           a function of arrays, compiled, without gradients
``value_and_grad``    a function ``(x, *rest) -> (scores, aux)``, compiled, with d sum(scores) / dx;
                      of a tuple of scores, a tuple of gradients
``vjp``               a part of a run and its pullback: from upstream gradients to its inputs'
``redirect``          a tensor whose gradient goes back by another rule than the true one
``ancestors``         run a function once; which of the tensors it notes depend on which others
``dry_run``           run a function for its side effects, computing as little as possible
``to_numpy``          tensors to arrays
``read``              the values of variables; where they can be deleted or written to, copies
``marked``            marks that show whether variables were written since (`are_marked`, `content`)
``is_out_of_memory``  whether an error says that the device's memory ran out
====================  ==============================================================================

In all of them ``variables()`` gives the model's variables at each call, whose present values are
used, and no run can change the model's state. ``x`` may be a tuple. Inside a differentiated
function, ``vjp`` cuts its part out of the run and ``redirect`` puts it back. Here are the errors
and the state that they share.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from keras_saliency import config
from keras_saliency.errors import GradientError, KerasSaliencyError, ModelError, words


@functools.cache
def current() -> ModuleType:
    """Return the module of the backend that Keras runs on."""
    import keras

    return importlib.import_module(f"{__name__}.{keras.config.backend()}")


Compiler = Callable[..., Callable[..., Any]]


def not_differentiable() -> GradientError:
    """Return the error for a score that no derivative reaches."""
    return GradientError(
        "Expected a score that is differentiable by the picture.",
        "No differentiable path leads from the picture to it: on the way stands an integer input, "
        "argmax, rounding, a stopped gradient or a detour outside keras.ops.",
        "Choose another target, or a method that needs no gradient, such as 'occlusion'.",
        "help(keras_saliency.targets)",
    )


def differentiated(
    run: Callable[..., Any], plain: Callable[[], Callable[..., Any]]
) -> Callable[..., Any]:
    """Return ``run``, whose errors are a GradientError where the same without a gradient has none.

    Args:
        run: Takes a gradient.
        plain: Makes the function that takes none, with the same arguments.
    """

    def call(*args: Any) -> Any:
        try:
            return run(*args)
        except KerasSaliencyError:
            raise
        except Exception as error:  # each backend raises its own for a step without a derivative
            if current().is_out_of_memory(error) or not _runs(plain(), args):
                raise
            raise GradientError(
                "Expected a score that is differentiable by the picture.",
                "The model runs, but a step of it is not differentiable here: it raised "
                f"{type(error).__name__}: {words(error)}.",
                "Write that step with keras.ops, also where a NumPy array meets a tensor "
                "(keras.ops.subtract(x, array)), or take a method that needs no gradient, such as "
                "'occlusion'.",
                "help(keras_saliency.methods)",
            ) from error

    return call


def _runs(function: Callable[..., Any], args: Any) -> bool:
    try:
        function(*args)
    except Exception:
        return False
    return True


def variables_of(model: Any) -> Callable[[], list[Any]]:
    """Return a function that returns a model's variables, which holds the model weakly."""
    reference = weakref.ref(model)

    def variables() -> list[Any]:
        return reference().variables  # type: ignore[union-attr]  # it lives while it is run

    return variables


_pinned = threading.local()  # .state: variables of a model and the values it is run with


@contextlib.contextmanager
def pinned(variables: list[Any], values: list[Any]) -> Iterator[None]:
    """Have this thread run on these values of a model's variables, also if they change meanwhile.

    Args:
        variables: All of a model's; with none, the block has no effect.
        values: Of each, as the backend's ``read`` returns them.
    """
    before = getattr(_pinned, "state", None)
    _pinned.state = (variables, values) if variables else before
    try:
        yield
    finally:
        _pinned.state = before


def values_of(variables: list[Any], read: Callable[[list[Any]], Any]) -> list[Any]:
    """Return the values to run with: those that are pinned, or else the present ones.

    Raises:
        ModelError: They cannot be read.
    """
    state = getattr(_pinned, "state", None)
    if state is not None and list(map(id, state[0])) == list(map(id, variables)):
        return state[1]
    values = read(variables)
    if values is None:
        raise out_of_reach()
    return values


def out_of_reach() -> ModelError:
    """Return the error for weights that JAX's ``fit`` or ``predict`` has taken away."""
    return ModelError(
        "The model's weights cannot be read.",
        "fit() or predict() of JAX holds them until an epoch ends.",
        "Call after its end, such as in a callback's on_epoch_end.",
        "help(keras_saliency.explain)",
    )


def switched(compiler: Compiler) -> Compiler:
    """Compile once for each setting of `config`, and use the program of the present one.

    Where an output is not finite, the function runs again as Keras wrote it: rewritten forms are
    the same for numbers, but where infinities meet or sums overflow in another order they need
    not be.
    """

    @functools.wraps(compiler)
    def compile_switched(function: Any, variables: Any) -> Callable[..., Any]:
        plain = compiler(lambda *args: function(*args), variables)
        fast = compiler(function, variables)

        def run(*args: Any) -> Any:
            if config.switch.rewriting:
                results = fast(*args)
                if _all_finite(results):
                    return results
            with config.plain():
                return plain(*args)

        return run

    return compile_switched


def _all_finite(results: Any) -> bool:
    import keras

    for one in keras.tree.flatten(results):
        array = np.asarray(one)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return False
    return True
