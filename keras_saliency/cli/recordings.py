"""The recordings that a command line names: tables, and data sets prepared by TFDS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_saliency.cli.output import quiet, say
from keras_saliency.errors import FixationError

_NAMED = 10  # of pictures; the count is of all


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


def read_for_baseline(
    places: Sequence[str], split: str, datasets: Sequence[str] | None
) -> list[Any]:
    """Return the recordings that a centre bias is fitted on; none where there is no such split."""
    try:
        return read(places, split, datasets)
    except FixationError as error:
        say(f"note: no training pictures, so the centre bias is that of the scored ones. {error}")
        return []


def read(places: Sequence[str], split: str, datasets: Sequence[str] | None) -> list[Any]:
    """Return the recordings of a split from everywhere; those without fixations are told.

    Raises:
        FixationError: There is none, or a place holds no data.
    """
    from keras_saliency import data

    found: list[Any] = []
    with quiet():
        for place in places:
            read_one = data.read_prepared if _prepared(place) else data.read_table
            found += read_one(place, split=split)
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
    if len(seen) < len(chosen):
        names = [f"{one.dataset}/{one.name}" for one in chosen if not len(one.y)]
        more = ", ..." * (len(names) > _NAMED)
        say(f"{len(names)} pictures have no fixation: {', '.join(names[:_NAMED])}{more}")
    return seen


def _prepared(place: str) -> bool:
    """Whether a data set of TFDS is meant; an error about a table says what a folder holds."""
    from keras_saliency.data.prepared import BUILDERS

    path = Path(place)
    if not path.exists() or place in BUILDERS:
        return not (path / "index.csv").exists()
    return (path / "dataset_info.json").exists()


def counted(recordings: Sequence[Any]) -> dict[str, int]:
    """Return how many recordings there are of each data set."""
    return dict(Counter(one.dataset for one in recordings))


def told(recordings: Sequence[Any]) -> str:
    """Say how many recordings there are, and of what."""
    counts = counted(recordings)
    parts = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{len(recordings)} pictures ({parts})"
