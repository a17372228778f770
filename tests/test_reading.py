"""Files and tables become arrays as they are; a damaged one is refused, never read wrongly."""

from __future__ import annotations

import gzip
import os
import sys
import warnings

import keras
import kinds_of_files as of
import numpy as np
import pytest

from keras_saliency import Archive, Explainer, errors, explain
from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import reading
from keras_saliency._inputs.batch import prepare

pytestmark = pytest.mark.any_backend


def sine():
    return (np.sin(np.arange(32)) * 20_000).astype("int16")


FILES = {
    "a.npy": (of.signal, lambda p: of.save_array(p, of.draw(32, 1)), of.draw(32, 1)),
    "a.npz": (of.signal, lambda p: of.save_array(p, of.draw(32, 1)), of.draw(32, 1)),
    "a.csv": (of.signal, lambda p: of.save_csv(p, of.draw(32, 1)), of.draw(32, 1)),
    "a.wav": (of.signal, lambda p: of.save_wav(p, sine()), sine()[:, None] / 32768),
    "v.nii": (of.volume, lambda p: of.save_nifti(p, of.draw(6, 7, 8)), of.draw(6, 7, 8)[..., None]),
    "v.nii.gz": (
        of.volume,
        lambda p: of.save_nifti(p, of.draw(6, 7, 8)),
        of.draw(6, 7, 8)[..., None],
    ),
    "c.gif": (of.video, lambda p: of.save_gif(p, of.frames(size=(16, 12))), None),
    "t.csv": (of.table, lambda p: of.save_csv(p, of.draw(2, 3), "a,b,c"), of.draw(2, 3)),
    "t.npy": (of.table, lambda p: of.save_array(p, of.draw(3)), of.draw(3)),
    "w.npy": (of.tokens, lambda p: of.save_array(p, np.array([1, 2, 3, 0, 4])), [1, 2, 3, 0, 4]),
}
EXACT = [name for name in FILES if name != "c.gif"]


@pytest.fixture
def file(tmp_path):
    """Write one of the files; return its model, its path and what it holds."""

    def write(name):
        if ".nii" in name:
            pytest.importorskip("nibabel")
        make, save, values = FILES[name]
        return make(), save(tmp_path / name), values

    return write


def read(model, given, **more):
    return prepare(Adapter(model), given, **more)


# ---------------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", EXACT)
def test_a_file_is_explained_as_its_array(file, name):
    model, path, values = file(name)
    ours, known = explain(model, path), explain(model, np.asarray(values))
    np.testing.assert_allclose(ours.attributions, known.attributions, rtol=1e-6)
    np.testing.assert_allclose(ours.scores, known.scores, rtol=1e-6)
    np.testing.assert_allclose(ours.pictures[0], known.pictures[0], rtol=1e-6)
    assert ours.info["kind"] == known.info["kind"]


def test_a_list_of_files_is_a_batch(file, tmp_path):
    model, path, values = file("a.npy")
    other = of.save_wav(tmp_path / "b.wav", sine())
    batch = read(model, [str(path), other, values])
    assert batch.images.shape == (3, 32, 1)
    np.testing.assert_array_equal(batch.images[0], batch.images[2])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_sounds_of_whole_numbers_lie_between_minus_1_and_1(tmp_path, dtype):
    wave = np.sin(np.arange(32) / 3)
    scaled = {"uint8": wave * 127 + 128, "float32": wave}.get(dtype)
    if scaled is None:
        scaled = wave * np.iinfo(dtype).max
    path = of.save_wav(tmp_path / "a.wav", scaled.astype(dtype))
    np.testing.assert_allclose(read(of.signal(), path).images[0, :, 0], wave, atol=0.02)


def test_stereo_is_two_channels_and_a_wrong_length_names_the_rate(tmp_path):
    stereo = of.save_wav(tmp_path / "s.wav", np.stack([sine(), sine()], axis=-1))
    assert read(of.signal(channels=2), stereo).images.shape == (1, 32, 2)
    for model in (of.signal(), of.signal(length=40, channels=2)):
        with pytest.raises(errors.InputError, match=r"8000 values a second, shape \(32, 2\)"):
            read(model, stereo)


