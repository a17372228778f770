"""Damaged files and killed saves: nothing wrong comes back, nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import threading
from pathlib import Path

import keras
import models
import numpy as np
import pytest
from test_plain_data import everything

from keras_saliency import (
    Archive,
    Explainer,
    Explanation,
    FixationPrediction,
    compare,
    comparison,
    errors,
    explain,
    predict_fixations,
)
from keras_saliency._io import files, folders
from keras_saliency._io.encoding import same
from keras_saliency._results import archive_parts

pytestmark = pytest.mark.any_backend

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
FORMS = ("npz", "array_record")
KINDS = ("explanation", "prediction", "comparison", *(f"archive {form}" for form in FORMS))


def _archive(place):
    result = Archive(place)
    records = [everything(one) for one in result]
    return {"info": dict(result.info), "out": dict(result.left_out), "records": records}


READ = {
    "explanation": lambda place: everything(Explanation.load(place)),
    "prediction": lambda place: everything(FixationPrediction.load(place)),
    "comparison": comparison.read,
    "archive npz": _archive,
    "archive array_record": _archive,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    room, net = tmp_path_factory.mktemp("saved"), models.flat()
    explain(net, models.pictures(2)).save(room / "explanation")
    predict_fixations(PHOTO).save(room / "prediction")
    compare(net, models.pictures(2), ["gradient"], ["sparseness"]).save(room / "comparison")
    for form in FORMS:
        try:
            archive_parts.check_format(form)
        except errors.SaveError:
            continue
        place = room / f"archive {form}"
        Explainer(net).write(models.pictures(3), place, format=form, part_size=2)
    return room


def _place(saved, kind):
    if not (saved / kind).exists():
        pytest.skip("array_record is not installed")
    return saved / kind


# ---------------------------------------------------------------------- damage


def _flips(data, count, seed):
    drawn = np.random.default_rng(seed)
    for place in drawn.integers(0, len(data), count).tolist():
        yield data[:place] + bytes([data[place] ^ 1 << int(drawn.integers(8))]) + data[place + 1 :]


def _digits(data):
    """Flip the last bit of digits: the kind of damage that leaves JSON and CSV whole."""
    places = [i for i, byte in enumerate(data) if 48 <= byte < 58]
    for place in places[:: max(1, len(places) // 40)]:
        yield data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _verdicts(read, place, error=errors.SaveError):
    true, result = read(place), []
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        if path.suffix == ".png" or not whole:
            continue
        many = 30 if path.suffix in (".json", ".csv") else 5
        for harmed in itertools.chain(_digits(whole) if many > 5 else (), _flips(whole, many, 0)):
            path.write_bytes(harmed)
            try:
                result.append("same" if same(read(place), true) else f"wrong: {path.name}")
            except error:
                result.append("refused")
        path.write_bytes(whole)
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_never_believed(saved, kind):
    result = _verdicts(READ[kind], _place(saved, kind))
    assert {one for one in result if one not in ("same", "refused")} == set()
    assert result.count("refused") > 0.9 * len(result) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_law_rejects_its_mutant(saved, kind, monkeypatch):
    """Without comparing, digits are believed."""
    place = _place(saved, kind)

    def unchecked(content):
        sums = {name: one for name, one in content["checksums"].items() if name != "this file"}
        return {name: one for name, one in content.items() if name != "checksums"}, sums

    monkeypatch.setattr(folders, "opened", unchecked)
    monkeypatch.setattr(folders, "check_bytes", lambda *_: None)
    anything = (Exception,)
    assert any(one.startswith("wrong") for one in _verdicts(READ[kind], place, anything))


def test_what_was_laid_out_anew_is_read(saved):
    """A checksum is of what a file says, not of its spaces."""
    path = saved / "explanation" / "manifest.json"
    whole = path.read_text()
    path.write_text(json.dumps(dict(reversed(json.loads(whole).items()))))
    assert len(Explanation.load(saved / "explanation")) == 2
    path.write_text(whole)


@pytest.mark.parametrize("kind", ["explanation", "prediction"])
def test_files_from_before_there_were_checksums_are_read(saved, tmp_path, kind):
    place = shutil.copytree(saved / kind, tmp_path / "old")
    path = place / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["checksums"]
    path.write_text(json.dumps({**manifest, "schema_version": 1}))
    assert same(READ[kind](place), READ[kind](saved / kind))
    for version in (2, 0, -1, 3, "1", 1.5, None):
        path.write_text(json.dumps({**manifest, "schema_version": version}))
        with pytest.raises(errors.SaveError):
            READ[kind](place)


def test_an_archive_from_before_is_read_and_goes_on(saved, tmp_path):
    place = shutil.copytree(saved / "archive npz", tmp_path / "old")
    for path in [place / "manifest.json", *place.glob("part-*/rows.json")]:
        manifest = json.loads(path.read_text())
        del manifest["checksums"], manifest["schema_version"]
        manifest.pop("archive", None)
        if path.name == "manifest.json":
            manifest["schema_version"] = 1
        path.write_text(json.dumps(manifest))
    true = _archive(saved / "archive npz")["records"]
    assert same(_archive(place)["records"], true)
    Explainer(models.flat()).write(models.pictures(4), place)
    assert same(_archive(place)["records"][:3], true)
    assert len(Archive(place)) == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_part_of_another_archive_is_none_of_this_one_s(saved, tmp_path, form):
    place = shutil.copytree(_place(saved, f"archive {form}"), tmp_path / "own")
    other, net = tmp_path / "other", keras.models.clone_model(models.flat())
    net.set_weights([one + 1 for one in models.flat().get_weights()])
    Explainer(net).write(models.pictures(3), other, format=form, part_size=2)
    shutil.rmtree(place / "part-00001")
    assert len(Archive(place)) == 2
    shutil.copytree(other / "part-00001", place / "part-00001")
    with pytest.raises(errors.SaveError, match=r"part-00001.*belongs to another archive"):
        Archive(place)
    with pytest.raises(errors.SaveError, match=r"part-00001.*belongs to another archive"):
        Explainer(models.flat()).write(models.pictures(3), place, format=form, part_size=2)
    shutil.rmtree(place / "part-00001")  # as the error says
    Explainer(models.flat()).write(models.pictures(3), place, format=form, part_size=2)
    assert [record.key for record in Archive(place)] == ["0", "1", "2"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("kind", KINDS)
def test_a_fifo_is_refused_at_once(saved, tmp_path, kind):
    place, said = shutil.copytree(_place(saved, kind), tmp_path / "place"), []

    def read():
        for path in sorted(path for path in place.rglob("*") if path.suffix != ".png"):
            if path.is_dir() or path.name == ".lock":
                continue
            whole = path.read_bytes()
            path.unlink()
            os.mkfifo(path)
            with pytest.raises(errors.SaveError):
                READ[kind](place)
            path.unlink()
            path.write_bytes(whole)
            said.append(path)
        READ[kind](place)
        said.append(place)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert said[-1:] == [place]
    assert len(said) > 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_nothing_is_written_over_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "report.html")
    (tmp_path / "archive").mkdir()
    os.mkfifo(tmp_path / "archive" / ".lock")
    net, said = models.flat(), []
    result = compare(net, models.pictures(1), ["gradient"], ["sparseness"])

    def write():
        with pytest.raises(errors.SaveError):
            result.to_html(tmp_path / "report.html")
        said.append("report")
        with contextlib.suppress(errors.SaveError):  # a pipe can be locked: what counts is no wait
            Explainer(net).write(models.pictures(1), tmp_path / "archive")
        said.append("archive")

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(30)
    assert said == ["report", "archive"]


def test_json_that_is_nested_too_deep(saved, tmp_path):
    place = shutil.copytree(saved / "explanation", tmp_path / "deep")
    (place / "manifest.json").write_text("[" * 10**5)
    with pytest.raises(errors.SaveError, match="Cannot read the explanation"):
        Explanation.load(place)


# ---------------------------------------------------------------------- kills


def _pair(tmp_path):
    """Two explanations that differ, saved."""
    for name, count in (("old", 1), ("new", 2)):
        explain(models.flat(), models.pictures(count)).save(tmp_path / name)
    return tmp_path / "old", tmp_path / "new"


def _die_at(number):
    """Kill this process before its move of that number."""
    count = itertools.count()
    for name in ("rename", "replace"):
        move = getattr(os, name)

        def fatal(*args, move=move, **options):
            if next(count) == number:
                os.kill(os.getpid(), 9)
            return move(*args, **options)

        setattr(os, name, fatal)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_a_killed_save_leaves_the_old_or_the_new(tmp_path, exchange, there):
    old, new = _pair(tmp_path)
    place, ready, killed = tmp_path / "place", Explanation.load(new), 0
    ready.save(tmp_path / "warm")  # matplotlib before the fork
    for fatal in range(4):
        shutil.rmtree(place, ignore_errors=True)
        if there:
            shutil.copytree(old, place)
        child = os.fork()
        if not child:
            if not exchange:
                files._exchange = lambda one, other: False
            _die_at(fatal)
            try:
                ready.save(place)
            finally:
                os._exit(0)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if there or fatal:
            assert len(Explanation.load(place)) in (1, 2)
        ready.save(place)
        assert len(Explanation.load(place)) == 2
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # swept
    assert killed == (0 if exchange and there else 1 if not there else 2)


def test_what_another_process_is_writing_is_not_swept(tmp_path):
    old, _ = _pair(tmp_path)
    place = tmp_path / "place"
    with files.fresh(place) as made:
        Explanation.load(old).save(place)
        assert made.exists() or files.fcntl is None
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_removed_result_stays_removed(tmp_path):
    """What a killed save left beside a result is not taken for it once the user has removed it."""
    old, _ = _pair(tmp_path)
    place = tmp_path / "place"
    shutil.copytree(old, tmp_path / ".place.old.abcdefgh" / "old")
    with pytest.raises(errors.SaveError):
        Explanation.load(place)


@pytest.mark.parametrize("exchange", [True, False])
def test_two_that_save_to_one_place_at_once(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    place, wrong = tmp_path / "place", []

    def fill_with(number):
        def fill(fresh):
            arrays = {"x": np.full(5, number)}
            folders.seal(fresh, "m.json", {"schema_version": 2, "n": number}, arrays, "a.npz")

        return fill

    def save(number):
        try:
            for _ in range(25):
                folders.write(place, fill_with(number), ("m.json", "a.npz"), "A.", "help")
        except errors.SaveError as error:
            wrong.append(error)

    def read():
        return folders.read(
            place,
            "m.json",
            "a.npz",
            2,
            lambda manifest, arrays: {**manifest, **arrays},
            "A.",
            "F.",
            "W",
        )

    save(0)
    savers = [threading.Thread(target=save, args=(number,)) for number in (1, 2)]
    for one in savers:
        one.start()
    while any(one.is_alive() for one in savers):
        result = read()
        assert (result["x"] == result["n"]).all()
    for one in savers:
        one.join()
    assert wrong == []
    assert sorted(path.name for path in place.iterdir()) == ["a.npz", "m.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_link_stays_a_link(tmp_path):
    old, new = _pair(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(old, target_is_directory=True)
    Explanation.load(new).save(link)
    assert link.is_symlink()
    assert len(Explanation.load(old)) == len(Explanation.load(link)) == 2


def test_names_that_fill_a_file_system(tmp_path):
    _, new = _pair(tmp_path)
    place = tmp_path / ("n" * 250)
    for _ in range(2):
        Explanation.load(new).save(place)
    assert len(Explanation.load(place)) == 2


def test_here_is_a_place(tmp_path, monkeypatch):
    _, new = _pair(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Explanation.load(new).save(".")
    assert len(Explanation.load(tmp_path / "here")) == 2
    with pytest.raises(errors.SaveError):  # the folder that this process stands in is another
        Explanation.load(Path("."))
