"""One interface to any Keras model: channels-last pictures in, named outputs out."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_saliency._backend.hooks import intercept
from keras_saliency._graph import walk
from keras_saliency._graph.ends import EmbeddingCall, ModelOutputs, Reached, is_embedding, is_tensor
from keras_saliency._graph.model_cache import ModelCache
from keras_saliency.errors import KerasSaliencyError, ModelError, words


@dataclass(frozen=True)
class Input:
    """One input of a model: name, shape without the batch axis (None: unknown), dtype."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class Part:
    """One input that is explained: how its images (B, *space, C) become what the model takes.

    Attributes:
        explained: Number of the input.
        axes: Number of spatial axes.
        has_channels: Whether the model's input has the axis of channels.
        embedding: Path of the Embedding layer whose output the images replace, and the number of
            its call; the words themselves are then among the extra inputs.
        shape: (*space, C), where several inputs are explained.
    """

    explained: int = 0
    axes: int = 2
    has_channels: bool = True
    embedding: tuple[str, int] | None = None
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class InputLayout(Part):
    """The order of images and other inputs in a call of one model.

    Attributes:
        names: Names of a dict of inputs, or None for inputs in order. Only a subclassed model
            needs it; a graph knows its own.
        parts: The inputs, where several are explained: the images are then (B, N, 1), the values
            of one after those of the other.
    """

    names: tuple[str, ...] | None = None
    parts: tuple[Part, ...] = ()

    def apart(self, images: Any) -> list[tuple[Part, Any]]:
        """Return each explained input and its images (B, *space, C)."""
        if not self.parts:
            return [(self, images)]
        from keras import ops

        reshape = np.reshape if isinstance(images, np.ndarray) else ops.reshape
        result, start = [], 0
        for part in self.parts:
            stop = start + math.prod(part.shape)
            result.append((part, reshape(images[:, start:stop], (-1, *part.shape))))
            start = stop
        return result


@dataclass(frozen=True)
class Signature:
    """What a model takes: all that is read of it to prepare its pictures.

    Attributes:
        inputs: The inputs of a graph; one for a subclassed model.
        is_graph: Whether the model declares its inputs.
        is_symbolic: Whether it is a graph of layers, or a built Sequential model.
        channels_first: Whether its input is (B, C, H, W).
        fixed_rows: Number of rows that every batch must have; None for any.
    """

    inputs: tuple[Input, ...]
    is_graph: bool
    is_symbolic: bool
    channels_first: bool
    fixed_rows: int | None


