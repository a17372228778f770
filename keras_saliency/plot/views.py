"""Ways to draw a map of a picture: alone, over the picture, as outlines; in any axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_saliency.errors import MethodError, _arguments, did_you_mean
from keras_saliency.plot import panel as pixels
from keras_saliency.plot.colours import blend, changes, chosen, marks, shares
from keras_saliency.plot.panel import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Photo = Literal["gray", "color"]
Scale = tuple[float, float]

_READ = "help(keras_saliency.plot.overlay)"
_PHOTOS = {"gray": "gray", "grey": "gray", "color": "color", "colour": "color"}
_AUTO = 0.01  # of a picture's longer side


@dataclass(frozen=True)
class View:
    """What is drawn of one panel.

    Attributes:
        pixels: (h, w, 3) in [0, 1], or (h, w) values with a colormap among the options.
        bar: The colours of the scale, as they are seen on the picture.
        options: Of ``imshow``.
        lines: Colours of outlines, by the map's value.
        heap: (h, w) the values that are outlined.
    """

    pixels: np.ndarray
    bar: Colormap
    options: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[float, Any] = field(default_factory=dict)
    heap: np.ndarray | None = None


def heat(panel: Panel, scale: Scale, cmap: Any = None) -> View:
    """Return the map in colour; non-finite values stay blank."""
    colours = chosen(cmap, panel.signed)
    values = pixels.shrink(np.clip(panel.map, *scale))
    # Averaging values where they are drawn smaller would cancel signed noise.
    options = {"cmap": colours, "vmin": scale[0], "vmax": scale[1], "interpolation_stage": "rgba"}
    return View(values, colours, options)


def over(panel: Panel, scale: Scale, alpha: float, photo: str = "gray", cmap: Any = None) -> View:
    """Return the map over its picture; the scale shows its colours on the picture's mean."""
    from matplotlib.colors import ListedColormap

    colours = chosen(cmap, panel.signed)
    ground = ground_of(panel, photo)
    share = pixels.shrink(np.clip(panel.map, *scale)) / scale[1]
    mean = np.broadcast_to(ground.mean(axis=(0, 1)), (256, *ground.shape[2:]))
    ramp = np.linspace(scale[0] / scale[1], 1, 256)
    bar = ListedColormap(blend(mean, ramp, panel.signed, alpha, colours))
    return View(blend(ground, share, panel.signed, alpha, colours), bar)


def outlined(
    panel: Panel, scale: Scale, levels: Sequence[float], photo: str = "color", cmap: Any = None
) -> View:
    """Return the picture with lines where the map has these shares of its scale's end."""
    from matplotlib.colors import ListedColormap

    colours, ground = chosen(cmap, panel.signed), ground_of(panel, photo)
    both = [*[-level for level in levels] * panel.signed, *levels]
    at = {
        level: colours(0.5 + np.sign(level) * (0.2 + 0.25 * abs(level))) if panel.signed
        else colours(0.4 + 0.55 * level)
        for level in sorted(both)
    }  # fmt: skip
    ramp = np.linspace(scale[0] / scale[1], 1, 256)
    bar = np.full((256, 4), [0.93, 0.93, 0.93, 1.0])
    for level, colour in at.items():
        bar[np.abs(ramp - level) <= 0.012 * np.ptp(ramp)] = colour
    image = np.broadcast_to(ground if ground.ndim == 3 else ground[..., None],
                            (*ground.shape[:2], 3))  # fmt: skip
    lines = {level * scale[1]: colour for level, colour in at.items()}
    return View(image, ListedColormap(bar), lines=lines, heap=pixels.shrink(panel.map))


def ground_of(panel: Panel, photo: str) -> np.ndarray:
    """Return a picture in [0, 1], gray (h, w) or in colour (h, w, 3)."""
    gray = _PHOTOS[photo] == "gray"
    return pixels.grey(panel.picture) if gray else pixels.rgb(panel.picture) / 255


def frame(panel: Panel) -> tuple[float, float, float, float]:
    """Return the extent of a picture in axes: pixel centres are whole numbers."""
    h, w = panel.space
    return -0.5, w - 0.5, h - 0.5, -0.5


def outline(axes: Axes, view: View, panel: Panel) -> None:
    """Draw a view's outlines, each with a dark edge that is seen on light ground."""
    from matplotlib.patheffects import withStroke

    heap = view.heap
    if heap is None or min(heap.shape) < 2:
        return
    finite = np.nan_to_num(heap, posinf=0.0, neginf=0.0)
    levels = [level for level in sorted(view.lines) if finite.min() < level < finite.max()]
    if not levels:
        return
    both = zip(heap.shape, panel.space, strict=True)
    rows, columns = ((np.arange(n) + 0.5) * size / n - 0.5 for n, size in both)
    colours = [view.lines[level] for level in levels]
    styles = ["dashed" if level < 0 else "solid" for level in levels]
    lines = axes.contour(
        columns, rows, finite, levels, colors=colours, linewidths=1.4, linestyles=styles
    )
    lines.set_path_effects([withStroke(linewidth=2.6, foreground="0.1")])


