"""The verbs ``compare`` and ``report``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import explain, output, parsing
from keras_saliency.cli.output import printable, quiet, say, tell
from keras_saliency.errors import KerasSaliencyError, MethodError, MetricError

if TYPE_CHECKING:
    from keras_saliency.comparison import Comparison

_READ = "keras-saliency compare --help"
_EXAMPLES = """examples:
  keras-saliency compare
  keras-saliency compare dog.jpg cat.png --methods grad_cam,lrp,occlusion
  keras-saliency compare dog.jpg --methods all --metrics deletion,insertion --out all_of_them
  keras-saliency compare dog.jpg --methods "smooth_grad,smooth_grad(samples=5)" --metrics road
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "compare",
        help="compare methods on photos, in a table and a figure",
        description="Compare methods on the same photos. A table of scores is printed; the folder "
        "gets figure.png with all maps, scores.png, table.csv and table.json.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(verb)
    output.add_arguments(
        verb, "saliency_comparison", "DIR", "where the results go", "print JSON instead of a table"
    )
    verb.set_defaults(run=_run)


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


_REPORT_EXAMPLES = """examples:
  keras-saliency report
  keras-saliency report dog.jpg cat.png --out dogs_and_cats.html
  keras-saliency report dog.jpg --methods grad_cam,lrp,occlusion --metrics deletion,insertion
"""


def add_report(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "report",
        help="compare methods on photos, in one HTML file",
        description="Compare methods on the same photos and write one HTML file with photos, maps "
        "to be faded in and out, scores and checks. It opens in a browser without a network. Its "
        "path is printed.",
        epilog=_REPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(verb)
    output.add_arguments(
        verb, "saliency_report.html", "FILE", "the HTML file", "print JSON instead of the path"
    )
    verb.set_defaults(run=_run_report)


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


def add_arguments(verb: Any) -> None:
    """Add the arguments that name a model, methods and metrics."""
    explain.add_arguments(verb)
    add = verb.add_argument
    add("--methods", metavar="LIST", help='such as "grad_cam,lrp,smooth_grad(samples=5)", or all; '
        "default: ten that are quick")  # fmt: skip
    add("--metrics", metavar="LIST", help="such as deletion,insertion(steps=64),sparseness; "
        "or none; default: deletion,insertion,sparseness")  # fmt: skip
    verb.set_defaults(parser=verb)


def run(args: argparse.Namespace, doing: str) -> tuple[Comparison | None, dict[str, str]]:
    """Compare methods on the photos that can be read.

    Args:
        args: The parsed command line.
        doing: Describes the action on the packaged photo, such as ``"comparing methods on"``.

    Returns:
        The comparison, None where no photo can be read; and the error of each unreadable photo.
    """
    from keras_saliency import compare
    from keras_saliency._inputs import pictures

    try:
        methods, metrics = parsing.methods(args.methods), parsing.metrics(args.metrics)
    except (MethodError, MetricError) as error:
        args.parser.error(str(error))
    good: dict[str, Any] = {}
    broken: dict[str, str] = {}
    chosen = output.chosen(args.photos, doing)
    for photo in dict.fromkeys(map(str, chosen)):
        try:
            good[photo] = pictures.read(photo)
        except KerasSaliencyError as error:
            broken[photo] = tell(error, args.traceback, f"{photo}: " if len(chosen) > 1 else "")
    if not good:
        return None, broken
    with quiet():
        result = compare(
            images=list(good.values()),
            methods=methods,
            metrics=metrics,
            names=_names(list(good)),
            tell=say,
            **explain.chosen(args),
        )
    return result, broken


def status(result: Comparison, broken: dict[str, str]) -> int:
    """Return the exit status: 1 if a photo could not be read, no method has a map, or no score."""
    nothing = bool(result.metrics) and all(score != score for score in result.values.flat)  # NaN
    return int(bool(broken) or not result.explanations or nothing)


def _names(paths: list[str]) -> list[str]:
    """Return the files' names, or the whole paths where two files have one name."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths
