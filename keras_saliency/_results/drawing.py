"""Drawn: how an explanation draws itself, as figures, arrays, PNG, HTML and animations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.geometry import Geometry
from keras_saliency._results import upsampling as enlarging
from keras_saliency.errors import MethodError, _arguments, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from keras_saliency.plot import Panel

Upsampling = Literal["linear", "bicubic", "guided"]


class Common(TypedDict, total=False):
    """Options of every figure of pictures."""

    percentile: float
    cmap: Any
    smooth: float | bool
    upsampling: Upsampling
    colorbar: bool


class OfOverlays(Common, total=False):
    """Options of maps over their pictures."""

    alpha: float
    photo: Literal["gray", "color"]


class OfContours(Common, total=False):
    """Options of outlines."""

    levels: Sequence[float]
    photo: Literal["gray", "color"]


class Drawn:
    """What draws of an explanation; the fields are those of `keras_saliency.Explanation`."""

    if TYPE_CHECKING:
        values: npt.NDArray[np.float32]
        attributions: npt.NDArray[np.float32] | None
        pictures: tuple[np.ndarray, ...]
        geometries: tuple[Geometry, ...]
        signed: bool
        info: Mapping[str, Any]

        def __len__(self) -> int: ...
        def __getitem__(self, index: int | slice) -> Any: ...
        def title(self, index: int = 0) -> str: ...
        def maps(self) -> list[npt.NDArray[np.float32]]: ...

    def panels(self, upsampling: Upsampling = "bicubic") -> list[Panel]:
        """Return originals and maps as `keras_saliency.plot.Panel`, for drawing.

        A map of a grid, such as a CAM's 7 × 7 cells, is enlarged anew for display, and ``drawn``
        says how; `values` and `maps` are not changed. Panels of signals hold the attribution of
        each channel, (T0, C), where there is one; those of tokens and tables names, where
        ``info["words"]`` or ``info["features"]`` has them.

        Args:
            upsampling: ``"bicubic"``, without facets; ``"guided"``, also ending at the picture's
                edges (the guided filter of He, Sun and Tang, 2010); ``"linear"``, as in `maps`.

        Raises:
            MethodError: No such upsampling, or ``"guided"`` of a map that has no grid.
        """
        from keras_saliency.plot import Panel

        enlarging.check(upsampling)
        kind = self.info.get("kind", "picture")
        panels = [
            Panel(
                picture,
                grid,
                self.title(i),
                self.info["method"],
                self.signed,
                kind,
                self._by_channel(i, kind),
                self._names(i, kind),
                self.info.get("upsampling", ""),
            )
            for i, (picture, grid) in enumerate(zip(self.pictures, self.maps(), strict=True))
        ]
        if not self._is_of_pictures or upsampling == "linear":
            return panels
        return [self._enlarged(panel, i, upsampling) for i, panel in enumerate(panels)]

    def _enlarged(self, panel: Panel, index: int, upsampling: Upsampling) -> Panel:
        """Return a panel with its map enlarged anew from its grid, where it has one."""
        from keras_saliency.plot.panel import grey_whole

        grid: Any = self.info.get("grid")
        large = None if grid is None or panel.drawn else enlarging.bicubic(self.values[index], grid)
        if large is None:
            if upsampling == "guided":
                raise enlarging.without_grid(self.info["method"], panel.drawn)
            return panel
        text = f"bicubic from {grid[0]} × {grid[1]}"
        shown = self.geometries[index].undo(large)
        if upsampling == "guided":
            cells = (n / few for n, few in zip(panel.space, grid, strict=True))
            radius = max(1, round(min(cells) / 2))
            shown = enlarging.guided(shown, grey_whole(panel.picture), radius)
            text += f", guided by the picture (radius {radius} pixels)"
        return replace(panel, map=shown, drawn=text)

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
            names = words[index] if has_rows(words, len(self)) else None
        elif kind != "table":
            names = None
        count = len(self.pictures[index])
        if not isinstance(names, list | tuple) or len(names) < count:
            return ()
        return tuple(map(str, names[:count]))

    @overload
    def plot(
        self,
        kind: Literal["pair", "heatmap"] | None = ...,
        *,
        figure: Figure | None = ...,
        **options: Unpack[Common],
    ) -> Figure: ...
    @overload
    def plot(
        self,
        kind: Literal["overlay"],
        *,
        figure: Figure | None = ...,
        **options: Unpack[OfOverlays],
    ) -> Figure: ...
    @overload
    def plot(
        self,
        kind: Literal["contours"],
        *,
        figure: Figure | None = ...,
        **options: Unpack[OfContours],
    ) -> Figure: ...
    @overload
    def plot(
        self, kind: Literal["overlay"] | None = ..., *, ax: Axes, **options: Unpack[OfOverlays]
    ) -> Axes: ...
    @overload
    def plot(self, kind: Literal["heatmap"], *, ax: Axes, **options: Unpack[Common]) -> Axes: ...
    @overload
    def plot(
        self, kind: Literal["contours"], *, ax: Axes, **options: Unpack[OfContours]
    ) -> Axes: ...

    def plot(
        self,
        kind: Literal["pair", "heatmap", "overlay", "contours"] | None = None,
        *,
        figure: Figure | None = None,
        ax: Axes | None = None,
        upsampling: Upsampling = "bicubic",
        **options: Any,
    ) -> Figure | Axes:
        """Draw picture and map side by side, the map over the picture, or its outlines.

        Inputs of another kind have one figure each, see `keras_saliency.plot.several`.

        Args:
            kind: Which figure of pictures: ``"pair"``, picture beside map (the default);
                ``"overlay"``, the map over the picture (the default with ``ax``); ``"heatmap"``,
                the map alone; ``"contours"``, outlines of the map on the picture.
            figure: Figure to draw on; it is cleared and resized to fit. None makes one, which
                pyplot does not manage: a notebook shows it once, ``savefig`` writes it.
            ax: Axes of your own to draw one picture into, which are returned.
            upsampling: How a map of a grid, such as a CAM, is enlarged for display; see `panels`.
                The figure says it.
            **options: ``percentile``, the end of the colour scale, a percentile of the map's
                (absolute) values; ``cmap``, ``smooth``, ``colorbar``; of overlays ``alpha`` and
                ``photo``; of contours ``levels`` and ``photo``. See `keras_saliency.plot.overlay`
                and `keras_saliency.plot.contours`. Of other kinds than pictures ``percentile``.

        Returns:
            A ``matplotlib.figure.Figure``; with ``ax`` these axes.

        Raises:
            MethodError: No such figure or option, an option out of range, or several pictures or
                a figure of several panels for one ``ax``.

        Example:
            >>> layers = [keras.Input((50, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
            >>> e = explain(keras.Sequential(layers), np.ones((50, 2), "float32"), kind="signal")
            >>> figure = e.plot(percentile=99.5)
        """
        from keras_saliency import plot

        draw: dict[str, Callable[..., Any]] = {
            "pair": plot.pair, "overlay": plot.overlay, "heatmap": plot.heatmap,
            "contours": plot.contours,
        }  # fmt: skip
        if kind is not None and not _arguments.is_word(kind, draw):
            raise MethodError(
                f"No plot is called {kind!r}.",
                f"Known: {', '.join(map(repr, draw))}.",
                did_you_mean(str(kind), draw) or "Take one of these.",
                _PLOT,
            )
        what = self.info.get("kind", "picture")
        if ax is not None and (what != "picture" or kind == "pair"):
            raise MethodError(
                "Expected a figure of one panel to draw into ax.",
                f"Got {'picture and map' if what == 'picture' else f'a {what}'}, which take "
                "several.",
                "Take kind='overlay', 'heatmap' or 'contours'." if what == "picture"
                else "Leave ax= out: plot() makes a figure; figure= draws on one of yours.",
                _PLOT,
            )  # fmt: skip
        chosen = draw[kind or ("pair" if ax is None else "overlay")]
        if self._is_of_pictures:
            if ax is not None:
                options["ax"] = ax
            known = list(inspect.signature(chosen).parameters)[1:]
            if other := [name for name in options if name not in known]:
                raise MethodError(
                    f"No option of this figure is called {other[0]!r}.",
                    f"Known: {', '.join(name for name in known if name != 'ax')}.",
                    did_you_mean(other[0], known) or "Leave it out.",
                    _PLOT,
                )
            return chosen(self.panels(upsampling), figure, **options)
        wrong = [repr(name) for name in options if name != "percentile"]
        if kind not in (None, "pair") or wrong:
            raise MethodError(
                f"Expected no option of pictures, since this explains a {what} input.",
                f"Got {', '.join(wrong) or f'kind={kind!r}'}.",
                "Leave it out: plot() draws each kind of input in its own way.",
                _PLOT,
            )
        return plot.several(self.panels(), figure, **options)

    def overlay(
        self,
        *,
        alpha: float = 0.6,
        photo: Literal["gray", "color"] = "gray",
        cmap: Any = None,
        percentile: float = 99.0,
        smooth: float | bool = 0.0,
        upsampling: Upsampling = "bicubic",
    ) -> npt.NDArray[np.uint8]:
        """Return the map over its picture as pixels, (H0, W0, 3) uint8 in the picture's own size.

        Args:
            alpha, photo, cmap, percentile, smooth: As in `keras_saliency.plot.overlay`.
            upsampling: As in `panels`.

        Raises:
            MethodError: Several pictures, another kind of input, or an option out of range.

        Example:
            >>> explain(model, img, "grad_cam").overlay(photo="color").shape
            (24, 24, 3)
        """
        from keras_saliency.plot import views
        from keras_saliency.plot.colours import limits

        what = self.info.get("kind", "picture")
        if len(self) != 1 or what != "picture":
            raise MethodError(
                "Expected the explanation of one picture to lay over it.",
                f"Got {len(self)}." if what == "picture" else f"Got a {what} input.",
                "Take one of them: explanation[0].overlay()." if what == "picture"
                else "Draw it with explanation.plot().",
                "help(keras_saliency.Explanation.overlay)",
            )  # fmt: skip
        views.check_alpha(alpha)
        views.check_photo(photo)
        panel = views.smoothed(self.panels(upsampling), smooth)[0]
        scale = limits(panel.map, panel.signed, percentile)
        return views.overlaid(panel, scale, alpha, photo, cmap)

    def to_pil(self, **options: Any) -> Image:
        """Return the map over its picture as a ``PIL.Image`` in RGB, in the picture's own size.

        Args:
            **options: Those of `overlay`.

        Raises:
            MethodError: As `overlay`.

        Example:
            >>> explain(model, img, "grad_cam").to_pil(cmap="viridis").size
            (24, 24)
        """
        from PIL import Image

        return Image.fromarray(self.overlay(**options))

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


def has_rows(words: Any, count: int) -> bool:
    """Whether words come as a list for each of the texts."""
    return isinstance(words, list | tuple) and len(words) == count


_PLOT = "help(keras_saliency.Explanation.plot)"
