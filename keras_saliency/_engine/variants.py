"""Scores and gradients of many variants of the pictures, a micro-batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from keras_saliency import _graph
from keras_saliency._engine import programs
from keras_saliency._engine.layer_programs import LayerOutput, Variant
from keras_saliency._engine.micro_batches import Size
from keras_saliency._inputs.batch import Batch
from keras_saliency._io import progress
from keras_saliency._rules import Rule


class Variants(ABC):
    """The part of an `Engine` that runs variants of its pictures, in the pictures' own classes."""

    _batch: Batch
    _target_args: dict[str, np.ndarray]

    @abstractmethod
    def _choose(self) -> None: ...

    @abstractmethod
    def _size(self, kind: programs.Kind) -> Size: ...

    @abstractmethod
    def _run(
        self,
        kind: programs.Kind,
        args: tuple[Any, ...] | None = None,
        call: _graph.Call | None = None,
        rule: Rule | None = None,
        rows: list[int] | None = None,
    ) -> tuple[Any, ...]: ...

    def gradients(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield score and gradient (H, W, C) of each variant, in order, a micro-batch at a time."""
        for rows, images in self.chunks(variants, total):
            scores, _, gradients = self._run_variants(rows, images, "gradient")
            yield from zip(scores, gradients, strict=True)

    def variant_scores(
        self, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score of each variant, in order, without gradients."""
        for rows, images in self.chunks(variants, total, "scores"):
            yield from self._run_variants(rows, images, "scores")[0]

    def chunks(
        self,
        variants: Iterable[Variant],
        total: int | None = None,
        kind: programs.Kind = "gradient",
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield variants in micro-batches: indices of their sources, and (b, H, W, C)."""
        stream = iter(progress.track(variants, total, "explaining"))
        while chunk := list(islice(stream, self._size(kind).rows)):
            rows, images = zip(*chunk, strict=True)
            yield list(rows), np.stack(images)

    def scores_of_activations(
        self, original: LayerOutput, variants: Iterable[Variant], total: int | None = None
    ) -> Iterator[float]:
        """Yield the score with a layer's output replaced by each variant (h, w, K), in order.

        Args:
            original: The result of `activations` or `layer_gradient`.
            variants: Index of each one's picture, and the output.
            total: How many, for a progress bar.
        """
        self._choose()
        for rows, maps in self.chunks(variants, total, "scores of activations"):
            whole = original.call.from_map(maps, original.whole[rows])
            args = (whole, self._batch.images[rows], *self._args_of(rows))
            yield from self._run("scores of activations", args, original.call, rows=rows)[0]

    def _args_of(self, rows: list[int]) -> tuple[Any, Any]:
        """The target's arguments and the extra inputs of variants of these pictures."""
        target_args = {name: values[rows] for name, values in self._target_args.items()}
        return target_args, tuple(one[rows] for one in self._batch.extra_inputs)

    def _run_variants(
        self, rows: list[int], images: np.ndarray, kind: programs.Kind
    ) -> tuple[Any, ...]:
        self._choose()
        return self._run(kind, (images, *self._args_of(rows)), rows=rows)
