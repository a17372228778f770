"""Several targets of one call: one run of the model scores all of them.

Shared is what a run forward gives: scores of the pictures and of their variants, a layer's output,
and the gradients at a layer, from which only the rest of the model is run back. The gradient by the
pictures is not: it is the way back through the whole model, once for each target, and a program
that takes several would be compiled anew for each number of them.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency import _graph
from keras_saliency._engine import micro_batches, programs
from keras_saliency.targets import Target
from keras_saliency.targets.together import Several, numbered

if TYPE_CHECKING:
    from keras_saliency._engine.engine import Engine

_SCORES = ("scores", "scores of activations")
_AT_THE_PICTURES = ("activations", "layer gradient")  # large: of the pictures only, not of variants


def sharing(engine: Engine, targets: Sequence[Target]) -> list[Engine]:
    """Return an engine with the same pictures for each target, which share runs forward."""
    engines = [engine.with_target(one) for one in targets]
    together = _Together(engines)
    for number, one in enumerate(engines):
        one._shared = functools.partial(together.result, number)
    return engines


class _Together:
    """Results for several targets on the same pictures, from the runs that the first one needs.

    Runs are known by what goes into them, so methods that draw the same variants for each target
    share theirs, and others get their own. Only numbers (B,) of variants are held.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Hold the engines of the targets, which have the same pictures."""
        self._engines = [weakref.ref(one) for one in engines]  # which refer to this
        self._results: dict[bytes, Any] = {}
        self._is_off = False

    def result(
        self,
        number: int,
        engine: Engine,
        kind: programs.Kind,
        args: tuple[Any, ...],
        rows: list[int] | None,
        call: _graph.Call | None,
    ) -> tuple[Any, ...] | None:
        """Return what a program gives for one target; None where it is to be run for it alone.

        Args:
            number: Of the target.
            engine: Its engine, or one of variants of its pictures.
            kind: Of the program.
            args: The program's arguments for this target.
            rows: Index in the engine's pictures that each row is made from; None for all.
            call: The layer call, for the kinds that are about one.
        """
        at_pictures = engine.images is engine.reference_images
        if self._is_off or kind not in _SCORES + _AT_THE_PICTURES * at_pictures:
            return None
        sources = engine.source_indices
        if rows is not None:
            sources = [sources[row] for row in rows]
        key = _digest(kind, args, sources, call)
        if key not in self._results:
            try:
                self._results[key] = self._run(engine, kind, args, sources, call)
            except Exception:  # each target is run alone, and the one that fails has its own error
                self._is_off = True
                return None
        if self._results[key] is None:
            return None
        scores, aux, *gradients = self._results[key]
        shared = {name: aux[name] for name in ("activations",) if name in aux}
        return scores[number], {**aux[str(number)], **shared}, *(one[number] for one in gradients)

    def _run(
        self,
        engine: Engine,
        kind: programs.Kind,
        args: tuple[Any, ...],
        sources: list[int],
        call: _graph.Call | None,
    ) -> Any:
        """Return a program's results for all targets; None where one of them is not finite.

        A derivative that is not finite can reach the other targets', where it is multiplied by 0.
        """
        engines: list[Any] = [one() for one in self._engines]
        at_pictures = kind in _AT_THE_PICTURES or args[0] is engine.reference_images
        for one in () if at_pictures else engines:  # a target's choice is made on the pictures
            one._choose()
        target = Several(tuple(one._chosen for one in engines))
        rows = numbered(
            [{name: its[sources] for name, its in one._target_args.items()} for one in engines]
        )
        args = tuple(rows if isinstance(one, dict) else one for one in args)
        program = engine._program(kind, call, target=target)
        results = micro_batches.run(program, args, engine._size(kind))
        return results if _is_finite(results) else None


def _digest(
    kind: str, args: tuple[Any, ...], sources: list[int], call: _graph.Call | None
) -> bytes:
    where = (id(call.reference()), call.index) if call else ()
    digest = hashlib.blake2b(repr((kind, where, sources)).encode(), digest_size=16)
    for one in args:
        for array in () if isinstance(one, dict) else one if isinstance(one, tuple) else (one,):
            digest.update(repr((array.shape, array.dtype)).encode())
            digest.update(array.tobytes())
    return digest.digest()


def _is_finite(results: Any) -> bool:
    import keras

    arrays = map(np.asarray, keras.tree.flatten(results))
    return all(np.isfinite(one).all() for one in arrays if one.dtype.kind == "f")
