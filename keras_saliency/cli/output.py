"""What the process shows: Keras started in silence, lines on stderr, folders, rows of JSON."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency import config
from keras_saliency._io.files import shown
from keras_saliency.errors import BackendError, KerasSaliencyError, SaveError

if TYPE_CHECKING:
    from keras_saliency._results.explanation import Explanation

_show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ


def start_keras() -> tuple[str, str]:
    """Choose a backend for this process and import Keras.

    Returns:
        The backend's name, and why it was chosen.

    Raises:
        BackendError: None is installed, or the configured one is not or is broken.
    """
    configured, why = config.configured_backend()
    name = config.usable_backend()
    if name != configured:
        why = f"{why} names {configured!r}, which is not installed"
    if "keras" in sys.modules:
        return name, why
    os.environ["KERAS_BACKEND"] = name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with held_stderr():
            config.require_keras()
    except ImportError as error:
        raise BackendError(
            f"Cannot import Keras with the backend {name!r} ({why}).",
            f"It is installed, but broken: {error}.",
            "Install it again, or choose another: set KERAS_BACKEND.",
            "keras-saliency doctor",
        ) from error
    return name, why


@contextlib.contextmanager
def held_stderr() -> Iterator[None]:
    """Drop TensorFlow's messages on stderr while it is imported.

    Its C++ writes past ``sys.stderr``, and at that moment past TF_CPP_MIN_LOG_LEVEL too. With that
    variable set everything is shown; so it is if the import fails.
    """
    if "tensorflow" in sys.modules or _show_all:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except ImportError:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(shown(line), file=sys.stderr, flush=True)


def tell(error: BaseException, with_traceback: bool, about: str = "") -> str:
    """Print an error's message, and return it."""
    if with_traceback:
        traceback.print_exception(error)
    if isinstance(error, KerasSaliencyError):
        message = str(error)
    else:
        message = (
            f"Unexpected error. {type(error).__name__}: {error}. "
            "Please report it, with what --traceback shows. See keras-saliency doctor."
        )
    say(f"error: {about}{message}")
    return message


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Reserve stdout for results (Keras reports downloads there); print a warning as one line."""

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            say(f"warning: {' '.join(str(message).split())}")

    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.showwarning = show
        warnings.filterwarnings("ignore", r"picture \d+: ")  # printed with their photo
        yield


def printable(text: str) -> str:
    """Return text that stdout can take: arrows become words where its encoding has none."""
    text = shown(text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.replace("↑", "(up)").replace("↓", "(down)").replace("–", "-")
        return plain.encode("ascii", "replace").decode("ascii")
    return text


def add_arguments(
    verb: Any,
    out: str = "saliency_out",
    kind: str = "DIR",
    what: str = "where the folders go, named after the photos",
    json: str = "print one JSON array instead of paths",
) -> None:
    """Add the arguments that name photos and the form of the results."""
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
        doing: Describes the action on the packaged photo, such as "explaining".
        read: Where to read more, for the error.

    Raises:
        SaveError: ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        what = f"Cannot save results in {str(out)!r}."
        raise SaveError(what, "It is a file.", "Name a new folder: --out DIR.", read)
    all_of_them = chosen(photos, doing)
    names = folder_names(all_of_them)
    return list(zip(all_of_them, (out / name for name in names), strict=True))


def chosen(photos: Sequence[str], doing: str) -> Sequence[Any]:
    """Return the photos that were named, or the packaged one, after a line about it."""
    if photos:
        return photos
    from keras_saliency.pretrained import sample_photo

    say(f"No photo was named: {doing} the packaged one, {sample_photo()}")
    return [sample_photo()]


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
    """Return the JSON entries of the explanation of one photo, saved in a folder."""
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
    """Return a value that JSON can hold: NaN and infinity become None."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
