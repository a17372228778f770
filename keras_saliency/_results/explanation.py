"""Explanation: the frozen result of explain(), which draws and saves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import numpy.typing as npt

from keras_saliency._inputs.geometry import Geometry
from keras_saliency._io import folder as files
from keras_saliency._io.encoding import decode, encode
from keras_saliency._io.files import local_path
from keras_saliency._results import provenance
from keras_saliency.errors import MethodError, _arguments

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_saliency.plot import Panel


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of B pictures, and their provenance.

    Plain data: it can be pickled and copied, and holds no model.

    Attributes:
        values: (B, H, W) float32 maps in the model's input frame, signed if the method is, never
            rescaled.
        attributions: (B, H, W, C) float32 before the channels were reduced; None for CAMs and
            occlusion, which have no channels.
        scores: (B,) float64, the explained scores.
        probabilities: (B,) probabilities of the explained class; None where the target is no class,
            or where the output may be none: a regression, an embedding.
        targets: The explained targets, one for each picture.
        labels: Class names (``"class 7"`` where they are unknown, ``"output 7"`` where the output
            may be no class), ``""`` where the target is no class.
        pictures: The original pictures, (H0, W0, C).
        geometries: How each picture was fitted to the model's input.
        signed: Whether the sign of the map has a meaning.
        checks: For each picture a dict: numbers such as ``completeness_error``, and ``findings``,
            sentences about what looks wrong.
        info: Method, parameters, layer, seed, backend, versions, seconds. Plain data: a function
            among the parameters is stored by name. ``"features"``: names of a table's columns.
            ``"words"``: the tokens of each text, without padding.
        model_sha256: SHA-256 of the model's weights at that time; None if unknown.
    """

    values: npt.NDArray[np.float32]
    attributions: npt.NDArray[np.float32] | None
    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.floating] | None
    targets: tuple[Any, ...]
    labels: tuple[str, ...]
    pictures: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    signed: bool
    checks: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any]
    model_sha256: str | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.values)

    def __getitem__(self, index: int | slice) -> Explanation:
        """Return the explanation of one picture (B = 1) or of a slice."""
        if not isinstance(index, slice):
            index = range(len(self))[index]  # negative numbers, IndexError
            index = slice(index, index + 1)
        optional: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[index]
            for name in ("attributions", "probabilities")
        }
        rows = ("values", "scores", "targets", "labels", "pictures", "geometries", "checks")
        info = dict(self.info)
        if "words" in info:
            info["words"] = info["words"][index]
        optional["info"] = info
        return replace(self, **optional, **{name: getattr(self, name)[index] for name in rows})

    def __iter__(self) -> Iterator[Explanation]:
        """Iterate over the explanations of single pictures."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return one line: method, size, labels and scores."""
        names = ", ".join(self.title(i) for i in range(min(3, len(self))))
        more = ", ..." if len(self) > 3 else ""
        return f"<Explanation by {self.info['method']} {self.values.shape}: {names}{more}>"

    def title(self, index: int = 0) -> str:
        """Return label and score of one picture, such as ``"espresso, logit 9.13 (p = 0.90)"``."""
        word = self.info["score"].replace("_", " ")
        if word == "logit" and self.labels[index].startswith("output "):
            word = "value"  # it may be no logit
        score = f"{word} {self.scores[index]:.3g}"
        if self.probabilities is not None and self.info["score"] != "probability":
            score += f" (p = {self.probabilities[index]:.2f})"
        return f"{self.labels[index] or self.targets[index]}, {score}"

    def maps(self) -> list[npt.NDArray[np.float32]]:
        """Return each map in its original picture's frame, (H0, W0) float32.

        Pixels outside a crop (``Preprocess(fit="crop")``) are 0.
        """
        both = zip(self.geometries, self.values, strict=True)
        return [geometry.undo(value) for geometry, value in both]

    def panels(self) -> list[Panel]:
        """Return pictures and maps as `keras_saliency.plot.Panel`, for drawing."""
        from keras_saliency.plot import Panel

        return [
            Panel(picture, grid, self.title(i), self.info["method"], self.signed)
            for i, (picture, grid) in enumerate(zip(self.pictures, self.maps(), strict=True))
        ]

    @overload
    def plot(
        self,
        kind: Literal["pair"] = "pair",
        *,
        percentile: float = 99.0,
        figure: Figure | None = None,
        colorbar: bool = True,
    ) -> Figure: ...

    @overload
    def plot(
        self,
        kind: Literal["overlay"],
        *,
        percentile: float = 99.0,
        figure: Figure | None = None,
        alpha: float = 0.6,
    ) -> Figure: ...

    def plot(
        self, kind: Literal["pair", "overlay"] = "pair", *, percentile: float = 99.0, **options: Any
    ) -> Figure:
        """Draw picture and map side by side, or the map over the picture.

        Args:
            kind: ``"pair"`` or ``"overlay"``.
            percentile: End of the map's colour scale, a percentile of its (absolute) values.
            **options: See `keras_saliency.plot.pair` and `keras_saliency.plot.overlay`.

        Returns:
            A ``matplotlib.figure.Figure``.
        """
        from keras_saliency import plot

        draw: dict[str, Callable[..., Figure]] = {"pair": plot.pair, "overlay": plot.overlay}
        if not _arguments.is_word(kind, draw):
            raise MethodError(
                f"No plot is called {kind!r}.",
                f"Known: {', '.join(map(repr, draw))}.",
                "Take one of these.",
                "help(keras_saliency.Explanation.plot)",
            )
        return draw[kind](self.panels(), percentile=percentile, **options)

    def _repr_png_(self) -> bytes:
        """Return a PNG of picture and map, which notebooks show."""
        from keras_saliency import plot

        return plot.render_png(plot.pair, self[:8].panels())

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``explanation.npz`` and ``manifest.json`` into a folder.

        All or nothing: the folder appears when everything is written. A folder with a saved
        explanation is replaced, and a kill at any moment leaves the old one or the new one; a
        folder with other files is not touched. `load` returns an equal explanation, and the
        manifest holds checksums of all files.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        from keras_saliency import plot

        figure = plot.render_png(plot.pair, self.panels())
        return write(local_path(folder, READ), self, figure)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Explanation:
        """Read a saved explanation.

        Raises:
            SaveError: The folder holds no explanation, a damaged one, or one of a later schema.
        """
        return cls(**read(local_path(folder, READ)))


