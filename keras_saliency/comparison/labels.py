"""Short names of methods and metrics with their options, different where these differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_saliency.methods import Method
from keras_saliency.metrics.registry import METRICS, Metric

_LONGEST = 24  # characters of an option's value


def labelled(items: Sequence[Any]) -> dict[str, Any]:
    """Return methods or metrics by their labels, in order.

    A label is the name and the options that are not the defaults; duplicates are numbered.

    Example:
        >>> from keras_saliency.methods import SmoothGrad
        >>> list(labelled([SmoothGrad(), SmoothGrad(samples=5), SmoothGrad(samples=5)]))
        ['smooth_grad', 'smooth_grad(samples=5)', 'smooth_grad(samples=5) #2']
    """
    result: dict[str, Any] = {}
    for item in items:
        label, number = _label(item), 2
        while label in result:
            label = f"{_label(item)} #{number}"
            number += 1
        result[label] = item
    return result


def _label(item: Any) -> str:
    options = _own_options(item) if isinstance(item, Method) else _own_metric_options(item)
    said = ", ".join(f"{name}={_short(value)}" for name, value in options.items())
    return f"{item.name}({said})" if said else item.name


def _own_options(method: Method) -> Mapping[str, Any]:
    """Return the options that differ from the method's defaults."""
    result = {}
    for one in dataclasses.fields(method):
        value = getattr(method, one.name)
        usual = one.default
        if one.default_factory is not dataclasses.MISSING:
            usual = one.default_factory()
        if not _same(value, usual):
            result[one.name] = value
    return result


def _own_metric_options(metric: Metric) -> Mapping[str, Any]:
    usual = METRICS[metric.name].options if metric.name in METRICS else {}
    return {
        name: value
        for name, value in metric.options.items()
        if name not in usual or not _same(value, usual[name])
    }


def _same(value: Any, usual: Any) -> bool:
    if isinstance(value, Method):  # base="gradient" and base=Gradient() are one
        value = value.name if not _own_options(value) else value
        usual = usual.name if isinstance(usual, Method) and not _own_options(usual) else usual
    try:
        return bool(value is usual or value == usual)
    except ValueError:  # arrays
        return False


def _short(value: Any) -> str:
    if isinstance(value, Method):
        return _label(value)
    if getattr(value, "shape", ()):
        return f"array {tuple(value.shape)}"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
