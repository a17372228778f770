"""The verbs ``explain`` and ``predict``: map where a model, or people, look in photos."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import designs, output, parsing
from keras_saliency.cli.output import printable, quiet, say, tell
from keras_saliency.errors import KerasSaliencyError, MethodError

if TYPE_CHECKING:  # the rest is imported where it is used: --help must not wait for it
    from keras_saliency.fixation.prediction import FixationPrediction

_READ = "keras-saliency explain --help"
_EXAMPLES = """examples:
  keras-saliency explain
  keras-saliency explain dog.jpg cat.png --method grad_cam --out maps
  keras-saliency explain dog.jpg --method integrated_gradients --method-option steps=100
  keras-saliency explain dog.jpg --target "golden retriever" --score probability
  keras-saliency explain dog.jpg --model MobileNetV2 --weights mobilenet_v2.weights.h5
  keras-saliency explain dog.jpg --model my_model.keras --preprocess tf
  keras-saliency explain heartbeat.wav --model my_model.keras --kind signal
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "explain",
        help="map where a model looks in photos",
        description="Map where a model looks in photos, or in files of signals (.npy, .npz, .csv, "
        ".wav), volumes (.nii), videos (.gif, .mp4), texts (.txt) and tables (.csv). Each result "
        "is a folder with figure.png, explanation.npz and manifest.json; their paths are printed, "
        "one a line.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    add_arguments(verb)
    add("--method", default="gradient", metavar="NAME", help="see keras-saliency methods; "
        "default: %(default)s")  # fmt: skip
    add("--method-option", metavar="NAME=VALUE", action="append", default=[], type=parsing.pair,
        help="such as steps=100, layer=block5_conv3, base=grad_cam; repeatable")  # fmt: skip
    add("--kind", choices=("picture", "signal", "volume", "video", "tokens", "table"),
        help="what the files hold; default: what the model shows")  # fmt: skip
    output.add_arguments(verb)
    verb.set_defaults(run=_run, parser=verb)


def _run(args: argparse.Namespace) -> int:
    from keras_saliency import explain
    from keras_saliency._inputs import pictures, reading
    from keras_saliency._io import progress

    try:
        method = parsing.method(args.method, args.method_option)
    except MethodError as error:
        args.parser.error(str(error))
    named: Any = output.named(args.photos, args.out, "explaining", _READ)
    several = len(named) > 1
    if several:
        named = progress.track(named, len(named), "photos", wait=0)
    rows: list[dict[str, Any]] = []
    job = None
    for photo, folder in named:
        row: dict[str, Any] = output.row(photo)
        rows.append(row)
        about = f"{photo}: " if several else ""
        try:
            read = reading.may_be_read_as_picture(photo, args.kind)
            picture = pictures.read(photo) if read else Path(photo)
        except KerasSaliencyError as error:
            row["error"] = tell(error, args.traceback, about)
            continue
        with quiet():
            # A failure here ends the command.
            job = job or {**chosen(args, photo), "kind": args.kind}
        try:
            with quiet():
                explanation = explain(image=picture, method=method, **job)
                explanation.save(folder)
        except Exception as error:
            row["error"] = tell(error, args.traceback, about)
            continue
        row.update(output.of(explanation, folder))
        say(about + explanation.title())
        for finding in row["checks"]["findings"]:
            say(f"warning: {about}{finding}")
        if not args.json:
            print(printable(str(folder)), flush=True)
    if args.json:
        print(json.dumps(output.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))


def add_arguments(verb: Any) -> None:
    """Add the arguments that name a model, a target and the preprocessing."""
    add = verb.add_argument
    add("--model", default="efficientnet_lite0", help="a name of keras.applications, a .keras or "
        ".h5 file, or %(default)s (the default)")  # fmt: skip
    add("--weights", help="a weights file; imagenet (the default); none for random ones")
    add("--model-option", metavar="NAME=VALUE", action="append", default=[], type=parsing.pair,
        help="for building the network, such as alpha=0.25; may be repeated")  # fmt: skip
    add("--target", metavar="WHAT", type=parsing.target_words, help="a class number, an ImageNet "
        "class name, margin:A:B (class A against B) or pixel:Y:X[:CHANNEL] of a dense output; "
        "default: the predicted class")  # fmt: skip
    add("--score", choices=("logit", "probability", "log_probability"), default="logit")
    add("--preprocess", choices=("auto", "caffe", "tf", "torch", "none"), default="auto",
        help="auto knows the networks of keras.applications by their layers, and models that "
        "rescale; none leaves 0..255")  # fmt: skip
    add("--fit", choices=("stretch", "crop", "pad"), default="stretch",
        help="how a photo gets the model's shape; default: %(default)s")  # fmt: skip
    add("--batch-size", type=parsing.batch_size, default=8, metavar="N",
        help="a number, or auto; default: %(default)s")  # fmt: skip
    add("--seed", type=int, default=0, help="for methods that draw random numbers; default: 0")


