"""A stream of things: made ready in a background thread, then worked on in groups, in order.

Nothing here grows with the length of the stream: at most twice the size of a group is held.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keras_saliency import pictures
from keras_saliency.errors import ImageError

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

_VALUE, _ERROR, _END = range(3)
_NONE_LEFT = object()


@dataclass(frozen=True)
class Steps(Generic[T, P, R]):
    """What is done with a stream of things.

    Attributes:
        ready: Makes one thing ready; called in a background thread, ahead of its use.
        alike: What things have in common (by ``==``) that may be worked on together.
        run: Turns a group of ready things into their results, one each, in order.
        size: How many make a group at most; as many again are made ready ahead.
    """

    ready: Callable[[T], P]
    alike: Callable[[P], Any]
    run: Callable[[list[P]], list[R]]
    size: int


def flow(things: Iterable[T], steps: Steps[T, P, R]) -> Generator[R, None, None]:
    """Yield the result of each thing, in order.

    An exception of ``things``, ``ready`` or ``run`` is raised when all results before it are out.

    Example:
        >>> steps = Steps(ready=abs, alike=lambda n: n % 2, run=lambda some: [some] * len(some),
        ...               size=2)
        >>> list(flow([-1, 3, 5, 2], steps))
        [[1, 3], [1, 3], [5], [2]]
    """
    with contextlib.closing(ahead(things, steps.ready, steps.size)) as prepared:
        for group in in_groups(prepared, steps.size, steps.alike):
            results = steps.run(group)
            del group  # not kept while the next one comes together
            yield from results
            del results


def ahead(things: Iterable[T], make: Callable[[T], P], depth: int) -> Generator[P, None, None]:
    """Yield ``make(thing)`` of each thing, made up to ``depth`` ahead in a background thread.

    The thread starts at the first ``next()`` and ends with the stream, at an exception (which is
    raised here, in its place), and when this generator is closed or forgotten.
    """
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    slots, stop = threading.Semaphore(depth), threading.Event()
    # The thread knows nothing of this generator, or it would keep it alive.
    threading.Thread(
        target=_work,
        args=(iter(things), make, results, slots, stop),
        name="keras_saliency.prefetch",
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
    things: Iterator[T],
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
            thing = next(things, _NONE_LEFT)
            if thing is _NONE_LEFT:
                results.put((_END, None))
                return
            results.put((_VALUE, make(thing)))  # type: ignore[arg-type]
    except BaseException as error:
        results.put((_ERROR, error))


def in_groups(things: Iterable[T], size: int, alike: Callable[[T], Any]) -> Iterator[list[T]]:
    """Yield consecutive things that are alike in lists of up to ``size``.

    An exception of ``things`` is raised when what came before it has been yielded.
    """
    group: list[T] = []
    kind = failure = None
    stream = iter(things)
    while True:
        try:
            thing: Any = next(stream, _NONE_LEFT)
        except Exception as error:
            failure = error
            break
        if thing is _NONE_LEFT:
            break
        its = alike(thing)
        if group and its != kind:
            yield group
            group = []
        group.append(thing)
        kind = its
        if len(group) == size:  # at once: the next thing may be long in coming
            yield group
            group = []
    if group:
        yield group
    if failure is not None:
        raise failure


def together(
    images: Iterable[Any], **more: Iterable[Any] | None
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield each picture with what was given for it, by name.

    Args:
        images: Pictures, one after another.
        **more: One thing for each picture, or None.

    Raises:
        ImageError: ``images`` is a single picture, or there are not as many of the others. The
            latter is known, and raised, when one of them ends.
    """
    if pictures.is_one(images) or isinstance(images, Mapping) or not hasattr(images, "__iter__"):
        kind = f"{type(images).__module__}.{type(images).__qualname__}"
        raise ImageError(
            "A stream of pictures was asked for.",
            f"{kind} was given, a single one."
            if pictures.is_one(images) or isinstance(images, Mapping)
            else f"{kind} was given.",
            "Give a list, a generator or another iterable of pictures.",
            "help(keras_saliency.Explainer)",
        )
    return _paired(images, {name: one for name, one in more.items() if one is not None})


def _paired(
    images: Iterable[Any], more: Mapping[str, Iterable[Any]]
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    others = {name: iter(one) for name, one in more.items()}
    count = 0
    for picture in images:
        its = {name: next(one, _NONE_LEFT) for name, one in others.items()}
        for name, value in its.items():
            if value is _NONE_LEFT:
                raise _uneven(name, f"There are only {count}, and more pictures.")
        count += 1
        yield picture, its
    for name, one in others.items():
        if next(one, _NONE_LEFT) is not _NONE_LEFT:
            raise _uneven(name, f"There are more of them than the {count} pictures.")


def _uneven(name: str, found: str) -> ImageError:
    return ImageError(
        f"One of {name} was asked for with each picture.",
        found,
        "Give as many as pictures.",
        "help(keras_saliency.Explainer)",
    )
