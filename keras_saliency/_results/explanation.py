"""Explanation: the frozen result of explain(), which draws and saves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.geometry import Geometry
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency.errors import MethodError, SaveError, _arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_saliency.plot import Panel


@dataclass(frozen=True, eq=False)
class Explanation:
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
        info: Kind, method, parameters, layer, seed, backend, versions, seconds. Plain data: a
            function among the parameters is stored by name. Figures name tokens by ``"words"``,
            the tokens of each text without padding, and columns of tables by ``"features"``,
            where these are there.
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
        if _has_rows(info.get("words"), len(self)):
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

    def panels(self) -> list[Panel]:
        """Return originals and maps as `keras_saliency.plot.Panel`, for drawing.

        Panels of signals hold the attribution of each channel, (T0, C), where there is one; those
        of tokens and tables names, where ``info["words"]`` or ``info["features"]`` has them.
        """
        from keras_saliency.plot import Panel

        kind = self.info.get("kind", "picture")
        return [
            Panel(
                picture,
                grid,
                self.title(i),
                self.info["method"],
                self.signed,
                kind,
                self._by_channel(i, kind),
                self._names(i, kind),
            )
            for i, (picture, grid) in enumerate(zip(self.pictures, self.maps(), strict=True))
        ]

    def _by_channel(self, index: int, kind: str) -> np.ndarray | None:
        """Return the attribution of each channel of a signal, cut to its length."""
        if kind != "signal" or self.attributions is None:
            return None
        one, length = self.attributions[index], len(self.pictures[index])
        return one[:length].reshape(length, -1)

    def _names(self, index: int, kind: str) -> tuple[str, ...]:
        """Return names of tokens or features; () where they are unknown or too few."""
        words, names = self.info.get("words", ()), self.info.get("features")
        if kind == "tokens":
            names = words[index] if _has_rows(words, len(self)) else None
        elif kind != "table":
            names = None
        count = len(self.pictures[index])
        if not isinstance(names, list | tuple) or len(names) < count:
            return ()
        return tuple(map(str, names[:count]))

    @overload
    def plot(
        self,
        kind: Literal["pair"] = "pair",
        *,
        percentile: float = 99.0,
        figure: Figure | None = None,
        colorbar: bool = True,
    ) -> Figure: ...

    @overload
    def plot(
        self,
        kind: Literal["overlay"],
        *,
        percentile: float = 99.0,
        figure: Figure | None = None,
        alpha: float = 0.6,
    ) -> Figure: ...

    def plot(
        self, kind: Literal["pair", "overlay"] = "pair", *, percentile: float = 99.0, **options: Any
    ) -> Figure:
        """Draw picture and map side by side, or the map over the picture.

        Inputs of another kind have one figure each, see `keras_saliency.plot.several`.

        Args:
            kind: ``"pair"`` or ``"overlay"``: which figure of pictures. It is not the kind of
                input, which is known.
            percentile: End of the map's colour scale, a percentile of its (absolute) values.
            **options: See `keras_saliency.plot.pair` and `keras_saliency.plot.overlay`; of other
                kinds than pictures only ``figure``.

        Returns:
            A ``matplotlib.figure.Figure``.

        Raises:
            MethodError: No such figure, or an option out of range.

        Example:
            >>> layers = [keras.Input((50, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
            >>> e = explain(keras.Sequential(layers), np.ones((50, 2), "float32"), kind="signal")
            >>> figure = e.plot(percentile=99.5)
        """
        from keras_saliency import plot

        draw: dict[str, Callable[..., Figure]] = {"pair": plot.pair, "overlay": plot.overlay}
        if not _arguments.is_word(kind, draw):
            raise MethodError(
                f"No plot is called {kind!r}.",
                f"Known: {', '.join(map(repr, draw))}.",
                "Take one of these.",
                _PLOT,
            )
        if self._is_of_pictures:
            return draw[kind](self.panels(), percentile=percentile, **options)
        wrong = [repr(name) for name in options if name != "figure"]
        if kind != "pair" or wrong:
            raise MethodError(
                f"Expected no option of pictures, since this explains a {self.info['kind']} input.",
                f"Got {', '.join(wrong) or f'kind={kind!r}'}.",
                "Leave it out: plot() draws each kind of input in its own way.",
                _PLOT,
            )
        return plot.several(self.panels(), percentile=percentile, **options)

    @property
    def _is_of_pictures(self) -> bool:
        return self.info.get("kind", "picture") == "picture"

    def _png(self) -> bytes:
        """Return the figure of all as PNG."""
        from keras_saliency import plot

        draw = plot.pair if self._is_of_pictures else plot.several
        return plot.render_png(draw, self.panels())

    def _repr_png_(self) -> bytes:
        """Return a PNG of picture and map, which notebooks show."""
        return self[:8]._png()

    def _repr_html_(self) -> str | None:
        """Return shaded words, which notebooks show instead of the PNG; None of other kinds."""
        from keras_saliency import plot

        return plot.html(self[:8].panels()) if self.info.get("kind") == "tokens" else None

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


def _has_rows(words: Any, count: int) -> bool:
    """Whether words come as a list for each of the texts."""
    return isinstance(words, list | tuple) and len(words) == count


_PLOT = "help(keras_saliency.Explanation.plot)"
_ANIMATE = "help(keras_saliency.Explanation.animate)"
