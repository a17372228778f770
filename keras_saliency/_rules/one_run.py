"""One run of a model under a rule: its known tensors, and the steps without a rule.

Calls of layers that are not Keras' own are seen operation by operation (`_seen`). Where one
computes outside Keras' operations, it runs unchanged: tensors of unknown origin there are hidden
computations.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_saliency._graph import operations
from keras_saliency._graph.operations import Step, is_float
from keras_saliency._rules import NotSeen, Rule, sent_to, through

_MOST = 4  # layers that a finding names
_UNSEEN = "what is no operation of Keras"
Notes = list[tuple[str, str]]  # the layer whose call computed, and the operation


class OneRun(ABC):
    """The state of one run of a model.

    Tensors are identified by id, so all are held until the end.

    Attributes:
        passed: Steps that relevance, or multipliers, pass as gradients do: they have no rule.
    """

    def __init__(self, rule: Rule) -> None:
        """Start empty."""
        self.passed: Notes = []
        self._rule = rule
        self._known: dict[int, Any] = {}
        self._rows_at: dict[int, tuple[int | None, Any]] = {}  # not 0; None: unknown
        self._choices: dict[int, Any] = {}  # truth values and whole numbers made of known ones
        self._calls: list[Any] = []  # the layers in whose calls this is, that are not Keras' own
        self._blind = False  # whether the innermost of them runs out of sight

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the model inside this block."""
        with sent_to(self.run):
            try:
                yield
            finally:  # a way back that held the run's tensors would hold itself on PyTorch
                for one in vars(self).values():
                    if isinstance(one, dict):
                        one.clear()

    def run(self, step: Step) -> Any:
        """Run a step and return its output."""
        if operations.opens(step.operation):
            return self._opened(step)
        if operations.is_container(step.operation):
            self.note_unmade(step.inputs)
            output = step.run()
        else:
            if self._blind and not casts(step.operation):
                self.passed += [(self._owner, _UNSEEN) for x in step.inputs if not self.knows(x)]
            output = self.step(step)
        if step.inputs:
            self._note_rows(step, output)
            self.note(output)
        elif self.choices(step):
            self._choices.update((id(one), one) for one in tensors(output))
        return output

    @abstractmethod
    def step(self, step: Step) -> Any:
        """Run a step that contains no other step."""

    # ------------------------------------------------------------------ the axis of pictures

    def has_moved(self, tensor: Any) -> bool:
        """Whether the first axis of a tensor is not that of the pictures."""
        return id(tensor) in self._rows_at

    def _note_rows(self, step: Step, output: Any) -> None:
        """Note the new position of the pictures' axis."""
        if not (operations.touches_rows(step) or any(map(self.has_moved, step.inputs))):
            return
        if step.name == "Reshape":  # its sizes are often numbers
            (x,) = step.inputs
            axes = [_reshaped(self._rows_of(x), x.shape, output.shape)]
        else:
            axes = self._followed(step, len(tensors(output)))
        for one, axis in zip(tensors(output), axes, strict=True):
            if axis != 0:
                self._rows_at[id(one)] = axis, one

    def _rows_of(self, x: Any) -> int | None:
        return self._rows_at.get(id(x), (0, x))[0]

    def _followed(self, step: Step, count: int) -> list[int | None]:
        """Return the pictures' axis of each output, inferred from its unknown size."""
        import keras

        def symbol(x: Any) -> Any:
            if not keras.ops.is_tensor(x):
                return x
            at, shape = self._rows_of(x), list(x.shape)
            if at is not None and self.knows(x):
                shape[at] = None
            return keras.KerasTensor(shape, keras.backend.standardize_dtype(x.dtype))

        given = keras.tree.map_structure(symbol, (step.arguments, dict(step.keywords)))
        try:
            spec = step.operation.compute_output_spec(*given[0], **given[1])
            shapes = [tuple(one.shape) for one in tensors(spec)]
        except Exception:  # whatever an operation raises for a size that is not known
            return [None] * count
        return [one.index(None) if one.count(None) == 1 else None for one in shapes]

    # ------------------------------------------------------------------ known tensors

    def note(self, nest: Any) -> None:
        """Remember tensors."""
        self._known.update((id(one), one) for one in tensors(nest))

    def note_unmade(self, nest: Any) -> None:
        """Remember tensors that no step returned: a model's inputs, casts, hidden computations."""
        self.note(nest)

    def knows(self, tensor: Any) -> bool:
        """Whether a step took or returned a tensor: else it is a constant, or unseen."""
        return id(tensor) in self._known

    def choices(self, step: Step) -> bool:
        """Whether a step takes truth values or whole numbers that follow from known tensors."""
        import keras

        return any(
            (self.knows(one) or id(one) in self._choices) and not is_float(one)
            for one in keras.tree.flatten((step.arguments, dict(step.keywords)))
        )

    @property
    def inside(self) -> bool:
        """Whether the run is in a call that is not Keras' own, and seen."""
        return bool(self._calls) and not self._blind

    @property
    def _owner(self) -> str:
        return self._calls[-1].name if self._calls else ""

    # ------------------------------------------------------------------ calls of user layers

    def _opened(self, step: Step) -> Any:
        self.note_unmade(step.inputs)
        outer, count = self._blind, len(self.passed)
        self._calls.append(step.operation)
        self._blind = False
        try:
            output = self._seen(step, count)
        finally:
            self._calls.pop()
            self._blind = outer
        self.note(output)
        return output

    def _seen(self, step: Step, count: int) -> Any:
        try:
            return through(step)
        except NotSeen:
            del self.passed[count:]
        if not operations.has_layers(step.operation):
            return self._rule.refused(step, f"its call() computes {_UNSEEN}")
        self._blind = True
        output = step.run()
        self.passed += [(self._owner, _UNSEEN) for x in tensors(output) if not self.knows(x)]
        self.note_unmade(output)
        return output

    def is_inner_operation(self, step: Step) -> bool:
        """Whether a step is an operation in the call of a layer that holds others."""
        import keras

        bare = not isinstance(step.operation, keras.Layer)
        return bare and self.inside and operations.has_layers(self._calls[-1])

    def without_rule(self, step: Step, why: str = "no rule for it is known") -> Any:
        """Run a step without a rule.

        An operation in the call of a layer that holds others passes the gradient, which is noted;
        all other steps are refused.
        """
        if self.is_inner_operation(step):
            output = step.run()
            if any(map(is_float, tensors(output))):
                self.passed.append((self._owner, step.name))
            return output
        return self._rule.refused(step, why, self._calls[-1] if self._calls else None)


