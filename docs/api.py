"""Write docs/api.md: a line for each public name. ``python docs/api.py``."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).with_name("api.md")
MODULES = (
    "keras_saliency",
    "keras_saliency.methods",
    "keras_saliency.targets",
    "keras_saliency.comparison",
    "keras_saliency.callbacks",
    "keras_saliency.app",
    "keras_saliency.fixation",
    "keras_saliency.fixation.data",
    "keras_saliency.fixation.metrics",
    "keras_saliency.metrics",
    "keras_saliency.plot",
    "keras_saliency.pretrained",
    "keras_saliency.ray",
    "keras_saliency.testing",
    "keras_saliency.config",
    "keras_saliency.errors",
)
_HEAD = """# Public names

What is not listed here, in `__all__` of its module, may change without notice.
`help(name)` has the rest of each docstring. `python docs/api.py` writes this page.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(_section(name) for name in MODULES)])


def _section(name: str) -> str:
    module = importlib.import_module(name)
    lines = [f"- `{one}`: {sentence(getattr(module, one))}" for one in module.__all__]
    return "\n".join([f"## {name}", "", sentence(module), "", *lines, ""])


def sentence(thing: Any) -> str:
    """Return the first sentence of a docstring, the words that a Literal allows, or a dict's keys.

    Raises:
        ValueError: It has none of its own.
    """
    if words := typing.get_args(thing):
        return ", ".join(f'`"{word}"`' for word in words) + "."
    if isinstance(thing, Mapping):
        return "A dict of " + ", ".join(f"`{key}`" for key in thing) + "."
    text = inspect.cleandoc(thing.__doc__ or "") if _has_own(thing) else ""
    if not text:
        raise ValueError(f"Expected a docstring. {thing!r} has none.")
    first = " ".join(text.split("\n\n")[0].split()).replace("``", "`")
    return re.split(r"(?<=[.?!]) (?=[A-Z`])", first)[0]


def _has_own(thing: Any) -> bool:
    known = isinstance(thing, ModuleType) or inspect.isroutine(thing) or inspect.isclass(thing)
    return known and not (thing.__doc__ or "").startswith(f"{getattr(thing, '__name__', '')}(")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
