"""The loop that fills an archive: what is there is passed over, the rest is done part by part."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from keras_saliency import progress
from keras_saliency.archive import formats, lock, manifest, parts
from keras_saliency.archive.parts import LeftOut
from keras_saliency.archive.reading import Archive, Index, index
from keras_saliency.archive.record import Record
from keras_saliency.errors import ImageError, SaveError
from keras_saliency.prefetch import Steps, flow, together

READ = "help(keras_saliency.Explainer.write)"
_PATIENCE = 300.0  # seconds: a part that is not full by then is written as it is
_OUT = object()

_Item = tuple[str, Any, Any]  # key, what was asked for, the thing itself


@dataclass(frozen=True)
class Order:
    """Where results go, and what they are results of.

    Args:
        folder: A new or empty folder, or one written so before.
        identity: What must be the same in every call on that folder: method, target, seed, model.
        about: What else the manifest says: versions.
        format: ``"npz"`` or ``"array_record"``.
        on_error: ``"raise"`` at a picture that cannot be used, or ``"skip"`` it.
        part_size: How many pictures make a part.

    Raises:
        SaveError: An option is none of these.
    """

    folder: str | os.PathLike[str]
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    format: Literal["npz", "array_record"] = "npz"
    on_error: Literal["raise", "skip"] = "raise"
    part_size: int = 64

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        formats.check(self.format)
        if self.on_error not in ("raise", "skip"):
            raise SaveError(
                f"on_error={self.on_error!r} was asked for.",
                "Known: 'raise', 'skip'.",
                "Take one of these.",
                READ,
            )
        if not isinstance(self.part_size, int) or self.part_size < 1:
            raise SaveError(
                f"part_size={self.part_size!r} was asked for.",
                "It must be a whole number above 0.",
                "Leave it at 64.",
                READ,
            )


def write(
    order: Order,
    images: Iterable[Any],
    steps: Steps[Any, Any, Any],
    record: Callable[[Any], Record],
    *,
    keys: Iterable[Any] | None = None,
    targets: Iterable[Any] | None = None,
) -> Archive:
    """Write the results of pictures, but of those that are there already.

    Args:
        order: Where they go.
        images: The pictures.
        steps: Makes results of pictures; each comes as ``(picture, {"targets": ...})``.
        record: What is kept of a result; its key is put in here.
        keys: A name for each picture.
        targets: What is asked for on each picture, if that differs.

    Raises:
        SaveError: The folder cannot be used; a key is given twice.
        ImageError: A picture cannot be used, and ``on_error`` is ``"raise"``. What was done before
            it is written.
    """
    folder = Path(order.folder)
    asked = f"Pictures were to be written to the archive {str(folder)!r}."
    _make(folder, asked)
    with lock.held(folder, asked, READ):
        parts.sweep(folder)
        identity = {**order.identity, "format": order.format}
        manifest.settle(folder, identity, order.about, asked, READ)
        done = index(folder, asked, READ)
        if _at_hand(images, keys, targets):  # what is wrong is said before hours of work
            for _ in _todo(images, keys, targets, done, asked):
                pass
        total = len(images) if isinstance(images, Sized) else None
        todo = _todo(images, keys, targets, done, asked)
        pile = _Pile(folder, order, asked)
        with contextlib.ExitStack() as stack:
            stack.callback(pile.flush)  # after an exception too: what is done is done
            results: Any = flow(todo, _with_keys(steps, record, order.on_error))
            stack.enter_context(contextlib.closing(results))
            tracked: Any = progress.track(results, total, "pictures", done=len(done.asked))
            stack.enter_context(contextlib.closing(tracked))
            for result in tracked:
                pile.add(result)
    archive = Archive(folder)
    _warn(archive, pile)
    return archive


def _make(folder: Path, asked: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise SaveError(asked, f"{error}.", "Name a place that can be written.", READ) from error
    ours = {name for name in names if manifest.is_ours(name) or parts.is_ours(name)}
    if manifest.NAME not in names and names - ours - {lock.NAME}:
        raise SaveError(asked, "Something else is there.", "Name a new or an empty folder.", READ)


def _at_hand(*streams: Iterable[Any] | None) -> bool:
    return all(one is None or isinstance(one, list | tuple) for one in streams)


def _todo(
    images: Iterable[Any],
    keys: Iterable[Any] | None,
    targets: Iterable[Any] | None,
    done: Index,
    asked: str,
) -> Iterator[_Item]:
    """Yield what is not there yet; refuse a key that comes twice or meant something else."""
    seen: set[str] = set()
    for number, (picture, given) in enumerate(together(images, keys=keys, targets=targets)):
        key = _key(given["keys"] if keys is not None else picture, number, keys is not None)
        if key in seen:
            raise SaveError(
                asked,
                f"The key {key!r} was given twice, the second time for picture {number}.",
                "Give each picture a key of its own: keys=[...].",
                READ,
            )
        seen.add(key)
        rest = {name: value for name, value in given.items() if name != "keys"}
        its = manifest.described(rest.get("targets"))
        if key not in done.asked:
            yield key, its, (picture, rest)
        elif done.asked[key] != its:
            raise SaveError(
                asked,
                f"The target of {key!r} was {done.asked[key]} and is now {its}.",
                "Ask for the same again, or name a new folder.",
                READ,
            )


def _key(given: Any, number: int, named: bool) -> str:
    """Return a picture's key: its name, its path, or else its place."""
    if isinstance(given, str | os.PathLike):
        return os.fsdecode(given)
    if not named:
        return str(number)
    if hasattr(given, "__index__") and not isinstance(given, bool):
        return str(int(given))
    raise SaveError(
        f"{given!r} was given as a picture's key.",
        f"It is a {type(given).__qualname__}.",
        "Give a string, a path or a whole number.",
        READ,
    )


