"""The recordings that a command line names: tables, and data sets prepared by TFDS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_saliency.errors import FixationError


def add_arguments(verb: Any) -> None:
    """Add the words that name data."""
    add = verb.add_argument
    add("--data", metavar="WHERE", action="append", required=True, help="a folder with index.csv "
        "and fixations.npz, or a data set prepared with TFDS: its name (cat2000, salicon, mit1003) "
        "or folder; may be repeated")  # fmt: skip
    add(
        "--datasets", metavar="A,B", type=_names, help="which data sets of the tables; default: all"
    )
    add("--train-split", metavar="SPLIT", default="train", help="default: %(default)s; with TFDS "
        "also slices, such as 'train[:90%%]'")  # fmt: skip
    add("--val-split", metavar="SPLIT", default="val", help="default: %(default)s")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read(places: Sequence[str], split: str, datasets: Sequence[str] | None) -> list[Any]:
    """Return the recordings of a split from everywhere, those without fixations left out.

    Raises:
        FixationError: There is none, or a place holds no data.
    """
    from keras_saliency import data

    found: list[Any] = []
    for place in places:
        table = Path(place, "index.csv").exists() or Path(place).suffix == ".zip"
        found += data.read_table(place, split=split) if table else data.read_prepared(place, split)
    chosen = [one for one in found if not datasets or one.dataset in datasets]
    if missing := set(datasets or ()) - {one.dataset for one in found}:
        raise FixationError(
            f"The data sets {', '.join(sorted(missing))} were asked for, split {split!r}.",
            f"Found: {', '.join(sorted({one.dataset for one in found})) or 'none'}.",
            "Check --datasets and --data.",
            "keras-saliency train --help",
        )
    seen = [one for one in chosen if len(one.y)]
    if not seen:
        raise FixationError(
            f"Recordings of the split {split!r} were asked for.",
            f"There are {len(chosen)}, and none has a fixation.",
            "Name another split: --train-split, --val-split.",
            "keras-saliency train --help",
        )
    return seen


def counted(recordings: Sequence[Any]) -> dict[str, int]:
    """Return how many recordings there are of each data set."""
    return dict(Counter(one.dataset for one in recordings))


def told(recordings: Sequence[Any]) -> str:
    """Say how many recordings there are, and of what."""
    counts = counted(recordings)
    parts = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{len(recordings)} pictures ({parts})"
