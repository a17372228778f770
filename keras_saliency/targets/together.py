"""Several targets of one run of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency.targets.base import Outputs, Target


@dataclass(frozen=True)
class Several:
    """Several targets, scored on the same outputs.

    Used where a program takes a `Target`: scores are a tuple of (B,), and what else each target
    returns stands under its number, as do the targets' numbers in ``rows``.
    """

    targets: tuple[Target, ...]

    @property
    def static(self) -> tuple[Any, ...]:
        """A key that is equal for targets that compile to the same function."""
        return ("several", *(part for one in self.targets for part in (*one.static, "next")))

    def for_cache(self) -> Several:
        """Return these targets without references to a model."""
        return Several(tuple(one.for_cache() for one in self.targets))

    def scores(
        self, outputs: Outputs, rows: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return a tuple of (B,) scores, and each target's aux values by its number."""
        results = []
        for number, one in enumerate(self.targets):
            start = f"{number}/"
            own = {
                name.removeprefix(start): its
                for name, its in rows.items()
                if name.startswith(start)
            }
            results.append(one.scores(outputs, own))
        aux = {str(number): its for number, (_, its) in enumerate(results)}
        return tuple(scores for scores, _ in results), aux


def numbered(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the numbers of several targets as those of `Several`."""
    return {f"{k}/{name}": its for k, own in enumerate(rows) for name, its in own.items()}
