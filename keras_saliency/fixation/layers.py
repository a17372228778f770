"""Layers that Keras lacks, from pixels to log density, and the losses on log densities."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_saliency._inputs.geometry import EMPTY

PACKAGE = "keras_saliency"


@keras.saving.register_keras_serializable(PACKAGE)
class Pixels(keras.layers.Layer):
    """Pixels 0..255, NaN where a canvas holds no picture, to an encoder's input and a mask.

    Args:
        mean: Taken off each channel, in the order of the output's channels.
        scale: Multiplied afterwards.
        reverse: Whether the encoder takes BGR instead of RGB.
    """

    def __init__(self, mean: Any, scale: float, reverse: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean, self.scale, self.reverse = [float(m) for m in mean], scale, reverse

    def call(self, pixels):
        empty = ops.any(ops.isnan(pixels), axis=-1, keepdims=True)
        x = ops.flip(pixels, axis=-1) if self.reverse else pixels
        x = (x - ops.cast(np.array(self.mean, "float32"), x.dtype)) * self.scale
        # Padding looks like the mean colour, so that its edge is as faint as can be.
        return ops.where(empty, ops.zeros_like(x), x), ops.cast(~empty, "float32")

    def compute_output_spec(self, pixels):
        mask = (*pixels.shape[:-1], 1)
        return keras.KerasTensor(pixels.shape, self.compute_dtype), keras.KerasTensor(mask)

    def get_config(self):
        return {
            **super().get_config(),
            "mean": self.mean,
            "scale": self.scale,
            "reverse": self.reverse,
        }


@keras.saving.register_keras_serializable(PACKAGE)
class Bilinear(keras.layers.Layer):
    """Enlarge maps (B, h, w, C) by a whole factor: linear between cells' centres, edges repeated.

    The same as ``UpSampling2D(interpolation="bilinear")``, and it also works where TensorFlow
    traces a graph for pictures of any size.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, maps):
        return self._enlarge(self._enlarge(maps, 1), 2)

    def _enlarge(self, maps, axis):
        first, last = ((slice(None),) * axis + (part,) for part in (slice(0, 1), slice(-1, None)))
        but_last = (slice(None),) * axis + (slice(0, -1),)
        but_first = (slice(None),) * axis + (slice(1, None),)
        before = ops.concatenate([maps[first], maps[but_last]], axis)
        after = ops.concatenate([maps[but_first], maps[last]], axis)
        parts = []
        for k in range(self.factor):
            away = (k + 0.5) / self.factor - 0.5  # from the cell's centre, in cells
            parts.append((1 - abs(away)) * maps + abs(away) * (before if away < 0 else after))
        shape = list(ops.shape(maps))
        shape[axis] = shape[axis] * self.factor
        return ops.reshape(ops.stack(parts, axis + 1), shape)

    def compute_output_spec(self, maps):
        batch, height, width, channels = maps.shape
        height, width = (n and n * self.factor for n in (height, width))
        return keras.KerasTensor((batch, height, width, channels), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(PACKAGE)
class Smoothing(keras.layers.Layer):
    """A Gaussian blur whose width is learned (Cornia et al. 2018; Kümmerer et al. 2016).

    Maps are (B, h, w, 1); what lies outside the picture takes no part.

    Args:
        sigma: Standard deviation in cells at the start.
        radius: Cells the kernel reaches.
    """

    def __init__(self, sigma: float = 1.0, radius: int = 6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sigma, self.radius = sigma, radius

    def build(self, *_):
        self.log_sigma = self.add_weight(
            name="log_sigma",
            shape=(),
            initializer=keras.initializers.Constant(float(np.log(self.sigma))),
        )

    def call(self, maps, mask):
        mask = ops.cast(mask, maps.dtype)
        return self._blur(maps * mask) / (self._blur(mask) + 1e-6)

    def _blur(self, maps):
        reach = ops.arange(-self.radius, self.radius + 1, dtype="float32")
        sigma = ops.exp(ops.cast(self.log_sigma, "float32"))
        kernel = ops.exp(-0.5 * ops.square(reach / sigma))
        kernel = ops.cast(kernel / ops.sum(kernel), maps.dtype)
        for shape in ((-1, 1, 1, 1), (1, -1, 1, 1)):
            maps = ops.conv(
                maps, ops.reshape(kernel, shape), padding="same", data_format="channels_last"
            )
        return maps

    def compute_output_spec(self, maps, mask):
        return keras.KerasTensor(maps.shape, maps.dtype)

    def get_config(self):
        return {**super().get_config(), "sigma": self.sigma, "radius": self.radius}


@keras.saving.register_keras_serializable(PACKAGE)
class CentreBias(keras.layers.Layer):
    """Add a learned log prior over positions in the picture (Kümmerer et al. 2015, 1411.1045).

    The prior is a grid of ``nodes`` x ``nodes`` values spread over the picture, not over its
    canvas, and linear between them; so it fits any size, aspect ratio and padding.
    """

    def __init__(self, nodes: int = 9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.nodes = nodes

    def build(self, *_):
        def gaussian(shape, dtype=None):
            x = np.linspace(-2.0, 2.0, self.nodes)  # the edges are two sigma from the centre
            return ops.cast(-0.5 * (x[:, None] ** 2 + x**2), dtype or "float32")

        self.grid = self.add_weight(
            name="grid", shape=(self.nodes, self.nodes), initializer=gaussian, dtype="float32"
        )

    def call(self, logits, mask):
        rows = self._tents(ops.max(mask, axis=(2, 3)))
        columns = self._tents(ops.max(mask, axis=(1, 3)))
        prior = ops.einsum("bhk,kl,bwl->bhw", rows, ops.cast(self.grid, "float32"), columns)
        return ops.cast(logits, "float32") + prior[..., None]

    def _tents(self, inside):
        """Weight of each node of one axis at each position, (B, n, nodes); a row sums to 1."""
        count = ops.maximum(ops.sum(inside, axis=1, keepdims=True), 1.0)
        position = ops.clip((ops.cumsum(inside, axis=1) - 0.5) / count, 0.0, 1.0)
        nodes = ops.arange(self.nodes, dtype="float32")
        return ops.relu(1.0 - ops.abs((position * (self.nodes - 1))[..., None] - nodes))

    def compute_output_spec(self, logits, mask):
        return keras.KerasTensor(logits.shape, "float32")

    def get_config(self):
        return {**super().get_config(), "nodes": self.nodes}


@keras.saving.register_keras_serializable(PACKAGE)
class LogDensity(keras.layers.Layer):
    """Logits (B, H, W, 1) to a log density over the picture: exp() sums to 1, 0 on padding."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, logits, mask):
        shape = ops.shape(logits)
        flat = ops.reshape(ops.where(mask > 0, logits, EMPTY), (shape[0], -1))
        flat = ops.maximum(ops.log_softmax(flat, axis=-1), EMPTY)
        return ops.reshape(flat, shape)

    def compute_output_spec(self, logits, mask):
        return keras.KerasTensor(logits.shape, "float32")


@keras.saving.register_keras_serializable(PACKAGE)
class Logarithm(keras.layers.Layer):
    """The natural logarithm of values in 0..1; 0 gives -16."""

    def call(self, values):
        return ops.log(ops.maximum(values, 1e-7))


_PIXELS = (1, 2, 3)
_TINY = 1e-12
# Of the variance, that of the uniform density being the unit: at a flat prediction the gradients of
# correlation and NSS would be infinite.
_FLAT = 1e-5


def kl_divergence(truth: Any, log_density: Any) -> Any:
    """Return the divergence of the prediction from the density of fixations, in nat, (B,).

    Example:
        >>> truth = keras.ops.full((1, 2, 2, 2), 0.25)
        >>> flat = keras.ops.log(keras.ops.full((1, 2, 2, 1), 0.25))
        >>> abs(float(kl_divergence(truth, flat)[0])) < 1e-6
        True
    """
    q = truth[..., :1]
    terms = ops.where(q > 0, q * (ops.log(ops.maximum(q, _TINY)) - log_density), 0.0)
    return ops.sum(terms, axis=_PIXELS)


def log_likelihood(truth: Any, log_density: Any) -> Any:
    """Return the mean log density at the fixations, in nat, (B,): larger is better.

    Source:
        Kümmerer, Wallis, Bethge 2015, "Information-theoretic model comparison unifies saliency
        metrics", PNAS 112(52), arXiv:1409.7686.
    """
    n = truth[..., 1:]
    return ops.sum(ops.where(n > 0, n * log_density, 0.0), axis=_PIXELS)


def correlation(truth: Any, log_density: Any) -> Any:
    """Return Pearson's correlation of the two densities over the picture, (B,)."""
    mask, count = _picture(log_density)
    p = (ops.exp(log_density) - 1 / count) * mask
    q = (truth[..., :1] - 1 / count) * mask
    # Densities are of the order of 1 / count: without the factor their squares leave float32.
    p, q = p * count, q * count
    count = ops.reshape(count, (-1,))
    together, of_p, of_q = (ops.sum(x, axis=_PIXELS) / count for x in (p * q, p * p, q * q))
    return together / ops.sqrt((of_p + _FLAT) * (of_q + _FLAT))


def scanpath_saliency(truth: Any, log_density: Any) -> Any:
    """Return the normalised scanpath saliency (NSS), (B,): larger is better.

    Source:
        Peters et al. 2005, "Components of bottom-up gaze allocation in natural images", Vision
        Research 45(18).
    """
    mask, count = _picture(log_density)
    p = (ops.exp(log_density) * count - 1.0) * mask
    deviation = ops.sqrt(ops.sum(p * p, axis=_PIXELS, keepdims=True) / count + _FLAT)
    return ops.sum(truth[..., 1:] * p / deviation, axis=_PIXELS)


def _picture(log_density: Any) -> tuple[Any, Any]:
    """The mask of the picture, (B, H, W, 1), and how many pixels it has, (B, 1, 1, 1)."""
    mask = ops.cast(log_density > EMPTY / 2, log_density.dtype)
    return mask, ops.sum(mask, axis=_PIXELS, keepdims=True)


@keras.saving.register_keras_serializable(PACKAGE)
class FixationLoss(keras.losses.Loss):
    """A weighted sum of divergence, correlation, NSS and log-likelihood.

    The sum is ``kld * KLD - cc * CC - nss * NSS - ll * LL``, so that less is better for each.

    Args:
        kld: Weight of the Kullback-Leibler divergence.
        cc: Weight of the correlation.
        nss: Weight of the normalised scanpath saliency.
        ll: Weight of the log-likelihood of the fixations themselves.
        name: The loss's name.
        **kwargs: Passed to ``keras.losses.Loss``: ``reduction``, ``dtype``.

    Source:
        The sum of KLD, CC and NSS: Droste, Jiao, Noble 2020, "Unified image and video saliency
        modeling", arXiv:2003.05477.

    Example:
        >>> truth = np.full((1, 2, 2, 2), 0.25, "float32")
        >>> flat = np.log(np.full((1, 2, 2, 1), 0.25, "float32"))
        >>> round(float(FixationLoss(kld=1.0)(truth, flat)), 4)
        0.0
    """

    def __init__(
        self,
        kld: float = 1.0,
        cc: float = 0.0,
        nss: float = 0.0,
        ll: float = 0.0,
        name: str = "fixation_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.kld, self.cc, self.nss, self.ll = kld, cc, nss, ll

    def call(self, truth: Any, log_density: Any) -> Any:
        """Return the loss of each picture, (B,)."""
        parts = (
            (self.kld, kl_divergence),
            (-self.cc, correlation),
            (-self.nss, scanpath_saliency),
            (-self.ll, log_likelihood),
        )
        return sum(weight * part(truth, log_density) for weight, part in parts if weight)

    def get_config(self) -> dict[str, Any]:
        weights = {"kld": self.kld, "cc": self.cc, "nss": self.nss, "ll": self.ll}
        return {**super().get_config(), **weights}
