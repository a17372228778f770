"""The calls of a run, and which of them is the last map between input and score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from keras_saliency._backend.hooks import is_builtin_keras_layer
from keras_saliency._graph import probing
from keras_saliency._graph.calls import Call, Measured
from keras_saliency.errors import LayerError

READ = "keras_saliency.layer_tree(model)"

_EARLY = 0.5  # of the kernels
_ATTENTIONS = ("MultiHeadAttention", "GroupedQueryAttention")


def is_attention(operation: Any) -> bool:
    """Whether an operation is one of Keras' attention layers, not just called so."""
    return type(operation).__name__ in _ATTENTIONS and is_builtin_keras_layer(operation)


# Measures calls whose positions cannot be followed, and returns the results by number.
Measure = Callable[[list[Call]], Mapping[int, Measured]]


@dataclass(frozen=True)
class CallTrace:
    """Every layer call of one run, by their ends; what follows from it is computed once."""

    model: str
    calls: tuple[Call, ...]

    def last_map(self, measure: Measure) -> Call:
        """Return the last map of the picture that the score depends on.

        Args:
            measure: Decides whether calls whose positions cannot be followed are maps.

        Raises:
            LayerError: There is none.
        """
        candidates = self.candidates()
        waiting: list[Call] = []
        for call in reversed(candidates):
            if call.is_map:
                break
            waiting.append(call)
        for measured in _measured(waiting, measure):
            if measured.call is not None and not measured.reason:
                return measured.call
        for call in reversed(candidates):
            if call.is_map:
                return call
        raise LayerError(
            f"Model {self.model!r} has no layer for a class activation map.",
            "No layer that the explained input reaches and the score depends on outputs a feature "
            "map of the picture larger than 1x1.",
            "Name a layer, or use a method that needs none, such as 'gradient' or 'occlusion'.",
            READ,
        )

    def maps(self, measure: Measure) -> list[Call]:
        """Return every map of the explained input that the score depends on, in order of calls.

        Args:
            measure: Decides whether calls whose positions cannot be followed are maps.
        """
        waiting = [call for call in self._candidates if not call.is_map]
        measured = [one.call for one in _measured(waiting, measure) if not one.reason]
        maps = {call.number: call for call in measured if call is not None}
        maps |= {call.number: call for call in self._candidates if call.is_map}
        return [maps[number] for number in sorted(maps)]

    def of_one_picture(self, rows: int) -> CallTrace:
        """Return the trace with the shapes that calls have for one picture.

        Args:
            rows: Of the run: more than one where the model takes a fixed number.
        """
        if rows == 1:
            return self

        def shape(its: tuple[int | None, ...]) -> tuple[int | None, ...]:
            # One row for many pictures belongs to none of them: 0 is no picture.
            return ((1 if its[0] == rows else 0), *its[1:]) if its else its

        return replace(
            self, calls=tuple(replace(call, shape=shape(call.shape)) for call in self.calls)
        )

    def candidates(self) -> list[Call]:
        """Return the calls that may be a feature map between the explained input and the score."""
        return list(self._candidates)

    @cached_property
    def _candidates(self) -> tuple[Call, ...]:
        result: dict[int, Call] = {}
        for call in self.calls:
            first = self.calls[call.same_as]
            between = call.is_reached and call.contributes and not call.is_end
            if between and call.has_features and first.may_be_map and not self._in_attention(first):
                result[first.number] = first
        return tuple(result[number] for number in sorted(result))

    def sizes(self) -> frozenset[tuple[int, ...]]:
        """Return heights and widths of the maps that layers show."""
        return frozenset(call.size for call in self.calls if call.is_map)

    def share_after(self, call: Call) -> float:
        """Return the share of kernels between input and score that come after a call.

        It counts kernels whose output has a map's shape. A large share means that most of the
        network could not be followed to positions of the picture.
        """
        kernels = [
            one
            for one in self.calls
            if one.is_kernel
            and one.is_reached
            and one.contributes
            and not one.is_end
            and (one.has_map_shape or len(one.shape) == 3)
        ]
        late = [one for one in kernels if one.number > call.number]
        return len(late) / max(1, len(kernels))

    def too_early(self, call: Call) -> str:
        """Return a finding where a call that was chosen is one of the first."""
        share = self.share_after(call)
        if share < _EARLY:
            return ""
        return (
            f"layer {call.name!r} is early: {share:.0%} of the kernels on the way to the score "
            "come after it, where the picture's positions could not be followed"
        )

    def attentions(self) -> list[Call]:
        """Return the calls of Keras' attention layers from the explained input to the score."""
        return list(self._attentions)

    @cached_property
    def _attentions(self) -> tuple[Call, ...]:
        return tuple(
            call
            for call in self.calls
            if call.is_reached and call.contributes and is_attention(call.layer)
        )

    def attended_grid(self, method: str, measure: Measure) -> probing.Grid:
        """Return the picture's grid in the tokens of Keras' attention layers.

        Args:
            method: The method's name, for the message.
            measure: Decides whether calls whose positions cannot be followed are maps.

        Raises:
            LayerError: No attention layer leads to the output, or its tokens are no grid.
        """
        attentions = self._attentions
        counts = {call.shape[1] for call in attentions if len(call.shape) == 3}
        rows = all(call.is_by_picture for call in attentions)
        if rows and len(counts) == 1 and (count := counts.pop()) is not None:
            grid = self.grid_of(count, measure)
            if grid is not None:
                return grid
        raise LayerError(
            f"Method {method!r} expects model {self.model!r} to attend to the picture's tokens.",
            f"Its {len(attentions)} keras.layers.MultiHeadAttention take tokens that are "
            "no picture, or not always in the same order."
            if attentions
            else "It has no keras.layers.MultiHeadAttention on the way to the output.",
            "Use a method that needs no attention, such as 'grad_cam'.",
            READ,
        )

    def grid_of(self, count: int, measure: Measure) -> probing.Grid | None:
        """Return the picture's grid among ``count`` tokens; None where they have none."""
        same = [
            one
            for one in reversed(self.candidates())
            if len(one.shape) == 3 and one.shape[1] == count
        ]
        measured = _measured(same, measure)
        return next((one.call.grid for one in measured if one.call is not None), None)

    def _in_attention(self, call: Call) -> bool:
        """Whether a call is inside one of Keras' attention layers, where four axes are no map."""
        return any(one.begins <= call.number < one.number for one in self._attentions)

    def call_of(self, path: str, number: str | None, measure: Measure) -> Call:
        """Return a call of the layer at ``path`` that is a map between explained input and score.

        Args:
            path: The layer's path.
            number: Which call, from "0" on; None for the last that lies between.
            measure: Decides whether calls whose positions cannot be followed are maps.

        Raises:
            LayerError: There is no such call, or its output is no map.
        """
        if number is not None and not number.isdigit():
            raise LayerError(
                f"Layer {path!r} of model {self.model!r} has no call {number!r}.",
                "Calls are numbered from 0.",
                f"Give {path + '@0'!r} for the first, {path!r} for the last.",
                READ,
            )
        calls = [call for call in self.calls if call.path == path]
        if number is not None:
            calls = calls[int(number) : int(number) + 1]
        what = f"Layer {path!r} of model {self.model!r} outputs no map" + (
            "." if number is None else f" at call {number}."
        )
        if not calls:
            count = sum(call.path == path for call in self.calls)
            raise LayerError(
                what,
                f"It is called {count} times when the model runs on the explained input.",
                "Name a layer that takes part, or an earlier call (numbered from 0).",
                READ,
            )
        between = [call for call in calls if call.is_reached and call.contributes]
        if not between:
            reason = (
                "The score does not depend on its output."
                if calls[-1].is_reached
                else "Its output does not depend on the explained input."
            )
            raise LayerError(what, reason, "Name a layer between the two, or none.", READ)
        call = between[-1]
        if call.is_map:
            return call
        reason = f"Its output has shape {call.shape} for one picture."
        if call.may_be_map:
            measured = measure([call])[call.number]
            if measured.call is not None and not measured.reason:
                return measured.call
            reason = measured.reason
        raise LayerError(
            what,
            reason,
            "Name a layer whose output is (B, h, w, K), or the tokens of a picture.",
            READ,
        )


_FIRST = 8  # measured together at first, later twice as many each time: each group is compiled
_MOST = 2**22  # numbers of one picture in a group, about 250 MB with gradients, unless it is 8


def _measured(calls: list[Call], measure: Measure) -> Iterator[Measured]:
    """Yield measurements of calls, a few at a time: mostly one of the first decides."""
    start, count = 0, _FIRST
    while some := calls[start : start + count]:
        sizes = itertools.accumulate(math.prod(axis or 1 for axis in one.shape) for one in some)
        some = some[: max(_FIRST, sum(size <= _MOST for size in sizes))]
        results = measure(some)
        yield from (results[call.number] for call in some)
        start, count = start + len(some), 2 * count
