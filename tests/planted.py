"""A score whose truth is known, the mean brightness of a patch; maps that are right and wrong."""

from __future__ import annotations

import numpy as np

SIZE, TOP, LEFT, SIDE = 12, 2, 5, 4
PATCH = np.zeros((SIZE, SIZE), bool)
PATCH[TOP : TOP + SIDE, LEFT : LEFT + SIDE] = True
PIXELS, INSIDE = PATCH.size, int(PATCH.sum())
BOX = (TOP, LEFT, TOP + SIDE, LEFT + SIDE)


def score(images, rows):
    """Mean brightness of the patch; of picture ``row``, 1 + row times that."""
    return images[:, PATCH].mean(axis=(1, 2)) * (1 + np.asarray(rows))


def pictures(count=3, seed=0, channels=2):
    """Noise, the patch 1 everywhere."""
    images = np.random.default_rng(seed).random((count, SIZE, SIZE, channels))
    images[:, PATCH] = 1.0
    return images


def right(count=3, seed=1):
    """Maps that are higher in the patch than anywhere outside."""
    return np.random.default_rng(seed).random((count, SIZE, SIZE)) + PATCH


def wrong(count=3, seed=1):
    return -right(count, seed)


def noise(count=3, seed=2):
    return np.random.default_rng(seed).normal(size=(count, SIZE, SIZE))


def contributions(images):
    """What each value adds to `score` above black, (B, H, W, C)."""
    weights = PATCH[..., None] / (INSIDE * images.shape[-1])
    return images * weights * (1 + np.arange(len(images))).reshape(-1, 1, 1, 1)
