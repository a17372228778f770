"""The verb ``app``: a live page on this machine."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from keras_saliency.cli import output, parsing
from keras_saliency.cli.parser import add_verb

_EXAMPLES = """
keras-saliency app
keras-saliency app --model my_model.keras --model other.keras --preprocess tf
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "app",
        "[OPTIONS]",
        "open a live page: drop a picture, see where a model and people look",
        "Open a live page: drop a picture, and see where a model looks and where people do. It is "
        "served to this machine only (127.0.0.1) and asks for nothing outside it. Needs the extra "
        "app: pip install 'keras-saliency[app]'.",
        _EXAMPLES,
    )
    add = verb.add_argument
    add("-m", "--model", action="append", metavar="MODEL", help="a .keras or .h5 file, or a name "
        "of keras.applications; repeatable; default: efficientnet_lite0")  # fmt: skip
    add("-p", "--preprocess", metavar="HOW", choices=("auto", "caffe", "tf", "torch", "none"),
        default="auto", help="what happens to pixels, for all these models: auto (the default), "
        "caffe, tf, torch or none")  # fmt: skip
    add("--port", type=parsing.count, metavar="N", help="of the page; default: the first free one "
        "from 7860 on")  # fmt: skip
    add("--browser", action=argparse.BooleanOptionalAction, default=True,
        help="open the page in a browser; default: yes")  # fmt: skip
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_run, parser=verb, verb="app")


def _run(args: argparse.Namespace) -> int:
    output.announce_backend()
    from keras_saliency.app import serve
    from keras_saliency.cli.loading import load

    names = args.model or ["efficientnet_lite0"]
    short = [Path(name).name for name in names]
    shown = short if len(set(short)) == len(short) else names  # two folders may hold one name
    models = {one: functools.partial(load, name) for one, name in zip(shown, names, strict=True)}
    models[shown[0]] = load(names[0])  # a mistake in it shows before the page does
    preprocess = None if args.preprocess == "none" else args.preprocess
    serve(models, preprocess=preprocess, port=args.port, open_browser=args.browser)
    return 0
