"""One input and its map; colours of maps, and figures as files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.errors import ImageError, InputError, MethodError, _arguments, did_you_mean

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


# The axes of each kind, without channels; the room that reads inputs stands above this one.
AXES: dict[str, tuple[str, ...]] = {
    "picture": ("H", "W"),
    "signal": ("T",),
    "volume": ("D", "H", "W"),
    "video": ("T", "H", "W"),
    "tokens": ("T",),
    "table": ("F",),
}
_PLAIN = ("tokens", "table")  # no channels


@dataclass(frozen=True, eq=False)
class Panel:
    """One input and one map of it, with the texts to print over them.

    Args:
        picture: The input, (*space) or (*space, C): (H, W, C) of a picture, (T, C) of a signal,
            (D, H, W, C) of a volume, (T, H, W, C) of a video; (T,) of tokens, (F,) of a table. Of
            pictures, volumes and videos one channel is drawn gray, three as RGB; of two the first
            is drawn, of more the first three, and the figure says so. ``uint8`` is shown as it is;
            any other dtype is shown scaled from its least to its greatest finite value.
        map: (*space) attribution, any range. Non-finite values stay blank.
        title: Printed over the picture; wrapped when long.
        method: Printed over the map.
        signed: Whether the map's sign has meaning (for and against).
        kind: ``"picture"``, ``"signal"``, ``"volume"``, ``"video"``, ``"tokens"``, ``"table"``.
        attributions: (T, C) of a signal, the attribution of each channel; None colours every
            channel by the map.
        names: Words of tokens, features of a table, or channels of a signal, as many as there are;
            empty where they are unknown.

    Raises:
        ImageError: A picture is not one of these shapes, or its map has another frame.
        InputError: The same of another kind; or names or attributions that do not fit.
        MethodError: No such kind.

    Example:
        >>> Panel(np.array([4, 7]), np.array([0.1, -2.0]), kind="tokens", names=("a", "bear")).space
        (2,)
    """

    picture: np.ndarray
    map: np.ndarray
    title: str = ""
    method: str = ""
    signed: bool = False
    kind: str = "picture"
    attributions: np.ndarray | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check that the shapes fit."""
        read = "help(keras_saliency.plot.Panel)"
        if not _arguments.is_word(self.kind, AXES):
            raise MethodError(
                f"No kind of input is called {self.kind!r}.",
                f"Known: {', '.join(map(repr, AXES))}.",
                did_you_mean(str(self.kind), AXES) or "Take one of these.",
                read,
            )
        axes, shape, frame = AXES[self.kind], np.shape(self.picture), np.shape(self.map)
        rank, plain = len(axes), self.kind in _PLAIN
        ranks = (rank,) if plain else (rank, rank + 1)
        if 0 in shape or len(frame) != rank or len(shape) not in ranks or shape[:rank] != frame:
            space = _tuple(axes)
            one = space if plain else f"{space} or {_tuple((*axes, 'C'))}"
            error = ImageError if self.kind == "picture" else InputError
            name = "tokens" if self.kind == "tokens" else f"one {self.kind}"
            raise error(
                f"Expected {name} {one} and one map {space} in its frame.",
                f"Got a {_IS.get(self.kind, self.kind)} of shape {shape} and a map of shape "
                f"{frame}.",
                f"Resize the map, or sum it over channels, until its shape is {space}.",
                read,
            )
        count = 1 if len(shape) == 1 and self.kind == "signal" else shape[-1]
        if self.attributions is not None and np.shape(self.attributions) != (*frame, count):
            raise InputError(
                f"Expected attributions of each channel, {(*frame, count)}.",
                f"Got shape {np.shape(self.attributions)}.",
                "Pass None to colour each channel by the map.",
                read,
            )
        if len(self.names) not in (0, count):
            raise InputError(
                f"Expected {count} names, or none.",
                f"Got {len(self.names)}.",
                "Leave names out where they are unknown.",
                read,
            )

    @property
    def space(self) -> tuple[int, ...]:
        """The sizes of the spatial axes, without channels."""
        return np.shape(self.map)

    @property
    def heading(self) -> str:
        """The title, and the drawn channels of the picture if these are not all."""
        flat = np.shape(self.picture)[len(self.space) - 2 :] if len(self.space) > 1 else ()
        return "\n".join(filter(None, [self.title, channels(flat)]))


