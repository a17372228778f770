"""Whether an output's cells are places of the picture, from what its cells answer to probes."""

from __future__ import annotations

import numpy as np
import pytest

from keras_saliency._graph import probing
from keras_saliency._graph import probing as tokens

pytestmark = pytest.mark.no_model

SIZE = (56, 84, 3)


def answers(height, width, depth=4, size=SIZE, pictures=None):
    """Means over cells, mixed: (1 + 7, height, width, depth), what an ideal network gives."""
    pictures = probing.pictures(size, -1.0, 1.0) if pictures is None else pictures
    rows, columns = (
        np.arange(n) * cells // n for n, cells in zip(size, (height, width), strict=False)
    )
    pictures = pictures.astype(np.float64)
    sums = np.zeros((len(pictures), height, width, size[2]))
    np.add.at(sums, (slice(None), rows[:, None], columns), pictures)
    return sums @ np.random.default_rng(1).normal(size=(size[2], depth))


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (2, 3), (4, 4), (28, 42), (8, 10)])
def test_a_map_follows(size):
    assert probing.follows(answers(*size), SIZE[:2])


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (4, 4), (8, 10)])
def test_what_lies_otherwise_does_not(size):
    maps, drawn = answers(*size), np.random.default_rng(2)
    assert not probing.follows(maps[:, ::-1], SIZE[:2])
    assert not probing.follows(maps[:, :, ::-1], SIZE[:2])
    assert not probing.follows(maps.swapaxes(1, 2), SIZE[:2])
    flat = maps.reshape(8, -1, 4)
    shuffled = flat[:, drawn.permutation(flat.shape[1])].reshape(maps.shape)
    assert not probing.follows(shuffled, SIZE[:2])
    assert not probing.follows(np.full_like(maps, maps.mean()), SIZE[:2])
    everywhere = maps.mean((1, 2), keepdims=True) + 0 * maps
    assert not probing.follows(everywhere + 1e-9 * maps, SIZE[:2])


@pytest.mark.parametrize("size", [(7, 7), (4, 4), (8, 10)])
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_attention_of_tokens_to_tokens_is_no_map(size, heads):
    tokens = answers(*size).reshape(8, -1, 4)
    drawn = np.random.default_rng(3).normal(size=(heads, 2, 4, 4))
    query, key = (np.einsum("btk,hkl->bhtl", tokens, drawn[:, i]) for i in (0, 1))
    scores = np.einsum("bhtl,bhsl->bhts", query, key)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    for matrix in (scores, weights):
        assert not probing.follows(matrix, SIZE[:2])  # heads and tokens as places
        assert not probing.follows(matrix.transpose(0, 2, 3, 1), SIZE[:2])  # tokens and tokens
    assert not probing.follows(query.transpose(0, 2, 1, 3), SIZE[:2])


def grid_of(tokens_of, size=SIZE):
    """Return the grid that `measuring` takes: the best that holds."""
    outputs = tokens_of(probing.pictures(size, -1.0, 1.0))
    for grid in probing.grids(outputs, size[:2]):
        patterns = probing.patterns(size, grid.size, -1.0, 1.0)
        if probing.holds(tokens_of(patterns), grid):
            return grid
    return None


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (4, 6), (8, 10), (2, 3)])
@pytest.mark.parametrize(("before", "behind"), [(0, 0), (1, 0), (0, 1), (5, 0), (1, 4)])
def test_tokens_of_a_picture_are_recognised(size, before, behind):
    if size == (2, 3) and before + behind > 1:
        pytest.skip("more other tokens than places")

    def all_tokens(pictures):
        maps = answers(*size, pictures=pictures)
        mean = maps.mean((1, 2))[:, None]  # a class token has seen everything
        parts = [mean] * before + [maps.reshape(len(maps), -1, 4)] + [3 * mean] * behind
        return np.concatenate(parts, axis=1)

    grid = grid_of(all_tokens)
    assert (*grid.size, grid.first) == (*size, before)
    assert grid.count == before + size[0] * size[1] + behind


