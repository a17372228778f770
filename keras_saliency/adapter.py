"""Any Keras model, looking alike: channels-last pictures in, named outputs out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from keras_saliency import pictures, preprocessing
from keras_saliency._keras import require_keras
from keras_saliency.errors import ImageError, ModelError, TargetError, did_you_mean
from keras_saliency.geometry import Geometry
from keras_saliency.layers import walk
from keras_saliency.preprocessing import Preprocess

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Batch:
    """Pictures made ready for one model.

    Attributes:
        images: (B, H, W, C) in the model's input range, channels last.
        sides: What goes into the model's other inputs, each with B rows, in the model's order.
        explained: Which of the model's inputs the images go into.
        originals: The pictures as they came: (H0, W0, C) uint8, or float as preprocessed.
        geometries: How each original was fitted to (H, W).
        preprocess: What was done to the pixels; ``None`` where floats came and nobody knows.
    """

    images: np.ndarray
    sides: tuple[np.ndarray, ...]
    explained: int
    originals: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    preprocess: Preprocess | None


@dataclass(frozen=True)
class Input:
    """One input of a model: name, shape without the batch axis (None: unknown), dtype."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


class Adapter:
    """A Keras 3 model seen from outside.

    Args:
        model: Functional, Sequential or subclassed; built or not.

    Raises:
        ModelError: ``model`` is not a Keras 3 model.
    """

    def __init__(self, model: Any) -> None:
        """Check that this is a model of the Keras that is running."""
        keras = require_keras()
        if not isinstance(model, keras.Model):
            kind = f"{type(model).__module__}.{type(model).__qualname__}"
            raise ModelError(
                "A Keras 3 model was asked for.",
                f"{kind} was given.",
                "Load it with keras.saving.load_model, or build it with keras.Model; "
                "tf_keras (Keras 2) and plain torch modules are not supported.",
                _READ,
            )
        self.model = model

    # ------------------------------------------------------------------ what the model looks like

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The model's inputs; one of unknown shape for a subclassed model not called yet."""
        import keras

        struct = self.symbolic("input")
        if struct is None:
            config = self.model.get_build_config() or {}
            shape = config.get("input_shape")
            if not isinstance(shape, tuple | list) or not all(
                isinstance(n, int | None) for n in shape
            ):
                return (Input("input", None, self.model.input_dtype),)
            return (Input("input", tuple(shape[1:]), self.model.input_dtype),)
        tensors = keras.tree.flatten(struct)
        names = sorted(struct) if isinstance(struct, dict) else [t.name for t in tensors]
        return tuple(
            Input(name, tuple(tensor.shape[1:]), tensor.dtype)
            for name, tensor in zip(names, tensors, strict=True)
        )

    @cached_property
    def channels_first(self) -> bool:
        """Whether the model wants (B, C, H, W)."""
        import keras

        layouts = (getattr(layer, "data_format", None) for _, layer in walk(self.model))
        default = keras.config.image_data_format()
        return next((form for form in layouts if form), default) == "channels_first"

    def symbolic(self, side: Literal["input", "output"]) -> Any:
        """Return the model's symbolic inputs or outputs; None for a model that is no graph."""
        # Sequential raises until it is built, a subclassed model has no such attribute at all.
        try:
            return getattr(self.model, side)
        except (AttributeError, ValueError):
            return None

    def _explained_input(self, given: list[str] | None) -> int:
        """The number of the picture input: the first of rank 4 (then 3), in the caller's order."""
        names = [one.name for one in self.inputs]
        order = [names.index(name) for name in given] if given else range(len(names))
        ranks = {i: len(self.inputs[i].shape or (0, 0, 0)) for i in order}
        for rank in (3, 2):  # without the batch axis
            for i in order:
                if ranks[i] == rank:
                    return i
        raise ModelError(
            f"Model {self.model.name!r} was to be called on pictures.",
            f"Its inputs have shapes {[one.shape for one in self.inputs]}.",
            "Give a model with an input (H, W, C) or (H, W).",
            _READ,
        )

    def frame(self, explained: int) -> tuple[int | None, int | None, int | None]:
        """Height, width and channels of the picture input, None where free."""
        shape = self.inputs[explained].shape
        if shape is None:
            return None, None, None
        if len(shape) == 2:
            return shape[0], shape[1], 1
        return (shape[1], shape[2], shape[0]) if self.channels_first else tuple(shape)  # type: ignore[return-value]

    # ------------------------------------------------------------------ pictures in

    def prepare(self, image: Any, preprocess: Any = "auto") -> Batch:
        """Return pictures as a batch for this model.

        Args:
            image: One picture (path, PIL, array), a batch (B, H, W, C), or a list of pictures. For
                a model with several inputs a dict by input name (or a tuple in the model's
                order); the first entry that takes pictures is the one explained.
            preprocess: See `keras_saliency.preprocessing.resolve`.

        Raises:
            ImageError: A picture cannot be read or does not fit.
            PreprocessError: Pixels were given and nobody knows their preprocessing.
        """
        image, given = self._named(image)
        explained = self._explained_input(given)
        if given:
            picture = image[self.inputs[explained].name]
        else:
            picture = image
        known = preprocessing.resolve(preprocess, self.model)
        arrays = [self._layout(array, explained) for array in _read_all(picture)]
        originals, geometries, fitted = [], [], []
        for array in arrays:
            original, geometry = self._fit(array, explained, known, arrays[0].shape)
            originals.append(original)
            geometries.append(geometry)
            fitted.append(geometry.apply(original))
        _check_alike(fitted)
        stacked = np.stack(fitted)
        if stacked.dtype == np.uint8:
            stacked = (known or Preprocess())(stacked)
        images = stacked.astype(self._dtype(explained), copy=False)
        sides = self._sides(image, explained, len(images)) if given else ()
        batch = Batch(images, sides, explained, tuple(originals), tuple(geometries), known)
        self._build(batch)
        return batch

    def _named(self, image: Any) -> tuple[Any, list[str] | None]:
        """Turn a dict or tuple for several inputs into a dict by name, checked."""
        names = [one.name for one in self.inputs]
        if isinstance(image, tuple) and len(names) > 1:
            image = dict(zip(names, image, strict=False))
        if isinstance(image, Mapping):
            for key in image:
                if key not in names:
                    raise ImageError(
                        f"Input {key!r} of model {self.model.name!r} was given.",
                        f"Its inputs are {names}.",
                        did_you_mean(str(key), names) or "Use these names.",
                        _READ,
                    )
            if len(image) == len(names):
                return image, list(image)
        elif len(names) == 1:
            return image, None
        raise ImageError(
            f"Model {self.model.name!r} takes {len(names)} inputs: {names}.",
            "Not all of them were given.",
            "Give a dict by input name, the picture to explain first, as in "
            f"{{{', '.join(f'{name!r}: ...' for name in names)}}}.",
            _READ,
        )

    def _layout(self, array: np.ndarray, explained: int) -> np.ndarray:
        """Return a picture channels-last, also where a float one came as the model has it."""
        height, width, channels = self.frame(explained)
        if self.channels_first and array.dtype.kind == "f" and channels is not None:
            first = array.shape[0] == channels and (height, width) in (
                (None, None), array.shape[1:]
            )  # fmt: skip
            last = array.shape[2] == channels and (height, width) in (
                (None, None), array.shape[:2]
            )  # fmt: skip
            if first and not last:
                return np.moveaxis(array, 0, -1)
        return array

    def _fit(
        self, array: np.ndarray, explained: int, known: Preprocess | None, first: tuple[int, ...]
    ) -> tuple[np.ndarray, Geometry]:
        height, width, channels = self.frame(explained)
        pixels = array.dtype == np.uint8
        if pixels and channels == 3 and array.shape[-1] == 1:
            array = np.repeat(array, 3, axis=-1)
        elif pixels and channels == 1 and array.shape[-1] == 3:
            array = np.asarray(pictures.grey(array))
        own = array.shape[:2]
        size = (height or first[0], width or first[1])
        fits = channels in (None, array.shape[-1]) and (pixels or own == size)
        if not fits:
            raise ImageError(
                f"A picture was given to model {self.model.name!r}.",
                f"It has shape {array.shape} and dtype {array.dtype}; the model takes "
                f"{_shape(height, width, channels)}.",
                "Give an RGB or grey picture as a path, a PIL image or uint8, which are resized; "
                "float arrays must fit as they are.",
                _READ,
            )
        if not pixels:
            return array, Geometry.fitted(own, own)
        if known is None:
            raise preprocessing.unknown(self.model)
        if own != size and min(own) < pictures.MIN_SIDE:
            raise ImageError(
                f"A picture was to be resized to {size[0]}x{size[1]} for model "
                f"{self.model.name!r}.",
                f"It has only {own[0]}x{own[1]} pixels (height x width).",
                f"Give one of at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE}.",
                _READ,
            )
        return array, Geometry.fitted(own, size, known.fit)

    def _sides(
        self, image: Mapping[str, Any], explained: int, count: int
    ) -> tuple[np.ndarray, ...]:
        sides = []
        for i, one in enumerate(self.inputs):
            if i == explained:
                continue
            array = np.asarray(image[one.name])
            if one.shape is not None and array.ndim == len(one.shape):
                array = array[None]
            if len(array) != count:
                raise ImageError(
                    f"Input {one.name!r} of model {self.model.name!r} was given for "
                    f"{count} pictures.",
                    f"It has {len(array)} rows.",
                    "Give one row a picture.",
                    _READ,
                )
            sides.append(array.astype(one.dtype, copy=False))
        return tuple(sides)

    def _dtype(self, explained: int) -> str:
        return "float64" if self.inputs[explained].dtype == "float64" else "float32"

    def _build(self, batch: Batch) -> None:
        """Let a model that has no weights yet make them, outside of any trace."""
        if self.model.built and self.symbolic("input") is not None:
            return
        if not self.model.built:
            row = [side[:1] for side in batch.sides]
            self.forward(batch.images[:1], row, batch.explained)
            self.__dict__.pop("inputs", None)
            self.__dict__.pop("channels_first", None)

    # ------------------------------------------------------------------ outputs out

    def forward(self, images: Any, sides: Any, explained: int) -> Any:
        """Call the model in inference mode on channels-last images; return its outputs."""
        import keras

        rank = len(self.inputs[explained].shape or (0, 0, 0))
        if rank == 2:
            images = keras.ops.squeeze(images, axis=-1)
        elif self.channels_first:
            images = keras.ops.transpose(images, (0, 3, 1, 2))
        struct = self.symbolic("input")
        if struct is None or len(self.inputs) == 1:
            packed = images if not isinstance(struct, dict) else {self.inputs[0].name: images}
        else:
            flat = list(sides)
            flat.insert(explained, images)
            packed = keras.tree.pack_sequence_as(struct, flat)
        return self.model(packed, training=False)

    def picked(self, outputs: Any, name: str | int | None) -> list[Any]:
        """Return the output called ``name`` (or numbered so), as a list of one; all for ``"*"``.

        Raises:
            TargetError: No such output, or several and no name.
        """
        import keras

        flat = keras.tree.flatten(outputs)
        names = self._output_names(outputs, len(flat))
        if name == "*" or (name is None and len(flat) == 1):
            return flat
        if isinstance(name, int) and -len(flat) <= name < len(flat):
            return [flat[name]]
        if name in names:
            return [flat[names.index(name)]]
        raise TargetError(
            f"Output {name!r} of model {self.model.name!r} was asked for."
            if name is not None
            else f"A target was asked for in model {self.model.name!r}.",
            f"It has {len(flat)} outputs: {names}.",
            f"Name one in the target, as in targets.TopClass(output={names[0]!r}).",
            "help(keras_saliency.targets)",
        )

    def _output_names(self, outputs: Any, count: int) -> list[str]:
        if isinstance(outputs, dict):
            return sorted(outputs)
        names = list(getattr(self.model, "output_names", None) or [])
        return names if len(names) == count else [str(i) for i in range(count)]


def _read_all(picture: Any) -> list[np.ndarray]:
    """Return a picture, a batch or a list of pictures as a list of (H, W, C) arrays."""
    if pictures.is_one(picture):
        return [pictures.read(picture)]
    if hasattr(picture, "__array__"):
        rank = len(picture.shape)
        if rank == 4:
            picture = list(np.asarray(picture))
    if not isinstance(picture, list | tuple):
        return [pictures.read(picture)]  # says what is wrong with it
    if not picture:
        raise ImageError(
            "Pictures were asked for.", "The batch is empty.", "Give at least one.", _READ
        )
    return [pictures.read(one) for one in picture]


def _check_alike(fitted: list[np.ndarray]) -> None:
    kinds = {(array.shape, array.dtype.kind) for array in fitted}
    if len(kinds) > 1:
        raise ImageError(
            f"{len(fitted)} pictures were given in one batch.",
            f"They differ: {sorted((shape, kind) for shape, kind in kinds)}.",
            "Give pictures alone or arrays alone, all of one shape once fitted to the model.",
            _READ,
        )


def _shape(*sides: int | None) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in sides)})"
