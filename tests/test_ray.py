"""Ray Data on a local cluster: the maps of one process, also when a worker is killed."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path

import keras
import models
import numpy as np
import pytest
from PIL import Image
from test_predict_fixations import PHOTOS, stand_in

import keras_saliency.ray as ours
from keras_saliency import errors, explain, methods, predict_fixations

pytestmark = pytest.mark.long

COUNT = 24
EAGER = keras.config.backend() == "torch"
# A cluster takes ten seconds a test, and what it does with pictures is the same on all backends.
on_one_backend = pytest.mark.skipif(not EAGER, reason="runs under PyTorch")


def _without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    _without_ray(monkeypatch)
    with pytest.raises(errors.BackendError, match=r"pip install 'keras-saliency\[ray\]'"):
        ours.explain(None, "model.keras")


def test_actors_get_this_backend_and_as_many_threads_as_cpus():
    result = ours.actors(3, num_cpus=2)
    assert (result["concurrency"], result["num_cpus"]) == (3, 2)
    assert "num_gpus" not in result
    variables = result["runtime_env"]["env_vars"]
    assert variables["KERAS_BACKEND"] == keras.config.backend()
    assert {variables[name] for name in variables if name != "KERAS_BACKEND"} == {"2"}
    assert ours.actors(1, num_cpus=0.5)["runtime_env"]["env_vars"]["NPROC"] == "1"


# ---------------------------------------------------------------------- what an actor does


def _batch(**columns):
    return {"image": models.pictures(3), "id": np.arange(3), **columns}


def test_a_batch_keeps_its_columns_and_gets_ours():
    result = ours.Explaining(models.flat(), "grad_cam")(_batch())
    known = explain(models.flat(), models.pictures(3), "grad_cam")
    assert list(result) == ["image", "id", "saliency", "score", "target", "label", "findings"]
    np.testing.assert_allclose(result["saliency"], known.values, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(result["score"], known.scores, rtol=1e-4)
    assert result["target"].tolist() == list(known.targets)
    assert result["label"].tolist() == list(known.labels)
    assert result["findings"].tolist() == [""] * 3
    assert result["id"].tolist() == [0, 1, 2]


def test_targets_in_a_column_and_targets_that_are_no_class():
    result = ours.Explaining(models.flat(), target="class")(
        _batch(**{"class": np.array([4, 0, 2])})
    )
    known = explain(models.flat(), models.pictures(3), target=[4, 0, 2])
    np.testing.assert_allclose(result["saliency"], known.values, rtol=2e-4, atol=2e-6)
    assert result["target"].tolist() == [4, 0, 2]
    result = ours.Explaining(models.flat(), target=lambda y: y[:, 0] * 2)(_batch())
    assert result["target"].dtype.kind == "U"


def test_pictures_as_bytes_and_maps_in_their_own_frames(tmp_path):
    files = []
    for i in range(2):
        file = io.BytesIO()
        Image.fromarray(PHOTOS[i]).save(file, "PNG")
        files.append(file.getvalue())
    batch = {"file": np.array(files, object)}
    actor = ours.Explaining(models.flat(), column="file", preprocess=None, frame="picture")
    result = actor(batch)
    for one, photo in zip(result["saliency"], PHOTOS, strict=False):
        known = explain(models.flat(), photo, preprocess=None).maps()[0]
        np.testing.assert_allclose(one, known, rtol=2e-4, atol=2e-6)
    result = ours.Predicting(stand_in(), column="file")(batch)
    for one, photo in zip(result["saliency"], PHOTOS, strict=False):
        np.testing.assert_allclose(one, predict_fixations(photo, stand_in()).maps()[0], rtol=1e-4)
    with pytest.raises(errors.ImageError, match="Got 3 bytes that Pillow cannot read"):
        actor({"file": np.array([b"abc"], object)})


def test_no_column_is_lost():
    batch = _batch(label=np.array(["cat", "dog", "cat"]))
    with pytest.raises(
        errors.ImageError, match=r"column 'label'\. .* has one already.*rename_columns"
    ):
        ours.Explaining(models.flat())(batch)
    batch = _batch(target=np.array([4, 0, 2]))
    assert ours.Explaining(models.flat(), target="target")(batch)["target"].tolist() == [4, 0, 2]
    with pytest.raises(errors.ImageError, match="'saliency'"):
        ours.Predicting(stand_in())({"image": PHOTOS[:1], "saliency": np.zeros(1)})


def test_what_is_wrong_is_said():
    with pytest.raises(errors.ImageError, match=r"column is called 'imag'.* Did you mean 'image'"):
        ours.Explaining(models.flat(), column="imag")(_batch())
    with pytest.raises(errors.MethodError, match="frame='own'"):
        ours.Explaining(models.flat(), frame="own")
    with pytest.raises(errors.ModelFileError, match=r"absent\.keras"):
        ours.Explaining("absent.keras")
    with pytest.raises(errors.ModelError, match="Keras 3 model"):
        ours.Explaining(lambda: 3)
    other = next(name for name in ("jax", "torch") if name != keras.config.backend())
    with pytest.raises(errors.BackendError, match=f"Expected the backend '{other}'"):
        ours.Explaining(ours.Shipped(models.flat, other))


def test_a_model_comes_as_a_path_or_is_made(tmp_path):
    path = tmp_path / "model.keras"
    models.flat().save(path)
    known = explain(models.flat(), models.pictures(3)).values
    for model in (path, str(path), models.flat, ours.ship(path), ours.ship(models.flat)):
        result = ours.Explaining(model)(_batch())
        np.testing.assert_allclose(result["saliency"], known, rtol=2e-4, atol=2e-6)


# ---------------------------------------------------------------------- a cluster of two


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    pytest.importorskip("ray.data", reason="needs the extra 'ray'")
    here = Path(__file__).parent
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=150 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


def _pictures(ray):
    rows = [{"image": one, "id": i} for i, one in enumerate(models.pictures(COUNT))]
    return ray.data.from_items(rows, override_num_blocks=6)


def _in_order(ds):
    rows = sorted(ds.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(COUNT)), "lost or doubled"
    return rows


class _Noting:
    """Notes in files which processes work, and kills the one that is asked to."""

    def __init__(self, folder, kill=False):
        self.folder, self.kill = str(folder), kill

    def __call__(self, batch):
        mark = Path(self.folder) / "killed"
        (Path(self.folder) / f"process {os.getpid()}").touch()
        deadline = time.monotonic() + 60  # or the first would have done all before the second came
        while len(list(Path(self.folder).glob("process *"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        threads = os.environ["OMP_NUM_THREADS"], os.environ["NPROC"]
        (Path(self.folder) / "threads").write_text(" ".join(threads))
        if self.kill and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


@pytest.mark.parametrize("kill", [False, True] if EAGER else [True])
def test_two_actors_give_the_maps_of_one_process(ray, tmp_path, kill):
    pixels = [
        {"image": one, "id": i}
        for i, one in enumerate(
            np.random.default_rng(0).integers(0, 256, (COUNT, 12, 12, 3), "uint8")
        )
    ]
    ds = ray.data.from_items(pixels, override_num_blocks=6)
    result = ours.explain(
        ds, models.flat(), "grad_cam", preprocess=_Noting(tmp_path, kill), batch_size=1,
        concurrency=2,
    )  # fmt: skip
    rows = _in_order(result)
    known = explain(
        models.flat(), [row["image"] for row in pixels], "grad_cam", preprocess=lambda x: x
    )
    np.testing.assert_allclose(
        [row["saliency"] for row in rows], known.values, rtol=2e-4, atol=2e-6
    )
    np.testing.assert_allclose([row["score"] for row in rows], known.scores, rtol=1e-4)
    assert [row["target"] for row in rows] == list(known.targets)
    processes = {path.name for path in tmp_path.glob("process *")}
    assert len(processes) >= 2 + kill
    assert f"process {os.getpid()}" not in processes
    assert (tmp_path / "killed").exists() == kill
    assert (tmp_path / "threads").read_text() == "1 1"


@on_one_backend
def test_a_method_and_a_callable_travel(ray):
    method = methods.SmoothGrad("gradient", samples=2)
    result = ours.explain(_pictures(ray), models.flat, method, seed=3, target=1)
    known = explain(models.flat(), models.pictures(COUNT), method, seed=3, target=1)
    saliency = [row["saliency"] for row in _in_order(result)]
    np.testing.assert_allclose(saliency, known.values, rtol=2e-4, atol=2e-6)


@on_one_backend
def test_map_batches_takes_the_class_itself(ray):
    result = _pictures(ray).map_batches(
        ours.Explaining,
        fn_constructor_args=[ours.ship(models.flat())],
        batch_size=8,
        **ours.actors(1),
    )
    known = explain(models.flat(), models.pictures(COUNT))
    saliency = [row["saliency"] for row in _in_order(result)]
    np.testing.assert_allclose(saliency, known.values, rtol=2e-4, atol=2e-6)


@on_one_backend
def test_fixations_of_a_data_set(ray):
    rows = [{"image": PHOTOS[i % 2], "id": i} for i in range(COUNT)]
    ds = ray.data.from_items(rows, override_num_blocks=4)
    model = stand_in()
    known = [predict_fixations(photo, model).maps()[0] for photo in PHOTOS[:2]]
    for i, row in enumerate(_in_order(ours.predict_fixations(ds, model, concurrency=2))):
        np.testing.assert_allclose(row["saliency"], known[i % 2], rtol=1e-4)


@on_one_backend
def test_a_broken_picture_ends_the_run_with_its_message(ray):
    ds = ray.data.from_items([{"image": "absent.jpg", "id": 0}])
    with pytest.raises(Exception, match=r"absent\.jpg"):
        ours.explain(ds, models.flat).take_all()
