"""Pictures and maps as data URIs: a JPEG for the photo, a see-through PNG for each map."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from keras_saliency import postprocess
from keras_saliency.plot.pixels import rgb
from keras_saliency.plot.scale import colormap

_PHOTO, _MAP = 1024, 512  # pixels of the longer side


def photo_uri(picture: np.ndarray) -> str:
    """Return a picture as a JPEG of at most 1024 pixels a side."""
    height, width = np.shape(picture)[:2]
    scale = min(1.0, _PHOTO / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = Image.fromarray(np.ascontiguousarray(rgb(picture))).resize(size)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, optimize=True)
    return _uri("jpeg", buffer)


def map_uri(values: np.ndarray, signed: bool, limits: tuple[float, float]) -> str:
    """Return a map as a PNG of at most 512 pixels a side, to be laid over its picture.

    256 colours, as `keras_saliency.plot.overlay` draws them: opacity grows with the magnitude.

    Args:
        values: (H, W), not rescaled.
        signed: Whether the sign has a meaning.
        limits: The ends of the colour scale.
    """
    scale = min(1.0, _MAP / max(values.shape))
    size = tuple(max(1, round(side * scale)) for side in values.shape)
    finite = np.nan_to_num(np.asarray(values, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    small = postprocess.resize(finite[None], (size[0], size[1]))[0]
    low, high = limits
    share = (np.clip(small, low, high) - low) / (high - low)
    image = Image.fromarray(np.round(255 * share).astype(np.uint8))
    colours = np.round(255 * colormap(signed)(np.arange(256))[:, :3]).astype(np.uint8)
    image.putpalette(colours.tobytes())
    at = np.abs(np.linspace(low / high, 1.0, 256))
    opacity = np.round(255 * at**0.6).astype(np.uint8)
    if signed:
        opacity[127:129] = 0  # nothing is said in the middle, between two colours
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=opacity.tobytes())
    return _uri("png", buffer)


def gradient(signed: bool) -> str:
    """Return a colour scale as a CSS gradient, from left to right."""
    stops = np.round(255 * colormap(signed)(np.linspace(0, 1, 11))[:, :3]).astype(int)
    colours = ",".join(f"rgb({red},{green},{blue})" for red, green, blue in stops.tolist())
    return f"linear-gradient(90deg,{colours})"


def _uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
