"""One interface to any Keras model: channels-last pictures in, named outputs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from keras_saliency._graph import walk
from keras_saliency._graph.model_cache import ModelCache
from keras_saliency._hooks import intercept
from keras_saliency.errors import KerasSaliencyError, ModelError, TargetError, did_you_mean, words


@dataclass(frozen=True)
class Input:
    """One input of a model: name, shape without the batch axis (None: unknown), dtype."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class InputLayout:
    """The order of images and other inputs in a call of one model.

    Attributes:
        explained: Number of the input that takes the images.
        names: Names of a dict of inputs, or None for inputs in order. Only a subclassed model
            needs it; a graph knows its own.
        axes: Number of spatial axes of the images, (B, *space, C).
        has_channels: Whether the model's input has the axis of channels.
        embedding: Path of the Embedding layer whose output the images replace; the input itself
            is then among the extra inputs.
    """

    explained: int = 0
    names: tuple[str, ...] | None = None
    axes: int = 2
    has_channels: bool = True
    embedding: str | None = None


@dataclass(frozen=True)
class Signature:
    """What a model takes: all that is read of it to prepare its pictures.

    Attributes:
        inputs: The inputs of a graph; one for a subclassed model.
        is_graph: Whether the model declares its inputs.
        channels_first: Whether its input is (B, C, H, W).
        fixed_rows: Number of rows that every batch must have; None for any.
    """

    inputs: tuple[Input, ...]
    is_graph: bool
    channels_first: bool
    fixed_rows: int | None


