"""The segments of a picture with the most attribution, best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from keras_saliency._inputs import resampling, segments
from keras_saliency.errors import MethodError
from keras_saliency.errors import _arguments as options
from keras_saliency.methods.base import Attribution, Method, PresetMixin, classes

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_READ = "help(keras_saliency.methods.Xrai)"
_COMPLETENESS = "completeness_error"
_AT_ONCE = 4096  # pixels that are removed from all segments at once


@dataclass(frozen=True)
class Xrai(PresetMixin):
    """Overlapping segments, selected greedily by their mean attribution; regions, no speckles.

    Select the segment with the highest mean over its uncovered pixels and give these pixels that
    mean, until no segment adds ``min_area`` pixels. The remaining pixels get their own mean. The
    map sums to what the attributions sum to.

    Args:
        base: The method, or its name, whose map is averaged over segments; None takes integrated
            gradients from two baselines.
        scales: Of Felzenszwalb's segmentation, one after the other; larger gives larger segments.
        dilation: How far each segment grows over its edges, in model pixels; of other kinds of
            input at most a 40th of the shortest axis.
        min_area: Pixels that a segment must add; of signals its root, of volumes its power 1.5.
        masks: Bool masks (N, H, W) of one's own in the model's frame, the same for every picture;
            ``scales`` and ``dilation`` are not used then.
        ends: The two baselines: ``"black_white"``, or ``"picture"``, each picture's least and its
            greatest value.
        channels: How a pixel's channels are reduced: ``"base"``, as the base's map does (a sum), or
            ``"max"``, whose map does not sum to the score gap.
        steps: Of integrated gradients, where ``base`` is None.
        quadrature: Of these, as in `IntegratedGradients`.
        like: ``"pair"``: that library's options, see docs/migrating.md.

    Example:
        >>> base = methods.IntegratedGradients(baseline=[0.0, 1.0])  # black and white, as floats
        >>> e = explain(model, img, methods.Xrai(base, dilation=1, min_area=10))
        >>> len(np.unique(e.values)) > 1
        True
    """

    family = "path"
    signed = True
    local = False
    kinds = ("picture", "signal", "volume", "video")
    reference = (
        "Kapishnikov, Bolukbasi, Viégas, Terry: XRAI: Better Attributions Through Regions, 2019, "
        "arXiv:1906.02825"
    )
    presets: ClassVar = {
        "pair": {"ends": "picture", "channels": "max", "steps": 100, "quadrature": "even"}
    }

    base: Any = None
    scales: tuple[float, ...] = segments.SCALES
    dilation: int = 5
    min_area: int = 50
    masks: Any = None
    ends: Literal["black_white", "picture"] = "black_white"
    channels: Literal["base", "max"] = "base"
    steps: int = 50
    quadrature: Literal["gauss_legendre", "even"] = "gauss_legendre"

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self._attributing().stochastic

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self._attributing().needs_gradient

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.base is not None:
            object.__setattr__(self, "base", self._part(self.base))
        known = ("black_white", "picture")
        self._require(self.ends in known, "ends", f"one of {known}")
        self._require(self.channels in ("base", "max"), "channels", "'base' or 'max'")
        scales = self.scales
        several = isinstance(scales, list | tuple) and len(scales) > 0
        good = several and all(options.is_number(one) and one > 0 for one in scales)
        self._require(good, "scales", "a tuple of numbers above 0")
        good = options.is_integer(self.dilation) and self.dilation >= 0
        self._require(good, "dilation", "a whole number, 0 or more")
        self._require_count("min_area")
        self._require_count("steps")
        known = ("gauss_legendre", "even")
        self._require(self.quadrature in known, "quadrature", f"one of {known}")

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        images = engine.images
        if self.base is None and self.ends == "black_white":
            _check_white(engine)
        base = self._attributing(images)
        own_masks = self._own_masks(images.shape[1:-1])
        result = base.attribute(engine, seed)
        maps = result.values
        if not engine.is_grid(result.values):
            maps = maps.max(axis=-1) if self.channels == "max" else base.to_map(maps)
        maps = resampling.resize(maps, images.shape[1:-1]).astype(np.float64)
        values = np.zeros(maps.shape)
        least = round(self.min_area ** ((maps.ndim - 1) / 2))
        findings = []
        for row, image in enumerate(images):
            masks = own_masks
            if masks is None:
                masks = np.stack(list(segments.scales(image, self.scales, self.dilation)))
            broken = ~np.isfinite(maps[row])
            values[row] = _greedy(np.where(broken, 0, maps[row]), masks, least)
            said = result.findings[row] if result.findings else ()
            findings.append((*said, *_findings(values[row], masks, int(broken.sum()))))
        # The base's error is that of sums over channels.
        adds_up = engine.is_grid(result.values) or self.channels == "base"
        checks = {
            name: each for name, each in result.checks.items() if adds_up or name != _COMPLETENESS
        }
        return Attribution(values, checks, result.info, findings)

    def _attributing(self, images: np.ndarray | None = None) -> Method:
        if self.base is not None:
            return self.base
        ends: list[Any] = ["black", "white"]
        if self.ends == "picture" and images is not None:
            ends = [
                end(images, axis=tuple(range(1, images.ndim)), keepdims=True)
                for end in (np.min, np.max)
            ]
        options: dict[str, Any] = {"steps": self.steps, "quadrature": self.quadrature}
        return classes()["integrated_gradients"](**options, baseline=ends)

    def _own_masks(self, size: tuple[int, ...]) -> np.ndarray | None:
        """Return the user's masks (N, H, W), or None."""
        if self.masks is None:
            return None
        masks = np.asarray(self.masks)
        if masks.dtype != bool or masks.shape[1:] != size or not masks.any():
            raise MethodError(
                "Expected bool masks of segments, not all empty, at the model's input size: "
                f"(N, {', '.join(map(str, size))}).",
                f"Got {masks.dtype} of shape {masks.shape}"
                + (", all empty." if masks.size and not masks.any() else "."),
                "Pass bool masks of that shape; from labels: labels == number for each.",
                _READ,
            )
        return masks


