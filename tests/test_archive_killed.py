"""Archives whose writers are killed, meet each other, and go on for long."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import models
import networks
import numpy as np
import pytest
from test_archive import FORMATS, contents, explainer
from test_explainer import groups

from keras_saliency import Archive, Explainer, errors, targets
from keras_saliency._results import archive

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]


def test_words_that_are_the_same_in_the_next_process():
    def function(x):
        return x

    described = archive.described
    assert described(function).endswith(
        "test_words_that_are_the_same_in_the_next_process.<locals>.function"
    )
    assert described(targets.get(function))["function"] == described(function)
    assert "0x" not in described(object())
    big = np.arange(100.0)
    assert described(big) == described(big.copy()) != described(big + 1)
    assert described([np.float32(1.5), (1, None), {"a": np.arange(2)}]) == [
        1.5,
        [1, None],
        {"a": [0, 1]},
    ]


# ---------------------------------------------------------------------- two at a time


def test_a_second_live_process_is_refused(tmp_path):
    pytest.importorskip("fcntl")
    started, go_on = threading.Event(), threading.Event()

    def slow():
        for picture in models.pictures(3):
            yield picture
            started.set()
            go_on.wait(30)

    result = []
    writer = threading.Thread(
        target=lambda: result.append(explainer().write(slow(), tmp_path / "out"))
    )
    writer.start()
    assert started.wait(30)
    code = (
        "import sys; from pathlib import Path\n"
        "from keras_saliency._results import archive\n"
        "from keras_saliency.errors import SaveError\n"
        "try:\n    with archive.held(Path(sys.argv[1]), 'Asked.', 'here'): print('free')\n"
        "except SaveError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    try:
        said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
        assert "Another process is writing to it" in said
        with pytest.raises(errors.SaveError, match="Another process is writing to it"):
            explainer().write(models.pictures(3), tmp_path / "out")
    finally:
        go_on.set()
        writer.join(30)
    assert len(result[0]) == 3
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert said == "free\n"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSYS, "Function not implemented"), NotImplementedError()], ids=repr
)
def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, error):
    def unknown(lock):
        raise error

    monkeypatch.setattr(archive.FileLock, "acquire", unknown)
    assert len(explainer().write(models.pictures(2), tmp_path / "out")) == 2


def test_everything_is_on_the_disk_before_it_is_moved(tmp_path, monkeypatch):
    done = []

    def noted(name, original):
        return lambda *args: (done.append(name), original(*args))[1]

    for name, letter in {"fsync": "f", "replace": "r", "rename": "m"}.items():
        monkeypatch.setattr(os, name, noted(letter, getattr(os, name)))
    explainer().write(models.pictures(2), tmp_path / "out")
    # The manifest, moved, its folder; rows, maps and their folder, moved, the folder around.
    assert "".join(done) == "frf" + "fffmf"


# ---------------------------------------------------------------------- killed

# A writer without a model, killed by SIGKILL at a place of its way through the second part.
WRITER = """
import os, signal, sys
import numpy as np
from keras_saliency._io import files
from keras_saliency._results import archive_parts
from keras_saliency._results.archive import WriteConfig, Record, write
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.prefetch import Steps

folder, form, place, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
runs = 0

