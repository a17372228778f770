"""Any Keras model, looking alike: channels-last pictures in, named outputs out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from keras_saliency._keras import require_keras
from keras_saliency.errors import ModelError, TargetError
from keras_saliency.layers import walk


@dataclass(frozen=True)
class Input:
    """One input of a model: name, shape without the batch axis (None: unknown), dtype."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    @property
    def rank(self) -> int:
        """Axes without the batch axis; what is unknown counts as a picture (H, W, C)."""
        return 3 if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Packing:
    """How images and other inputs go into one model.

    Attributes:
        explained: Which of the inputs the images go into.
        names: Names of a dict of inputs, or None where the inputs stand in order. Only a
            subclassed model needs it; a graph knows its own.
    """

    explained: int = 0
    names: tuple[str, ...] | None = None


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
                "help(keras_saliency.explain)",
            )
        self.model = model

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of a graph; one for a subclassed model, its shape known once it was called."""
        import keras

        struct: Any = self.symbolic("input")
        if struct is None:
            shape: Any = (self.model.get_build_config() or {}).get("input_shape")
            plain = isinstance(shape, tuple | list) and not any(isinstance(n, tuple) for n in shape)
            known = tuple(shape[1:]) if plain else None
            return (Input("input", known, self.model.input_dtype),)
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

    def forward(self, images: Any, sides: Any, packing: Packing) -> Any:
        """Call the model in inference mode and return its outputs.

        Args:
            images: (B, H, W, C), channels last.
            sides: What goes into the other inputs, in their order.
            packing: Which goes where.
        """
        import keras

        struct = self.symbolic("input")
        here = self.inputs[packing.explained if struct is not None else 0]
        if here.rank == 2:
            images = keras.ops.squeeze(images, axis=-1)
        elif self.channels_first:
            images = keras.ops.transpose(images, (0, 3, 1, 2))
        flat = list(sides)
        flat.insert(packing.explained, images)
        if packing.names:
            packed: Any = dict(zip(packing.names, flat, strict=True))
        elif struct is None:
            packed = flat if sides else images
        else:
            packed = keras.tree.pack_sequence_as(struct, flat)
        return self.model(packed, training=False)

    def build(self, images: Any, sides: Any, packing: Packing) -> None:
        """Call a model that has no weights yet, so that it makes them."""
        self.forward(images, sides, packing)
        for seen_before in ("inputs", "channels_first"):
            self.__dict__.pop(seen_before, None)

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