_IS = {"tokens": "text", "table": "row"}


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' * (len(names) == 1)})"


def channels(shape: tuple[int, ...]) -> str:
    """Return text on the drawn channels of a picture of this shape; empty where all are.

    Example:
        >>> channels((8, 8, 13)), channels((8, 8, 2)), channels((8, 8, 3))
        ('channels 1-3 of 13 drawn', 'channel 1 of 2 drawn', '')
    """
    count = shape[2] if len(shape) == 3 else 1
    if count in (1, 3):
        return ""
    return "channel 1 of 2 drawn" if count == 2 else f"channels 1-3 of {count} drawn"


def limits(map: np.ndarray, signed: bool, percentile: float = 99.0) -> tuple[float, float]:
    """Return the two ends of a map's colour scale: ``(0, q)``, or ``(-q, q)`` when signed.

    Gradient maps are heavy-tailed: a few pixels would leave everything else black, so ``q`` is a
    percentile. Where that is 0 (a sparse map) it is the maximum; for a map of zeros, 1.

    Args:
        map: Attribution of any shape; non-finite values are ignored.
        signed: Whether the sign has meaning; the scale then covers magnitudes.
        percentile: Share of the values that the scale covers, in (0, 100].

    Raises:
        MethodError: The percentile is out of range.

    Example:
        >>> limits(np.arange(101.0), signed=False, percentile=90)
        (0.0, 90.0)
    """
    if not (_arguments.is_number(percentile) and 0 < percentile <= 100):
        raise MethodError(
            "Expected percentile, the end of the colour scale, above 0 and up to 100.",
            f"Got percentile={percentile!r}.",
            "Pass a number above 0 and up to 100; 100 clips nothing.",
            "help(keras_saliency.plot.limits)",
        )
    values = np.asarray(map, np.float64)
    values = values[np.isfinite(values)]
    values = np.abs(values) if signed else values
    ends = (float(np.percentile(values, q)) for q in (percentile, 100) if values.size)
    top = next((end for end in ends if end > 0), 1.0)
    return (-top if signed else 0.0), top


def colormap(signed: bool) -> Colormap:
    """Return the colormap of maps: inferno; for signed maps red (for) and blue (against).

    RdBu is white at 0 and equally dark at both ends, which stay distinct under the three
    colour-vision deficiencies.
    """
    import matplotlib

    return matplotlib.colormaps["RdBu_r" if signed else "inferno"]


def paper(signed: bool) -> Colormap:
    """Return the colormap of what stands on a white ground: pale where the map is 0.

    Signed maps are as in `colormap`; others are darker orange where they are larger. The darkest
    colours, on which no text and no line is seen, are left out.
    """
    import matplotlib
    from matplotlib.colors import ListedColormap

    whole = matplotlib.colormaps["RdBu_r" if signed else "Oranges"]
    return ListedColormap(whole(np.linspace(0.08 if signed else 0.0, 0.92, 511)))


