"""What is returned is plain data: pickled, copied, saved and loaded, it is the same."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import weakref

import keras
import models
import numpy as np
import pytest
from recordings import disc

from keras_saliency import (
    Archive,
    Box,
    Explainer,
    Explanation,
    FixationPrediction,
    compare,
    errors,
    explain,
    methods,
    predict_fixations,
)
from keras_saliency._io.encoding import decode, encode, plain, restored, same, storable
from keras_saliency.methods import Attribution, Method

pytestmark = pytest.mark.any_backend

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)

HARD = {
    "big": np.arange(1000.0).reshape(10, 100),
    "small": np.array([[1, 2], [3, 4]], np.int16),
    "empty": np.zeros((0, 3), np.float32),
    "scalar array": np.array(1.5),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "words": np.array(["a", "bc"]),
    "bytes": b"\x00\xff",
    "time": np.datetime64("2026-11-29"),
    "numbers": (np.float32(0.1), np.float16(2), np.int64(-3), np.uint8(9), np.bool_(True)),
    "long": np.longdouble(1) / 3,
    "odd": (float("nan"), float("inf"), -float("inf"), -0.0, 10**30, 1 + 2j, None, True),
    "nested": {"a": ({"b": [(), {}, {1: "one", (2, 3): "two"}]},)},
    "hidden": {"__tuple__": [1], "__array__": "values", "": ""},
    "text": "NUL \x00, snowman \u2603, half a pair \udc80",
}


class Says(Method):
    """A method whose info a test chooses."""

    family = "gradient"
    reference = "none"
    info: dict = {}  # noqa: RUF012

    def attribute(self, engine, seed):
        return Attribution(engine.gradient(), info=self.info)


def says(info):
    return type("Says", (Says,), {"info": info})()


def everything(value):
    """All fields of an object, as plain data."""
    public = {name: one for name, one in vars(value).items() if not name.startswith("_")}
    return {name: _plain(one) for name, one in public.items()}


def _plain(value):
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(
        value, type(None) | str | int | float | np.ndarray | np.generic | bytes | complex
    ):
        return value
    return everything(value) if hasattr(value, "__dict__") else str(value)


@pytest.fixture(scope="module")
def explained():
    return explain(models.flat(), models.pictures(2), says(HARD), target=[0, 1])


@pytest.fixture(scope="module")
def returned(explained, tmp_path_factory):
    """One of each kind of object that users keep."""
    net, folder = models.flat(), tmp_path_factory.mktemp("archive")
    archive = Explainer(net).write(models.pictures(2), folder)
    return {
        "explanation": explained,
        "prediction": predict_fixations(PHOTO),
        "comparison": compare(net, models.pictures(1), ["gradient"], ["sparseness"]),
        "archive": archive,
        "record": next(iter(archive)),
        "recording": disc(0),
        "box": Box(1, 2, 3, 4),
    }


WAYS = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
KINDS = ("explanation", "prediction", "comparison", "archive", "record", "recording", "box")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_the_same(returned, kind, way):
    one = returned[kind]
    back = WAYS[way](one)
    assert type(back) is type(one)
    assert repr(back) == repr(one)
    if kind == "box":
        assert back == one
    else:
        assert same(everything(back), everything(one))


def test_the_law_of_round_trips_rejects_its_mutant(explained):
    """An info that is one bit away, a label that is another, are not the same."""
    changed = dataclasses.replace(explained, info={**explained.info, "big": HARD["big"] + 1e-12})
    assert not same(everything(changed), everything(explained))
    changed = dataclasses.replace(explained, labels=("x", *explained.labels[1:]))
    assert not same(everything(changed), everything(explained))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(dataclasses.replace(explained, info={"why": lambda: None}))


def test_loaded_is_what_was_saved(explained, tmp_path):
    back = Explanation.load(explained.save(tmp_path / "out"))
    assert same(everything(back), everything(explained))
    assert same({name: back.info[name] for name in HARD}, HARD)
    assert back.info["fortran"].flags.f_contiguous
    again = Explanation.load(back.save(tmp_path / "again"))
    assert same(everything(again), everything(back))


def test_targets_checks_and_pictures_of_any_kind_are_loaded(explained, tmp_path):
    import ml_dtypes

    odd = dataclasses.replace(
        explained,
        targets=((1, np.float32(2)), {"of": np.arange(3)}),
        checks=tuple(
            {**one, "noise": np.float32(0.1), "of": np.arange(2)} for one in explained.checks
        ),
        pictures=tuple(one.astype(ml_dtypes.bfloat16) for one in explained.pictures),
        info={**explained.info, "pictures": 3, "signed": "yes", "info": {"deep": (1,)}},
    )
    back = Explanation.load(odd.save(tmp_path / "out"))
    assert same(everything(back), everything(odd))


def test_a_prediction_is_loaded_as_it_was_saved(returned, tmp_path):
    one = dataclasses.replace(
        returned["prediction"], info={**returned["prediction"].info, **HARD, "pictures": (1,)}
    )
    assert one.values.any()  # cached beside the fields once it was asked for
    back = FixationPrediction.load(one.save(tmp_path / "out"))
    assert same(everything(dataclasses.replace(back)), everything(dataclasses.replace(one)))


@pytest.mark.parametrize("value", HARD.values(), ids=HARD)
def test_encoding(value):
    arrays = {}
    assert same(decode(encode(value, arrays), arrays), value)
    assert same(decode(encode(value, None)), value)


def test_types_that_an_npz_has_no_name_for():
    import ml_dtypes

    array = np.arange(6).reshape(2, 3).astype(ml_dtypes.bfloat16)
    assert same(restored(*storable({"a": array})), {"a": array})
    assert same(decode(encode(array, None)), array)


def test_what_is_no_plain_data_becomes_so():
    class Own:
        pass

    result = plain({"model": models.flat(), "own": Own(), "how": len, "box": Box(1, 2, 3, 4),
                   "tensor": keras.ops.ones((2,)), "method": methods.GradCam(),
                   "masked": np.ma.masked_array([1, 2], [0, 1]),
                   "mixed": np.array([1, "a"], object), "many": {3, 1}})  # fmt: skip
    pickle.dumps(result)
    assert isinstance(result["model"], str)
    assert "0x" not in result["own"]
    assert result["how"] == "builtins.len"
    assert result["box"] == (1, 2, 3, 4)
    assert same(result["tensor"], np.ones(2, np.float32))
    assert result["method"]["is"] == "GradCam"
    assert same(result["masked"], {"data": np.array([1, 2]), "mask": np.array([False, True])})
    assert result["mixed"] == [1, "a"]
    assert result["many"] == [1, 3]


def test_it_holds_no_model():
    model = models.chain(name="forgotten")
    x = models.pictures(1)
    result = [
        explain(model, x, says({"of": model, "layers": [model.layers[0]], "f": model.call})),
        explain(model, x, methods.Occlusion(window=6, stride=6)),
    ]
    assert all(pickle.dumps(one) for one in result)
    held = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert held() is None


@pytest.mark.parametrize(
    "name", ["method", "seed", "parameters", "score", "model", "backend", "versions", "seconds",
             "batch_size", "preprocess", "model_sha256", "pictures", "signed", "checksums",
             "schema_version"],
)  # fmt: skip
def test_a_method_cannot_say_what_every_run_records(name):
    with pytest.raises(errors.MethodError, match=f"{name!r}"):
        explain(models.flat(), models.pictures(1), says({name: "another"}))


def test_hash_is_of_the_weights_that_made_the_map(tmp_path):
    model = models.chain(name="trained")
    x = models.pictures(1)
    before = explain(model, x)
    model.set_weights([one + 1e-3 for one in model.get_weights()])
    after = explain(model, x)
    assert before.model_sha256 != after.model_sha256
    assert Explanation.load(before.save(tmp_path / "out")).model_sha256 == before.model_sha256


def test_archives_keep_targets_and_checks(tmp_path):
    from keras_saliency._inputs.geometry import Geometry
    from keras_saliency._results import archive
    from keras_saliency._results.record import as_row, from_row

    record = archive.Record(
        "k", np.zeros((2, 2), np.float32), Geometry.fitted((2, 2), (2, 2)), 1.5, None,
        (1, np.float32(2), np.arange(3)), "label", {"noise": np.float32(0.1), "findings": ("a",)},
    )  # fmt: skip
    back = from_row(as_row(record), {"values": record.values})
    assert same(everything(back), everything(record))
    assert isinstance(Archive, type)
