"""The score of a detection: a target for models that return boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from keras_saliency._inputs import geometry
from keras_saliency.errors import TargetError, _arguments, did_you_mean
from keras_saliency.targets import candidates
from keras_saliency.targets.base import (
    READ,
    SCORES,
    Numbers,
    Outputs,
    Target,
    check_indices,
    output_path,
    per_row,
)
from keras_saliency.targets.candidates import Activation, BoxFormat
from keras_saliency.targets.function import Function

DetectionScore = Literal["logit", "probability", "log_probability", "box", "overlap", "similarity"]
Edge = Literal["top", "left", "bottom", "right", "center_y", "center_x", "height", "width"]
Path = str | int | Sequence[str | int]

_EDGES = {  # weights of top, left, bottom, right
    "top": (1, 0, 0, 0), "left": (0, 1, 0, 0), "bottom": (0, 0, 1, 0), "right": (0, 0, 0, 1),
    "center_y": (0.5, 0, 0.5, 0), "center_x": (0, 0.5, 0, 0.5),
    "height": (-1, 0, 1, 0), "width": (0, -1, 0, 1),
}  # fmt: skip
_WORDS = {"format": get_args(BoxFormat), "edge": tuple(_EDGES), "activation": get_args(Activation)}


@dataclass(frozen=True, eq=False)
class Detection(Target):
    """One detection: its class score, an edge of its box, its overlap, its similarity.

    A detector returns N candidates for each picture: boxes (B, N, 4) and scores of classes
    (B, N, K), or (B, 4) and (B, K) for one. Of these, ``index`` names one; without it, it is the
    candidate that overlaps ``box`` most (IoU); without both, the one with the highest score, of
    ``class_`` or of any class. The choice is made on the picture itself and stays the same when
    the picture is changed (see ``rematch``). Boxes are (top, left, bottom, right) in pixels of
    the model's input, here as everywhere, whatever the model's own ``format`` is.

    ``score`` selects the number:

    =======================  ======================================================================
    ``"logit"``              the candidate's score of the class, as the model computes it;
                             ``"probability"``, ``"log_probability"`` likewise
    ``"box"``                one ``edge`` of the candidate's box, in pixels
    ``"overlap"``            the IoU of the candidate's box with ``box``, 0 to 1
    ``"similarity"``         the largest of IoU x cosine of class probabilities x objectness over
                             all candidates, 0 to 1: D-RISE (Petsiuk et al., 2021,
                             arXiv:2006.03204), with `methods.RISE`. It compares with ``box`` and
                             ``class_``; what is not given is that of the chosen candidate, of
                             which the similarity is largest at the picture: its gradient is 0
    =======================  ======================================================================

    Args:
        boxes: Path of the output with boxes.
        classes: Path of the output with scores of classes.
        objectness: Path of the output (B, N) or (B, N, 1) with values 0 to 1, for a model with one.
        box: Box of the object, or one for each picture: a list of four numbers, a `Box`, a dict.
        index: Number of the candidate, or one for each picture.
        class_: Number of the class, or one for each picture; None takes the candidate's best.
        edge: For score ``"box"``: ``"top"``, ``"left"``, ``"bottom"``, ``"right"``,
            ``"center_y"``, ``"center_x"``, ``"height"`` or ``"width"``.
        format: What the four numbers of a box are: ``"yxyx"`` (top, left, bottom, right),
            ``"xyxy"`` (left, top, right, bottom), ``"xywh"`` (left, top, width, height),
            ``"center_xywh"`` or ``"center_yxhw"``, in pixels; with ``"rel_"`` in front, such as
            ``"rel_center_xywh"``, as shares of width and height.
        activation: What makes probabilities of the scores of classes: ``"sigmoid"``,
            ``"softmax"``, or ``"none"`` if they are probabilities; None reads it from the model's
            last layers.
        decoder: Function of the outputs as the model returns them, for raw outputs such as
            offsets from anchors: it returns (boxes, classes) or (boxes, classes, objectness) as
            above, or a dict with these names, written with ``keras.ops``.
        rematch: Choose the candidate again on every changed picture, for a model or decoder that
            sorts or drops candidates.

    Raises:
        TargetError: Options do not fit each other or the model, no candidate overlaps the box, or
            probabilities are needed and nothing shows how to compute them.

    Example:
        >>> x = keras.layers.Flatten()(pixels := keras.Input((8, 8, 3)))
        >>> corners = keras.layers.Dense(20, activation="sigmoid")(x)
        >>> heads = {
        ...     "boxes": keras.layers.Reshape((5, 4))(corners),
        ...     "classes": keras.layers.Reshape((5, 3))(keras.layers.Dense(15)(x)),
        ... }
        >>> detector = keras.Model(pixels, heads)
        >>> own = {"boxes": "boxes", "classes": "classes", "format": "rel_center_xywh"}
        >>> target = targets.Detection(**own, box=(1, 1, 7, 7), class_=2)
        >>> explain(detector, img[:8, :8], target=target).labels
        ('output 2',)
        >>> target = targets.Detection(**own, box=(1, 1, 7, 7), score="overlap")
        >>> bool(0 < explain(detector, img[:8, :8], target=target).scores[0] <= 1)
        True
    """

    known_scores: ClassVar[tuple[str, ...]] = (*SCORES, "box", "overlap", "similarity")

    boxes: Path | None = None
    classes: Path | None = None
    objectness: Path | None = None
    box: geometry.BoxLike | Sequence[geometry.BoxLike] | None = None
    index: Numbers | None = None
    class_: Numbers | None = None
    edge: Edge | None = None
    format: BoxFormat = "yxyx"
    activation: Activation | None = None
    decoder: Callable[[Any], Any] | None = None
    rematch: bool = False
    score: DetectionScore = field(default="logit", kw_only=True)  # type: ignore[assignment]
    output: str | int | None = field(default=None, kw_only=True, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("boxes", "classes", "objectness"):
            object.__setattr__(self, name, output_path(getattr(self, name)))
        shown = self.boxes if self.classes is None else self.classes
        object.__setattr__(self, "output", shown if self.decoder is None else "*")
        super().__post_init__()
        if self.box is not None:
            object.__setattr__(self, "box", _read(self.box))
        if problem := self._problem():
            what, got, fix = problem
            raise TargetError(f"Expected {what}.", f"Got {got}.", fix, READ)

    def _problem(self) -> tuple[str, str, str] | None:
        """Return what was expected of the options, what there is and the fix, if they are wrong."""
        for name, words in _WORDS.items():
            word = getattr(self, name)
            if (word is not None or name == "format") and not _arguments.is_word(word, words):
                fix = did_you_mean(str(word), words) or "Take one of these."
                return f"{name} to be one of {', '.join(map(repr, words))}", f"{word!r}", fix
        if not isinstance(self.rematch, bool):
            return "rematch to be True or False", f"{self.rematch!r}", "Pass rematch=True."
        paths = {name: getattr(self, name) for name in ("boxes", "classes", "objectness")}
        named = [name for name, path in paths.items() if path is not None]
        if self.decoder is not None:
            Function(self.decoder)  # it is callable
            if named:
                fix = "Leave the paths out: the decoder returns boxes and classes."
                return "paths of outputs or a decoder", f"decoder= and {', '.join(named)}", fix
        elif self.boxes is None or (self.classes is None and not self._is_of_box):
            fix = "Name the outputs: boxes='boxes', classes='classes'; or pass decoder=."
            got = f"boxes={self.boxes!r} and classes={self.classes!r}"
            return "the paths of a detector's outputs, or a decoder", got, fix
        if (self.score == "box") != (self.edge is not None):
            got = f"score={self.score!r} and edge={self.edge!r}"
            return "edge= with score='box', and only there", got, "Pass edge='left', for example."
        if self.score == "overlap" and self.box is None:
            return "a box to overlap with", "score='overlap' and box=None", "Pass box=."
        unranked = self.decoder is None and self.classes is None
        if unranked and self.box is None and self.index is None:
            fix = "Pass one of the two, or classes= to take the candidate with the highest score."
            return "box= or index= to choose a candidate by", "neither", fix
        return None

    @property
    def _is_of_box(self) -> bool:
        return self.score in ("box", "overlap")

    @property
    def static(self) -> tuple[Any, ...]:
        decoder = None if self.decoder is None else Function(self.decoder).static[1]
        paths = self.boxes, self.classes, self.objectness
        given = tuple(getattr(self, name) is not None for name in ("box", "index", "class_"))
        return ("detection", decoder, paths, given, self.format, self.activation, self.score)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {}
        if self.index is not None:
            rows["index"] = per_row(self.index, count, "the candidate")
        if self.class_ is not None:
            rows["class"] = per_row(self.class_, count, "the class")
        if self.edge is not None:
            rows["edge"] = np.tile(np.array(_EDGES[self.edge], np.float32), (count, 1))
        if self.box is not None:
            rows["box"] = _for_each(np.asarray(self.box, np.float32), count, "box")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        if self.decoder is not None:
            return
        if len(shape) not in (2, 3) or 0 in shape:
            raise TargetError(
                "Expected an output (B, candidates, numbers) for a detection, or (B, numbers).",
                f"Got a model output of shape {shape}.",
                "Name the outputs with boxes= and classes=, or pass decoder=.",
                READ,
            )
        classes = None if self.classes is None else shape[-1]
        self._check_numbers(shape[1] if len(shape) == 3 else 1, classes)

    def _check_numbers(self, candidates: int | None, classes: int | None) -> None:
        for number, size, name in (
            (self.index, candidates, "candidate"),
            (self.class_, classes, "class"),
        ):
            if number is not None:
                check_indices(number, size, name)

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        aux: dict[str, Any] = {}
        if self.decoder is None:
            boxes = outputs.pick(self.boxes).values  # type: ignore[arg-type]
            classes = None if self.classes is None else outputs.pick(self.classes)  # type: ignore[arg-type]
            path: Any = self.objectness
            objectness = None if path is None else outputs.pick(path).values
        else:
            boxes, classes, objectness = candidates.decoded(self.decoder, outputs)
        listed = candidates.read(
            boxes, classes, objectness, self.format, self.activation, outputs.size
        )
        if self.decoder is not None:  # only now their numbers are known: see resolved()
            limits = dict(zip(("index", "class"), listed.limits, strict=True))
            for name in rows.keys() & limits.keys():
                aux[f"limit of {name}"] = ops.full_like(rows[name], limits[name])
                rows = {**rows, name: ops.clip(rows[name], 0, limits[name] - 1)}
        box = ops.cast(rows["box"], listed.boxes.dtype) if "box" in rows else None
        if self.score == "similarity" and box is not None and rows.keys() & {"class", "vector"}:
            index = None  # it compares with what is given
        else:
            index, overlap = listed.chosen(rows, box)
            aux |= {"candidate": index} | ({} if overlap is None else {"overlap": overlap})
        if self.score == "similarity":
            score, more = listed.similarity(rows, box, index)
        elif self.score in SCORES:
            score, more = listed.of_class(self.score, index, rows)  # type: ignore[arg-type]
        else:
            own, more = candidates.at(listed.boxes, index), {}
            if self.score == "overlap":
                score = candidates.iou(own, box)
            else:
                score = ops.sum(own * ops.cast(rows["edge"], own.dtype), axis=-1)
        return score, {**aux, **more}

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        limits = [aux.get(f"limit of {name}", [None])[0] for name in ("index", "class")]
        self._check_numbers(*limits)
        overlaps = aux.get("overlap", np.ones(1))
        if not (overlaps > 0).all():  # NaN is none either
            row = int(np.argmin(overlaps > 0))
            box = self.rows(len(overlaps))["box"][row]
            raise TargetError(
                f"Expected a candidate that overlaps {_shown(box)} in picture {row}.",
                "Got none: the best overlap (IoU) is 0.",
                f"Pass a box {geometry.ORDER} in pixels of the model's input, and the format of "
                f"the model's own boxes (now {self.format!r}).",
                READ,
            )
        names = {"candidate": "index", "index": "class"}
        if self.score == "similarity":
            names = {"box": "box", "vector": "vector"}
        elif self.rematch:
            names = {"index": "class"}
        held = {row: aux[name] for name, row in names.items() if name in aux}
        return _Held(**_options(self), held=held)

    def describe(self, count: int) -> list[Any]:
        rows, texts = self.rows(count), []
        start = f"{self.edge} of " if self.edge else ""
        start = start or (f"{self.score} with " if self.score == "overlap" else "")
        start = start or (f"{self.score} to " if self.score == "similarity" else "")
        for row in range(count):
            parts = [f"class {rows['class'][row]}"] if "class" in rows else []
            parts += [f"candidate {rows['index'][row]}"] if "index" in rows else []
            parts += [f"box {_shown(rows['box'][row])}"] if "box" in rows else []
            texts.append(start + (", ".join(parts) or "the highest score"))
        return texts

    def for_cache(self) -> Target:
        if self.decoder is None:
            return self
        weak: Any = Function(self.decoder).for_cache()
        return replace(self, decoder=weak.function)


@dataclass(frozen=True, eq=False)
class _Held(Detection):
    """A detection whose choices are made, on the pictures that it was chosen on."""

    held: dict[str, np.ndarray] = field(default_factory=dict, kw_only=True, repr=False)

    @property
    def static(self) -> tuple[Any, ...]:
        return (*super().static, tuple(sorted(self.held)))

    def rows(self, count: int) -> dict[str, np.ndarray]:
        held = {name: _for_each(values, count, name) for name, values in self.held.items()}
        return {**super().rows(count), **held}

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        return self


def _options(target: Detection) -> dict[str, Any]:
    return {name: value for name, value in vars(target).items() if name != "output"}


def _for_each(values: np.ndarray, count: int, name: str) -> np.ndarray:
    """Return a target's numbers with a row for each picture; one box counts for all."""
    values = values[None] if name == "box" and values.ndim == 1 else values
    if len(values) not in (1, count):
        raise TargetError(
            f"Expected one {name}, or one for each of {count} pictures.",
            f"Got {len(values)}.",
            f"Pass one, or a list of {count}.",
            READ,
        )
    return np.broadcast_to(values, (count, *values.shape[1:]))


def _read(box: Any) -> Any:
    """Return a box, or a tuple of one for each picture."""
    several = isinstance(box, list | tuple | np.ndarray) and not geometry.is_box(box) and len(box)
    several = several and isinstance(box[0], list | tuple | dict | np.ndarray)
    try:
        return tuple(map(geometry.read, box)) if several else geometry.read(box)
    except geometry.NoBox as error:
        what = f"Expected a box {geometry.ORDER}, or one for each picture."
        raise TargetError(what, error.got, error.fix, READ) from None


def _shown(box: np.ndarray) -> str:
    return f"({', '.join(f'{edge:g}' for edge in box.tolist())})"
