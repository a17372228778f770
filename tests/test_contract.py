"""Every method keeps every law; every law rejects its mutant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import keras
import numpy as np
import pytest
from cases import CASES

from keras_saliency import Explanation, explain, methods
from keras_saliency.methods import Attribution
from keras_saliency.testing import LAWS, Case, check, networks
from keras_saliency.testing.case import Inapplicable


@pytest.fixture(autouse=True, scope="module")
def _forget():
    """Let go of the networks with all that 31 methods compiled of them: 2 GB on TensorFlow."""
    yield
    check._forget_networks()


def _runner(method):
    return lambda model, x, **options: explain(model, x, method, **options)


# A score without derivatives drops nowhere; a coarse path misses a small gap. Both are reported.
@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(
    ("law", "case"),
    # Method by method: a model keeps the programs of a few, which the laws share.
    [(law, case) for case in CASES for law in LAWS.values() if not check.skip_reason(law, case)],
    ids=lambda one: getattr(one, "__name__", None) or str(one),
)
def test_law(law, case):
    try:
        law(_runner(case.method), case)
    except Inapplicable as reason:
        pytest.skip(str(reason))


def test_the_table_has_every_method():
    assert {case.method.name for case in CASES} == set(methods.names())


# ---------------------------------------------------------------------------------------- mutants


@dataclass(frozen=True)
class _Mutant(methods.Gradient):
    """The gradient, made wrong in one way."""

    def attribute(self, engine, seed):
        return Attribution(self.wrong(engine, engine.gradient(), seed))


class _NotFinite(_Mutant):
    def wrong(self, engine, result, seed):
        result = result.copy()
        result[0, 0, 0] = np.nan
        return result


class _Unseeded(_Mutant):
    def wrong(self, engine, result, seed):
        return result * (1 + 0.01 * np.random.default_rng().random(result.shape))


class _IgnoresItsSeed(_Mutant):
    stochastic = True

    def wrong(self, engine, result, seed):
        return result


class _ScaledByTheBatch(_Mutant):
    def wrong(self, engine, result, seed):
        return result / np.abs(result).max()


class _CountsMicroBatches(_Mutant):
    def wrong(self, engine, result, seed):
        chunks = sum(1 for _ in engine.chunks(enumerate(engine.images)))
        return result * chunks


class _Touches(_Mutant):
    def wrong(self, engine, result, seed):
        engine._adapter.model.layers[1].activation = lambda x: x
        return result


class _CountsLayers(_Mutant):
    def wrong(self, engine, result, seed):
        return result * len(engine._adapter.model.layers)


class _TenPercent(_Mutant):
    def wrong(self, engine, result, seed):
        return result * 1.1


class _NeverZero(_Mutant):
    def wrong(self, engine, result, seed):
        return result + 1e-3


@dataclass(frozen=True)
class _TenPercentComplete(methods.IntegratedGradients):
    def attribute(self, engine, seed):
        result = super().attribute(engine, seed)
        return replace(result, values=result.values * 1.1)


@dataclass(frozen=True)
class _Negative(methods.Gradient):
    def to_map(self, attributions):
        return -super().to_map(attributions)


class _SecretGradient(_Mutant):
    needs_gradient = False

    def wrong(self, engine, result, seed):
        return result


class _Transposed(_Mutant):
    def wrong(self, engine, result, seed):
        return result.swapaxes(1, 2) if engine._adapter.channels_first else result


@dataclass(frozen=True)
class _LastCalled(methods.EigenCam):
    """Takes the layer that ran last, whatever went into it."""

    def attribute(self, engine, seed):
        model = engine._adapter.model
        last = [one for one in model.layers if "Conv" in type(one).__name__]
        if not last:
            return super().attribute(engine, seed)
        (side,) = engine._batch.extra_inputs
        return Attribution(keras.ops.convert_to_numpy(last[-1](side))[..., 0])


@dataclass(frozen=True)
class _Named(_Mutant):
    """Says that it took a layer which has nothing to do with the picture or the score."""

    layer: str = ""

    def attribute(self, engine, seed):
        return Attribution(engine.gradient(), info={"layer": self.layer})


class _SavesHalf(Explanation):
    """An explanation that writes its map with half the precision."""

    def save(self, folder):
        halved = self.values.astype("float16").astype("float32")
        return replace(Explanation(**vars(self)), values=halved).save(folder)


def _forgetful(model, x, **options):
    return _SavesHalf(**vars(explain(model, x, **options)))


@dataclass(frozen=True)
class _Remembers(_Mutant):
    """Gives the first pictures' map again."""

    first: ClassVar[dict] = {}

    def wrong(self, engine, result, seed):
        return self.first.setdefault(id(engine._adapter.model), result)


_MUTANTS = [
    (check.image_sized_finite_float32, _NotFinite()),
    (check.same_seed_same_map, _Unseeded()),
    (check.another_seed_another_map_if_stochastic, _IgnoresItsSeed()),
    (check.batch_is_singles, _ScaledByTheBatch()),
    (check.micro_batch_changes_nothing, _CountsMicroBatches()),
    (check.model_left_as_found, _Touches()),
    (check.nested_is_flat, _CountsLayers()),
    (check.exact_on_linear, _TenPercent()),
    (check.dead_pixel_gets_zero, _NeverZero()),
    (check.complete_where_claimed, _TenPercentComplete(steps=24, baseline=0.0)),
    (check.unsigned_is_non_negative, _Negative()),
    (check.gradient_free_where_claimed, _SecretGradient()),
    (check.channels_first_is_channels_last, _Transposed()),
    (check.save_and_load_round_trip, None),
    (check.foreign_inputs_change_nothing, _LastCalled()),
    (check.layer_is_reached_and_reaches, _Named(layer="tower")),
    (check.layer_is_reached_and_reaches, _Named(layer="aux")),
    (check.another_run_is_a_fresh_run, _Remembers()),
]


def test_every_law_has_a_mutant():
    assert {law for law, _ in _MUTANTS} == set(LAWS.values())


@pytest.mark.filterwarnings("ignore:picture")
@pytest.mark.parametrize(("law", "mutant"), _MUTANTS, ids=lambda one: getattr(one, "__name__", ""))
def test_law_rejects_its_mutant(law, mutant):
    run = _forgetful if mutant is None else _runner(mutant)
    case = Case(mutant or methods.Gradient(), on_linear=CASES[0].on_linear)
    sane = next(one for one in CASES if not check.skip_reason(law, one))
    law(_runner(sane.method), sane)  # a method can satisfy the law
    with pytest.raises((AssertionError, ValueError)):
        law(run, case)
    networks.untouched.cache_clear()  # one of them writes to it
