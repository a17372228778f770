"""What is drawn: one picture and one map of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency.errors import ImageError


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture and one map of it, with the words to print over them.

    Args:
        picture: (H, W, 3) RGB, or (H, W) or (H, W, 1) gray. ``uint8`` is shown as it is; any
            other dtype is shown scaled from its least to its greatest finite value.
        map: (H, W) attribution, any range. Non-finite values stay blank.
        title: Printed over the picture; wrapped when long.
        method: Printed over the map.
        signed: Whether the map's sign has meaning (for and against).

    Raises:
        ImageError: The picture is not one of these shapes, or the map has another frame.
    """

    picture: np.ndarray
    map: np.ndarray
    title: str = ""
    method: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        """Check that the two shapes belong together."""
        shape, frame = np.shape(self.picture), np.shape(self.map)
        if 0 in shape or shape not in (frame, (*frame, 1), (*frame, 3)) or len(frame) != 2:
            raise ImageError(
                "A panel shows one gray or RGB picture and one map in its frame.",
                f"The picture has shape {shape}, the map has shape {frame}.",
                "Pass a picture of shape (H, W, 3), (H, W, 1) or (H, W), and resize or "
                "sum the map over channels until its shape is (H, W).",
                "help(keras_saliency.plot.Panel)",
            )
