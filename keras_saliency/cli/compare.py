"""The verbs ``compare`` and ``report``: several methods on the same inputs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import arguments, explain, files, output, parsing
from keras_saliency.cli.output import printable, quiet, say, tell
from keras_saliency.cli.parser import Parser, add_verb
from keras_saliency.errors import KerasSaliencyError, MethodError, MetricError

if TYPE_CHECKING:
    from keras_saliency.comparison import Comparison

_READ = "keras-saliency compare --help"
_FILES = "pictures, or files of signals, volumes, videos, texts or tables"
_EXAMPLES = """
keras-saliency compare dog.jpg cat.png --methods grad_cam,lrp,occlusion
keras-saliency compare photos/ --methods all --metrics road -o all_of_them
keras-saliency compare dog.jpg -M "smooth_grad,smooth_grad(samples=5)"
keras-saliency compare heartbeat.wav -m my_model.keras --kind signal
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "compare",
        "[FILE ...] [OPTIONS]",
        "compare methods on the same inputs, in a table and a figure",
        "Compare methods on the same inputs. A table of scores is printed; the folder gets "
        "figure.png with all maps, scores.png, table.csv and table.json.",
        _EXAMPLES,
    )
    _add_arguments(verb)
    arguments.add_results(
        verb, "saliency_comparison", "DIR", "where the results go", "print JSON instead of a table"
    )
    verb.set_defaults(run=_run, parser=verb, verb="compare")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency._io import folders
    from keras_saliency.comparison import writing

    what = f"Cannot save a comparison as the folder {str(args.out)!r}."
    folders.check(args.out, writing.OURS, what, _READ)  # now rather than after an hour
    result, broken = run(args, "comparing methods on")
    if result is None:
        return 1
    with quiet():
        place = result.save(args.out)
    if args.json:
        as_json = {"folder": str(place), "broken": broken, **writing.as_json(result)}
        print(json.dumps(as_json, indent=2))
    else:
        print(printable(f"{result.title()}\n\n{result.table()}"), flush=True)
    say(str(place))
    return status(result, broken)


_REPORT_EXAMPLES = """
keras-saliency report dog.jpg cat.png --out dogs_and_cats.html
keras-saliency report photos/ --methods grad_cam,lrp,occlusion
"""


def add_report(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "report",
        "[FILE ...] [OPTIONS]",
        "compare methods on the same inputs, in one HTML file",
        "Compare methods on the same inputs and write one HTML file with the inputs, maps to be "
        "faded in and out, scores and checks. It opens in a browser without a network. Its path "
        "is printed.",
        _REPORT_EXAMPLES,
    )
    _add_arguments(verb)
    arguments.add_results(
        verb, "saliency_report.html", "FILE", "the HTML file", "print JSON instead of the path"
    )
    verb.set_defaults(run=_run_report, parser=verb, verb="report")


def _run_report(args: argparse.Namespace) -> int:
    from keras_saliency.comparison import writing

    writing.check_report(args.out)  # now rather than after an hour
    result, broken = run(args, "reporting on")
    if result is None:
        return 1
    with quiet():
        place = result.to_html(args.out)
    as_json = {"report": str(place), "broken": broken, **writing.as_json(result)}
    print(json.dumps(as_json, indent=2) if args.json else printable(str(place)), flush=True)
    return status(result, broken)


def _add_arguments(verb: Parser) -> None:
    """Add the arguments of both verbs."""
    arguments.add_files(verb, _FILES)
    arguments.add_kind(verb)
    add = verb.add_argument_group("what is compared").add_argument
    add("-M", "--methods", metavar="LIST", help='such as "grad_cam,lrp,smooth_grad(samples=5)", or '
        "all; default: ten that are quick")  # fmt: skip
    add("--metrics", metavar="LIST", help="such as deletion,insertion(steps=64),sparseness, "
        "or none; default: deletion,insertion,sparseness")  # fmt: skip
    arguments.add_model(verb)
    arguments.add_target(verb)
    arguments.add_running(verb)


def run(args: argparse.Namespace, doing: str) -> tuple[Comparison | None, dict[str, str]]:
    """Compare methods on the files that can be read.

    Args:
        args: The parsed command line.
        doing: Describes the action on the packaged photo, such as ``"comparing methods on"``.

    Returns:
        The comparison, None where no file can be read; and the error of each unreadable file.
    """
    from keras_saliency import compare
    from keras_saliency._inputs import reading

    try:
        methods, metrics = parsing.methods(args.methods), parsing.metrics(args.metrics)
    except (MethodError, MetricError) as error:
        args.parser.error(output.words(error, args))
    chosen = list(dict.fromkeys(map(str, files.chosen(args.files, args, doing, args.kind))))
    flat = all(reading.may_be_read_as_picture(one, args.kind) for one in chosen)
    read = _pictures if flat else _others
    good, broken, job = read(chosen, args)
    if not good:
        return None, broken
    with quiet():
        job = job or explain.chosen(args)
        result = compare(
            images=[given for given, _ in good],
            methods=methods,
            metrics=metrics,
            names=[name for _, names in good for name in names],
            tell=say,
            kind=args.kind,
            **job,
        )
    return result, broken


_Read = tuple[list[tuple[Any, list[str]]], dict[str, str], dict[str, Any]]


def _pictures(chosen: Sequence[str], args: argparse.Namespace) -> _Read:
    """Read pictures, before a model is loaded.

    Returns:
        Each picture with its name; the errors by file; no arguments of explain() yet.
    """
    from keras_saliency._inputs import pictures

    good, broken = [], {}
    names = dict(zip(chosen, _names(chosen), strict=True))
    for file in chosen:
        try:
            good.append((pictures.read(file), [names[file]]))
        except KerasSaliencyError as error:
            broken[file] = tell(error, args, f"{file}: " if len(chosen) > 1 else "")
    return good, broken, {}


def _others(chosen: Sequence[str], args: argparse.Namespace) -> _Read:
    """Read files that only the model shows how to read.

    Returns:
        The path of each with a name for each input in it; the errors by file; the arguments of
        explain().
    """
    from keras_saliency._inputs import text
    from keras_saliency._inputs.batch import prepare

    with quiet():
        job = explain.chosen(args, chosen[0])
    own = text.adapter(job["model"])
    good: list[tuple[Any, list[str]]] = []
    broken = {}
    for file, name in zip(chosen, _names(chosen), strict=True):
        try:
            with quiet():
                count = len(prepare(own, Path(file), job["preprocess"], args.kind).images)
        except KerasSaliencyError as error:
            broken[file] = tell(error, args, f"{file}: " if len(chosen) > 1 else "")
            continue
        rows = [name] if count == 1 else [f"{name} {row + 1}" for row in range(count)]
        good.append((Path(file), rows))
    return good, broken, job


def status(result: Comparison, broken: dict[str, str]) -> int:
    """Return the exit status: 1 if a file could not be read, no method has a map, or no score."""
    nothing = bool(result.metrics) and all(score != score for score in result.values.flat)  # NaN
    return int(bool(broken) or not result.explanations or nothing)


def _names(paths: Sequence[str]) -> list[str]:
    """Return the files' names, or the whole paths where two files have one name."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else list(paths)
