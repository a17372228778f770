"""The command ``keras-saliency``: explain pictures, predict where people look at them, and more.

Exit status: 0 all done, 1 a failure, 2 a mistake on the command line, 130 interrupted. Results go
to stdout, everything else to stderr.
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
from keras_saliency.cli import (
    arguments,
    compare,
    completion,
    explain,
    layers,
    listing,
    output,
    prediction,
    training,
)
from keras_saliency.cli.output import quiet, tell
from keras_saliency.cli.parser import Parser, add_verb

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments after ``keras-saliency``; those of the process where it is None.

    Returns:
        The exit status.
    """
    args = None
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        args = parser().parse_args(words or ["--help"])
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
        tell(error, args)
        return 1


_MORE = """keras-saliency VERB --help shows a verb's options and examples.

exit status:
  0  all done
  1  something failed; other files were done
  2  a mistake on the command line; nothing was done

examples:
  keras-saliency explain dog.jpg --method grad_cam
  keras-saliency predict photos/ --out gaze"""


def parser() -> Parser:
    """Return the parser of the whole command."""
    from keras_saliency import __version__

    result = Parser(
        "keras-saliency",
        usage="keras-saliency VERB [FILE ...] [OPTIONS]",
        description="Where does a Keras 3 model look, and where do people?",
        epilog=_MORE,
    )
    result.add_argument("-V", "--version", action="version", version=__version__,
                        help="print the version")  # fmt: skip
    verbs = result.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in (  # in the order in which --help lists them
        explain.add, prediction.add, compare.add, compare.add_report, layers.add, listing.add,
        training.add, training.add_evaluate, _add_doctor, completion.add,
    ):  # fmt: skip
        add(verbs)
    result.siblings = verbs.choices
    for one in verbs.choices.values():
        one.siblings = verbs.choices
    return result


def _add_doctor(verbs: Any) -> None:
    verb = add_verb(
        verbs,
        "doctor",
        "[--json]",
        "show what is installed, and test it",
        "Show what is installed and which backend is used, and test it in a few seconds.",
        "keras-saliency doctor",
    )
    arguments.add_json(verb.add_argument)
    verb.set_defaults(run=_doctor, parser=verb, verb="doctor")


def _doctor(args: argparse.Namespace) -> int:
    from keras_saliency.cli import doctor

    with quiet():
        report = doctor.examine()
    print(json.dumps(output.plain(report), indent=2) if args.json else doctor.text(report))
    return 0 if report["ok"] else 1


if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
