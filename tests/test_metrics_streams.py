"""What every metric that runs a score keeps: batches, micro-batches, seeds, memory, inputs."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import numpy as np
import planted
import pytest
from planted import score

from keras_saliency.metrics import curves, faithfulness, infidelity, road

pytestmark = pytest.mark.no_model

FUNCTIONS = {
    name: getattr(module, name)
    for module, names in {
        curves: ["deletion", "insertion", "average_drop", "increase_in_confidence"],
        faithfulness: ["sensitivity_n", "mu_fidelity", "completeness_error"],
        infidelity: ["infidelity", "max_sensitivity"],
        road: ["road"],
    }.items()
    for name in names
}
REAL = SimpleNamespace(**FUNCTIONS)


def _close(result, wanted, tolerance=1e-10):
    np.testing.assert_allclose(result, wanted, rtol=tolerance, atol=tolerance)


def _all(m, images, maps, first=0, score=score, **options):
    """Every metric that takes pictures and maps; ``first`` is the number of the first picture."""

    def own(given, rows):
        return score(given, rows + first)

    few = {"samples": 12, **options}
    return {
        "deletion": m.deletion(own, images, maps, 0.0, **options),
        "insertion": m.insertion(own, images, maps, 0.0, **options),
        "road": m.road(own, images, maps, **options),
        "average_drop": m.average_drop(own, images, maps, 0.1, **options),
        "increase": m.increase_in_confidence(own, images, maps, 0.9, **options),
        "sensitivity_n": m.sensitivity_n(own, images, maps, 0.0, **few),
        "mu_fidelity": m.mu_fidelity(own, images, maps, 0.0, **few),
        "completeness": m.completeness_error(own, images, maps, 0.0, **options),
        "infidelity": m.infidelity(own, images, maps, 0.0, **few),
        "gaussian": m.infidelity(own, images, maps, 0.0, perturbation="gaussian", **few),
    }


# ------------------------------------------------------------------------------------------- laws


def a_batch_is_its_singles(m):
    images, maps = planted.pictures(), planted.noise()
    together = _all(m, images, maps)
    for i in range(3):
        for name, alone in _all(m, images[i : i + 1], maps[i : i + 1], first=i).items():
            _close(together[name][i : i + 1], alone)


def the_micro_batch_changes_nothing(m):
    images, maps = planted.pictures(), planted.noise()
    wanted = _all(m, images, maps)
    for size in (1, 5, 1000):
        for name, result in _all(m, images, maps, batch_size=size).items():
            _close(result, wanted[name], 1e-9)


def seeds_decide_and_nothing_else(m):
    images, maps = planted.pictures(), planted.noise()
    np.random.seed(0)
    runs = {
        "sensitivity_n": lambda seed: m.sensitivity_n(score, images, maps, 0.0, seed=seed),
        "mu_fidelity": lambda seed: m.mu_fidelity(score, images, maps, 0.0, seed=seed),
        "infidelity": lambda seed: m.infidelity(score, images, maps, 0.0, seed=seed),
        "deletion": lambda seed: m.deletion(score, images, 0 * maps, 0.0, seed=seed),
        "road": lambda seed: m.road(score, images, maps, noise=0.5, seed=seed),
        "max_sensitivity": lambda seed: m.max_sensitivity(
            lambda given: given[..., 0], images, seed=seed
        ),
    }
    for name, run in runs.items():
        np.testing.assert_array_equal(run(5), run(5), err_msg=name)
        assert (run(5) != run(6)).all(), name


def _first_picture_only(s, images, maps, *args, **kwargs):
    return FUNCTIONS["deletion"](lambda i, _: s(i, np.zeros(len(i))), images, maps, *args, **kwargs)


def _own_draws(s, images, maps, *args, batch_size=8, **kwargs):
    return FUNCTIONS["sensitivity_n"](s, images, maps, *args, seed=batch_size, **kwargs)


def _with(name, **changed):
    return lambda *args, **kwargs: FUNCTIONS[name](*args, **{**kwargs, **changed})


# A law, what is made wrong, and how.
MUTANTS = {
    a_batch_is_its_singles: ("deletion", _first_picture_only),
    the_micro_batch_changes_nothing: ("sensitivity_n", _own_draws),
    seeds_decide_and_nothing_else: ("mu_fidelity", _with("mu_fidelity", seed=0)),
}
LAWS = list(MUTANTS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(REAL)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_rejects_its_mutant(law):
    name, mutant = MUTANTS[law]
    with pytest.raises(AssertionError):
        law(SimpleNamespace(**{**FUNCTIONS, name: mutant}))


# ------------------------------------------------------------------------------- what is promised


def test_no_more_pictures_at_once_than_the_micro_batch():
    images, maps = planted.pictures(), planted.noise()
    sizes = []

    def watched(given, rows):
        sizes.append(len(given))
        assert rows.shape == (len(given),)
        assert given.dtype == np.float32
        return score(given, rows)

    result = _all(REAL, images.astype(np.float32), maps, score=watched, batch_size=4)
    assert max(sizes) == 4
    wanted = _all(REAL, images, maps)
    for name in wanted:
        assert result[name].dtype == np.float64
        _close(result[name], wanted[name], 1e-4)


def test_variants_are_made_when_they_are_scored():
    """Never all at once: when the score is asked, no later variant exists."""
    alive, most = set(), 0
    images = planted.pictures(1)

    def perturbation(image, generator):
        change = np.zeros(image.shape)
        alive.add(id(change))
        weakref.finalize(change, alive.discard, id(change))
        return change

    def watched(given, rows):
        nonlocal most
        most = max(most, len(alive))
        return np.zeros(len(given))

    infidelity.infidelity(
        watched, images, images, 0.0, perturbation=perturbation, samples=50, batch_size=2
    )
    assert most <= 3


def test_what_was_given_is_left_as_it_was():
    images, maps = planted.pictures(), planted.noise()
    before = images.copy(), maps.copy()
    images.flags.writeable = maps.flags.writeable = False
    _all(REAL, images, maps)
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(maps, before[1])
