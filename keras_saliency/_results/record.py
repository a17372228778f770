"""Record: one result of an archive, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._inputs.geometry import Geometry, Letterbox
from keras_saliency._io.encoding import decode, encode

if TYPE_CHECKING:
    from keras_saliency._results.explanation import Explanation

_NAMES = ("words", "features")  # along the map's axis, where they are known


@dataclass(frozen=True, eq=False)
class Record:
    """One picture of an `Archive`.

    Attributes:
        key: Its path, its position in the stream, or the key passed for it.
        values: (H, W) float32 in the model's frame: the map; for fixations the log density on the
            canvas, -10000 around the picture.
        geometry: How the picture was fitted to the model.
        score: The explained score; None for fixations.
        probability: Of the explained class; None where the target is no class.
        target: The explained target.
        label: The class's name; ``""`` where there is no class.
        checks: Numbers such as ``completeness_error``, and ``findings``: what looks wrong.
        attributions: (H, W, C) float32 where they were stored and the method has any.
        words: The tokens of a text, without padding; ().
        features: Names of a table's columns; ().
    """

    key: str
    values: np.ndarray
    geometry: Geometry | Letterbox
    score: float | None = None
    probability: float | None = None
    target: Any = None
    label: str = ""
    checks: Mapping[str, Any] = field(default_factory=lambda: {"findings": ()})
    attributions: np.ndarray | None = None
    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    @classmethod
    def of(cls, one: Explanation, attributions: bool = False) -> Record:
        """Return the record of one picture's explanation, without a key.

        Args:
            one: Of one picture.
            attributions: Whether to store them.
        """
        stored = one.attributions if attributions else None
        return cls(
            key="",
            values=one.values[0],
            geometry=one.geometries[0],
            score=float(one.scores[0]),
            probability=None if one.probabilities is None else float(one.probabilities[0]),
            target=one.targets[0],
            label=one.labels[0],
            checks=one.checks[0],
            attributions=None if stored is None else stored[0],
            words=tuple(one.info.get("words", [()])[0]),
            features=tuple(one.info.get("features", ())),
        )

    def map(self) -> np.ndarray:
        """Return the map in the picture's own frame, (H0, W0) float32.

        For fixations it is a density, summing to 1.
        """
        if isinstance(self.geometry, Geometry):
            return self.geometry.undo(self.values)
        height, width = self.geometry.window[2:]
        log_density = self.geometry.undo(self.values, (round(height), round(width)))
        return np.exp(log_density).astype(np.float32)

    def __repr__(self) -> str:
        """Return one line: key, size, label and score."""
        score = "" if self.score is None else f", score {self.score:.3g}"
        label = f", {self.label}" if self.label else ""
        return f"<Record {self.key!r} {self.values.shape}{label}{score}>"


def as_row(record: Record) -> dict[str, Any]:
    """Return a record without its arrays, as JSON content."""
    frame = "geometry" if isinstance(record.geometry, Geometry) else "letterbox"
    names = ("key", "score", "probability", "target", "label")
    checks = {**record.checks, "findings": list(record.checks["findings"])}
    optional = {name: list(getattr(record, name)) for name in _NAMES if getattr(record, name)}
    return {
        **{name: encode(getattr(record, name), None) for name in names},
        **optional,
        "checks": encode(checks, None),
        frame: asdict(record.geometry),
    }


def from_row(row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Record:
    """Return the record of a row and its arrays."""
    kind: Any = Geometry if "geometry" in row else Letterbox
    frame = row["geometry" if kind is Geometry else "letterbox"]
    names = ("key", "score", "probability", "target", "label")
    checks = decode(row["checks"])
    checks = {**checks, "findings": tuple(checks["findings"])}
    return Record(
        **{name: decode(row[name]) for name in names},
        geometry=kind(**{name: tuple(value) for name, value in frame.items()}),
        checks=checks,
        values=arrays["values"],
        attributions=arrays.get("attributions"),
        words=tuple(row.get("words", ())),
        features=tuple(row.get("features", ())),
    )
