"""Preprocessing: pixels 0..255 to model input, by argument or by recognising the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from keras_saliency._graph import walk
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency._inputs.geometry import Fit, Geometry
from keras_saliency._inputs.input_scaling import scaling
from keras_saliency._inputs.known_networks import Converter, class_names, converter, recognised
from keras_saliency._inputs.pictures import PixelRange
from keras_saliency.errors import PreprocessError, _arguments

__all__ = ["Preprocess", "class_names", "resolve", "unknown"]

_READ = "help(keras_saliency.Preprocess)"

_IMAGENET_STYLES = ("caffe", "tf", "torch")


@dataclass(frozen=True)
class Preprocess:
    """The preprocessing of pictures before the model.

    Args:
        function: Takes a float32 batch (B, H, W, C) of pixels 0..255, already resized, and returns
            the model's input, the same shape. ``None`` leaves the pixels as they are.
        fit: How a picture is fitted to the model's size: ``"stretch"`` (the whole picture, aspect
            ratio changed), ``"crop"`` (the middle) or ``"pad"`` (black bars).
        name: Its name in the manifest.
        converter: That of a keras_hub task, which resizes by itself: ``function`` and ``fit`` are
            then not used.

    Example:
        >>> from keras_saliency._inputs.preprocessing import Preprocess
        >>> halves = Preprocess(lambda x: x / 127.5 - 1, fit="crop", name="halves")
        >>> float(halves(np.full((1, 2, 2, 3), 255, "uint8")).max())
        1.0
    """

    function: Callable[[np.ndarray], Any] | None = None
    fit: Fit = "stretch"
    name: str = ""
    converter: Converter | None = None

    def __post_init__(self) -> None:
        """Check function, converter and fit."""
        if self.function is not None and not callable(self.function):
            word = _arguments.is_word(self.function, _IMAGENET_STYLES)
            raise PreprocessError(
                "Expected Preprocess(function) to get a function of a batch of pixels.",
                f"Got {self.function!r}.",
                f"Pass preprocess={self.function!r} itself."
                if word
                else "Pass a function, or None.",
                _READ,
            )
        if self.converter is not None and not isinstance(self.converter, Converter):
            raise PreprocessError(
                "Expected a converter that resizes pictures, as `from_task` makes one.",
                f"Got a {type(self.converter).__name__}.",
                "Pass preprocess=task.preprocessor, or a function of pixels: Preprocess(function).",
                _READ,
            )
        if not _arguments.is_word(self.fit, ("stretch", "crop", "pad")):
            raise PreprocessError(
                "Expected fit to be 'stretch', 'crop' or 'pad'.",
                f"Got fit={self.fit!r}.",
                "Pass one of these.",
                _READ,
            )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return model input for a (B, H, W, C) batch of pixels 0..255."""
        batch = np.array(pixels, np.float32)  # a copy: keras.applications works in place
        if self.converter is not None:
            return self.converter(pixels)
        if self.function is None:
            return batch
        result = np.asarray(self.function(batch))
        if result.shape != pixels.shape or not np.isfinite(result).all():
            raise PreprocessError(
                f"Expected the preprocessing {self.name or self.function!r} to return a finite "
                f"array of shape {pixels.shape}.",
                f"Got shape {result.shape}"
                + ("." if result.shape != pixels.shape else " with values that are not finite."),
                "Return a finite array of the same shape.",
                _READ,
            )
        return result

    def fitted(self, picture: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, Geometry]:
        """Return a picture at the model's size, and its geometry.

        Args:
            picture: (H0, W0, C) uint8.
            size: Height and width of the model's input.

        Returns:
            (H, W, C): uint8 pixels, which are still to be preprocessed, or float32 that a
            keras_hub task has preprocessed.
        """
        if self.converter is not None:
            return self.converter(picture[None])[0], self.converter.geometry(picture.shape[:2])
        geometry = Geometry.fitted(picture.shape[:2], size, self.fit)
        return geometry.apply(picture), geometry

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of its own resizing; None: the model's."""
        return self.converter.size if self.converter else None

    @property
    def is_of_pictures(self) -> bool:
        """Whether it has a meaning for pictures only."""
        named = self.name in _IMAGENET_STYLES or self.fit != "stretch"
        return self.converter is not None or named

    @property
    def leaves_pixels(self) -> bool:
        """Whether pixels stay unchanged."""
        return self.converter is None and self.function in (None, _as_they_are)

    def range(self, channels: int) -> PixelRange | None:
        """Return the range that it maps pixels to; None where it changes none.

        Args:
            channels: Number of channels of the picture.
        """
        if self.function is None and self.converter is None:
            return None
        return PixelRange.of(self, channels)


def _as_they_are(pixels: np.ndarray) -> np.ndarray:
    return pixels


PixelFunction = Callable[[npt.NDArray[np.float32]], Any]  # of pixels 0..255, (B, H, W, C)
Preprocessing = Literal["auto", "caffe", "tf", "torch"] | Preprocess | PixelFunction | None


