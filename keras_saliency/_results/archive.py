"""Results of many pictures in a folder; a killed run can be resumed.

::

    out/
    ├── manifest.json          the request: method, target, seed, model's hash, versions
    ├── part-00000/            written whole beside its path, moved there in one step
    │   ├── rows.json          key, score, target, label, checks and geometry of each picture;
    │   │                      skipped pictures, and why; checksums of both files
    │   └── maps.npz           "values" (n, H, W) float32, "keys", "scores"; or maps.array_record
    └── part-00001/ ...

This package does not depend on a model.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from keras_saliency._inputs.prefetch import Steps, map_batched, together
from keras_saliency._io import folders, track
from keras_saliency._io.files import local_path
from keras_saliency._results import archive_parts, archive_reading
from keras_saliency._results.archive_parts import Record, SkippedRecord
from keras_saliency._results.archive_reading import Archive, Index, described, index
from keras_saliency.errors import InputError, SaveError, _arguments

__all__ = ["Archive", "Record", "WriteConfig", "described", "write"]

READ = "help(keras_saliency.Explainer.write)"
_PATIENCE = 300.0  # seconds: a part is written then, even if it is not full
_OUT = object()

_Item = tuple[str, Any, Any]  # key, requested target, picture with its arguments


@dataclass(frozen=True)
class WriteConfig:
    """The destination of results, and their manifest.

    Args:
        folder: A new or empty folder, or one written by such a call before.
        identity: Entries that must be equal in every call on that folder: method, target, seed,
            model.
        about: Further entries of the manifest: versions.
        format: ``"npz"`` or ``"array_record"``.
        on_error: ``"raise"`` at a picture that cannot be used, or ``"skip"`` it.
        part_size: Number of pictures per part.

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
        """Check the options."""
        archive_parts.check_format(self.format)
        if not _arguments.is_word(self.on_error, ("raise", "skip")):
            raise SaveError(
                "Expected on_error to be 'raise' or 'skip'.",
                f"Got on_error={self.on_error!r}.",
                "Take one of these.",
                READ,
            )
        part_size = _arguments.integer(
            self.part_size, "part_size", SaveError, READ, fix="Leave it at 64."
        )
        object.__setattr__(self, "part_size", part_size)


def write(
    order: WriteConfig,
    images: Iterable[Any],
    steps: Steps[Any, Any, Any],
    record: Callable[[Any], Record],
    *,
    keys: Iterable[Any] | None = None,
    targets: Iterable[Any] | None = None,
) -> Archive:
    """Write the results of pictures, except those that are written already.

    Args:
        order: Their destination.
        images: The pictures.
        steps: Makes results of pictures; each comes as ``(picture, {"targets": ...})``.
        record: Makes the stored record of a result; its key is set here.
        keys: A name for each picture.
        targets: The target of each picture, if they differ.

    Raises:
        SaveError: The folder cannot be used, or a key occurs twice.
        InputError: A picture cannot be used, and ``on_error`` is ``"raise"``. Finished results are
            written before.
    """
    folder = local_path(order.folder, READ)
    what = f"Cannot write to the archive {str(folder)!r}."
    _make(folder, what)
    with held(folder, what, READ):
        archive_reading.sweep(folder)
        identity = {**order.identity, "format": order.format}
        mark = folders.mark(
            archive_reading.write_or_check_manifest(folder, identity, order.about, what, READ)
        )
        done = index(folder, mark, what, READ)
        if _in_memory(images, keys, targets):  # errors appear before hours of work
            for _ in _todo(images, keys, targets, done, what):
                pass
        total = len(images) if isinstance(images, Sized) else None
        todo = _todo(images, keys, targets, done, what)
        pile = PartBuffer(folder, order, mark, what)
        with contextlib.ExitStack() as stack:
            stack.callback(pile.flush)  # after an exception too: finished results are written
            results: Any = map_batched(todo, _with_keys(steps, record, order.on_error))
            stack.enter_context(contextlib.closing(results))
            tracked: Any = track(results, total, "pictures", done=len(done.requested))
            stack.enter_context(contextlib.closing(tracked))
            for result in tracked:
                pile.add(result)
    archive = Archive(folder)
    _warn(archive, pile)
    return archive


