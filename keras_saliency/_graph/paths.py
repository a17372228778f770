"""A model's layers by their paths."""

from __future__ import annotations

from typing import Any

from keras_saliency._graph.configuration import KerasModel, walk
from keras_saliency.errors import LayerError, did_you_mean


def layer_tree(model: KerasModel) -> str:
    """Return the paths of all layers, one a line, with their class names.

    Example:
        >>> print(layer_tree(model))
        image                      InputLayer
        backbone                   Functional
        backbone/pixels            InputLayer
        backbone/conv5_block3_out  Conv2D
        pool                       GlobalAveragePooling2D
        classes                    Dense
    """
    rows = [(path, type(layer).__name__) for path, layer in walk(model)]
    width = max((len(path) for path, _ in rows), default=0)
    return "\n".join(f"{path:<{width}}  {kind}" for path, kind in rows)


def find(model: Any, name: str) -> tuple[str, Any]:
    """Return the ``(path, layer)`` of ``name``: a whole path, or an ending of just one path.

    Raises:
        LayerError: No path ends so, or several do.
    """
    known = dict(walk(model))
    if name in known:
        return name, known[name]
    ends = [path for path in known if path.endswith("/" + name)]
    if len(ends) == 1:
        return ends[0], known[ends[0]]
    if ends:
        raise LayerError(
            f"The layer name {name!r} is ambiguous in model {model.name!r}.",
            f"It matches {', '.join(map(repr, ends))}.",
            "Give the whole path.",
            "keras_saliency.layer_tree(model)",
        )
    raise LayerError(
        f"No layer is called {name!r} in model {model.name!r}.",
        f"It has {len(known)} layers.",
        did_you_mean(name, [*known, *(path.rsplit("/", 1)[-1] for path in known)])
        or "Give the path of one of them.",
        "keras_saliency.layer_tree(model)",
    )


tree = layer_tree  # until version 0.2: keras_saliency.layers.tree
