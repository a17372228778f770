"""Targets on a dense output (B, h, w) or (B, h, w, K): a point, a box, a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from keras_saliency.errors import TargetError
from keras_saliency.targets.base import (
    READ,
    Outputs,
    Target,
    check_indices,
    per_row,
    take,
)


def _check_dense(shape: tuple[int | None, ...], name: str, channel: Any) -> None:
    if len(shape) not in (3, 4):
        raise TargetError(
            f"{name} asks for a dense output (B, h, w) or (B, h, w, K).",
            f"The model's output has shape {shape}.",
            "Take targets.Class for an output (B, classes).",
            READ,
        )
    if channel is not None:
        check_indices(channel, shape[3] if len(shape) == 4 else 1, "Channel")


def _dense(values: Any) -> Any:
    return values if len(values.shape) == 4 else values[..., None]


@dataclass(frozen=True)
class Pixel(Target):
    """One point of a dense output: a depth, a density, a class of a segmentation.

    Args:
        y: Row in the output's own frame.
        x: Column in the output's own frame.
        channel: Channel (or one for each picture); the strongest at that point where it is None.
    """

    y: int
    x: int
    channel: int | Sequence[int] | None = None

    @property
    def static(self) -> tuple[Any, ...]:
        return ("pixel", self.channel is None, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {name: per_row(getattr(self, name), count, f"Pixel {name}") for name in "yx"}
        if self.channel is not None:
            rows["channel"] = per_row(self.channel, count, "Channel")
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_dense(shape, "A pixel", self.channel)
        check_indices(self.y, shape[1], "Row")
        check_indices(self.x, shape[2], "Column")

    def scores(self, outputs: Outputs, rows: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        from keras import ops

        values = _dense(outputs.pick(self.output).scored(self.score))
        _, height, width, channels = values.shape
        flat = ops.reshape(values, (-1, height * width, channels))
        place = rows["y"] * width + rows["x"]
        at = ops.squeeze(ops.take_along_axis(flat, place[:, None, None], axis=1), axis=1)
        channel = rows.get("channel")
        if channel is None:
            channel = ops.argmax(ops.stop_gradient(at), axis=-1)
        return take(at, channel), {"index": channel}

    def resolved(self, learnt: dict[str, np.ndarray]) -> Target:
        return replace(self, channel=learnt["index"].tolist())


@dataclass(frozen=True, eq=False)
class Region(Target):
    """The mean of a dense output over a box or a mask.

    Args:
        box: ``(top, left, bottom, right)`` in the output's own frame, bottom and right exclusive.
        mask: (h, w) of the output's size, or (B, h, w): weights, for example 0 and 1. Give a box
            or a mask, not both.
        channel: Channel, for an output with several.
        reduce: ``"mean"`` or ``"sum"``.
    """

    box: tuple[int, int, int, int] | None = None
    mask: Any = None
    channel: int | None = None
    reduce: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Refuse what cannot be a region."""
        super().__post_init__()
        problem = None
        if (self.box is None) == (self.mask is None):
            problem = "a box and a mask were given" if self.box is not None else "neither was given"
        elif self.reduce not in ("mean", "sum"):
            problem = f"reduce={self.reduce!r} was given"
        elif self.box is not None and not (
            len(self.box) == 4 and self.box[0] < self.box[2] and self.box[1] < self.box[3]
        ):
            problem = f"the box {self.box} is empty"
        elif self.mask is not None and not np.any(np.asarray(self.mask)):
            problem = "the mask is empty"
        if problem:
            raise TargetError(
                "A region was asked for: a box (top, left, bottom, right) or a mask, "
                "reduced by 'mean' or 'sum'.",
                f"Instead {problem}.",
                "Give one of the two, with at least one pixel.",
                READ,
            )

    @property
    def static(self) -> tuple[Any, ...]:
        return ("region", self.mask is None, self.reduce, self.score, self.output)

    def rows(self, count: int) -> dict[str, np.ndarray]:
        rows = {"channel": per_row(self.channel or 0, count, "Channel")}
        if self.box is not None:
            rows["box"] = np.broadcast_to(np.asarray(self.box, np.int32), (count, 4))
            return rows
        mask = np.asarray(self.mask, np.float32)
        mask = mask[None] if mask.ndim == 2 else mask
        if mask.ndim != 3 or len(mask) not in (1, count):
            raise TargetError(
                f"A mask was given for {count} pictures.",
                f"It has shape {np.shape(self.mask)}.",
                f"Give (h, w), or ({count}, h, w).",
                READ,
            )
        rows["mask"] = np.broadcast_to(mask, (count, *mask.shape[1:]))
        return rows

    def check(self, shape: tuple[int | None, ...]) -> None:
        _check_dense(shape, "A region", self.channel)
        size = shape[1:3]
        if self.channel is None and len(shape) == 4 and shape[3] != 1:
            raise TargetError(
                "A region was asked for without a channel.",
                f"The model's output has {shape[3]} channels.",
                "Name one: targets.Region(..., channel=0).",
                READ,
            )
        if self.mask is not None and None not in size and np.shape(self.mask)[-2:] != size:
            raise TargetError(
                f"A mask of shape {np.shape(self.mask)} was given.",
                f"The model's output has height and width {size}.",
                "Give a mask in the output's own frame.",
                READ,
            )
        if self.box is not None:
            check_indices([self.box[0], self.box[2] - 1], size[0], "Row")
            check_indices([self.box[1], self.box[3] - 1], size[1], "Column")

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