def in_axes(ax: Any, panels: Sequence[Panel], view: View, scale: Scale, colorbar: bool) -> Axes:
    """Draw a view of one panel into axes of the user's, with its title and its scale beside it."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    from keras_saliency.plot.sheet import SMALL

    panel = panels[0]
    style = {"extent": frame(panel), "interpolation": "antialiased", **view.options}
    ax.imshow(view.pixels, **style)
    outline(ax, view, panel)
    ax.set(xticks=[], yticks=[])
    said = changes([panel]).removeprefix("For display: ").rstrip(".")
    title = "\n".join(filter(None, [panel.heading, panel.method, said]))
    ax.set_title(title, loc="left", fontsize="small", parse_math=False)
    if colorbar:  # below: numbers beside it would lie on the next axes
        below = ax.inset_axes((0.0, -0.06, 1.0, 0.03))
        mappable = ScalarMappable(Normalize(*scale), view.bar)
        bar = ax.figure.colorbar(mappable, cax=below, orientation="horizontal")
        ticks = dict(zip(scale, marks(scale)[::2], strict=True))
        if scale[0] < 0:
            ticks[0.0] = marks(scale)[1]
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
        bar.ax.tick_params(labelsize=SMALL, length=0, pad=2)
        bar.ax.xaxis.get_ticklabels()[0].set_ha("left")
        bar.ax.xaxis.get_ticklabels()[1].set_ha("right")
    return ax


def check_axes(ax: Any, panels: Sequence[Panel], figure: Any) -> None:
    """Refuse axes of the user's where they cannot take the figure.

    Raises:
        MethodError: They are no axes, a figure is passed too, or there are several pictures.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        what, got = "Expected ax to be axes of matplotlib.", f"Got a {type(ax).__name__}."
        fix = "Pass one, as from figure, ax = pyplot.subplots()."
    elif figure is not None:
        what, got = "Expected either ax= or figure=.", "Got both."
        fix = "Pass ax= alone: its figure is used."
    elif len(panels) != 1:
        what = "Expected one picture to draw into one pair of axes."
        got = f"Got {len(panels)}."
        fix = "Take one of them, such as explanation[0].plot(ax=ax), or leave ax= out."
    else:
        return
    raise MethodError(what, got, fix, "help(keras_saliency.Explanation.plot)")


def check_photo(photo: Any) -> None:
    """Refuse what is neither ``"gray"`` nor ``"color"``."""
    if not _arguments.is_word(photo, _PHOTOS):
        raise MethodError(
            "Expected photo, how the picture is drawn, to be 'gray' or 'color'.",
            f"Got photo={photo!r}.",
            did_you_mean(str(photo), _PHOTOS) or "Take one of these.",
            _READ,
        )


def check_alpha(alpha: Any) -> None:
    """Refuse an opacity out of (0, 1]."""
    if not (_arguments.is_number(alpha) and 0 < alpha <= 1):
        raise MethodError(
            "Expected alpha, the opacity at the end of the colour scale, above 0 and up to 1.",
            f"Got alpha={alpha!r}.",
            "Pass a number above 0 and up to 1, such as 0.6.",
            _READ,
        )


def check_levels(levels: Any) -> tuple[float, ...]:
    """Return levels of outlines as increasing shares of the scale's end, in (0, 1]."""
    given = tuple(levels) if isinstance(levels, list | tuple | np.ndarray) else (levels,)
    if given and all(_arguments.is_number(one) and 0 < one <= 1 for one in given):
        return tuple(sorted(map(float, given)))
    raise MethodError(
        "Expected levels, shares of the colour scale's end, above 0 and up to 1.",
        f"Got levels={levels!r}.",
        "Pass some such as (0.25, 0.5, 0.75).",
        "help(keras_saliency.plot.contours)",
    )


def smoothed(panels: Sequence[Panel], smooth: Any) -> list[Panel]:
    """Return panels with their maps blurred by a Gaussian, which their figure says.

    Args:
        panels: Of pictures.
        smooth: Standard deviation in pixels of each picture; True takes 1% of its longer side; 0
            and False change nothing.

    Raises:
        MethodError: It is no such number.
    """
    from scipy import ndimage

    if smooth is not True and smooth is not False and not (
        _arguments.is_number(smooth) and smooth >= 0
    ):  # fmt: skip
        raise MethodError(
            "Expected smooth, the standard deviation of a Gaussian in pixels, of 0 or more.",
            f"Got smooth={smooth!r}.",
            "Pass a number such as 3, or True for 1% of the picture's longer side.",
            _READ,
        )
    if not smooth:
        return list(panels)
    result = []
    for panel in panels:
        sigma = _AUTO * max(panel.space) if smooth is True else float(smooth)
        finite = np.nan_to_num(np.asarray(panel.map, np.float64), posinf=0.0, neginf=0.0)
        said = f"smoothed by a Gaussian of {sigma:.2g} pixels"
        drawn = ", ".join(filter(None, [panel.drawn, said]))
        blurred = ndimage.gaussian_filter(finite, sigma, mode="nearest")
        result.append(replace(panel, map=blurred, drawn=drawn))
    return result


def overlaid(panel: Panel, scale: Scale, alpha: float, photo: str, cmap: Any) -> np.ndarray:
    """Return a picture with its map over it in its own size, (H, W, 3) uint8."""
    whole = pixels.rgb_whole(panel.picture)
    ground = whole / 255 if _PHOTOS[photo] == "color" else pixels.luma(whole)
    share = shares(panel.map, scale)
    image = blend(ground, share, panel.signed, alpha, chosen(cmap, panel.signed))
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)
