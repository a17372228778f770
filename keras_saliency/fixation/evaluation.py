"""Evaluation: what evaluate() returns; rows for each picture, and their means as tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_saliency import folder as files

METRICS = ("NSS", "AUC", "sAUC", "CC", "SIM", "KLD", "IG")
_JSON, _CSV, _TEXT, _FIGURE = "evaluation.json", "pictures.csv", "table.md", "best_and_worst.png"
_READ = "help(keras_saliency.fixation.evaluate)"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a model, of the centre bias and of humans, picture by picture.

    Attributes:
        model: The model's name in the rows.
        rows: A dict for each picture and predictor: ``dataset``, ``category``, ``picture``,
            ``predictor``, ``fixations`` and the metrics NSS, AUC, sAUC, CC, SIM, KLD (nat; less is
            better) and IG (bit over the centre bias).
        info: Backend, versions, and ``notes`` about what was not as usual.
    """

    model: str
    rows: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]

    def means(self, by: Literal["dataset", "category"] = "dataset") -> list[dict[str, Any]]:
        """Return the means over pictures, a row for each predictor and data set (or category).

        Rows of the model also have ``share``: (model - centre bias) / (humans - centre bias) for
        each metric, over the pictures that have all three; metrics by which humans are not better
        than the centre bias have none. A truth of half the observers is a noisy one: by CC, SIM and
        KLD a model can pass humans.
        """
        keys = ("dataset",) if by == "dataset" else ("dataset", "category")
        groups: dict[tuple, dict[str, list[Mapping[str, Any]]]] = {}
        for row in self.rows:
            group = groups.setdefault(tuple(row[key] for key in keys), {})
            group.setdefault(row["predictor"], []).append(row)
        return [
            {
                **dict(zip(keys, place, strict=True)),
                "predictor": who,
                "pictures": len(rows),
                **_mean(rows),
                **({"share": _share(group, self.model)} if who == self.model else {}),
            }
            for place, group in groups.items()
            for who, rows in group.items()
        ]

    def table(self, by: Literal["dataset", "category"] = "dataset") -> str:
        """Return the means as a Markdown table."""
        head = ["data set", *(["category"] if by == "category" else []), "predictor", "n", *METRICS]
        lines = [head, ["---"] * len(head)]
        for row in self.means(by):
            place = [row["dataset"], *([row["category"] or "-"] if by == "category" else [])]
            lines.append([*place, row["predictor"], str(row["pictures"]),
                          *(f"{row[key]:.3f}" for key in METRICS)])  # fmt: skip
            if row.get("share"):
                shares = row["share"]
                share = (f"{100 * shares[key]:.0f} %" if key in shares else "-" for key in METRICS)
                lines.append([*place, "share of the way to humans", str(row["pictures"]), *share])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def __str__(self) -> str:
        """Return the table by data set."""
        return self.table()

    def ordered(self, key: str = "IG") -> list[Mapping[str, Any]]:
        """Return the model's rows, best first by a metric."""
        sign = 1 if key == "KLD" else -1
        own = [row for row in self.rows if row["predictor"] == self.model]
        return sorted(own, key=lambda row: sign * row[key])

    def json(self) -> str:
        """Return means, and means by category where there are any, as JSON."""
        told = {"model": self.model, **self.info, "means": self.means()}
        if any(row["category"] for row in self.rows):
            told["categories"] = self.means("category")
        return json.dumps(told, indent=2)

    def save(self, folder: str | PathLike[str], figure: bytes | None = None) -> Path:
        """Write ``evaluation.json``, ``pictures.csv``, ``table.md`` and, if given, the figure.

        Raises:
            SaveError: The folder holds something else, or the disk does not take it.
        """

        def fill(fresh: Path) -> None:
            (fresh / _JSON).write_text(self.json() + "\n", encoding="utf-8")
            with (fresh / _CSV).open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.rows[0])
                writer.writeheader()
                writer.writerows(self.rows)
            (fresh / _TEXT).write_text(self.table() + "\n", encoding="utf-8")
            if figure is not None:
                (fresh / _FIGURE).write_bytes(figure)

        asked = f"An evaluation was to be saved as the folder {str(folder)!r}."
        return files.write(Path(folder), fill, (_JSON, _CSV, _TEXT, _FIGURE), asked, _READ)


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in METRICS}


def _share(group: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> dict[str, float] | None:
    """How far from centre bias (0) to humans (1) the model comes, by the means of each metric."""
    if "humans" not in group or "centre bias" not in group:
        return None
    known = {row["picture"] for row in group["humans"]}
    low, own, high = (
        _mean([row for row in group[who] if row["picture"] in known])
        for who in ("centre bias", model, "humans")
    )
    # Where humans are not above the centre bias there is no way to go (KLD, with half of them).
    return {
        key: (own[key] - low[key]) / (high[key] - low[key])
        for key in METRICS
        if (low[key] > high[key] if key == "KLD" else high[key] > low[key])
    }
