"""What every method is: one published idea that turns an engine into attributions.

A `PathMethod` sums gradients along a path from a baseline to the picture, a `CamMethod` the maps of
a layer.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_saliency import postprocess
from keras_saliency.errors import MethodError, did_you_mean

if TYPE_CHECKING:
    from keras_saliency.engine import Engine, LayerGradient

_READ = "keras-saliency methods, or help(keras_saliency.methods)"
_registry: dict[str, type[Method]] = {}
_ROUNDING = 1e-6  # a smaller share of a float32 score is noise
_CANCELLED = 1e-5  # float32 leaves up to 1e-6 of a mean that is 0


@dataclass(frozen=True)
class Attribution:
    """What a method found.

    Attributes:
        values: (B, H, W, C) attributions of the pictures' values, or (B, h, w), a grid.
        checks: Numbers by which the method checks itself, each (B,).
        info: What else a manifest should say, such as the layer.
        findings: For each picture, sentences about what looks wrong; they become warnings.
    """

    values: np.ndarray
    checks: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[tuple[str, ...]] = ()

    @property
    def is_grid(self) -> bool:
        """Whether the values are a map already, without channels."""
        return self.values.ndim == 3


@dataclass(frozen=True)
class Method(ABC):
    """A way to attribute a score to pixels. Its options are its fields.

    Class attributes are claims, and each is tested:

    * ``family``: gradient, path, cam or perturbation;
    * ``signed``: the sign of its map has a meaning (else the map is non-negative);
    * ``complete``: attributions sum to y(x) - y(baseline);
    * ``stochastic``: the map depends on the seed;
    * ``needs_gradient``: it cannot work on a score without derivatives;
    * ``local``: a pixel that the score ignores gets 0 (a grid blurs that);
    * ``reference``: authors, title, year, arXiv id.
    """

    family: ClassVar[str]
    signed: ClassVar[bool] = False
    complete: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    needs_gradient: ClassVar[bool] = True
    local: ClassVar[bool] = True
    reference: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register our own classes under their files' names; others are passed as objects."""
        super().__init_subclass__(**kwargs)
        package, _, file = cls.__module__.rpartition(".")
        if package == __package__ and cls.__module__ != __name__:  # what is abstract has no name
            _registry[file] = cls

    @property
    def name(self) -> str:
        """The name by which strings find it: that of its file (its class, if it is not ours)."""
        file = type(self).__module__.rpartition(".")[-1]
        return file if _registry.get(file) is type(self) else type(self).__name__

    @abstractmethod
    def attribute(self, engine: Engine, seed: int) -> Attribution:
        """Return attributions of the engine's pictures."""

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return a map (B, H, W) from attributions (B, H, W, C): here their sum over channels."""
        return postprocess.channel_sum(attributions)

    def parameters(self) -> dict[str, Any]:
        """Return the options, for a manifest."""
        return {
            one.name: value.name if isinstance(value, Method) else value
            for one in dataclasses.fields(self)
            for value in [getattr(self, one.name)]
        }

    def _require(self, ok: bool, option: str, wanted: str) -> None:
        """Raise MethodError unless an option holds what it should."""
        if not ok:
            raise MethodError(
                f"{type(self).__name__}({option}={getattr(self, option)!r}) was asked for.",
                f"{option} must be {wanted}.",
                "Take such a value.",
                f"help(keras_saliency.methods.{type(self).__name__})",
            )

    def _require_count(self, option: str) -> None:
        """Raise MethodError unless an option is a whole number above 0."""
        value = getattr(self, option)
        self._require(isinstance(value, int) and value > 0, option, "a whole number above 0")

    def _require_share(self, option: str) -> None:
        """Raise MethodError unless an option is a finite number above 0."""
        value = getattr(self, option)
        good = isinstance(value, int | float) and math.isfinite(value) and value > 0
        self._require(good, option, "a number above 0")


@dataclass(frozen=True)
class CamMethod(Method):
    """A method that adds up a layer's maps A_k; what is negative in the sum becomes 0.

    Args:
        layer: Path of the layer, or ``"path@k"`` for the k-th call of a shared layer. ``None``
            takes the last layer on the way to the target whose map is larger than 1x1.
    """

    family = "cam"
    local = False

    layer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no layer's path."""
        self._require(self.layer is None or isinstance(self.layer, str), "layer", "a layer's path")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        at = engine.layer_gradient(self.layer)
        grid = np.maximum(self.add_up(at), 0)
        return Attribution(grid, info={"layer": at.layer}, findings=self.findings(at))

    def add_up(self, at: LayerGradient) -> np.ndarray:
        """Return the weighted sum (B, h, w) of a layer's maps."""
        raise NotImplementedError

    def findings(self, at: LayerGradient) -> Sequence[tuple[str, ...]]:
        """Return, for each picture, what looks wrong."""
        return ()


