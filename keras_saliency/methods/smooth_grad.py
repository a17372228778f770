"""The mean over noisy copies of a picture, of any method's map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency.methods.base import Attribution, PresetMixin, WrapperMethod

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_REPORTED = 3  # findings per picture


@dataclass(frozen=True)
class SmoothGrad(PresetMixin, WrapperMethod):
    """Attributions of noisy copies of the picture, averaged; around any method.

    The noise is drawn in NumPy from explain()'s seed, the same on every backend and for every
    picture. Checks are the base's, averaged over the copies; its findings say how many copies they
    are about.

    Args:
        base: The method to smooth: a name or a `Method`.
        samples: Noisy copies of each picture.
        noise: Standard deviation, as a share of (max - min) of that picture.
        relative: If False, ``noise`` is not a share but in the model's input range.
        reduce: ``"mean"``; ``"square"``, the mean of squares (Hooker et al. 2018,
            arXiv:1806.10758); or ``"variance"``, VarGrad (Adebayo et al. 2018, arXiv:1810.03292).
        like: ``"captum"``, ``"tf-keras-vis"`` or ``"pair"``: that library's options, see
            docs/migrating.md. A base passed by name takes that library's options, too.

    Example:
        >>> e = explain(model, img, methods.SmoothGrad("grad_cam", samples=25), seed=1)
        >>> e.info["parameters"]["base"]
        'grad_cam'
    """

    family = "gradient"
    stochastic = True
    reference = "Smilkov, Thorat, Kim, Viégas, Wattenberg: SmoothGrad, 2017, arXiv:1706.03825"
    presets: ClassVar = {
        "captum": {"samples": 5, "noise": 1.0, "relative": False},
        "tf-keras-vis": {"samples": 20, "noise": 0.2},
        "pair": {"samples": 25, "reduce": "square"},
    }

    base: Any = "gradient"
    samples: int = 50
    noise: float = 0.15
    relative: bool = True
    reduce: Literal["mean", "square", "variance"] = "mean"

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """As the base, unless squares are averaged."""
        return self.base.signed and self.reduce == "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        object.__setattr__(self, "base", self._part(self.base))
        self._require_count("samples")
        self._require_share("noise")
        known = ("mean", "square", "variance")
        self._require(self.reduce in known, "reduce", f"one of {known}")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images = engine.images
        sums = _Spread(len(images)) if self.reduce == "variance" else _Sums(len(images))
        said = _Said(len(images), self.samples)
        for rows, noisy in engine.chunks(self._noisy(engine, seed), len(images) * self.samples):
            result = self.base.attribute(engine.with_images(rows, noisy), seed)
            said.add(rows, result)
            sums.add(
                rows,
                result.values.astype(np.float64) ** 2 if self.reduce == "square" else result.values,
            )
        return Attribution(sums.result(), said.checks, said.info(), said.findings())

    def _noisy(self, engine: Engine, seed: int) -> Iterator[tuple[int, np.ndarray]]:
        images, spans = engine.images, engine.spans
        precision = np.float64 if images.dtype == np.float64 else np.float32
        for row, image in enumerate(images):
            generator = np.random.default_rng(seed)
            scale = np.asarray(self.noise * (spans[row] if self.relative else 1), precision)
            for _ in range(self.samples):
                noise = generator.standard_normal(image.shape, precision)
                yield row, (image + scale * noise).astype(image.dtype, copy=False)


class _Said:
    """The base's checks, averaged, and its findings, counted, for each picture."""

    def __init__(self, count: int, samples: int) -> None:
        self.checks: dict[str, np.ndarray] = {}
        self._count, self._samples = count, samples
        self._whole: dict[str, Any] = {}
        self._by_picture: dict[str, dict[int, Any]] = {}
        self._findings = [Counter[str]() for _ in range(count)]

    def add(self, rows: list[int], result: Attribution) -> None:
        for name, values in result.checks.items():
            sums = self.checks.setdefault(name, np.zeros(self._count))
            np.add.at(sums, rows, np.asarray(values) / self._samples)
        for name, value in result.info.items():
            if isinstance(value, list) and len(value) == len(rows):  # one for each copy
                first = self._by_picture.setdefault(name, {})
                for row, one in zip(rows, value, strict=True):
                    first.setdefault(row, one)
            else:
                self._whole[name] = value
        for row, said in zip(rows, result.findings or [()] * len(rows), strict=True):
            self._findings[row].update(said)

    def info(self) -> dict[str, Any]:
        """Return the base's info; entries with one item per picture are those of its first copy."""
        lists = {name: [by[row] for row in sorted(by)] for name, by in self._by_picture.items()}
        return {**self._whole, **lists}

    def findings(self) -> list[tuple[str, ...]]:
        """Return the most frequent findings, with how many copies they are about."""
        return [
            tuple(
                said if times == self._samples else f"{times} of {self._samples} copies: {said}"
                for said, times in counted.most_common(_REPORTED)
            )
            for counted in self._findings
        ]


class _Sums:
    """Means of each picture's maps, in one pass."""

    def __init__(self, count: int) -> None:
        self._seen = np.zeros(count, int)
        self._sums = np.zeros(0)

    def add(self, rows: list[int], values: np.ndarray) -> None:
        if not self._sums.size:
            self._sums = np.zeros((len(self._seen), *values.shape[1:]))
        for row, value in zip(rows, values, strict=True):
            self._seen[row] += 1
            self._sums[row] += value

    def result(self) -> np.ndarray:
        return self._sums / self._seen.reshape(-1, *[1] * (self._sums.ndim - 1))


class _Spread:
    """Population variances of each picture's maps, in one pass (Welford), uncancelled."""

    def __init__(self, count: int) -> None:
        self._seen = np.zeros(count)
        self._mean = self._spread = np.zeros(0)

    def add(self, rows: list[int], values: np.ndarray) -> None:
        if not self._mean.size:
            self._mean = np.zeros((len(self._seen), *values.shape[1:]))
            self._spread = np.zeros_like(self._mean)
        for row, value in zip(rows, values, strict=True):
            self._seen[row] += 1
            away = value - self._mean[row]
            self._mean[row] += away / self._seen[row]
            self._spread[row] += away * (value - self._mean[row])

    def result(self) -> np.ndarray:
        return self._spread / self._seen.reshape(-1, *[1] * (self._spread.ndim - 1))
