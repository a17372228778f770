"""The layers that a class activation map can be of, and which of them is the default."""

from __future__ import annotations

from dataclasses import dataclass

from keras_saliency._engine.engine import Engine
from keras_saliency._graph import Call
from keras_saliency.errors import LayerError


@dataclass(frozen=True)
class CamLayer:
    """One call of a layer that outputs a map of the explained input, on which the score depends.

    Attributes:
        name: What ``layer=`` takes: the layer's path, with ``"@k"`` where it is called often.
        layer_class: The layer's class, such as ``"Conv2D"``.
        shape: Of its output, without the batch axis.
        grid: Of a picture's tokens, the rows and columns of these; None of any other map.
        is_default: Whether a CAM without ``layer=`` is of this one.
        finding: What looks wrong about it as the default, or ``""``.
    """

    name: str
    layer_class: str
    shape: tuple[int | None, ...]
    grid: tuple[int, ...] | None = None
    is_default: bool = False
    finding: str = ""


def cam_layers(engine: Engine) -> list[CamLayer]:
    """Return the layers that can be a CAM's, in the order in which the model calls them.

    Raises:
        TargetError: The target does not fit the model's output.
    """
    calls = engine._survey().maps(engine._measured)
    try:
        site = engine._site(None)
    except LayerError:  # there is none
        return [_layer(call) for call in calls]
    chosen = site.call.number
    return [
        _layer(call, True, site.finding) if call.number == chosen else _layer(call)
        for call in calls
    ]


def _layer(call: Call, is_default: bool = False, finding: str = "") -> CamLayer:
    grid = None if call.grid is None else tuple(call.grid.size)
    name = type(call.layer).__name__
    return CamLayer(call.name, name, call.shape[1:], grid, is_default, finding)
