"""How well attributions share out the gap in score between a baseline and the picture."""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-6  # a smaller share of a float32 score is noise


def clean(gradient: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return a gradient with 0 where it is not finite, and whether it was finite everywhere."""
    finite = np.isfinite(gradient)
    whole = bool(finite.all())
    return gradient if whole else np.where(finite, gradient, 0), whole


def share_missed(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how far sums miss what they should be, as a share of it, (B,)."""
    return np.abs(found - wanted) / np.maximum(np.abs(wanted), np.finfo(np.float32).tiny)


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


def gap_findings(
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