def _check_white(engine: Engine) -> None:
    """Raise MethodError where the value of white is not known, and say what to pass."""
    try:
        engine.fill("white")
    except MethodError as error:
        raise MethodError(
            "Expected black and white, from which XRAI integrates gradients.",
            error.got,
            "Pass both as numbers of the model's input, as in "
            "methods.Xrai(base=methods.IntegratedGradients(baseline=[0.0, 1.0])), "
            "or pass explain(preprocess=...).",
            _READ,
        ) from error


def _greedy(attributions: np.ndarray, masks: np.ndarray, min_area: int) -> np.ndarray:
    """Return the map (H, W) of attributions (H, W) and masks (N, H, W)."""
    values = attributions.ravel()
    result, free = np.zeros(values.size), np.ones(values.size, bool)
    members = np.ascontiguousarray(masks.reshape(len(masks), -1).T)  # (pixels, segments)
    areas, sums = _inside(members, values)
    while True:
        possible = areas >= min_area
        if not possible.any():
            break
        best = np.argmax(np.where(possible, sums / np.maximum(areas, 1), -np.inf))
        added = np.flatnonzero(members[:, best] & free)
        result[added] = values[added].mean()
        free[added] = False
        gone = _inside(members[added], values[added])
        areas, sums = areas - gone[0], sums - gone[1]
    if free.any():
        result[free] = values[free].mean()
    return result.reshape(attributions.shape)


def _inside(members: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many pixels (n, N) each segment has, and the sum of their values (n,)."""
    areas, sums = np.zeros(members.shape[1], int), np.zeros(members.shape[1])
    for start in range(0, len(values), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        areas += members[part].sum(axis=0)
        sums += values[part] @ members[part]
    return areas, sums


def _findings(values: np.ndarray, masks: np.ndarray, broken: int) -> tuple[str, ...]:
    """Return the findings of a picture."""
    said = []
    if broken:
        said.append(f"{broken} attributions of the base are NaN or infinite: they count as 0")
    outside = 1 - masks.any(axis=0).mean()
    if outside:
        said.append(f"{outside:.1%} of the picture belongs to no segment: it gets its mean")
    if np.ptp(values) == 0 and values.any():
        said.append("one segment covers the picture: the map cannot locate the evidence")
    return tuple(said)
