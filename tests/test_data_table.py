"""Tables of fixations: what is read, what is refused, what is left out and said."""

import csv
import dataclasses
import pickle
import shutil
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from keras_saliency.errors import FixationError, SaveError
from keras_saliency.fixation.data import Recording, read_table, write_table

pytestmark = pytest.mark.no_model

SIZES = [(20, 30), (24, 16), (10, 10)]


@pytest.fixture
def recordings():
    rng = np.random.default_rng(0)
    made = []
    for i, (h, w) in enumerate(SIZES):
        n = 4 + i
        made.append(
            Recording(
                name=f"p{i}", dataset="lab", split="val" if i == 2 else "train",
                picture=rng.integers(0, 256, (h, w, 3), np.uint8), size=(h, w),
                y=rng.uniform(0, h, n).astype("float32"), x=rng.uniform(0, w, n).astype("float32"),
                sigma=1.5 + i, subject=rng.integers(0, 3, n), category="Art" if i else None,
            )
        )  # fmt: skip
    return made


@pytest.fixture
def table(recordings, tmp_path):
    return write_table(recordings, tmp_path / "lab")


def _edit(table, change):
    """Apply ``change(rows)`` to the index."""
    with (table / "index.csv").open() as text:
        rows = list(csv.DictReader(text))
    rows = change(rows) or rows
    with (table / "index.csv").open("w", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _arrays(table, **changed):
    with np.load(table / "fixations.npz") as loaded:
        arrays = {**loaded, **changed}
    np.savez(table / "fixations.npz", **{k: v for k, v in arrays.items() if v is not None})


def _drop(*columns):
    return lambda rows: [{k: v for k, v in row.items() if k not in columns} for row in rows]


def test_a_table_comes_back_as_it_was_written(recordings, table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = read_table(table, verify=True)
    assert len(back) == len(recordings)
    for one, other in zip(recordings, back, strict=True):
        for name in ("name", "dataset", "split", "size", "sigma", "category"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("y", "x", "subject"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(other.pixels(), one.picture)
        assert other.density().sum() == pytest.approx(1)
    assert pickle.loads(pickle.dumps(back))[0].pixels().shape == (20, 30, 3)


def test_the_folder_appears_whole_or_not_at_all(recordings, tmp_path):
    bad = dataclasses.replace(recordings[2], x=recordings[2].x + 99)
    with pytest.raises(FixationError, match="6 of 6 fixations of lab/p2 lie outside its 10x10"):
        write_table([*recordings[:2], bad], tmp_path / "a" / "lab")
    assert not any((tmp_path / "a").iterdir())
    (tmp_path / "a" / "mine").write_text("x")
    with pytest.raises(SaveError, match="Files are there already"):
        write_table(recordings, tmp_path / "a")
    with pytest.raises(SaveError, match=r"Name a place|Make room"):
        write_table(recordings, tmp_path / "a" / "mine" / "lab")


def test_the_disk_fills_up(recordings, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(SaveError, match="No space left on device"):
        write_table(recordings, tmp_path / "lab")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../p"}, "cannot be part of a file's name"),
        ({"name": "p0"}, "Two recordings of 'lab' are named 'p0'"),
        ({"subject": np.zeros(2, int)}, r"y of shape \(5,\), x \(5,\), subject \(2,\)"),
        ({"size": (24, 99)}, r"shape \(24, 16, 3\) and dtype uint8"),
    ],
)
def test_a_wrong_recording_is_not_written(recordings, tmp_path, change, message):
    bad = dataclasses.replace(recordings[1], **change)
    with pytest.raises(FixationError, match=message):
        write_table([recordings[0], bad], tmp_path / "lab")
    with pytest.raises(FixationError, match="Got no recording"):
        write_table([], tmp_path / "lab")


def test_dataset_and_split_choose(table):
    assert [r.name for r in read_table(table, split="train")] == ["p0", "p1"]
    assert [r.name for r in read_table(table, ["lab"], {"val", "train"})] == ["p0", "p1", "p2"]
    with pytest.raises(FixationError, match=r"has the split 'vall'\. .*Did you mean 'val'"):
        read_table(table, split="vall")
    with pytest.raises(FixationError, match=r"has the dataset 'osie'\. Known: lab"):
        read_table(table, "osie")


def test_a_table_with_the_needed_columns_only(table):
    _edit(
        table, lambda rows: [{k: r[k] for k in ("image", "file", "width", "height")} for r in rows]
    )
    _arrays(table, subject=None, image=None)
    with pytest.raises(FixationError, match=r"Pass degrees=\{'lab': 24\}"):
        read_table(table)
    back = read_table(table, degrees={"lab": 4})
    assert [(r.name, r.dataset, r.split, r.sigma) for r in back] == [
        (f"p{i}", "lab", "train", 4) for i in range(3)
    ]
    assert all(r.subject is None and r.category is None for r in back)


def test_a_degree_is_of_the_picture_as_it_was_shown(table):
    def shown(rows):
        for row in rows:
            row["orig_width"], row["orig_height"] = 3 * int(row["width"]), 3 * int(row["height"])
            row["degree"] = "" if row["image"] != "0" else row["degree"]

    _edit(table, shown)
    assert [r.sigma for r in read_table(table, degrees={"lab": 12})] == [0.5, 4, 4]
    _edit(table, lambda rows: [{**row, "degree": "", "dataset": "scene500"} for row in rows])
    assert [r.sigma for r in read_table(table)] == [8 / 256 * 30, 8 / 256 * 24, 8 / 256 * 10]
    _edit(table, lambda rows: [{**row, "dataset": "osie"} for row in rows])
    assert {r.sigma for r in read_table(table)} == {8}
    with pytest.raises(FixationError, match="Got -1 pixels"):
        read_table(table, degrees={"osie": -1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("file", "width"), "file, width are missing"),
        (lambda rows: rows[:2], "offsets have 4 entries for 2 rows"),
        (lambda rows: rows[0].update(image=2), "column 'image' is not 0..2, each once: 0 is miss"),
        (lambda rows: rows[1].update(width="wide"), "row 3 cannot be read: invalid literal"),
        (lambda rows: rows[1].update(height=0), "row 3 cannot be read: a picture of 16x0"),
        (lambda rows: rows[1].update(file=""), "column 'file' is empty"),
        (lambda rows: rows[1].update(n_fixations=7), r"p1.png 5 fixations, index.csv 7"),
        (lambda rows: rows[1].update(name="p0"), "Two pictures of the data set 'lab' are named"),
    ],
)
def test_a_wrong_index_is_refused(table, change, message):
    _edit(table, change)
    with pytest.raises(FixationError, match=message):
        read_table(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 4, 9])}, "offsets have 3 entries for 3 rows"),
        ({"offsets": np.array([0, 4, 9, 14])}, "do not rise from 0 to its 15 fixations"),
        ({"offsets": np.array([0, 9, 4, 15])}, "do not rise"),
        ({"offsets": np.array([0, 5, 9, 15])}, "'image' and 'offsets' disagree"),
        ({"offsets": None}, "it holds .*offsets are missing|offsets are missing"),
        ({"x": np.zeros((15, 1))}, r"'x' has shape \(15, 1\)"),
        ({"x": np.zeros(14)}, "differ in length"),
        ({"y": np.full(15, "a")}, "dtype <U1"),
        ({"y": np.full(15, None)}, "cannot be read"),
    ],
)
def test_wrong_arrays_are_refused(table, change, message):
    _arrays(table, **change)
    with pytest.raises(FixationError, match=message):
        read_table(table)


