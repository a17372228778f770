"""The command ``keras-saliency``: explain photos, predict where people look at them, and more.

Exit status: 0 all done, 1 a failure, 2 invalid arguments, 130 interrupted. Results go to stdout,
everything else to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_saliency._imports import attach
from keras_saliency.cli import app, compare, designs, explain, output, training
from keras_saliency.cli.output import quiet, tell

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments after ``keras-saliency``; those of the process where it is None.

    Returns:
        The exit status.
    """
    args = None
    try:
        args = _parser().parse_args(argv)
        status = args.run(args)
        sys.stdout.flush()
        return status
    except SystemExit as stop:  # argparse: help was shown (0), or the arguments are invalid (2)
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone. Python flushes stdout once more at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        tell(error, getattr(args, "traceback", False))
        return 1


def _parser() -> argparse.ArgumentParser:
    from keras_saliency import __version__

    parser = argparse.ArgumentParser(
        "keras-saliency",
        description="Where does a Keras 3 model look, and where do people?",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True)
    for add in (  # in the order in which --help lists them
        explain.add, explain.add_predict, designs.add, compare.add, compare.add_report,
        app.add, training.add, training.add_evaluate, _add_info,
    ):  # fmt: skip
        add(verbs)
    verbs.metavar = " | ".join(verbs.choices)
    return parser


def _add_info(verbs: Any) -> None:
    """Add the verbs that print what there is: ``methods`` and ``doctor``."""
    for name, run, summary in (
        ("methods", _methods, "list the attribution methods"),
        ("doctor", _doctor, "show what is installed, and test it"),
    ):
        verb = verbs.add_parser(name, help=summary, description=summary.capitalize() + ".")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run)


def _methods(args: argparse.Namespace) -> int:
    from keras_saliency import methods

    claims = ("family", "signed", "complete", "stochastic", "needs_gradient", "reference")
    rows = []
    for name, one in methods.classes().items():
        method = one()
        rows.append({"name": name, **{claim: getattr(method, claim) for claim in claims},
                     "options": method.parameters()})  # fmt: skip
    if args.json:
        print(json.dumps(rows, indent=2, default=repr))
        return 0
    shown = ("name", *claims)
    said = {True: "yes", False: "no"}
    table = [[name.replace("_", " ") for name in shown]]
    table += [[said.get(row[name], row[name]) for name in shown] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(map(str.ljust, cells, widths)).rstrip())
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from keras_saliency.cli import doctor

    with quiet():
        report = doctor.examine()
    print(json.dumps(output.plain(report), indent=2) if args.json else doctor.text(report))
    return 0 if report["ok"] else 1


if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