def test_a_nifti_file_is_scaled_by_its_header(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(np.arange(336, dtype="int16").reshape(6, 7, 8), np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "v.nii")
    known = np.asarray(nibabel.load(tmp_path / "v.nii").get_fdata())
    np.testing.assert_allclose(read(of.volume(), tmp_path / "v.nii").images[0, ..., 0], known)


def test_frames_are_resized_and_preprocessed_as_pictures_are(tmp_path):
    pixels = of.frames()
    path = of.save_gif(tmp_path / "c.gif", pixels)
    batch = read(of.video(), path)
    inputs = keras.Input((16, 12, 3))
    x = keras.layers.Conv2D(1, 3)(keras.layers.Rescaling(1 / 255)(inputs))
    rescaling = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    known = read(rescaling, list(pixels))
    np.testing.assert_array_equal(batch.images[0], known.images)
    assert batch.preprocessed == "none (the model rescales)"
    halved = read(of.video(rescales=False), path, preprocess=lambda x: x / 255)
    np.testing.assert_allclose(halved.images[0], known.images / 255, rtol=1e-6)
    with pytest.raises(errors.PreprocessError, match="is unknown"):
        read(of.video(rescales=False), path)


def test_videos_of_floats_must_fit_and_are_left_as_they_are():
    given = of.draw(3, 16, 12, 3)
    np.testing.assert_array_equal(read(of.video(rescales=False), given).images[0], given)
    with pytest.raises(errors.InputError, match=r"Got shape \(3, 20, 24, 3\)"):
        read(of.video(), of.draw(3, 20, 24, 3))


def test_pyav_reads_other_videos(tmp_path):
    av = pytest.importorskip("av")
    pixels = np.full((4, 32, 32, 3), 90, np.uint8)
    path = tmp_path / "c.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for one in pixels:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        out.mux(stream.encode())
    batch = read(of.video(frames=4), path)
    assert batch.images.shape == (1, 4, 16, 12, 3)
    np.testing.assert_allclose(batch.images, 90, atol=4)
    with pytest.raises(errors.InputError, match=r"10 frames a second, shape \(4, 16, 12, 3\)"):
        read(of.video(frames=3), path)
    whole = path.read_bytes()
    for count in range(0, len(whole), len(whole) // 6 + 1):
        path.write_bytes(whole[:count])
        with pytest.raises(errors.InputError):
            read(of.video(frames=4), path)


def test_a_file_shows_whether_a_model_takes_volumes_or_videos(tmp_path):
    model = of.volume()
    inputs = keras.Input((3, 16, 12, 3))
    flat = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    path = of.save_gif(tmp_path / "c.gif", of.frames())
    assert read(flat, path, preprocess=None).kind.name == "video"
    with pytest.raises(errors.InputError):
        read(model, path)


# ---------------------------------------------------------------------- tables


def test_names_of_columns_are_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [41, 52], "weight": [70.5, 81.0], "smokes": [True, False]})
    model = of.table()
    known = explain(model, np.array([[41, 70.5, 1], [52, 81, 0]], "float32"))
    frame.astype(float).to_csv(tmp_path / "t.csv", index=False)
    for given in (frame, tmp_path / "t.csv"):
        result = explain(model, given)
        assert result.info["features"] == ["age", "weight", "smokes"]
        np.testing.assert_allclose(result.attributions, known.attributions, rtol=1e-6)
    row = explain(model, frame.iloc[0])
    assert row.info["features"] == ["age", "weight", "smokes"]
    np.testing.assert_allclose(row.attributions, known.attributions[:1], rtol=1e-6)
    assert "features" not in known.info
    assert "features" not in explain(model, pandas.DataFrame(np.ones((2, 3)))).info


def test_columns_that_are_no_numbers_are_refused_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [41, 52], "sex": ["f", "m"], "weight": [70.5, np.nan]})
    whole = pandas.DataFrame({"a": [1, 2], "b": pandas.array([1, None], "Int64"), "c": [0, 1]})
    for given, named in (
        (frame, r"1 of 3 columns that hold no numbers: 'sex'"),
        (frame.iloc[0], r"hold no numbers: 'sex'"),
        (frame.assign(sex=0), r"1 of 3 columns that miss values \(NaN\): 'weight'"),
        (whole, r"miss values \(NaN\): 'b'"),
        (frame[["age"]], r"shape \(1,\)"),
        (frame[[]], r"empty|shape \(0,\)"),
    ):
        with pytest.raises(errors.InputError, match=named):
            explain(of.table(), given)


