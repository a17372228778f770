"""Streams: in order, in groups, ahead but not far, exceptions in their place, no thread left."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest

from keras_saliency import errors
from keras_saliency._inputs.prefetch import Steps, in_groups, map_batched, prefetch, together

pytestmark = pytest.mark.no_model


def threads() -> int:
    return sum(one.name == "keras_saliency._inputs.prefetch" for one in threading.enumerate())


def wait_until_no_thread(before=0):
    deadline = time.monotonic() + 10
    while threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() == before


@pytest.fixture(autouse=True)
def _no_thread_left():
    wait_until_no_thread()
    yield
    gc.collect()
    wait_until_no_thread()


def squares(size=3, alike=lambda n: None, ready=lambda n: n, run=None):
    return Steps(ready, alike, run or (lambda group: [n * n for n in group]), size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_everything_comes_out_in_order(size):
    assert list(map_batched(range(20), squares(size))) == [n * n for n in range(20)]
    assert list(map_batched([], squares(size))) == []


def test_groups_are_consecutive_items_that_are_alike():
    assert list(in_groups([1, 3, 5, 7, 2, 4, 9], 3, lambda n: n % 2)) == [
        [1, 3, 5], [7], [2, 4], [9]
    ]  # fmt: skip
    groups = []

    def run(group):
        groups.append(group)
        return group

    assert list(map_batched("aabBcc", squares(2, str.lower, run=run))) == list("aabBcc")
    assert groups == [["a", "a"], ["b", "B"], ["c", "c"]]


def test_a_full_group_does_not_wait_for_the_next_item():
    came = []

    def slowly():
        for n in range(4):
            assert came == list(range(n // 2 * 2)), "held back"
            yield n

    for group in in_groups(slowly(), 2, lambda n: 0):
        came += group
    assert came == [0, 1, 2, 3]


def test_it_is_made_ready_in_another_thread_while_the_model_works():
    names, third = [], threading.Event()

    def ready(n):
        names.append(threading.current_thread().name)
        if n == 3:
            third.set()
        return n

    def run(group):
        assert third.wait(10), "nothing was made ready while this ran"
        return [threading.current_thread().name for _ in group]

    here = threading.current_thread().name
    assert list(map_batched(range(8), squares(2, ready=ready, run=run))) == [here] * 8
    assert set(names) == {"keras_saliency._inputs.prefetch"}


@pytest.mark.parametrize("size", [1, 4])
def test_no_more_is_read_than_two_groups_ahead(size):
    drawn = 0

    def endless():
        nonlocal drawn
        while drawn < 10_000:  # were there no bound, this would be one
            drawn += 1
            yield drawn

    stream = map_batched(endless(), squares(size))
    for out in range(1, 30):
        next(stream)
        time.sleep(0.002)
        assert drawn <= out + 2 * size
    stream.close()
    gc.collect()
    wait_until_no_thread()
    stopped = drawn
    time.sleep(0.02)
    assert drawn == stopped


@pytest.mark.parametrize("where", ["items", "ready", "run"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_an_exception_comes_in_its_place(where, size):
    class Bad(Exception):
        pass

    def check(n, place):
        if n == 5 and where == place:
            raise Bad
        return n

    items = (check(n, "items") for n in range(10))
    steps = squares(
        size,
        ready=lambda n: check(n, "ready"),
        run=lambda group: [check(n, "run") * n for n in group],
    )
    out = []
    with pytest.raises(Bad):
        out.extend(map_batched(items, steps))
    whole = 5 if where != "run" else 5 - 5 % size  # what goes together fails together
    assert out == [n * n for n in range(whole)]


def test_a_stop_iteration_of_the_reader_is_no_end():
    def ready(n):
        if n == 2:
            raise StopIteration
        return n

    with pytest.raises(RuntimeError):
        list(map_batched(range(5), squares(1, ready=ready)))


def test_the_thread_ends_with_a_consumer_that_stops_or_is_forgotten():
    stream = prefetch(range(10_000), lambda n: n, 2)
    assert threads() == 0  # nothing starts before it is asked for
    assert next(stream) == 0
    assert threads() == 1
    stream.close()
    wait_until_no_thread()

    stream = map_batched(range(10_000), squares())
    next(stream)
    assert threads() == 1
    del stream
    gc.collect()
    wait_until_no_thread()

    for one in map_batched(range(10_000), squares()):
        if one == 100:
            break
    gc.collect()
    wait_until_no_thread()


def test_what_is_done_is_let_go():
    class Item:
        living = most = 0

        def __init__(self):
            Item.living += 1
            Item.most = max(Item.most, Item.living)

        def __del__(self):
            Item.living -= 1

    def alike(item):
        time.sleep(0.001)  # the thread gets as far ahead as it may

    steps = squares(4, alike, run=lambda group: [0] * len(group))
    assert list(map_batched((Item() for _ in range(100)), steps)) == [0] * 100
    assert Item.most <= 2 * 4 + 2  # one in the thread's hands, one in ours
    gc.collect()
    assert Item.living == 0


def test_together():
    pairs = list(together(iter("ab"), keys=[1, 2], targets=None))
    assert pairs == [("a", {"keys": 1}), ("b", {"keys": 2})]
    assert list(together([], keys=[])) == []
    with pytest.raises(errors.ImageError, match=r"one of keys .* only 1, and more pictures"):
        list(together(iter("ab"), keys=[1]))
    with pytest.raises(errors.ImageError, match=r"targets .* more of them than the 2 pictures"):
        list(together(iter("ab"), targets=iter("xyz")))


@pytest.mark.parametrize("one", ["a.jpg", np.zeros((4, 4, 3)), {"image": 1}, 7, None])
def test_a_single_picture_is_no_stream(one):
    with pytest.raises(errors.ImageError, match="Expected a stream of pictures"):
        together(one)
