"""Positions of the picture's patches among a vision transformer's tokens (B, T, D)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Grid:
    """Tokens of a picture: a grid of ``size`` (h, w), from the ``first`` of ``count`` tokens."""

    size: tuple[int, ...]
    first: int
    count: int

    @property
    def _cells(self) -> int:
        return math.prod(self.size)

    @property
    def has_extra(self) -> bool:
        """Whether there are tokens beside the picture's."""
        return self.count > self._cells

    def seen_by_the_score(self, attention: np.ndarray) -> np.ndarray:
        """Return how much the score sees of each picture token: (B, T, T) to (B, h, w).

        The row of the class token, the first beside the picture's; where there is none, the mean
        over all rows.
        """
        if not self.has_extra:
            return self.to_map(attention.mean(axis=1)[..., None])[..., 0]
        row = 0 if self.first else self._cells
        return self.to_map(attention[:, row, :, None])[..., 0]

    @property
    def beside(self) -> np.ndarray:
        """Which tokens are not the picture's, (T,) bool."""
        others = np.ones(self.count, bool)
        others[self._own] = False
        return others

    @property
    def _own(self) -> slice:
        return slice(self.first, self.first + self._cells)

    def to_map(self, tokens: np.ndarray) -> np.ndarray:
        """Return the picture's tokens as a map: (B, T, D) to (B, h, w, D)."""
        own = tokens[:, self._own]
        return own.reshape(len(own), *self.size, -1)

    def from_map(self, maps: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Return tokens (B, T, D) whose picture part is replaced by maps (B, h, w, D)."""
        result = tokens.copy()
        result[:, self._own] = maps.reshape(len(maps), -1, tokens.shape[-1])
        return result


# Centres of the patches, as shares of each axis. Off the borders of cells in grids of 7 and 14; the
# orders of the second and third axis keep them far from diagonals and from any row-major order.
_ORDERS = (range(7), (3, 6, 1, 5, 0, 2, 4), (5, 1, 4, 0, 3, 6, 2))


def probes(axes: int) -> np.ndarray:
    """Return the centres of the patches, (7, axes)."""
    return (np.array(_ORDERS[:axes]).T + 0.4) / 7


_SIDE = 1 / 16  # size of a patch, as a share of the picture's; at least 2 pixels
_AT_ALL = 1e-5  # of an output's size: a smaller change is rounding
_FLOOR = 0.01  # of the largest change: smaller responses are ignored
_LONGEST = 6.0  # aspect ratio of a cell in the picture
_SHIFT = 0.1  # of height or width: convolutions without padding shift what they see
_STRAIGHT = 0.9  # correlation of where probes are and where they are answered, of the best possible
_OWN = 1.5  # a cell's answer to a probe of its own, over its mean answer to all
_MOST_EXTRA = 0.25  # of the tokens may be beside the picture's, or 16
_TRIED = 4  # readings of tokens as a grid that are worth trying out
_FAINT = 0.1  # of the median answer: less is of the edge of a neighbour
_LIKE_A_CELL = 4.0  # the largest answer over the mean: 11 of a cell of its own, 1 of a class token
_KINDS, _STEP = 11, 3  # patterns; by how many of them a cell and that below are apart
_MISSES = 1  # probes that may be answered elsewhere


def pictures(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Return a picture of noise, and the same with one patch changed each: (1 + 7, H, W, C).

    Args:
        shape: (H, W, C), or (*space, C).
        low: Smallest value of the pictures.
        high: Largest value.
    """
    base = np.random.default_rng(0).uniform(low, high, shape)
    middle = (low + high) / 2
    made = [base]
    for centre in probes(len(shape) - 1):
        patch = tuple(_span(share, size) for share, size in zip(centre, shape, strict=False))
        changed = base.copy()
        changed[patch] = np.where(base[patch] < middle, high, low)
        made.append(changed)
    return np.stack(made)


def _span(centre: float, size: int) -> slice:
    length = min(size, max(2, round(size * _SIDE)))
    start = min(max(0, round(centre * size - length / 2)), size - length)
    return slice(start, start + length)


@dataclass(frozen=True)
class _Answers:
    """The cell that responds most to each probe, of probes with a response."""

    cells: np.ndarray  # (n, axes)
    positions: np.ndarray  # (n, axes), shares of the picture's axes

    @classmethod
    def of(cls, outputs: np.ndarray, axes: int) -> _Answers:
        """Read them from the output for `pictures` of so many axes: (1 + 7, *cells, K)."""
        outputs = outputs.astype(np.float64)
        change = np.abs(outputs[1:] - outputs[0]).sum(-1)
        if not np.isfinite(change).all():
            change = np.zeros_like(change)
        flat = change.reshape(len(change), -1)
        seen = flat.max(1) > _AT_ALL * max(np.abs(outputs[0]).max(), 1e-30)
        # A class token answers to every patch; a patch's own token answers to one.
        own = flat / (flat.mean(0) + _FLOOR * max(flat.max(), 1e-30))
        seen &= own.max(1) > _OWN
        cells = np.stack(np.unravel_index(own.argmax(1), change.shape[1:]), 1)
        return cls(cells[seen], probes(axes)[seen])

    @property
    def are_enough(self) -> bool:
        """Whether enough probes have a response for their positions alone to show a map."""
        return len(self.cells) >= 5


def _gaps(cells: np.ndarray, positions: np.ndarray, size: Any) -> np.ndarray:
    """Distance of each position from its cell, (..., n, axes), in cells, along each axis."""
    where = positions * size
    return np.maximum(np.maximum(cells - where, where - cells - 1), 0)


def _is_square_enough(size: tuple[int, ...], picture: tuple[int, ...], most: float) -> bool:
    """Whether cells are about as high as wide; a first axis of three may be of another measure."""
    if len(size) < 2:
        return True
    ratio = (picture[-2] / size[-2]) / (picture[-1] / size[-1])
    return 1 / most < ratio < most


def follows(outputs: np.ndarray, picture: tuple[int, ...]) -> bool:
    """Whether the cells of an output follow the picture's positions.

    Args:
        outputs: (1 + 7, h, w, K), the output for `pictures`, with as many axes as these.
        picture: Height and width of these.
    """
    size = np.array(outputs.shape[1:-1])
    if min(size) < 2 or not _is_square_enough(tuple(size), picture, _LONGEST):
        return False
    answers = _Answers.of(outputs, len(size))
    if not answers.are_enough:
        return False
    cells, positions = answers.cells, answers.positions
    spans = [_span(0.5, length) for length in picture]
    patch = [(span.stop - span.start) / one for span, one in zip(spans, picture, strict=True)]
    within = 0.5 + size * (np.array(patch) / 2 + _SHIFT)
    distances = _gaps(cells, positions, size) / within
    near = np.sort(distances.max(1))[: len(cells) - _MISSES]
    # With few cells a random response may be near; a correlation with the positions is no chance.
    best = np.floor(positions * size)
    return bool(near.max() <= 1) and all(
        _correlation(cells[:, axis], positions[:, axis])
        > _STRAIGHT * _correlation(best[:, axis], positions[:, axis])
        for axis in range(len(size))
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 else -1.0


def grids(
    outputs: np.ndarray,
    picture: tuple[int, ...],
    sizes: frozenset[tuple[int, ...]] = frozenset(),
) -> list[Grid]:
    """Return grids that the picture may have among tokens, the best fit first; `holds` checks one.

    Args:
        outputs: (1 + 7, T, K), the output for `pictures`.
        picture: Height and width of these.
        sizes: Heights and widths of maps that come before. Where a model sees only a part of its
            picture, so that few probes have a response, the grid must be one of them.
    """
    count = outputs.shape[1]
    answers = _Answers.of(outputs, 2)
    if len(answers.cells) < 2:
        return []
    index = answers.cells[:, 0]
    misses = _MISSES if answers.are_enough else 0
    fits: list[tuple[bool, float, int, Grid]] = []
    for height in range(2, count // 2 + 1):
        for width in range(2, count // height + 1):
            extra = count - height * width
            square = _is_square_enough((height, width), picture, 2.5)
            came_before = (height, width) in sizes
            known = answers.are_enough or came_before
            if not (square and known) or extra > max(16, _MOST_EXTRA * count):
                continue
            first = np.arange(extra + 1)[:, None]
            cells = np.stack(np.divmod(index - first, width), -1)
            distances = _gaps(cells, answers.positions, (height, width)).max(-1)
            near = np.sort(distances, axis=1)[:, : len(index) - misses]
            for start in np.flatnonzero(near[:, -1] <= 0.5).tolist():
                gap = float(near[start].sum())
                fits.append((not came_before, gap, extra, Grid((height, width), start, count)))
    fits.sort(key=lambda one: one[:3])
    return [one[3] for one in fits[:_TRIED]]


def patterns(shape: tuple[int, ...], size: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """Return the picture of noise, and 11 like it: (1 + 11, H, W, C).

    In each, 1/11 of the cells is changed; each cell in one, its neighbours in others.

    Args:
        shape: (H, W, C).
        size: Number of cells along height and width.
        low: Smallest value of the pictures.
        high: Largest value.
    """
    base = np.random.default_rng(0).uniform(low, high, shape)
    opposite = np.where(base < (low + high) / 2, high, low)
    rows, columns = (_inner(length, cells) for length, cells in zip(shape[:2], size, strict=True))
    number = _numbers(size)[rows[0][:, None], columns[0]]
    within = rows[1][:, None] & columns[1]
    changed = [within & (number == k) for k in range(_KINDS)]
    return np.stack([base, *(np.where(one[..., None], opposite, base) for one in changed)])


def holds(outputs: np.ndarray, grid: Grid) -> bool:
    """Whether tokens respond as a grid predicts, and no other token responds as a cell does.

    At least half of every row and of every column must: a stem may see a little of the cells
    beside, but rows that run backwards, a token within the picture's or behind every row, and
    windows move whole rows or columns.

    Args:
        outputs: (1 + 11, T, K), the output for `patterns`.
        grid: Candidate positions of the picture's tokens.
    """
    outputs = outputs.astype(np.float64)
    change = np.abs(outputs[1:] - outputs[0]).sum(-1)[..., None]
    if not np.isfinite(change).all():
        return False
    rounding = _AT_ALL * max(np.abs(outputs[0]).max(), 1e-30)
    beside = change[:, grid.beside, 0]
    if (beside.max(0) > np.maximum(_LIKE_A_CELL * beside.mean(0), rounding)).any():
        return False
    own = grid.to_map(change)[..., 0]
    most = own.max(0)
    answered = most > rounding
    if not answered.any():
        return False
    right = own.argmax(0) == _numbers(most.shape)
    right &= answered & (most > _FAINT * np.median(most[answered]))
    return all(bool((2 * right.sum(axis) >= answered.sum(axis)).all()) for axis in (0, 1))


def _numbers(size: tuple[int, ...]) -> np.ndarray:
    """Number of the pattern in which each cell is changed, (h, w)."""
    return (_STEP * np.arange(size[0])[:, None] + np.arange(size[1])) % _KINDS


def _inner(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each pixel, its cell, and whether it lies in the middle of that."""
    where = (np.arange(size) + 0.5) * cells / size
    inside = np.abs(where - np.floor(where) - 0.5) <= 0.3
    if size < 4 * cells:
        inside = np.ones_like(inside)
    return where.astype(int), inside
