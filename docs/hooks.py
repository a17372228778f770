"""What the site needs beside mkdocs.yml: pages from outside docs/, and lists of folders."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Files of the repository that are pages of the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "ARCHITECTURE.md": "architecture.md",
    "keras_saliency/fixation/weights/default/README.md": "model-card.md",
    "keras_saliency/pretrained/data/LICENSES.md": "licences.md",
}
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")
_LIST = "<!-- pages -->"  # stands for a list of the pages beside it
# What most people ask comes first; other pages follow by name.
_FIRST = (
    "data", "class", "layer", "method", "blank", "nested", "outputs", "inputs", "transformer",
    "many", "speed", "trust", "backends",
)  # fmt: skip


def on_config(config: Any) -> Any:
    """Replace folders of the navigation by their pages."""
    for section in config.nav:
        for title, value in section.items():
            if isinstance(value, str) and value.endswith("/"):
                section[title] = [f"{value}index.md", *pages(value)]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the repository's own pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_from_site(text, source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to the repository's files at the site's pages, and fill in lists."""
    path = page.file.src_uri
    if _LIST in markdown:
        folder = posixpath.dirname(path) + "/"
        lines = [f"- [{title(one)}]({posixpath.basename(one)})" for one in pages(folder)]
        markdown = markdown.replace(_LIST, "\n".join(lines))
    return markdown if path in PAGES.values() else _from_site(markdown, f"docs/{path}")


def pages(folder: str) -> list[str]:
    """Return the pages of a folder of docs/ but its index, such as ``howto/layer.md``."""
    paths = sorted(
        (ROOT / "docs" / folder).glob("*.md"),
        key=lambda path: (_FIRST.index(path.stem) if path.stem in _FIRST else 99, path.name),
    )
    return [f"{folder}{path.name}" for path in paths if path.name != "index.md"]


def title(page: str) -> str:
    """Return a page's first heading."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^# (.+)$", text, re.M)[0]


def _from_site(markdown: str, source: str) -> str:
    """Return a page whose relative links lead to pages of the site where there are some."""
    here = posixpath.dirname(source)
    site = posixpath.dirname(PAGES.get(source, source.removeprefix("docs/")))

    def moved(match: re.Match[str]) -> str:
        goal = posixpath.normpath(posixpath.join(here, match[1]))
        page = PAGES.get(goal, goal.removeprefix("docs/"))
        inside = goal in PAGES or goal.startswith("docs/")
        return posixpath.relpath(page, site or ".") if inside else match[1]

    return _LINK.sub(moved, markdown)