def test_a_wrong_place_is_refused(table, tmp_path):
    packed = shutil.make_archive(tmp_path / "packed", "zip", table)
    with pytest.raises(FixationError, match=r"It is a zip archive, not a folder. Unpack it"):
        read_table(packed)
    with pytest.raises(FixationError, match="No such folder"):
        read_table(tmp_path / "nowhere")
    with pytest.raises(FixationError, match=r"It is a file, not a folder. Name '.*lab'"):
        read_table(table / "index.csv")
    with pytest.raises(FixationError, match=r"no 'index.csv' and no 'fixations.npz' in it; it holds 'lab/', 'packed.zip'"):  # fmt: skip  # noqa: E501
        read_table(tmp_path)
    (table / "fixations.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(FixationError, match="cannot be read"):
        read_table(table)
    (table / "fixations.npz").unlink()
    with pytest.raises(FixationError, match=r"no 'fixations.npz' in it.*Add what is missing"):
        read_table(table)


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("break_it", "verify", "why"),
    [
        (lambda f: f.unlink(), False, "No such file"),
        (lambda f: f.write_bytes(b"text"), False, "It is not a picture that Pillow can read"),
        (lambda f: Image.new("RGB", (7, 9)).save(f), False, "7x9 pixels, not 16x24"),
        (_truncate, True, "It is broken"),
        (lambda f: Image.new("RGB", (16, 24)).save(f), True, "altered: its SHA-256 differs"),
    ],
)
def test_a_bad_picture_is_left_out_and_named_once(table, break_it, verify, why):
    break_it(table / "lab" / "images" / "p1.png")
    with pytest.warns(
        UserWarning, match=rf"1 of 3 pictures was left out: .*p1.png \({why}"
    ) as said:
        assert [r.name for r in read_table(table, verify=verify)] == ["p0", "p2"]
    assert len(said) == 1


