"""Harm to what was saved: bit flips in every file, kills at any moment of saving and training.

A bit flips on a disk; a cluster's time limit kills. After each flip a file must be read as it was
written or be refused with a `KerasSaliencyError`; after each kill the old result or the new one
must be there, and the same call must finish it. Counted are three kinds of failure:

* raw: an error that is no `KerasSaliencyError`;
* wrong: another content is read, without an error;
* lost: nothing is there, or results from before the kill are gone.

    KERAS_BACKEND=torch python -m benchmarks.studies.fuzz_storage --flips 400 --kills 60

exits with 1 if anything failed.
"""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import make_parser
from keras_saliency._io.encoding import same
from keras_saliency.errors import KerasSaliencyError

Read = Callable[[Path], Any]  # what is in a folder, as plain data


@dataclass(frozen=True)
class Subject:
    """Something saved: its files, and how it is read."""

    name: str
    place: Path
    read: Read


# ---------------------------------------------------------------------- what is saved


def model() -> Any:
    """Return a small network with fixed weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            # Named: an archive goes on only with the same weights under the same names.
            layers.Conv2D(3, 3, activation="relu", name="convolution"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, name="head"),
        ],
        name="fuzzed",
    )


def pictures(count: int = 4) -> list[np.ndarray]:
    """Return pictures of noise."""
    drawn = np.random.default_rng(0)
    return [drawn.integers(0, 256, (10, 10, 3), np.uint8) for _ in range(count)]


def subjects(room: Path) -> list[Subject]:
    """Save one of each kind and return them."""
    from keras_saliency import Explainer, compare, explain, predict_fixations

    net = model()
    result = explain(net, np.stack(pictures(2)) / np.float32(255), "grad_cam")
    extra = {"vector": np.arange(70.0), "small": np.float32(0.1), "pair": (1, float("nan"))}
    replace(result, info={**result.info, **extra}).save(room / "explanation")
    predict_fixations(pictures(1)[0]).save(room / "prediction")
    names = {"methods": ["gradient", "grad_cam"], "metrics": ["sparseness"], "preprocess": None}
    compare(net, pictures(2), **names).save(room / "comparison")
    kinds = [
        Subject("explanation", room / "explanation", read_explanation),
        Subject("prediction", room / "prediction", read_prediction),
        Subject("comparison", room / "comparison", read_comparison),
    ]
    for form in formats():
        place = room / f"archive_{form}"
        Explainer(net, preprocess=None).write(pictures(), place, format=form, part_size=2)
        kinds.append(Subject(place.name, place, read_archive))
    return kinds


def formats() -> list[str]:
    """Return the archive's formats whose packages are here."""
    try:
        import array_record  # noqa: F401
    except ImportError:
        return ["npz"]
    return ["npz", "array_record"]


def read_explanation(place: Path) -> Any:
    """Return all of a saved explanation."""
    from keras_saliency import Explanation

    return _fields(Explanation.load(place))


def read_prediction(place: Path) -> Any:
    """Return all of a saved prediction."""
    from keras_saliency import FixationPrediction

    return _fields(FixationPrediction.load(place))


def read_comparison(place: Path) -> Any:
    """Return all of a saved comparison's tables."""
    from keras_saliency import comparison

    return comparison.read(place)


def read_archive(place: Path) -> Any:
    """Return all of an archive."""
    from keras_saliency import Archive

    archive = Archive(place)
    records = {record.key: _fields(record) for record in archive}
    return {"info": dict(archive.info), "left": dict(archive.left_out), "records": records}


