"""Explainer: explain() for many pictures, one after another, and into a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any, Literal

import numpy as np

from keras_saliency import archive, methods, preprocessing, provenance, targets
from keras_saliency._explain import attributed, check_batch_size, explain
from keras_saliency._explanation import Explanation
from keras_saliency.adapter import Adapter
from keras_saliency.archive import Archive, Record
from keras_saliency.batch import Batch, prepare
from keras_saliency.engine import Engine
from keras_saliency.errors import ImageError, ModelError, TargetError
from keras_saliency.methods import Method
from keras_saliency.prefetch import Steps, flow, together
from keras_saliency.targets import Class, Target

_READ = "help(keras_saliency.Explainer)"
_GROUP = 32  # pictures handed over at once where the micro-batch is found by the engine


@dataclass(frozen=True, eq=False)
class Explainer:
    """A model, a method and a target: what is to be done with many pictures.

    Pictures are read and prepared in a background thread while the model works, and go through it
    together, up to ``batch_size`` at a time; where the model takes any size, only pictures of one
    size do. The maps are those of `explain`, one by one.

    Args:
        model: A Keras 3 model.
        method: A name, or a method with options.
        target: What is explained, on every picture: ``None`` the predicted class, an int a class,
            an object of `keras_saliency.targets`, or a callable.
        preprocess: As for `explain`. A callable is called in the background thread.
        batch_size: Pictures (or variants of them) that go through the model at once.
        seed: For methods that draw random numbers.

    Raises:
        KerasSaliencyError: An argument cannot be used; each message says what to do.

    Example:
        >>> from keras_saliency import Explainer
        >>> explainer = Explainer(model, "grad_cam")
        >>> [one.values.shape for one in explainer.stream(img for _ in range(3))]
        [(1, 24, 24), (1, 24, 24), (1, 24, 24)]
    """

    model: Any
    method: str | Method = "gradient"
    _: KW_ONLY
    target: Any = None
    preprocess: Any = "auto"
    batch_size: Any = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be used, before the first picture."""
        check_batch_size(self.batch_size)
        _for_each(self._target)
        _ = self._adapter, self._method, self._preprocess

    def __call__(self, image: Any) -> Explanation:
        """Return what `explain` finds on a picture, a batch or a list of pictures."""
        return explain(
            self.model,
            image,
            self._method,
            target=self._target,
            preprocess=self.preprocess,
            batch_size=self.batch_size,
            seed=self.seed,
        )

    def stream(
        self, images: Iterable[Any], targets: Iterable[Any] | None = None
    ) -> Iterator[Explanation]:
        """Explain pictures one after another, in order; nothing grows with their number.

        The first comes out when ``batch_size`` pictures have come in. Findings are in ``checks``;
        they are not warned of.

        Args:
            images: Pictures, as `explain` takes one. They may differ in size.
            targets: What is explained on each picture, in place of ``target``.

        Yields:
            An `Explanation` of one picture for each.

        Raises:
            KerasSaliencyError: At the picture that cannot be used, when those before it are out.
        """
        self._check_targets(targets)
        return flow(together(images, targets=targets), self._steps(keep_pictures=True))

    def write(
        self,
        images: Iterable[Any],
        folder: str | PathLike[str],
        *,
        keys: Iterable[Any] | None = None,
        targets: Iterable[Any] | None = None,
        format: Literal["npz", "array_record"] = "npz",
        on_error: Literal["raise", "skip"] = "raise",
        part_size: int = 64,
        attributions: bool = False,
    ) -> Archive:
        """Explain pictures into a folder; called again after a kill, it goes on.

        Results are written in parts, each whole or not there. What is in the folder already is
        neither read nor computed, so the same call resumes a run that was killed, and a longer list
        extends one. At most one part is lost to a kill: ``part_size`` pictures, or five minutes.
        One process may write to a folder at a time; a second one is refused.

        Args:
            images: Pictures, as `explain` takes one.
            folder: A new or empty folder, or one that was written so before.
            keys: A name for each picture. Without it a path is its own key, any other picture has
                its place in the stream, ``"0"``, ``"1"``, ...; then the pictures must come in the
                same order again.
            targets: What is explained on each picture, in place of ``target``.
            format: ``"npz"``, or ``"array_record"``: each picture a record, the bytes of an npz
                (needs the extra ``data``).
            on_error: ``"raise"`` at a picture that cannot be used, or ``"skip"`` it; it is then
                noted in the archive and not tried again.
            part_size: Pictures in a part; their maps are in memory at once.
            attributions: Whether to keep attributions (H, W, C) beside the maps.

        Returns:
            The `Archive`: all that is in the folder.

        Raises:
            SaveError: The folder holds something else, or results of another method, target, seed,
                preprocessing or model; another process writes to it; a key comes twice.
            KerasSaliencyError: A picture cannot be used. What came before it is written.
        """
        self._check_targets(targets)
        order = archive.Order(
            folder, self._identity(attributions), self._about(), format, on_error, part_size
        )

        def record(one: Explanation) -> Record:
            kept = one.attributions if attributions else None
            return Record(
                key="",
                values=one.values[0],
                geometry=one.geometries[0],
                score=float(one.scores[0]),
                probability=None if one.probabilities is None else float(one.probabilities[0]),
                target=one.targets[0],
                label=one.labels[0],
                checks=one.checks[0],
                attributions=None if kept is None else kept[0],
            )

        steps = self._steps(keep_pictures=False)
        return archive.write(order, images, steps, record, keys=keys, targets=targets)

    # ------------------------------------------------------------------ what is fixed

    @cached_property
    def _adapter(self) -> Adapter:
        return Adapter(self.model)

    @cached_property
    def _method(self) -> Method:
        return methods.get(self.method)

    @cached_property
    def _target(self) -> Target:
        return targets.get(self.target)

    @cached_property
    def _preprocess(self) -> Any:
        # Found once: "auto" looks through all layers.
        found = preprocessing.resolve(self.preprocess, self.model)
        return self.preprocess if found is None else found

    @property
    def _size(self) -> int:
        return self.batch_size if isinstance(self.batch_size, int) else _GROUP

    def _identity(self, attributions: bool) -> dict[str, Any]:
        if not self.model.built:
            raise ModelError(
                f"Maps of model {self.model.name!r} were to be written.",
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
            "model_sha256": provenance.model_hash(self.model)(),
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
                "A target for each picture was asked for.",
                f"The Explainer has target={self.target!r} for all of them.",
                "Give it no target.",
                _READ,
            )

    # ------------------------------------------------------------------ the steps

    def _steps(self, keep_pictures: bool) -> Steps[Any, _Ready, Explanation]:
        def ready(thing: tuple[Any, dict[str, Any]]) -> _Ready:
            picture, given = thing
            its = given.get("targets")
            target = self._target if its is None else targets.get(its)
            _for_each(target)
            if not self._adapter.model.built:  # its weights are made in the caller's thread
                return _Ready(picture, target, None)
            batch = self._prepared(picture)
            if not keep_pictures:  # a photograph takes more memory than all that is made of it
                nothing = np.empty((0, 0, 1), np.uint8)
                batch = replace(batch, originals=(nothing,))
            return _Ready(None, target, batch)

        return Steps(ready, _Ready.alike, self._explained, self._size)

    def _prepared(self, picture: Any) -> Batch:
        batch = prepare(self._adapter, picture, self._preprocess)
        if len(batch.images) != 1:
            raise ImageError(
                "A stream of pictures was explained.",
                f"One of them is a batch or a list of {len(batch.images)}.",
                "Give single pictures: itertools.chain.from_iterable(batches).",
                _READ,
            )
        return batch

    def _explained(self, group: list[_Ready]) -> list[Explanation]:
        started = time.perf_counter()
        batch = _joined([one.batch or self._prepared(one.picture) for one in group])
        target = group[0].target
        if isinstance(target, Class):
            classes = [_number(one.target) for one in group]
            target = replace(target, index=classes)
        engine = Engine(self._adapter, target, batch, self.batch_size)
        found = attributed(
            self.model, batch, engine, self._method, self.seed, self.batch_size, started
        )
        return list(found)


