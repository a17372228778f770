"""What the page computes, without the page: models, maps, agreement, files."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_saliency import methods as known_methods
from keras_saliency import targets
from keras_saliency._explain import explain
from keras_saliency._graph.ends import layer_tree
from keras_saliency._inputs.preprocessing import class_names
from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import InputError
from keras_saliency.fixation.metrics import scores
from keras_saliency.fixation.predict import predict_fixations
from keras_saliency.fixation.prediction import FixationPrediction
from keras_saliency.fixation.predictor import FixationModelLike
from keras_saliency.plot import colormap, limits

PREDICTED = -1  # the number that stands for the predicted class, or the strongest channel
DEFAULT = "default"  # the layer that a method takes by itself
_SIDE = 900  # pixels of what is shown; the maps themselves are of the picture's own size
_MOST = 2000  # classes that can be chosen by name
_READ = "help(keras_saliency.app.serve)"


@dataclass(frozen=True)
class Shape:
    """What can be chosen for a model.

    Attributes:
        classes: Name and number of each class, or channel of a dense output.
        layers: Paths of its layers.
        output: Height and width of a dense output; None of any other.
    """

    classes: tuple[tuple[str, int], ...]
    layers: tuple[str, ...]
    output: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Look:
    """One picture, explained by one or two methods, and where people look at it.

    Attributes:
        explanations: One or two, of B = 1.
        gaze: Of the same picture.
        agreement: For each explanation ``cc`` and ``nss``, as `agreement` returns them.
        at: Row and column of a dense output that is explained; None of any other.
    """

    explanations: tuple[Explanation, ...]
    gaze: FixationPrediction
    agreement: tuple[dict[str, float], ...]
    at: tuple[int, int] | None = None


class Session:
    """Models that are loaded when they are first chosen, and explained one call at a time.

    Args:
        models: A model, or a callable that returns one, by name.
        preprocess: As for `keras_saliency.explain`.
        fixation_model: As for `keras_saliency.predict_fixations`.

    Raises:
        InputError: There is no model.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        preprocess: Any = "auto",
        fixation_model: FixationModelLike = "default",
    ) -> None:
        if not models:
            raise InputError(
                "Expected one or more models by name.",
                "Got an empty dict.",
                "Pass {'mine': model}.",
                _READ,
            )
        self._models, self._preprocess = dict(models), preprocess
        self._fixation_model = fixation_model
        self._lock = threading.RLock()  # the page calls from several threads

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._models)

    def model(self, name: str) -> Any:
        """Return a model by name, loaded once."""
        with self._lock:
            model = self._models[name]
            if not hasattr(model, "layers"):
                model = self._models[name] = model()
            return model

    def shape(self, name: str) -> Shape:
        """Return what can be chosen for a model."""
        model = self.model(name)
        shape = tuple(getattr(model, "output_shape", None) or ())
        shape = shape if all(one is None or isinstance(one, int) for one in shape) else ()
        dense = len(shape) in (3, 4) and None not in shape[1:3]
        count = shape[-1] if len(shape) in (2, 4) and shape[-1] else 0
        named = class_names(model) or ()
        classes = [
            (f"{named[i]} ({i})" if i < len(named) else str(i), i) for i in range(min(count, _MOST))
        ]
        first = "the strongest channel" if dense else "the predicted class"
        rows = (line.split() for line in layer_tree(model).splitlines())
        return Shape(
            classes=((first, PREDICTED), *(classes if count > 1 else ())),
            layers=tuple(path for path, kind in rows if kind not in ("InputLayer", "Dropout")),
            output=(shape[1], shape[2]) if dense else None,
        )

    def look(
        self,
        picture: np.ndarray,
        model: str,
        methods: tuple[str, ...],
        chosen: int = PREDICTED,
        layer: str = DEFAULT,
        at: tuple[int, int] | None = None,
    ) -> Look:
        """Explain a picture and predict where people look at it.

        Args:
            picture: (H, W, 3) or (H, W) uint8.
            model: Its name.
            methods: One or two names; two equal ones are explained once.
            chosen: A class, or a channel of a dense output; `PREDICTED` for neither.
            layer: A layer's path for methods that take one, or `DEFAULT`.
            at: Row and column of the picture whose pixel of a dense output is explained; None
                explains its middle.

        Raises:
            KerasSaliencyError: As `keras_saliency.explain`.
        """
        with self._lock:
            output = self.shape(model).output
            target: Any = None if chosen == PREDICTED else chosen
            point = None if output is None else pixel(at, picture.shape[:2], output)
            if point is not None:
                target = targets.Pixel(*point, target)
            explanations = tuple(
                explain(
                    self.model(model),
                    picture,
                    _method(name, layer),
                    target=target,
                    preprocess=self._preprocess,
                )
                for name in dict.fromkeys(methods)
            )
            gaze = predict_fixations(picture, self._fixation_model)
        numbers = tuple(agreement(one, gaze) for one in explanations)
        return Look(explanations, gaze, numbers, point)


