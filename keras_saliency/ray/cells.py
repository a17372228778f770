"""Cells of a data set: pictures come out of a column, maps go into one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_saliency.errors import ImageError, MethodError, did_you_mean

Frame = Literal["model", "picture"]

_READ = "help(keras_saliency.ray)"


def checked(frame: Frame) -> Frame:
    """Return the frame.

    Raises:
        MethodError: It is none.
    """
    if frame not in ("model", "picture"):
        raise MethodError(
            f"frame={frame!r} was asked for.",
            "Known: 'model', 'picture'.",
            "Take one of these.",
            _READ,
        )
    return frame


def cells(batch: Mapping[str, Any], column: str) -> Any:
    """Return a batch's column.

    Raises:
        ImageError: There is none of this name.
    """
    if column not in batch:
        raise ImageError(
            f"The column {column!r} was asked for.",
            f"The data set has {', '.join(map(repr, batch))}.",
            did_you_mean(column, batch) or "Name one of these: column=....",
            _READ,
        )
    return batch[column]


def with_columns(
    batch: Mapping[str, Any], new: Mapping[str, np.ndarray], may_replace: str | None = None
) -> dict[str, Any]:
    """Return a batch with more columns.

    Raises:
        ImageError: One is there already: nobody's true labels shall be lost.
    """
    for name in new:
        if name in batch and name != may_replace:
            raise ImageError(
                f"A column {name!r} was to be added.",
                "The data set has one already.",
                f"Give that another name first: ds.rename_columns({{{name!r}: 'my_{name}'}}).",
                _READ,
            )
    return {**batch, **new}


def as_picture(value: Any) -> Any:
    """Return a cell as a picture: a file's bytes are opened, all else is one already.

    Raises:
        ImageError: The bytes are no picture.
    """
    if not isinstance(value, bytes):
        return value
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(value))
    except UnidentifiedImageError as error:
        raise ImageError(
            "A picture was given as the bytes of its file.",
            f"Pillow cannot read these {len(value)} bytes.",
            "Give a JPEG, PNG or another picture file.",
            _READ,
        ) from error


def column_of(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return maps as a column: one array where they are alike, else an array of arrays."""
    if len({one.shape for one in maps}) == 1:
        return np.stack(maps)
    column = np.empty(len(maps), object)
    for i, one in enumerate(maps):  # NumPy would try to make one array of them
        column[i] = one
    return column
