"""Made-up recordings: small pictures with a bright disc, and fixations on the disc."""

from __future__ import annotations

import numpy as np

from keras_saliency.fixation.data import Recording


def disc(number, size=(60, 80), observers=6, split="train", dataset="disc"):
    """A grey picture with one bright disc, which everybody looks at."""
    rng = np.random.default_rng(number)
    height, width = size
    centre = rng.uniform(0.25, 0.75, 2) * size
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - centre[0], columns - centre[1]) < 0.15 * min(size)
    picture = rng.integers(90, 110, (height, width, 3)).astype(np.uint8)
    picture[inside] = (250, 220, 40)
    count = 4 * observers
    points = centre[:, None] + rng.normal(0, 0.05 * min(size), (2, count))
    y, x = (
        np.clip(p, 0, side - 1e-3).astype(np.float32) for p, side in zip(points, size, strict=True)
    )
    subject = np.repeat(np.arange(observers), 4)
    return Recording(f"{number:03d}", dataset, split, picture, size, y, x, 0.04 * width, subject)
