"""The verb ``explain``: map where a model looks in pictures and other inputs."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import arguments, files, output, parsing
from keras_saliency.cli.output import printable, quiet, say, tell
from keras_saliency.cli.parser import add_verb
from keras_saliency.errors import InputError, KerasSaliencyError, MethodError

if TYPE_CHECKING:  # the rest is imported where it is used: --help must not wait for it
    from keras_saliency._results.explanation import Explanation

_EXAMPLES = """
keras-saliency explain dog.jpg --method grad_cam --overlay
keras-saliency explain photos/ -M "integrated_gradients(steps=100)" -o maps
keras-saliency explain dog.jpg -t "golden retriever" -t tabby -o two_classes
keras-saliency explain dog.jpg --model my_model.keras --preprocess tf
keras-saliency explain heartbeat.wav --model my_model.keras --kind signal
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "explain",
        "[FILE ...] [OPTIONS]",
        "map where a model looks in pictures and other inputs",
        "Map where a model looks in pictures, or in files of signals (.npy, .npz, .csv, .wav), "
        "volumes (.npy, .nii), videos (.gif, .mp4), texts (.txt) and tables (.csv). Each result "
        "is a folder with figure.png, explanation.npz and manifest.json; their paths are printed, "
        "one a line.",
        _EXAMPLES,
    )
    arguments.add_files(verb, "pictures or other inputs")
    arguments.add_kind(verb)
    add = verb.add_argument_group("the method").add_argument
    add("-M", "--method", default="gradient", metavar="NAME", help="a name that keras-saliency "
        "methods lists, alone or with options: \"smooth_grad(samples=5)\"; default: "
        "%(default)s")  # fmt: skip
    add("--method-option", metavar="NAME=VALUE", action="append", default=[], type=parsing.pair,
        help="such as steps=100, layer=block5_conv3, base=grad_cam; repeatable")  # fmt: skip
    arguments.add_model(verb)
    arguments.add_target(verb, several=True)
    arguments.add_running(verb)
    arguments.add_results(verb, overlay=True)
    verb.set_defaults(run=_run, parser=verb, verb="explain")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency._io import track

    try:
        method = parsing.method(args.method, args.method_option)
    except MethodError as error:
        args.parser.error(output.words(error, args))
    labels = [""] if len(args.target or []) < 2 else [_label(words) for words in args.target]
    named: Any = files.named(args.files, args, "explaining", args.kind, labels)
    several = len(named) > 1
    if several:
        named = track(named, len(named), "files", wait=0)
    rows: list[dict[str, Any]] = []
    job: dict[str, Any] = {}
    for file, folders in named:
        rows += _explained(file, folders, method, args, job, f"{file}: " if several else "")
    if args.json:
        print(json.dumps(output.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))


def _explained(
    file: Any,
    folders: Sequence[Path],
    method: Any,
    args: argparse.Namespace,
    job: dict[str, Any],
    about: str,
) -> list[dict[str, Any]]:
    """Explain one file, save each result, and return the rows of JSON, one for each target.

    Args:
        file: Its path.
        folders: Where the results go.
        method: The method.
        args: The command line.
        job: The arguments of explain(), made at the first file that can be read.
        about: The file's name and a colon, where there are several.
    """
    from keras_saliency import explain
    from keras_saliency._inputs import pictures, reading

    rows = [output.row(file) for _ in folders]

    def failed(error: Exception, rows: Sequence[dict[str, Any]]) -> None:
        message = tell(error, args, about)
        for row in rows:
            row["error"] = message

    try:
        read = reading.may_be_read_as_picture(file, args.kind)
        given = pictures.read(file) if read else Path(file)
    except KerasSaliencyError as error:
        failed(error, rows)
        return rows
    if not job:
        with quiet():  # a failure here ends the command
            job |= {**chosen(args, file), "kind": args.kind}
    try:
        with quiet():
            made: Any = explain(image=given, method=method, **job)
    except Exception as error:
        failed(error, rows)
        return rows
    results = made if isinstance(made, list) else [made]
    for explanation, folder, row in zip(results, folders, rows, strict=True):
        try:
            with quiet():
                explanation.save(folder)
                overlay = _overlay(explanation, folder) if args.overlay else None
        except Exception as error:
            failed(error, [row])
            continue
        row.update(output.of(explanation, folder), overlay=overlay and str(overlay))
        say(about + explanation.title())
        for finding in row["checks"]["findings"]:
            say(f"warning: {about}{finding}")
        if not args.json:
            print(printable(str(folder)), flush=True)
    return rows


def _label(words: tuple[str, list[str]]) -> str:
    """Return a target as a part of a folder's name."""
    kind, parts = words
    whole = "-".join([*([] if kind == "class" else [kind]), *parts])
    return re.sub(r"[^\w.-]+", "_", whole.strip()) or "target"


def _overlay(explanation: Explanation, folder: Path) -> Path:
    """Write the map over its picture beside the figure."""
    from keras_saliency._results import provenance

    if explanation.info["kind"] != "picture":
        raise InputError(
            "Expected pictures for --overlay.",
            f"Got an input of kind {explanation.info['kind']}.",
            "Leave --overlay out; figure.png shows input and map together.",
            "keras-saliency explain --help",
        )
    path = folder / provenance.OVERLAY
    explanation.to_pil().save(path)
    return path


def chosen(args: argparse.Namespace, file: Any = None) -> dict[str, Any]:
    """Return the arguments of explain() from the command line; starts Keras and loads a model.

    Args:
        args: The command line.
        file: The first file, which may show what the model takes; None: pictures.

    Raises:
        KerasSaliencyError: No such model, or arguments that do not fit it.
    """
    from keras_saliency.cli.loading import load

    output.announce_backend()
    options = {name: parsing.value(text) for name, text in args.model_option}
    model = load(args.model, args.weights, options)
    pictures = file is None or _are_pictures(model, file, args.kind)
    if args.weights is not None and args.weights.lower() == "none":
        say("warning: the weights are random, so the maps mean nothing")
    words = args.target if isinstance(args.target, list) else [args.target]
    wanted = [parsing.target(one, args.score, model, args.model_output) for one in words]
    return {
        "model": model,
        "target": wanted[0] if len(wanted) == 1 else wanted,
        "preprocess": parsing.preprocess(args.preprocess, args.fit, model, pictures),
        "batch_size": args.batch_size,
        "seed": args.seed,
    }


def _are_pictures(model: Any, file: Any, kind: str | None) -> bool:
    from keras_saliency._inputs import text
    from keras_saliency._inputs.recognition import kind_of

    return kind_of(text.adapter(model), file, kind).name == "picture"