SCHEMA_VERSION = 2  # 1 had no checksums, and arrays in info as text

_ARRAYS, _MANIFEST, _FIGURE = "explanation.npz", "manifest.json", "figure.png"
READ = "help(keras_saliency.Explanation.save)"
_OWN = (
    "checksums", "dtypes", "info", "model_sha256", "pictures", "schema_version", "signed",
)  # fmt: skip


def write(folder: Path, explanation: Any, figure: bytes) -> Path:
    """Write an explanation, all or nothing.

    Raises:
        SaveError: The folder holds other files, or cannot be written.
    """

    def fill(fresh: Path) -> None:
        (fresh / _FIGURE).write_bytes(figure)
        arrays = arrays_of(explanation)
        manifest = manifest_of(explanation, arrays)
        files.seal(fresh, _MANIFEST, manifest, arrays, _ARRAYS)

    what = f"Cannot save the explanation as the folder {str(folder)!r}."
    return files.write(folder, fill, (_ARRAYS, _MANIFEST, _FIGURE), what, READ)


def read(folder: Path) -> dict[str, Any]:
    """Return the fields of the Explanation that a folder holds.

    Raises:
        SaveError: It holds none, a damaged one, or one of a later schema.
    """
    what = f"Cannot read the explanation in {str(folder)!r}."
    fix = "Name a folder written by Explanation.save."
    return files.read(folder, _MANIFEST, _ARRAYS, SCHEMA_VERSION, fields_of, what, fix, READ)


def arrays_of(explanation: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a saved explanation."""
    arrays = {"values": explanation.values, "scores": explanation.scores}
    for name in ("attributions", "probabilities"):
        if getattr(explanation, name) is not None:
            arrays[name] = getattr(explanation, name)
    pictures = {f"picture_{i}": picture for i, picture in enumerate(explanation.pictures)}
    return {**arrays, **pictures}


def manifest_of(explanation: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the manifest of a saved explanation; arrays in its info are added to ``arrays``."""
    info = dict(explanation.info)
    # Names that the manifest itself uses are stored apart.
    apart = {name: info.pop(name) for name in list(info) if name in _OWN or _is_hidden(name)}
    return {
        "schema_version": SCHEMA_VERSION,
        **encode(info, arrays),
        **({"info": encode(apart, arrays)} if apart else {}),
        "signed": bool(explanation.signed),
        "model_sha256": explanation.model_sha256,
        "pictures": [
            {
                "sha256": provenance.picture_hash(picture),
                "geometry": asdict(explanation.geometries[i]),
                "target": encode(explanation.targets[i], arrays),
                "label": explanation.labels[i],
                "score": float(explanation.scores[i]),
                "checks": encode(_listed(explanation.checks[i]), arrays),
            }
            for i, picture in enumerate(explanation.pictures)
        ],
    }


def _listed(checks: Mapping[str, Any]) -> dict[str, Any]:
    return {**checks, "findings": list(checks["findings"])}


def _is_hidden(name: Any) -> bool:
    return type(name) is not str or name.startswith("__")


def fields_of(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the fields of the explanation that was saved so."""
    rows = manifest.pop("pictures")
    digest, signed = manifest.pop("model_sha256"), manifest.pop("signed")
    apart = manifest.pop("info", {})
    checks = [decode(row["checks"], arrays) for row in rows]
    return {
        "values": arrays["values"],
        "attributions": arrays.get("attributions"),
        "scores": arrays["scores"],
        "probabilities": arrays.get("probabilities"),
        "targets": tuple(decode(row["target"], arrays) for row in rows),
        "labels": tuple(row["label"] for row in rows),
        "pictures": tuple(arrays[f"picture_{i}"] for i in range(len(rows))),
        "geometries": tuple(
            Geometry(**{name: tuple(value) for name, value in row["geometry"].items()})
            for row in rows
        ),
        "signed": signed,
        "checks": tuple({**one, "findings": tuple(one["findings"])} for one in checks),
        "info": {**decode(manifest, arrays), **decode(apart, arrays)},
        "model_sha256": digest,
    }
