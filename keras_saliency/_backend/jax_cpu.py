"""Faster forms of convolutions and pools that XLA runs or differentiates slowly on CPUs.

XLA has no fast kernel for a depthwise convolution there (jax-ml/jax issue 13800), nor for the
gradient of a convolution with strides or of a maximum over windows. What is written here gives the
same numbers but for the order of sums. Measured by ``python -m benchmarks run``.
"""

from __future__ import annotations

import contextlib
import inspect
import operator
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from keras_saliency import config
from keras_saliency._backend.hooks import intercept_functions

_LARGEST = 7  # height and width of a kernel that is still written out
_FEW = 4  # channels of a picture


@contextlib.contextmanager
def rewritten() -> Iterator[None]:
    """Trace this thread's convolutions and pools within this block in these faster forms."""
    if jax.default_backend() != "cpu" or not config.is_rewriting_enabled():
        yield
        return
    handlers = {"conv_general_dilated": _convolution, "reduce_window": _window}
    # Functions that are jitted by themselves are traced once: not for us and for all others.
    with _traced_here(True), intercept_functions(lax, handlers):
        yield


if hasattr(jax, "make_user_context"):
    _traced_here = jax.make_user_context(False)
else:  # before JAX 0.8

    def _traced_here(value: bool) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def _named(original: Callable[..., Any], args: Any, kwargs: Any, known: set[str]) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises:
        _Declined: They do not fit, or one is unknown here.
    """
    try:
        bound = inspect.signature(original).bind(*args, **kwargs)
    except (TypeError, ValueError):
        raise _Declined from None
    named = {name: value for name, value in bound.arguments.items() if value is not None}
    if not named.keys() <= known:
        raise _Declined
    return named


class _Declined(Exception):
    """A call that has no faster form here."""


def _convolution(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a convolution: depthwise as shifted products, pointwise or strided as one product."""
    try:
        given = _named(original, args, kwargs, _OF_CONVOLUTIONS)
        return _products(**given)
    except _Declined:
        return original(*args, **kwargs)


_OF_CONVOLUTIONS = {
    "lhs", "rhs", "window_strides", "padding", "lhs_dilation", "rhs_dilation",
    "dimension_numbers", "feature_group_count", "batch_group_count", "precision",
    "preferred_element_type",
}  # fmt: skip


def _products(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = (1,),
    rhs_dilation: Any = (1,),
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    if not (_is_picture(lhs) and _is_picture(rhs)) or lhs.dtype != rhs.dtype:
        raise _Declined
    try:
        numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        pictures = numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _CHANNELS_LAST)
        plain = {*lhs_dilation, *rhs_dilation, batch_group_count} == {1}
        same_type = preferred_element_type is None or lhs.dtype == preferred_element_type
    except (TypeError, ValueError):
        raise _Declined from None
    usual = precision is None or isinstance(precision, lax.Precision)
    if not (pictures and plain and same_type and usual) or max(rhs.shape[:2]) > _LARGEST:
        raise _Declined
    channels, kernel, strides = lhs.shape[-1], rhs.shape[:2], tuple(window_strides)
    if channels != rhs.shape[2] * feature_group_count or rhs.shape[3] % feature_group_count:
        raise _Declined
    depthwise = feature_group_count == channels == rhs.shape[3]
    pointwise = kernel == (1, 1)
    if not depthwise and (
        feature_group_count > 1 or not (pointwise or strides != (1, 1) or channels <= _FEW)
    ):
        raise _Declined
    windows = _Windows(lhs, kernel, strides, padding, 0)
    if depthwise:
        return sum(windows.at(i, j) * rhs[i, j, 0] for i, j in product(*map(range, kernel)))
    patches = [windows.at(i, j) for i, j in product(*map(range, kernel))]
    return lax.dot_general(
        jnp.concatenate(patches, axis=-1),  # of one, itself
        rhs.reshape(-1, rhs.shape[-1]),
        (((3,), (0,)), ((), ())),
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


_CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def _is_picture(array: Any) -> bool:
    """Whether this is one array of four axes in a precision that adds up as well in any order."""
    known = isinstance(array, jax.Array | np.ndarray) and array.ndim == 4
    return known and array.dtype in (jnp.float32, jnp.float64) and 0 not in array.shape


def _window(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a maximum over windows of a picture as a maximum of shifted pictures."""
    try:
        return _maxima(**_named(original, args, kwargs, _OF_WINDOWS))
    except _Declined:
        return original(*args, **kwargs)


_OF_WINDOWS = {
    "operand", "init_value", "computation", "window_dimensions", "window_strides", "padding",
    "base_dilation", "window_dilation",
}  # fmt: skip


def _maxima(
    operand: Any,
    init_value: Any,
    computation: Any,
    window_dimensions: Any,
    window_strides: Any = (1, 1, 1, 1),
    padding: Any = "VALID",
    base_dilation: Any = (1,),
    window_dilation: Any = (1,),
) -> Any:
    if computation is not lax.max or not _is_picture(operand) or not _is_least(init_value):
        raise _Declined
    try:
        size, strides = tuple(window_dimensions), tuple(window_strides)
        plain = {*base_dilation, *window_dilation} == {1}
    except TypeError:
        raise _Declined from None
    pictures = (
        len(size) == len(strides) == 4 and size[0] == size[3] == strides[0] == strides[3] == 1
    )
    if not (plain and pictures) or not 0 < max(size) <= _LARGEST:
        raise _Declined
    if not isinstance(padding, str):
        padding = [tuple(one) for one in padding]
        if len(padding) != 4 or {padding[0], padding[3]} != {(0, 0)}:
            raise _Declined
        padding = padding[1:3]
    windows = _Windows(operand, size[1:3], strides[1:3], padding, init_value)
    result = None
    for i, j in product(range(size[1]), range(size[2])):
        here = windows.at(i, j)
        # Of several that are largest, XLA's gradient goes to the first. NaN stays.
        result = (
            here
            if result is None
            else jnp.where((result >= here) | (result != result), result, here)
        )
    return result


def _is_least(value: Any) -> bool:
    """Whether the maximum starts at minus infinity, below every number."""
    try:
        return np.ndim(value) == 0 and float(value) == -np.inf
    except (TypeError, ValueError):  # a value that is traced is not known
        return False


class _Windows:
    """A padded picture, and its pixels under one position of a moving window."""

    def __init__(self, picture: Any, kernel: Any, strides: Any, padding: Any, filling: Any) -> None:
        try:
            if isinstance(padding, str):
                padding = lax.padtype_to_pads(picture.shape[1:3], kernel, strides, padding.upper())
            (top, bottom), (left, right) = padding
            down, across = map(operator.index, strides)
        except (TypeError, ValueError, RuntimeError):  # the original raises its error
            raise _Declined from None
        filling = jnp.asarray(filling, picture.dtype)
        padded = [top + picture.shape[1] + bottom, left + picture.shape[2] + right]
        self._counts = [
            (size - length) // stride + 1 if stride > 0 else 0
            for size, length, stride in zip(padded, kernel, (down, across), strict=True)
        ]
        if min(self._counts) < 1 or min(top, bottom, left, right) < 0:  # no window fits in
            raise _Declined
        around = [(0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)]
        self._picture = lax.pad(picture, filling, around)
        self._strides = down, across

    def at(self, row: int, column: int) -> Any:
        """Return the pixels under one position of the window, (B, rows, columns, C)."""
        return self._picture[
            :,
            *(
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(
                    (row, column), self._counts, self._strides, strict=True
                )
            ),
        ]
