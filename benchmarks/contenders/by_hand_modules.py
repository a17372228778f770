"""The floor on PyTorch without Keras: the same loops on a network of torch.nn modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.contenders import Entry
from benchmarks.contenders.by_hand import looped
from benchmarks.handwritten.with_torch import programs
from benchmarks.subject import Subject


class ChannelsLast:
    """A network of modules that is called as a Keras model is, with pictures (B, H, W, C)."""

    def __init__(self, twin: Any) -> None:
        """Keep the network."""
        self._twin = twin

    def __call__(self, pictures: torch.Tensor, training: bool = False) -> torch.Tensor:
        return self._twin(pictures.permute(0, 3, 1, 2))

    def parameters(self) -> Iterator[torch.Tensor]:
        """Yield the weights, which say on what device they are."""
        return self._twin.parameters()

    def requires_grad_(self, wanted: bool) -> None:
        """Freeze the weights, or not."""
        self._twin.requires_grad_(wanted)


def entry(method: str, subject: Subject) -> Entry:
    """Return the hand-written program of a method."""
    return looped(method, subject, programs(ChannelsLast(subject.loaded.native), None))
