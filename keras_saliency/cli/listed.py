"""Methods and metrics as a list on a command line: ``grad_cam,smooth_grad(samples=5)``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import words
from keras_saliency.errors import KerasSaliencyError, MethodError, MetricError

if TYPE_CHECKING:  # imported where it is used: --help must not wait for it
    from keras_saliency.methods import Method
    from keras_saliency.metrics.registry import Metric

_READ = "keras-saliency compare --help"


def methods(text: str | None) -> list[Method] | str | None:
    """Return the methods of a list, ``"all"``, or None where nothing was said.

    Raises:
        MethodError: It is no such list, or names a method or an option that is not there.
    """
    if text is None or text.strip() == "all":
        return text and text.strip()
    return [words.method(name, options) for name, options in _calls(text, "methods", MethodError)]


def metrics(text: str | None) -> list[Metric] | None:
    """Return the metrics of a list, no metric for ``"none"``, None where nothing was said.

    Raises:
        MetricError: It is no such list, or names a metric or an option that is not there.
    """
    if text is None:
        return None
    if text.strip() == "none":
        return []
    from keras_saliency.metrics import registry

    found = []
    for name, options in _calls(text, "metrics", MetricError):
        metric = registry.get(name)
        values = {option: words.value(value) for option, value in options}
        metric = replace(metric, options={**metric.options, **values})
        metric.check_options()
        found.append(metric)
    return found


def _calls(
    text: str, what: str, error: type[KerasSaliencyError]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield names and their options, which are not yet read."""
    line = f"[{text}]"
    try:
        parts: Any = ast.parse(line, mode="eval").body
        if not parts.elts:
            raise ValueError("no name")
        for part in parts.elts:
            call, options = part if isinstance(part, ast.Call) else None, []
            if call is not None:
                options = [(str(one.arg), _word(line, one.value)) for one in call.keywords]
                if call.args or any(one.arg is None for one in call.keywords):
                    raise ValueError("an option without a name")
            named: Any = part if call is None else call.func
            yield named.id, options
    except (AttributeError, MemoryError, RecursionError, SyntaxError, ValueError):
        raise error(
            f"The {what} {text!r} were asked for.",
            "They are no list of names.",
            "Write names with commas between them, options in parentheses: "
            '"grad_cam,smooth_grad(samples=5)".',
            _READ,
        ) from None


def _word(line: str, node: Any) -> str:
    """Return an option's value as it was written; text in quotes without these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.get_source_segment(line, node) or ""
