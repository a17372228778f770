"""Losses on log densities, which the training of a fixation model minimises.

Shapes: ``log_density`` (B, H, W, 1) as a fixation model gives it, about -10000 on padding;
``truth`` (B, H, W, 2), the blurred density of the fixations and the share of them on each pixel,
both summing to 1. Each function returns (B,). Padding takes no part in any of them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_saliency._inputs.geometry import EMPTY
from keras_saliency.fixation.layers import PACKAGE

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
