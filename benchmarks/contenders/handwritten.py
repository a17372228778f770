"""The lower bound: hand-written programs for each backend, in loops over chunks of eight.

They explain given classes of a network that gives logits, keep sums on the device, and know nothing
of other models, pictures or layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.legendre import leggauss

from benchmarks.cases import CELLS, CHUNK, MASKS, SAMPLES, STEPS
from benchmarks.contenders import Entry
from benchmarks.contenders.handwritten_programs import Programs, programs, torch_programs
from benchmarks.networks import Subject

if TYPE_CHECKING:
    import torch

_SETTINGS = f"compiled, chunks of {CHUNK}"


def entry(method: str, subject: Subject) -> Entry:
    """Return the hand-written program of a method."""
    layer = subject.loaded.layer if method == "grad_cam" else None
    return looped(method, subject, programs(subject.loaded.with_logits, layer))


def looped(method: str, subject: Subject, programs: Programs) -> Entry:
    """Return the loop of a method around programs."""
    loops: dict[str, Callable[[], Entry]] = {
        "gradient": lambda: Entry(lambda: programs.gradient(pictures, classes), "compiled"),
        "grad_cam": lambda: Entry(lambda: programs.grad_cam(pictures, classes), "compiled", "map"),
        "smooth_grad": lambda: _smooth_grad(programs, subject),
        "integrated_gradients": lambda: _integrated_gradients(programs, subject),
        "occlusion": lambda: _occlusion(programs, subject),
        "rise": lambda: _rise(programs, subject),
    }
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    return loops[method]()


def _chunks(rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    for start in range(0, len(rows), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield chunk, rows[chunk]


def _integrated_gradients(programs: Programs, subject: Subject) -> Entry:
    """The straight path from 0, Gauss-Legendre."""
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    points, weights = leggauss(STEPS)
    rows = np.repeat(np.arange(subject.batch, dtype=np.int32), STEPS)
    places = np.tile((points + 1) / 2, subject.batch).astype(np.float32)
    shares = np.tile(weights / 2, subject.batch).astype(np.float32)

    def call() -> np.ndarray:
        images = programs.to_device(pictures)
        total = sum(
            programs.path(images, classes[some], some, places[chunk], shares[chunk])
            for chunk, some in _chunks(rows)
        )
        return programs.to_numpy(total) * pictures

    return Entry(call, _SETTINGS)


def _smooth_grad(programs: Programs, subject: Subject) -> Entry:
    pictures, classes, noise = subject.pictures, subject.classes.astype(np.int32), subject.noise
    rows = np.repeat(np.arange(subject.batch, dtype=np.int32), SAMPLES)

    def call(seed: int = 0) -> np.ndarray:
        images = programs.to_device(pictures)
        total = sum(
            programs.noisy(images, classes[some], some, noise, seed * len(rows) + chunk.start)
            for chunk, some in _chunks(rows)
        )
        return programs.to_numpy(total) / SAMPLES

    return Entry(call, _SETTINGS, "drawn", lambda: call(seed=1))


def _occlusion(programs: Programs, subject: Subject) -> Entry:
    """Windows of 0 that touch and do not overlap."""
    side, window = subject.loaded.side, subject.window
    count = -(-side // window)
    masks = np.ones((count * count, side, side), np.float32)
    for number, mask in enumerate(masks):
        top, left = (window * place for place in divmod(number, count))
        mask[top : top + window, left : left + window] = 0

    def call() -> np.ndarray:
        scores = _scores(programs, subject, masks)
        whole = programs.scores(subject.pictures, subject.classes.astype(np.int32))
        return np.tensordot(whole[:, None] - scores, 1 - masks, axes=1)

    return Entry(call, f"chunks of {CHUNK}, window {window}")


def _rise(programs: Programs, subject: Subject) -> Entry:
    from scipy.ndimage import zoom

    side = subject.loaded.side
    cell = -(-side // CELLS)

    def call(seed: int = 0) -> np.ndarray:
        random, total = np.random.default_rng(seed), np.zeros((subject.batch, side, side))
        for _ in range(MASKS // CHUNK):
            masks = np.empty((CHUNK, side, side), np.float32)
            for mask in masks:
                grid = (random.random((CELLS, CELLS)) < 0.5).astype(np.float32)
                top, left = random.integers(cell, size=2)
                large = zoom(
                    grid, (CELLS + 1) * cell / CELLS, order=1, mode="nearest", grid_mode=True
                )
                mask[:] = large[top : top + side, left : left + side]
            total += np.tensordot(_scores(programs, subject, masks), masks, axes=1)
        return total / (MASKS * 0.5)

    return Entry(call, f"chunks of {CHUNK}", "drawn", lambda: call(seed=1))


def _scores(programs: Programs, subject: Subject, masks: np.ndarray) -> np.ndarray:
    """Return the scores (B, N) of every picture seen through every mask."""
    pictures, classes = subject.pictures, subject.classes.astype(np.int32)
    scores = np.empty((subject.batch, len(masks)), np.float32)
    for row in range(subject.batch):
        for start in range(0, len(masks), CHUNK):
            some = masks[start : start + CHUNK]
            seen = pictures[row] * some[..., None]
            scores[row, start : start + CHUNK] = programs.scores(
                seen, classes[row].repeat(len(some))
            )
    return scores


class ChannelsLast:
    """A network of modules that is called as a Keras model is, with pictures (B, H, W, C)."""

    def __init__(self, twin: Any) -> None:
        """Keep the network."""
        self._twin = twin

    def __call__(self, pictures: torch.Tensor, training: bool = False) -> torch.Tensor:
        return self._twin(pictures.permute(0, 3, 1, 2))

    def parameters(self) -> Iterator[torch.Tensor]:
        """Yield the weights, which say on what device they are."""
        return self._twin.parameters()

    def requires_grad_(self, wanted: bool) -> None:
        """Freeze the weights, or not."""
        self._twin.requires_grad_(wanted)


def entry_of_modules(method: str, subject: Subject) -> Entry:
    """Return the same on PyTorch without Keras, on a network of torch.nn modules."""
    return looped(method, subject, torch_programs(ChannelsLast(subject.loaded.native), None))
