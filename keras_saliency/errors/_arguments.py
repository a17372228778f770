"""User arguments: numbers, words and arrays, each checked by one rule."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_saliency.errors import KerasSaliencyError


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number: Python's or NumPy's, but neither a bool nor a float.

    Example:
        >>> [is_integer(value) for value in (3, np.int64(3), np.array(3), True, 3.0, "3")]
        [True, True, True, False, False, False]
    """
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, int | np.integer):
        return True
    try:
        operator.index(value)
    except Exception:  # whatever an __index__ raises: a tensor of several elements, of floats
        return False
    return "bool" not in str(getattr(value, "dtype", ""))


def is_count(value: Any) -> bool:
    """Whether a value is a whole number above 0."""
    return is_integer(value) and operator.index(value) > 0


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number, Python's or NumPy's, but no bool."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    return real and math.isfinite(value)


def is_word(value: Any, words: Iterable[str]) -> bool:
    """Whether a value is one of these words; an array is none, and compares with none."""
    return isinstance(value, str) and value in words


def integer(
    value: Any,
    name: str,
    error: type[KerasSaliencyError],
    read: str,
    *,
    low: int = 1,
    high: int | None = None,
    fix: str = "Pass such a value.",
) -> int:
    """Return an option that is a whole number, as Python's int.

    Args:
        value: What the user passed.
        name: Of the option, for the message.
        error: The class to raise.
        read: Where to read more.
        low: The least value.
        high: The largest; None: any.
        fix: The nearest value that works, as an imperative.

    Raises:
        KerasSaliencyError: It is not a whole number (a bool is none), or out of range.
    """
    if is_integer(value):
        whole = operator.index(value)
        if low <= whole and (high is None or whole <= high):
            return whole
    wanted = {0: "of 0 or more", 1: "above 0"}.get(low, f"from {low} on")
    wanted = wanted if high is None else f"from {low} to {high}"
    result = f"Got {name}={value!r} of type {type(value).__name__}."
    raise error(f"Expected {name} to be a whole number {wanted}.", result, fix, read)


def seed(value: Any, error: type[KerasSaliencyError], read: str, high: int | None = None) -> int:
    """Return a seed as Python's int; None is refused, since its draws cannot be repeated."""
    fix = "Pass a number such as seed=0: the same one draws the same again."
    return integer(value, "seed", error, read, low=0, high=high, fix=fix)


def to_array(value: Any) -> np.ndarray:
    """Return an array, a tensor of any framework or a Keras variable as a NumPy array.

    PyTorch's tensors may require a gradient or live on another device; half precision that NumPy
    does not have (bfloat16) becomes float32.

    Args:
        value: What `numpy.asarray` takes, or a tensor.

    Raises:
        ValueError: Elements of a masked array are masked: which number they hold has no meaning.
        Exception: Whatever a tensor raises that has no values (symbolic, on the meta device).

    Example:
        >>> to_array([1, 2])
        array([1, 2])
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        raise ValueError("elements are masked; use array.filled(value)")
    if not isinstance(value, type):
        # Duck-typed: only _backend names a framework, and a tensor may be another backend's.
        if callable(getattr(value, "detach", None)) and callable(getattr(value, "cpu", None)):
            value = value.detach().cpu()
            if "bfloat16" in str(getattr(value, "dtype", "")):
                value = value.float()
        elif hasattr(value, "numpy") and type(value).__module__.startswith("keras."):
            value = value.numpy()  # a Keras variable; its __array__ needs a detached tensor
    array = np.asarray(value)
    is_small_float = array.dtype.kind == "V" and "float" in array.dtype.name  # of ml_dtypes
    return array.astype(np.float32) if is_small_float else array


def rank(value: Any) -> int | None:
    """Return the number of axes of an array or a tensor; None for other values."""
    if isinstance(value, type) or not hasattr(value, "__array__"):
        return None
    try:
        return len(value.shape)
    except (AttributeError, TypeError, ValueError):  # no shape, or an unknown one
        return None


def leaves(nest: Any) -> list[Any]:
    """Return what nested dicts, lists and tuples hold, in the order of ``keras.tree.flatten``.

    On PyTorch that one leaves a reference cycle that holds the nest: each call's arrays would stay
    in memory until the garbage collector's rare full run.

    Example:
        >>> leaves({"b": (2, [3]), "a": 1})
        [1, 2, 3]
    """
    if isinstance(nest, dict):
        nest = [nest[key] for key in sorted(nest)]
    elif not isinstance(nest, list | tuple):
        return [nest]
    return [leaf for one in nest for leaf in leaves(one)]
