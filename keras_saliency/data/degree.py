"""One degree of visual angle in pixels, the blur of the ground truth, for data sets known here."""

from __future__ import annotations

import math

from keras_saliency.errors import FixationError

# Pixels a degree, and the long side they are counted on (None: the picture as it was shown).
# osie, mit1003, cat2000: the MIT/Tuebingen saliency benchmark blurs all its data sets with 23.99
# pixels, a Gaussian that halves 8 cycles on 1024 pixels. mit1003 was recorded at 35 pixels a
# degree, cat2000 at about 38, and the maps that come with cat2000 are blurred with 48 (the same
# 8 cycles, on 2048). salicon: its authors' API; there was no screen of known size.
KNOWN: dict[str, tuple[float, int | None]] = {
    "osie": (24.0, None),
    "mit1003": (24.0, None),
    "scene500": (8.0, 256),
    "cat2000": (24.0, None),
    "salicon": (19.0, None),
}


def sigma(
    dataset: str, size: tuple[int, int], shown: tuple[int, int], degree: float | None
) -> float:
    """Return one degree in pixels of the stored picture.

    Args:
        dataset: The data set's name, looked up in ``KNOWN`` where ``degree`` is None.
        size: Height and width of the stored picture.
        shown: Height and width of the picture as it was shown to the viewers.
        degree: One degree in pixels of the picture as shown, or None.

    Raises:
        FixationError: The degree is not a positive number, or neither given nor known.

    Example:
        >>> sigma("osie", (432, 576), (600, 800), None)
        17.28
        >>> sigma("my lab", (300, 400), (600, 800), 30)
        15.0
    """
    side: int | None = None
    if degree is None:
        if dataset not in KNOWN:
            raise FixationError(
                f"One degree of visual angle was looked for, for the data set {dataset!r}.",
                f"It is known for {', '.join(KNOWN)} only.",
                f"Give degrees={{{dataset!r}: 24}}, in pixels of the pictures as they were shown, "
                "or a column 'degree' in the index.",
                "help(keras_saliency.data.read_table)",
            )
        degree, side = KNOWN[dataset]
    if not (math.isfinite(degree) and degree > 0):
        raise FixationError(
            f"One degree of visual angle was given for the data set {dataset!r}.",
            f"It is {degree} pixels.",
            "Give a positive number of pixels.",
            "help(keras_saliency.data.read_table)",
        )
    return float(degree * max(size) / (side or max(shown)))
