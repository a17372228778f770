"""What an actor does with a batch of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.methods import Method
from keras_saliency.ray.cells import Frame, as_picture, cells, checked, column_of, with_columns
from keras_saliency.ray.shipping import from_file, loaded

Batch = dict[str, Any]


class Explaining:
    """What ``Dataset.map_batches`` calls to explain pictures; built once in each actor.

    Args:
        model: What `ship` returns; or a path, a callable without arguments, a ``keras.Model``.
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
        """Return the batch and what was found on its pictures."""
        each = self._targets and [int(one) for one in cells(batch, self._targets)]
        pictures = [as_picture(one) for one in cells(batch, self._column)]
        found = list(self._explainer.stream(pictures, each or None))
        maps = [one.maps()[0] if self._frame == "picture" else one.values[0] for one in found]
        explained = [one.targets[0] for one in found]
        if not all(isinstance(one, int) for one in explained):
            explained = [str(one) for one in explained]
        new = {
            "saliency": column_of(maps),
            "score": np.array([one.scores[0] for one in found], np.float64),
            "target": np.array(explained),
            "label": np.array([one.labels[0] for one in found]),
            "findings": np.array(["; ".join(one.checks[0]["findings"]) for one in found]),
        }
        return with_columns(batch, new, may_replace=self._targets)


class Predicting:
    """What ``Dataset.map_batches`` calls to predict fixations; built once in each actor.

    Args:
        model: ``"default"``, what `ship` returns, a path, a callable, or a ``keras.Model``.
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
        # A path stays one: beside the weights the folder says how they want to be used.
        found = loaded(model, lambda path: path)
        self._predictor = FixationPredictor(found, batch_size=batch_size, mirror=mirror)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch and the densities on its pictures."""
        pictures = (as_picture(one) for one in cells(batch, self._column))
        found = self._predictor.stream(pictures)
        own = self._frame == "picture"
        maps = [one.maps()[0] if own else one.values[0] for one in found]
        return with_columns(batch, {"saliency": column_of(maps)})