def shares(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Return values as shares of a scale's end, in [-1, 1], float64; 0 where they are not finite.

    Example:
        >>> shares(np.array([1.0, -8.0, np.nan]), (-2.0, 2.0)).tolist()
        [0.5, -1.0, 0.0]
    """
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values.clip(*scale), 0.0) / scale[1]


def scales(panels: Sequence[Panel], percentile: float) -> list[tuple[float, float]]:
    """Return the limits of every panel, after checking that there are any, all of pictures."""
    if (bare := isinstance(panels, Panel)) or len(panels) == 0:
        raise MethodError(
            "Expected a list of one or more panels.",
            "Got a single Panel." if bare else "Got an empty list (or an empty row of it).",
            "Pass a list such as [Panel(picture, map)].",
            "help(keras_saliency.plot.pair)",
        )
    if other := next((panel.kind for panel in panels if panel.kind != "picture"), None):
        raise MethodError(
            "Expected panels of pictures.",
            f"Got one of kind {other!r}.",
            "Draw it with keras_saliency.plot.several, which takes any kind.",
            "help(keras_saliency.plot.several)",
        )
    return [limits(panel.map, panel.signed, percentile) for panel in panels]


def marks(scale: tuple[float, float]) -> list[str]:
    """Return the two ends of a scale and its middle, in order, to two digits."""
    texts = (f"{value:.2g}" for value in (scale[0], sum(scale) / 2, scale[1]))
    return [t.replace("e-0", "e-").replace("e+0", "e").replace("-", "\u2212") for t in texts]


def label(panel: Panel, scale: tuple[float, float], percentile: float) -> str:
    """Return the label of one map's colour bar."""
    values = np.asarray(panel.map)[np.isfinite(panel.map)]
    if not values.any():
        return "attribution, zero everywhere"
    return "attribution" + clipping(percentile) * bool((values != values.clip(*scale)).any())


def caption(panels: Sequence[Panel], percentile: float) -> str:
    """Return the caption on the colour bars of a whole figure."""
    own = ", each map on its own scale" * (len(panels) > 1)
    return f"Attribution{own}{clipping(percentile) * (percentile < 100)}."


def clipping(percentile: float) -> str:
    """Return text for a caption on the percentile at which colour bars end."""
    endings = {} if percentile in (11, 12, 13) else {1.0: "st", 2.0: "nd", 3.0: "rd"}
    return f", clipped at the {percentile:g}{endings.get(percentile % 10, 'th')} percentile"


_MOST = 1200  # pixels per side


def shrink(array: np.ndarray) -> np.ndarray:
    """Return (H, W, ...) float64, as means of blocks along a side above 1200 pixels."""
    (h, w), rest = array.shape[:2], array.shape[2:]
    down, across = -(-h // _MOST), -(-w // _MOST)
    whole = array[: h // down * down, : w // across * across]
    blocks = whole.reshape(h // down, down, w // across, across, *rest)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def rgb(picture: np.ndarray) -> np.ndarray:
    """Return a picture as (h, w, 3) uint8; other dtypes are scaled from least to greatest.

    Of two channels the first is shown grey, of four and more the first three as colours;
    `keras_saliency.plot.panel.channels` returns text on that.
    """
    picture = np.asarray(picture)
    whole = picture.reshape(*picture.shape[:2], -1)
    small = shrink(whole[..., : 3 if whole.shape[-1] >= 3 else 1])
    if picture.dtype != np.uint8:
        small = stretched(small)
    return np.broadcast_to(np.round(small).astype(np.uint8), (*small.shape[:2], 3))


def stretched(values: np.ndarray) -> np.ndarray:
    """Return values scaled from their least to their greatest finite one, in [0, 255]."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    values = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low
    return 255 * values / ((high - low) or 1.0)


def grey(picture: np.ndarray) -> np.ndarray:
    """Return a picture's luma (ITU-R BT.601), (h, w) in [0, 1]."""
    return rgb(picture) @ np.array([0.299, 0.587, 0.114]) / 255


def blend(gray: np.ndarray, share: np.ndarray, signed: bool, alpha: float) -> np.ndarray:
    """Return RGB in [0, 1]: the colours of ``share`` in [-1, 1] over gray in [0, 1]."""
    opacity = alpha * np.nan_to_num(np.abs(share))[..., None] ** 0.6
    colours = colormap(signed)((share + 1) / 2 if signed else share)[..., :3]
    ground = 0.35 + 0.65 * gray if signed else 0.7 * gray  # away from the colours' strong end
    return ground[..., None] * (1 - opacity) + colours * opacity


def render_png(
    draw: Callable[..., Figure], panels: Any, *, dpi: float = 150, **options: Any
) -> bytes:
    """Draw without pyplot and without a display, and return the bytes of a PNG file.

    Args:
        draw: :func:`pair`, :func:`overlay`, :func:`grid` or :func:`several`.
        panels: Its first argument.
        dpi: Pixels per inch; lowered for figures that would exceed 30000 pixels per side.
        **options: Its further arguments, except ``figure``.

    Example:
        >>> panel = plot.Panel(np.zeros((8, 8)), np.ones((8, 8)))
        >>> render_png(plot.pair, [panel], percentile=99.5)[1:4]
        b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure, buffer = Figure(), io.BytesIO()
    draw(panels, figure=figure, **options)
    figure.set_dpi(min(dpi, 30000 / max(figure.get_size_inches())))
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
