"""Videos of pixels: decoded frame by frame, resized and preprocessed as pictures are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from keras_saliency._graph.adapter import Adapter, Input
from keras_saliency._inputs import pictures, preprocessing
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency.errors import ImageError, InputError

SUFFIXES = (".gif", ".mp4", ".mov", ".avi", ".mkv", ".webm")

_READ = "help(keras_saliency.explain)"
_GIF_END = b";"


def decoded(
    file: BinaryIO, form: str, most: int | None, limit: int
) -> tuple[np.ndarray, float | None]:
    """Return the frames of a video, (T, H, W, 3) uint8, and their number a second.

    Args:
        file: The open file.
        form: Its suffix, one of `SUFFIXES`.
        most: Decoding stops one frame after so many; None decodes all.
        limit: The most bytes that the frames may take.

    Raises:
        InputError: The frames take more, or are stored turned.
        Exception: Whatever a decoder raises on a damaged file; ImportError without PyAV.
    """
    if form == ".gif":
        _check_end(file)
        with Image.open(file) as image:
            return of_pil(image, most, limit), None
    import av

    with av.open(file, mode="r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = _stacked(_of_stream(container, stream), most, limit)
        if (most is None or len(frames) <= most) and len(frames) < stream.frames:
            raise ValueError(f"its header states {stream.frames} frames, and it has {len(frames)}")
        return frames, float(stream.average_rate) if stream.average_rate else None


def of_pil(image: Image.Image, most: int | None, limit: int) -> np.ndarray:
    """Return the frames of an open PIL image, (T, H, W, 3) uint8; see `decoded`."""
    return _stacked(_of_pil(image), most, limit)


def _of_pil(image: Image.Image) -> Iterator[np.ndarray]:
    number = 0
    while True:
        try:
            image.seek(number)
        except EOFError:
            return
        yield pictures.read(image.copy())
        number += 1


def _of_stream(container: Any, stream: Any) -> Iterator[np.ndarray]:
    for frame in container.decode(stream):
        if frame.is_corrupt:
            raise ValueError(f"frame {frame.pts} is damaged")
        if getattr(frame, "rotation", 0) % 360:
            raise InputError(
                "Expected a video whose frames are stored upright.",
                f"Got frames that are to be turned by {frame.rotation} degrees.",
                "Decode and turn it yourself, and pass a uint8 array (T, H, W, 3).",
                _READ,
            )
        yield frame.to_ndarray(format="rgb24")


def _stacked(frames: Iterable[np.ndarray], most: int | None, limit: int) -> np.ndarray:
    held: list[np.ndarray] = []
    size = 0
    for frame in frames:
        if held and frame.shape[:2] != held[0].shape[:2]:
            raise ValueError(f"its frames have sizes {held[0].shape[:2]} and {frame.shape[:2]}")
        size += 3 * frame.shape[0] * frame.shape[1]
        if size > limit:
            raise InputError(
                f"Expected a video of at most {limit:,} bytes of pixels.",
                f"Got more: its first {len(held) + 1} frames take {size:,}.",
                "Sample its frames, and pass a uint8 array (T, H, W, 3).",
                _READ,
            )
        held.append(np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame)
        if most is not None and len(held) > most:
            break
    if not held:
        raise ValueError("it has no frames")
    return np.stack(held)


def _check_end(file: BinaryIO) -> None:
    """Raise ValueError for a GIF that was cut off between two frames."""
    data = file.read()
    if not data.rstrip(b"\0").endswith(_GIF_END):
        raise ValueError("its end is missing")
    file.seek(0)


def fitted(given: np.ndarray, one: Input) -> np.ndarray:
    """Return a video of pixels at the model's size: each frame as a picture is, bicubic.

    Args:
        given: (T, H, W, C) uint8, C 1 or 3; anything else is returned as it is.
        one: The model's input. One that takes grey gets grey frames.

    Raises:
        ImageError: Its frames are too small.
    """
    shape = one.shape
    if given.ndim != 4 or given.dtype != np.uint8 or given.shape[-1] not in (1, 3) or not shape:
        return given
    channels = shape[3] if len(shape) == 4 else 1
    if channels == 1 and given.shape[-1] == 3:
        given = np.stack([pictures.grey(frame) for frame in given])
    elif channels == 3 and given.shape[-1] == 1:
        given = np.repeat(given, 3, axis=-1)
    own, size = given.shape[1:3], (shape[1] or given.shape[1], shape[2] or given.shape[2])
    if own != size:
        if min(own) < pictures.MIN_SIDE:
            raise ImageError(
                f"Expected frames of at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE} pixels, to "
                f"resize them to {size[0]}x{size[1]}.",
                f"Got only {own[0]}x{own[1]} pixels (height x width).",
                "Pass a larger video.",
                _READ,
            )
        geometry = Geometry.fitted(own, size)
        given = np.stack([geometry.apply(frame) for frame in given])
    return given if len(shape) == 4 else given[..., 0]


def preprocess(wanted: Any, adapter: Adapter, **seen: Any) -> Preprocess:
    """Return the preprocessing of a video of pixels 0..255, by the rules for pictures.

    Args:
        wanted: The argument ``preprocess`` of explain().
        adapter: The model, which is built.
        seen: See `keras_saliency._inputs.preprocessing.resolve`.

    Raises:
        PreprocessError: It is unknown.
    """
    known = preprocessing.resolve(wanted, adapter.model, **seen)
    if known is None:
        raise preprocessing.unknown(adapter.model, **seen)
    return known
