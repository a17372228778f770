"""The command's parser: help at 80 columns, and mistakes answered with the nearest right word."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from keras_saliency.errors import did_you_mean

_WIDEST = 100  # columns: longer lines are hard to read
_HELP_AT = 26  # column


class Formatter(argparse.HelpFormatter):
    """Help with ``-m, --model NAME`` in one column; examples keep their lines."""

    def __init__(self, prog: str) -> None:
        """Take the terminal's width, up to 100 columns."""
        width = min(shutil.get_terminal_size().columns, _WIDEST) - 2
        super().__init__(prog, max_help_position=_HELP_AT, width=width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        names = ", ".join(action.option_strings)
        if action.nargs == 0:
            return names
        return f"{names} {self._format_args(action, action.dest.upper())}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line if line.startswith(" ") else textwrap.fill(line, width, break_on_hyphens=False)
            for line in text.split("\n")
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        if isinstance(action, argparse._SubParsersAction):  # without the line of its metavar
            return textwrap.indent(textwrap.dedent(text.split("\n", 1)[1]), "  ")
        return text


class Parser(argparse.ArgumentParser):
    """A parser of the command or of one of its verbs.

    Attributes:
        siblings: The parsers of all verbs by name, so that an option of another one is recognised.
    """

    def __init__(self, prog: str, **kwargs: Any) -> None:
        """Take no abbreviated options: a new option would change what they mean."""
        super().__init__(prog, formatter_class=Formatter, allow_abbrev=False, **kwargs)
        self._positionals.title = "arguments"
        self.siblings: Mapping[str, Parser] = {}

    @property
    def options(self) -> list[str]:
        """The names of all options, such as ``--model``."""
        return [name for name in self._option_string_actions if name.startswith("--")]

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; files may stand before, between and behind options."""
        for name in self._unknown(args or ()):
            self.error(self._no_option(name))
        result, extras = super().parse_known_args(args, namespace)
        # argparse gives an argument with nargs="*" the first row of words only.
        if extras and isinstance(getattr(result, "files", None), list):
            result.files, extras = [*result.files, *extras], []
        if extras:
            self.error(f"Nothing is known of {extras[0]!r}. Leave it out.")
        return result, extras

    def _unknown(self, args: Sequence[str]) -> Iterator[str]:
        """Yield words that look like options and are none, up to a verb or ``--``."""
        if self._subparsers is not None:  # the verb looks at what follows it
            args = args[: next((i for i, one in enumerate(args) if one[:1] != "-"), len(args))]
        for word in args:
            if word == "--":
                return
            name = word.partition("=")[0]
            is_option = re.match(r"--?[^\d\s.-]\S*$", name) is not None
            known = name in self._option_string_actions or (
                name[1] != "-" and name[:2] in self._option_string_actions if is_option else False
            )
            if is_option and not known:
                yield name

    def _no_option(self, name: str) -> str:
        what = f"{self.prog} has no option {name}."
        others = [verb for verb, one in self.siblings.items() if name in one.options]
        if others:
            return f"{what} It is one of {', '.join(others)}."
        if near := did_you_mean(name, self.options):
            return f"{what} {near}"
        return f"{what} Its options are {', '.join(self.options)}."

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = action.choices
        if choices is None or value in choices:
            return
        words = [str(one) for one in choices]
        if isinstance(action, argparse._SubParsersAction):
            self.error(_no_verb(str(value), words))
        fix = did_you_mean(str(value), words)
        listed = f"{', '.join(words[:-1])} or {words[-1]}"
        raise argparse.ArgumentError(action, f"Expected {listed}. Got {value!r}. {fix}".rstrip())

    def error(self, message: str) -> NoReturn:
        """Print the usage of this verb and the message, and exit with status 2."""
        message = re.sub(r"^argument (?:[^:]*/)?([^:/]+):", r"\1:", message)
        dot = "" if message.endswith((".", "?", "!")) else "."
        more = "" if " See " in message else f" See {self.prog} --help."
        self.exit(2, f"{self.format_usage()}error: {message}{dot}{more}\n")


def _no_verb(word: str, verbs: Sequence[str]) -> str:
    if os.path.exists(word) or os.path.splitext(word)[1]:
        return f"Expected a verb before {word!r}. Write: keras-saliency explain {word}"
    near = difflib.get_close_matches(word, verbs, n=1)
    fix = f"Did you mean {near[0]!r}?" if near else f"Verbs are {', '.join(verbs)}."
    return f"No verb is called {word!r}. {fix}"


def add_verb(verbs: Any, name: str, usage: str, help: str, about: str, examples: str) -> Parser:
    """Add a verb to the command.

    Args:
        verbs: What ``add_subparsers`` returned.
        name: The verb.
        usage: Its arguments in one line, such as ``"[FILE ...] [OPTIONS]"``.
        help: One line for the list of verbs.
        about: What it does and writes.
        examples: Command lines, one a line.
    """
    lines = "\n".join(f"  {line}" for line in examples.strip().split("\n"))
    prog = f"keras-saliency {name}"
    return verbs.add_parser(
        name,
        prog=prog,
        usage=f"{prog} {usage}".strip(),
        help=help,
        description=about,
        epilog=f"examples:\n{lines}",
    )