def of_pictures() -> list[str]:
    """Return the names of the methods that explain pictures."""
    return [name for name, one in known_methods.classes().items() if "picture" in one().kinds]


def _method(name: str, layer: str) -> Any:
    method = known_methods.classes()[name]
    takes = "layer" in method.__dataclass_fields__
    return method(layer=layer) if takes and layer != DEFAULT else method()


def pixel(
    at: tuple[int, int] | None, size: tuple[int, ...], output: tuple[int, int]
) -> tuple[int, int]:
    """Return the row and column of a dense output under a pixel of a picture.

    Args:
        at: Row and column in the picture; None is its middle.
        size: Height and width of the picture, which is stretched to the model's input.
        output: Height and width of the output.

    Example:
        >>> pixel((39, 59), (40, 60), (8, 8)), pixel(None, (40, 60), (8, 8))
        ((7, 7), (4, 4))
    """
    where = at or (size[0] // 2, size[1] // 2)
    y, x = (
        min(max(int((one + 0.5) * new / old), 0), new - 1)
        for one, old, new in zip(where, size, output, strict=True)
    )
    return y, x


def agreement(explanation: Explanation, gaze: FixationPrediction) -> dict[str, float]:
    """Return how well a model's map agrees with where people look.

    Returns:
        ``cc``: Pearson's correlation of the map with the density of fixations, -1 to 1. ``nss``:
        how high the map is at an expected fixation, in its own standard deviations above its mean;
        0 is chance. Of a signed map the magnitude counts.
    """
    values = explanation.maps()[0].astype(np.float64)
    values = np.abs(values) if explanation.signed else values
    density = gaze.maps()[0].astype(np.float64)
    spread = values.std()
    nss = ((values - values.mean()) * density).sum() / (density.sum() * spread) if spread else 0.0
    return {"cc": scores.cc(values, density), "nss": float(nss)}


def overlay(
    picture: np.ndarray, values: np.ndarray, signed: bool = False, opacity: float = 0.7
) -> np.ndarray:
    """Return a map over its picture in colour, (h, w, 3) uint8, reduced to 900 pixels a side.

    Args:
        picture: (H, W, 3) or (H, W, 1) uint8.
        values: (H, W) map, or density.
        signed: Whether its sign has a meaning.
        opacity: Of its strongest values, 0 to 1; 0 shows the picture.
    """
    rows, columns = values.shape
    scale = min(1.0, _SIDE / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    photo = Image.fromarray(np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture)
    ground = np.asarray(photo.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    small = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    share = np.clip(np.asarray(small) / limits(values, signed)[1], -1.0, 1.0)
    colours = colormap(signed)((share + 1) / 2 if signed else share)[..., :3]
    cover = opacity * np.abs(share)[..., None] ** 0.6
    return (255 * (ground * (1 - cover) + colours * cover)).round().astype(np.uint8)


def bundle(look: Look, folder: Path) -> Path:
    """Write a zip file: each explanation and the prediction as their ``save`` writes them.

    Returns:
        Its path, in a new folder inside ``folder``.
    """
    with tempfile.TemporaryDirectory() as made:
        root = Path(made) / "saliency"
        for one in look.explanations:
            one.save(root / one.info["method"])
        look.gaze.save(root / "people")
        rows = zip(look.explanations, look.agreement, strict=True)
        numbers = {one.info["method"]: numbers for one, numbers in rows}
        (root / "agreement.json").write_text(json.dumps(numbers, indent=2) + "\n")
        name = Path(tempfile.mkdtemp(dir=folder)) / "saliency"
        return Path(shutil.make_archive(str(name), "zip", made))
