"""What stands for files on the command line: paths, folders and globs, sorted; no URL."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_saliency.cli.output import say
from keras_saliency.errors import InputError, SaveError

_PICTURES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
_TEXTS = (".txt",)
_URL = re.compile(r"[a-z][a-z0-9+.-]+:(//|.*base64,)", re.I)  # "C:\" has one letter


def expand(given: Sequence[str], verb: str, out: Path, kind: str | None = "picture") -> list[str]:
    """Return the files that words of the command line stand for; a line of each count is printed.

    A folder stands for the files in it that the verb reads, in order of their names, without those
    of inner folders and hidden ones; where several kinds are read, for its pictures if it has any.
    A glob stands for the files that match, in order, without those in the folder of the results.

    Args:
        given: Paths, folders and globs.
        verb: The verb, for messages.
        out: Where the results go.
        kind: The kind of input that is read; None reads all.

    Raises:
        InputError: A folder has no such file, nothing matches a glob, or there is a URL.
    """
    result: list[str] = []
    for word in given:
        if _URL.match(word):
            raise _no_url(word, verb)
        if os.path.isdir(word):
            result += _in_folder(word, verb, kind)
        elif glob.has_magic(word) and not os.path.lexists(word):
            result += _matching(word, verb, out)
        else:  # a missing file is reported in its turn: the others are done
            result.append(word)
    return result


def named(
    given: Sequence[str],
    args: Any,
    doing: str,
    kind: str | None = "picture",
    labels: Sequence[str] = ("",),
) -> list[tuple[Any, list[Path]]]:
    """Return each file, or the packaged photo, with the folders that its results go to.

    Args:
        given: Paths, folders and globs.
        args: The parsed command line: its verb and where the results go.
        doing: Describes the action on the packaged photo, such as "explaining".
        kind: See `expand`.
        labels: One for each result of a file, ``""`` for none.

    Raises:
        SaveError: ``--out`` is a file.
        InputError: See `expand`.
    """
    if args.out.exists() and not args.out.is_dir():
        what = f"Cannot save results in {str(args.out)!r}."
        raise SaveError(what, "It is a file.", "Name a new folder: --out DIR.", _read(args.verb))
    files = chosen(given, args, doing, kind)
    stems = [Path(file).stem + f"-{label}" * bool(label) for file in files for label in labels]
    folders = iter([args.out / name for name in folder_names(stems)])
    return [(file, [next(folders) for _ in labels]) for file in files]


def chosen(
    given: Sequence[str], args: Any, doing: str, kind: str | None = "picture"
) -> Sequence[Any]:
    """Return the files that were named, or the packaged photo, after a line about it."""
    if given:
        return expand(given, args.verb, args.out, kind)
    from keras_saliency.pretrained import sample_photo

    say(f"No file was named: {doing} the packaged photo, {sample_photo()}")
    return [sample_photo()]


def folder_names(stems: Iterable[str]) -> list[str]:
    """Return a folder name for each stem: itself, or stem-2, stem-3 where that is taken."""
    names: list[str] = []
    taken: set[str] = set()
    for stem in stems:
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        name = next(n for n in itertools.chain([stem], numbered) if n.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _in_folder(folder: str, verb: str, kind: str | None) -> list[str]:
    try:
        entries = [one for one in os.scandir(folder) if one.is_file() and one.name[:1] != "."]
    except OSError as error:
        got, fix = f"{error.strerror or error}.", "Check its permissions."
        raise InputError(f"Cannot list the folder {folder!r}.", got, fix, _read(verb)) from error
    names = [one.name for one in entries]
    for what, suffixes in _groups(kind):
        if fitting := [name for name in names if name.lower().endswith(suffixes)]:
            left = len(names) - len(fitting)
            others = _count(["other"] * left, "other file")
            more = f" ({others} left out)" if left else ""
            say(f"{folder}: {_count(fitting, what)}{more}")
            return [os.path.join(folder, name) for name in _sorted(fitting)]
    wanted = "pictures" if kind == "picture" else f"files of kind {kind}" if kind else "files"
    ends = sorted({end for _, suffixes in _groups(kind) for end in suffixes})
    raise InputError(
        f"Expected {wanted} in the folder {folder!r} ({', '.join(ends)}).",
        f"It has {_count(names, 'file')}, none of them such." if names else "It has no files.",
        "Name another folder, or inner ones with a glob: "
        f"'{os.path.join(folder, '**', '*' + ends[0])}'.",
        _read(verb),
    )


def _groups(kind: str | None) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a folder is searched for, in turn: a noun, and the ends of names."""
    if kind == "picture":
        return [("picture", _PICTURES)]
    from keras_saliency._inputs.reading import SUFFIXES

    if kind is not None:
        return [("file", (*SUFFIXES[kind], *_TEXTS * (kind == "tokens")))]
    others = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    return [("picture", _PICTURES), ("file", (*sorted(others), *_TEXTS))]


def _matching(pattern: str, verb: str, out: Path) -> list[str]:
    matches = [one for one in glob.glob(pattern, recursive=True) if os.path.isfile(one)]
    root = _root(pattern)
    below = Path(out).resolve()
    if below not in (root, *root.parents):  # a second run would explain the figures of the first
        matches = [one for one in matches if below not in Path(one).resolve().parents]
    if not matches:
        folder = os.path.dirname(pattern.split("*")[0].split("?")[0].split("[")[0]) or "."
        if not os.path.isdir(folder):
            got, fix = f"There is no folder {folder!r}.", "Check the path."
        else:
            names = _sorted(one.name for one in os.scandir(folder) if one.name[:1] != ".")
            more = ", ..." if len(names) > 3 else ""
            got = f"{folder!r} has {', '.join(map(repr, names[:3])) + more or 'no files'}."
            fix = "Check the pattern; ** stands for folders inside each other."
        raise InputError(f"No file matches {pattern!r}.", got, fix, _read(verb))
    say(f"{pattern}: {_count(matches, 'file')}")
    return _sorted(matches)


def _root(pattern: str) -> Path:
    """Return the folder that a glob searches."""
    fixed: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed).resolve()


def _sorted(names: Iterable[str]) -> list[str]:
    """Return names in order, with 2.jpg before 10.jpg."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", name.casefold())
        return [(0, int(one), "") if one.isdecimal() else (1, 0, one) for one in parts]

    return sorted(names, key=lambda name: (key(name), name))


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _no_url(word: str, verb: str) -> InputError:
    return InputError(
        "Expected files, folders or globs.",
        f"Got the URL {word[:80]!r}; keras-saliency downloads nothing.",
        "Download it first, and name the file.",
        _read(verb),
    )


def _read(verb: str) -> str:
    return f"keras-saliency {verb} --help"
