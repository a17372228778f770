"""CAT2000, SALICON and MIT1003: small trees in their form, prepared by TFDS and read back.

Nothing here depends on Keras' backend and TFDS' own test case takes seconds, so it runs under
TensorFlow only; preparing and reading without TensorFlow runs under JAX only.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import io

pytest.importorskip("tensorflow_datasets", reason="needs the extra 'data'")
pytest.importorskip("array_record", reason="needs the extra 'data'")

from keras_saliency.errors import FixationError
from keras_saliency.fixation.data import CAT2000, MIT1003, SALICON, read_prepared

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
BACKEND = keras.backend.backend()
under_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="once is enough")
under_jax = pytest.mark.skipif(BACKEND != "jax", reason="once is enough")

SIZE = (24, 32)
POINTS = [(0, 0), (23, 31), (5, 7), (5, 9)]  # (row, column) of fixated pixels


def _picture(file, seed, size=SIZE, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", **options)


def _mat(file, **variables):
    file.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(file, variables)


def cat2000(root):
    """The tree, with its traps: decoys, a spelling, odd numbers, a wrong EXIF tag."""
    located = np.zeros(SIZE, np.uint8)
    located[tuple(np.transpose(POINTS))] = 1
    for i, name in enumerate(("Action/001", "Action/117", "Satelite/002", "Satelite/004")):
        _picture(root / f"trainSet/Stimuli/{name}.jpg", i)
        _mat(root / f"trainSet/FIXATIONLOCS/{name}.mat", fixLocs=located)
        category, number = name.split("/")
        _picture(root / f"trainSet/Stimuli/{category}/Output/{number}_SaliencyMap.jpg", i)
    _picture(root / "trainSet/Stimuli/Action/001_SaliencyMap.jpg", 9)
    (root / "trainSet/Stimuli/Action/Thumbs.db").write_text("not a picture")
    exif = Image.Exif()
    exif[274] = 6
    _picture(root / "testSet/Stimuli/Pattern/134.jpg", 10, exif=exif)
    _picture(root / "testSet/Stimuli/Pattern/Output/134_SaliencyMap.jpg", 10)
    return root


def salicon(root):
    kind = [("location", "O"), ("timestamp", "O"), ("fixations", "O")]
    one_based = np.array([(x + 1, y + 1) for y, x in POINTS], np.uint16)
    gaze = np.zeros((1, 3), kind)
    for i, fixations in enumerate((one_based[:3], np.zeros((0, 0)), one_based[3:])):
        gaze[0, i] = (np.zeros((9, 2)), np.arange(9), fixations)
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for i in range(count):
            name = f"COCO_{split}2014_{i:012d}"
            _picture(root / f"images/{split}/{name}.jpg", 10 * count + i)
            if split != "test":
                file = root / f"fixations/{split}/{name}.mat"
                _mat(file, gaze=gaze, resolution=np.array([SIZE]), image=name)
    return root


def mit1003(root):
    (root / "ALLFIXATIONMAPS").mkdir(parents=True)
    for i, size in enumerate((SIZE, (40, 24))):
        _picture(root / f"ALLSTIMULI/i{i}.jpeg", i, size)
        points = np.zeros(size, np.uint8)
        points[tuple(np.transpose([(min(y, 22), min(x, 22)) for y, x in POINTS]))] = 255
        # At MATLAB's quality a white pixel rings: others rise, it sinks.
        for kind in ("fixPts", "fixMap"):
            Image.fromarray(points).save(root / f"ALLFIXATIONMAPS/i{i}_{kind}.jpg", quality=75)
    (root / "ALLSTIMULI/._i0.jpeg").write_bytes(b"a Mac was here")
    return root


BUILDERS = {
    "cat2000": (CAT2000, cat2000),
    "salicon": (SALICON, salicon),
    "mit1003": (MIT1003, mit1003),
}


def _raw(builder, tree, tmp_path, split="train"):
    """The examples that a builder makes of a tree, by key, without writing them."""
    manager = types.SimpleNamespace(manual_dir=os.fspath(tree))
    return dict(builder(data_dir=tmp_path / "prepared")._split_generators(manager)[split])


def _corners(one):
    return sorted(zip(one["y"].tolist(), one["x"].tolist(), strict=True))


CENTRES = sorted((y + 0.5, x + 0.5) for y, x in POINTS)


@under_tensorflow
def test_cat2000_is_read_past_its_traps(tmp_path):
    tree = cat2000(tmp_path / "tree")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = _raw(CAT2000, tree, tmp_path)
        test = _raw(CAT2000, tree, tmp_path, "test")
    assert list(train) == ["Action/001", "Action/117", "Satelite/002", "Satelite/004"]
    for name, one in train.items():
        assert (one["category"], one["sigma"], len(one["subject"])) == (name.split("/")[0], 24, 0)
        assert _corners(one) == CENTRES
        assert one["picture"] == (tree / f"trainSet/Stimuli/{name}.jpg").read_bytes()
    [turned] = test.values()
    assert (turned["height"], turned["width"], len(turned["y"])) == (*SIZE, 0)


@under_tensorflow
@pytest.mark.parametrize("place", [".", "CAT2000/trainSet", "trainSet/trainSet"])
def test_cat2000_unpacked_elsewhere(tmp_path, place):
    tree = cat2000(tmp_path / "tree")
    (tmp_path / "other" / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(tree / "trainSet", tmp_path / "other" / place, dirs_exist_ok=True)
    assert len(_raw(CAT2000, tmp_path / "other", tmp_path)) == 4


@under_tensorflow
def test_salicon_counts_from_one(tmp_path):
    for i, one in enumerate(_raw(SALICON, salicon(tmp_path / "tree"), tmp_path).values()):
        assert _corners(one) == CENTRES
        assert one["subject"].tolist() == [3 * i, 3 * i, 3 * i, 3 * i + 2]  # the second is empty
        assert (one["sigma"], one["category"]) == (19, "")
    [test] = _raw(SALICON, tmp_path / "tree", tmp_path, "test").values()
    assert len(test["y"]) == 0


@under_tensorflow
def test_mit1003_finds_white_pixels_in_a_jpeg(tmp_path):
    train = _raw(MIT1003, mit1003(tmp_path / "tree"), tmp_path)
    assert list(train) == ["i0", "i1"]
    for one in train.values():
        assert _corners(one) == sorted((min(y, 22) + 0.5, min(x, 22) + 0.5) for y, x in POINTS)
        assert (one["sigma"], len(one["subject"])) == (24, 0)


def _cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _mat_of(size=SIZE, name="fixLocs", value=0):
    return lambda file: _mat(file, **{name: np.full(size, value, np.uint8)})


def _other(file):
    _picture(file, 0, (9, 9))


CAT, SAL, MIT = (CAT2000, cat2000), (SALICON, salicon), (MIT1003, mit1003)
LOCS, GAZE = (
    "trainSet/FIXATIONLOCS/Action/117.mat",
    "fixations/train/COCO_train2014_000000000001.mat",
)


@under_tensorflow
@pytest.mark.parametrize(
    ("which", "file", "change", "said"),
    [
        (CAT, LOCS, Path.unlink, "Action/117 (No such file: '117.mat')"),
        (CAT, LOCS, _cut, "Action/117 (117.mat is broken: "),
        (CAT, LOCS, _mat_of(name="other"), "Action/117 (117.mat has no 'fixLocs' but other)"),
        (CAT, LOCS, _mat_of((9, 9)), "fixLocs of shape (9, 9), the picture's is (24, 32)"),
        (CAT, LOCS, _mat_of(), "Action/117 (no fixation)"),
        (CAT, "trainSet/Stimuli/Action/117.jpg", _cut, "Action/117 (It is broken: "),
        (SAL, GAZE, Path.unlink, "000000000001 (No such file: 'COCO_train2014_000000000001.mat')"),
        (SAL, GAZE, _mat_of(name="gaze"), "without the field 'fixations'"),
        (SAL, "images/train/COCO_train2014_000000000001.jpg", _cut, "000000000001 (It is broken: "),
        (MIT, "ALLFIXATIONMAPS/i1_fixPts.jpg", Path.unlink, "i1_fixPts.jpg: No such file"),
        (MIT, "ALLFIXATIONMAPS/i1_fixPts.jpg", _other, "i1_fixPts.jpg: Got 9x9"),
        (MIT, "ALLSTIMULI/i1.jpeg", _cut, "i1 (It is broken: "),
    ],
)  # fmt: skip
def test_what_is_bad_is_left_out_and_named_once(tmp_path, which, file, change, said):
    builder, make = which
    tree = make(tmp_path / "tree")
    whole = len(_raw(builder, tree, tmp_path))
    change(tree / file)
    with pytest.warns(UserWarning, match=f"1 of {whole} pictures was left out") as warned:
        left = _raw(builder, tree, tmp_path)
    assert len(left) == whole - 1
    assert len(warned) == 1
    assert said in str(warned[0].message)


@under_tensorflow
def test_fixations_outside_are_counted(tmp_path):
    tree = salicon(tmp_path / "tree")
    gaze = io.loadmat(tree / GAZE)["gaze"]
    gaze["fixations"][0, 0] = np.array([[33, 1], [1, 25], [0, 1], [32, 24]], np.uint16)
    _mat(tree / GAZE, gaze=gaze)
    with pytest.warns(UserWarning, match=r"3 fixations were left out.*000000000001 \(3\)"):
        one = _raw(SALICON, tree, tmp_path)["COCO_train2014_000000000001"]
    assert _corners(one) == [(5.5, 9.5), (23.5, 31.5)]
    assert one["subject"].tolist() == [3, 5]


def _zip_instead(tree):
    shutil.make_archive(tree / "trainSet", "zip", tree / "trainSet")
    shutil.rmtree(tree / "trainSet")


def _empty(folder, pattern):
    def change(tree):
        for file in (tree / folder).glob(pattern):
            file.unlink()

    return change


def _remove(folder):
    return lambda tree: shutil.rmtree(tree / folder)


@under_tensorflow
@pytest.mark.parametrize(
    ("which", "change", "message"),
    [
        (CAT, _zip_instead, "it holds 'testSet/', 'trainSet.zip'. Unpack 'trainSet.zip'"),
        (CAT, _remove("trainSet/Stimuli"), "There is no 'Stimuli' in it; it holds 'FIXATIONLOCS/'"),
        (CAT, _empty("trainSet/Stimuli/Satelite", "*.jpg"), "No picture is in Satelite"),
        (CAT, _empty("testSet/Stimuli/Pattern", "*.jpg"), "No picture is in Pattern"),
        (CAT, _remove("trainSet/FIXATIONLOCS/Action"), "There is no FIXATIONLOCS/Action"),
        (SAL, _remove("fixations/val"), "no 'fixations/val' in it"),
        (SAL, _remove("fixations"), "no 'fixations/train' and no 'fixations/val' in it"),
        (SAL, _empty("images/val", "*.jpg"), r"in '\S+val'. It has no .jpg but holds nothing"),
        (MIT, _remove("ALLFIXATIONMAPS"), "no 'ALLFIXATIONMAPS' in it; it holds 'ALLSTIMULI/'"),
        (MIT, _empty("ALLSTIMULI", "i*.jpeg"), "It has no .jpeg but holds '._i0.jpeg'"),
    ],
)  # fmt: skip
def test_a_wrong_tree_is_refused(tmp_path, which, change, message):
    builder, make = which
    tree = make(tmp_path / "tree")
    change(tree)
    with pytest.raises(FixationError, match=message):
        _raw(builder, tree, tmp_path)


@under_tensorflow
def test_prepared_data_is_read_back(tmp_path):
    import tensorflow_datasets as tfds

    tree = cat2000(tmp_path / "tree")
    builder = CAT2000(data_dir=tmp_path / "prepared")
    with pytest.raises(FixationError, match=r"not prepared.*Call download_and_prepare"):
        read_prepared(builder, "train")
    config = tfds.download.DownloadConfig(manual_dir=tree)
    builder.download_and_prepare(download_config=config)
    raw = _raw(CAT2000, tree, tmp_path)
    for given in (builder, "cat2000", builder.data_path):
        back = read_prepared(given, "train", tmp_path / "prepared")
        assert {r.name for r in back} == set(raw)
    for one in back:
        assert _corners(vars(one)) == CENTRES
        assert (one.split, one.dataset, one.sigma, one.subject) == ("train", "cat2000", 24, None)
        assert one.picture() == raw[one.name]["picture"]
        stored = Image.open(tree / f"trainSet/Stimuli/{one.name}.jpg")
        np.testing.assert_array_equal(one.pixels(), np.asarray(stored))
    both = read_prepared(builder, "train[:50%] + test")
    assert [r.split for r in both] == ["train", "train", "test"]
    assert both[2].pixels().shape == (*SIZE, 3)
    assert len(both[2].y) == 0
    with pytest.raises(FixationError, match=r"Its splits: train, test. Did you mean 'train'"):
        read_prepared(builder, "trains")
    with pytest.raises(FixationError, match=r"Cannot read the split.*TFDS reports: "):
        read_prepared(builder, "train[:x]")
    with pytest.raises(FixationError, match="Did you mean 'cat2000'"):
        read_prepared("cat200", "train")
    with pytest.raises(FixationError, match="no folder that TFDS has prepared"):
        read_prepared(tmp_path, "train")
    other = CAT2000(data_dir=tmp_path / "other", file_format="tfrecord")
    other.download_and_prepare(download_config=config)
    with pytest.raises(FixationError, match="prepared as tfrecord, which has no random access"):
        read_prepared(other, "train")


@under_jax
def test_preparing_and_reading_need_no_tensorflow(tmp_path):
    cat2000(tmp_path / "tree")
    code = f"""
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *rest):  # as where it is not installed
        hidden = name.split(".")[0] == "tensorflow"
        return None if hidden else self.finder.find_spec(name, *rest)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
