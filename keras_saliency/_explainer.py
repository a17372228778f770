"""Explainer: explain() for many pictures, one after another, and into a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property, partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, Literal, Unpack, overload

import numpy as np

from keras_saliency import methods, targets
from keras_saliency._engine.engine import Engine
from keras_saliency._engine.micro_batches import BatchSize, check_batch_size
from keras_saliency._explain import (
    Joint,
    MethodLike,
    Options,
    adapted,
    attributed,
    check_seed,
    explain,
)
from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.configuration import KerasModel
from keras_saliency._inputs import preprocessing, text
from keras_saliency._inputs.batch import Batch, joined, prepare
from keras_saliency._inputs.kinds import KindName
from keras_saliency._inputs.pictures import ModelInput, ModelInputs
from keras_saliency._inputs.prefetch import Steps, apart, map_batched, together
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency._results import archive, provenance
from keras_saliency._results.archive import Archive, Record
from keras_saliency._results.explanation import Explanation
from keras_saliency._results.joint import JointExplanation, by_input
from keras_saliency.errors import ImageError, ModelError, SaveError, TargetError
from keras_saliency.methods import Method
from keras_saliency.targets import Class, Target
from keras_saliency.targets.base import TargetLike, check_any_count

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", bound=Explanation | JointExplanation, default=Explanation)
else:
    from typing import TypeVar

    R = TypeVar("R")

_READ = "help(keras_saliency.Explainer)"
_GROUP = 32  # pictures per call where the engine measures the micro-batch itself


@dataclass(frozen=True, eq=False)
class Explainer(Generic[R]):
    """A model, a method and a target, to be applied to many pictures.

    A background thread reads and prepares pictures while the model runs. Up to ``batch_size`` of
    them go through the model together; where it takes any size, only pictures of one size do. The
    maps equal those of `explain` for each picture alone.

    Args:
        model: A Keras 3 model.
        method: A name, or a method with options.
        target: What is explained, on every picture: ``None`` the predicted class, an int a class,
            an object of `keras_saliency.targets`, or a callable.
        preprocess: As for `explain`. A callable is called in the background thread.
        batch_size: Pictures (or variants of them) that go through the model at once.
        seed: For methods that draw random numbers.
        kind: As for `explain`. Of other kinds than pictures, an array of all inputs and a DataFrame
            are streams of their rows.
        inputs: As for `explain`: of a model with several inputs, which are explained. With
            ``"all"`` or a list every result is a `JointExplanation`, which `write` does not take.

    Raises:
        KerasSaliencyError: An argument cannot be used; each message says what to do.

    Example:
        >>> from keras_saliency import Explainer
        >>> explainer = Explainer(model, "grad_cam")
        >>> [one.values.shape for one in explainer.stream(img for _ in range(3))]
        [(1, 24, 24), (1, 24, 24), (1, 24, 24)]
    """

    model: KerasModel
    method: MethodLike = "gradient"
    _: KW_ONLY
    target: TargetLike = None
    preprocess: Preprocessing = "auto"
    batch_size: BatchSize = 8
    seed: int = 0
    kind: KindName | None = None
    inputs: str | Sequence[str] | None = None

    if TYPE_CHECKING:

        @overload
        def __init__(
            self: Explainer[JointExplanation],
            model: KerasModel,
            method: MethodLike = ...,
            *,
            target: TargetLike = ...,
            inputs: Joint,
            **options: Unpack[Options],
        ) -> None: ...

        @overload
        def __init__(
            self: Explainer[Explanation],
            model: KerasModel,
            method: MethodLike = ...,
            *,
            target: TargetLike = ...,
            inputs: str | None = ...,
            **options: Unpack[Options],
        ) -> None: ...

        def __init__(self, *args: Any, **options: Any) -> None: ...

    def __post_init__(self) -> None:
        """Check the arguments before the first picture."""
        object.__setattr__(self, "batch_size", check_batch_size(self.batch_size))
        object.__setattr__(self, "seed", check_seed(self.seed))
        check_any_count(self._target, _READ)
        _ = self._adapter.cache, self._method, self._preprocess

    def __call__(self, image: ModelInputs) -> R:
        """Return the `explain` result of a picture, a batch or a list of pictures."""
        options: Any = dict(preprocess=self.preprocess, batch_size=self.batch_size)
        options |= dict(seed=self.seed, kind=self.kind, inputs=self.inputs)
        return explain(self.model, image, self._method, target=self._target, **options)

    def stream(
        self, images: Iterable[ModelInput], targets: Iterable[TargetLike] | None = None
    ) -> Iterator[R]:
        """Explain pictures one after another, in order, in constant memory.

        The first result appears after ``batch_size`` pictures are read. Findings are in ``checks``,
        without warnings.

        Args:
            images: Pictures, as `explain` takes one, or inputs of another kind. They may differ in
                size.
            targets: What is explained on each picture, in place of ``target``.

        Yields:
            An `Explanation` of one picture for each; a `JointExplanation` of several inputs.

        Raises:
            KerasSaliencyError: A picture cannot be used; the results before it are yielded first.
        """
        self._check_targets(targets)
        images = self._apart(images)
        return map_batched(together(images, targets=targets), self._steps(keep_pictures=True))

    def write(
        self,
        images: Iterable[ModelInput],
        folder: str | PathLike[str],
        *,
        keys: Iterable[Any] | None = None,
        targets: Iterable[TargetLike] | None = None,
        format: Literal["npz", "array_record"] = "npz",
        on_error: Literal["raise", "skip"] = "raise",
        part_size: int = 64,
        attributions: bool = False,
    ) -> Archive:
        """Explain pictures into a folder; the same call resumes after a kill.

        Results are written in parts, each atomically. Results already in the folder are neither
        read nor computed, so the same call resumes a run that was killed, and a longer list
        extends one. A kill loses at most one part: ``part_size`` pictures, or 5 minutes.
        One process may write to a folder at a time; a second one is refused.

        Args:
            images: Pictures, as `explain` takes one.
            folder: A new or empty folder, or one that was written so before.
            keys: A name for each picture. Without it a path is its own key, any other picture has
                its number in the stream, ``"0"``, ``"1"``, ...; then the pictures must come in the
                same order again.
            targets: What is explained on each picture, in place of ``target``.
            format: ``"npz"``, or ``"array_record"``: each picture a record, the bytes of an npz
                (needs the extra ``data``).
            on_error: ``"raise"`` at a picture that cannot be used, or ``"skip"`` it; it is then
                noted in the archive and not tried again.
            part_size: Pictures in a part; their maps are in memory at once.
            attributions: Whether to store attributions (H, W, C) beside the maps.

        Returns:
            The `Archive` of the whole folder.

        Raises:
            SaveError: The folder holds other files, or results of another method, target, seed,
                preprocessing or model; another process writes to it; a key comes twice.
            KerasSaliencyError: A picture cannot be used. The results before it are written.
        """
        self._check_targets(targets)
        if self.inputs == "all" or isinstance(self.inputs, list | tuple):
            what = "Expected one explained input, to write a map for each picture."
            fix = "Name one input; or take stream() and save() each result."
            raise SaveError(what, f"Got inputs={self.inputs!r}.", fix, _READ)
        order = archive.WriteConfig(
            folder, self._identity(attributions), self._about(), format, on_error, part_size
        )

        steps = self._steps(keep_pictures=False)
        images = self._apart(images)
        record = partial(Record.of, attributions=attributions)
        return archive.write(order, images, steps, record, keys=keys, targets=targets)

    # ------------------------------------------------------------------ what is fixed

    @cached_property
    def _adapter(self) -> Adapter:
        return text.adapter(self.model)

    @cached_property
    def _method(self) -> Method:
        return methods.get(self.method)

    @cached_property
    def _target(self) -> Target:
        return targets.get(self.target)

    @cached_property
    def _preprocess(self) -> Any:
        if isinstance(self.preprocess, str) and self.preprocess == "auto":
            return "auto"  # it depends on the inputs of each call
        return preprocessing.resolve(self.preprocess, self.model)

    def _apart(self, images: Any) -> Any:
        return apart(images, self._adapter, self.kind)

    @property
    def _size(self) -> int:
        return self.batch_size if isinstance(self.batch_size, int) else _GROUP

    def _identity(self, attributions: bool) -> dict[str, Any]:
        model = self._adapter.model
        if not model.built:
            raise ModelError(
                f"Expected a built model, to write maps of model {model.name!r}.",
                "It is not built yet: it has no weights.",
                "Call it on a picture first, or load its weights.",
                "help(keras_saliency.Explainer.write)",
            )
        return {
            "holds": "explanations",
            "method": self._method.name,
            "parameters": archive.described(self._method),
            "target": archive.described(self._target),
            "seed": self.seed,
            "preprocess": archive.described(self.preprocess),
            "attributions": bool(attributions),
            "model_sha256": provenance.model_hash(model),
            **({} if self.kind is None else {"kind": self.kind}),
            **({} if self.inputs is None else {"inputs": self.inputs}),
        }

    def _about(self) -> dict[str, Any]:
        return {
            "signed": self._method.signed,
            "score": self._target.score,
            "batch_size": self.batch_size,
            **provenance.of_run(self.model),
        }

    def _check_targets(self, given: Iterable[Any] | None) -> None:
        if given is not None and self.target is not None:
            raise TargetError(
                "Expected an Explainer without target, to take a target for each picture.",
                f"Got target={self.target!r} for all of them.",
                "Pass no target to the Explainer.",
                _READ,
            )

    # ------------------------------------------------------------------ the steps

    def _steps(self, keep_pictures: bool) -> Steps[Any, _Ready, Any]:
        def ready(item: tuple[Any, dict[str, Any]]) -> _Ready:
            picture, options = item
            own = options.get("targets")
            target = self._target if own is None else targets.get(own)
            check_any_count(target, _READ)
            if not self._adapter.model.built:  # its weights are made in the caller's thread
                return _Ready(picture, target, None)
            batch = self._prepared(picture)
            if not keep_pictures:  # a photograph takes more memory than its maps
                empty = np.empty((0, 0, 1), np.uint8)
                batch = replace(batch, originals=(empty,))
            return _Ready(None, target, batch)

        return Steps(ready, _Ready.alike, self._explained, self._size)

    def _prepared(self, picture: Any) -> Batch:
        batch = prepare(self._adapter, picture, self._preprocess, self.kind, self.inputs)
        if len(batch.images) != 1:
            raise ImageError(
                "Expected a stream of single pictures.",
                f"Got a batch or a list of {len(batch.images)} in it.",
                "Pass single pictures: itertools.chain.from_iterable(batches).",
                _READ,
            )
        return batch

    def _explained(self, group: list[_Ready]) -> list[R]:
        started = time.perf_counter()
        batches = [one.batch or self._prepared(one.picture) for one in group]
        batch = joined(batches)
        target = group[0].target
        if isinstance(target, Class):
            chosen: list[Any] = [one.target for one in group]
            target = replace(target, index=[int(np.ravel(one.index)[0]) for one in chosen])
        adapter = adapted(self.model, self._method)
        engine = Engine(adapter, target, batch, self.batch_size)
        results: list[Any] = list(
            attributed(adapter, batch, engine, self._method, self.seed, self.batch_size, started)
        )
        if not batch.parts:
            return results
        pairs = zip(results, batches, strict=True)
        return [by_input(one, its, self._method) for one, its in pairs]  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class _Ready:
    """One picture: prepared, or unchanged where the model has no weights yet."""

    picture: Any
    target: Target
    batch: Batch | None

    def alike(self) -> Any:
        """Return a key that is equal for pictures that can go through a model together."""
        batch = self.batch
        if batch is None:
            return object()
        # Class numbers are arguments of what is compiled; other targets go with themselves only.
        target = self.target.static if isinstance(self.target, Class) else id(self.target)
        arrays = (batch.images, *batch.extra_inputs)
        shapes = [(array.shape[1:], array.dtype) for array in arrays]
        names = batch.names, bool(batch.words), batch.kind
        return target, shapes, batch.packing, batch.preprocessed, names
