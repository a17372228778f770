"""Layer-wise relevance propagation: what goes back is relevance, shared out by contributions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency.backward import kinds, linear, sharing
from keras_saliency.backward.base import Rule, Scores
from keras_saliency.backward.linear import Linear
from keras_saliency.backward.sharing import Sharing
from keras_saliency.intercept import is_ours_to_split
from keras_saliency.pieces import Piece, Run


@dataclass(frozen=True)
class Relevance(Rule):
    """Relevance instead of a gradient; it starts as each logit times the score's gradient by it.

    Activations pass it on, sums share it by contribution, maxima give it to the winner, a gate
    leaves it to what it gates. Batch normalisation behind a layer with a kernel is one layer with
    it; anywhere else it passes relevance on.

    Attributes:
        first: How layers share that nothing with a kernel stands before; as others where None.
        convolution: How convolutions share.
        dense: How other layers do.
    """

    first: Sharing | None
    convolution: Sharing
    dense: Sharing
    method = "lrp"

    def around(self, scores: Scores, images: Any, rows: Any, sides: Any, *given: Any) -> Any:
        """Run the model once; ``given`` are the least and largest value of a pixel, for z-box."""
        from keras import ops

        one_run = _OneRun(self, tuple(one + ops.zeros_like(images) for one in given))
        found, learnt = scores(one_run.run, images, rows, sides)
        hidden = ops.full((ops.shape(images)[0],), len(one_run.hidden))
        return found, {**learnt, "back": {"hidden": hidden}}

    def at_output(self, logits: Any) -> Any:
        import keras

        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(logits.dtype)):
            return logits  # an output that is no score
        return _backend.current().redirect(logits, [logits], lambda up: (logits * up,))


class _OneRun:
    """What is remembered while a model runs once: which tensors come from where.

    Tensors are told apart by identity, so all are kept until the end.
    """

    def __init__(self, rule: Relevance, bounds: tuple[Any, ...]) -> None:
        self.hidden: list[Piece] = []  # these take what a call() of somebody's own computed
        self._rule = rule
        self._pixels = bounds  # the least and the largest value of each of the model's pixels
        self._bounds: dict[int, tuple[Any, Any]] = {}  # what became of them before any kernel
        self._made_by: dict[int, tuple[Any, Linear, Any]] = {}  # output, step, its input
        self._behind_a_kernel: dict[int, Any] = {}
        self._known: dict[int, Any] = {}
        self._inside = 0  # calls of somebody's own

    def run(self, piece: Piece) -> Any:
        from keras import ops

        if kinds.is_container(piece.operation):
            return self._container(piece)
        if self._inside and not _casts(piece.operation):
            self.hidden += [piece for x in piece.inputs if id(x) not in self._known]
        if not piece.inputs:
            return piece.run()
        behind = piece.name in kinds.KERNELS or any(map(self._is_behind_a_kernel, piece.inputs))
        output = self._way(piece)(piece)
        self._note(output, behind)
        if self._pixels and not behind:
            sides = zip(*map(self._bounds_of, piece.inputs), strict=True)
            ends = [_tensors(piece.function(*side)) for side in sides]
            for one, low, high in zip(_tensors(output), *ends, strict=True):
                self._bounds[id(one)] = ops.minimum(low, high), ops.maximum(low, high)
        return output

    def _bounds_of(self, x: Any) -> tuple[Any, Any]:
        """The least and the largest that a tensor can be: pixels as given, or what became of them.

        Before the model sees pictures (B, H, W, C) they may have become (B, C, H, W) or (B, H, W).
        """
        from keras import ops

        if id(x) in self._bounds:
            return self._bounds[id(x)]
        for move in (
            lambda one: one,
            lambda one: ops.moveaxis(one, -1, 1),
            lambda one: one[..., 0],
        ):
            low, high = (ops.cast(move(one), x.dtype) for one in self._pixels)
            if tuple(low.shape) == tuple(x.shape):
                return low, high
        return x, x  # no picture

    def _container(self, piece: Piece) -> Any:
        own = not is_ours_to_split(piece.operation)
        self._inside += own
        for x in piece.inputs:
            self._note(x, self._is_behind_a_kernel(x))
        output = piece.run()
        if own:  # what it did after its last layer
            new = [one for one in _tensors(output) if id(one) not in self._known]
            self.hidden += [piece for _ in new]
            self._note(new, bool(self._made_by))
        self._inside -= own
        return output

    def _note(self, tensors: Any, behind: bool = False) -> None:
        found = {id(one): one for one in _tensors(tensors)}
        self._known.update(found)
        if behind:
            self._behind_a_kernel.update(found)

    def _is_behind_a_kernel(self, x: Any) -> bool:
        """Of what nobody saw being made (a cast, a hidden sum) only the order of things tells."""
        unseen = id(x) not in self._known
        return bool(self._made_by) if unseen else id(x) in self._behind_a_kernel

    def _way(self, piece: Piece) -> Run:
        name = piece.name
        if not is_ours_to_split(piece.operation):
            return self._rule.opaque
        if name in kinds.KERNELS:
            return self._kernel
        if name == "BatchNormalization" and id(piece.inputs[0]) in self._made_by:
            return self._folded
        if name in kinds.SUMS or getattr(piece.operation, "interpolation", "nearest") != "nearest":
            return self._sum
        if name in kinds.MOVES or name in kinds.MAXIMA:
            return Piece.run  # the true gradient moves relevance as it moves gradients
        if name in kinds.PRODUCTS:
            return self._product
        passed = kinds.ELEMENTWISE | kinds.SCALINGS | kinds.SOFTMAXES
        if name in passed or kinds.is_nothing(name) or " of " in name:
            return self._pass
        return self._rule.refused

    # ------------------------------------------------------------------ ways back

    def _redirect(self, piece: Piece, inputs: Any, back: Callable[[Any], Any]) -> Any:
        return _backend.current().redirect(piece.run(), inputs, back)

    def _pass(self, piece: Piece) -> Any:
        from keras import ops

        others = piece.inputs[1:]
        return self._redirect(piece, piece.inputs, lambda r: (r, *map(ops.zeros_like, others)))

    def _sum(self, piece: Piece) -> Any:
        from keras import ops

        inputs = [linear.precise(x) for x in piece.inputs]
        sums, pullback = _backend.current().vjp(piece.function, *inputs)

        def back(relevance):
            shared = sharing.divided(linear.precise(relevance), linear.precise(sums))
            pairs = zip(piece.inputs, inputs, pullback(ops.cast(shared, sums.dtype)), strict=True)
            return tuple(ops.cast(more * share, x.dtype) for x, more, share in pairs)

        output = ops.cast(sums, piece.inputs[0].dtype)
        return _backend.current().redirect(output, piece.inputs, back)

    def _product(self, piece: Piece) -> Any:
        """Gates are all but the largest tensors, constants, and what something is divided by."""
        from keras import ops

        if len(piece.inputs) == 1:
            return self._pass(piece)
        made = [bool(self._inside) or id(x) in self._known for x in piece.inputs]
        sizes = [_size(x) if one else -1 for x, one in zip(piece.inputs, made, strict=True)]
        takes = [size == max(sizes) for size in sizes]
        if piece.name != "Multiply":
            takes = [made[0] or not made[1], made[1] and not made[0]]
        _, pullback = _backend.current().vjp(_added, *piece.inputs)

        def back(relevance):
            spread = pullback(relevance / sum(takes))  # one share each, summed over repetitions
            pairs = zip(spread, takes, strict=True)
            return tuple(one if taken else ops.zeros_like(one) for one, taken in pairs)

        return self._redirect(piece, piece.inputs, back)

    def _kernel(self, piece: Piece) -> Any:
        (x,) = piece.inputs
        if getattr(piece.operation, "quantization_mode", None) is not None:
            return self._rule.refused(piece, "it is quantised")
        share = self._sharing(piece, x)
        self._note(x, self._is_behind_a_kernel(x))  # a cast that nobody saw, before it is behind
        *before, last = linear.stages(piece)
        for step in before:
            output = step.apply(linear.precise(x), step.kernel)
            x = _backend.current().redirect(output, [x], self._shared(share, step, x))
            share = self._rule.convolution
        output = self._redirect(piece, [x], self._shared(share, last, x))
        self._made_by[id(output)] = (output, last, x)
        return output

    def _folded(self, piece: Piece) -> Any:
        _, step, x = self._made_by[id(piece.inputs[0])]
        whole = step.folded(piece.operation, len(piece.inputs[0].shape))
        if whole is None:
            return self._pass(piece)
        share = self._sharing(piece, x)
        return self._redirect(piece, [x], self._shared(share, whole, x))

    def _sharing(self, piece: Piece, x: Any) -> Sharing:
        if self._rule.first is not None and not self._is_behind_a_kernel(x):
            return self._rule.first
        return self._rule.convolution if len(x.shape) > 2 else self._rule.dense

    def _shared(self, share: Sharing, step: Linear, x: Any) -> Callable[[Any], Any]:
        from keras import ops

        known = self._pixels and share is self._rule.first
        bounds = tuple(linear.precise(one) for one in self._bounds_of(x)) if known else ()
        back = share.back(step, linear.precise(x), bounds)
        return lambda relevance: (ops.cast(back(linear.precise(relevance)), x.dtype),)


def _casts(operation: Any) -> bool:
    return getattr(operation, "compute_dtype", None) != getattr(operation, "variable_dtype", None)


def _tensors(nest: Any) -> list[Any]:
    import keras

    return keras.tree.flatten(nest)


def _added(*tensors: Any) -> Any:
    return functools.reduce(operator.add, tensors)


def _size(tensor: Any) -> int:
    return sum(side != 1 for side in tensor.shape[1:])
