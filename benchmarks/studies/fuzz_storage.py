"""Harm to what was saved: bit flips in every file, kills at any moment of saving and training.

A bit flips on a disk; a cluster's time limit kills. After each flip a file must be read as it was
written or be refused with a `KerasSaliencyError`; after each kill the old result or the new one
must be there, and the same call must finish it. The exit status is 1 after any of these failures:

raw     an error that is no `KerasSaliencyError`
wrong   another content is read, without an error
lost    nothing is there, or results from before the kill are gone

    KERAS_BACKEND=torch python -m benchmarks.studies.fuzz_storage --flips 400 --kills 60
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import keras_saliency as ks  # its names are imported at first use
from benchmarks import make_parser
from keras_saliency import comparison
from keras_saliency._io.encoding import same
from keras_saliency.errors import KerasSaliencyError

Read = Callable[[Path], Any]  # what is in a folder, as plain data


# ---------------------------------------------------------------------- what is saved


def model() -> Any:
    """Return a small network with fixed weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    # Named: an archive is resumed only with the same weights under the same names.
    convolution = layers.Conv2D(3, 3, activation="relu", name="convolution")
    pool, head = layers.GlobalAveragePooling2D(name="pool"), layers.Dense(3, name="head")
    return keras.Sequential([keras.Input((10, 10, 3)), convolution, pool, head], name="fuzzed")


def pictures(count: int = 4) -> list[np.ndarray]:
    """Return pictures of noise."""
    drawn = np.random.default_rng(0)
    return [drawn.integers(0, 256, (10, 10, 3), np.uint8) for _ in range(count)]


def saved(room: Path) -> dict[str, Read]:
    """Save one result of each kind; return their folders' names, and how each is read."""
    net, explained = model(), np.stack(pictures(2)) / np.float32(255)
    result = ks.explain(net, explained, "grad_cam")
    extra = {"vector": np.arange(70.0), "small": np.float32(0.1), "pair": (1, float("nan"))}
    replace(result, info={**result.info, **extra}).save(room / "explanation")
    ks.predict_fixations(pictures(1)[0]).save(room / "prediction")
    chosen: dict[str, Any] = {"methods": ["gradient", "grad_cam"], "metrics": ["sparseness"]}
    ks.compare(net, pictures(2), preprocess=None, **chosen).save(room / "comparison")
    readers: dict[str, Read] = {
        "explanation": read_explanation,
        "prediction": lambda place: _fields(ks.FixationPrediction.load(place)),
        "comparison": comparison.read,
    }
    for form in ("npz", "array_record") if find_spec("array_record") else ("npz",):
        place = room / f"archive_{form}"
        ks.Explainer(net, preprocess=None).write(pictures(), place, format=form, part_size=2)
        readers[place.name] = read_archive
    return readers


def read_explanation(place: Path) -> Any:
    """Return all of a saved explanation."""
    return _fields(ks.Explanation.load(place))


def read_archive(place: Path) -> Any:
    """Return all of an archive."""
    archive = ks.Archive(place)
    records = {record.key: _fields(record) for record in archive}
    return {"info": dict(archive.info), "left": dict(archive.left_out), "records": records}


def _fields(value: Any) -> Any:
    return {name: _plain(one) for name, one in vars(value).items() if name[0] != "_"}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return _fields(value) if hasattr(value, "__dataclass_fields__") else value


