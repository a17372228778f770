"""A stream of items: prepared in a background thread, then processed in groups, in order.

Memory does not grow with the length of the stream: at most twice the size of a group is held.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from keras_saliency._graph.adapter import Adapter
from keras_saliency._inputs import pictures, text
from keras_saliency._inputs.batch import Batch
from keras_saliency._inputs.recognition import kind_of
from keras_saliency.errors import ImageError, _arguments

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

_VALUE, _ERROR, _END = range(3)
_NONE_LEFT = object()


@dataclass(frozen=True)
class Steps(Generic[T, P, R]):
    """The processing of a stream of items.

    Attributes:
        ready: Prepares one item; called in a background thread, ahead of its use.
        alike: A key, equal (by ``==``) for items that may be processed together.
        run: Maps a group of prepared items to their results, one each, in order.
        size: Most items in a group; as many again are prepared ahead.
    """

    ready: Callable[[T], P]
    alike: Callable[[P], Any]
    run: Callable[[list[P]], list[R]]
    size: int


def map_batched(items: Iterable[T], steps: Steps[T, P, R]) -> Generator[R, None, None]:
    """Yield the result of each item, in order.

    An exception of ``items``, ``ready`` or ``run`` is raised after all results before it.

    Example:
        >>> steps = Steps(ready=abs, alike=lambda n: n % 2, run=lambda some: [some] * len(some),
        ...               size=2)
        >>> list(map_batched([-1, 3, 5, 2], steps))
        [[1, 3], [1, 3], [5], [2]]
    """
    with contextlib.closing(prefetch(items, steps.ready, steps.size)) as prepared:
        for group in in_groups(prepared, steps.size, steps.alike):
            results = steps.run(group)
            del group  # not held while the next one is collected
            yield from results
            del results


def prefetch(items: Iterable[T], make: Callable[[T], P], depth: int) -> Generator[P, None, None]:
    """Yield ``make(item)`` of each item, made up to ``depth`` ahead in a background thread.

    The thread starts at the first ``next()`` and ends with the stream, at an exception (which is
    raised here, in order), and when this generator is closed or collected.
    """
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    slots, stop = threading.Semaphore(depth), threading.Event()
    # The thread has no reference to this generator, which would keep it alive.
    threading.Thread(
        target=_work,
        args=(iter(items), make, results, slots, stop),
        name="keras_saliency._inputs.prefetch",
        daemon=True,
    ).start()
    try:
        while True:
            kind, value = results.get()
            slots.release()
            if kind == _END:
                return
            if kind == _ERROR:
                raise value
            yield value
    finally:
        stop.set()
        slots.release()  # it may be waiting for one


def _work(
    items: Iterator[T],
    make: Callable[[T], P],
    results: queue.SimpleQueue[tuple[int, Any]],
    slots: threading.Semaphore,
    stop: threading.Event,
) -> None:
    try:
        while True:
            slots.acquire()
            if stop.is_set():
                return
            item = next(items, _NONE_LEFT)
            if item is _NONE_LEFT:
                results.put((_END, None))
                return
            results.put((_VALUE, make(item)))  # type: ignore[arg-type]
    except BaseException as error:
        results.put((_ERROR, error))


def in_groups(items: Iterable[T], size: int, alike: Callable[[T], Any]) -> Iterator[list[T]]:
    """Yield consecutive items that are alike in lists of up to ``size``.

    An exception of ``items`` is raised after all items before it are yielded.
    """
    group: list[T] = []
    kind = failure = None
    stream = iter(items)
    while True:
        try:
            item: Any = next(stream, _NONE_LEFT)
        except Exception as error:
            failure = error
            break
        if item is _NONE_LEFT:
            break
        its = alike(item)
        if group and its != kind:
            yield group
            group = []
        group.append(item)
        kind = its
        if len(group) == size:  # at once: the next item may take long
            yield group
            group = []
    if group:
        yield group
    if failure is not None:
        raise failure


def joined(batches: Sequence[Batch]) -> Batch:
    """Return batches that can go through a model together as one batch."""
    if len(batches) == 1:
        return batches[0]
    extra_inputs = zip(*(batch.extra_inputs for batch in batches), strict=True)
    parts = batches[0].parts and {
        name: joined([(batch.parts or {})[name] for batch in batches]) for name in batches[0].parts
    }
    return replace(
        batches[0],
        images=np.concatenate([batch.images for batch in batches]),
        extra_inputs=tuple(np.concatenate(one) for one in extra_inputs),
        originals=sum((batch.originals for batch in batches), ()),
        geometries=sum((batch.geometries for batch in batches), ()),
        findings=sum((batch.findings for batch in batches), ()),
        words=sum((batch.words for batch in batches), ()),
        parts=parts,
    )


def apart(images: Any, own: Adapter, wanted: str | None) -> Any:
    """Return a stream whose items are single inputs.

    Of a model that takes no pictures an array (N, ...), one axis more than an input has, and a
    DataFrame are the single inputs that they hold. Anything else is returned as it is.

    Args:
        images: What was passed as a stream.
        own: The model.
        wanted: The kind's name by the caller, or None.
    """
    kind = kind_of(own, None, wanted)
    if kind.name == "picture" or isinstance(images, str):
        return images
    if hasattr(images, "iloc") and hasattr(images, "columns") and kind.name == "table":
        return [images.iloc[i : i + 1] for i in range(len(images))]
    rank = _arguments.rank(images)
    if rank is not None and rank == kind.rank + 1:
        return list(images)
    if kind.is_embedded and text.takes_texts(own) and hasattr(images, "__iter__"):
        texts = (text.Text(str(one)) if isinstance(one, str) else one for one in images)
        return list(texts) if isinstance(images, list | tuple) else texts
    return images


def together(
    images: Iterable[Any], **more: Iterable[Any] | None
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield each picture with its other values, by name.

    Args:
        images: Pictures, one after another.
        **more: One value for each picture, or None.

    Raises:
        ImageError: ``images`` is a single picture, or there are not as many of the others. The
            latter is raised when one of them ends.
    """
    if pictures.is_one(images) or isinstance(images, Mapping) or not hasattr(images, "__iter__"):
        kind = f"{type(images).__module__}.{type(images).__qualname__}"
        raise ImageError(
            "Expected a stream of pictures.",
            f"Got {kind}, a single one."
            if pictures.is_one(images) or isinstance(images, Mapping)
            else f"Got {kind}.",
            "Pass a list, a generator or another iterable of pictures.",
            "help(keras_saliency.Explainer)",
        )
    given = {name: one for name, one in more.items() if one is not None}
    for name, one in given.items():
        try:
            iter(one)
        except TypeError:
            raise _uneven(name, f"Got {one!r}, of type {type(one).__qualname__}.") from None
    return _paired(images, given)


def _paired(
    images: Iterable[Any], more: Mapping[str, Iterable[Any]]
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    others = {name: iter(one) for name, one in more.items()}
    count = 0
    for picture in images:
        its = {name: next(one, _NONE_LEFT) for name, one in others.items()}
        for name, value in its.items():
            if value is _NONE_LEFT:
                raise _uneven(name, f"Got only {count}, and more pictures.")
        count += 1
        yield picture, its
    for name, one in others.items():
        if next(one, _NONE_LEFT) is not _NONE_LEFT:
            raise _uneven(name, f"Got more of them than the {count} pictures.")


def _uneven(name: str, result: str) -> ImageError:
    return ImageError(
        f"Expected one of {name} for each picture.",
        result,
        "Pass as many as pictures.",
        "help(keras_saliency.Explainer)",
    )
