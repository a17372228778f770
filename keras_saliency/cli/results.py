"""What the command says of each photo: its folder's name, its row of JSON."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where it is used: --help must not wait for it
    from keras_saliency._explanation import Explanation

_KEYS = ("picture", "folder", "figure", "label", "class", "target", "score", "score_kind",
        "probability", "method", "layer", "seconds", "checks", "error")  # fmt: skip


def row(photo: Any) -> dict[str, Any]:
    """Return a row of JSON with all its keys and nothing in it but the photo's path."""
    return {**dict.fromkeys(_KEYS), "picture": str(photo)}


def folder_names(photos: Sequence[Any]) -> list[str]:
    """Return a folder name for each photo: its stem, or stem-2, stem-3 where that is taken."""
    names: list[str] = []
    taken: set[str] = set()
    for stem in (Path(photo).stem for photo in photos):
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        name = next(n for n in itertools.chain([stem], numbered) if n.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def of(explanation: Explanation, folder: Path) -> dict[str, Any]:
    """Return what JSON says of the explanation of one photo, saved in a folder."""
    info, target = explanation.info, explanation.targets[0]
    sure = explanation.probabilities
    return {
        "folder": str(folder),
        "figure": str(folder / "figure.png"),
        "label": explanation.labels[0] or None,
        "class": target if isinstance(target, int) else None,
        "target": str(target),
        "score": float(explanation.scores[0]),
        "score_kind": info["score"],
        "probability": None if sure is None else float(sure[0]),
        "method": info["method"],
        "layer": info.get("layer"),
        "seconds": info["seconds"],
        "checks": dict(explanation.checks[0]),
    }


def plain(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinity have no word there."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
