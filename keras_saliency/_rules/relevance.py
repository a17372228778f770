"""Layer-wise relevance propagation: relevance is shared among inputs by contribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_saliency import _backend
from keras_saliency._graph import CallTrace, linear_steps, operations
from keras_saliency._graph.linear_steps import Linear
from keras_saliency._graph.operations import Run, Step
from keras_saliency._rules import Rule, Scores, sharing
from keras_saliency._rules.one_run import Notes, OneRun, as_rows, casts, tensors
from keras_saliency._rules.sharing import LRPRule
from keras_saliency.errors import MethodError

_MIXED = "its first axis is not the pictures'; explain them one at a time, with batch_size=1"


@dataclass(frozen=True)
class Relevance(Rule):
    """Relevance instead of a gradient; it starts as each logit times the score's gradient by it.

    Activations pass it on, sums share it by contribution, maxima give it to the winner, a gate
    leaves it to what it gates. Batch normalisation behind a layer with a kernel is one layer with
    it; anywhere else it passes relevance on. In a normalisation by the picture's own numbers the
    divisor is held fixed (Achtibat et al. 2024), and what is left is linear.

    Attributes:
        first: How layers share with no kernel before them; as others where None.
        convolution: How convolutions share.
        dense: How Dense and EinsumDense do, whatever the rank of their input.
        norm: How normalisations do.
        own: Layers that share in a way of their own: path, id, way.
    """

    first: LRPRule | None
    convolution: LRPRule
    dense: LRPRule
    norm: LRPRule = sharing.Epsilon()  # noqa: RUF009  (it is frozen)
    own: tuple[tuple[str, int, LRPRule], ...] = ()
    method = "lrp"

    def probe_shapes(self, survey: Callable[[], CallTrace]) -> tuple[tuple[int, ...], ...]:
        """Collect the relevance that biases absorb, and all lost at layers with a kernel."""
        return ((2,),)

    def run(
        self, scores: Scores, images: Any, target_args: Any, extra_inputs: Any, *inputs: Any
    ) -> Any:
        """Run the model once; ``inputs`` are the least and largest value of a pixel, for z-box."""
        from keras import ops

        pictures, (probe,) = images
        one_run = _OneRun(self, tuple(one + ops.zeros_like(pictures) for one in inputs), probe)
        with one_run.running():
            result, aux = scores(one_run.run, pictures, target_args, extra_inputs)
        back = {
            "passed": as_rows(one_run.passed, pictures),
            "read": as_rows(one_run.read, pictures),
            "norms": ops.full((ops.shape(pictures)[0],), one_run.norms),
        }
        return result, {**aux, "back": back}

    def at_output(self, logits: Any) -> Any:
        import keras

        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(logits.dtype)):
            return logits  # an output that is no score
        return _backend.current().redirect(logits, [logits], lambda up: (logits * up,))


class _OneRun(OneRun):
    """The state of one run of a model: the origin of its tensors."""

    def __init__(self, rule: Relevance, bounds: tuple[Any, ...], probe: Any) -> None:
        super().__init__(rule)
        self.read: Notes = []  # activations and gates in the body of a call
        self.norms = 0
        self._ways = rule
        self._own = {number: way for _, number, way in rule.own}
        self._pixels = bounds  # the least and the largest value of each of the model's pixels
        self._probe = probe
        self._count = int(probe.shape[0])
        self._bounds: dict[int, tuple[Any, Any]] = {}  # of tensors before any kernel
        # By output: the step that made it, its input, how it shares.
        self._made_by: dict[int, tuple[Any, Linear, Any, LRPRule]] = {}
        self._behind_a_kernel: dict[int, Any] = {}

    def step(self, step: Step) -> Any:
        from keras import ops

        if not step.inputs:
            return step.run()
        behind = step.name in operations.KERNELS or any(map(self._is_behind_a_kernel, step.inputs))
        way = self._way(step)
        counts = way in (
            self._sum,
            self._kernel,
            self._folded,
            self._norm,
        )  # they note the loss of each picture
        if counts and self._count > 1 and any(map(self.has_moved, step.inputs)):
            output = self._rule.refused(step, _MIXED)
        else:
            output = way(step)
        if behind:
            self._behind_a_kernel.update((id(one), one) for one in tensors(output))
        if self._pixels and not behind:
            bounds = zip(*map(self._bounds_of, step.inputs), strict=True)
            ends = [tensors(step.function(*bound)) for bound in bounds]
            for one, low, high in zip(tensors(output), *ends, strict=True):
                self._bounds[id(one)] = ops.minimum(low, high), ops.maximum(low, high)
        return output

    def _bounds_of(self, x: Any) -> tuple[Any, Any]:
        """The least and the largest value of a tensor of pixels, before any kernel.

        Pictures (B, H, W, C) may be (B, C, H, W) or (B, H, W) at the model's input.
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

    def _is_behind_a_kernel(self, x: Any) -> bool:
        """Whether a kernel lies before a tensor; of an unknown one, whether one has run."""
        return id(x) in self._behind_a_kernel if self.knows(x) else bool(self._made_by)

    def note_unmade(self, nest: Any) -> None:
        behind = [one for one in tensors(nest) if self._is_behind_a_kernel(one)]
        self._behind_a_kernel.update((id(one), one) for one in behind)
        super().note_unmade(nest)

    def _way(self, step: Step) -> Run:
        name = step.name
        if step.keywords.get("training") is True and name in operations.TRAINED:
            return lambda step: self.without_rule(step, "it runs as in training")
        if name in operations.KERNELS:
            return self._kernel
        if name == "BatchNormalization" and id(step.inputs[0]) in self._made_by:
            return self._folded
        if operations.is_weighted_average(step):
            return lambda step: self.without_rule(step, "its weights change with the picture")
        if (
            name in operations.SUMS
            or getattr(step.operation, "interpolation", "nearest") != "nearest"
        ):
            return self._sum
        if name in operations.MOVES or name in operations.MAXIMA:
            return Step.run  # the true gradient moves relevance as it moves gradients
        if name in operations.PRODUCTS:
            return self._product
        if name in linear_steps.NORMS:
            return self._norm
        if operations.is_nothing(name) or name in operations.SCALINGS:
            return self._pass
        if name in operations.ELEMENTWISE | operations.SOFTMAXES or " of " in name:
            self._note_read(step)
            return self._pass
        if name in operations.BILINEAR and self.inside and self.is_inner_operation(step):
            return self._matrices
        return self.without_rule

    def _note_read(self, step: Step) -> None:
        """Note a step that counts as an activation or a gate in the body of a call."""
        import keras

        if self.inside and not isinstance(step.operation, keras.Layer):
            self.read.append((self._owner, step.name))

    # ------------------------------------------------------------------ ways back

    def _redirect(self, step: Step, inputs: Any, back: Callable[[Any], Any]) -> Any:
        return _backend.current().redirect(step.run(), inputs, back)

    def _pass(self, step: Step) -> Any:
        from keras import ops

        others = step.inputs[1:]
        return self._redirect(step, step.inputs, lambda r: (r, *map(ops.zeros_like, others)))

    def _sum(self, step: Step) -> Any:
        from keras import ops

        inputs = [linear_steps.precise(x) for x in step.inputs]
        sums, pullback = _backend.current().vjp(step.function, *inputs)

        def back(relevance):
            relevance = linear_steps.precise(relevance)
            shared = sharing.divided(relevance, linear_steps.precise(sums))
            pairs = zip(inputs, pullback(ops.cast(shared, sums.dtype)), strict=True)
            result = [more * share for more, share in pairs]
            # A constant in a sum absorbs its share, as a bias does.
            reached = [one for one, made in zip(result, counts, strict=True) if made]
            absorbed = self._total(relevance) - sum(map(self._total, reached))
            cast = (ops.cast(one, x.dtype) for one, x in zip(result, step.inputs, strict=True))
            return (*cast, self._lost(absorbed, absorbed))

        counts = self._made(step)
        output = ops.cast(sums, step.inputs[0].dtype)
        return _backend.current().redirect(output, [*step.inputs, self._probe], back)

    def _made(self, step: Step) -> list[bool]:
        """Which inputs are no constants of the model."""
        made = [self._blind or self.knows(x) for x in step.inputs]
        return [True] * len(made) if casts(step.operation) or not any(made) else made

    def _product(self, step: Step) -> Any:
        """A product; gates are all but the largest tensors, constants, and divisors."""

        if len(step.inputs) == 1:
            return self._pass(step)
        made = self._made(step)
        if sum(made) > 1:
            self._note_read(step)
        sizes = [_size(x) if one else -1 for x, one in zip(step.inputs, made, strict=True)]
        takes = [size == max(sizes) for size in sizes]
        if step.name != "Multiply":
            takes = [made[0] or not made[1], made[1] and not made[0]]
        _, pullback = _backend.current().vjp(lambda *ones: sum(ones), *step.inputs)

        def back(relevance):
            spread = pullback(relevance / sum(takes))  # one share each, summed over repetitions
            return tuple(one for one, taken in zip(spread, takes, strict=True) if taken)

        # No relevance goes back to a gate: the steps that make it need no rule.
        takers = [x for x, taken in zip(step.inputs, takes, strict=True) if taken]
        return self._redirect(step, takers, back)

    def _matrices(self, step: Step) -> Any:
        """A product of matrices in the body of a call: each takes half, by contribution.

        As in AttnLRP (Achtibat et al. 2024); a constant absorbs its half, as a bias does.
        """
        from keras import ops

        self._note_read(step)
        inputs = [linear_steps.precise(x) for x in step.inputs]
        sums, pullback = _backend.current().vjp(step.function, *inputs)

        def back(relevance):
            shared = sharing.divided(linear_steps.precise(relevance), linear_steps.precise(sums))
            shares = pullback(ops.cast(shared / len(inputs), sums.dtype))
            pairs = zip(step.inputs, inputs, shares, strict=True)
            return tuple(ops.cast(more * share, x.dtype) for x, more, share in pairs)

        return self._redirect(step, step.inputs, back)

    def _norm(self, step: Step) -> Any:
        parts = linear_steps.norm(step)
        if parts is None or sum(map(self.knows, step.inputs)) > 1:
            return self.without_rule(step, "only of its usual form a rule is known")
        self.norms += 1
        x = step.inputs[0]
        linear_step = parts.held(linear_steps.precise(x))
        back = self._shared(self._ways.norm, linear_step, x)
        return self._redirect(step, [x, self._probe], back)

    def _kernel(self, step: Step) -> Any:
        (x,) = step.inputs
        if getattr(step.operation, "quantization_mode", None) is not None:
            return self.without_rule(step, "it is quantised")
        share, rest = self._sharing(step, x)
        self.note_unmade(x)  # a cast that no step made, before it counts as behind
        *before, last = linear_steps.linear_steps(step)
        for linear_step in before:
            output = linear_step.apply(linear_steps.precise(x), linear_step.kernel)
            back = self._shared(share, linear_step, x)
            x = _backend.current().redirect(output, [x, self._probe], back)
            share = rest
        output = self._redirect(step, [x, self._probe], self._shared(share, last, x))
        self._made_by[id(output)] = (output, last, x, share)
        return output

    def _folded(self, step: Step) -> Any:
        _, linear_step, x, share = self._made_by[id(step.inputs[0])]
        whole = linear_step.folded(step.operation, len(step.inputs[0].shape))
        if whole is None:
            return self._pass(step)
        return self._redirect(step, [x, self._probe], self._shared(share, whole, x))

    def _sharing(self, step: Step, x: Any) -> tuple[LRPRule, LRPRule]:
        """How a layer shares: its first step, and the others."""
        dense = step.name in operations.DENSE
        usual = self._ways.dense if dense else self._ways.convolution
        first = not self._is_behind_a_kernel(x)
        own = self._own.get(id(step.operation))
        if isinstance(own, sharing.ZBox) and not first:
            raise MethodError(
                "Expected rule 'z_box' at a layer that takes the picture: it uses the least and "
                "the largest value of pixels.",
                f"Got layer {step.operation.name!r}, which does not.",
                "Give the layer another rule, such as 'z_plus'.",
                "help(keras_saliency.methods.LRP)",
            )
        if own is not None:
            return own, usual if isinstance(own, sharing.OfTheFirst) else own
        return (self._ways.first if first and self._ways.first is not None else usual), usual

    def _shared(self, share: LRPRule, step: Linear, x: Any) -> Callable[[Any], Any]:
        from keras import ops

        known = self._pixels and isinstance(share, sharing.ZBox)
        bounds = tuple(linear_steps.precise(one) for one in self._bounds_of(x)) if known else ()
        way = share.back(step, linear_steps.precise(x), bounds)

        def back(relevance):
            relevance = linear_steps.precise(relevance)
            given, absorbed = way(relevance)
            lost = self._total(relevance) - self._total(given)
            return ops.cast(given, x.dtype), self._lost(self._total(absorbed), lost)

        return back

    def _total(self, relevance: Any) -> Any:
        """Return the relevance of each picture, (B,); a picture may have become several rows."""
        from keras import ops

        if relevance.shape[0] % self._count:
            raise MethodError(
                f"Expected rows of a layer to be those of the {self._count} pictures, for LRP of "
                "several at once.",
                f"Got {relevance.shape[0]} rows, which are not the pictures'.",
                "Explain them one at a time, with batch_size=1.",
                "help(keras_saliency.methods.LRP)",
            )
        return ops.sum(ops.reshape(relevance, (self._count, -1)), axis=1)

    def _lost(self, by_biases: Any, altogether: Any) -> Any:
        from keras import ops

        return ops.cast(ops.stack([by_biases, altogether], axis=-1), self._probe.dtype)


def _size(tensor: Any) -> int:
    return sum(size != 1 for size in tensor.shape[1:])
