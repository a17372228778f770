"""The photos that a command line names, and where the results of each go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_saliency.cli import results
from keras_saliency.cli.output import say
from keras_saliency.errors import SaveError


def add_arguments(
    verb: Any,
    out: str = "saliency_out",
    kind: str = "DIR",
    what: str = "where the folders go, named after the photos",
    json: str = "print one JSON array instead of paths",
) -> None:
    """Add the words that name photos and what becomes of the results."""
    add = verb.add_argument
    add("photos", nargs="*", metavar="PHOTO", help="pictures; a packaged photo where none is named")
    add("--out", metavar=kind, type=Path, default=Path(out), help=f"{what}; default: %(default)s")
    add("--json", action="store_true", help=json)
    add("--traceback", action="store_true", help="show Python's traceback of an error")


def named(photos: Sequence[str], out: Path, doing: str, read: str) -> list[tuple[Any, Path]]:
    """Return each photo, or the packaged one, with the folder its results go to.

    Args:
        photos: As named on the command line.
        out: Where the folders go.
        doing: What is done to the packaged photo, such as "explaining".
        read: Where an error says to read more.

    Raises:
        SaveError: ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        asked = f"Results were to be saved in {str(out)!r}."
        raise SaveError(asked, "It is a file.", "Name a new folder: --out DIR.", read)
    all_of_them = chosen(photos, doing)
    names = results.folder_names(all_of_them)
    return list(zip(all_of_them, (out / name for name in names), strict=True))


def chosen(photos: Sequence[str], doing: str) -> Sequence[Any]:
    """Return the photos that were named, or the packaged one, after a word about it."""
    if photos:
        return photos
    from keras_saliency.pretrained import sample_photo

    say(f"No photo was named: {doing} the packaged one, {sample_photo()}")
    return [sample_photo()]
