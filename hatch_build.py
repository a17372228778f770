"""README.md as a package index shows it: there, a link into the repository leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"!\[([^\]]*)\]\((?!https?:)([^)]+)\)\n*")
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Fills in the field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the text."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_an_index(text, source),
        }


def for_an_index(text: str, source: str) -> str:
    """Return the text with absolute links.

    Args:
        text: README.md.
        source: The repository's address, ``Source`` in ``[project.urls]``. Where it is empty,
            pictures are left out and links become the words that they stand under.
    """
    if source:
        text = _PICTURE.sub(rf"![\1]({source}/raw/main/\2)\n\n", text)
        return _LINK.sub(
            lambda found: (
                found[0]
                if found.start() and text[found.start() - 1] == "!"
                else f"[{found[1]}]({source}/blob/main/{found[2]})"
            ),
            text,
        )
    return _LINK.sub(r"\1", _PICTURE.sub("", text))
