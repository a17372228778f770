"""Convolutions and pools that XLA runs or differentiates slowly on CPUs, written otherwise.

XLA has no fast kernel for a depthwise convolution there (jax-ml/jax issue 13800), nor for the
gradient of a convolution with strides or of a maximum over windows. What is written here gives the
same numbers but for the order of sums. Measured by ``python -m benchmarks run``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import product
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from keras_saliency.intercept import intercept_functions

_LARGEST = 7  # side of a kernel that is still written out
_FEW = 4  # channels of a picture


def rewritten() -> contextlib.AbstractContextManager[None]:
    """Return a block in which this thread's convolutions and pools are traced as written here."""
    if jax.default_backend() != "cpu":
        return contextlib.nullcontext()
    return intercept_functions(
        lax, {"conv_general_dilated": _convolution, "reduce_window": _window}
    )


def _convolution(
    original: Callable[..., Any],
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **rest: Any,
) -> Any:
    """Run a convolution: depthwise as shifted products, pointwise or strided as one product."""

    def as_it_is() -> Any:
        more = {**rest, "feature_group_count": feature_group_count}
        dilations = lhs_dilation, rhs_dilation, dimension_numbers
        return original(lhs, rhs, window_strides, padding, *dilations, **more)

    if lhs.ndim != 4:
        return as_it_is()
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    pictures = numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _CHANNELS_LAST)
    plain = all(set(one or (1,)) == {1} for one in (lhs_dilation, rhs_dilation))
    exact = lhs.dtype == rhs.dtype and lhs.dtype in (jnp.float32, jnp.float64)
    if not (pictures and plain and exact) or max(rhs.shape[:2]) > _LARGEST:
        return as_it_is()
    channels, kernel, strides = lhs.shape[-1], rhs.shape[:2], tuple(window_strides)
    depthwise = feature_group_count == channels == rhs.shape[3]
    pointwise = kernel == (1, 1)
    if not depthwise and (
        feature_group_count > 1 or not (pointwise or strides != (1, 1) or channels <= _FEW)
    ):
        return as_it_is()
    places = _Places(lhs, kernel, strides, padding, 0)
    if depthwise:
        return sum(places.at(i, j) * rhs[i, j, 0] for i, j in product(*map(range, kernel)))
    patches = [places.at(i, j) for i, j in product(*map(range, kernel))]
    return lax.dot_general(
        jnp.concatenate(patches, axis=-1),  # of one, itself
        rhs.reshape(-1, rhs.shape[-1]),
        (((3,), (0,)), ((), ())),
        precision=rest.get("precision"),
        preferred_element_type=rest.get("preferred_element_type"),
    )


_CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def _window(
    original: Callable[..., Any],
    operand: Any,
    init_value: Any,
    computation: Any,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
    *args: Any,
    **rest: Any,
) -> Any:
    """Run a maximum over windows of a picture as a maximum of shifted pictures."""
    size, strides = tuple(window_dimensions), tuple(window_strides)
    dilated = any(set(one or (1,)) != {1} for one in (*args, *rest.values()))
    pictures = len(size) == 4 and size[0] == size[3] == strides[0] == strides[3] == 1
    if computation is not lax.max or dilated or not pictures or max(size) > _LARGEST:
        return original(
            operand, init_value, computation, window_dimensions, window_strides, padding, *args,
            **rest,
        )  # fmt: skip
    if not isinstance(padding, str):
        padding = padding[1:3]
    places = _Places(operand, size[1:3], strides[1:3], padding, init_value)
    found = None
    for i, j in product(range(size[1]), range(size[2])):
        here = places.at(i, j)
        # Of several that are largest, XLA's gradient goes to the first.
        found = here if found is None else jnp.where(found >= here, found, here)
    return found


class _Places:
    """A padded picture, and the pixels of it that one place of a moving window comes over."""

    def __init__(self, picture: Any, kernel: Any, strides: Any, padding: Any, filling: Any) -> None:
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(picture.shape[1:3], kernel, strides, padding.upper())
        filling = jnp.asarray(filling, picture.dtype)
        around = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
        self._picture = lax.pad(picture, filling, around)
        self._strides = strides
        self._counts = [
            max(0, (side - length) // stride + 1)  # 0 where the window does not fit in
            for side, length, stride in zip(self._picture.shape[1:3], kernel, strides, strict=True)
        ]

    def at(self, row: int, column: int) -> Any:
        """Return the pixels under one place of the window, (B, rows, columns, C)."""
        return self._picture[
            :,
            *(
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(
                    (row, column), self._counts, self._strides, strict=True
                )
            ),
        ]