@dataclass(eq=False)
class Adapter:
    """A Keras 3 model behind one interface.

    Args:
        model: Functional, Sequential or subclassed; built or not.
    """

    model: Any

    @cached_property
    def cache(self) -> ModelCache:
        """What is found once about the model.

        Raises:
            ModelError: It is not a Keras 3 model.
        """
        return ModelCache(self.model)

    @property
    def signature(self) -> Signature:
        """What the model takes, as it is now."""
        is_graph = self.symbolic("input") is not None
        return Signature(self.inputs, is_graph, self.channels_first, self.fixed_rows)

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
        if axes == 2:
            return self.channels_first
        layouts = (getattr(layer, "data_format", None) for _, layer in walk(self.model))
        return next((form for form in layouts if form), None) == "channels_first"

    @cached_property
    def channels_first(self) -> bool:
        """Whether the model's input is (B, C, H, W)."""
        import keras

        layouts = (getattr(layer, "data_format", None) for _, layer in walk(self.model))
        default = keras.config.image_data_format()
        return next((form for form in layouts if form), default) == "channels_first"

    def symbolic(self, end: Literal["input", "output"]) -> Any:
        """Return the model's symbolic inputs or outputs; None for a model that is no graph."""
        # Sequential raises until it is built, a subclassed model has no such attribute at all.
        try:
            return getattr(self.model, end)
        except (AttributeError, ValueError):
            return None

    def forward(self, images: Any, extra_inputs: Any, packing: InputLayout) -> Any:
        """Call the model in inference mode and return its outputs.

        Args:
            images: (B, H, W, C), channels last.
            extra_inputs: Arrays for the other inputs, in their order.
            packing: Which input takes which array.
        """
        return self.call(self.arranged(images, packing), extra_inputs, packing)

    def arranged(self, images: Any, packing: InputLayout) -> Any:
        """Return (B, *space, C) in the layout of the model's input."""
        import keras

        if not packing.has_channels:
            return keras.ops.squeeze(images, axis=-1)
        first = self.is_channels_first(packing.axes) and packing.embedding is None
        return keras.ops.moveaxis(images, -1, 1) if first else images

    def call(self, picture: Any, extra_inputs: Any, packing: InputLayout) -> Any:
        """Call the model on a picture that `arranged` returned."""
        import keras

        flat = list(extra_inputs)
        if packing.embedding is None:
            flat.insert(packing.explained, picture)
        with self._embedded(picture, packing):
            outputs = self.model(self._packed(flat, packing), training=False)
        if not any(map(_is_tensor, keras.tree.flatten(outputs))):
            raise ModelError(
                f"Expected model {self.model.name!r} to return a tensor, or a structure of them.",
                f"Got {repr(outputs)[:80]}.",
                "Return its outputs from call().",
                "help(keras_saliency.explain)",
            )
        return outputs

    def _packed(self, flat: list[Any], packing: InputLayout) -> Any:
        """Return inputs in the structure that the model takes."""
        import keras

        struct = self.symbolic("input")
        if packing.names:
            return dict(zip(packing.names, flat, strict=True))
        if struct is None:
            return flat if len(flat) > 1 else flat[0]
        return keras.tree.pack_sequence_as(struct, flat)

    @contextlib.contextmanager
    def _embedded(self, vectors: Any, packing: InputLayout) -> Iterator[None]:
        """Have the first call of an Embedding layer return these vectors."""
        import keras

        if packing.embedding is None:
            yield
            return
        layer, calls = dict(walk(self.model))[packing.embedding], 0

        def handler(original: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > 1:
                return original(*args, **kwargs)
            return keras.ops.cast(vectors, layer.compute_dtype)

        with intercept([(layer, handler)]):
            yield

    def embedded(self, inputs: Any, packing: InputLayout) -> Any:
        """Return what the Embedding layer makes of the words among the inputs, (B, T, D)."""
        import keras

        layer, seen = dict(walk(self.model))[packing.embedding or ""], []

        def handler(original: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(original(*args, **kwargs))
            raise _Embedded

        with contextlib.suppress(_Embedded), intercept([(layer, handler)]), keras.StatelessScope():
            try:
                self.model(self._packed(list(inputs), packing), training=False)
            except Exception:  # Keras may have wrapped it
                if not seen:
                    raise
        return keras.ops.convert_to_numpy(keras.ops.cast(seen[0], "float32"))

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

    def select_output(self, outputs: Any, name: str | int | None) -> list[Any]:
        """Return the output at a path of the structure, as a list of one; all for ``"*"``.

        Args:
            outputs: What the model returned: a tensor, or dicts, lists and tuples of them in any
                nesting.
            name: Path of an output, such as ``"head"`` or ``"aux/0"``; the name of the layer that
                makes it, where a graph has one of this name; its number in the flat order; None for
                the only one. Fields of namedtuples have names and numbers.

        Raises:
            TargetError: No such output, or several and no name.
        """
        walked = [("/".join(path), "/".join(named), leaf) for path, named, leaf in _walk(outputs)]
        leaves = [(path, leaf) for path, _, leaf in walked]
        paths = [path for path, _ in leaves]
        if name == "*" or (name is None and len(leaves) == 1):
            return [leaf for _, leaf in leaves]
        if isinstance(name, int) and -len(leaves) <= name < len(leaves):
            return [leaves[name][1]]
        by_layer = self._layer_names(paths)
        aliases = by_layer | {named: path for path, named, _ in walked if named != path}
        path = str(name) if str(name) in paths else aliases.get(str(name))
        if name is not None and path is not None and paths.count(path) == 1:
            return [leaves[paths.index(path)][1]]
        by_path = {path: layer for layer, path in by_layer.items()}
        listed = ", ".join(
            repr(path) + (f" (layer {by_path[path]!r})" if path in by_path else "")
            for path in paths
        )
        below = [path for path in paths if path.startswith(f"{name}/")]
        first = (below or [by_path.get(one, one) for one in paths] or ["..."])[0]
        raise TargetError(
            f"Expected a target that names one output of model {self.model.name!r}."
            if name is None
            else f"No single output is called {name!r} in model {self.model.name!r}.",
            f"It has {len(leaves)} outputs: {listed}.",
            ("" if name is None or below else did_you_mean(str(name), [*paths, *aliases]))
            or f"Name one in the target, as in targets.TopClass(output={first!r}).",
            "help(keras_saliency.targets)",
        )

    def loss(self, name: str | int | None, path: str = "") -> Any:
        """Return the loss that an output was compiled with; None where it is unknown.

        Args:
            name: The output, as `select_output` takes it.
            path: Of the layer that makes it. It may lie in a nested model with a loss of its own.
        """
        import keras

        given = getattr(self.model, "loss", None)
        if given is None:
            first, _, rest = path.partition("/")
            inner = next((one for way, one in walk(self.model) if way == first), None)
            return Adapter(inner).loss(None, rest) if isinstance(inner, keras.Model) else None
        losses = {"/".join(map(str, way)): one for way, one in keras.tree.flatten_with_path(given)}
        if "" in losses:  # one for all
            return given
        layer = path.rpartition("/")[2]
        keys, index = [str(name), layer], name if isinstance(name, int) else 0
        outputs = self.symbolic("output")
        if outputs is not None:
            leaves = outputs_by_path(outputs)
            names = list(getattr(self.model, "output_names", ()))
            if name is None and layer in names:
                name = names.index(layer)
            (chosen,) = self.select_output(outputs, name)
            index = next(i for i, (_, leaf) in enumerate(leaves) if leaf is chosen)
            keys = [leaves[index][0], *names[index : index + 1]]
        if result := [losses[key] for key in keys if key in losses]:
            return result[0]
        named = any(isinstance(one, dict) for one in (given, outputs))
        return None if named or not index < len(losses) else list(losses.values())[index]

    def _layer_names(self, paths: list[str]) -> dict[str, str]:
        """Return the path of each output by the name of the layer that makes it, where clear."""
        names = list(getattr(self.model, "output_names", None) or [])
        if self.symbolic("output") is None or len(names) != len(paths):
            return {}
        # Keras lists these names in the flat order, which is that of the paths.
        return {
            name: path
            for name, path in zip(names, paths, strict=True)
            if names.count(name) == 1 and name not in paths
        }


class _Embedded(Exception):
    """Words have reached the Embedding layer."""


def _one(shape: Any) -> tuple[int | None, ...] | None:
    """Return a shape without its batch axis; None where it is unknown."""
    plain = isinstance(shape, tuple | list) and all(n is None or isinstance(n, int) for n in shape)
    return tuple(shape[1:]) if plain and shape else None


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def outputs_by_path(outputs: Any) -> list[tuple[str, Any]]:
    """Return the tensors of a structure with their paths, in Keras' flat order.

    Example:
        >>> from keras_saliency._graph.adapter import outputs_by_path
        >>> one = np.ones((1, 2))
        >>> [path for path, _ in outputs_by_path({"aux": [one, one], "head": one})]
        ['aux/0', 'aux/1', 'head']
    """
    return [("/".join(path), leaf) for path, _, leaf in _walk(outputs)]


def _walk(outputs: Any) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Any]]:
    """Yield paths of tensors, the same by the fields' names of namedtuples, and the tensors.

    ``keras.tree.flatten_with_path`` numbers these fields by their names on PyTorch.
    """
    if isinstance(outputs, Mapping):
        names = keys = sorted(outputs)
    elif isinstance(outputs, list | tuple):
        keys = list(range(len(outputs)))
        names = getattr(outputs, "_fields", keys)
    else:
        if _is_tensor(outputs):
            yield (), (), outputs
        return
    for key, name in zip(keys, names, strict=True):
        for path, named, leaf in _walk(outputs[key]):
            yield (str(key), *path), (str(name), *named), leaf