def _fields(value: Any) -> Any:
    public = {name: one for name, one in vars(value).items() if not name.startswith("_")}
    return {name: _plain(one) for name, one in public.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_plain(one) for one in value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return _fields(value) if hasattr(value, "__dataclass_fields__") else value


# ---------------------------------------------------------------------- flips


def flip(kinds: list[Subject], count: int, seed: int) -> collections.Counter[str]:
    """Flip ``count`` bits, one at a time: three in four in text, the others in any file."""
    drawn, result = random.Random(seed), collections.Counter[str]()
    for number in range(count):
        one = kinds[number % len(kinds)]
        files = sorted(
            path for path in one.place.rglob("*") if path.is_file() and path.stat().st_size
        )
        files = [path for path in files if path.suffix != ".png"]  # nothing is read of these
        text = [path for path in files if path.suffix in (".json", ".csv")]
        path = drawn.choice(text if number // len(kinds) % 4 else files)
        whole, true = path.read_bytes(), _once(one)
        at, bit = drawn.randrange(len(whole)), 1 << drawn.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        verdict = judge(one.read, one.place, [true])
        path.write_bytes(whole)
        result[verdict] += 1
        if verdict not in ("same", "refused"):
            print(f"  {verdict}: {one.name}, {path.name}, byte {at} ^ {bit}", flush=True)
    return result


_TRUE: dict[str, Any] = {}


def _once(one: Subject) -> Any:
    if one.name not in _TRUE:
        _TRUE[one.name] = one.read(one.place)
    return _TRUE[one.name]


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


def kill_saves(room: Path, count: int, drawn: random.Random) -> collections.Counter[str]:
    """Kill processes that save repeatedly to one path, and check it after each."""
    from keras_saliency import explain

    net = model()
    for name, method in (("old", "gradient"), ("new", "grad_cam")):
        explain(net, np.stack(pictures(2)) / np.float32(255), method).save(room / name)
    allowed = [read_explanation(room / name) for name in ("old", "new")]
    shutil.copytree(room / "old", room / "place")
    result = collections.Counter[str]()
    for number in range(count):
        way = ("exchange", "moves")[number % 2]
        _killed(_SAVER, [room, room / "place", way], drawn.uniform(0, 0.6))
        verdict = judge(read_explanation, room / "place", allowed)
        result["lost" if verdict == "refused" else verdict] += 1
    read_explanation(room / "place")
    explain(net, np.stack(pictures(2)) / np.float32(255)).save(room / "place")
    left = [path.name for path in room.iterdir() if path.name.startswith(".")]
    result["swept" if not left else "not swept"] += 1
    return result


def kill_archives(room: Path, count: int, drawn: random.Random) -> collections.Counter[str]:
    """Kill a process that fills an archive, again and again, until it is whole."""
    from keras_saliency import Archive, Explainer

    ask, result = Explainer(model(), preprocess=None), collections.Counter[str]()
    ask.write(pictures(40), room / "true")
    true = read_archive(room / "true")["records"]
    for number in range(count):
        if number % 4 == 0:  # a few kills each
            shutil.rmtree(room / "out", ignore_errors=True)
            before = 0
        _killed(_ARCHIVER, [room / "out"], drawn.uniform(0, 0.12))
        try:
            archive = Archive(room / "out")
        except KerasSaliencyError:  # killed before anything was there
            result["same" if not before else "lost"] += 1
            continue
        records = read_archive(room / "out")["records"]
        right = all(_close(one, true[key]) for key, one in records.items())
        result["lost" if len(archive) < before else "same" if right else "wrong"] += 1
        before = len(archive)
    ask.write(pictures(40), room / "out")
    result["finished" if len(Archive(room / "out")) == 40 else "lost"] += 1
    return result


def _close(one: Any, other: Any) -> bool:
    scores = np.isclose(one["score"], other["score"], rtol=1e-4, atol=1e-5)
    return bool(scores and np.allclose(one["values"], other["values"], rtol=1e-3, atol=1e-5))


def kill_trainings(room: Path, count: int, drawn: random.Random) -> collections.Counter[str]:
    """Kill a training of a fixation model again and again; then it must end as one never killed."""
    true, result = train(room / "true"), collections.Counter[str]()
    out, before = room / "out", -1
    for _ in range(count):
        _killed(_TRAINER, [out], drawn.uniform(0.1, 1.2))
        try:
            done = steps_done(out)
        except KerasSaliencyError:
            result["lost"] += 1
            continue
        result["lost" if done < before else "same"] += 1
        before = done
    end = train(out)
    alike = all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(end, true, strict=True))
    result["finished" if alike else "wrong"] += 1
    return result


def _killed(program: str, args: list[Any], after: float) -> None:
    """Start a program, wait until it is ready and then a while, and kill it."""
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
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


# ---------------------------------------------------------------------- training


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
    batches = data.FixationBatches([_recording(i) for i in range(12)], [(64, 96)], 4, shuffle=True)
    checked = data.FixationBatches([_recording(50 + i) for i in range(4)], [(64, 96)], 4)
    ready()
    place = run(recipe, batches, checked, folder, weights=None, every=0.0)
    return [keras.ops.convert_to_numpy(one) for one in load_model(place).weights]


def _recording(number: int) -> Any:
    from keras_saliency.fixation import data

    drawn = np.random.default_rng(number)
    picture = drawn.integers(0, 256, (60, 80, 3), np.uint8)
    y, x = drawn.uniform(0, 59, 20), drawn.uniform(0, 79, 20)
    extra_inputs = y.astype(np.float32), x.astype(np.float32)
    return data.Recording(f"{number:03d}", "noise", "train", picture, (60, 80), *extra_inputs, 3.0)


def steps_done(folder: Path) -> int:
    """Return how far a training's checkpoint is: a number that grows with every step."""
    from keras_saliency.fixation import checkpoint

    result = checkpoint.load(folder / "checkpoint.npz")
    if result is None:
        return -1
    state = result[0]
    return int(state["stage"]) * 10**6 + int(state["epoch"]) * 10**3 + int(state["step"])


# ---------------------------------------------------------------------- all


def main(argv: list[str] | None = None) -> int:
    """Run both, print the counts, and return 1 if anything failed."""
    parser = make_parser(".studies.fuzz_storage", __doc__)
    parser.add_argument("--flips", type=int, default=400)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("save", "archive", "training"))
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    total = collections.Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        room, drawn = Path(name), random.Random(args.seed)
        kinds = subjects(room)
        total.update(_print_counts(f"{args.flips} bit flips", flip(kinds, args.flips, args.seed)))
        third = args.kills // 3
        kills = {"save": kill_saves, "archive": kill_archives, "training": kill_trainings}
        for what, run in kills.items() if os.name == "posix" and third else ():
            if args.only not in (None, what):
                continue
            count = args.kills - 2 * third if what == "save" else third
            place = room / what
            place.mkdir()
            total.update(_print_counts(f"{count} kills in {what}", run(place, count, drawn)))
    failed = {name: total[name] for name in ("raw", "wrong", "lost", "not swept")}
    print(f"raw {failed['raw']}, wrong {failed['wrong']}, lost {failed['lost']}")
    return int(any(failed.values()))


def _print_counts(what: str, result: collections.Counter[str]) -> collections.Counter[str]:
    print(f"{what}: {', '.join(f'{name} {count}' for name, count in sorted(result.items()))}")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main())
