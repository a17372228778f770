"""Whether contestants compute the same result: checked before any of them is timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MIN_COSINE = 0.9999
# Two programs in float32 that add up in another order are both up to 7.5e-3 from float64 (ResNet50:
# a rectifier switches), hence 1.5e-2 from each other; 1.25e-2 was measured.
MAX_RELATIVE_L2 = 2e-2


class Disagreement(Exception):
    """Two contestants gave different answers, so their times mean nothing."""


@dataclass(frozen=True)
class Rule:
    """How far apart two answers may be: at least this cosine, at most this relative L2."""

    cosine: float
    relative_l2: float = float("inf")


EQUAL = Rule(MIN_COSINE, MAX_RELATIVE_L2)


@dataclass(frozen=True)
class Agreement:
    """How far apart two batches of gradients are, on the worst of their pictures."""

    cosine: float
    relative_l2: float


def measure(ours: np.ndarray, reference: np.ndarray, what: str) -> Agreement:
    """Return how well two batches (B, ...) agree; NaN where one is not finite or 0 everywhere.

    Raises:
        Disagreement: Their shapes differ.
    """
    if ours.shape != reference.shape:
        raise Disagreement(f"{what}: shapes {ours.shape} and {reference.shape}")
    a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (ours, reference))
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cosines = (a * b).sum(axis=1) / (norms[0] * norms[1])
        distances = np.linalg.norm(a - b, axis=1) / norms[1]
    return Agreement(float(cosines.min()), float(distances.max()))


def require(ours: np.ndarray, reference: np.ndarray, what: str, rule: Rule = EQUAL) -> Agreement:
    """Return how well two batches (B, ...) agree.

    Raises:
        Disagreement: Too badly, or one of them is not finite or 0 everywhere.
    """
    found = measure(ours, reference, what)
    near = found.relative_l2 <= rule.relative_l2 or rule.relative_l2 == float("inf")
    if not (found.cosine >= rule.cosine and near):  # NaN fails too
        raise Disagreement(
            f"{what}: cosine {found.cosine:.6f} (at least {rule.cosine:.6g}), "
            f"relative L2 {found.relative_l2:.2e} (at most {rule.relative_l2:.3g})"
        )
    return found