def _make(folder: Path, what: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise SaveError(what, f"{error}.", "Name a place that can be written.", READ) from error
    ours = {name for name in names if archive_reading.is_ours(name)}
    if archive_reading.NAME not in names and names - ours - {NAME}:
        raise SaveError(what, "Other files are there.", "Name a new or an empty folder.", READ)


def _in_memory(*streams: Iterable[Any] | None) -> bool:
    return all(one is None or isinstance(one, list | tuple) for one in streams)


def _todo(
    images: Iterable[Any],
    keys: Iterable[Any] | None,
    targets: Iterable[Any] | None,
    done: Index,
    what: str,
) -> Iterator[_Item]:
    """Yield unfinished items; raise on a key that occurs twice or had another target."""
    seen: set[str] = set()
    for number, (picture, arguments) in enumerate(together(images, keys=keys, targets=targets)):
        name = arguments["keys"] if keys is not None else picture
        key = _key(name, number, keys is not None)
        if key in seen:
            raise SaveError(
                what,
                f"The key {key!r} occurs twice, the second time for picture {number}.",
                "Pass a different key for each picture: keys=[...].",
                READ,
            )
        seen.add(key)
        rest = {name: value for name, value in arguments.items() if name != "keys"}
        its = described(rest.get("targets"))
        if key not in done.requested:
            yield key, its, (picture, rest)
        elif done.requested[key] != its:
            raise SaveError(
                what,
                f"The target of {key!r} was {done.requested[key]} and is now {its}.",
                "Request the same target again, or name a new folder.",
                READ,
            )


def _key(name: Any, number: int, named: bool) -> str:
    """Return a picture's key: its name, its path, or else its position in the stream."""
    if isinstance(name, str | os.PathLike):
        return os.fsdecode(name)
    if not named:
        return str(number)
    if hasattr(name, "__index__") and not isinstance(name, bool):
        return str(int(name))
    raise SaveError(
        "Expected a string, a path or a whole number as a picture's key.",
        f"Got {name!r}, a {type(name).__qualname__}.",
        "Pass one of these.",
        READ,
    )


def _with_keys(
    steps: Steps[Any, Any, Any], record: Callable[[Any], Record], on_error: str
) -> Steps[_Item, _Item, tuple[Record | SkippedRecord, Any]]:
    """Return the steps for items with keys; unusable pictures become skipped records."""

    def ready(item: _Item) -> _Item:
        key, its, picture = item
        try:
            return key, its, steps.ready(picture)
        except Exception as error:
            if on_error == "skip" and isinstance(error, InputError):
                return key, its, SkippedRecord(key, str(error))
            error.add_note(f"The picture's key is {key!r}.")
            raise

    def alike(item: _Item) -> Any:
        return _OUT if isinstance(item[2], SkippedRecord) else steps.alike(item[2])

    def run(group: list[_Item]) -> list[tuple[Record | SkippedRecord, Any]]:
        if isinstance(group[0][2], SkippedRecord):
            return [(out, its) for _, its, out in group]
        results = steps.run([prepared for _, _, prepared in group])
        return [
            (replace(record(result), key=key), its)
            for (key, its, _), result in zip(group, results, strict=True)
        ]

    return Steps(ready, alike, run, steps.size)


class PartBuffer:
    """Results waiting for the next part."""

    def __init__(self, folder: Path, order: WriteConfig, mark: str, what: str) -> None:
        self._folder, self._order, self._mark, self._what = folder, order, mark, what
        self._number = max(archive_parts.numbers(folder), default=-1) + 1
        self._results: list[tuple[Record | SkippedRecord, Any]] = []
        self._began = 0.0
        self.doubtful = 0  # maps with findings
        self.finding = ""  # the first of them

    def add(self, result: tuple[Record | SkippedRecord, Any]) -> None:
        """Add a result; write the part if it is full, or was begun long ago."""
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
        """Write the waiting results as a part."""
        if not self._results:
            return
        results, self._results = self._results, []  # tried only once, even if the disk is full
        about = {name: self._order.about[name] for name in ("backend", "versions")}
        form = self._order.format
        where = (self._folder, self._number, form)
        archive_parts.write(*where, results, about, self._mark, self._what, READ)
        self._number += 1


def _warn(archive: Archive, pile: PartBuffer) -> None:
    """Warn once about skipped pictures and findings."""
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


NAME = ".lock"
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP)  # file systems that have none


@contextlib.contextmanager
def held(folder: Path, what: str, read: str) -> Iterator[None]:
    """Hold the folder's lock inside this block.

    Raises:
        SaveError: Another process or thread holds it, or it cannot be written.
    """
    lock = FileLock(folder / NAME, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise SaveError(
            what,
            "Another process is writing to it.",
            "Wait for that one, or give each process a folder of its own.",
            read,
        ) from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise SaveError(what, f"{error}.", "Name a place that can be written.", read) from error
    except NotImplementedError:
        pass
    try:
        yield
    finally:
        lock.release()
