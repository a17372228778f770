"""What of a raw data set can be used: pictures that decode, fixations that fall on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from keras_saliency.data.recording import Recording, inside
from keras_saliency.data.skipped import Skipped
from keras_saliency.errors import FixationError


def usable(
    recordings: Iterable[Recording], skipped: Skipped, need_fixations: bool = True
) -> Iterator[Recording]:
    """Yield the recordings that can be used; the rest is counted and named.

    Args:
        recordings: Each picture is decoded once.
        skipped: Where to count what is left out.
        need_fixations: Whether a picture without a fixation is left out.
    """
    for recording in recordings:
        try:
            recording.pixels()
        except FixationError as error:
            skipped.picture(recording.name, error.found.rstrip("."))
            continue
        kept = inside(recording.y, recording.x, recording.size)
        skipped.fixations(recording.name, int((~kept).sum()))
        if need_fixations and not kept.any():
            skipped.picture(recording.name, "no fixation")
            continue
        subject = recording.subject
        yield replace(
            recording,
            y=recording.y[kept],
            x=recording.x[kept],
            subject=None if subject is None else subject[kept],
        )
