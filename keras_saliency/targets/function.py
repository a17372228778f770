"""Any callable as a target, and the errors of what it computes."""

from __future__ import annotations

import dis
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.errors import KerasSaliencyError, TargetError
from keras_saliency.targets.base import READ, Outputs, Target


@dataclass(frozen=True)
class Function(Target):
    """Any callable ``outputs -> (B,)`` scores, on the outputs as the model returns them.

    A named function or a reused object is compiled once; a new lambda at every call is compiled at
    every call.
    """

    function: Callable[[Any], Any]
    output: str | int | None = field(default="*", kw_only=True)

    def __post_init__(self) -> None:
        """Check that ``function`` is callable."""
        super().__post_init__()
        if not callable(self.function):
            raise TargetError(
                "Expected targets.Function to get a function of the model's outputs.",
                f"Got a {type(self.function).__name__}.",
                "Pass one that returns a score for each picture: lambda outputs: outputs[:, 3].",
                READ,
            )

    @property
    def static(self) -> tuple[Any, ...]:
        # Weakly: a function may refer to the model, which a cache must not hold alive.
        try:
            kind = weakref.WeakMethod if hasattr(self.function, "__self__") else weakref.ref
            return ("function", kind(self.function))
        except TypeError:
            return ("function", self.function)

    def for_cache(self) -> Target:
        reference: Any = self.static[1]
        if not isinstance(reference, weakref.ref):
            return self
        # The cache finds an entry only by a living function, so this one lives whenever it is used.
        return Function(lambda outputs: reference()(outputs))  # type: ignore[misc]

    def rows(self, count: int) -> dict[str, np.ndarray]:
        return {}

    def check(self, shape: tuple[int | None, ...]) -> None:
        pass

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        before = _versions(outputs.raw)
        try:
            scores = self.function(outputs.raw)
        except KerasSaliencyError:
            raise
        except Exception as error:
            if _is_users_own(error):
                raise
            raise _not_computed(error) from error
        if _versions(outputs.raw) != before:
            raise TargetError(
                "Expected a target to leave the model's outputs as they are.",
                "Got outputs changed in place, and with them the values that the map uses.",
                "Compute a new tensor: outputs * 2, not outputs *= 2.",
                READ,
            )
        return scores, {}


# ---------------------------------------------------------------------- errors of the function

# Raised for operands that a backend cannot compute with, from Python or from C.
_OF_BACKENDS = (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError)
_LIBRARIES = ("jax", "jaxlib", "keras", "numpy", "tensorflow", "torch")


def _is_users_own(error: Exception) -> bool:
    """Whether the function raised this itself, rather than a library it called.

    A library's error has the library's class, or comes from its code. C code has no frame of its
    own, but then the function's own instruction is no ``raise``.
    """
    if type(error).__module__.partition(".")[0] in _LIBRARIES:
        return False
    if not isinstance(error, _OF_BACKENDS):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return True
    frame = last.tb_frame
    if frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES:
        return False
    instruction = dis.opname[frame.f_code.co_code[last.tb_lasti]]
    return instruction in ("RAISE_VARARGS", "RERAISE")


def _not_computed(error: Exception) -> TargetError:
    said = " ".join(str(error).split())
    return TargetError(
        "Expected a callable target to return one score per picture from the model's outputs.",
        f"It raised {type(error).__name__}: {said[:200].rstrip('.')}.",
        "Compute with keras.ops, and turn arrays into tensors first: "
        "keras.ops.multiply(outputs, keras.ops.convert_to_tensor(array)). Outputs have no numbers "
        "while a gradient is taken, so float(), NumPy's functions and if on them do not work.",
        READ,
    )


def _versions(outputs: Any) -> list[Any]:
    """Return how often each tensor was changed in place, where the backend allows it."""
    import keras

    return [getattr(one, "_version", 0) for one in keras.tree.flatten(outputs)]