def _reshaped(at: int | None, before: Any, after: Any) -> int | None:
    """Return the axis whose outer part an axis becomes in a reshape; None where there is none."""
    if at is None:
        return None
    outer, rows = math.prod(before[:at]), before[at]
    for axis, size in enumerate(after):
        if math.prod(after[:axis]) == outer and size % rows == 0:
            return axis
    return None


def casts(operation: Any) -> bool:
    """Whether a layer casts its inputs, which are then new tensors."""
    return getattr(operation, "compute_dtype", None) != getattr(operation, "variable_dtype", None)


def tensors(nest: Any) -> list[Any]:
    """Return the tensors of a nest."""
    import keras

    return keras.tree.flatten(nest)


# ---------------------------------------------------------------------- notes as arrays


def as_rows(notes: Notes, images: Any) -> Any:
    """Return notes as numbers (B, length): a compiled program returns arrays, and no text."""
    from keras import ops

    text = "\n".join(f"{layer}\t{what}" for layer, what in dict.fromkeys(notes)) + "\n"
    codes = np.frombuffer(text.encode(), np.uint8).astype("int32")
    return ops.zeros((ops.shape(images)[0], 1), "int32") + ops.convert_to_tensor(codes[None])


def notes_of(rows: np.ndarray) -> Notes:
    """Return notes from these numbers."""
    lines = bytes(rows[0].astype(np.uint8)).decode().split("\n")
    return [(layer, what) for layer, _, what in (line.partition("\t") for line in lines if line)]


def said(notes: Notes) -> str:
    """Return notes as text: ``"'gate' (Multiply, Sigmoid)"``."""
    layers: dict[str, list[str]] = {}
    for layer, what in notes:
        layers.setdefault(layer, []).append(what)
    said = [f"{layer!r} ({', '.join(whats)})" for layer, whats in layers.items()]
    more = f" and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return ", ".join(said[:_MOST]) + more
