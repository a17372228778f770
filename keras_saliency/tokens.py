"""Where the picture is in a vision transformer's tokens (B, T, D)."""

from __future__ import annotations

from collections.abc import Sequence
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


def find(
    count: int,
    sizes: Sequence[tuple[int, int]],
    joined: Sequence[list[int]],
    picture: tuple[int, int] | None = None,
) -> Grid | None:
    """Return the grid of ``count`` tokens; None where they are no picture.

    Args:
        count: T, tokens in all.
        sizes: Heights and widths of maps computed before, the latest first: one of them was cut
            into tokens, the one that leaves the fewest others.
        joined: Numbers of tokens of each part, for all tokens that were seen being put together.
        picture: Height and width of the picture, in a model with attention. There it may have been
            cut into square patches where nobody saw it, and other tokens may stand before it. Not
            in other models: there T is any length.
    """

    def as_seen(height: int, width: int) -> Grid | None:
        own = height * width
        known = [[0, own], *joined]
        parts = next((one for one in known if sum(one) == count and own in one), None)
        if own < 2 or parts is None:
            return None
        return Grid(height, width, sum(parts[: parts.index(own)]), count)

    grids = [as_seen(*size) for size in sizes]
    if picture is not None:
        unseen = ((h, w, count - h * w) for h, w in sizes)
        grids += [Grid(h, w, n, count) for h, w, n in unseen if h * w > 1 and 0 < n <= MOST_EXTRA]
        if not any(grids):
            height, width = picture
            patches = range(2, min(picture) + 1)
            grids = [as_seen(height // patch, width // patch) for patch in patches]
    known = [grid for grid in grids if grid is not None]
    return max(known, key=lambda grid: grid.height * grid.width, default=None)
