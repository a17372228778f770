"""Comparison: the frozen result of compare(), which prints, draws and saves itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs import KINDS, Kind
from keras_saliency._io import folders
from keras_saliency._io.files import local_path, shown
from keras_saliency.comparison import drawing, writing
from keras_saliency.comparison.table import (
    Cell,
    Table,
    best_of,
    interval,
    notes_of,
    number,
    scores_of,
    seconds,
)
from keras_saliency.errors import MethodError, MetricError
from keras_saliency.metrics.registry import Interval, bootstrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from keras_saliency._results.explanation import Explanation
    from keras_saliency.plot import Column, Panel

_DRAWN = 6  # photos in a figure
_READ = "help(keras_saliency.Comparison)"
_ARROWS = {True: "↑", False: "↓"}


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Scores of M methods on B pictures, by K metrics.

    The pictures may be signals, volumes, videos, texts or rows of a table: see `kind`.

    Attributes:
        methods: M labels: names, with the options that are not the defaults.
        metrics: K labels.
        values: (M, K, B) float64, each metric's number for each picture; NaN where there is none.
        seconds: (M,) how long each method took for all pictures, the first run's compilation
            included unless ``compare(warm=True)``; NaN where it failed.
        explanations: The `Explanation` of each method that worked, by its label.
        errors: Why a method has none, by its label.
        metric_errors: Why a metric has no number, by both labels, with the pictures' names.
        higher_is_better: (K,) which way each metric points.
        names: B names of the pictures.
        pictures: The original pictures, (H0, W0, C), or arrays of another kind.
        info: Model, kind of input, target, seed, baseline, versions.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    values: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    explanations: Mapping[str, Explanation]
    errors: Mapping[str, str]
    metric_errors: Mapping[tuple[str, str], str]
    higher_is_better: tuple[bool, ...]
    names: tuple[str, ...]
    pictures: tuple[np.ndarray, ...]
    info: Mapping[str, Any]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.names)

    def __repr__(self) -> str:
        """Return the title and the table."""
        return f"{self.title()}\n\n{self.table()}"

    def __rich__(self) -> Any:
        """Return a renderable for ``rich.print``."""
        from rich.console import Group
        from rich.text import Text

        return Group(Text(self.title()), self.summary().rich())

    def _repr_html_(self) -> str:
        """Return the HTML table that notebooks show."""
        return self.summary().html(self.title())

    @property
    def kind(self) -> Kind:
        """What the pictures are."""
        return KINDS[self.info.get("kind", "picture")]

    @property
    def are_flat(self) -> bool:
        """Whether maps can be laid over pictures: they have two spatial axes."""
        return len(self.kind.axes) == 2

    @property
    def nouns(self) -> str:
        """What several of them are called, such as ``"pictures"`` or ``"rows"``."""
        return f"{self.kind.noun}s"

    # ------------------------------------------------------------------ numbers

    @cached_property
    def intervals(self) -> npt.NDArray[np.float64]:
        """Means over pictures and their 95% bootstrap intervals, (M, K, 3): mean, low, high."""
        result = np.full((*self.values.shape[:2], 3), np.nan)
        for cell in np.ndindex(*self.values.shape[:2]):
            result[cell] = bootstrap(self.values[cell], seed=0)
        return result

    def interval(self, method: str, metric: str) -> Interval:
        """Return the mean over pictures of one method by one metric, and its interval.

        Raises:
            MethodError, MetricError: Not in this comparison.
        """
        if method not in self.methods:
            what = f"No method is called {method!r} in this comparison."
            known = f"The methods are {', '.join(self.methods)}."
            raise MethodError(what, known, "Take one of these.", _READ)
        if metric not in self.metrics:
            what = f"No metric is called {metric!r} in this comparison."
            known = f"The metrics are {', '.join(self.metrics)}."
            raise MetricError(what, known, "Take one of these.", _READ)
        result = self.intervals[self.methods.index(method), self.metrics.index(metric)]
        return Interval(*map(float, result))

    @cached_property
    def best(self) -> npt.NDArray[np.bool_]:
        """The methods with the best mean, (M, K) bool; several where they are equal.

        A method without a number for some picture is not compared.
        """
        return best_of(self.values, self.higher_is_better)

    # ------------------------------------------------------------------ text

    def title(self) -> str:
        """Return one line: the methods, the pictures and the model."""
        explained = next(iter(self.explanations.values()), None)
        count = len(self)
        on = f"{count} {self.nouns}" if count > 1 else self.names[0]
        if explained is not None and count == 1:
            on += f" ({explained.title()})"
        return f"{len(self.methods)} methods on {on}, model {self.info['model']}"

    def table(self) -> str:
        """Return the scores as lines of text; a star marks the best.

        With several pictures each number is a mean and its 95% bootstrap interval.
        """
        return self.summary().text()

    def heads(self) -> list[str]:
        """Return the metrics' labels with an arrow in the direction of better."""
        both = zip(self.metrics, self.higher_is_better, strict=True)
        return [f"{metric} {_ARROWS[higher]}" for metric, higher in both]

    def summary(self, findings: bool = True) -> Table:
        """Return the scores over all pictures, with notes.

        Args:
            findings: Whether the notes include the maps' findings.
        """
        several = len(self) > 1
        rows = []
        for m, method in enumerate(self.methods):
            cells = [
                Cell(
                    interval(*self.intervals[m, k]) if several else number(self.intervals[m, k, 0]),
                    bool(self.best[m, k]),
                )
                for k in range(len(self.metrics))
            ]
            rows.append([Cell(method), *cells, Cell(seconds(self.seconds[m]))])
        return Table(("method", *self.heads(), "seconds"), rows, notes_of(self, findings))

    # ------------------------------------------------------------------ figures

    def panels(self, count: int = _DRAWN) -> list[list[Panel]]:
        """Return the first pictures with their maps, ready for `keras_saliency.plot.figures`."""
        rows: list[list[Panel]] = []
        for i, picture in enumerate(self.names[:count]):
            row: list[Panel] = []
            for method, result in self.explanations.items():
                title, lines = f"{picture}\n{result.title(i)}", self._lines(method, i)
                row.append(replace(result[i].panels()[0], title=title, method=lines))
            rows.append(row)
        return rows

    def _lines(self, method: str, index: int) -> str:
        """Return a method's name, its scores of one picture, and its seconds."""
        took = seconds(self.seconds[self.methods.index(method)])
        return "\n".join([method, *scores_of(self, method, index), f"{took} s"])

    @overload
    def plot(
        self,
        kind: Literal["maps"] = "maps",
        *,
        figure: Figure | None = None,
        percentile: float = 99.0,
        size: float = 1.9,
        across: int = 6,
        note: str = ...,
    ) -> Figure: ...

    @overload
    def plot(
        self, kind: Literal["scores"], *, figure: Figure | None = None, note: str = ...
    ) -> Figure: ...

    def plot(self, kind: Literal["maps", "scores"] = "maps", **options: Any) -> Figure:
        """Draw all maps with their scores, or the scores with their intervals.

        Args:
            kind: ``"maps"``: each map over its picture (the first six pictures), its scores and
                the method's seconds above; ``"scores"``: an axis for each metric, a line for each
                method. Inputs that are no pictures have a figure for each map.
            **options: See `keras_saliency.plot.grid` and `keras_saliency.plot.scores`; of the maps
                of what is no picture only ``figure``, ``size``, ``across`` and ``note``.

        Returns:
            A ``matplotlib.figure.Figure``.

        Raises:
            MethodError: No such kind, or no map or metric to draw.
        """
        draw, content = drawing.figure_of(self, kind, _DRAWN)
        return draw(content, **options)

    def columns(self) -> list[Column]:
        """Return the metrics as `keras_saliency.plot.scores` draws them."""
        from keras_saliency.plot import Column

        return [
            Column(
                name,
                self.values[:, k],
                self.intervals[:, k],
                self.higher_is_better[k],
                self.best[:, k],
            )
            for k, name in enumerate(self.metrics)
        ]

    # ------------------------------------------------------------------ files

    def to_csv(self, path: str | PathLike[str]) -> Path:
        """Write a line for each method and picture: scores, seconds and errors.

        Returns:
            The path.

        Raises:
            SaveError: It cannot be written.
        """
        return folders.write_text(local_path(path, _READ), writing.csv_text(self), _READ)

    def to_dataframe(self) -> DataFrame:
        """Return a pandas DataFrame with a row for each method and picture, in their order.

        Its columns are ``method``, ``picture``, one for each metric (float64, NaN where there is
        no number) and ``seconds``, those of the method for all pictures.

        Raises:
            MetricError: pandas is not installed.

        Example:
            >>> result = keras_saliency.compare(model, img, ["gradient"], metrics=["sparseness"])
            >>> list(result.to_dataframe().columns)
            ['method', 'picture', 'sparseness', 'seconds']
        """
        return writing.dataframe(self)

    def to_json(self, path: str | PathLike[str]) -> Path:
        """Write all numbers, intervals, errors, options and versions as JSON.

        Returns:
            The path.

        Raises:
            SaveError: It cannot be written.
        """
        return folders.write_text(local_path(path, _READ), writing.json_text(self), _READ)

    def to_html(self, path: str | PathLike[str], *, percentile: float = 99.0) -> Path:
        """Write one HTML file with photos, maps, scores and checks; it opens without a network.

        An existing file is replaced only if it is such a report.

        Args:
            path: The file's path.
            percentile: End of each map's colour scale, in (0, 100].

        Returns:
            The path.

        Raises:
            SaveError: Another file exists there, or it cannot be written.
        """
        path = local_path(path, _READ)
        writing.check_report(path)
        return folders.write_text(path, writing.html_text(self, percentile), _READ)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``scores.png``, ``table.csv`` and ``table.json`` into a folder.

        All or nothing. A folder with a saved comparison is replaced; a folder with other files is
        not touched. Figures without content are left out. The JSON holds checksums of all files,
        which `keras_saliency.comparison.read` compares.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        from keras_saliency import plot

        wanted = {"figure.png": ("maps", self.explanations), "scores.png": ("scores", self.metrics)}
        drawn = {
            name: plot.render_png(*drawing.figure_of(self, kind, _DRAWN))
            for name, (kind, anything) in wanted.items()
            if anything
        }

        table = writing.csv_text(self)

        def fill(fresh: Path) -> None:
            for name, png in drawn.items():
                (fresh / name).write_bytes(png)
            # With CSV's own line ends.
            (fresh / "table.csv").write_text(shown(table), encoding="utf-8", newline="")
            sums = {path.name: folders.of_file(path) for path in fresh.iterdir()}
            text = writing.json_text(self, sums)
            (fresh / "table.json").write_text(shown(text), encoding="utf-8", newline="")

        what = f"Cannot save the comparison as the folder {str(folder)!r}."
        return folders.write(local_path(folder, _READ), fill, writing.OURS, what, _READ)
