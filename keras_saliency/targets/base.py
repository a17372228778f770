"""The base class of targets: a score per picture, its numbers, and its checks."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, SupportsIndex

import numpy as np

from keras_saliency.errors import TargetError, _arguments, did_you_mean

Score = Literal["logit", "probability", "log_probability"]
"""How the score is read from a class: before the softmax or sigmoid, after it, or its logarithm."""

SCORES = ("logit", "probability", "log_probability")
READ = "help(keras_saliency.targets)"


@dataclass(frozen=True)
class Output:
    """One output of a model during a run: its values, its logits, and its final activation."""

    values: Any
    logits: Any
    activation: str | None

    def scored(self, score: Score) -> Any:
        """Return the output's values as logits, probabilities or log probabilities."""
        from keras import ops

        if score == "logit":
            return self.logits
        if score == "probability" and self.activation is not None:
            return self.values
        if self.activation == "other softmax":  # over axes that only the values show
            return ops.log(ops.maximum(self.values, 1e-30))
        sigmoid = self.activation == "sigmoid"
        if sigmoid or (self.activation is None and self.logits.shape[-1] == 1):
            return (ops.sigmoid if score == "probability" else ops.log_sigmoid)(self.logits)
        return (ops.softmax if score == "probability" else ops.log_softmax)(self.logits, axis=-1)

    def with_both_classes(self) -> Output:
        """Return the output of one sigmoid (B, 1) as classes 0 and 1, (B, 2); others unchanged."""
        from keras import ops

        if (
            self.activation != "sigmoid"
            or len(self.logits.shape) != 2
            or self.logits.shape[-1] != 1
        ):
            return self
        values = ops.concatenate([1 - self.values, self.values], axis=-1)
        return Output(values, ops.concatenate([-self.logits, self.logits], axis=-1), "sigmoid")

    def aux(self) -> dict[str, Any]:
        """Return, for each row, whether it looks like probabilities without a final activation."""
        from keras import ops

        if self.activation is not None or len(self.values.shape) != 2 or self.values.shape[-1] < 2:
            return {}
        values = ops.stop_gradient(self.values)
        one = ops.abs(ops.sum(values, axis=-1) - 1) < 1e-3
        return {"hidden": ops.logical_and(one, ops.all(values >= 0, axis=-1))}


@dataclass(frozen=True)
class Outputs:
    """A model's raw outputs, and a function that picks one by name or number."""

    raw: Any
    pick: Callable[[str | int | None], Output]
    size: tuple[int, ...] = ()  # of the model's input, without batch and channels


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """Turns a model's output into one score per picture.

    A target has a fixed part (`static`, known when a function is compiled) and numbers that may
    differ between pictures (`rows`, passed at every call, so that another class needs no
    compilation). All take ``score=`` (``"logit"``, ``"probability"``, ``"log_probability"``) and
    ``output=``, the name or number of the output for a model with several.
    """

    known_scores: ClassVar[tuple[str, ...]] = SCORES

    score: Score = "logit"
    output: str | int | None = None

    def __post_init__(self) -> None:
        """Check ``score`` and ``output``."""
        object.__setattr__(self, "output", output_path(self.output))
        if not _arguments.is_word(self.score, known := self.known_scores):
            raise TargetError(
                f"No score is called {self.score!r}.",
                f"Known: {', '.join(map(repr, known))}.",
                did_you_mean(str(self.score), known) or "Take one of these.",
                READ,
            )

    @property
    @abstractmethod
    def static(self) -> tuple[Any, ...]:
        """A key that is equal for targets that compile to the same function."""

    @abstractmethod
    def rows(self, count: int) -> dict[str, np.ndarray]:
        """Return the numbers of this target, each with ``count`` rows.

        Raises:
            TargetError: There is not one for each of ``count`` pictures.
        """

    @abstractmethod
    def check(self, shape: tuple[int | None, ...]) -> None:
        """Check that the target fits an output of this shape (with the batch axis).

        Raises:
            TargetError: It does not fit.
        """

    @abstractmethod
    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return (B,) scores and aux values, such as ``"index"`` and ``"probability"``."""

    def check_aux(self, aux: dict[str, np.ndarray]) -> None:
        """Check that the outputs' values do not contradict the score.

        Raises:
            TargetError: They are probabilities made inside a subclassed ``call``.
        """
        if "hidden" not in aux or not aux["hidden"].all():
            return
        raise TargetError(
            f"Expected outputs from which the {self.score.replace('_', ' ')} of a class can be "
            "computed.",
            "The model's outputs look like probabilities (non-negative, summing to 1), but no "
            "layer computes them: a softmax inside a call() hides the logits.",
            "Explain a log probability: target=lambda y: keras.ops.log(y[:, 0]); or make the "
            "softmax a layer.",
            READ,
        )

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        """Return this target with every choice fixed as on these pictures."""
        return self

    def describe(self, count: int) -> list[Any]:
        """Return the explained classes or texts, plain values for a manifest, one per picture."""
        return [str(self)] * count

    def for_cache(self) -> Target:
        """Return this target for a compiled function's cache, without references to a model."""
        return self


