"""Explanation: what explain() returns; frozen, with everything needed to draw and to save it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_saliency import storage
from keras_saliency.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of B pictures, and where they come from.

    Attributes:
        values: (B, H, W) float32 maps in the model's input frame, signed if the method is, never
            rescaled.
        attributions: (B, H, W, C) float32 before the channels were reduced; None for CAMs and
            occlusion, which have no channels.
        scores: (B,) float64 scores that were explained.
        probabilities: (B,) probabilities of the explained class; None where the target is no class.
        targets: What was explained, one for each picture.
        labels: Class names (``"class 7"`` where nobody knows them), ``""`` where there is no class.
        pictures: The pictures as they came, (H0, W0, C).
        geometries: How each picture was fitted to the model's input.
        signed: Whether the sign of the map has a meaning.
        checks: For each picture a dict: numbers such as ``completeness_error``, and ``findings``,
            sentences about what looks wrong.
        info: Method, parameters, layer, seed, backend, versions, seconds.
    """

    values: np.ndarray
    attributions: np.ndarray | None
    scores: np.ndarray
    probabilities: np.ndarray | None
    targets: tuple[Any, ...]
    labels: tuple[str, ...]
    pictures: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    signed: bool
    checks: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]
    model_hash: Callable[[], str | None] = field(default=lambda: None, repr=False)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.values)

    def __getitem__(self, index: int | slice) -> Explanation:
        """Return the explanation of one picture (B = 1) or of a slice."""
        if not isinstance(index, slice):
            index = range(len(self))[index]  # negative numbers, IndexError
            index = slice(index, index + 1)
        optional: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[index]
            for name in ("attributions", "probabilities")
        }
        rows = ("values", "scores", "targets", "labels", "pictures", "geometries", "checks")
        return replace(self, **optional, **{name: getattr(self, name)[index] for name in rows})

    def __iter__(self) -> Iterator[Explanation]:
        """Iterate over the explanations of single pictures."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return one line: method, size, labels and scores."""
        names = ", ".join(self.title(i) for i in range(min(3, len(self))))
        more = ", ..." if len(self) > 3 else ""
        return f"<Explanation by {self.info['method']} {self.values.shape}: {names}{more}>"

    def title(self, index: int = 0) -> str:
        """Return label and score of one picture, such as ``"espresso, logit 9.13 (p = 0.90)"``."""
        score = f"{self.info['score'].replace('_', ' ')} {self.scores[index]:.3g}"
        if self.probabilities is not None and self.info["score"] != "probability":
            score += f" (p = {self.probabilities[index]:.2f})"
        return f"{self.labels[index] or self.targets[index]}, {score}"

    def maps(self) -> list[np.ndarray]:
        """Return each map in its original picture's frame, (H0, W0) float32.

        What was cut away (``Preprocess(fit="crop")``) is 0.
        """
        both = zip(self.geometries, self.values, strict=True)
        return [geometry.undo(value) for geometry, value in both]

    def panels(self) -> list[Any]:
        """Return pictures and maps as `keras_saliency.plot.Panel`, ready to be drawn."""
        from keras_saliency.plot import Panel

        return [
            Panel(picture, grid, self.title(i), self.info["method"], self.signed)
            for i, (picture, grid) in enumerate(zip(self.pictures, self.maps(), strict=True))
        ]

    def plot(
        self, kind: Literal["pair", "overlay"] = "pair", *, percentile: float = 99.0, **options: Any
    ) -> Any:
        """Draw picture and map side by side, or the map over the picture.

        Args:
            kind: ``"pair"`` or ``"overlay"``.
            percentile: The map's scale ends at this percentile of its (absolute) values.
            **options: See `keras_saliency.plot.pair` and `keras_saliency.plot.overlay`.

        Returns:
            A ``matplotlib.figure.Figure``.
        """
        from keras_saliency import plot

        draw = {"pair": plot.pair, "overlay": plot.overlay}
        if kind not in draw:
            raise ValueError(f"kind={kind!r} was asked for; known: {', '.join(map(repr, draw))}.")
        return draw[kind](self.panels(), percentile=percentile, **options)

    def _repr_png_(self) -> bytes:
        """Return the pair as PNG, which notebooks show."""
        from keras_saliency import plot

        return plot.render_png(plot.pair, self[:8].panels())

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``explanation.npz`` and ``manifest.json`` into a folder.

        All or nothing: the folder appears when everything is written. A folder that holds an
        explanation already is replaced; one that holds anything else is left alone.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        from keras_saliency import plot

        figure = plot.render_png(plot.pair, self.panels())
        return storage.write(Path(folder), self, figure)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Explanation:
        """Read what `save` wrote.

        Raises:
            SaveError: The folder holds no explanation, or one of a later schema.
        """
        return cls(**storage.read(Path(folder)))