def die():
    print(runs, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

def before(home, name, when, half=False):
    original, calls = getattr(home, name), 0
    def called(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == when and not half:
            die()
        result = original(*args, **kwargs)
        if calls == when:
            maps = next(args[0].glob("maps.*"))
            maps.write_bytes(maps.read_bytes()[: maps.stat().st_size // 2])
            die()
        return result
    setattr(home, name, called)

if place == "maps half written":
    before(archive_parts, "write_arrays", 2, half=True)
elif place == "before the move":
    before(os, "rename", 2)  # the first part, the second
elif place == "before the sync":
    before(files, "sync", 2 + 3 + 1 + 1)  # the manifest, the first part, its folder; the second
elif place == "before the manifest":
    before(os, "replace", 1)

def run(group):
    global runs
    runs += len(group)
    if place == "between parts" and runs > 6:
        die()
    return [np.full((3, 4), n, "float32") for n in group]

def record(values):
    return Record("", values, Geometry.fitted((6, 8), (3, 4)), float(values[0, 0]))

about = {"backend": "-", "versions": {}}
order = WriteConfig(folder, {"holds": "explanations"}, about, form, part_size=4)
write(order, range(count), Steps(lambda item: item[0], lambda n: 0, run, 2), record,
      keys=(f"key {n}" for n in range(count)))
print(runs)
"""
PLACES = (
    "before the manifest",
    "maps half written",
    "before the sync",
    "before the move",
    "between parts",
)


def written(folder, form, place="", count=19):
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), form, place, str(count)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if place else 0), done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMATS)
def test_killed_and_called_again(form, place, tmp_path):
    if form == "array_record":
        pytest.importorskip("array_record", reason="needs the extra 'data'")
    assert written(tmp_path / "whole", form) == 19
    written(tmp_path / "killed", form, place)
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    whole_parts = [name for name in left if name.startswith("part-")]
    complete = 4 * len(whole_parts)
    assert complete == {"before the manifest": 0}.get(place, 4), "killed somewhere else"
    unfinished = {name for name in left if name.startswith(".") and name != ".lock"}
    assert bool(unfinished) == (place != "between parts")
    if place != "before the manifest":  # it can be read as it is
        half = Archive(tmp_path / "killed")
        assert [record.values[0, 0] for record in half] == [0, 1, 2, 3]

    assert written(tmp_path / "killed", form) == 19 - complete  # nothing twice
    archive = Archive(tmp_path / "killed")
    assert sorted(archive.keys, key=lambda key: int(key[4:])) == [f"key {n}" for n in range(19)]
    assert contents(archive) == contents(Archive(tmp_path / "whole"))
    rows = [
        row["key"]
        for part in (tmp_path / "killed").glob("part-*")
        for row in json.loads((part / "rows.json").read_text())["rows"]
    ]
    assert len(rows) == len(set(rows)) == 19
    names = {path.name for path in (tmp_path / "killed").iterdir()}
    assert names == {"manifest.json", ".lock", *(f"part-{i:05d}" for i in range(5))}


EXPLAINING = """
import os, signal, sys
sys.path.insert(0, "tests")
import models
from keras_saliency import Explainer
from keras_saliency._results import archive_parts

original, calls = archive_parts.write_arrays, 0
def write(folder, form, records):
    global calls
    calls += 1
    original(folder, form, records)
    if calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)
archive_parts.write_arrays = write
Explainer(models.flat(), batch_size=2).write(models.pictures(9), sys.argv[1], part_size=3)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_explanations_killed_and_called_again(tmp_path, monkeypatch):
    command = [sys.executable, "-c", EXPLAINING, str(tmp_path / "killed")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    sizes = groups(monkeypatch)
    mine = Explainer(models.flat(), batch_size=2)
    archive = mine.write(models.pictures(9), tmp_path / "killed", part_size=3)
    assert sum(sizes) == 6
    assert archive.keys == tuple(map(str, range(9)))
    whole = mine.write(models.pictures(9), tmp_path / "whole", part_size=3)
    for one, other in zip(archive, whole, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=2e-4, atol=2e-6)
        assert (one.key, one.target, one.checks) == (other.key, other.target, other.checks)


# ---------------------------------------------------------------------- memory


def test_nothing_grows_but_the_keys(tmp_path, request):
    before = gc.get_threshold()
    request.addfinalizer(lambda: gc.set_threshold(*before))
    gc.set_threshold(700, 10, 10)  # Python's own: conftest.py lets more wait
    model = networks.linear(np.ones((16, 16, 3)))
    with_target = Explainer(model, target=0)

    def pictures(count):
        for i in range(count):
            if not i % 50:
                gc.collect()  # what waits for the collector is not held
            yield np.full((16, 16, 3), i, "float32")

    def peak(count, name):
        with_target.write(pictures(60), tmp_path / name, part_size=20)  # compiles
        tracemalloc.start()
        archive = with_target.write(pictures(count), tmp_path / name, part_size=20)
        total = sum(record.score for record in archive)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == pytest.approx(768 * count * (count - 1) / 2)
        return most

    few, many = peak(100, "few"), peak(2000, "many")
    if many - few >= 1900 * 500:  # seen once in a long process; what is really held is held again
        many = peak(2000, "again")
    # A key, its place and what was asked take some 200 bytes; each map alone is 1024.
    assert many - few < 1900 * 500