def flip(room: Path, readers: dict[str, Read], count: int, seed: int) -> Counter[str]:
    """Flip ``count`` bits, one at a time: three in four in text, the others in any read file."""
    drawn, result = random.Random(seed), Counter[str]()
    intact = {name: read(room / name) for name, read in readers.items()}
    for number in range(count):
        name, read = list(readers.items())[number % len(readers)]
        files = [path for path in sorted((room / name).rglob("*")) if path.is_file()]
        files = [path for path in files if path.suffix != ".png" and path.stat().st_size]
        text = [path for path in files if path.suffix in (".json", ".csv")]
        path = drawn.choice(text if number // len(readers) % 4 else files)
        whole = path.read_bytes()
        at, bit = drawn.randrange(len(whole)), 1 << drawn.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        verdict = judge(read, room / name, [intact[name]])
        path.write_bytes(whole)
        result[verdict] += 1
        if verdict not in ("same", "refused"):
            print(f"  {verdict}: {name}, {path.name}, byte {at} ^ {bit}", flush=True)
    return result


def judge(read: Read, place: Path, allowed: list[Any]) -> str:
    """Return the outcome of reading a path: the same, refused, raw or wrong."""
    try:
        back = read(place)
    except KerasSaliencyError:
        return "refused"
    except Exception as error:
        print(f"  {type(error).__name__}: {str(error)[:120]}", flush=True)
        return "raw"
    return "same" if any(same(back, one) for one in allowed) else "wrong"


# ---------------------------------------------------------------------- kills


_SAVER = """
import sys, pathlib
from keras_saliency import Explanation
from keras_saliency._io import files
if sys.argv[3] == "moves":
    files._exchange = lambda one, other: False
ready = [Explanation.load(pathlib.Path(sys.argv[1]) / name) for name in ("old", "new")]
from keras_saliency import plot
plot.render_png(plot.pair, ready[0].panels())
print("ready", flush=True)
while True:
    for one in ready:
        one.save(sys.argv[2])
"""

_ARCHIVER = """
import sys, pathlib
from benchmarks.studies import fuzz_storage as fuzz
from keras_saliency import Explainer
ask = Explainer(fuzz.model(), preprocess=None)
ask(fuzz.pictures(1)[0])
print("ready", flush=True)
ask.write(fuzz.pictures(40), sys.argv[1], part_size=2)
"""

_TRAINER = """
import sys
from benchmarks.studies import fuzz_storage as fuzz
fuzz.train(sys.argv[1], ready=lambda: print("ready", flush=True))
"""


def kill_saves(room: Path, count: int, drawn: random.Random) -> Counter[str]:
    """Kill processes that save repeatedly to one path, and check it after each."""
    net, explained = model(), np.stack(pictures(2)) / np.float32(255)
    for name, method in (("old", "gradient"), ("new", "grad_cam")):
        ks.explain(net, explained, method).save(room / name)
    allowed = [read_explanation(room / name) for name in ("old", "new")]
    shutil.copytree(room / "old", room / "place")
    result = Counter[str]()
    for number in range(count):
        way = ("exchange", "moves")[number % 2]
        _killed(_SAVER, [room, room / "place", way], drawn.uniform(0, 0.6))
        verdict = judge(read_explanation, room / "place", allowed)
        result["lost" if verdict == "refused" else verdict] += 1
    read_explanation(room / "place")
    ks.explain(net, explained).save(room / "place")
    left = [path.name for path in room.iterdir() if path.name.startswith(".")]
    result["swept" if not left else "not swept"] += 1
    return result


def kill_archives(room: Path, count: int, drawn: random.Random) -> Counter[str]:
    """Kill a process that fills an archive, again and again, until it is whole."""
    ask, result = ks.Explainer(model(), preprocess=None), Counter[str]()
    ask.write(pictures(40), room / "true")
    true, before = read_archive(room / "true")["records"], 0
    for number in range(count):
        if number % 4 == 0:  # a few kills each
            shutil.rmtree(room / "out", ignore_errors=True)
            before = 0
        _killed(_ARCHIVER, [room / "out"], drawn.uniform(0, 0.12))
        try:
            now = len(ks.Archive(room / "out"))
        except KerasSaliencyError:
            begun = before or (room / "out" / "manifest.json").exists()
            result["lost" if begun else "not begun"] += 1
            continue
        records = read_archive(room / "out")["records"]
        right = all(
            np.isclose(one["score"], true[key]["score"], rtol=1e-4, atol=1e-5)
            and np.allclose(one["values"], true[key]["values"], rtol=1e-3, atol=1e-5)
            for key, one in records.items()
        )
        verdict = "whole" if now == before == len(true) else "same"  # nothing was left to do
        result["lost" if now < before else verdict if right else "wrong"] += 1
        before = now
    ask.write(pictures(40), room / "out")
    result["finished" if len(ks.Archive(room / "out")) == len(true) else "lost"] += 1
    return result


def kill_trainings(room: Path, count: int, drawn: random.Random) -> Counter[str]:
    """Kill a training of a fixation model again and again; then it must end as one never killed."""
    true, result = train(room / "true"), Counter[str]()
    out, before = room / "out", steps_done(room / "out")
    for _ in range(count):
        _killed(_TRAINER, [out], drawn.uniform(0.1, 1.2))
        try:
            done = steps_done(out)
        except KerasSaliencyError:
            result["lost"] += 1
            continue
        result["lost" if done < before else "same" if done else "not begun"] += 1
        before = done
    end = train(out)
    alike = all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(end, true, strict=True))
    result["finished" if alike else "wrong"] += 1
    return result


