"""Damaged pictures through the reader.

    python -m benchmarks.studies.fuzz_pictures --count 2100 --seed 0

Every format Pillow writes here, each file damaged in one of five ways: bytes changed anywhere or in
the header, cut off, a part left out, a part repeated. The outcomes are counted:

read        an array, as large as the picture says
refused     an ImageError
raw         any other error
wrong       the result is no picture (its shape, its type), or the undamaged one is read otherwise
            than Pillow reads it
hang        longer than 20 seconds; the process is ended and the next picture is read
died        the process ended by itself

A sample then goes into a folder with ``Explainer.write(on_error="skip")``: those that were refused
must be left out, all others explained. The exit status is 0 where raw, wrong, hang and died are 0.
"""

from __future__ import annotations

import collections
import io
import multiprocessing
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from benchmarks import make_parser

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("RGB", {}),
    "gif": ("P", {}),
    "jpg": ("RGB", {"quality": 90}),
    "webp": ("RGB", {"lossless": True}),
    "avif": ("RGB", {}),
    "bmp": ("RGB", {}),
    "tif": ("RGB", {"compression": "tiff_lzw"}),
    "ppm": ("RGB", {}),
    "tga": ("RGB", {"compression": "tga_rle"}),
    "ico": ("RGBA", {}),
    "jp2": ("RGB", {}),
    "pcx": ("RGB", {}),
    "sgi": ("RGB", {}),
    "dds": ("RGB", {}),
    "im": ("RGB", {}),
    "icns": ("RGBA", {}),
}
_PATIENCE = 20  # seconds for one picture
_SIZE = (48, 40)


def whole(form: str, seed: int) -> bytes:
    """Return an undamaged picture in a format."""
    mode, options = FORMATS[form]
    drawn = np.random.default_rng(seed)
    size = (32, 32) if form in ("ico", "icns") else _SIZE
    small = Image.fromarray(drawn.integers(0, 256, (8, 8, 3), np.uint8))
    file = io.BytesIO()
    file.name = f"x.{form}"
    small.resize(size).convert(mode).save(
        file, Image.registered_extensions()[f".{form}"], **options
    )
    return file.getvalue()


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """Return a picture's bytes, damaged in one way."""
    result, way = bytearray(data), int(generator.integers(5))
    start, length = int(generator.integers(len(data))), int(generator.integers(1, 40))
    if way < 2:
        end = min(len(result), 64) if way else len(result)
        for place in generator.integers(0, end, int(generator.choice([1, 2, 5, 20]))):
            result[place] = generator.integers(256)
    elif way == 2:
        del result[start:]
    elif way == 3:
        del result[start : start + length]
    else:
        result[start:start] = result[start : start + length]
    return bytes(result)


def outcome(path: str) -> str:
    """Return what becomes of one file."""
    from keras_saliency._inputs import pictures
    from keras_saliency.errors import ImageError

    try:
        array = pictures.read(path)
    except ImageError:
        return "refused"
    except Exception as error:
        return f"raw {type(error).__name__}"
    good = array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] in (1, 3)
    return "read" if good and array.size else "wrong"


def _work(paths: list[str], results: Any) -> None:
    warnings.simplefilter("ignore")
    for path in paths:
        results.send((path, outcome(path)))
    results.send(None)


def outcomes(paths: list[str]) -> dict[str, str]:
    """Return what becomes of each file, read in a process that may hang or die."""
    context, result, left = multiprocessing.get_context("spawn"), {}, list(paths)
    while left:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(left, sender), daemon=True)
        process.start()
        sender.close()
        ending, patience = "hang", 120  # the first takes the imports too
        while receiver.poll(patience):
            try:
                message = receiver.recv()
            except EOFError:
                ending = "died"
                break
            if message is None:
                ending = ""
                break
            result[message[0]] = message[1]
            patience = _PATIENCE
        process.kill()
        process.join()
        left = [path for path in left if path not in result]
        if ending and left:
            result[left.pop(0)] = ending
    return result


def undamaged(form: str, seed: int) -> str:
    """Return "" where an undamaged picture is read as Pillow reads it, else "wrong"."""
    from keras_saliency._inputs import pictures

    data = whole(form, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{form}"
        path.write_bytes(data)
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        return "" if np.array_equal(pictures.read(path), expected) else "wrong"


def skipped(paths: list[str], outcome_of: dict[str, str], folder: Path) -> str:
    """Explain files into a folder; return "" where just those that are refused are left out."""
    import keras

    from keras_saliency import Explainer

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    )
    done = Explainer(model, preprocess=None).write(paths, folder, on_error="skip")
    # A picture that is read may still be too small to be enlarged.
    missed = [path for path in paths if outcome_of[path] == "refused" and path in done]
    lost = len(done) + len(done.left_out) != len(paths)
    return f"wrong: {len(missed)} explained, {lost} lost" if missed or lost else ""


def main(argv: list[str] | None = None) -> int:
    """Damage pictures, read them and print counts."""
    parser = make_parser(".studies.fuzz_pictures", __doc__)
    parser.add_argument("--count", type=int, default=2100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--explained", type=int, default=150, help="of these, into a folder")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    absent = {"avif": "avif", "jp2": "jpg_2000", "webp": "webp"}
    forms = [one for one in FORMATS if one not in absent or features.check(absent[one])]
    counts: dict[str, collections.Counter[str]] = {one: collections.Counter() for one in forms}
    with tempfile.TemporaryDirectory() as room:
        files: dict[str, str] = {}
        for number in range(args.count):
            form = forms[number % len(forms)]
            generator = np.random.default_rng((args.seed, number))
            path = Path(room) / f"{number}.{form}"
            path.write_bytes(damaged(whole(form, number % 7), generator))
            files[str(path)] = form
        outcome_of = outcomes(list(files))
        for path, form in files.items():
            counts[form][outcome_of[path].partition(" ")[0]] += 1
        for form in forms:
            counts[form]["wrong"] += sum(bool(undamaged(form, seed)) for seed in range(3))
        for path, one in outcome_of.items():
            if one not in ("read", "refused"):
                print(Path(path).name, one)
        some = [path for path, one in outcome_of.items() if one in ("read", "refused")]
        bad = skipped(some[: args.explained], outcome_of, Path(room) / "out")
    kinds = ("read", "refused", "raw", "wrong", "hang", "died")
    print(f"{'format':8}" + "".join(f"{kind:>9}" for kind in kinds))
    total = sum(counts.values(), collections.Counter())
    for form, count in [*counts.items(), ("all", total)]:
        print(f"{form:8}" + "".join(f"{count[kind]:9}" for kind in kinds))
    print(f"{args.explained} into a folder: {bad or 'as the reader says'}")
    return int(bool(bad) or any(total[kind] for kind in kinds[2:]))


if __name__ == "__main__":
    raise SystemExit(main())