class PathMethod(Method):
    """A method that goes from a baseline to the picture; others can walk its path.

    Gradients are summed by the trapezoidal rule, in which only two points are kept. A method says
    where its paths start and which points they have.
    """

    family = "path"
    signed = True
    most_steps: ClassVar[int] = 3200  # where refining ends

    steps: int
    tolerance: float | None

    @abstractmethod
    def starts(self, engine: Engine) -> list[np.ndarray]:
        """Return the baselines, each (B, H, W, C); attributions are averaged over them."""

    @abstractmethod
    def path(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[np.ndarray]:
        """Yield ``steps + 1`` points (B, H, W, C), from a baseline to the pictures inclusive."""

    def walk(self, engine: Engine, start: np.ndarray, steps: int) -> Iterator[Stop]:
        """Yield each point of the path with the scores and the gradients there."""
        count, ahead = len(engine.images), deque[np.ndarray]()

        def variants() -> Iterator[tuple[int, np.ndarray]]:
            for point in self.path(engine, start, steps):
                ahead.append(point)
                yield from enumerate(point)

        stream = engine.gradients(variants(), (steps + 1) * count)
        for first in stream:
            yield Stop.of(ahead.popleft(), [first, *islice(stream, count - 1)])

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images, starts = engine.images, self.starts(engine)
        everyone = list(range(len(images)))
        before = np.mean([engine.at(everyone, start).scores for start in starts], axis=0)
        values, lost = np.zeros(images.shape), np.zeros(len(images), int)
        error, rows, steps = np.zeros(len(images)), everyone, self.steps
        while rows:
            part = engine.at(rows, images[rows])
            values[rows], lost[rows] = 0, 0
            for start in starts:
                found, broken = self._integral(part, start[rows], steps)
                values[rows] += found / len(starts)
                lost[rows] += broken
            error = completeness_error(values, engine.scores, before)
            if self.tolerance is None or 2 * steps > self.most_steps:
                break
            rows = [row for row in rows if error[row] > self.tolerance]
            steps *= 2
        return Attribution(
            values,
            {"completeness_error": error},
            findings=path_findings(values, engine.scores, before, lost),
        )

    def _integral(
        self, engine: Engine, start: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one path's attributions, and how often each picture's gradient was not finite."""
        total, lost = np.zeros(engine.images.shape), np.zeros(len(engine.images), int)
        last: Stop | None = None
        for stop in self.walk(engine, start, steps):
            lost += ~stop.whole
            if last is not None:
                way = stop.points.astype(np.float64) - last.points
                total += way * (last.gradients + stop.gradients) / 2
            last = stop
        return total, lost


@dataclass(frozen=True)
class Stop:
    """A point of the pictures' paths: where it is, and what the model says there.

    Attributes:
        points: (B, H, W, C).
        scores: (B,) float64.
        gradients: (B, H, W, C), 0 where they are not finite.
        whole: (B,) whether a gradient was finite everywhere.
    """

    points: np.ndarray
    scores: np.ndarray
    gradients: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, answers: Iterable[tuple[float, np.ndarray]]) -> Stop:
        """Make one of what `Engine.gradients` yields for each picture."""
        scores, gradients = zip(*answers, strict=True)
        finite, whole = zip(*map(clean, gradients), strict=True)
        return cls(points, np.array(scores, np.float64), np.stack(finite), np.array(whole))


def cancelled(terms: np.ndarray, at: LayerGradient) -> list[tuple[str, ...]]:
    """Return, for each picture, a finding where the mean of every channel is only rounding.

    So it is by construction where a norm or a softmax over positions follows the layer.

    Args:
        terms: (B, h, w, K), what a method takes the mean of over positions.
        at: The layer.
    """
    mean = np.abs(terms.mean(axis=(1, 2), dtype=np.float64))
    size = np.abs(terms).mean(axis=(1, 2), dtype=np.float64)
    noise = (mean <= _CANCELLED * size).all(axis=-1) & size.any(axis=-1)
    said = (
        f"the gradients of layer {at.layer!r} cancel over its positions, and the map is rounding: "
        "name an earlier layer, or take 'hires_cam'"
    )
    return [(said,) if one else () for one in noise]


def clean(gradient: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a gradient with 0 where it is not finite, and whether it was finite everywhere."""
    finite = np.isfinite(gradient)
    whole = bool(finite.all())
    return gradient if whole else np.where(finite, gradient, 0), whole


def completeness_error(values: np.ndarray, end: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return how far attributions miss the gap in score, as a share of the gap, (B,).

    Where the gap is nothing but rounding, the error is a share of that rounding.

    Args:
        values: (B, H, W, C) attributions.
        end: (B,) scores of the pictures.
        start: (B,) scores of the baselines.
    """
    gap, axes = end - start, tuple(range(1, values.ndim))
    missed = np.abs(values.sum(axes) - gap)
    return missed / np.maximum(np.abs(gap), _noise(values, end, start))


def path_findings(
    values: np.ndarray, end: np.ndarray, start: np.ndarray, lost: np.ndarray
) -> list[tuple[str, ...]]:
    """Return, for each picture, what looks wrong with attributions that share out a gap in score.

    Args:
        values: (B, H, W, C) attributions.
        end: (B,) scores of the pictures.
        start: (B,) scores of the baselines.
        lost: (B,) points whose gradient was not finite and counts as 0.
    """
    level = np.abs(end - start) <= _noise(values, end, start)
    findings = []
    for row, count in enumerate(lost):
        said = []
        if count:
            said.append(f"the gradient is NaN or infinite at {count} points: it counts as 0 there")
        if not np.isfinite(end[row] - start[row]):
            said.append("the score of the picture or of the baseline is NaN or infinite")
        elif level[row] and values[row].any():
            said.append("the score is the same at the baseline and at the picture")
        findings.append(tuple(said))
    return findings


def _noise(values: np.ndarray, end: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return what float32 leaves of a gap of 0."""
    size = np.abs(values).sum(axis=tuple(range(1, values.ndim))) + np.abs(end) + np.abs(start)
    return np.maximum(_ROUNDING * size, np.finfo(np.float32).tiny)


def names() -> list[str]:
    """Return the names of all methods."""
    return sorted(_registry)


def classes() -> dict[str, type[Method]]:
    """Return the class of each method by its name."""
    return {name: _registry[name] for name in names()}


def get(method: str | Method | type[Method]) -> Method:
    """Return the method meant by explain()'s argument.

    Args:
        method: A name, a method, or a method's class (which stands for its defaults).

    Raises:
        MethodError: No such method.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if isinstance(method, str) and method in _registry:
        return _registry[method]()
    raise MethodError(
        f"The method {method!r} was asked for."
        if isinstance(method, str)
        else f"A method was asked for; {method!r} was given.",
        f"Known: {', '.join(names())}.",
        did_you_mean(str(method), names()) or "Take one of these.",
        _READ,
    )