def _with_keys(
    steps: Steps[Any, Any, Any], record: Callable[[Any], Record], on_error: str
) -> Steps[_Item, _Item, tuple[Record | LeftOut, Any]]:
    """Return the steps for pictures with their keys, some of which cannot be used."""

    def ready(item: _Item) -> _Item:
        key, its, thing = item
        try:
            return key, its, steps.ready(thing)
        except Exception as error:
            if on_error == "skip" and isinstance(error, ImageError):
                return key, its, LeftOut(key, str(error))
            error.add_note(f"The picture's key is {key!r}.")
            raise

    def alike(item: _Item) -> Any:
        return _OUT if isinstance(item[2], LeftOut) else steps.alike(item[2])

    def run(group: list[_Item]) -> list[tuple[Record | LeftOut, Any]]:
        if isinstance(group[0][2], LeftOut):
            return [(out, its) for _, its, out in group]
        results = steps.run([prepared for _, _, prepared in group])
        return [
            (replace(record(result), key=key), its)
            for (key, its, _), result in zip(group, results, strict=True)
        ]

    return Steps(ready, alike, run, steps.size)


class _Pile:
    """Results on their way into the next part."""

    def __init__(self, folder: Path, order: Order, asked: str) -> None:
        self._folder, self._order, self._asked = folder, order, asked
        self._number = max(parts.numbers(folder), default=-1) + 1
        self._results: list[tuple[Record | LeftOut, Any]] = []
        self._began = 0.0
        self.doubtful = 0  # maps with findings
        self.finding = ""  # the first of them

    def add(self, result: tuple[Record | LeftOut, Any]) -> None:
        """Lay one on; write the part where it is full, or was begun long ago."""
        if not self._results:
            self._began = time.monotonic()
        self._results.append(result)
        if isinstance(result[0], Record) and result[0].checks["findings"]:
            self.doubtful += 1
            self.finding = self.finding or f"{result[0].key}: {result[0].checks['findings'][0]}"
        full = len(self._results) >= self._order.part_size
        if full or time.monotonic() - self._began > _PATIENCE:
            self.flush()

    def flush(self) -> None:
        """Write what there is as a part."""
        if not self._results:
            return
        results, self._results = self._results, []  # tried once, if the disk is full
        about = {name: self._order.about[name] for name in ("backend", "versions")}
        parts.write(
            self._folder, self._number, self._order.format, results, about, self._asked, READ
        )
        self._number += 1


def _warn(archive: Archive, pile: _Pile) -> None:
    """Say once what was left out and what looks wrong."""
    said = []
    if archive.left_out:
        key, reason = next(iter(archive.left_out.items()))
        said.append(
            f"{len(archive.left_out)} of {len(archive) + len(archive.left_out)} pictures were left "
            f"out (Archive.left_out), the first {key!r}: {reason}"
        )
    if pile.doubtful:
        said.append(
            f"{pile.doubtful} maps have findings (Record.checks), the first {pile.finding}."
        )
    if said:
        warnings.warn(f"In {str(archive.folder)!r}, {' '.join(said)}", stacklevel=4)