Numbers = SupportsIndex | Sequence[SupportsIndex] | np.ndarray  # one, or one for each picture
TargetLike = Target | Numbers | Callable[[Any], Any] | None


def per_row(numbers: Any, count: int, name: str) -> np.ndarray:
    """Return one whole number, or one for each picture, as ``count`` rows of int32."""
    array = _whole(numbers)
    if array is None or array.ndim != 1 or len(array) not in (1, count):
        raise TargetError(
            f"Expected {name} to be a whole number, or one for each of {count} pictures.",
            f"Got {numbers!r}" + ("." if array is None else f" of shape {array.shape}."),
            f"Pass one integer, or a list of {count}.",
            READ,
        )
    return np.broadcast_to(array.astype(np.int32), (count,))


def _whole(numbers: Any) -> np.ndarray | None:
    """Return one whole number or a list of them as an array; None for others, such as a bool."""
    plain = isinstance(numbers, list | tuple)
    if plain and not all(map(_arguments.is_integer, numbers)):
        return None
    try:
        array = np.atleast_1d(np.asarray([*map(operator.index, numbers)] if plain else numbers))
    except Exception:  # whatever a tensor without numbers raises
        return None
    small = array.dtype.kind in "iu" and bool((array == array.astype(np.int32)).all())
    return array if small else None


def output_path(output: Any) -> str | int | None:
    """Return an output's name or number; a path may come as a list of its parts."""
    if output is None or isinstance(output, str):
        return output
    if _arguments.is_integer(output):
        return operator.index(output)
    parts = output if isinstance(output, list | tuple) else ()
    if parts and all(isinstance(one, str) or _arguments.is_integer(one) for one in parts):
        return "/".join(map(str, parts))
    raise TargetError(
        "Expected the name, number or path of one of the model's outputs.",
        f"Got output={output!r}.",
        "Pass its name, its number, or a path such as 'aux/0'.",
        READ,
    )


def check_indices(indices: Any, size: int | None, name: str) -> None:
    """Raise TargetError for a number outside 0 .. size - 1 (None: unknown)."""
    for index in np.atleast_1d(indices).tolist():
        if size is not None and not 0 <= index < size:
            raise TargetError(
                f"The model's output has no {name} {index}.",
                f"It has {size}" + (f", numbered 0 to {size - 1}." if size > 0 else "."),
                "Take one of these.",
                READ,
            )


def take(values: Any, index: Any) -> Any:
    """Return ``values[i, index[i]]`` for each row i."""
    from keras import ops

    return ops.squeeze(ops.take_along_axis(values, index[:, None], axis=-1), axis=-1)


def _is_real(dtype: str) -> bool:
    return dtype == "bool" or dtype.startswith(("float", "bfloat", "int", "uint"))


def check_output(values: Any, model: str) -> None:
    """Refuse an output of a model that is no tensor of real numbers."""
    import keras

    dtype = keras.backend.standardize_dtype(values.dtype)
    if not _is_real(dtype):
        raise TargetError(
            f"Expected real numbers as output of model {model!r}.",
            f"Got {dtype}.",
            "Explain a score of your own: target=lambda outputs: ..., written with keras.ops.",
            "help(keras_saliency.targets)",
        )


def check_any_count(target: Target, read: str) -> None:
    """Refuse a target that fits a batch of one size only.

    Args:
        target: What is explained on every picture.
        read: Where to read more.

    Raises:
        TargetError: It has one class, or one position, for each of several pictures.
    """
    for count in (1, 2):
        try:
            target.rows(count)
        except TargetError as error:
            raise TargetError(
                "Expected a target that fits every single picture.",
                error.got,
                "Pass one that fits every picture, or stream(images, targets=[...]).",
                read,
            ) from error


def check_scores(scores: Any, images: Any) -> None:
    """Refuse what a target returned unless it is a real number for each picture."""
    import keras

    shape = tuple(getattr(scores, "shape", ()))
    tensor = hasattr(scores, "shape") and hasattr(scores, "dtype")
    if tensor and not _is_real(keras.backend.standardize_dtype(scores.dtype)):
        raise TargetError(
            "Expected the target to return one real number per picture.",
            f"Got {scores.dtype}.",
            "Return floats; of a complex tensor keras.ops.absolute or keras.ops.real.",
            "help(keras_saliency.targets)",
        )
    if not tensor or shape not in ((images.shape[0],), (None,)):
        raise TargetError(
            "Expected the target to return one score per picture.",
            f"Got {f'shape {shape}' if tensor else type(scores).__name__} "
            f"for {images.shape[0]} pictures.",
            f"Return a tensor of shape ({images.shape[0]},), written with keras.ops: reduce all "
            "axes but the first.",
            "help(keras_saliency.targets)",
        )
