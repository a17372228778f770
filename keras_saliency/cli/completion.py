"""The verb ``completion``: print a script with which a shell completes the command."""

from __future__ import annotations

import argparse
from typing import Any

from keras_saliency.cli.parser import Parser, add_verb
from keras_saliency.errors import KerasSaliencyError

_EXAMPLES = """
keras-saliency completion bash >> ~/.bash_completion
keras-saliency completion zsh > ~/.zfunc/_keras-saliency  # of $fpath
"""
_FILES = ("files", "model", "weights", "out", "data")  # whose values are files
_METHODS = ("method", "methods", "names")


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "completion",
        "SHELL",
        "print a script for a shell's completion of this command",
        "Print a script with which bash or zsh completes verbs, options, their values, methods "
        "and files. Needs the package shtab: pip install 'keras-saliency[completion]'.",
        _EXAMPLES,
    )
    verb.add_argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh")
    verb.set_defaults(run=_run, parser=verb, verb="completion")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency import cli

    try:
        import shtab
    except ImportError as error:
        raise KerasSaliencyError(
            "Expected the package shtab, which writes the script.",
            f"It cannot be imported: {error}.",
            "Run: pip install 'keras-saliency[completion]'.",
            "keras-saliency completion --help",
        ) from error
    whole = cli.parser()
    for parser in (whole, *whole.siblings.values()):
        _add_values(parser)
    names = " ".join(_methods())
    bash = f"""_keras_saliency_methods() {{ compgen -W "{names}" -- "$1"; }}
_keras_saliency_files() {{ compgen -f -- "$1"; }}
"""
    zsh = f"""_keras_saliency_methods() {{ compadd {names} }}
"""
    preamble = {"bash": bash, "zsh": zsh}[args.shell]
    print(shtab.complete(whole, args.shell, preamble=preamble), end="")
    return 0


def _add_values(parser: Parser) -> None:
    """Say what the values of a parser's arguments are completed from."""
    for action in parser._actions:
        if action.dest in _METHODS:
            action.complete = dict.fromkeys(  # type: ignore[attr-defined]
                ("bash", "zsh"), "_keras_saliency_methods"
            )
        elif action.dest in _FILES:
            action.complete = {  # type: ignore[attr-defined]
                "bash": "_keras_saliency_files",
                "zsh": "_files",
            }


def _methods() -> list[str]:
    from keras_saliency import methods

    return methods.names()
