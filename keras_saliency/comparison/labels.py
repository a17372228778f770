"""Names for the lines of a table: two methods with other options are told apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from keras_saliency.methods import Method
from keras_saliency.metrics.registry import METRICS, Metric

_LONGEST = 24  # characters of an option's value


def labelled(things: Sequence[Any]) -> dict[str, Any]:
    """Return methods or metrics by their labels, in order.

    A label is the name and the options that are not the defaults; what is there twice is numbered.

    Example:
        >>> from keras_saliency.methods import SmoothGrad
        >>> list(labelled([SmoothGrad(), SmoothGrad(samples=5), SmoothGrad(samples=5)]))
        ['smooth_grad', 'smooth_grad(samples=5)', 'smooth_grad(samples=5) #2']
    """
    found: dict[str, Any] = {}
    for thing in things:
        label, number = _label(thing), 2
        while label in found:
            label = f"{_label(thing)} #{number}"
            number += 1
        found[label] = thing
    return found


def _label(thing: Any) -> str:
    options = _own_options(thing) if isinstance(thing, Method) else _own_metric_options(thing)
    said = ", ".join(f"{name}={_told(value)}" for name, value in options.items())
    return f"{thing.name}({said})" if said else thing.name


def _own_options(method: Method) -> Mapping[str, Any]:
    """Return the options that differ from what the method's name alone stands for."""
    found = {}
    for one in dataclasses.fields(method):
        value = getattr(method, one.name)
        usual = one.default
        if one.default_factory is not dataclasses.MISSING:
            usual = one.default_factory()
        if not _same(value, usual):
            found[one.name] = value
    return found


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


def _told(value: Any) -> str:
    if isinstance(value, Method):
        return _label(value)
    if getattr(value, "shape", ()):
        return f"array {tuple(value.shape)}"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
