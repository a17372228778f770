"""Shapley values of games without a picture, whose values are known, by each solver."""

from __future__ import annotations

import numpy as np
import pytest

from keras_saliency.errors import MethodError
from keras_saliency.methods import KernelShap, ShapleySampling
from keras_saliency.methods.base import games
from keras_saliency.methods.shapley_sampling import _Orders

pytestmark = pytest.mark.no_model

both = pytest.mark.parametrize("method", [KernelShap, ShapleySampling])


def close(result, wanted, tolerance=1e-9):
    """Compare relative to the largest value wanted."""
    np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def _play(solver, worth, players):
    """Let a solver learn a game without a picture: pixels are players."""
    labels = np.arange(players)[None]
    game = games.Game(np.ones((1, players, 1)), np.zeros((1, players, 1)), labels)
    games.play(lambda asked, count: (worth(p[0, :, 0]) for _, p in asked), [game], [solver])
    return solver.values(worth(np.ones(players)))


def _solver(method, players, samples, seed=0):
    """The solver that a method would use beyond 10 players."""
    if method is KernelShap:
        return KernelShap("grid", samples).solver(players, seed)
    return _Orders(players, samples, seed)


def _pairs(players):
    """A game of single players and pairs: its Shapley values share each pair equally."""
    draw = np.random.default_rng(players).normal
    single, pair = draw(size=players), draw(size=(players, players))
    np.fill_diagonal(pair, 0)
    return lambda z: single @ z + z @ pair @ z, single + (pair.sum(0) + pair.sum(1)) / 2


def _triples(players):
    """A game with triples: sampling has an error."""
    draw = np.random.default_rng(players).normal
    a, b, c = draw(size=(3, players)) / players**0.5
    return lambda z: float((a @ z) * (b @ z) * (c @ z) + c @ z)


@pytest.mark.parametrize("players", [11, 24])
@both
def test_pairs_of_samples_make_games_of_pairs_exact(method, players):
    """Complements, and orders reversed, cancel all that pairs add by chance."""
    worth, wanted = _pairs(players)
    samples = 4 if method is ShapleySampling else 4 * players
    close(_play(_solver(method, players, samples), worth, players), wanted)


def test_all_coalitions_give_the_known_values_of_pairs():
    worth, wanted = _pairs(9)
    close(_play(games.Exact(9), worth, 9), wanted)


def test_the_kernel_weighs_every_size_right():
    """All coalitions of 11 players asked: the regression is the definition."""
    worth = _triples(11)
    solver = KernelShap("grid", 2046).solver(11, 0)
    wanted = _play(games.Exact(11), worth, 11)
    close(_play(solver, worth, 11), wanted)
    assert solver.count == 2047
    # Sizes 1, 2 and 9, 10 alone, which 400 samples ask in full, are not the whole truth.
    result = _play(KernelShap("grid", 132).solver(11, 0), worth, 11)
    assert np.abs(result - wanted).max() > 1e-3 * np.abs(wanted).max()


@both
def test_samples_come_nearer_to_the_exact_values(method):
    worth, players = _triples(12), 12
    wanted = _play(games.Exact(players), worth, players)
    few, many = (4, 100) if method is ShapleySampling else (40, 1200)

    def estimates(samples):
        return [_play(_solver(method, players, samples, seed), worth, players) for seed in range(8)]

    size = np.linalg.norm(wanted)
    errors = [np.linalg.norm(one - wanted) / size for one in estimates(few)]
    later = [np.linalg.norm(one - wanted) / size for one in estimates(many)]
    assert np.mean(later) < 0.45 * np.mean(errors)
    assert np.mean(later) < 0.1
    for one in (*estimates(few), *estimates(many)):  # the sum is right, however few there are
        assert abs(one.sum() - worth(np.ones(players)) + worth(np.zeros(players))) < 1e-9


@pytest.mark.parametrize("samples", [22, 23, 100, 133, 1000, 2045, 4000])
@pytest.mark.parametrize("players", [11, 12])
def test_kernel_shap_asks_no_more_than_was_said(players, samples):
    if samples < 2 * players:
        with pytest.raises(MethodError, match=r"24 or more for 12 segments"):
            KernelShap("grid", samples).solver(players, 0)
        return
    solver = KernelShap("grid", samples).solver(players, 0)
    wishes = list(solver.wishes())
    assert len(wishes) == solver.count <= samples + 1
    weights = [note for _, note in wishes]
    if samples > 2 * players + 1:
        assert abs(sum(weights) - 1) < 1e-9
    asked = {tuple(present) for present, _ in wishes}
    assert all(tuple(~np.array(one)) in asked for one in asked if any(one))
