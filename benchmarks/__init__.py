"""Benchmarks of keras_saliency; ``python -m benchmarks`` lists them, README.md says more.

Cores are shared and clocks wander, so every figure is a ratio inside one interleaved run, and
contenders must agree on the answer before any of them is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

BACKENDS = ("jax", "tensorflow", "torch")


def make_parser(command: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser for ``python -m benchmarks...``, its help the module's own docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks{command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def choose(
    command: str,
    description: str | None,
    mains: Mapping[str, Callable[[list[str]], int]],
    arguments: list[str],
) -> int:
    """Call the ``main`` that the first argument names with the others; return its exit status."""
    parser = make_parser(command, description)
    parser.add_argument("what", choices=mains, help="each has --help")
    what = parser.parse_args(arguments[:1]).what
    return mains[what](arguments[1:])