# ---------------------------------------------------------------------- what is refused


def test_what_is_no_file_of_this_kind_is_refused(file, tmp_path):
    model, path, _ = file("a.npy")
    os.mkfifo(tmp_path / "fifo.npy")
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}, []], object), allow_pickle=True)
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "words.csv").write_text("a,b\n1,x\n")
    for given, said in (
        (tmp_path / "none.npy", "No such file"),
        (str(tmp_path / "none.wav"), "No such file"),
        (tmp_path / "a.jpg", r"one of the formats .npy, .npz, .csv or .wav"),
        (tmp_path, "one of the formats"),
        (tmp_path / "fifo.npy", "no regular file"),
        ("/dev/zero.npy", "No such file"),
        ("a\0.npy", "null"),
        (tmp_path / "text.npy", "It is broken"),
        (tmp_path / "two.npz", "it holds 2: 'a', 'b'"),
        (tmp_path / "words.npy", "no numbers"),
        (tmp_path / "objects.npy", "no numbers"),
        (tmp_path / "empty.csv", "holds no numbers"),
        (tmp_path / "words.csv", "'x'"),
        ([path, tmp_path / "none.npy"], "No such file"),
    ):
        with pytest.raises(errors.InputError, match=said) as caught:
            read(model, given)
        assert caught.value.fix
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(errors.InputError, match="Got a directory"):
        read(model, tmp_path / "folder.npy")


@pytest.mark.parametrize(
    ("make", "given", "said"),
    [
        (of.signal, np.full((32, 1), np.nan), "32 values that are NaN"),
        (of.signal, np.zeros((0, 1)), "empty"),
        (of.signal, [], "shape|empty"),
        (of.signal, np.zeros((32, 3)), r"Got shape \(32, 3\)"),
        (of.table, "some words", "one of the formats"),
        (of.tokens, "some words", "no tokenizer"),
        (of.tokens, ["some", "words"], "no tokenizer"),
        (lambda: keras.Sequential(of.tokens().layers), "some words", "no tokenizer"),
        (of.tokens, np.array(["some", "words"]), "dtype"),
        (of.tokens, np.array([1.5, 1, 1, 1, 1]), "no numbers of words"),
        (of.tokens, [1, 2, 3, 4, 99], "the Embedding has words 0 to 8"),
        (of.volume, object(), "dtype object"),
    ],
)
def test_bad_values_are_refused(make, given, said):
    with pytest.raises(errors.InputError, match=said):
        read(make(), given)


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("v.nii", "nibabel", "volumes"), ("c.mp4", "av", "video")]
)
def test_without_its_package_the_error_says_what_to_install(
    tmp_path, monkeypatch, name, package, extra
):
    (tmp_path / name).write_bytes(bytes(600))
    monkeypatch.setitem(sys.modules, package, None)
    make = of.volume if extra == "volumes" else of.video
    with pytest.raises(
        errors.InputError, match=rf"{package}.*pip install 'keras-saliency\[{extra}"
    ):
        read(make(), tmp_path / name)


def test_what_unpacks_to_more_than_the_limit_is_refused(file, tmp_path, monkeypatch):
    paths = [(file(name)[0], file(name)[1]) for name in ("a.npy", "a.npz", "a.wav", "v.nii.gz")]
    monkeypatch.setattr(reading, "MAX_BYTES", 60)
    for model, path in paths:
        with pytest.raises(errors.InputError, match="over the limit of 60"):
            read(model, path)


def test_a_gzip_bomb_is_not_unpacked(file, monkeypatch):
    model, path, _ = file("v.nii.gz")
    monkeypatch.setattr(reading, "_TRAILING", 1000)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(10_000_000)))
    with pytest.raises(errors.InputError, match="follow its values"):
        read(model, path)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".csv")])
def test_a_truncated_file_is_refused(file, name):
    model, path, _ = file(name)
    whole = path.read_bytes()
    for count in sorted({*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1}):
        path.write_bytes(whole[:count])
        with pytest.raises(errors.InputError):
            read(model, path)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".csv")])