@dataclass(eq=False)
class Adapter(ModelOutputs):
    """A Keras 3 model behind one interface.

    Args:
        model: Functional, Sequential or subclassed; built or not.
    """

    model: Any
    state: Sequence[Any] = ()  # variables and the values that `embeddings` runs on

    @cached_property
    def cache(self) -> ModelCache:
        """What is computed once about the model.

        Raises:
            ModelError: It is not a Keras 3 model.
        """
        return ModelCache(self.model)

    @property
    def embeds(self) -> bool:
        """Whether the model reads words by an Embedding; False while it has no weights."""
        return self.model.built and any(is_embedding(layer) for _, layer in walk(self.model))

    @property
    def signature(self) -> Signature:
        """What the model takes, as it is now."""
        is_graph = self.symbolic("input") is not None
        symbolic = is_graph or bool(getattr(self.model, "built", False) and _has_inputs(self.model))
        return Signature(self.inputs, is_graph, symbolic, self.channels_first, self.fixed_rows)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs of a graph; one for a subclassed model, its shape known once it was called."""
        import keras

        struct: Any = self.symbolic("input")
        if struct is None:
            shape: Any = (self.model.get_build_config() or {}).get("input_shape")
            dtype = self.model.input_dtype
            if isinstance(shape, dict):
                return tuple(Input(name, _one(its), dtype) for name, its in shape.items())
            if isinstance(shape, tuple | list) and all(isinstance(n, tuple | list) for n in shape):
                return tuple(Input(str(i), _one(its), dtype) for i, its in enumerate(shape))
            return (Input("input", _one(shape), dtype),)
        tensors = keras.tree.flatten(struct)
        names = sorted(struct) if isinstance(struct, dict) else [t.name for t in tensors]
        return tuple(
            Input(name, tuple(tensor.shape[1:]), tensor.dtype)
            for name, tensor in zip(names, tensors, strict=True)
        )

    @cached_property
    def fixed_rows(self) -> int | None:
        """Number of rows that every batch must have; None for any.

        A graph's input may say so (``batch_shape``), and a stateful recurrent layer has a state for
        each row.
        """
        import keras

        given = keras.tree.flatten(self.symbolic("input"))
        rows = [one.shape[0] for one in given if getattr(one, "shape", ())]
        for _, layer in walk(self.model):
            if getattr(layer, "stateful", False) is True:
                states = keras.tree.flatten(getattr(layer, "states", None))
                rows += [one.shape[0] for one in states if getattr(one, "shape", ())]
        return next((count for count in rows if count), None)

    def is_channels_first(self, axes: int) -> bool:
        """Whether an input with so many spatial axes is (B, C, *space).

        Keras' own default is about pictures; layers of signals that name no layout have none.
        """
        import keras

        layouts = (getattr(layer, "data_format", None) for _, layer in walk(self.model))
        default = keras.config.image_data_format() if axes == 2 else None
        return next((form for form in layouts if form), default) == "channels_first"

    @cached_property
    def channels_first(self) -> bool:
        """Whether the model's input is (B, C, H, W)."""
        return self.is_channels_first(2)

    def forward(self, images: Any, extra_inputs: Any, packing: InputLayout) -> Any:
        """Call the model in inference mode and return its outputs.

        Args:
            images: (B, H, W, C), channels last, or (B, *space, C).
            extra_inputs: Arrays for the other inputs, in their order.
            packing: Which input takes which array.
        """
        return self.call(self.arranged(images, packing), extra_inputs, packing)

    def arranged(self, images: Any, packing: InputLayout) -> list[Any]:
        """Return the images of each explained input in the layout that the model takes."""
        return [self._arranged(its, part) for part, its in packing.apart(images)]

    def _arranged(self, images: Any, part: Part) -> Any:
        import keras

        if not part.has_channels:
            return keras.ops.squeeze(images, axis=-1)
        first = self.is_channels_first(part.axes) and part.embedding is None
        return keras.ops.moveaxis(images, -1, 1) if first else images

    def call(self, arranged: list[Any], extra_inputs: Any, packing: InputLayout) -> Any:
        """Call the model on what `arranged` returned."""
        import keras

        flat = list(extra_inputs)
        parts = list(zip(packing.parts or [packing], arranged, strict=True))
        for part, images in sorted(parts, key=lambda each: each[0].explained):
            if part.embedding is None:
                flat.insert(part.explained, images)
        with self._embedded(parts):
            outputs = self.model(self._packed(flat, packing.names), training=False)
        if not any(map(is_tensor, keras.tree.flatten(outputs))):
            raise ModelError(
                f"Expected model {self.model.name!r} to return a tensor, or a structure of them.",
                f"Got {repr(outputs)[:80]}.",
                "Return its outputs from call().",
                "help(keras_saliency.explain)",
            )
        return outputs

    def _packed(self, flat: list[Any], names: tuple[str, ...] | None) -> Any:
        """Return inputs in the structure that the model takes."""
        import keras

        struct = self.symbolic("input")
        if names:
            return dict(zip(names, flat, strict=True))
        if struct is None:
            return flat if len(flat) > 1 else flat[0]
        return keras.tree.pack_sequence_as(struct, flat)

    def _embedded(self, parts: list[tuple[Part, Any]]) -> contextlib.AbstractContextManager[None]:
        """Have calls of Embedding layers return these vectors, inside a block."""
        import keras

        layers = dict(walk(self.model)) if any(part.embedding for part, _ in parts) else {}
        vectors: dict[str, dict[int, Any]] = {}
        for part, its in parts:
            if part.embedding:
                vectors.setdefault(part.embedding[0], {})[part.embedding[1]] = its

        def handler(path: str) -> Any:
            calls = itertools.count()

            def run(original: Any, *args: Any, **kwargs: Any) -> Any:
                its = vectors[path].get(next(calls))
                if its is None:
                    return original(*args, **kwargs)
                return keras.ops.cast(its, layers[path].compute_dtype)

            return run

        return intercept([(layers[path], handler(path)) for path in vectors])

    def embeddings(
        self, inputs: Any, names: tuple[str, ...] | None, until: tuple[str, int] | None = None
    ) -> list[EmbeddingCall]:
        """Return every call of an Embedding layer in a run of the model.

        Args:
            inputs: All of the model's inputs, in order.
            names: Names of a dict of them, or None.
            until: Path and number of the call at which the run ends; None: the whole run.
        """
        import keras

        calls: list[EmbeddingCall] = []

        def handler(path: str) -> Any:
            count = itertools.count()

            def run(original: Any, *args: Any, **kwargs: Any) -> Any:
                output = original(*args, **kwargs)
                seen = [keras.ops.convert_to_numpy(one) for one in (args[0], output)]
                calls.append(EmbeddingCall(path, next(count), *seen))
                if calls[-1].where == until:
                    raise Reached
                return output

            return run

        layers = [(path, one) for path, one in walk(self.model) if is_embedding(one)]
        with (
            intercept([(layer, handler(path)) for path, layer in layers]),
            keras.StatelessScope(state_mapping=self.state),
        ):
            try:
                self.model(self._packed(list(inputs), names), training=False)
            except Exception:  # Keras may have wrapped it
                if not calls or calls[-1].where != until:
                    raise
        return calls

    def build(self, images: Any, extra_inputs: Any, packing: InputLayout) -> None:
        """Call a model that has no weights yet, so that it makes them.

        Raises:
            ModelError: It cannot be called on these.
        """
        try:
            self.forward(images, extra_inputs, packing)
        except KerasSaliencyError:
            raise
        except Exception as error:  # whatever its call() raises
            raise self.not_callable(error, images, extra_inputs) from error
        for cached in ("inputs", "channels_first", "fixed_rows"):
            self.__dict__.pop(cached, None)
        self.cache.forget()

    def not_callable(self, error: Exception, images: Any, extra_inputs: Any) -> ModelError:
        """Return the error for a model whose call() raised another one."""
        shapes = [tuple(one.shape) for one in (images, *extra_inputs)]
        return ModelError(
            f"Model {self.model.name!r} cannot be called on "
            + (
                f"a picture of shape {shapes[0]}."
                if not extra_inputs
                else f"inputs of shapes {shapes}."
            ),
            f"It raised {type(error).__name__}: {words(error)}.",
            "Check that model(x, training=False) runs. For several inputs pass a dict by name, or "
            "a tuple in the order in which its call() takes them.",
            "help(keras_saliency.explain)",
        )


def _has_inputs(model: Any) -> bool:
    import keras

    return isinstance(model, keras.Sequential) and bool(getattr(model, "inputs", None))


def _one(shape: Any) -> tuple[int | None, ...] | None:
    """Return a shape without its batch axis; None where it is unknown."""
    plain = isinstance(shape, tuple | list) and all(n is None or isinstance(n, int) for n in shape)
    return tuple(shape[1:]) if plain and shape else None
