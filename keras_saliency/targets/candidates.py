"""A detector's candidates as tensors: boxes, scores of classes, overlaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from keras_saliency.errors import TargetError
from keras_saliency.targets.base import READ, Output, Outputs, Score, take
from keras_saliency.targets.function import Function

BoxFormat = Literal["yxyx", "xyxy", "xywh", "center_xywh", "center_yxhw",
                    "rel_yxyx", "rel_xyxy", "rel_xywh", "rel_center_xywh"]  # fmt: skip
Activation = Literal["sigmoid", "softmax", "none"]

_FLOOR = 1e-30  # of what a logarithm or a quotient is taken
_TINY = 1e-12  # of a squared length, whose root has a gradient


@dataclass(frozen=True)
class Candidates:
    """A detector's candidates.

    Attributes:
        boxes: (B, N, 4): top, left, bottom, right in pixels of the model's input.
        classes: Scores of classes (B, N, K), or None.
        objectness: (B, N), 0 to 1, or None.
    """

    boxes: Any
    classes: Output | None
    objectness: Any

    @property
    def limits(self) -> tuple[int, int]:
        """The number of candidates and of classes; a large one where there are none."""
        classes = 1 << 30 if self.classes is None else self.classes.logits.shape[-1]
        return self.boxes.shape[1], classes

    def chosen(self, rows: Mapping[str, Any], box: Any) -> tuple[Any, Any]:
        """Return each picture's candidate (B,), and its overlap with a box if that decided."""
        from keras import ops

        if "index" in rows:
            return rows["index"], None
        if box is not None:
            overlaps = iou(ops.stop_gradient(self.boxes), box[:, None])
            index = ops.argmax(overlaps, axis=-1)
            return index, take(overlaps, index)
        values = ops.stop_gradient(self.classes.logits)  # type: ignore[union-attr]
        if self.objectness is not None:
            values = ops.stop_gradient(self.scored("probability") * self.objectness[..., None])
        if "class" in rows:
            certain = at(ops.transpose(values, (0, 2, 1)), rows["class"])
        else:
            certain = ops.max(values, axis=-1)
        return ops.argmax(certain, axis=-1), None

    def scored(self, score: Score) -> Any:
        """Return the scores of classes as logits, probabilities or log probabilities, (B, N, K).

        Raises:
            TargetError: Nothing shows how to compute them.
        """
        from keras import ops

        output: Any = self.classes
        if output.activation == "none":
            if score == "logit":
                raise _unknown("logits", "probabilities without them", "Pass score='probability'.")
            return output.values if score == "probability" else _log(output.values)
        if score != "logit" and output.activation is None:
            raise _unknown(
                "probabilities",
                "scores of classes that no softmax or sigmoid layer makes",
                "Pass activation='sigmoid' or 'softmax', as the model was trained; or 'none' if "
                "they are probabilities.",
            )
        values = output.scored(score)
        return ops.clip(values, 0.0, 1.0) if score == "probability" else values

    def of_class(
        self, score: Score, index: Any, rows: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """Return the score (B,) of a class of each picture's candidate, and aux values."""
        from keras import ops

        output: Any = self.classes
        klass = rows.get("class")
        if klass is None:
            klass = ops.argmax(ops.stop_gradient(at(output.logits, index)), axis=-1)
        aux = {"index": klass}
        if output.activation is None:
            if output.logits.shape[-1] > 1:
                values, logits = at(output.values, index), at(output.logits, index)
                aux |= Output(values, logits, None).aux()
        else:
            own = at(ops.stop_gradient(self.scored("probability")), index)
            aux["probability"] = take(own, klass)
        return take(at(self.scored(score), index), klass), aux

    def similarity(
        self, rows: Mapping[str, Any], box: Any, index: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the D-RISE similarity (B,) to a detection, and that detection."""
        from keras import ops

        probabilities = self.scored("probability")
        box = ops.stop_gradient(at(self.boxes, index) if box is None else box)
        if "vector" in rows:
            vector = ops.cast(rows["vector"], probabilities.dtype)
        elif "class" in rows:
            count = probabilities.shape[-1]
            vector = ops.one_hot(rows["class"], count, dtype=probabilities.dtype)
        else:
            vector = ops.stop_gradient(at(probabilities, index))
        products = ops.sum(probabilities * vector[:, None], axis=-1)
        lengths = _length(probabilities) * _length(vector)[:, None]
        likeness = iou(self.boxes, box[:, None]) * products / lengths
        if self.objectness is not None:
            likeness = likeness * self.objectness
        return ops.max(likeness, axis=-1), {"box": box, "vector": vector}


def read(
    boxes: Any,
    classes: Output | None,
    objectness: Any,
    form: BoxFormat,
    activation: Activation | None,
    size: tuple[int, ...],
) -> Candidates:
    """Return a detector's outputs as candidates; those of one candidate need no axis for it.

    Raises:
        TargetError: Their shapes do not fit each other.
    """
    from keras import ops

    shapes = [tuple(boxes.shape)]
    if len(boxes.shape) == 2:
        boxes = boxes[:, None]
    if classes is not None:
        values, logits, known = classes.values, classes.logits, classes.activation
        shapes.append(tuple(values.shape))
        if len(values.shape) == 2:
            values, logits = values[:, None], logits[:, None]
        if known is None and activation in ("sigmoid", "softmax"):
            values = ops.sigmoid(logits) if activation == "sigmoid" else ops.softmax(logits, -1)
        classes = Output(values, logits, known or activation)
    if objectness is not None:
        shapes.append(tuple(objectness.shape))
        if objectness.shape[-1] == 1 != boxes.shape[1] or len(objectness.shape) == 3:
            objectness = ops.squeeze(objectness, axis=-1)
    fit = len(boxes.shape) == 3 and boxes.shape[-1] == 4 and boxes.shape[1]
    if classes is not None:
        fit = fit and len(classes.values.shape) == 3 and classes.values.shape[1] == boxes.shape[1]
    if objectness is not None:
        fit = fit and tuple(objectness.shape[1:]) == (boxes.shape[1],)
    if not fit:
        raise TargetError(
            "Expected boxes (B, N, 4), scores of classes (B, N, K) and objectness (B, N), of as "
            "many candidates N.",
            f"Got shapes {', '.join(map(str, shapes))}.",
            "Name the outputs that have these, or write a decoder= that returns them.",
            READ,
        )
    return Candidates(_corners(boxes, form, size), classes, objectness)


def decoded(decoder: Callable[[Any], Any], outputs: Outputs) -> tuple[Any, Output, Any]:
    """Return boxes, scores of classes and objectness (or None) as a decoder returns them.

    Raises:
        TargetError: It cannot be computed, or returns something else.
    """
    wanted = (
        "Expected the decoder to return boxes (B, N, 4) and scores of classes (B, N, K), and "
        "objectness (B, N) if the model has one."
    )
    try:
        given = Function(decoder).scores(outputs, {})[0]
    except TargetError as error:
        raise TargetError(wanted, error.got, error.fix, READ) from error.__cause__
    if isinstance(given, Mapping) and {"boxes", "classes"} <= set(given):
        given = given["boxes"], given["classes"], given.get("objectness")
    tensors = list(given) if isinstance(given, tuple | list) else []
    if len(tensors) not in (2, 3) or not all(
        hasattr(one, "shape") or (one is None and number == 2) for number, one in enumerate(tensors)
    ):
        names = f" of {sorted(map(str, given))}" if isinstance(given, Mapping) else ""
        raise TargetError(
            wanted,
            f"Got {type(given).__name__}{names}.",
            "Return them in this order, or a dict with the names 'boxes', 'classes', 'objectness'.",
            READ,
        )
    boxes, classes, objectness = [None if one is None else _precise(one) for one in tensors] + (
        [None] * (3 - len(tensors))
    )
    return boxes, Output(classes, classes, None), objectness


def iou(one: Any, other: Any) -> Any:
    """Return the intersection over union of boxes (..., 4), 0 to 1; an empty box has none."""
    from keras import ops

    start = ops.maximum(one[..., :2], other[..., :2])
    end = ops.minimum(one[..., 2:], other[..., 2:])
    shared = _area(start, end)
    total = _area(one[..., :2], one[..., 2:]) + _area(other[..., :2], other[..., 2:]) - shared
    return shared / ops.maximum(total, _FLOOR)


def at(values: Any, index: Any) -> Any:
    """Return ``values[i, index[i]]``, (B, K), of (B, N, K)."""
    from keras import ops

    return ops.squeeze(ops.take_along_axis(values, index[:, None, None], axis=1), axis=1)


def _area(start: Any, end: Any) -> Any:
    from keras import ops

    extent = ops.maximum(end - start, 0.0)
    return extent[..., 0] * extent[..., 1]


def _corners(boxes: Any, form: BoxFormat, size: tuple[int, ...]) -> Any:
    """Return boxes of a format as top, left, bottom, right in pixels."""
    from keras import ops

    relative, kind = form.startswith("rel_"), form.removeprefix("rel_")
    one, two, three, four = (boxes[..., number] for number in range(4))
    if kind.removeprefix("center_").startswith("x"):
        one, two, three, four = two, one, four, three
    if kind.startswith("center"):
        one, two = one - three / 2, two - four / 2
    if kind.endswith(("h", "hw")):
        three, four = one + three, two + four
    if relative:
        if len(size) != 2:
            raise TargetError(
                f"Expected a picture (H, W) as the model's input, for boxes {form!r}.",
                f"Got an input with {len(size)} spatial axes.",
                "Pass a decoder= that returns the boxes in pixels.",
                READ,
            )
        height, width = size
        one, two, three, four = one * height, two * width, three * height, four * width
    return ops.stack([one, two, three, four], axis=-1)


def _length(vectors: Any) -> Any:
    from keras import ops

    return ops.sqrt(ops.maximum(ops.sum(vectors * vectors, axis=-1), _TINY))


def _log(values: Any) -> Any:
    from keras import ops

    return ops.log(ops.maximum(values, _FLOOR))


def _precise(tensor: Any) -> Any:
    import keras

    wide = keras.backend.standardize_dtype(tensor.dtype) == "float64"
    return tensor if wide else keras.ops.cast(tensor, "float32")


def _unknown(wanted: str, got: str, fix: str) -> TargetError:
    return TargetError(
        f"Expected a detector of whose classes {wanted} can be computed.", f"Got {got}.", fix, READ
    )
