"""Tables of scores as text, as HTML, and for rich; each marks the best. Names of its rows."""

from __future__ import annotations

import dataclasses
import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency.methods import Method
from keras_saliency.metrics.registry import METRICS, Metric

if TYPE_CHECKING:
    from keras_saliency.comparison.result import Comparison

NONE = "–"  # no number
BEST = "*"
_LINE = 110
_FEW = 10  # pictures: with fewer, a bootstrap interval says little


@dataclass(frozen=True)
class Cell:
    """The text of one cell of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column holds names and whose others hold numbers.

    Attributes:
        head: The columns' names.
        rows: One or more, each as long as the head.
        notes: Notes under the table, a paragraph each.

    Example:
        >>> row = [Cell("gradient"), Cell("0.1", best=True)]
        >>> print(Table(("method", "deletion"), [row]).text())
        method    deletion
        gradient      0.1*
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return lines of text; a star follows the best."""
        marked = any(cell.best for row in self.rows for cell in row)
        tail = " " * marked
        lines = [[self.head[0], *(name + tail for name in self.head[1:])]]
        lines += [
            [row[0].text, *(cell.text + (BEST if cell.best else tail) for cell in row[1:])]
            for row in self.rows
        ]
        if marked:  # a column without a star needs no room for one
            for k in range(1, len(self.head)):
                if all(line[k].endswith(" ") for line in lines):
                    lines = [[*line[:k], line[k][:-1], *line[k + 1 :]] for line in lines]
            lines[0] = [name.rstrip() for name in lines[0]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = []
        for first, *others in lines:
            cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
            table.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        notes = [textwrap.fill(note, _LINE, subsequent_indent="  ") for note in self.notes]
        return "\n".join([*table, *([""] if notes else []), *notes])

    def html(self, caption: str = "") -> str:
        """Return a ``<table>`` and its notes; all text is escaped."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.head)
        body = "".join(f"<tr>{_html_row(row)}</tr>" for row in self.rows)
        above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in self.notes)
        return (
            f'<table class="scores">{above}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>{notes}"
        )

    def rich(self) -> Any:
        """Return a renderable for ``rich.print``."""
        from rich.console import Group
        from rich.table import Table as Rich
        from rich.text import Text

        table = Rich()
        for k, name in enumerate(self.head):
            table.add_column(Text(name), justify="right" if k else "left")
        for row in self.rows:
            cells = (cell.text + BEST * cell.best for cell in row)
            styles = ("bold green" if cell.best else "" for cell in row)
            table.add_row(*map(Text, cells, styles))
        return Group(table, *map(Text, self.notes))


def number(value: float) -> str:
    """Return a number in three or four digits, or a dash for NaN.

    Example:
        >>> [number(value) for value in (0.12345, 12.345, 1e-7, float("nan"))]
        ['0.123', '12.3', '1e-07', '–']
    """
    if math.isnan(value):
        return NONE
    if value == 0 or 0.001 <= abs(value) < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if 10 <= abs(value) < 100_000 else f"{value:.2g}"


def seconds(value: float) -> str:
    """Return seconds as text: hundredths below 10, whole ones from 10.

    Example:
        >>> [seconds(value) for value in (0.0123, 2.0154, 73.2)]
        ['0.01', '2.02', '73']
    """
    return f"{value:.2f}" if value < 9.995 else f"{value:.0f}"


def interval(mean: float, low: float, high: float) -> str:
    """Return a mean and the interval around it."""
    return f"{number(mean)} [{number(low)}, {number(high)}]" if not math.isnan(mean) else NONE


def _html_row(row: Sequence[Cell]) -> str:
    first, *others = (html.escape(cell.text) for cell in row)
    cells = "".join(
        f'<td class="best"><strong>{text}</strong></td>' if cell.best else f"<td>{text}</td>"
        for text, cell in zip(others, row[1:], strict=True)
    )
    return f'<th scope="row">{first}</th>{cells}'


def of_picture(comparison: Comparison, index: int) -> Table:
    """Return the scores of one picture, without intervals or notes."""
    part = comparison.values[:, :, index : index + 1]
    best = best_of(part, comparison.higher_is_better)
    rows = [
        [
            Cell(method),
            *(
                Cell(number(part[m, k, 0]), bool(best[m, k]))
                for k in range(len(comparison.metrics))
            ),
        ]
        for m, method in enumerate(comparison.methods)
    ]
    return Table(("method", *comparison.heads()), rows)


def scores_of(comparison: Comparison, method: str, index: int) -> list[str]:
    """Return one picture's scores as texts, such as ``"deletion ↓ 0.123"``."""
    row = comparison.methods.index(method)
    best = best_of(comparison.values[:, :, index : index + 1], comparison.higher_is_better)[row]
    both = zip(comparison.heads(), comparison.values[row, :, index], best, strict=True)
    return [f"{head} {number(value)}{BEST * bool(top)}" for head, value, top in both]


def notes_of(comparison: Comparison, findings: bool) -> list[str]:
    """Return the notes of the table: how to read it, failures and findings."""
    words = "↑ higher is better, ↓ lower is better, * best."
    if len(comparison) > 1:
        words += (
            f" Means over {len(comparison)} {comparison.nouns} and their 95% bootstrap intervals."
        )
    if 1 < len(comparison) < _FEW:
        words += f" Of fewer than {_FEW} these say little; of two they are the two numbers."
    notes = [words] if comparison.metrics else []
    notes += [f"{name}: no map. {why}" for name, why in comparison.errors.items()]
    fewer: dict[tuple[str, int], list[str]] = {}
    for m, k in np.ndindex(*comparison.values.shape[:2]):
        known = int((~np.isnan(comparison.values[m, k])).sum())
        if 0 < known < len(comparison):
            fewer.setdefault((comparison.methods[m], known), []).append(comparison.metrics[k])
    notes += [
        f"{name}, {', '.join(some)}: mean over {known} of {len(comparison)} {comparison.nouns}."
        for (name, known), some in fewer.items()
    ]
    alike: dict[tuple[str, str], list[str]] = {}
    for (name, metric), why in comparison.metric_errors.items():
        alike.setdefault((name, why), []).append(metric)
    notes += [f"{name}, {', '.join(some)}: {why}" for (name, why), some in alike.items()]
    for name, result in comparison.explanations.items() if findings else ():
        for picture, check in zip(comparison.names, result.checks, strict=True):
            where = f" on {picture}" if len(comparison) > 1 else ""
            notes += [f"{name}{where}: {said}." for said in check["findings"]]
    return notes


def best_of(values: np.ndarray, higher_is_better: tuple[bool, ...]) -> np.ndarray:
    """Return the methods with the best mean over pictures, (M, K) bool."""
    result = np.zeros(values.shape[:2], bool)
    for k, higher in enumerate(higher_is_better):
        means = values[:, k].mean(axis=-1)  # NaN where a picture has none
        known = np.isfinite(means)
        if known.sum() > 1:
            top = (np.max if higher else np.min)(means[known])
            result[:, k] = known & np.isclose(means, top, rtol=1e-9, atol=0.0)
    return result


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
