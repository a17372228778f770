"""Explanation: the frozen result of explain(), which draws and saves itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.geometry import Geometry
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency._results.drawing import Drawn, has_rows
from keras_saliency._results.upsampling import EPSILON, bicubic, check, guided, without_grid
from keras_saliency.errors import MethodError, SaveError


@dataclass(frozen=True, eq=False)
class Explanation(Drawn):
    """Maps of B pictures, or of B inputs of another kind, and their provenance.

    Plain data: it can be pickled and copied, and holds no model. The kind is ``info["kind"]``.

    Attributes:
        values: (B, H, W) float32 maps in the model's input frame, signed if the method is, never
            rescaled. Of other kinds (B, *space): (B, T) of signals and tokens, (B, D, H, W) of
            volumes, (B, T, H, W) of videos, (B, F) of tables.
        attributions: (B, H, W, C) float32 before the channels were reduced; None for CAMs and
            occlusion, which have no channels. Of other kinds in the shape of the input: (B, T, C),
            (B, D, H, W, C), (B, T, H, W, C), (B, F); of tokens (B, T, D), as embedded.
        scores: (B,) float64, the explained scores.
        probabilities: (B,) probabilities of the explained class; None where the target is no class,
            or where the output may be none: a regression, an embedding.
        targets: The explained targets, one for each picture.
        labels: Class names (``"class 7"`` where they are unknown, ``"output 7"`` where the output
            may be no class), ``""`` where the target is no class.
        pictures: The original pictures, (H0, W0, C), or arrays of another kind, before padding.
        geometries: How each picture was fitted to the model's input.
        signed: Whether the sign of the map has a meaning.
        checks: For each picture a dict: numbers such as ``completeness_error``, and ``findings``,
            sentences about what looks wrong.
        info: Kind, method, parameters, layer, seed, backend, versions, seconds; ``"grid"``, the
            cells of a map before it was enlarged. Plain data: a function among the parameters is
            stored by name. Figures name tokens by ``"words"``, the tokens of each text without
            padding, and columns of tables by ``"features"``, where these are there.
        model_sha256: SHA-256 of the model's weights at that time; None if unknown.
    """

    values: npt.NDArray[np.float32]
    attributions: npt.NDArray[np.float32] | None
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.floating] | None
    targets: tuple[Any, ...]
    labels: tuple[str, ...]
    pictures: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    signed: bool
    checks: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]
    model_sha256: str | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of pictures, or of inputs of another kind."""
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
        info = dict(self.info)
        if has_rows(info.get("words"), len(self)):
            info["words"] = self.info["words"][index]
        some = {name: getattr(self, name)[index] for name in rows}
        return replace(self, **optional, **some, info=info)

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
        word = self.info["score"].replace("_", " ")
        if word == "logit" and self.labels[index].startswith("output "):
            word = "value"  # it may be no logit
        score = f"{word} {self.scores[index]:.3g}"
        if self.probabilities is not None and self.info["score"] != "probability":
            score += f" (p = {self.probabilities[index]:.2f})"
        return f"{self.labels[index] or self.targets[index]}, {score}"

    def maps(self) -> list[npt.NDArray[np.float32]]:
        """Return each map in its original picture's frame, (H0, W0) float32.

        Pixels outside a crop (``Preprocess(fit="crop")``) are 0. Maps of other kinds are cut to
        their original's own size: (T0,) of a signal or tokens that were padded to (T,).
        """
        both = zip(self.geometries, self.values, strict=True)
        return [geometry.undo(value) for geometry, value in both]

    def animate(
        self, path: str | PathLike[str], *, percentile: float = 99.0, fps: float = 8.0
    ) -> Path:
        """Write a GIF of a video, or of a volume along its depth, beside its map.

        Args:
            path: Of the file, which is replaced; its name ends in ``.gif``.
            percentile: End of the colour scale, one for all frames.
            fps: Frames per second, above 0 and up to 50.

        Returns:
            The path.

        Raises:
            MethodError: Neither a video nor a volume, more than one, or a number out of range.
            SaveError: The file cannot be written.

        Example:
            >>> import tempfile
            >>> video = np.ones((4, 8, 8, 1), "float32")
            >>> layers = [keras.Input(video.shape), keras.layers.Flatten(), keras.layers.Dense(3)]
            >>> e = explain(keras.Sequential(layers), video, kind="video")
            >>> e.animate(f"{tempfile.mkdtemp()}/video.gif").name
            'video.gif'
        """
        from keras_saliency import plot

        target = local_path(path, _ANIMATE)
        if target.suffix.lower() != ".gif":
            raise SaveError(
                "Expected a path that ends in '.gif'.",
                f"Got {str(target)!r}.",
                f"Name it {target.with_suffix('.gif').name!r}.",
                _ANIMATE,
            )
        if len(self) != 1:
            raise MethodError(
                "Expected the explanation of one input to animate.",
                f"Got {len(self)}.",
                "Take one of them: explanation[0].animate(path).",
                _ANIMATE,
            )
        data = plot.animation(self.panels()[0], percentile, fps)
        try:
            target.write_bytes(data)
        except OSError as error:
            raise SaveError(
                f"Cannot write {str(target)!r}.",
                f"{type(error).__name__}: {error}.",
                "Name a place that can be written.",
                _ANIMATE,
            ) from error
        return target

    def upsampled(self, how: Literal["bicubic", "guided"] = "bicubic") -> Explanation:
        """Return this explanation with its maps enlarged anew, which changes ``values``.

        A grid such as a CAM's 7 × 7 cells is enlarged linearly by `keras_saliency.explain`, and
        anew only for display by figures. This stores what is displayed: ``info["upsampling"]``,
        and so the manifest, says how, since scores of these maps are no longer those of the method
        alone.

        Args:
            how: ``"bicubic"``, nowhere negative where the grid is not; ``"guided"``, then filtered
                by the edges of the picture (He, Sun and Tang, 2010).

        Raises:
            MethodError: No such name, or maps without a grid.

        Example:
            >>> explain(model, img, "grad_cam").upsampled().info["upsampling"]
            'bicubic from 11 × 11'
        """
        check(how, ("bicubic", "guided"))
        grid: Any = self.info.get("grid")
        text = self.info.get("upsampling", "")
        large = [bicubic(value, grid) for value in self.values] if grid and not text else []
        if not large or any(one is None for one in large):
            raise without_grid(self.info["method"], text)
        text = f"bicubic from {' × '.join(map(str, grid))}"
        values = np.stack([one for one in large if one is not None])
        if how == "guided":
            cell = min(n / few for n, few in zip(values.shape[1:], grid, strict=True))
            radius = max(1, round(cell / 2))
            text += f", guided by the picture (radius {radius} pixels, epsilon {EPSILON:g})"
            values = np.stack([
                guided(value, self._guide(i), radius) for i, value in enumerate(values)
            ])  # fmt: skip
        return replace(self, values=values, info={**self.info, "upsampling": text})

    def _guide(self, index: int) -> np.ndarray:
        """Return a picture in gray as the model sees it, (H, W) in [0, 1]."""
        from keras_saliency.plot.panel import grey_whole

        return grey_whole(self.geometries[index].apply(self.pictures[index]))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``explanation.npz`` and ``manifest.json`` into a folder.

        All or nothing: the folder appears when everything is written. A folder with a saved
        explanation is replaced, and a kill at any moment leaves the old one or the new one; a
        folder with other files is not touched. `load` returns an equal explanation, and the
        manifest holds checksums of all files.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        return provenance.write(local_path(folder, provenance.READ), self, self._png())

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Explanation:
        """Read a saved explanation.

        Raises:
            SaveError: The folder holds no explanation, a damaged one, or one of a later schema.
        """
        return cls(**provenance.read(local_path(folder, provenance.READ)))


_ANIMATE = "help(keras_saliency.Explanation.animate)"
