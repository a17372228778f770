"""FixationPrediction: what predict_fixations() returns; frozen, ready to draw and to save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_saliency.fixation import counting, prediction_files
from keras_saliency.letterbox import EMPTY, Letterbox


@dataclass(frozen=True, eq=False)
class FixationPrediction:
    """Where people are expected to look at B pictures.

    Attributes:
        log_density: (B, H, W) float32 natural logarithms on the model's canvas; -10000 around the
            picture.
        pictures: The pictures as they came, (H0, W0, 3) or (H0, W0, 1) uint8.
        letterboxes: Where each picture lies on the canvas.
        names: The pictures' file names; ``""`` where there is no file.
        info: Model, canvas side, mirror, backend, versions, seconds.
    """

    log_density: np.ndarray
    pictures: tuple[np.ndarray, ...]
    letterboxes: tuple[Letterbox, ...]
    names: tuple[str, ...]
    info: Mapping[str, Any]
    model_hash: Callable[[], str | None] = field(default=lambda: None, repr=False)

    @cached_property
    def values(self) -> np.ndarray:
        """(B, H, W) float32 densities on the canvas: at least 0, sum 1, 0 around the picture."""
        return np.exp(self.log_density)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.log_density)

    def __getitem__(self, index: int | slice) -> FixationPrediction:
        """Return the prediction for one picture (B = 1) or for a slice."""
        if not isinstance(index, slice):
            index = range(len(self))[index]  # negative numbers, IndexError
            index = slice(index, index + 1)
        rows = ("log_density", "pictures", "letterboxes", "names")
        return replace(self, **{name: getattr(self, name)[index] for name in rows})

    def __iter__(self) -> Iterator[FixationPrediction]:
        """Iterate over the predictions for single pictures."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return one line: model, size, and how gathered the fixations are."""
        names = "; ".join(self.title(i) for i in range(min(3, len(self))))
        more = "; ..." if len(self) > 3 else ""
        shape = self.log_density.shape
        return f"<FixationPrediction by {self.info['model']} {shape}: {names}{more}>"

    def title(self, index: int = 0) -> str:
        """Return the picture's name and where half of the fixations are expected."""
        named = f"{self.names[index]}: " if self.names[index] else ""
        return f"{named}half of the fixations on {self.area()[index]:.1%} of the picture"

    def log_maps(self) -> list[np.ndarray]:
        """Return each log density in its picture's frame, (H0, W0) float64, exp() summing to 1."""
        rows = zip(self.letterboxes, self.log_density, self.pictures, strict=True)
        return [box.undo(one, picture.shape[:2]) for box, one, picture in rows]

    def maps(self) -> list[np.ndarray]:
        """Return each density in its picture's frame, (H0, W0) float32, summing to 1."""
        return [np.exp(one).astype(np.float32) for one in self.log_maps()]

    @overload
    def expected_fixations(self, count: float, region: None = None) -> list[np.ndarray]: ...

    @overload
    def expected_fixations(self, count: float, region: Any) -> np.ndarray: ...

    def expected_fixations(self, count: float, region: Any = None) -> list[np.ndarray] | np.ndarray:
        """Return how many of ``count`` fixations are expected on each pixel, or in a region.

        Args:
            count: How many fixations are made on a picture, such as 10; they are taken to be
                independent.
            region: A box ``(top, left, bottom, right)`` in the picture's pixels, bottom and right
                exclusive; or a mask (H0, W0) of truth values or weights 0..1; or a list of these,
                one for each picture. ``None`` gives maps.

        Returns:
            Without a region a list of (H0, W0) float32, each summing to ``count``; with one (B,)
            float64.

        Raises:
            FixationError: The count is no number of fixations, or the region does not lie in the
                picture.

        Example:
            >>> from keras_saliency import predict_fixations
            >>> p = predict_fixations(np.zeros((60, 80, 3), "uint8"))
            >>> left, right = (0, 0, 60, 40), (0, 40, 60, 80)
            >>> both = p.expected_fixations(10, left) + p.expected_fixations(10, right)
            >>> both.shape, round(float(both[0]), 3)
            ((1,), 10.0)
        """
        number = counting.checked_count(count)
        if region is None:
            return [np.float32(number) * one for one in self.maps()]
        weights = counting.weights(region, [picture.shape[:2] for picture in self.pictures])
        rows = zip(self.maps(), weights, strict=True)
        return np.array([number * np.sum(one * weight, dtype=np.float64) for one, weight in rows])

    def area(self, share: float = 0.5) -> np.ndarray:
        """Return how much of each picture the smallest area covers that holds a share of fixations.

        Args:
            share: Of all expected fixations, above 0 and up to 1.

        Returns:
            (B,) float64, up to ``share``: that much where all places are alike, little where the
            fixations gather.

        Raises:
            FixationError: The share is out of range.
        """
        counting.checked_share(share)
        inside = self.log_density > EMPTY
        rows = zip(self.values, inside, strict=True)
        return np.array([counting.covered(one[where], share) for one, where in rows])

    def panels(self) -> list[Any]:
        """Return pictures and maps as `keras_saliency.plot.Panel`, ready to be drawn."""
        from keras_saliency.plot import Panel

        return [
            Panel(picture, grid, name or (f"picture {i + 1}" if len(self) > 1 else "picture"))
            for i, (picture, grid, name) in enumerate(
                zip(self.pictures, self.maps(), self.names, strict=True)
            )
        ]

    def plot(self, **options: Any) -> Any:
        """Draw each picture, the density over it, and the smallest areas that hold most fixations.

        Args:
            **options: See `keras_saliency.plot.density`.

        Returns:
            A ``matplotlib.figure.Figure``.
        """
        from keras_saliency import plot

        return plot.density(self.panels(), **options)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, which notebooks show."""
        from keras_saliency import plot

        return plot.render_png(plot.density, self[:8].panels())

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``prediction.npz`` and ``manifest.json`` into a folder.

        All or nothing: the folder appears when everything is written. A folder that holds a
        prediction already is replaced; one that holds anything else is left alone.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        from keras_saliency import plot

        figure = plot.render_png(plot.density, self.panels())
        return prediction_files.write(Path(folder), self, figure)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> FixationPrediction:
        """Read what `save` wrote.

        Raises:
            SaveError: The folder holds no prediction, or one of a later schema.
        """
        return cls(**prediction_files.read(Path(folder)))
