"""The command ``keras-saliency``: explain photos, predict where people look at them, and more.

Exit status: 0 all done, 1 a failure, 2 invalid arguments, 130 interrupted. Results go to stdout,
everything else to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from keras_saliency.cli import compare, explain, info, predict, training
from keras_saliency.cli.output import tell

# In the order in which --help lists them.
_VERBS = (
    explain.add, predict.add, compare.add, compare.add_report, training.add, training.add_evaluate,
    info.add,
)  # fmt: skip


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
    for add in _VERBS:
        add(verbs)
    verbs.metavar = " | ".join(verbs.choices)
    return parser