try:
    import tensorflow
except ModuleNotFoundError:
    print("hidden")
from keras_saliency.fixation.data import CAT2000, read_prepared
import tensorflow_datasets as tfds
builder = CAT2000(data_dir={str(tmp_path / "prepared")!r})
builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir={str(tmp_path / "tree")!r})
)
for one in sorted(read_prepared("cat2000", "train", {str(tmp_path / "prepared")!r}), key=str):
    print(one.name, one.pixels().shape, len(one.y), one.density().sum().round(6))
print([name for name in ("tensorflow", "keras", "jax", "torch") if name in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.strip().splitlines()
    assert lines[0] == "hidden"
    assert lines[-5:] == [
        "Action/001 (24, 32, 3) 4 1.0", "Action/117 (24, 32, 3) 4 1.0",
        "Satelite/002 (24, 32, 3) 4 1.0", "Satelite/004 (24, 32, 3) 4 1.0", "[]",
    ]  # fmt: skip


@under_jax
def test_the_import_is_light_and_a_missing_package_is_named():
    code = """
import sys
import keras_saliency.fixation.data
dir(keras_saliency.fixation.data)
print([m for m in ("numpy", "PIL", "scipy", "tensorflow_datasets") if m in sys.modules])
sys.modules["tensorflow_datasets"] = None
try:
    keras_saliency.fixation.data.read_prepared("cat2000", "train")
except ValueError as error:
    print(type(error).__name__, error)
try:
    keras_saliency.fixation.data.CAT2000
except ValueError as error:
    print(type(error).__name__, error)
keras_saliency.fixation.data.read_table  # needs none of it
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded, *errors = run.stdout.strip().splitlines()
    assert loaded == "[]"
    assert len(errors) == 2
    for error in errors:
        assert error.startswith("FixationError")
        assert 'pip install "keras-saliency[data]"' in error


if BACKEND == "tensorflow":
    import tensorflow_datasets as tfds

    class _Case(tfds.testing.DatasetBuilderTestCase):
        """TFDS' own test of a builder; its tree is made here instead of being committed."""

        @classmethod
        def setUpClass(cls):
            cls.DATASET_CLASS, make = BUILDERS[cls.NAME]
            cls.EXAMPLE_DIR = os.fspath(make(Path(tempfile.mkdtemp(prefix=cls.NAME)) / "tree"))
            super().setUpClass()

        @classmethod
        def tearDownClass(cls):
            super().tearDownClass()
            shutil.rmtree(Path(cls.EXAMPLE_DIR).parent)

        def _make_builder(self, config=None):
            # Of the two formats, the one that the test case can read: it uses tf.data.
            return self.dataset_class(data_dir=self.tmp_dir, config=config, file_format="tfrecord")

    class TestCAT2000(_Case):
        NAME, SPLITS = "cat2000", {"train": 4, "test": 1}

    class TestSALICON(_Case):
        NAME, SPLITS = "salicon", {"train": 3, "val": 2, "test": 1}

    class TestMIT1003(_Case):
        NAME, SPLITS = "mit1003", {"train": 2}

    del _Case  # or it is collected too
