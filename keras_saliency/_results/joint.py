"""JointExplanation: the explanations of several inputs that were explained together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_saliency._io import folders
from keras_saliency._io.files import local_path
from keras_saliency._results.explanation import Explanation
from keras_saliency._results.stored import READ, arrays_of, fields_of, manifest_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_saliency._inputs.batch import Batch
    from keras_saliency.methods import Method

_ARRAYS, _MANIFEST, _FIGURE = "explanation.npz", "inputs.json", "figure.png"
_SCHEMA = 2  # as that of one explanation: with checksums


@dataclass(frozen=True, eq=False)
class JointExplanation(Mapping[str, Explanation]):
    """The explanations of several inputs of one model, each by the name of its input.

    The inputs were attributed along one joint path: what a complete method attributes sums to the
    gap in score over all of them together. Scores, targets, labels and checks are the same in each.

    Attributes:
        parts: The explanation of each input.

    Example:
        >>> from keras_saliency import JointExplanation
        >>> together = JointExplanation({"image": explain(model, img)})
        >>> together["image"].values.shape
        (1, 24, 24)
    """

    parts: Mapping[str, Explanation]

    def __getitem__(self, name: str) -> Explanation:
        """Return the explanation of one input."""
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the inputs."""
        return iter(self.parts)

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.parts)

    def __repr__(self) -> str:
        """Return one line: the method, and each input's shape."""
        shapes = ", ".join(f"{name} {one.values.shape}" for name, one in self.items())
        return f"<JointExplanation by {self.info['method']}: {shapes}: {self._one.title(0)}>"

    @property
    def _one(self) -> Explanation:
        return next(iter(self.parts.values()))

    @property
    def attributions(self) -> dict[str, np.ndarray | None]:
        """The attributions of each input, in its own shape."""
        return {name: one.attributions for name, one in self.items()}

    @property
    def scores(self) -> np.ndarray:
        """(B,) float64, the explained scores."""
        return self._one.scores

    @property
    def probabilities(self) -> np.ndarray | None:
        """(B,) probabilities of the explained class; None where there are none."""
        return self._one.probabilities

    @property
    def targets(self) -> tuple[Any, ...]:
        """The explained targets, one for each row."""
        return self._one.targets

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, one for each row."""
        return self._one.labels

    @property
    def checks(self) -> tuple[Mapping[str, Any], ...]:
        """For each row numbers such as ``completeness_error``, and ``findings``."""
        return self._one.checks

    @property
    def info(self) -> Mapping[str, Any]:
        """Method, parameters, seed, backend, versions."""
        return self._one.info

    @property
    def model_sha256(self) -> str | None:
        """SHA-256 of the model's weights at that time; None if unknown."""
        return self._one.model_sha256

    def plot(self, **options: Any) -> Figure:
        """Draw every input with its map, one below the other.

        Args:
            **options: See `keras_saliency.plot.several`.
        """
        from keras_saliency import plot

        panels = [(name, panel) for name, one in self.items() for panel in one.panels()]
        return plot.several(panels, **options)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``figure.png``, ``explanation.npz`` and ``inputs.json`` into a folder.

        As `Explanation.save` does: all or nothing, with checksums. `load` returns an equal one.

        Returns:
            The folder.

        Raises:
            SaveError: The folder holds other files, or cannot be written.
        """
        path = local_path(folder, READ)

        def fill(fresh: Path) -> None:
            every, manifests = {}, []
            for number, one in enumerate(self.values()):
                arrays = arrays_of(one)
                manifests.append(manifest_of(one, arrays))
                every.update({f"{number}.{name}": array for name, array in arrays.items()})
            (fresh / _FIGURE).write_bytes(_png(self))
            content = {"schema_version": _SCHEMA, "inputs": list(self), "parts": manifests}
            folders.seal(fresh, _MANIFEST, content, every, _ARRAYS)

        what = f"Cannot save the explanation as the folder {str(path)!r}."
        return folders.write(path, fill, (_ARRAYS, _MANIFEST, _FIGURE), what, READ)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> JointExplanation:
        """Read a saved explanation of several inputs.

        Raises:
            SaveError: The folder holds none, a damaged one, or one of a later schema.
        """
        path = local_path(folder, READ)
        what = f"Cannot read the explanation of several inputs in {str(path)!r}."
        fix = "Name a folder written by JointExplanation.save."
        return cls(folders.read(path, _MANIFEST, _ARRAYS, _SCHEMA, _parts, what, fix, READ))


def _parts(manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the explanations of a manifest, by their inputs' names."""
    result = {}
    for number, name in enumerate(manifest["inputs"]):
        start = f"{number}."
        own = {key.removeprefix(start): one for key, one in arrays.items() if key.startswith(start)}
        content = dict(manifest["parts"][number])
        del content["schema_version"]
        result[name] = Explanation(**fields_of(content, own))
    return result


def _png(explanation: JointExplanation) -> bytes:
    from keras_saliency import plot

    panels = [(name, panel) for name, one in explanation.items() for panel in one.panels()]
    return plot.render_png(plot.several, panels)


def by_input(whole: Explanation, batch: Batch, method: Method) -> JointExplanation:
    """Return the explanation of several inputs together as one of each."""
    parts: dict[str, Explanation] = {}
    for name, its in batch.apart(np.asarray(whole.attributions)[..., None]).items():
        part = (batch.parts or {})[name]
        parts[name] = replace(
            whole,
            values=method.to_map(its).astype(np.float32, copy=False),
            attributions=part.kind.as_given(its.astype(np.float32, copy=False)),
            pictures=part.originals,
            geometries=part.geometries,
            info={**whole.info, "kind": part.kind.name, **part.facts},
        )
    return JointExplanation(parts)
