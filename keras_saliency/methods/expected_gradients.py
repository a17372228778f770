"""Gradients on the ways from many references to the picture, averaged."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import MethodError
from keras_saliency.methods.base import (
    Attribution,
    Method,
    clean,
    completeness_error,
    gap_findings,
)

if TYPE_CHECKING:
    from keras_saliency.engine import Engine

_READ = "help(keras_saliency.methods.ExpectedGradients)"


@dataclass(frozen=True)
class ExpectedGradients(Method):
    """The mean of (x - b) times the gradient at b + a (x - b), over references b and places a.

    Integrated gradients with a whole data set as baseline; also known as GradientSHAP. Both are
    drawn from explain()'s seed, the same for every picture, and spread evenly: each reference comes
    equally often (give or take one), and its places are uniform, one in each of as many equal
    parts of the way. The error falls faster with ``samples`` than that of independent draws.

    Attributions sum, in the mean over seeds, to y(x) less the mean of y(b) over the references
    drawn; how far they miss that is in ``checks[i]["completeness_error"]``.

    Args:
        samples: Draws for each picture.
        references: Pictures (N, H, W, C) in the model's input range; the other pictures of the
            batch where it is None (a picture's map then depends on its company). Around it, as in
            ``SmoothGrad(ExpectedGradients())``, they are the pictures that were given.

    Example:
        >>> data = np.random.default_rng(1).random((20, 24, 24, 3))
        >>> e = explain(model, img, methods.ExpectedGradients(samples=100, references=data))
        >>> e.checks[0]["completeness_error"] < 0.1
        True
    """

    family = "path"
    signed = True
    stochastic = True
    reference = (
        "Erion, Janizek, Sturmfels, Lundberg, Lee: Improving performance of deep learning models "
        "with axiomatic attribution priors and expected gradients, 2019, arXiv:1906.10670"
    )

    samples: int = 200
    references: Any = None

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        self._require_count("samples")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, count = engine.images, len(engine.images)
        references = self._references(engine)
        draws = list(_draws(references.count, self.samples, seed))
        values, lost = np.zeros(images.shape), np.zeros(count, int)
        ways: deque[np.ndarray] = deque()

        def variants() -> Iterator[tuple[int, np.ndarray]]:
            for number, place in draws:
                for row, image in enumerate(images):
                    start = references.of(row, number)
                    ways.append(image - start)
                    yield row, start + images.dtype.type(place) * ways[-1]

        for number, (_, found) in enumerate(engine.gradients(variants(), len(draws) * count)):
            gradient, whole = clean(found)
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
            if len(engine.company) < 2:
                raise MethodError(
                    "Expected gradients were asked for without references.",
                    "They are then the other pictures of the batch, and there are none.",
                    "Give methods.ExpectedGradients(references=...), pictures (N, H, W, C) in the "
                    "model's input range, or explain two or more pictures at once.",
                    _READ,
                )
            return _References(engine.company, engine.places)
        try:
            given = np.asarray(self.references, images.dtype)
        except (TypeError, ValueError):
            given = np.zeros(0)
        fits = given.ndim == 4 and given.shape[1:] == images.shape[1:] and len(given) > 0
        if not fits or not np.isfinite(given).all():
            raise MethodError(
                f"References were given for pictures of shape {images.shape[1:]}.",
                f"{type(self.references).__name__} of shape {np.shape(self.references)}."
                if not fits
                else "Some of their values are not finite.",
                "Give a finite array (N, H, W, C), preprocessed as the model wants it.",
                _READ,
            )
        return _References(given)


@dataclass(frozen=True)
class _References:
    """The same pictures for all; each leaves out the one at its place, where it has one."""

    pictures: np.ndarray
    places: Sequence[int] = ()

    @property
    def count(self) -> int:
        return len(self.pictures) - bool(self.places)

    def of(self, row: int, number: int) -> np.ndarray:
        skipped = bool(self.places) and number >= self.places[row]
        return self.pictures[number + skipped]


def _draws(references: int, samples: int, seed: int) -> Iterator[tuple[int, float]]:
    """Yield which reference, and the place on the way from it.

    A reference that comes n times has one place in each n-th of its way. The references of one
    round share that n-th out between them, so that all places together are spread as well.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(references)
    rounds = -(-samples // references)
    for number in range(rounds):
        chosen = order[: samples - number * references]
        spread = generator.permutation(len(chosen)) + generator.random(len(chosen))
        for position, reference in enumerate(chosen):
            times = samples // references + (position < samples % references)
            yield int(reference), (number + spread[position] / len(chosen)) / times


def _mean_scores(engine: Engine, references: _References, drawn: Counter[int]) -> np.ndarray:
    """Return the mean score (B,) of the references drawn, under each picture's target."""
    count = len(engine.images)
    variants = ((row, references.of(row, number)) for number in drawn for row in range(count))
    scores = np.fromiter(engine.variant_scores(variants, len(drawn) * count), np.float64)
    return np.average(scores.reshape(-1, count), axis=0, weights=list(drawn.values()))
