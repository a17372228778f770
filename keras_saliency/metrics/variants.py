"""Changed pictures on their way through a score, a micro-batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from keras_saliency.metrics import inputs

# (N, H, W, C) pictures and, for each, the number (N,) of the picture it was made from, to (N,).
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
Variant = tuple[int, np.ndarray]  # which picture it is made from, and the changed picture (H, W, C)


def scores(score: Score, variants: Iterable[Variant], batch_size: int) -> Iterator[float]:
    """Yield the score of each variant, in order; at most ``batch_size`` of them exist at once.

    Raises:
        MetricError: The score gives no finite number for each picture.
    """
    batch_size = inputs.count(batch_size, "batch_size")
    stream = iter(variants)
    while chunk := list(islice(stream, batch_size)):
        rows, images = zip(*chunk, strict=True)
        found = np.asarray(score(np.stack(images), np.asarray(rows, np.intp)), np.float64)
        if found.shape != (len(rows),) or not np.isfinite(found).all():
            raise inputs.refused(
                f"score(images, rows) must give {len(rows)} finite numbers for as many pictures.",
                f"It gave shape {found.shape}"
                + (" with NaN or infinity." if found.shape == (len(rows),) else "."),
                "Return one number a picture, (N,).",
            )
        yield from found.tolist()


def all_scores(
    score: Score, variants: Iterable[Variant], shape: tuple[int, ...], batch_size: int
) -> np.ndarray:
    """Return the scores of all variants as an array of ``shape``, float64."""
    found = np.fromiter(scores(score, variants, batch_size), np.float64, int(np.prod(shape)))
    return found.reshape(shape)


def of_pictures(score: Score, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the scores (B,) of the pictures as they are."""
    return all_scores(score, enumerate(images), (len(images),), batch_size)
