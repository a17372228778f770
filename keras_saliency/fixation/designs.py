"""compare_designs(): where people look at two designs of the same page, poster or screen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.pictures import Picture
from keras_saliency._io import folders
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency.errors import FixationError, ImageError
from keras_saliency.fixation import regions as named_regions
from keras_saliency.fixation.metrics import scores
from keras_saliency.fixation.predict import predict_fixations
from keras_saliency.fixation.prediction import FixationPrediction, Region
from keras_saliency.fixation.predictor import FixationModelLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ = "help(keras_saliency.compare_designs)"
_SHAPE = 0.02  # of the ratio of height to width: two designs of one shape, up to rounding
_FIGURE, _ARRAYS, _MANIFEST = "figure.png", "designs.npz", "manifest.json"

Regions = Mapping[str, Region]


@dataclass(frozen=True, eq=False)
class DesignComparison:
    """Where people are expected to look at design A and at design B.

    Attributes:
        a, b: A `FixationPrediction` of one picture each.
        shares: By region the share of expected fixations in A and in B, and under ``"elsewhere"``
            outside all regions; empty without regions.
        difference: (H, W) float32, the density of B minus that of A in A's frame; it sums to 0.
        similarity: SIM, 0 to 1: the share of fixations that lie in the same place. One minus it is
            the share that has moved.
        cc: Pearson's correlation of the two densities over pixels, -1 to 1.
        overlaps: Pairs of regions that share a pixel in A or in B; a fixation in both counts in
            each.
        regions: For A and for B each region as (H0, W0) weights 0..1.
    """

    a: FixationPrediction
    b: FixationPrediction
    shares: Mapping[str, tuple[float, float]]
    difference: npt.NDArray[np.float32]
    similarity: float
    cc: float
    overlaps: tuple[tuple[str, str], ...]
    regions: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]

    def __repr__(self) -> str:
        """Return one line: how alike, and the shares."""
        rows = (f"{name} {a:.1%} -> {b:.1%}" for name, (a, b) in self.shares.items())
        listed = "".join(f"; {row}" for row in rows)
        return f"<DesignComparison: {1 - self.similarity:.1%} of the fixations moved{listed}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data, ready for JSON."""
        return {
            "similarity": self.similarity,
            "cc": self.cc,
            "shares": {
                name: {"a": a, "b": b, "change": b - a} for name, (a, b) in self.shares.items()
            },
            "overlaps": [list(pair) for pair in self.overlaps],
            "designs": [
                {"name": one.names[0], "half_area": float(one.area()[0])}
                for one in (self.a, self.b)
            ],
        }

    def plot(self, *, percentile: float = 99.0, figure: Figure | None = None) -> Figure:
        """Draw both designs with their densities on one scale, the difference, and the shares.

        Args:
            percentile: End of the colour scales, in (0, 100].
            figure: Figure to draw on; it is cleared and resized to fit. None makes one.

        Returns:
            A ``matplotlib.figure.Figure``.

        Raises:
            MethodError: The percentile is out of range.
        """
        from keras_saliency.plot import designs

        return designs.compared(self._drawn(), figure, percentile)

    def _drawn(self) -> Any:
        from keras_saliency.plot import designs

        return designs.Designs(
            pictures=(self.a.pictures[0], self.b.pictures[0]),
            densities=(self.a.maps()[0], self.b.maps()[0]),
            difference=self.difference,
            names=tuple(
                f"{letter}: {one.names[0]}" if one.names[0] else letter
                for letter, one in (("A", self.a), ("B", self.b))
            ),
            shares=self.shares,
            regions=self.regions,
            note=self.sentence(),
        )

    def sentence(self) -> str:
        """Return how alike both are, and which regions overlap, in words."""
        alike = f"SIM {self.similarity:.2f}, CC {self.cc:.2f}"
        moved = f"{1 - self.similarity:.0%} of the expected fixations moved ({alike})."
        return " ".join(filter(None, [moved, named_regions.said(self.overlaps)]))

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, which notebooks show."""
        from keras_saliency import plot
        from keras_saliency.plot import designs

        return plot.render_png(designs.compared, self._drawn())

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``designs.npz`` and ``manifest.json`` into a folder.

        All or nothing. The manifest holds what `to_dict` returns, the pictures' SHA-256, the model
        and checksums; the arrays are ``density_a``, ``density_b`` and ``difference``.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        path, png, both = local_path(folder, READ), self._repr_png_(), (self.a, self.b)
        manifest = self.to_dict()
        for row, one in zip(manifest["designs"], both, strict=True):
            row["sha256"] = provenance.picture_hash(one.pictures[0])
            row["model_sha256"] = one.model_sha256
            row["model"] = one.info["model"]
        arrays = {
            "density_a": self.a.maps()[0],
            "density_b": self.b.maps()[0],
            "difference": self.difference,
        }

        def fill(fresh: Path) -> None:
            (fresh / _FIGURE).write_bytes(png)
            folders.seal(fresh, _MANIFEST, {"schema_version": 1, **manifest}, arrays, _ARRAYS)

        what = f"Cannot save a comparison as the folder {str(path)!r}."
        return folders.write(path, fill, (_FIGURE, _ARRAYS, _MANIFEST), what, READ)


def compare_designs(
    a: Picture | FixationPrediction,
    b: Picture | FixationPrediction,
    regions: Regions | tuple[Regions, Regions] | None = None,
    *,
    model: FixationModelLike = "default",
    mirror: bool | None = None,
) -> DesignComparison:
    """Compare where people look at two designs in the first seconds of free viewing.

    Args:
        a: A picture, as `keras_saliency.predict_fixations` takes one, or its prediction.
        b: Another of the same shape; of another size, its density is resampled in A's frame.
        regions: Boxes or masks by name, as for `FixationPrediction.shares`, that hold for both
            pictures, each in its own pixels; or two such dicts with the same names, for A and B.
        model: As for `keras_saliency.predict_fixations`; not used on predictions.
        mirror: As for `keras_saliency.predict_fixations`; not used on predictions.

    Returns:
        A `keras_saliency.fixation.DesignComparison`: ``shares``, ``difference``, ``similarity``,
        ``cc``, ``plot()``, ``save()``. Two pictures without anything in common are alike to some
        degree, since people look at the centre of any.

    Raises:
        KerasSaliencyError: `FixationError` for regions, for designs of different shapes, or for
            predictions by different models; else as `keras_saliency.predict_fixations`.

    Example:
        >>> from keras_saliency import compare_designs
        >>> from keras_saliency.pretrained import sample_photo
        >>> from PIL import Image
        >>> a = np.asarray(Image.open(sample_photo()))
        >>> b = a.copy()
        >>> b[100:200, 50:150] = 255
        >>> compared = compare_designs(a, b, {"white": (100, 50, 200, 150)})
        >>> list(compared.shares), compared.difference.shape
        (['white', 'elsewhere'], (400, 600))
    """
    one, other = (_prediction(design, model, mirror) for design in (a, b))
    hashes = {one.model_sha256, other.model_sha256} - {None}  # None where it is not known
    if len(hashes) > 1:
        raise FixationError(
            "Expected two predictions by one model.",
            f"Got {one.info['model']!r} and {other.info['model']!r} with different weights.",
            "Predict both with one model, or pass the pictures.",
            READ,
        )
    sizes = [design.pictures[0].shape[:2] for design in (one, other)]
    ratios = [height / width for height, width in sizes]
    if abs(math.log(ratios[0] / ratios[1])) > _SHAPE:
        raise FixationError(
            "Expected two designs of the same shape.",
            f"Got {sizes[0]} and {sizes[1]} pixels (height, width).",
            "Crop both to one shape, or compare predict_fixations(picture).shares(regions).",
            READ,
        )
    named = _regions(regions, sizes)
    density, log_other = one.maps()[0], other.letterboxes[0].undo(other.log_density[0], sizes[0])
    moved = np.exp(log_other)
    rows = [
        named_regions.shares(np.exp(design.log_maps()[0]), its) if its else {}
        for design, its in zip((one, other), named, strict=True)
    ]
    pairs = [named_regions.overlaps(its) for its in named]
    return DesignComparison(
        a=one,
        b=other,
        shares={name: (rows[0][name], rows[1][name]) for name in rows[0]},
        difference=(moved - density).astype(np.float32),
        similarity=scores.similarity(moved, density),
        cc=scores.cc(moved, density),
        overlaps=tuple(dict.fromkeys(pairs[0] + pairs[1])),
        regions=named,
    )


def _prediction(design: Any, model: Any, mirror: bool | None) -> FixationPrediction:
    known = isinstance(design, FixationPrediction)
    result = design if known else predict_fixations(design, model, mirror=mirror)
    if len(result) != 1:
        raise ImageError(
            "Expected one picture for each design.",
            f"Got {len(result)}.",
            "Pass single pictures, or a prediction of one: prediction[0].",
            READ,
        )
    return result


def _regions(given: Any, sizes: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the weights of the regions of A and of B."""
    if given is None:
        return {}, {}
    both = given if isinstance(given, tuple | list) else (given, given)
    if len(both) != 2:
        raise FixationError(
            "Expected regions by name, or two such dicts, for A and for B.",
            f"Got {len(both)} of them.",
            "Pass one dict, or two.",
            READ,
        )
    one, other = (
        {name: rows[0] for name, rows in named_regions.weights(its, [size], READ).items()}
        for its, size in zip(both, sizes, strict=True)
    )
    if set(one) != set(other):
        missing = sorted(set(one) ^ set(other))
        raise FixationError(
            "Expected the same names of regions for A and for B.",
            f"Got {', '.join(map(repr, missing))} for one of them only.",
            "Name each region in both dicts.",
            READ,
        )
    return one, {name: other[name] for name in one}
