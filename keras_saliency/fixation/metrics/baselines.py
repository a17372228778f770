"""The bounds of a score: the centre bias below it, humans above it.

Both are densities fitted by likelihood, and both are scored by the same metrics as a model: a
baseline gives maps, and `scores` gives the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from keras_saliency.errors import FixationError
from keras_saliency.fixation import maps
from keras_saliency.fixation.data.recording import Half, halves

__all__ = ["CentreBias", "Half", "Humans", "centre_bias", "halves", "human_ceiling"]

# Cells along each axis; the narrowest bandwidth is 2.5 of them. A prime: on a multiple of a
# picture's size, all pixels would lie left of or above their cell's centre.
_GRID = 251
_BANDWIDTHS = tuple(0.01 * 2.0 ** (i / 2) for i in range(9))  # 0.01 to 0.16 of the size
_BLURS = tuple(2.0 ** (i / 4) for i in range(-4, 5))  # 0.5 to 2 degrees
_LEAST = 1e-4  # of the uniform density, so that no logarithm is infinite
_STEPS = 100  # of EM; on OSIE, MIT1003 and Scene within 3e-5 bit of 1000 steps


@dataclass(frozen=True, eq=False)
class CentreBias:
    """Where people look before they have seen the picture: one density, stretched to any size.

    Made by `centre_bias`.

    Attributes:
        counts: (G, G) float64, fixations on a grid over the unit square, rows first.
        bandwidth: Of the Gaussian kernel, as a share of the picture's height and of its width.
        uniform: Share of the uniform density in the mixture, 0 to 1.
    """

    counts: np.ndarray = field(repr=False)
    bandwidth: float
    uniform: float

    def density(self, size: tuple[int, int]) -> np.ndarray:
        """Return the probability of each pixel, (H, W) float64, above 0, sum 1.

        Args:
            size: Height and width of the picture in pixels.

        Example:
            >>> from types import SimpleNamespace as Seen
            >>> seen = [Seen(y=[5, 4], x=[9, 11], size=(10, 20)) for _ in range(3)]
            >>> bias = centre_bias(seen).density((5, 5))
            >>> float(bias.sum().round(9)), [int(i) for i in np.argwhere(bias == bias.max())[0]]
            (1.0, [2, 2])
        """
        # The kernel is a product of rows and columns, so no map is blurred and none is resized.
        down, across = (_kernel(n, len(self.counts), self.bandwidth) for n in size)
        result = down @ self.counts @ across.T
        result *= (1.0 - self.uniform) / result.sum()
        return result + self.uniform / result.size

    def log_density(self, size: tuple[int, int]) -> np.ndarray:
        """Return the natural logarithm of `density`, (H, W) float64, finite.

        Args:
            size: Height and width of the picture in pixels.
        """
        return np.log(self.density(size))


def centre_bias(recordings: Iterable[Any], bandwidths: Sequence[float] = _BANDWIDTHS) -> CentreBias:
    """Return the centre bias: a Gaussian kernel density of all fixations in normalised coordinates.

    Bandwidth and uniform share are those under which each picture's fixations are likeliest given
    all *other* pictures' (leave one picture out); the mean over pictures decides, as in the
    metrics. The kernel is cut at the picture's edges and the density divided by its sum. Fit it on
    training pictures of the data set that is scored.

    Args:
        recordings: Two or more, with ``.y`` and ``.x`` (N,) in pixels, 0-based, and ``.size``.
        bandwidths: To choose from, as shares of height and of width; above 0.

    Returns:
        The density, for pictures of any size.

    Raises:
        FixationError: Fewer than two pictures have fixations, or one lies outside its picture.

    Source:
        B. W. Tatler, Journal of Vision 7(14):4, 2007; as a baseline fitted by cross-validated
        likelihood: M. Kuemmerer, T. S. A. Wallis, M. Bethge, PNAS 112(52), 2015, arXiv:1409.7686.

    Example:
        >>> from types import SimpleNamespace as Seen
        >>> points = np.random.default_rng(0).normal(50, 9, (8, 2, 30))
        >>> seen = [Seen(y=y, x=x, size=(100, 100)) for y, x in points]
        >>> bias = centre_bias(seen)
        >>> round(bias.bandwidth, 2), bias.log_density((6, 8)).shape
        (0.04, (6, 8))
    """
    cells = [_cells(one) for one in recordings if len(one.y)]
    if len(cells) < 2 or not len(bandwidths):
        raise FixationError(
            "Expected two pictures with fixations, to leave one out, and a bandwidth.",
            f"Got {len(cells)} such pictures and {len(bandwidths)} bandwidths.",
            "Fit it on the training pictures of a data set.",
            "help(keras_saliency.fixation.metrics.baselines.centre_bias)",
        )
    counts = np.zeros((_GRID, _GRID))
    for rows, columns in cells:
        np.add.at(counts, (rows, columns), 1.0)
    weights = _alike([len(rows) for rows, _ in cells])
    fits = []
    for bandwidth in bandwidths:
        left_out = _left_out(counts, cells, bandwidth)
        fits.append((float(bandwidth), *_mixed([left_out, np.ones_like(left_out)], weights)))
    bandwidth, shares, _ = max(fits, key=lambda fit: fit[2])
    return CentreBias(counts, bandwidth, float(shares[1]))


@dataclass(frozen=True, eq=False)
class Humans:
    """Half of a picture's observers as a model of the other half. Made by `human_ceiling`.

    Attributes:
        bias: The data set's centre bias.
        blur: Of the density, in degrees of visual angle.
        shares: Of the half's blurred fixations, the centre bias and the uniform density; sum 1.
        seed: Of the split into halves.
    """

    bias: CentreBias
    blur: float
    shares: tuple[float, float, float]
    seed: int = 0

    def halves(self, recording: Any) -> list[tuple[Half, Half]]:
        """Return ``(predicting, predicted)`` twice, as `halves` does with the seed of the fit."""
        return halves(recording, self.seed)

    def saliency(self, predicting: Any) -> np.ndarray:
        """Return the half's map for AUC, sAUC, NSS, CC, SIM and KLD: blurred by one degree.

        Args:
            predicting: A `Half`, or anything with ``.y .x .size .sigma``.

        Returns:
            (H, W) float64, at least 0, sum 1. As a truth for CC, SIM and KLD take the same of the
            predicted half.
        """
        return maps.blurred(predicting.y, predicting.x, predicting.size, predicting.sigma)

    def log_density(self, predicting: Any) -> np.ndarray:
        """Return the half's log density, for the information gain: the mixture that was fitted.

        Args:
            predicting: A `Half`, or anything with ``.y .x .size .sigma``.

        Returns:
            (H, W) float64, natural logarithm, finite.
        """
        size, (human, bias, uniform) = predicting.size, self.shares
        blurred = maps.blurred(predicting.y, predicting.x, size, self.blur * predicting.sigma)
        mixed = human * blurred + bias * self.bias.density(size) + uniform / blurred.size
        return np.log(mixed / mixed.sum())


def human_ceiling(
    recordings: Sequence[Any],
    bias: CentreBias,
    seed: int = 0,
    blurs: Sequence[float] = _BLURS,
) -> Humans:
    """Return half of the observers as a model of the other half: the score of a perfect model.

    For the information gain, the predicting half's fixations are blurred and mixed with the centre
    bias and the uniform density. Blur and shares are those under which the predicted halves are
    likeliest, one choice for all pictures, the mean over pictures deciding. They are fitted on the
    pictures that are scored: three numbers on thousands of fixations, in favour of the humans.

    Args:
        recordings: Of the pictures to score, with ``.y .x .subject .size .sigma``, each seen by two
            observers or more.
        bias: The data set's centre bias.
        seed: Of the splits into halves.
        blurs: To choose from, in degrees of visual angle; above 0.

    Returns:
        Maps and log densities of a half; score them like a model's.

    Raises:
        FixationError: There is no recording, or one was not seen by two known observers.

    Source:
        M. Kuemmerer, T. S. A. Wallis, M. Bethge, PNAS 112(52), 2015, arXiv:1409.7686 ("gold
        standard"; there one observer is left out, here half of them).

    Example:
        >>> humans = human_ceiling(recordings, centre_bias(training))  # doctest: +SKIP
        >>> for predicting, predicted in humans.halves(recording):  # doctest: +SKIP
        ...     scores.nss(humans.saliency(predicting), predicted.y, predicted.x)
    """
    pairs = [pair for recording in recordings for pair in halves(recording, seed)]
    if not pairs or not len(blurs):
        raise FixationError(
            "Expected one or more recordings and one or more blurs, to fit a human ceiling.",
            f"Got {len(pairs) // 2} recordings and {len(blurs)} blurs.",
            "Pass the recordings that are scored.",
            "help(keras_saliency.fixation.metrics.baselines.human_ceiling)",
        )
    weights = _alike([len(b.y) for _, b in pairs])
    centre = np.concatenate([_under_bias(bias, b) for _, b in pairs])
    fits = []
    for blur in blurs:
        human = np.concatenate([_under_half(a, b, blur * a.sigma) for a, b in pairs])
        fits.append((float(blur), *_mixed([human, centre, np.ones_like(human)], weights)))
    blur, (of_human, of_bias, of_uniform), _ = max(fits, key=lambda fit: fit[2])
    return Humans(bias, blur, (float(of_human), float(of_bias), float(of_uniform)), seed)


def _cells(recording: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return each fixation's row and column on the grid over the unit square."""
    size = recording.size
    result = maps.pixels(recording.y, recording.x, size)
    rows, columns = (
        ((i + 0.5) * _GRID / n).astype(np.intp) for i, n in zip(result, size, strict=True)
    )
    return rows, columns


def _kernel(n: int, cells: int, bandwidth: float) -> np.ndarray:
    """Return a Gaussian of the distance from each of n pixel centres to each cell's, (n, cells)."""
    apart = ((np.arange(n) + 0.5) / n)[:, None] - (np.arange(cells) + 0.5) / cells
    return np.exp(-0.5 * (apart / bandwidth) ** 2)


def _left_out(counts: np.ndarray, cells: list, bandwidth: float) -> np.ndarray:
    """Return the density at each picture's fixations by all others'; the uniform one is 1."""
    kernel = _kernel(_GRID, _GRID, bandwidth)
    inside = kernel.sum(axis=0)  # of a fixation's Gaussian, what lies within the picture
    together, mass = kernel @ counts @ kernel.T, inside @ counts @ inside
    result = []
    for rows, columns in cells:
        own = (kernel[np.ix_(rows, rows)] * kernel[np.ix_(columns, columns)]).sum(axis=1)
        rest = mass - inside[rows] @ inside[columns]
        result.append(np.maximum(together[rows, columns] - own, 0.0) / rest)
    return np.concatenate(result) * counts.size


def _under_bias(bias: CentreBias, half: Half) -> np.ndarray:
    """Return the centre bias at a half's fixations; the uniform density is 1."""
    probability = bias.density(half.size)
    return maps.at(probability, half.y, half.x) * probability.size


def _under_half(predicting: Half, predicted: Half, sigma: float) -> np.ndarray:
    """Return one half's density at the other's fixations; the uniform density is 1.

    The same as ``density.blurred``, from pairs of points: a hundred times less work than a map.
    """
    near = np.ones((len(predicted.y), len(predicting.y)))
    inside = np.ones(len(predicting.y))  # of a fixation's Gaussian, what lies within the picture
    for name, n in zip("yx", predicting.size, strict=True):
        of, at = (np.floor(getattr(half, name)) + 0.5 for half in (predicting, predicted))
        near *= np.exp(-0.5 * ((at[:, None] - of) / sigma) ** 2)
        inside *= ndtr((n - of) / sigma) - ndtr(-of / sigma)
    height, width = predicting.size
    return near.sum(axis=1) / inside.sum() * (height * width / (2.0 * np.pi * sigma**2))


def _alike(counts: list[int]) -> np.ndarray:
    """Return the fixations' weights under which every picture counts alike; sum 1."""
    return np.concatenate([np.full(n, 1.0 / (n * len(counts))) for n in counts])


def _mixed(parts: list[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the shares under which a mixture of densities is likeliest, and the log likelihood.

    The likelihood has one maximum; EM (Dempster, Laird, Rubin 1977) climbs to it.
    """
    densities = np.stack(parts)
    shares = np.full(len(parts), 1.0 / len(parts))
    for _ in range(_STEPS):
        joint = shares[:, None] * densities
        shares = np.maximum((joint / joint.sum(axis=0)) @ weights, _LEAST)
        shares /= shares.sum()
    return shares, float(np.log(shares @ densities) @ weights)
