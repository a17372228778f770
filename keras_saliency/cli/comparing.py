"""What the verbs ``compare`` and ``report`` have in common: photos, methods, metrics, one run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import listed, photos, subject
from keras_saliency.cli.output import quiet, say, tell
from keras_saliency.errors import KerasSaliencyError, MethodError, MetricError

if TYPE_CHECKING:  # imported where it is used: --help must not wait for it
    from keras_saliency.comparison import Comparison


def add_arguments(verb: Any) -> None:
    """Add the words that name a model, methods and metrics."""
    subject.add_arguments(verb)
    add = verb.add_argument
    add("--methods", metavar="LIST", help='such as "grad_cam,lrp,smooth_grad(samples=5)", or all; '
        "default: ten that are quick")  # fmt: skip
    add("--metrics", metavar="LIST", help="such as deletion,insertion(steps=64),sparseness; "
        "or none; default: deletion,insertion,sparseness")  # fmt: skip
    verb.set_defaults(parser=verb)


def run(args: argparse.Namespace, doing: str) -> tuple[Comparison | None, dict[str, str]]:
    """Compare methods on the photos that can be read.

    Args:
        args: What was said.
        doing: What is done to the packaged photo, such as ``"comparing methods on"``.

    Returns:
        The comparison, None where no photo can be read; and why a photo cannot.
    """
    from keras_saliency import compare, pictures

    try:
        methods, metrics = listed.methods(args.methods), listed.metrics(args.metrics)
    except (MethodError, MetricError) as error:
        args.parser.error(str(error))
    good: dict[str, Any] = {}
    broken: dict[str, str] = {}
    chosen = photos.chosen(args.photos, doing)
    for photo in dict.fromkeys(map(str, chosen)):
        try:
            good[photo] = pictures.read(photo)
        except KerasSaliencyError as error:
            broken[photo] = tell(error, args.traceback, f"{photo}: " if len(chosen) > 1 else "")
    if not good:
        return None, broken
    with quiet():
        found = compare(
            images=list(good.values()),
            methods=methods,
            metrics=metrics,
            names=_names(list(good)),
            tell=say,
            **subject.chosen(args),
        )
    return found, broken


def status(found: Comparison, broken: dict[str, str]) -> int:
    """Return the exit status: 1 if a photo could not be read, no method has a map, or no score."""
    nothing = bool(found.metrics) and all(score != score for score in found.values.flat)  # NaN
    return int(bool(broken) or not found.explanations or nothing)


def _names(paths: list[str]) -> list[str]:
    """Return the files' names, or the whole paths where two files have one name."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths
