"""The order of a map's pixels, with ties in random order."""

from __future__ import annotations

import numpy as np


def highest_first(maps: np.ndarray, seed: int) -> np.ndarray:
    """Return the flat pixel numbers of each map (B, H, W) by falling value, (B, H * W).

    Equal values stand in an order drawn from the seed, the same for every picture: many maps are 0
    over large areas, and the order of rows would favour the picture's top. The opposite map,
    ``-maps``, breaks its ties alike, so a constant map ranks as its opposite.

    Example:
        >>> highest_first(np.array([[[1, 3], [0, 2]]]), seed=0)
        array([[1, 3, 0, 2]])
    """
    flat = maps.reshape(len(maps), -1)
    drawn = np.random.default_rng(seed).permutation(flat.shape[1])
    return drawn[np.argsort(-flat[:, drawn], axis=1, kind="stable")]