def test_a_truncated_picture_is_refused_at_use(table):
    _truncate(table / "lab" / "images" / "p1.png")
    with pytest.raises(FixationError, match=r"pixels of 'lab/p1' \(.*p1.png\).*It is broken"):
        read_table(table)[1].pixels()


def test_fixations_outside_are_left_out_and_counted(table, recordings):
    x = np.concatenate([r.x for r in recordings])
    x[0], x[5], x[9:] = 30, np.nan, -1  # the first is just outside; the last picture has none
    _arrays(table, x=x)
    with pytest.warns(UserWarning, match="8 fixations were left out") as said:
        back = read_table(table)
    assert len(said) == 1
    assert [(r.name, len(r.y), len(r.x), len(r.subject)) for r in back] == [
        ("p0", 3, 3, 3),
        ("p1", 4, 4, 4),
    ]
    np.testing.assert_array_equal(back[0].x, recordings[0].x[1:])
    message = str(said[0].message)
    assert "1 of 3 pictures was left out: lab/images/p2.png (no fixation)" in message
    assert "8 fixations were left out, outside their picture: lab/images/p0.png (1), " in message


def test_nothing_left_is_an_error(table):
    _arrays(table, x=np.full(15, -1.0))
    with pytest.raises(FixationError, match=r"No picture is left: .*3 of 3 pictures were left out"):
        read_table(table)


def test_pixels_are_as_stored(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # "rotate me"
    stored = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    fixed = np.zeros(1)

    def one(picture, size=(8, 6)):
        return Recording("p", "lab", "train", picture, size, fixed, fixed, 1.0).pixels()

    np.testing.assert_array_equal(one(tmp_path / "turned.png"), stored)
    data = (tmp_path / "turned.png").read_bytes()
    np.testing.assert_array_equal(one(data), stored)
    np.testing.assert_array_equal(one(lambda: data), stored)
    grey = stored[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for picture in (tmp_path / "grey.png", grey, grey[..., None]):
        np.testing.assert_array_equal(one(picture), np.stack([grey] * 3, -1))
    for mode in ("CMYK", "I;16"):
        Image.new(mode, (6, 8)).save(tmp_path / "odd.tif")
        with pytest.raises(FixationError, match="not 8-bit RGB or grey"):
            one(tmp_path / "odd.tif")
    Image.new("RGBA", (6, 8), (1, 2, 3, 4)).save(tmp_path / "clear.png")
    with pytest.raises(FixationError, match="transparent pixels"):
        one(tmp_path / "clear.png")
    with pytest.raises(FixationError, match="Got 6x8 pixels; its fixations were recorded on 8x6"):
        one(data, (6, 8))


def test_the_real_table(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        val = read_table(shared / "fixations", split="val", verify=True)
    assert Counter(r.dataset for r in val) == {"osie": 70, "mit1003": 103, "scene500": 50}
    osie = next(r for r in val if r.dataset == "osie")
    assert osie.sigma == pytest.approx(24 * 576 / 800)
    assert osie.pixels().shape == (*osie.size, 3)
    assert len(np.unique(osie.subject)) == 15
