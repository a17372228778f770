"""Targets on an output with positions: a point, a box, a mask; a step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs import geometry
from keras_saliency.errors import TargetError, _arguments
from keras_saliency.targets.base import (
    READ,
    Numbers,
    Outputs,
    Target,
    check_indices,
    per_row,
    take,
)


def _check_dense(shape: tuple[int | None, ...], name: str, channel: Any) -> None:
    if len(shape) not in (3, 4):
        raise TargetError(
            f"Expected a dense output (B, h, w) or (B, h, w, K) for {name}.",
            f"Got a model output of shape {shape}.",
            "Take targets.Class for an output (B, classes).",
            READ,
        )
    if channel is not None:
        check_indices(channel, shape[3] if len(shape) == 4 else 1, "channel")


def _dense(values: Any) -> Any:
    return values if len(values.shape) == 4 else values[..., None]


def _box(box: Any, size: Many[int | None] | None = None) -> geometry.Box:
    try:
        return geometry.read(box, size, whole=True)
    except geometry.NoBox as error:
        what = f"Expected a box {geometry.ORDER} as the region of a dense output."
        raise TargetError(what, error.got, error.fix, READ) from None


@dataclass(frozen=True)
class Pixel(Target):
    """One point of a dense output: a depth, a density, a class of a segmentation.

    Args:
        y: Row in the output's own frame.
        x: Column in the output's own frame.
        channel: Channel, or one for each picture; None takes the strongest at that point.
    """

    y: int
    x: int
    channel: int | Many[int] | None = None

    @property
    def static(self) -> tuple[Any, ...]:
        return ("pixel", self.channel is None, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {name: per_row(getattr(self, name), count, f"the pixel's {name}") for name in "yx"}
        if self.channel is not None:
            rows["channel"] = per_row(self.channel, count, "the channel")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_dense(shape, "a pixel", self.channel)
        check_indices(self.y, shape[1], "row")
        check_indices(self.x, shape[2], "column")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        values = _dense(outputs.pick(self.output).scored(self.score))
        _, height, width, channels = values.shape
        flat = ops.reshape(values, (-1, height * width, channels))
        position = rows["y"] * width + rows["x"]
        at = ops.squeeze(ops.take_along_axis(flat, position[:, None, None], axis=1), axis=1)
        channel = rows.get("channel")
        if channel is None:
            channel = ops.argmax(ops.stop_gradient(at), axis=-1)
        return take(at, channel), {"index": channel}

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        return replace(self, channel=aux["index"].tolist())


@dataclass(frozen=True, eq=False)
class Region(Target):
    """The mean of a dense output over a box or a mask.

    Args:
        box: ``(top, left, bottom, right)`` in the output's own frame, bottom and right exclusive;
            a `keras_saliency.Box`, or a dict with these names.
        mask: (h, w) of the output's size, or (B, h, w): weights, for example 0 and 1. Pass a box
            or a mask, not both.
        channel: Channel, for an output with several.
        reduce: ``"mean"`` or ``"sum"``.
    """

    box: geometry.BoxLike | None = None
    mask: npt.ArrayLike | None = None
    channel: int | None = None
    reduce: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        problem = None
        if (self.box is None) == (self.mask is None):
            problem = "both box= and mask=" if self.box is not None else "neither box= nor mask="
        elif not _arguments.is_word(self.reduce, ("mean", "sum")):
            problem = f"reduce={self.reduce!r}"
        elif self.box is not None:
            object.__setattr__(self, "box", _box(self.box))
        elif self.mask is not None and not np.any(np.asarray(self.mask)):
            problem = "an empty mask"
        if problem:
            raise TargetError(
                "Expected a box (top, left, bottom, right) or a mask, reduced by 'mean' or 'sum'.",
                f"Got {problem}.",
                "Pass one of the two, with at least one pixel.",
                READ,
            )

    @property
    def static(self) -> tuple[Any, ...]:
        return ("region", self.mask is None, self.reduce, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {
            "channel": per_row(0 if self.channel is None else self.channel, count, "the channel")
        }
        if self.box is not None:
            rows["box"] = np.broadcast_to(np.asarray(self.box, np.int32), (count, 4))
            return rows
        mask = np.asarray(self.mask, np.float32)
        mask = mask[None] if mask.ndim == 2 else mask
        if mask.ndim != 3 or len(mask) not in (1, count):
            raise TargetError(
                f"Expected a mask (h, w), or ({count}, h, w) for {count} pictures.",
                f"Got shape {mask.shape}.",
                f"Pass (h, w), or ({count}, h, w).",
                READ,
            )
        rows["mask"] = np.broadcast_to(mask, (count, *mask.shape[1:]))
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_dense(shape, "a region", self.channel)
        size = shape[1:3]
        if self.channel is None and len(shape) == 4 and shape[3] != 1:
            raise TargetError(
                "Expected channel= for a region of an output with several channels.",
                f"Got channel=None and a model output of {shape[3]} channels.",
                "Name one: targets.Region(..., channel=0).",
                READ,
            )
        if self.mask is not None and None not in size and np.shape(self.mask)[-2:] != size:
            raise TargetError(
                f"Expected a mask of the output's height and width, {size}.",
                f"Got shape {np.shape(self.mask)}.",
                "Pass a mask in the output's own frame.",
                READ,
            )
        if self.box is not None:
            _box(tuple(self.box), size)

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        values = _dense(outputs.pick(self.output).scored(self.score))
        _, height, width, channels = values.shape
        if "mask" in rows:
            mask = rows["mask"]
        else:
            top, left, bottom, right = (rows["box"][:, i, None, None] for i in range(4))
            y, x = ops.arange(height)[None, :, None], ops.arange(width)[None, None, :]
            mask = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        mask = ops.cast(mask, values.dtype)
        chosen = ops.one_hot(rows["channel"], channels, dtype=values.dtype)
        plane = ops.sum(values * chosen[:, None, None, :], axis=-1)
        total = ops.sum(plane * mask, axis=(1, 2))
        return (total / ops.sum(mask, axis=(1, 2)) if self.reduce == "mean" else total), {}


@dataclass(frozen=True)
class Sequence(Target):
    """One token at one step of a sequence output (B, T, V).

    Args:
        step: Step, or one for each input; negative ones count from the end of T, padding included.
        token: Number of the token (or class), or one for each input; None takes the one with the
            highest logit at that step.

    Raises:
        TargetError: The output has another shape, or no such step or token.

    Example:
        >>> words = keras.Input((6,), dtype="int32")
        >>> x = keras.layers.Embedding(9, 4)(words)
        >>> tagger = keras.Model(words, keras.layers.Dense(9)(x))
        >>> target = targets.Sequence(step=-1, token=5, score="log_probability")
        >>> explain(tagger, np.array([1, 2, 3, 4, 5, 6]), target=target).values.shape
        (1, 6)
    """

    step: Numbers = -1
    token: Numbers | None = None

    @property
    def static(self) -> tuple[Any, ...]:
        return ("sequence", self.token is None, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {"step": per_row(self.step, count, "the step")}
        if self.token is not None:
            rows["token"] = per_row(self.token, count, "the token")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        if len(shape) != 3 or 0 in shape:
            raise TargetError(
                "Expected an output (B, steps, tokens) for a step of a sequence.",
                f"Got a model output of shape {shape}.",
                "Take targets.Class for an output (B, classes).",
                READ,
            )
        self._check_step(shape[1])
        if self.token is not None:
            check_indices(self.token, shape[2], "token")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        output = outputs.pick(self.output)
        steps = ops.shape(output.logits)[1]
        step = ops.where(rows["step"] < 0, rows["step"] + steps, rows["step"])
        aux = {"steps": ops.zeros_like(step) + steps}
        step = ops.clip(step, 0, steps - 1)  # resolved() refuses what was outside
        here = [
            ops.squeeze(ops.take_along_axis(one, step[:, None, None], axis=1), axis=1)
            for one in (output.scored(self.score), ops.stop_gradient(output.logits))
        ]
        token = rows.get("token")
        if token is None:
            token = ops.argmax(here[1], axis=-1)
        return take(here[0], token), {**aux, "index": token}

    def _check_step(self, steps: int | None) -> None:
        if steps is not None:
            step = np.asarray(self.step)
            inside = (step < 0) & (step >= -steps)
            check_indices(np.where(inside, step + steps, step), steps, "step")

    def resolved(self, aux: dict[str, np.ndarray]) -> Target:
        self._check_step(int(aux["steps"][0]))
        return self if self.token is not None else replace(self, token=aux["index"].tolist())

    def describe(self, count: int) -> list[Any]:
        rows = self.rows(count)
        return [
            f"token {token} at step {step}"
            for token, step in zip(rows["token"], rows["step"], strict=True)
        ]
