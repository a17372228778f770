"""The verb ``explain``: map where a model looks in photos."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_saliency.cli import photos, results, subject, words
from keras_saliency.cli.output import quiet, say, tell
from keras_saliency.errors import KerasSaliencyError, MethodError

_READ = "keras-saliency explain --help"
_EXAMPLES = """examples:
  keras-saliency explain
  keras-saliency explain dog.jpg cat.png --method grad_cam --out maps
  keras-saliency explain dog.jpg --method integrated_gradients --method-option steps=100
  keras-saliency explain dog.jpg --target "golden retriever" --score probability
  keras-saliency explain dog.jpg --model MobileNetV2 --weights mobilenet_v2.weights.h5
  keras-saliency explain dog.jpg --model my_model.keras --preprocess tf
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "explain",
        help="map where a model looks in photos",
        description="Map where a model looks in photos. Each result is a folder with figure.png, "
        "explanation.npz and manifest.json; their paths are printed, one a line.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    subject.add_arguments(verb)
    add("--method", default="gradient", metavar="NAME", help="see keras-saliency methods; "
        "default: %(default)s")  # fmt: skip
    add("--method-option", metavar="NAME=VALUE", action="append", default=[], type=words.pair,
        help="such as steps=100, layer=block5_conv3, base=grad_cam; repeatable")  # fmt: skip
    photos.add_arguments(verb)
    verb.set_defaults(run=_run, parser=verb)


def _run(args: argparse.Namespace) -> int:
    from keras_saliency import explain, pictures, progress

    try:
        method = words.method(args.method, args.method_option)
    except MethodError as error:
        args.parser.error(str(error))
    named: Any = photos.named(args.photos, args.out, "explaining", _READ)
    several = len(named) > 1
    if several:
        named = progress.track(named, len(named), "photos", wait=0)
    rows: list[dict[str, Any]] = []
    job = None
    for photo, folder in named:
        row: dict[str, Any] = results.row(photo)
        rows.append(row)
        about = f"{photo}: " if several else ""
        try:
            picture = pictures.read(photo)
        except KerasSaliencyError as error:
            row["error"] = tell(error, args.traceback, about)
            continue
        with quiet():
            job = job or subject.chosen(args)  # a failure here ends the command
        try:
            with quiet():
                explanation = explain(image=picture, method=method, **job)
                explanation.save(folder)
        except Exception as error:
            row["error"] = tell(error, args.traceback, about)
            continue
        row.update(results.of(explanation, folder))
        say(about + explanation.title())
        for finding in row["checks"]["findings"]:
            say(f"warning: {about}{finding}")
        if not args.json:
            print(folder, flush=True)
    if args.json:
        print(json.dumps(results.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))