def _windows(maps):
    count, height, width, depth = maps.shape
    cut = maps.reshape(count, 2, height // 2, 2, width // 2, depth)
    return cut.swapaxes(2, 3).reshape(count, height * width, depth)


def _snake(maps):
    maps = maps.copy()
    maps[:, 1::2] = maps[:, 1::2, ::-1]
    return maps


def _within(maps, count):
    """Tokens with others in their middle."""
    flat = maps.reshape(len(maps), -1, maps.shape[-1])
    others = np.repeat(flat.mean(1, keepdims=True), count, 1)
    half = flat.shape[1] // 2
    return np.concatenate([flat[:, :half], others, flat[:, half:]], 1)


def _words(maps):
    drawn = np.random.default_rng(4).normal(size=(1, maps.shape[1] * maps.shape[2], 4))
    return np.repeat(drawn, len(maps), 0)


def _shuffled(maps):
    order = np.random.default_rng(4).permutation(maps.shape[1] * maps.shape[2])
    return maps.reshape(len(maps), -1, 4)[:, order]


OTHERWISE = {
    "words": _words,
    "rows only": lambda maps: maps.mean(2, keepdims=True) + 0 * maps,
    "columns only": lambda maps: maps.mean(1, keepdims=True) + 0 * maps,
    "shuffled": _shuffled,
    "windows": _windows,
    "mean": lambda maps: _words(maps) * maps.mean((1, 2))[:, None],
    "every second row backwards": _snake,
    "a token behind every row": lambda maps: np.pad(
        maps, ((0, 0), (0, 0), (0, 1), (0, 0)), mode="mean"
    ),
    "a class token in the middle": lambda maps: _within(maps, 1),
    "registers in the middle": lambda maps: _within(maps, 8),
    "a column on": lambda maps: np.roll(maps, 1, 2),
    "columns on": lambda maps: np.roll(maps, 3, 2),
    "a row on": lambda maps: np.roll(maps, 1, 1),
    "a token on": lambda maps: np.roll(maps.reshape(len(maps), -1, 4), 1, 1),
}


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (4, 4), (12, 16)])
@pytest.mark.parametrize("kind", OTHERWISE)
def test_other_tokens_are_none_of_it(kind, size):
    shape = (16 * size[0], 16 * size[1], 3)

    def all_tokens(pictures):
        maps = answers(*size, size=shape, pictures=pictures)
        return OTHERWISE[kind](maps).reshape(len(maps), -1, 4)

    assert grid_of(all_tokens, shape) is None


def test_what_is_not_finite_tells_nothing():
    maps = answers(7, 7)
    maps[3, 2, 2] = np.nan
    assert not probing.follows(maps, SIZE[:2])
    assert not probing.grids(maps.reshape(8, -1, 4), SIZE[:2])
    assert not probing.holds(np.full((12, 49, 4), np.nan), tokens.Grid((7, 7), 0, 49))


def test_rounding_of_a_token_beside_the_picture_is_no_answer():
    """The last bit of a token that never changes may differ in one run of twelve."""

    def outputs(bit):
        maps = answers(7, 7, pictures=probing.patterns(SIZE, (7, 7), -1.0, 1.0))
        rows = np.concatenate([maps.reshape(12, 49, -1), np.ones((12, 1, 4))], axis=1)
        rows[5, 49] += bit
        return rows

    peak = np.abs(outputs(0)).max()
    grid = tokens.Grid((7, 7), 0, 50)
    assert probing.holds(outputs(0), grid)
    assert probing.holds(outputs(1e-7 * peak), grid)
    assert not probing.holds(outputs(1e-3 * peak), grid)


def test_probes_share_no_row_and_no_column():
    pictures = probing.pictures((70, 70, 1), 0.0, 255.0)
    changed = (pictures[1:] != pictures[0])[..., 0]
    assert changed.any((1, 2)).all()
    assert pictures.min() >= 0
    assert pictures.max() <= 255
    for axis in (1, 2):
        assert changed.any(axis).sum(0).max() == 1
