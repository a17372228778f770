"""Gradients on the paths from many references to the picture, averaged."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import (
    EVERY,
    Attribution,
    Method,
    clean,
    completeness_error,
    gap_findings,
)

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_READ = "help(keras_saliency.methods.ExpectedGradients)"


@dataclass(frozen=True)
class ExpectedGradients(Method):
    """The mean of (x - b) times the gradient at b + a (x - b), over references b and positions a.

    Integrated gradients with a whole data set as baseline; also known as GradientSHAP. References
    and positions are drawn from explain()'s seed, the same for every picture, and stratified: each
    reference is drawn equally often (give or take one), and its positions are uniform, one in each
    of as many equal parts of the path. The error falls faster with ``samples`` than that of
    independent draws.

    Attributions sum, in the mean over seeds, to y(x) less the mean of y(b) over the references
    drawn; how far they miss that is in ``checks[i]["completeness_error"]``.

    Args:
        samples: Draws for each picture.
        references: Reference images, (N, H, W, C) in the model's input range, or other inputs (N,
            ...); of several inputs a dict of these. None uses the other
            pictures of the batch, so a picture's map depends on them. Inside a wrapper, as in
            ``SmoothGrad(ExpectedGradients())``, they are the pictures passed to explain().

    Example:
        >>> data = np.random.default_rng(1).random((20, 24, 24, 3))
        >>> e = explain(model, img, methods.ExpectedGradients(samples=100, references=data))
        >>> e.checks[0]["completeness_error"] < 0.1
        True
    """

    family = "path"
    kinds = EVERY
    signed = True
    stochastic = True
    reference = (
        "Erion, Janizek, Sturmfels, Lundberg, Lee: Improving performance of deep learning models "
        "with axiomatic attribution priors and expected gradients, 2019, arXiv:1906.10670"
    )

    samples: int = 200
    references: Any = None

    def __post_init__(self) -> None:
        """Check the options."""
        self._require_count("samples")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, count = engine.images, len(engine.images)
        references = self._references(engine)
        draws = list(_draws(references.count, self.samples, seed))
        values, lost = np.zeros(images.shape), np.zeros(count, int)
        ways: deque[np.ndarray] = deque()

        def variants() -> Iterator[tuple[int, np.ndarray]]:
            for number, position in draws:
                for row, image in enumerate(images):
                    start = references.of(row, number)
                    ways.append(image - start)
                    yield row, start + images.dtype.type(position) * ways[-1]

        for number, (_, result) in enumerate(engine.gradients(variants(), len(draws) * count)):
            gradient, whole = clean(result)
            row = number % count
            lost[row] += not whole
            values[row] += ways.popleft().astype(np.float64) * gradient / len(draws)
        before = _mean_scores(engine, references, Counter(number for number, _ in draws))
        error = completeness_error(values, engine.scores, before)
        findings = gap_findings(values, engine.scores, before, lost)
        return Attribution(values, {"completeness_error": error}, findings=findings)

    def _references(self, engine: Engine) -> _References:
        images = engine.images
        if self.references is None:
            if len(engine.reference_images) < 2:
                raise MethodError(
                    "Expected reference images, or a batch of two or more pictures.",
                    "Got references=None, which uses the other pictures of the batch, and a batch "
                    "of one.",
                    "Pass methods.ExpectedGradients(references=...), pictures (N, H, W, C) in the "
                    "model's input range, or explain two or more pictures at once.",
                    _READ,
                )
            return _References(engine.reference_images, engine.source_indices)
        try:
            references = engine.as_images(self.references)
        except (KeyError, TypeError, ValueError):
            references = np.zeros(0)
        fits = references.shape[1:] == images.shape[1:] and len(references) > 0
        if not fits or not np.isfinite(references).all():
            raise MethodError(
                f"Expected finite reference images (N, H, W, C), each {images.shape[1:]}.",
                f"Got a {type(self.references).__name__} of shape {np.shape(self.references)}."
                if not fits
                else f"Got {np.count_nonzero(~np.isfinite(references))} values that are not "
                "finite.",
                "Pass a finite array (N, H, W, C), preprocessed as the model expects it.",
                _READ,
            )
        return _References(references)


@dataclass(frozen=True)
class _References:
    """Reference images; a picture of the batch skips itself, at its position in ``positions``."""

    pictures: np.ndarray
    positions: Sequence[int] = ()

    @property
    def count(self) -> int:
        return len(self.pictures) - bool(self.positions)

    def of(self, row: int, number: int) -> np.ndarray:
        skipped = bool(self.positions) and number >= self.positions[row]
        return self.pictures[number + skipped]


def _draws(references: int, samples: int, seed: int) -> Iterator[tuple[int, float]]:
    """Yield the number of a reference and a position, 0 to 1, on the path from it.

    A reference that is drawn n times has one position in each n-th of its path. The references of
    one round divide that n-th among them, so that all positions together are stratified as well.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(references)
    rounds = -(-samples // references)
    for number in range(rounds):
        chosen = order[: samples - number * references]
        spread = generator.permutation(len(chosen)) + generator.random(len(chosen))
        for rank, reference in enumerate(chosen):
            times = samples // references + (rank < samples % references)
            yield int(reference), (number + spread[rank] / len(chosen)) / times


def _mean_scores(engine: Engine, references: _References, drawn: Counter[int]) -> np.ndarray:
    """Return the mean score (B,) of the references drawn, under each picture's target."""
    count = len(engine.images)
    variants = ((row, references.of(row, number)) for number in drawn for row in range(count))
    scores = np.fromiter(engine.variant_scores(variants, len(drawn) * count), np.float64)
    return np.average(scores.reshape(-1, count), axis=0, weights=list(drawn.values()))
