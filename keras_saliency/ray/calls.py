"""An actor's work on a batch of a data set."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_saliency.errors import ImageError, MethodError, did_you_mean
from keras_saliency.methods import Method
from keras_saliency.ray.shipping import from_file, loaded

Batch = dict[str, Any]


class Explaining:
    """The callable of ``Dataset.map_batches`` that explains pictures; built once in each actor.

    Args:
        model: The result of `ship`; or a path, a callable without arguments, a ``keras.Model``.
        method: See `explain`, as all others.
    """

    def __init__(
        self,
        model: Any,
        method: str | Method = "gradient",
        *,
        column: str = "image",
        target: Any = None,
        preprocess: Any = "auto",
        batch_size: int = 8,
        seed: int = 0,
        frame: Frame = "model",
    ) -> None:
        """Load the model."""
        from keras_saliency._explainer import Explainer

        self._column, self._frame = column, checked(frame)
        self._targets = target if isinstance(target, str) else None
        self._explainer = Explainer(
            loaded(model, from_file),
            method,
            target=None if self._targets else target,
            preprocess=preprocess,
            batch_size=batch_size,
            seed=seed,
        )

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with maps, scores and findings of its pictures."""
        each = self._targets and [int(one) for one in cells(batch, self._targets)]
        pictures = [as_picture(one) for one in cells(batch, self._column)]
        result = list(self._explainer.stream(pictures, each or None))
        maps = [one.maps()[0] if self._frame == "picture" else one.values[0] for one in result]
        explained = [one.targets[0] for one in result]
        if not all(isinstance(one, int) for one in explained):
            explained = [str(one) for one in explained]
        new = {
            "saliency": column_of(maps),
            "score": np.array([one.scores[0] for one in result], np.float64),
            "target": np.array(explained),
            "label": np.array([one.labels[0] for one in result]),
            "findings": np.array(["; ".join(one.checks[0]["findings"]) for one in result]),
        }
        return with_columns(batch, new, may_replace=self._targets)


class Predicting:
    """The callable of ``Dataset.map_batches`` that predicts fixations; built once in each actor.

    Args:
        model: ``"default"``, the result of `ship`, a path, a callable, or a ``keras.Model``.
        column: See `predict_fixations`, as all others.
    """

    def __init__(
        self,
        model: Any = "default",
        *,
        column: str = "image",
        batch_size: int = 1,
        mirror: bool | None = None,
        frame: Frame = "picture",
    ) -> None:
        """Load the model."""
        from keras_saliency.fixation.many import FixationPredictor

        self._column, self._frame = column, checked(frame)
        # A path stays one: the folder's manifest has canvas and mirror beside the weights.
        result = loaded(model, lambda path: path)
        self._predictor = FixationPredictor(result, batch_size=batch_size, mirror=mirror)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the densities on its pictures."""
        pictures = (as_picture(one) for one in cells(batch, self._column))
        result = self._predictor.stream(pictures)
        own = self._frame == "picture"
        maps = [one.maps()[0] if own else one.values[0] for one in result]
        return with_columns(batch, {"saliency": column_of(maps)})


Frame = Literal["model", "picture"]

_READ = "help(keras_saliency.ray)"


def checked(frame: Frame) -> Frame:
    """Return the frame.

    Raises:
        MethodError: It is no frame.
    """
    if frame not in ("model", "picture"):
        raise MethodError(
            "Expected frame to be 'model' or 'picture'.",
            f"Got frame={frame!r}.",
            "Pass one of these.",
            _READ,
        )
    return frame


def cells(batch: Mapping[str, Any], column: str) -> Any:
    """Return a batch's column.

    Raises:
        ImageError: There is none of this name.
    """
    if column not in batch:
        raise ImageError(
            f"No column is called {column!r}.",
            f"The data set has {', '.join(map(repr, batch))}.",
            did_you_mean(column, batch) or "Name one of these: column=....",
            _READ,
        )
    return batch[column]


def with_columns(
    batch: Mapping[str, Any], new: Mapping[str, np.ndarray], may_replace: str | None = None
) -> dict[str, Any]:
    """Return a batch with more columns.

    Raises:
        ImageError: One is there already: true labels are not overwritten.
    """
    for name in new:
        if name in batch and name != may_replace:
            raise ImageError(
                f"Cannot add the column {name!r}.",
                "The data set has one already.",
                f"Rename that one first: ds.rename_columns({{{name!r}: 'my_{name}'}}).",
                _READ,
            )
    return {**batch, **new}


def as_picture(value: Any) -> Any:
    """Return a cell as a picture: a file's bytes are opened, all else is one already.

    Raises:
        ImageError: The bytes are no picture.
    """
    if not isinstance(value, bytes):
        return value
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(value))
    except UnidentifiedImageError as error:
        raise ImageError(
            "Expected the bytes of a picture file.",
            f"Got {len(value)} bytes that Pillow cannot read.",
            "Pass a JPEG, PNG or another picture file.",
            _READ,
        ) from error


def column_of(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return maps as a column: one array where they are alike, else an array of arrays."""
    if len({one.shape for one in maps}) == 1:
        return np.stack(maps)
    column = np.empty(len(maps), object)
    for i, one in enumerate(maps):  # NumPy would try to make one array of them
        column[i] = one
    return column