@dataclass(frozen=True, eq=False)
class _Ready:
    """One picture: prepared, or as it came where the model has no weights yet."""

    picture: Any
    target: Target
    batch: Batch | None

    def alike(self) -> Any:
        """Return what pictures have in common that can go through a model together."""
        batch = self.batch
        if batch is None:
            return object()
        # Class numbers are arguments of what is compiled; other targets go with themselves only.
        target = self.target.static if isinstance(self.target, Class) else id(self.target)
        arrays = (batch.images, *batch.sides)
        shapes = [(array.shape[1:], array.dtype) for array in arrays]
        return target, shapes, batch.packing, getattr(batch.preprocess, "name", None)


def _joined(batches: list[Batch]) -> Batch:
    """Return batches of one picture as one batch."""
    if len(batches) == 1:
        return batches[0]
    sides = zip(*(batch.sides for batch in batches), strict=True)
    return replace(
        batches[0],
        images=np.concatenate([batch.images for batch in batches]),
        sides=tuple(np.concatenate(side) for side in sides),
        originals=tuple(batch.originals[0] for batch in batches),
        geometries=tuple(batch.geometries[0] for batch in batches),
    )


def _for_each(target: Target) -> None:
    """Refuse a target that is meant for a batch of a certain size.

    Raises:
        TargetError: It has one class, or one place, for each of several pictures.
    """
    for count in (1, 2):
        try:
            target.rows(count)
        except TargetError as error:
            raise TargetError(
                "One target for each single picture was asked for.",
                error.found,
                "Give one that fits every picture, or stream(images, targets=[...]).",
                _READ,
            ) from error


def _number(target: Any) -> int:
    return int(np.ravel(target.index)[0])