def _killed(program: str, args: list[Any], after: float) -> None:
    """Start a program, wait until it is ready and then a while, and kill it.

    Raises:
        RuntimeError: It ended by itself with an error: nothing was tested.
    """
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith("ready"):
            break
    time.sleep(after)
    child.kill()
    child.stdout.close()
    if child.wait() not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the process to be killed failed:\n{program}")


def train(folder: Any, ready: Callable[[], None] = lambda: None) -> list[np.ndarray]:
    """Train a tiny fixation model, going on from what is there; return its weights."""
    import keras

    from keras_saliency.fixation import data, encoder_decoder, load_model
    from keras_saliency.fixation import model as presets
    from keras_saliency.fixation import train as run

    def network(weights: Any, shape: Any) -> Any:
        blank = "zeros" if weights == "blank" else "glorot_uniform"
        image = x = keras.Input(shape)
        for name, stride in (("stem", 4), ("a", 2), ("b", 2), ("c", 2)):
            options = {"padding": "same", "kernel_initializer": blank, "name": name}
            x = keras.layers.Conv2D(8, 3, stride, activation="relu", **options)(x)
        return keras.Model(image, x)

    def recording(number: int) -> Any:
        drawn = np.random.default_rng(number)
        picture = drawn.integers(0, 256, (60, 80, 3), np.uint8)
        y, x = (drawn.uniform(0, edge, 20).astype(np.float32) for edge in (59, 79))
        return data.Recording(f"{number:03d}", "noise", "train", picture, (60, 80), y, x, 3.0)

    scale = {"mean": (127.0, 127.0, 127.0), "scale": 1 / 128}
    encoder_decoder.ENCODERS["tiny"] = encoder_decoder.Encoder(network, ("a", "b", "c"), scale)
    recipe = presets.Preset(
        build={"encoder": "tiny", "decoder": "readout", "filters": 8, "dropout": 0.1},
        stages=(
            presets.Stage("readout", encoder=False, epochs=3, rate=3e-3, rise=2, patience=9),
            presets.Stage("all", encoder=True, epochs=12, rate=1e-3, rise=2, ema=0.8, patience=99),
        ),
        canvases=((64, 96),),
        side=96,
        batch_size=4,
    )
    batches = data.FixationBatches([*map(recording, range(12))], [(64, 96)], 4, shuffle=True)
    checked = data.FixationBatches([*map(recording, range(50, 54))], [(64, 96)], 4)
    ready()
    place = run(recipe, batches, checked, folder, weights=None, every=0.0)
    return [keras.ops.convert_to_numpy(one) for one in load_model(place).weights]


def steps_done(folder: Path) -> tuple[int, ...]:
    """Return the stage, epoch and step of a training's checkpoint; ``()`` where there is none."""
    from keras_saliency.fixation import checkpoint

    result = checkpoint.load(folder / "checkpoint.npz")
    return () if result is None else tuple(int(result[0][k]) for k in ("stage", "epoch", "step"))


def main(argv: list[str] | None = None) -> int:
    """Run both, print the counts, and return 1 if anything failed."""
    parser = make_parser(".studies.fuzz_storage", __doc__)
    parser.add_argument("--flips", type=int, default=400)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("save", "archive", "training"))
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    total = Counter[str]()

    def count(what: str, result: Counter[str]) -> None:
        total.update(result)
        counts = ", ".join(f"{name} {number}" for name, number in sorted(result.items()))
        print(f"{what}: {counts}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        room, drawn, third = Path(name), random.Random(args.seed), args.kills // 3
        count(f"{args.flips} bit flips", flip(room, saved(room), args.flips, args.seed))
        kills = {"save": kill_saves, "archive": kill_archives, "training": kill_trainings}
        for what, run in kills.items() if os.name == "posix" and third else ():
            if args.only in (None, what):
                number = args.kills - 2 * third if what == "save" else third
                (room / what).mkdir()
                count(f"{number} kills in {what}", run(room / what, number, drawn))
    failed = {name: total[name] for name in ("raw", "wrong", "lost", "not swept")}
    print(", ".join(f"{name} {number}" for name, number in failed.items()))
    return int(any(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
