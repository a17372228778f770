"""Training: it learns, and a kill at any moment changes nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_encoder
from recordings import disc

from keras_saliency import errors
from keras_saliency.fixation import FixationModel, checkpoint, data, load_model, train
from keras_saliency.fixation.checkpoint import CachedFeatures
from keras_saliency.fixation.model import PRESETS, Preset, Stage, find

CANVAS = (64, 96)
RECIPE = Preset(
    build={"encoder": "tiny", "decoder": "readout", "filters": 8, "dropout": 0.1},
    stages=(
        Stage("readout", encoder=False, epochs=2, rate=3e-3, rise=2),
        Stage("all", encoder=True, epochs=2, rate=1e-3, rise=2, ema=0.8),
    ),
    canvases=(CANVAS,),
    side=96,
    batch_size=4,
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(tiny_encoder.ENCODERS, "tiny", tiny_encoder.TINY)


def feed(count=12, **options):
    options = {"augment": data.Augment(), "shuffle": True, **options}
    return data.FixationBatches([disc(i) for i in range(count)], [CANVAS], 4, **options)


def checked(first=100):
    recordings = [disc(first + i) for i in range(4)]
    return data.FixationBatches(recordings, [CANVAS], 4)


def run(folder, recipe=RECIPE, batches=None, **options):
    options = {"weights": None, **options}
    return train(recipe, batches or feed(), checked(), folder, **options)


def weights(model_folder):
    with np.load(model_folder / "weights.npz") as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def assert_same(one, other):
    """The same weights, to a rounding of half floats: threads add up in any order."""
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol=2e-3, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    tiny_encoder.register()
    folder = tmp_path_factory.mktemp("whole")
    lines = []
    model = run(folder, tell=lines.append)
    del tiny_encoder.ENCODERS["tiny"]
    return model, lines


# ---------------------------------------------------------------------- what is left behind


@pytest.mark.any_backend
def test_it_leaves_a_model_a_history_and_a_card(uninterrupted):
    model, lines = uninterrupted
    folder = model.parent
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("readout", "1"), ("readout", "2"), ("all", "1"), ("all", "2"),
    ]  # fmt: skip
    assert len(lines) == 4
    assert lines[0].startswith("readout, epoch 1 of 2: loss ")
    assert (folder / "history.png").read_bytes()[1:4] == b"PNG"
    manifest = json.loads((model / "model.json").read_text())
    assert manifest["training"]["recipe"]["batch_size"] == 4
    assert manifest["side"] == 96
    assert "best validation loss" in (model / "README.md").read_text()
    assert not (folder / "features").exists()  # they are of no more use
    assert load_model(model).output_shape == (None, None, None, 1)


def test_it_learns():
    recipe = Preset(
        build={**RECIPE.build, "dropout": 0.0},
        stages=(Stage("all", encoder=True, epochs=15, rate=1e-2, rise=5, patience=99),),
        canvases=(CANVAS,),
        batch_size=4,
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = run(Path(folder), recipe, feed(8, augment=None))
        rows = json.loads((model / "model.json").read_text())["training"]["history"]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


# ---------------------------------------------------------------------- killed and gone on


class Killed(BaseException):
    """What no one catches."""


class Mortal:
    """Batches that die once, when the given batch of the given epoch is asked for."""

    def __init__(self, batches, epoch, index, stage):
        self.batches, self.left = batches, (epoch, index)
        self.stage = stage

    def without_windows(self):
        inner = self.batches.without_windows()
        return Mortal(inner, *self.left, "readout") if self.stage == "readout" else inner

    def __getattr__(self, name):
        return getattr(self.batches, name)

    @property
    def epoch(self):
        return self.batches.epoch

    @epoch.setter
    def epoch(self, epoch):
        self.batches.epoch = epoch

    def __len__(self):
        return len(self.batches)

    def views(self, index):
        self._die(index)
        return self.batches.views(index)

    def __getitem__(self, index):
        self._die(index)
        return self.batches[index]

    def _die(self, index):
        if (self.epoch, index) == self.left:
            raise Killed


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("stage", "epoch", "index", "every"),  # every: seconds between checkpoints within an epoch
    [("readout", 0, 1, 1e9), ("readout", 1, 2, 0.0), ("all", 0, 0, 1e9), ("all", 1, 2, 0.0)],
)
def test_gone_on_after_a_kill_is_the_same(tmp_path, uninterrupted, stage, epoch, index, every):
    with pytest.raises(Killed):
        run(tmp_path, batches=Mortal(feed(), epoch, index, stage), every=every)
    keras.utils.set_random_seed(99)  # a new process has other random states
    lines = []
    assert_same(run(tmp_path, every=every, tell=lines.append), uninterrupted[0])
    if every == 0.0 or epoch:
        assert lines[0].startswith("resuming from")


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import test_fixation_training as t
t.tiny_encoder.register()
t.run(t.Path(sys.argv[1]), every=0.0)
print("done", flush=True)
"""


