"""A model's outputs: by path in the structure that it returns, and the loss of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from keras_saliency._graph.configuration import walk
from keras_saliency.errors import TargetError, did_you_mean


class ModelOutputs:
    """The outputs of a model, ``model``."""

    model: Any

    def symbolic(self, end: Literal["input", "output"]) -> Any:
        """Return the model's symbolic inputs or outputs; None for a model that is no graph."""
        # Sequential raises until it is built, a subclassed model has no such attribute at all.
        try:
            return getattr(self.model, end)
        except (AttributeError, ValueError):
            return None

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
            return outputs_of(inner).loss(None, rest) if isinstance(inner, keras.Model) else None
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


def outputs_of(model: Any) -> ModelOutputs:
    """Return the outputs of a model."""
    outputs = ModelOutputs()
    outputs.model = model
    return outputs


def is_tensor(value: Any) -> bool:
    """Whether a value has a shape and a dtype."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def outputs_by_path(outputs: Any) -> list[tuple[str, Any]]:
    """Return the tensors of a structure with their paths, in Keras' flat order.

    Example:
        >>> from keras_saliency._graph.outputs import outputs_by_path
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
        if is_tensor(outputs):
            yield (), (), outputs
        return
    for key, name in zip(keys, names, strict=True):
        for path, named, leaf in _walk(outputs[key]):
            yield (str(key), *path), (str(name), *named), leaf
