"""The mean of random masks, each weighted by the score of the masked picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.methods.base import Attribution, Method

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_UNLIKE = 0.5  # a lower correlation of the maps of two halves of the masks is reported


@dataclass(frozen=True)
class RISE(Method):
    """Sum of score times mask, divided by (masks times keep).

    A mask is a small grid of random zeros and ones, enlarged bilinearly and shifted at random by
    less than a cell. The masks are the same for every picture. One mask is in memory at a time,
    so memory does not grow with their number. The paper's score is the probability:
    ``target=targets.TopClass(score="probability")``. ``checks[i]["agreement"]`` is the correlation
    of the maps from the odd and from the even masks alone; a value below 0.5 is a finding.

    Args:
        masks: Number of masks.
        cells: Cells along each axis of the small grid. Of a text or a table each position is a
            cell of its own.
        keep: Probability that a cell stays visible.
        fill: What covers; see `keras_saliency._inputs.resampling.fill`.

    Example:
        >>> e = explain(model, img, methods.RISE(masks=500, cells=4), seed=1)
        >>> -1 <= e.checks[0]["agreement"] <= 1
        True
    """

    family = "perturbation"
    signed = True
    stochastic = True
    needs_gradient = False
    local = False
    reference = (
        "Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation of Black-box "
        "Models, 2018, arXiv:1806.07421"
    )

    masks: int = 4000
    cells: int = 7
    keep: float = 0.5
    fill: Any = "black"

    def __post_init__(self) -> None:
        """Check the options."""
        self._require_count("masks")
        self._require_count("cells")
        self._require_share("keep")
        self._require(self.keep < 1, "keep", "a probability between 0 and 1")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, cover = engine.images, engine.fill(self.fill)
        halves = np.zeros((2, *images.shape[:-1]))
        least, most = np.full(len(images), np.inf), np.full(len(images), -np.inf)
        size, blocky = images.shape[1:-1], engine.kind.has_neighbours
        drawn, replayed = tee(self._masks(size, seed, blocky))

        def seen() -> Iterator[tuple[int, np.ndarray]]:
            for mask in drawn:
                veil = mask[..., None].astype(images.dtype)
                for row, image in enumerate(images):
                    yield row, cover[row] + veil * (image - cover[row])

        scores = engine.variant_scores(seen(), self.masks * len(images))
        for number, mask in enumerate(replayed):
            for row in range(len(images)):
                score = next(scores)
                halves[number % 2, row] += score * mask
                least[row], most[row] = min(least[row], score), max(most[row], score)
        agreement = np.array([_correlation(*maps) for maps in halves.swapaxes(0, 1)])
        return Attribution(
            halves.sum(0) / (self.masks * self.keep),
            checks={"agreement": agreement},
            findings=[_findings(*each) for each in zip(least, most, agreement, strict=True)],
        )

    def _masks(self, size: tuple[int, ...], seed: int, blocky: bool = True) -> Iterator[np.ndarray]:
        """Yield masks of the images' spatial size, float32."""
        generator = np.random.default_rng(seed)
        if not blocky:
            for _ in range(self.masks):
                yield (generator.random(size) < self.keep).astype(np.float32)
            return
        cell = [-(-side // self.cells) for side in size]
        larger = [_enlarging(self.cells, (self.cells + 1) * side) for side in cell]
        for _ in range(self.masks):
            grid = generator.random([self.cells] * len(size)) < self.keep
            starts = [int(generator.integers(side)) for side in cell]
            weights = [
                one[start : start + side]
                for one, start, side in zip(larger, starts, size, strict=True)
            ]
            yield resampling.along_axes(grid[None].astype(np.float32), weights)[0]


def _enlarging(cells: int, side: int) -> np.ndarray:
    """Return the matrix (side, cells) that enlarges bilinearly, with half-pixel centres."""
    centres = np.clip((np.arange(side) + 0.5) * cells / side - 0.5, 0, cells - 1)
    return np.maximum(1 - np.abs(centres[:, None] - np.arange(cells)), 0).astype(np.float32)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size > 0 else 0.0


def _findings(least: float, most: float, agreement: float) -> tuple[str, ...]:
    if most - least <= 4 * np.finfo(np.float32).eps * max(abs(least), abs(most)):
        return ("the score is the same under every mask: the map shows the mean of the masks",)
    if agreement < _UNLIKE:
        return (
            f"the maps of two halves of the masks correlate by {agreement:.2f}: use more masks",
        )
    return ()