@pytest.mark.any_backend
def test_gone_on_after_a_real_kill(tmp_path, uninterrupted):
    command = [sys.executable, "-c", SCRIPT.format(tests=str(Path(__file__).parent)), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not (tmp_path / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    assert b"done" not in said
    assert_same(run(tmp_path, every=0.0), uninterrupted[0])


@pytest.mark.any_backend
def test_another_seed_is_another_training(tmp_path, uninterrupted):
    """The mutant of the law above: what is compared can differ."""
    with pytest.raises(AssertionError):
        assert_same(run(tmp_path, seed=1), uninterrupted[0])


@pytest.mark.any_backend
def test_what_is_done_is_not_done_again(tmp_path, uninterrupted):
    lines = []
    before = weights(uninterrupted[0])
    again = run(uninterrupted[0].parent, tell=lines.append)
    assert len(lines) == 1
    assert weights(again).keys() == before.keys()


@pytest.mark.any_backend
def test_early_stopping_keeps_the_best(tmp_path):
    recipe = Preset(
        build=RECIPE.build,
        stages=(Stage("all", encoder=True, epochs=9, rate=3.0, rise=1, patience=1),),
        canvases=(CANVAS,),
        batch_size=4,
    )  # at such a rate nothing gets better for long
    model = run(tmp_path, recipe)
    rows = json.loads((model / "model.json").read_text())["training"]["history"]
    best = min(range(len(rows)), key=lambda i: rows[i]["validation_loss"])
    assert len(rows) == best + 2 < 9


@pytest.mark.any_backend
def test_a_stage_that_makes_it_worse_changes_nothing(tmp_path):
    first = Stage("good", encoder=True, epochs=3, rate=3e-3, rise=2)
    worse = Stage("bad", encoder=True, epochs=9, rate=3.0, rise=1, patience=2)
    build, canvases = RECIPE.build, (CANVAS,)
    folders = []
    for name, stages in (("one", (first,)), ("two", (first, worse))):
        recipe = Preset(build=build, stages=stages, canvases=canvases, batch_size=4)
        folders.append(run(tmp_path / name, recipe))
    rows = json.loads((folders[1] / "model.json").read_text())["training"]["history"]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert best["stage"] == "good"
    assert len(rows) == 3 + worse.patience
    assert_same(*folders)


@pytest.mark.any_backend
def test_a_kill_between_checkpoint_and_history_loses_no_row(tmp_path, monkeypatch):
    recipe = Preset(build=RECIPE.build, stages=RECIPE.stages[1:], canvases=(CANVAS,), batch_size=4)

    def die(_, rows):
        if len(rows) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("keras_saliency.fixation.checkpoint.write", die)
        with pytest.raises(Killed):
            run(tmp_path, recipe)
    run(tmp_path, recipe)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


# ---------------------------------------------------------------------- features cached on disk


def features(folder, seed=0, first=0):
    keras.utils.set_random_seed(seed)
    model = FixationModel("tiny", filters=8, weights=None, input_shape=(None, None, 3))
    encoder = model.get_layer("encoder")
    for variable in encoder.trainable_weights:
        variable.assign(variable.value * (1 + seed))
    batches = data.FixationBatches([disc(first + i) for i in range(3)], [CANVAS], 3)
    (*taps, mask), truth = CachedFeatures(model, batches, folder, "test")[0]
    pictures, wanted = batches[0]
    pixels, _ = model.get_layer("pixels")(pictures)
    for tap, direct in zip(taps, encoder(pixels), strict=True):
        direct = keras.ops.convert_to_numpy(direct)
        np.testing.assert_allclose(tap, direct, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(mask[..., 0], ~np.isnan(pictures[..., 0]))
    np.testing.assert_array_equal(truth, wanted)


@pytest.mark.any_backend
def test_features_are_those_of_this_encoder_and_these_pictures(tmp_path):
    features(tmp_path / "f")
    features(tmp_path / "f", seed=1)  # of another encoder, in the same place
    features(tmp_path / "f", seed=1, first=50)  # of other pictures of the same size


@pytest.mark.any_backend
def test_features_are_not_computed_twice(tmp_path, monkeypatch):
    features(tmp_path / "f")
    monkeypatch.setattr("keras_saliency.fixation.checkpoint._compute", None)
    features(tmp_path / "f")


@pytest.mark.any_backend
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_features_is_reported(tmp_path, monkeypatch):
    begun = checkpoint._begun

    def full(path, count, tap):
        begun(path, count, tap).close()
        return open("/dev/full", "wb", buffering=0)

    monkeypatch.setattr(checkpoint, "_begun", full)
    with pytest.raises(errors.SaveError, match="No space left"):
        features(tmp_path / "f")


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.any_backend
def test_other_pictures_do_not_go_on(uninterrupted):
    with pytest.raises(errors.FixationModelError, match="another dataset"):
        run(uninterrupted[0].parent, batches=feed(8))


@pytest.mark.any_backend
def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.SaveError, match="File exists"):
        run(tmp_path / "file")


@pytest.mark.any_backend
def test_another_recipe_does_not_go_on(uninterrupted):
    other = Preset(build=RECIPE.build, stages=RECIPE.stages, batch_size=2)
    with pytest.raises(errors.FixationModelError, match="another recipe"):
        run(uninterrupted[0].parent, other)


@pytest.mark.any_backend
def test_a_broken_checkpoint_is_reported(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(errors.FixationModelError, match="is broken"):
        run(tmp_path)


@pytest.mark.any_backend
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, {"epoch": 1}, {"model": [np.ones(3)]})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(errors.SaveError, match=r"No space left.*resumes from the last checkpoint"):
        checkpoint.save(path, {"epoch": 2}, {"model": [np.zeros(3)]})
    assert checkpoint.load(path)[0] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]


@pytest.mark.any_backend
def test_a_loss_that_is_not_finite_is_reported(tmp_path):
    class Broken(type(feed())):
        def __getitem__(self, index):
            pictures, truth = super().__getitem__(index)
            return pictures, truth * np.nan

    broken = Broken([disc(i) for i in range(4)], [CANVAS], 4, shuffle=True)
    recipe = Preset(build=RECIPE.build, stages=RECIPE.stages[1:], batch_size=4)
    with pytest.raises(errors.FixationModelError, match=r"Expected a finite loss in .* Got nan"):
        run(tmp_path, recipe, broken)


@pytest.mark.any_backend
def test_presets_are_listed():
    assert find("default") is PRESETS["default"]
    with pytest.raises(errors.FixationModelError, match="Did you mean 'resnet50'"):
        find("resnet")
