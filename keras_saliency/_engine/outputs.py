"""What an engine returns: layers' outputs and gradients, and what a rule let back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_saliency import _graph

Variant = tuple[int, np.ndarray]  # index of the source picture, and the changed one (H, W, C)


@dataclass(frozen=True)
class LayerOutput:
    """A layer's output, (B, h, w, K) channels last, without tokens that are no picture."""

    call: _graph.Call
    whole: np.ndarray  # the layer's own output
    finding: str  # what looks wrong about the choice of the layer, or ""

    @property
    def layer(self) -> str:
        """The layer's path, with ``"@k"`` for the k-th call where it is called more than once."""
        return self.call.name

    @property
    def activations(self) -> np.ndarray:
        """The output as maps."""
        return self.call.to_map(self.whole)


@dataclass(frozen=True)
class LayerGradient(LayerOutput):
    """A layer's output and the gradient of the score by it, of the same shape."""

    gradients: np.ndarray


@dataclass(frozen=True)
class Backward:
    """A rule's result: values at the pictures (B, H, W, C), in its probes, and its notes."""

    values: np.ndarray
    collected: tuple[np.ndarray, ...]
    seen: dict[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """What an engine's pictures are made from: the pictures of a call, and the target's choice."""

    reference_images: np.ndarray
    indices: list[int]
    target_args: dict[str, np.ndarray]