def test_flipped_bits_are_refused_or_change_numbers_only(file, name):
    model, path, _ = file(name)
    whole, random = path.read_bytes(), np.random.default_rng(2)
    shape = read(model, path).images.shape
    places = {*range(min(len(whole), 60)), *random.integers(0, len(whole), 60).tolist()}
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                batch = read(model, path)
        except errors.InputError:
            continue
        assert batch.images.shape == shape
        assert np.isfinite(batch.images).all()


# ---------------------------------------------------------------------- streams and archives


ROWS = {
    "signal": (of.signal, of.draw(3, 32, 1)),
    "volume": (of.volume, of.draw(3, 6, 7, 8, 1)),
    "video": (lambda: of.video(rescales=False), of.draw(3, 3, 16, 12, 3)),
    "tokens": (of.tokens, np.array([[1, 2, 3, 4, 5], [2, 2, 2, 2, 2], [5, 4, 3, 2, 1]])),
    "table": (of.table, of.draw(3, 3)),
}


@pytest.mark.parametrize("kind", ROWS)
def test_streams_and_archives_take_every_kind(kind, tmp_path):
    make, rows = ROWS[kind]
    model = make()
    known = explain(model, rows)
    explainer = Explainer(model, kind=kind, batch_size=2)
    for given in (rows, list(rows), iter(rows)):
        streamed = list(explainer.stream(given))
        assert [one.info["kind"] for one in streamed] == [kind] * 3
        for one, all_of_them in zip(streamed, known, strict=True):
            np.testing.assert_allclose(one.values, all_of_them.values, rtol=1e-5, atol=1e-7)
    archive = explainer.write(rows, tmp_path / "out", attributions=True)
    again = Archive(tmp_path / "out")
    assert again.keys == archive.keys == ("0", "1", "2")
    for record, one in zip(again, known, strict=True):
        np.testing.assert_allclose(record.map(), one.maps()[0], rtol=1e-5, atol=1e-7)
        assert record.attributions.shape == one.attributions.shape[1:]
        assert record.label == one.labels[0]
    with pytest.raises(errors.SaveError, match="kind"):
        Explainer(model, kind=None if kind == "picture" else "picture").write(rows, again.folder)


def test_files_are_the_keys_of_an_archive_and_bad_ones_are_left_out(file, tmp_path):
    model, path, _ = file("a.npy")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    paths = [path, tmp_path / "bad.wav"]
    with pytest.warns(UserWarning, match="1 of 2 pictures were left out"):
        archive = Explainer(model).write(paths, tmp_path / "out", on_error="skip")
    assert archive.keys == (str(path),)
    assert "It is broken" in archive.left_out[str(paths[1])]


def test_an_archive_keeps_names_of_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0], "c": [3.0, 4.0]})
    explainer = Explainer(of.table())
    assert [one.info["features"] for one in explainer.stream(frame)] == [["a", "b", "c"]] * 2
    for form in ("npz",):
        archive = explainer.write(frame, tmp_path / form, format=form)
        assert [one.features for one in archive] == [("a", "b", "c")] * 2


def test_a_stream_preprocesses_as_one_call_does():
    model, rows = of.signal(), of.draw(2, 32, 1)
    known = explain(model, rows, preprocess=lambda x: x * 2)
    streamed = list(Explainer(model, preprocess=lambda x: x * 2).stream(rows))
    for one, other in zip(streamed, known, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
    assert [len(one) for one in Explainer(model, preprocess=None).stream(rows)] == [1, 1]


def test_actors_of_ray_data_take_every_kind():
    from keras_saliency.ray import Explaining

    for kind, (make, rows) in ROWS.items():
        model = make()
        result = Explaining(model, kind=kind)({"image": rows})
        np.testing.assert_allclose(result["saliency"], explain(model, rows).values, atol=1e-6)


def test_a_saved_explanation_keeps_names(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0], "b": [0.0], "c": [3.0]})
    result = explain(of.table(), frame)
    from keras_saliency._results import stored

    stored.write(tmp_path / "out", result, b"")
    again = type(result).load(tmp_path / "out")
    assert again.info["features"] == ["a", "b", "c"]
    assert again[0].info["features"] == ["a", "b", "c"]
