"""Any callable as a target."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_saliency.targets.base import Outputs, Target


@dataclass(frozen=True)
class Function(Target):
    """Any callable ``outputs -> (B,)`` scores, on the outputs as the model returns them.

    A named function or a kept object is compiled once; a fresh lambda at every call is compiled at
    every call.
    """

    function: Callable[[Any], Any]
    output: str | int | None = field(default="*", kw_only=True)

    @property
    def static(self) -> tuple[Any, ...]:
        # Weakly: a function may hold the model, and a cache must not keep a model alive.
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
        return self.function(outputs.raw), {}
