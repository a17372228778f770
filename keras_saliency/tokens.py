"""Where the picture is in a vision transformer's tokens (B, T, D)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

MOST_EXTRA = 16  # class and register tokens; DINOv2 has five at most


@dataclass(frozen=True)
class Grid:
    """Tokens of a picture: ``height`` x ``width`` of them, from the ``first`` of ``count``."""

    height: int
    width: int
    first: int
    count: int

    @property
    def has_extra(self) -> bool:
        """Whether there are tokens beside the picture's."""
        return self.count > self.height * self.width

    def seen_by_the_score(self, attention: np.ndarray) -> np.ndarray:
        """Return how much the score sees of each picture token: (B, T, T) to (B, h, w).

        The row of the class token, the first beside the picture's; where there is none, the mean
        over all rows.
        """
        if not self.has_extra:
            return self.to_map(attention.mean(axis=1)[..., None])[..., 0]
        row = 0 if self.first else self.height * self.width
        return self.to_map(attention[:, row, :, None])[..., 0]

    @property
    def _own(self) -> slice:
        return slice(self.first, self.first + self.height * self.width)

    def to_map(self, tokens: np.ndarray) -> np.ndarray:
        """Return the picture's tokens as a map: (B, T, D) to (B, h, w, D)."""
        own = tokens[:, self._own]
        return own.reshape(len(own), self.height, self.width, -1)

    def from_map(self, maps: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return tokens (B, T, D) whose picture part is replaced by maps (B, h, w, D)."""
        result = tokens.copy()
        result[:, self._own] = maps.reshape(len(maps), -1, tokens.shape[-1])
        return result


def find(count: int, sizes: Iterable[tuple[int, int]], joined: Iterable[list[int]]) -> Grid | None:
    """Return the grid of ``count`` tokens; None where they are no picture.

    Args:
        count: T, tokens in all.
        sizes: Heights and widths of maps computed before, the latest first: one of them was cut
            into tokens. Where none fits, a square is taken.
        joined: Numbers of tokens of each part, for every concatenation along T. Where the
            picture's part is not among them, other tokens are thought to stand before it.
    """
    side = math.isqrt(count)
    for height, width in (*sizes, (side, side)):
        own = height * width
        if own > 1 and 0 <= count - own <= MOST_EXTRA:
            parts = next((p for p in joined if sum(p) == count and own in p), [count - own, own])
            return Grid(height, width, sum(parts[: parts.index(own)]), count)
    return None