def resolve(preprocess: Any, model: Any, **seen: Any) -> Preprocess | None:
    """Return the preprocessing of explain()'s argument; ``None`` where it is unknown.

    Args:
        preprocess: ``"auto"``, ``"caffe"``, ``"tf"``, ``"torch"``, ``None`` (pixels 0..255 as they
            are), a callable, or a `Preprocess`.
        model: The Keras model. ``"auto"`` takes the preprocessor of a keras_hub task; no
            preprocessing where the model rescales pixels before its first weights; that of
            ``keras.applications`` where its layers are those of one of its networks.
        seen: Arguments of `keras_saliency._inputs.input_scaling.scaling` beside the model.

    Raises:
        PreprocessError: The argument is none of these.
    """
    if isinstance(preprocess, Preprocess):
        return preprocess
    if preprocess is None:
        return Preprocess(name="none")
    if callable(preprocess):
        return Preprocess(preprocess, name=getattr(preprocess, "__qualname__", repr(preprocess)))
    if isinstance(preprocess, str) and preprocess in _IMAGENET_STYLES:
        return _imagenet_style(preprocess)
    if isinstance(preprocess, str) and preprocess == "auto":
        return _known(Adapter(model), seen)
    raise PreprocessError(
        "Expected preprocess to be 'auto', 'caffe', 'tf', 'torch', None or a callable.",
        f"Got preprocess={preprocess!r}.",
        "Pass one of these words, or a callable of a (B, H, W, C) batch of pixels 0..255.",
        _READ,
    )


CHANGING = object()  # a preprocessing that may be another one at the next call


def lasting(adapter: Adapter, seen: dict[str, Any]) -> Any:
    """Return what ``"auto"`` means as long as the model's configuration is the same, or `CHANGING`.

    It changes with the preprocessor of a keras_hub task, and with constants of rescaling layers.
    """
    if converter(adapter.model) is not None or _constants(adapter.model):
        return CHANGING
    return _known(adapter, seen)


def unknown(model: Any, **seen: Any) -> PreprocessError:
    """Return the error for a picture where the model's preprocessing is unknown."""
    own = _own(Adapter(model), seen) if model.built else _Own("unclear", 0.0, 0.0, None)
    why = "No layer of it rescales pixels, and its layers are not those of keras.applications."
    if own.kind == "unclear" and own.low < own.high:
        why = (
            "It changes pixels before its first weights, but not as a model made for 0..255 does: "
            f"they become {own.low:.4g}..{own.high:.4g} there."
        )
    return PreprocessError(
        f"The preprocessing of model {model.name!r} is unknown.",
        why,
        "Pass it: explain(..., preprocess=lambda x: x / 255) gets a float32 batch (B, H, W, C) of "
        "pixels 0..255 ('tf': -1..1, 'torch' and 'caffe' are those of keras.applications); "
        "preprocess=None leaves them; a float array counts as preprocessed.",
        _READ,
    )


def _known(adapter: Adapter, seen: dict[str, Any]) -> Preprocess | None:
    task = converter(adapter.model)
    if task is not None:
        kind = "none" if task.converter is None else type(task.converter).__name__
        return Preprocess(name=f"the keras_hub task's preprocessor ({kind})", converter=task)
    if not adapter.model.built:
        return None
    own = _own(adapter, seen)
    if own.kind == "rescales":
        return Preprocess(_as_they_are, name="none (the model rescales)")
    return None if own.network is None else _of_network(own.network)


@dataclass(frozen=True)
class _Own:
    """A model's own scaling of pixels, and the known network whose input they are then."""

    kind: str
    low: float
    high: float
    network: str | None


def _own(adapter: Adapter, seen: dict[str, Any]) -> _Own:
    """Return this, cached: it runs some operations, which would slow every call."""
    key = ("preprocessing", seen.get("explained"), seen.get("packing"), seen.get("shape"))

    def look() -> _Own:
        one = scaling(adapter, **seen)
        networks = {recognised(first.layer, first.parent) for first in one.firsts}
        known = networks.pop() if one.kind == "none" and len(networks) == 1 else None
        return _Own(one.kind, one.low, one.high, known)

    return get_or_create(adapter.model, (*key, *_constants(adapter.model)), look)


def _constants(model: Any) -> list[Any]:
    """Return the constants of rescaling layers: a user may adapt or load them between two calls."""
    import keras

    numbers: list[Any] = []
    for _, layer in walk(model):
        if isinstance(layer, keras.layers.Rescaling):
            numbers.append(repr((layer.scale, layer.offset)))
        elif isinstance(layer, keras.layers.Normalization) and layer.built:
            statistics = (getattr(layer, name, None) for name in ("mean", "variance"))
            values = [keras.ops.convert_to_numpy(one) for one in statistics if one is not None]
            numbers.append(tuple(value.tobytes() for value in values))
    return numbers


def _of_network(module: str) -> Preprocess:
    import keras

    if module == "efficientnet_lite0":
        from keras_saliency.pretrained import preprocess_input

        return Preprocess(preprocess_input, name="efficientnet_lite0 (known by its layers)")
    function = getattr(keras.applications, module).preprocess_input
    # The arrays here are channels-last whatever the model's layout is.
    return Preprocess(
        lambda x: function(x, data_format="channels_last"),
        name=f"keras.applications.{module} (known by its layers)",
    )


def _imagenet_style(mode: str) -> Preprocess:
    from keras.applications.imagenet_utils import preprocess_input

    return Preprocess(
        lambda x: preprocess_input(x, data_format="channels_last", mode=mode), name=mode
    )