def chosen(args: argparse.Namespace, photo: Any = None) -> dict[str, Any]:
    """Return the arguments of explain() from the command line; starts Keras and loads a model.

    Args:
        args: The command line.
        photo: The first file, which may show what the model takes; None: pictures.

    Raises:
        KerasSaliencyError: No such model, or arguments that do not fit it.
    """
    from keras_saliency.cli.loading import load

    backend, why = output.start_keras()
    if why.endswith("not installed"):
        say(f"{why}: using {backend}")
    options = {name: parsing.value(text) for name, text in args.model_option}
    model = load(args.model, args.weights, options)
    pictures = photo is None or _are_pictures(model, photo, args.kind)
    if args.weights is not None and args.weights.lower() == "none":
        say("warning: the weights are random, so the maps mean nothing")
    return {
        "model": model,
        "target": parsing.target(args.target, args.score, model),
        "preprocess": parsing.preprocess(args.preprocess, args.fit, model, pictures),
        "batch_size": args.batch_size,
        "seed": args.seed,
    }


def _are_pictures(model: Any, photo: Any, kind: str | None) -> bool:
    from keras_saliency._inputs import text
    from keras_saliency._inputs.recognition import kind_of

    return kind_of(text.adapter(model), photo, kind).name == "picture"


_READ_PREDICT = "keras-saliency predict --help"
_KEYS = ("picture", "folder", "figure", "peak", "half_area", "shares", "overlaps", "model",
         "side", "mirror", "error")  # fmt: skip
_EXAMPLES_PREDICT = """examples:
  keras-saliency predict
  keras-saliency predict street.jpg poster.png --out gaze
  keras-saliency predict photos/*.jpg --batch-size 8 --json > gaze.json
  keras-saliency predict street.jpg --model my_training --mirror
  keras-saliency predict poster.png --region headline=10,20,60,300 --region logo=0,0,40,40
"""


def add_predict(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "predict",
        help="map where people look at photos",
        description="Map where people look at photos in the first seconds. Each result is a "
        "folder with figure.png, prediction.npz and manifest.json; their paths are printed, one a "
        "line.",
        epilog=_EXAMPLES_PREDICT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    add("--model", default="default", help="default (the one in this package), a folder that "
        "keras-saliency train wrote, or a .keras file")  # fmt: skip
    add("--mirror", action=argparse.BooleanOptionalAction, help="average over the photo and its "
        "mirror image, in twice the time; default: as the model was made for")  # fmt: skip
    add("--batch-size", type=parsing.count, default=1, metavar="N", help="photos that go through "
        "the model at once; more is quicker on a GPU only; default: 1")  # fmt: skip
    designs.add_region(add)
    output.add_arguments(verb, out="fixations_out")
    verb.set_defaults(run=_run_predict)


def _run_predict(args: argparse.Namespace) -> int:
    from keras_saliency._io import progress

    named = output.named(args.photos, args.out, "predicting for", _READ_PREDICT)
    parts: Any = [
        named[start : start + args.batch_size] for start in range(0, len(named), args.batch_size)
    ]
    if len(named) > 1:
        parts = progress.track(parts, len(parts), "photos" if args.batch_size == 1 else "batches",
                               wait=0)  # fmt: skip
    rows: list[dict[str, Any]] = []
    for part in parts:
        rows += _part(part, args, several=len(named) > 1)
    if args.json:
        print(json.dumps(output.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))


def _part(
    part: Sequence[tuple[Any, Path]], args: argparse.Namespace, several: bool
) -> list[dict[str, Any]]:
    """Predict for some photos at once, save each, and return their rows of JSON."""
    from keras_saliency.fixation.predict import Photo, read

    rows = [{**dict.fromkeys(_KEYS), "picture": str(photo)} for photo, _ in part]
    abouts = [f"{photo}: " if several else "" for photo, _ in part]
    good: dict[int, Photo] = {}
    for i, (photo, _) in enumerate(part):
        try:
            (good[i],) = read(photo)
        except KerasSaliencyError as error:
            rows[i]["error"] = tell(error, args.traceback, abouts[i])
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
            rows[i]["error"] = tell(error, args.traceback, abouts[i])
        return rows
    for i, prediction in zip(good, predictions, strict=True):
        folder = part[i][1]
        try:
            with quiet():
                prediction.save(folder)
        except Exception as error:
            rows[i]["error"] = tell(error, args.traceback, abouts[i])
            continue
        rows[i].update(_as_row(prediction, folder))
        say(prediction.title())
        try:
            rows[i].update(designs.row(prediction, args.region))
        except KerasSaliencyError as error:
            rows[i]["error"] = tell(error, args.traceback, abouts[i])
        if not args.json:
            print(printable(str(folder)), flush=True)
    return rows


def _predict(source: str) -> Any:
    """Return predict_fixations() with a model, which is loaded once a process."""
    from functools import partial

    backend, why = output.start_keras()
    if why.endswith("not installed"):
        say(f"{why}: using {backend}")
    from keras_saliency import predict_fixations
    from keras_saliency.fixation.predictor import predictor

    predictor(source)
    return partial(predict_fixations, model=source)


def _as_row(prediction: FixationPrediction, folder: Path) -> dict[str, Any]:
    """Return the JSON entries of the prediction for one photo, saved in a folder."""
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
