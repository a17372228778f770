"""Named regions of pictures: their shares of a density, and where they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from keras_saliency._inputs import geometry
from keras_saliency.errors import FixationError
from keras_saliency.fixation import maps

REST = "elsewhere"
READ = "help(keras_saliency.FixationPrediction.shares)"
_FIX = f"Pass a dict such as {{'headline': {geometry.ORDER}}}."


def weights(
    regions: Any, sizes: Sequence[tuple[int, int]], read: str = READ
) -> dict[str, list[np.ndarray]]:
    """Return each region as a list of (H0, W0) weights 0..1, one for each picture.

    Args:
        regions: Boxes or masks by name, or lists of these, one for each picture.
        sizes: Heights and widths of the pictures.
        read: Where an error says to read more.

    Raises:
        FixationError: It is no dict of regions, or one does not lie in its picture.
    """
    what = "Expected regions, boxes or masks by their names."
    if not isinstance(regions, Mapping):
        raise FixationError(what, f"Got {regions!r:.80}.", _FIX, read)
    if not regions:
        raise FixationError(what, "Got an empty dict.", _FIX, read)
    if set(regions) == set(geometry.Box._fields):
        raise FixationError(what, f"Got one box, {dict(regions)!r:.80}.", _FIX, read)
    result = {}
    for name, region in regions.items():
        if not isinstance(name, str) or not name.strip() or name == REST:
            why = ", the name of the rest" if name == REST else ""
            raise FixationError(what, f"Got the name {name!r}{why}.", "Choose another name.", read)
        try:
            result[name] = maps.weights(region, sizes)
        except FixationError as error:
            got = f"Region {name!r}: {error.got}"
            raise FixationError(error.what, got, error.fix, read) from error
    return result


def shares(density: np.ndarray, named: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the share of a density in each region, and under ``"elsewhere"`` outside all.

    Args:
        density: (H, W), at least 0, any sum above 0.
        named: (H, W) weights 0..1 by name.

    Example:
        >>> left, right = np.array([[1, 1, 0]]), np.array([[0, 1, 0]])
        >>> shares(np.array([[1.0, 1.0, 2.0]]), {"left": left, "right": right})
        {'left': 0.5, 'right': 0.25, 'elsewhere': 0.5}
    """
    density = np.asarray(density, np.float64)
    density = density / density.sum()
    result = {name: float((density * inside).sum()) for name, inside in named.items()}
    outside = 1.0 - np.max(list(named.values()), axis=0)
    return {**result, REST: float((density * outside).sum())}


def overlaps(named: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """Return the pairs of regions that share a pixel."""
    return [
        (one, other)
        for one, other in combinations(named, 2)
        if (np.minimum(named[one], named[other]) > 0).any()
    ]


def said(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a sentence on regions that overlap; empty where none do.

    Example:
        >>> said([("logo", "headline")])
        "Regions overlap ('logo' and 'headline'): fixations in both count in each."
    """
    if not pairs:
        return ""
    listed = "; ".join(f"{one!r} and {other!r}" for one, other in pairs)
    return f"Regions overlap ({listed}): fixations in both count in each."
