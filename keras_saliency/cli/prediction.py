"""The verb ``predict``: map where people look at pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import arguments, files, output, parsing
from keras_saliency.cli.output import printable, quiet, say, tell
from keras_saliency.cli.parser import add_verb
from keras_saliency.errors import KerasSaliencyError

if TYPE_CHECKING:
    from keras_saliency.fixation.prediction import FixationPrediction

_KEYS = ("picture", "folder", "figure", "peak", "half_area", "model", "side", "mirror", "error")
_EXAMPLES = """
keras-saliency predict street.jpg poster.png --out gaze
keras-saliency predict photos/ --batch-size 8 --json > gaze.json
keras-saliency predict street.jpg --model my_training --mirror
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "predict",
        "[FILE ...] [OPTIONS]",
        "map where people look at pictures",
        "Map where people look at pictures in the first seconds. Each result is a folder with "
        "figure.png, prediction.npz and manifest.json; their paths are printed, one a line.",
        _EXAMPLES,
    )
    arguments.add_files(verb, "pictures")
    add = verb.add_argument_group("the model").add_argument
    add("-m", "--model", metavar="MODEL", default="default", help="default (the one in this "
        "package), a folder that keras-saliency train wrote, or a .keras file")  # fmt: skip
    add("--mirror", action=argparse.BooleanOptionalAction, help="average over the picture and its "
        "mirror image, in twice the time; default: as the model was made for")  # fmt: skip
    add("-b", "--batch-size", type=parsing.count, default=1, metavar="N", help="pictures that go "
        "through the model at once; more is quicker on a GPU only; default: 1")  # fmt: skip
    arguments.add_results(verb, out="fixations_out")
    verb.set_defaults(run=_run, parser=verb, verb="predict")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency._io import progress

    named = files.named(args.files, args, "predicting for")
    parts: Any = [
        named[start : start + args.batch_size] for start in range(0, len(named), args.batch_size)
    ]
    if len(named) > 1:
        noun = "files" if args.batch_size == 1 else "batches"
        parts = progress.track(parts, len(parts), noun, wait=0)
    rows: list[dict[str, Any]] = []
    for part in parts:
        rows += _part(part, args, several=len(named) > 1)
    if args.json:
        print(json.dumps(output.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))


def _part(
    part: Sequence[tuple[Any, list[Path]]], args: argparse.Namespace, several: bool
) -> list[dict[str, Any]]:
    """Predict for some pictures at once, save each, and return their rows of JSON."""
    from keras_saliency.fixation.predict import Photo, read

    rows = [{**dict.fromkeys(_KEYS), "picture": str(photo)} for photo, _ in part]
    abouts = [f"{photo}: " if several else "" for photo, _ in part]
    good: dict[int, Photo] = {}
    for i, (photo, _) in enumerate(part):
        try:
            (good[i],) = read(photo)
        except KerasSaliencyError as error:
            rows[i]["error"] = tell(error, args, abouts[i])
    if not good:
        return rows
    with quiet():
        predict = _predict(args.model)  # a failure here ends the command
    try:
        with quiet():
            predictions: Sequence[FixationPrediction] = list(
                predict(list(good.values()), batch_size=args.batch_size, mirror=args.mirror)
            )
    except Exception as error:
        for i in good:
            rows[i]["error"] = tell(error, args, abouts[i])
        return rows
    for i, prediction in zip(good, predictions, strict=True):
        (folder,) = part[i][1]
        try:
            with quiet():
                prediction.save(folder)
        except Exception as error:
            rows[i]["error"] = tell(error, args, abouts[i])
            continue
        rows[i].update(_as_row(prediction, folder))
        say(prediction.title())
        if not args.json:
            print(printable(str(folder)), flush=True)
    return rows


def _predict(source: str) -> Any:
    """Return predict_fixations() with a model, which is loaded once a process."""
    from functools import partial

    output.announce_backend()
    from keras_saliency import predict_fixations
    from keras_saliency.fixation.predictor import predictor

    predictor(source)
    return partial(predict_fixations, model=source)


def _as_row(prediction: FixationPrediction, folder: Path) -> dict[str, Any]:
    """Return the JSON entries of the prediction for one picture, saved in a folder."""
    import numpy as np

    (density,) = prediction.maps()
    y, x = np.unravel_index(density.argmax(), density.shape)
    return {
        "folder": str(folder),
        "figure": str(folder / "figure.png"),
        "peak": {"y": int(y), "x": int(x)},
        "half_area": float(prediction.area()[0]),
        **{key: prediction.info[key] for key in ("model", "side", "mirror")},
    }
