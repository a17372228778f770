"""Docstrings as the site shows them: their reStructuredText as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

_TABLE = re.compile(r"^(=+(?: +=+)+)\n(.*?)\n\1$", re.M | re.S)

# Special methods that a user calls, by their signs.
_CALLED = ("__init__", "__call__", "__getitem__", "__iter__", "__len__", "__enter__", "__exit__")


class Markdown(griffe.Extension):
    """Rewrite what Markdown would read otherwise."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Leave out what Python calls behind the scenes."""
        for name in [one for one in cls.members if one.startswith("__") and one not in _CALLED]:
            del cls.members[name]


def markdown(text: str) -> str:
    """Return a docstring with sections, tables, code and references in Markdown."""
    text = re.sub(r"(?m)^Example:$", "Examples:", text)  # the parser's word for code
    text = _TABLE.sub(_table, text)
    text = re.sub(r":\w+:(`[^`]+`)", r"\1", text)
    return re.sub(r"(?m)::$", ":", text)


def _table(match: re.Match[str]) -> str:
    starts = [each.start() for each in re.finditer("=+", match[1])]
    rows: list[list[str]] = []
    for line in match[2].splitlines():
        cells = [
            line[start:end].strip().replace("``", "`").replace("|", "\\|")
            for start, end in zip(starts, [*starts[1:], None], strict=True)
        ]
        if set(line) <= set("= "):
            continue
        if cells[0] or not rows:
            rows.append(cells)
        else:  # the row goes on in this line
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    lines = [" | ".join(row) for row in rows]
    head = ["| " * len(starts) + "|", "|---" * len(starts) + "|"]
    return "\n".join(["", *head, *(f"| {line} |" for line in lines), ""])
