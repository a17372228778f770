"""FixationPrediction: what predict_fixations() returns; frozen, ready to draw and to save."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.geometry import EMPTY, BoxLike, Letterbox
from keras_saliency._io import folders
from keras_saliency._io.encoding import decode, encode
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency.fixation import maps
from keras_saliency.fixation import regions as regions_

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_saliency.plot import Panel

Region = BoxLike | Sequence[BoxLike]  # a mask is an array, too


@dataclass(frozen=True, eq=False)
class FixationPrediction:
    """Where people are expected to look at B pictures.

    Attributes:
        log_density: (B, H, W) float32 natural logarithms on the model's canvas; -10000 around the
            picture.
        pictures: The pictures as passed, (H0, W0, 3) or (H0, W0, 1) uint8.
        letterboxes: Where each picture lies on the canvas.
        names: The pictures' file names; ``""`` where there is no file.
        info: Model, canvas side, mirror, backend, versions, seconds.
        model_sha256: SHA-256 of the model's weights when it predicted; None where not known.
    """

    log_density: npt.NDArray[np.float32]
    pictures: tuple[npt.NDArray[np.uint8], ...]
    letterboxes: tuple[Letterbox, ...]
    names: tuple[str, ...]
    info: Mapping[str, Any]
    model_sha256: str | None = field(default=None, repr=False)

    @cached_property
    def values(self) -> npt.NDArray[np.float32]:
        """(B, H, W) float32 densities on the canvas: at least 0, sum 1, 0 around the picture."""
        return np.exp(self.log_density)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.log_density)

    def __getitem__(self, index: int | slice) -> FixationPrediction:
        """Return the prediction for one picture (B = 1) or for a slice."""
        if not isinstance(index, slice):
            index = range(len(self))[index]  # negative numbers, IndexError
            index = slice(index, index + 1)
        rows = ("log_density", "pictures", "letterboxes", "names")
        return replace(self, **{name: getattr(self, name)[index] for name in rows})

    def __iter__(self) -> Iterator[FixationPrediction]:
        """Iterate over the predictions for single pictures."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return one line: model, shape, and how concentrated the fixations are."""
        names = "; ".join(self.title(i) for i in range(min(3, len(self))))
        more = "; ..." if len(self) > 3 else ""
        shape = self.log_density.shape
        return f"<FixationPrediction by {self.info['model']} {shape}: {names}{more}>"

    def title(self, index: int = 0) -> str:
        """Return the picture's name and where half of the fixations are expected."""
        named = f"{self.names[index]}: " if self.names[index] else ""
        return f"{named}half of the fixations on {self.area()[index]:.1%} of the picture"

    def log_maps(self) -> list[npt.NDArray[np.float64]]:
        """Return each log density in its picture's frame, (H0, W0) float64, exp() summing to 1."""
        rows = zip(self.letterboxes, self.log_density, self.pictures, strict=True)
        return [box.undo(one, picture.shape[:2]) for box, one, picture in rows]

    def maps(self) -> list[npt.NDArray[np.float32]]:
        """Return each density in its picture's frame, (H0, W0) float32, summing to 1."""
        return [np.exp(one).astype(np.float32) for one in self.log_maps()]

    @overload
    def expected_fixations(
        self, count: float, region: None = None
    ) -> list[npt.NDArray[np.float32]]: ...

    @overload
    def expected_fixations(self, count: float, region: Region) -> npt.NDArray[np.float64]: ...

    def expected_fixations(
        self, count: float, region: Region | None = None
    ) -> list[npt.NDArray[np.float32]] | npt.NDArray[np.float64]:
        """Return how many of ``count`` fixations are expected on each pixel, or in a region.

        Args:
            count: How many fixations are made on a picture, such as 10; they are taken to be
                independent.
            region: A box ``(top, left, bottom, right)`` in the picture's pixels, bottom and right
                exclusive, a `keras_saliency.Box`, or a dict with these names; or a mask (H0, W0) of
                truth values or weights 0..1; or a list of these, one for each picture.
                ``None`` gives maps.

        Returns:
            Without a region a list of (H0, W0) float32, each summing to ``count``; with one (B,)
            float64.

        Raises:
            FixationError: The count is no number of fixations, or the region does not lie in the
                picture.

        Example:
            >>> from keras_saliency import predict_fixations
            >>> p = predict_fixations(np.zeros((60, 80, 3), "uint8"))
            >>> left, right = (0, 0, 60, 40), {"top": 0, "left": 40, "bottom": 60, "right": 80}
            >>> both = p.expected_fixations(10, left) + p.expected_fixations(10, right)
            >>> both.shape, round(float(both[0]), 3)
            ((1,), 10.0)
        """
        number = maps.checked_count(count)
        if region is None:
            return [np.float32(number) * one for one in self.maps()]
        weights = maps.weights(region, [picture.shape[:2] for picture in self.pictures])
        rows = zip(self.maps(), weights, strict=True)
        return np.array([number * np.sum(one * weight, dtype=np.float64) for one, weight in rows])

    def shares(self, regions: Mapping[str, Region]) -> dict[str, npt.NDArray[np.float64]]:
        """Return the share of all expected fixations in each of some named regions.

        Args:
            regions: By name a box ``(top, left, bottom, right)`` in the picture's pixels, bottom
                and right exclusive, a `keras_saliency.Box`, a dict with these names, a mask
                (H0, W0) of truth values; or a list of these, one for each picture. Regions may
                overlap; a warning says so, since a fixation in both counts in each.

        Returns:
            (B,) float64 from 0 to 1 by name, in the same order; and under ``"elsewhere"`` the share
            outside all of them. Without overlaps they sum to 1.

        Raises:
            FixationError: A region is neither box nor mask, does not lie in the picture, or is
                called ``"elsewhere"``.

        Example:
            >>> from keras_saliency import predict_fixations
            >>> p = predict_fixations(np.zeros((60, 80, 3), "uint8"))
            >>> shares = p.shares({"top": (0, 0, 30, 80), "corner": (30, 0, 60, 40)})
            >>> list(shares), round(float(sum(shares.values())[0]), 3)
            (['top', 'corner', 'elsewhere'], 1.0)
        """
        named = regions_.weights(regions, [picture.shape[:2] for picture in self.pictures])
        rows = []
        for i, log_map in enumerate(self.log_maps()):
            its = {name: weights[i] for name, weights in named.items()}
            if text := regions_.said(regions_.overlaps(its)):
                warnings.warn(f"picture {i}: {text}", stacklevel=2)
            rows.append(regions_.shares(np.exp(log_map), its))
        return {name: np.array([row[name] for row in rows]) for name in (*named, regions_.REST)}

    def area(self, share: float = 0.5) -> npt.NDArray[np.float64]:
        """Return how much of each picture the smallest area covers that holds a share of fixations.

        Args:
            share: Of all expected fixations, above 0 and up to 1.

        Returns:
            (B,) float64, up to ``share``: equal to it for a uniform density, small for a
            concentrated one.

        Raises:
            FixationError: The share is out of range.
        """
        maps.checked_share(share)
        inside = self.log_density > EMPTY
        rows = zip(self.values, inside, strict=True)
        return np.array([maps.covered(one[where], share) for one, where in rows])

    def panels(self) -> list[Panel]:
        """Return pictures and maps as `keras_saliency.plot.Panel`, ready to be drawn."""
        from keras_saliency.plot import Panel

        return [
            Panel(picture, grid, name or (f"picture {i + 1}" if len(self) > 1 else "picture"))
            for i, (picture, grid, name) in enumerate(
                zip(self.pictures, self.maps(), self.names, strict=True)
            )
        ]

    def plot(
        self,
        *,
        percentile: float = 99.0,
        figure: Figure | None = None,
        shares: Sequence[float] = (0.25, 0.5, 0.75, 0.9),
    ) -> Figure:
        """Draw each picture, the density over it, and the smallest areas that hold most fixations.

        Args:
            percentile, figure, shares: As in `keras_saliency.plot.density`.

        Returns:
            A ``matplotlib.figure.Figure``.
        """
        from keras_saliency import plot

        return plot.density(self.panels(), figure, percentile, shares)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, which notebooks show."""
        from keras_saliency import plot

        return plot.render_png(plot.density, self[:8].panels())

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``prediction.npz`` and ``manifest.json`` into a folder.

        All or nothing: the folder appears when everything is written. A folder that holds a
        prediction already is replaced, and an interruption at any moment leaves the old one or the
        new one; one that holds other files is refused. The manifest holds checksums of all files.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        from keras_saliency import plot

        figure = plot.render_png(plot.density, self.panels())
        return write(local_path(folder, READ), self, figure)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> FixationPrediction:
        """Read what `save` wrote.

        Raises:
            SaveError: The folder holds no prediction, a damaged one, or one of a later schema.
        """
        return cls(**read(local_path(folder, READ)))


SCHEMA_VERSION = 2  # 1 had no checksums

_ARRAYS, _MANIFEST, _FIGURE = "prediction.npz", "manifest.json", "figure.png"
READ = "help(keras_saliency.FixationPrediction.save)"
_OWN = ("checksums", "dtypes", "info", "model_sha256", "pictures", "schema_version")


def write(folder: Path, prediction: Any, figure: bytes) -> Path:
    """Write a prediction, all or nothing.

    Raises:
        SaveError: The folder holds other files, or cannot be written.
    """
    arrays = {f"picture_{i}": picture for i, picture in enumerate(prediction.pictures)}
    arrays["log_density"] = prediction.log_density
    info = dict(prediction.info)
    # Entries of info that share a name with a field of the manifest are stored apart.
    apart = {name: info.pop(name) for name in list(info) if name in _OWN}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        **encode(info, arrays),
        **({"info": encode(apart, arrays)} if apart else {}),
        "model_sha256": prediction.model_sha256,
        "pictures": [
            {
                "name": name,
                "sha256": provenance.picture_hash(picture),
                "letterbox": asdict(box),
            }
            for name, picture, box in zip(
                prediction.names, prediction.pictures, prediction.letterboxes, strict=True
            )
        ],
    }

    def fill(fresh: Path) -> None:
        (fresh / _FIGURE).write_bytes(figure)
        folders.seal(fresh, _MANIFEST, manifest, arrays, _ARRAYS)

    what = f"Cannot save a prediction as the folder {str(folder)!r}."
    return folders.write(folder, fill, (_ARRAYS, _MANIFEST, _FIGURE), what, READ)


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the FixationPrediction that a folder holds.

    Raises:
        SaveError: It holds none, a broken or altered one, or one of a later schema.
    """
    what = f"Cannot load a prediction from the folder {str(folder)!r}."
    fix = "Name a folder written by FixationPrediction.save."
    return folders.read(folder, _MANIFEST, _ARRAYS, SCHEMA_VERSION, _fields, what, fix, READ)


def _fields(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = manifest.pop("pictures")
    digest, apart = manifest.pop("model_sha256"), manifest.pop("info", {})
    return {
        "log_density": arrays["log_density"],
        "pictures": tuple(arrays[f"picture_{i}"] for i in range(len(rows))),
        "letterboxes": tuple(
            Letterbox(**{name: tuple(value) for name, value in row["letterbox"].items()})
            for row in rows
        ),
        "names": tuple(row["name"] for row in rows),
        "info": {**decode(manifest, arrays), **decode(apart, arrays)},
        "model_sha256": digest,
    }
