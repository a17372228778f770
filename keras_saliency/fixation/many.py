"""FixationPredictor: predict_fixations() for streams of pictures, and into a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any, Literal

import numpy as np

from keras_saliency._engine import weights
from keras_saliency._inputs.geometry import Letterbox
from keras_saliency._inputs.pictures import Picture, Pictures
from keras_saliency._inputs.prefetch import Steps, map_batched, together
from keras_saliency._results import archive, provenance
from keras_saliency._results.archive import Archive, Record
from keras_saliency.errors import ImageError
from keras_saliency.fixation import predict
from keras_saliency.fixation.predict import Photo, about, check, predict_fixations
from keras_saliency.fixation.prediction import FixationPrediction
from keras_saliency.fixation.predictor import FixationModelLike, Predictor, predictor

_READ = "help(keras_saliency.FixationPredictor)"


@dataclass(frozen=True, eq=False)
class FixationPredictor:
    """A fixation model, for many pictures.

    Pictures are read and placed on their canvas in a background thread while the model works. The
    densities are those of `predict_fixations`, one by one.

    Args:
        model: ``"default"``, a folder, a ``.keras`` file, or a ``keras.Model``.
        batch_size: Pictures that go through the model at once.
        mirror: Whether to average over the picture and its mirror image; ``None`` reads it from
            the model's manifest.

    Raises:
        KerasSaliencyError: An argument cannot be used; each message gives a fix.

    Example:
        >>> from keras_saliency import FixationPredictor
        >>> greys = (np.full((40, 60, 3), grey, "uint8") for grey in (0, 255))
        >>> [one.maps()[0].shape for one in FixationPredictor().stream(greys)]
        [(40, 60), (40, 60)]
    """

    model: FixationModelLike = "default"
    _: KW_ONLY
    batch_size: int = 1
    mirror: bool | None = None

    def __post_init__(self) -> None:
        """Load the model and refuse what cannot be used."""
        object.__setattr__(self, "batch_size", check(self.batch_size, self.mirror))
        _ = self._ready

    def __call__(self, image: Pictures) -> FixationPrediction:
        """Return what `predict_fixations` gives on a picture, a batch or a list of pictures."""
        return predict_fixations(image, self.model, batch_size=self.batch_size, mirror=self.mirror)

    def stream(self, images: Iterable[Picture]) -> Iterator[FixationPrediction]:
        """Predict fixations on pictures in order; memory does not grow with their number.

        Args:
            images: Pictures, as `predict_fixations` takes one. They may differ in size.

        Yields:
            A `FixationPrediction` for each, of one picture.

        Raises:
            KerasSaliencyError: At the picture that cannot be used, after those before it.
        """
        return (self._prediction(one) for one in map_batched(together(images), self._steps(True)))

    def write(
        self,
        images: Iterable[Picture],
        folder: str | PathLike[str],
        *,
        keys: Iterable[Any] | None = None,
        format: Literal["npz", "array_record"] = "npz",
        on_error: Literal["raise", "skip"] = "raise",
        part_size: int = 64,
    ) -> Archive:
        """Predict fixations on pictures into a folder; the same call resumes after an interruption.

        All is as in `Explainer.write`. A record's ``values`` are the log density on the canvas, its
        ``map()`` is the density in the picture's own frame.

        Args:
            images: Pictures, as `predict_fixations` takes one.
            folder: A new or empty folder, or one that was written so before.
            keys: A name for each picture; without it its path, else its number in the stream.
            format: ``"npz"`` or ``"array_record"``.
            on_error: ``"raise"`` at a picture that cannot be used, or ``"skip"`` it.
            part_size: Pictures in a part.

        Returns:
            The `Archive` of all that is in the folder.

        Raises:
            SaveError: The folder holds other files; another process writes to it; a key repeats.
            KerasSaliencyError: A picture cannot be used. What came before it is written.
        """
        options = about(self._ready, self._mirrored, self.batch_size)
        identity = {
            "holds": "fixations",
            "canvas": list(self._ready.canvas),
            "mirror": self._mirrored,
            "model_sha256": provenance.model_hash(self._ready.model),
        }
        order = archive.WriteConfig(folder, identity, options, format, on_error, part_size)
        return archive.write(order, images, self._steps(False), _record, keys=keys)

    @cached_property
    def _ready(self) -> Predictor:
        return predictor(self.model)

    @property
    def _mirrored(self) -> bool:
        return self._ready.mirror if self.mirror is None else self.mirror

    def _steps(self, keep_pictures: bool) -> Steps[Any, Item, Item]:
        nothing = np.empty((0, 0, 1), np.uint8)

        def ready(item: tuple[Any, Any]) -> Item:
            result = predict.read(item[0])
            if len(result) != 1:
                raise ImageError(
                    "Expected a stream of single pictures.",
                    f"Got a batch or a list of {len(result)}.",
                    "Pass single pictures: itertools.chain.from_iterable(batches).",
                    _READ,
                )
            box = Letterbox.fitted(result[0].pixels.shape[:2], self._ready.canvas)
            photo = result[0] if keep_pictures else replace(result[0], pixels=nothing)
            return Item(photo, box, box.apply(result[0].rgb))

        def run(group: list[Item]) -> list[Item]:
            canvases = [one.grid for one in group]
            ready, size = self._ready, self.batch_size
            result, digest = weights.consistently(
                ready.model,
                lambda _: list(ready.log_densities(iter(canvases), self._mirrored, size)),
                hashed=True,
            )
            pairs = zip(group, result, strict=True)
            return [Item(one.photo, one.box, grid, digest) for one, grid in pairs]

        return Steps(ready, lambda one: None, run, self.batch_size)

    def _prediction(self, one: Item) -> FixationPrediction:
        return FixationPrediction(
            log_density=one.grid[None],
            pictures=(one.photo.pixels,),
            letterboxes=(one.box,),
            names=(one.photo.name,),
            info=about(self._ready, self._mirrored, self.batch_size),
            model_sha256=one.digest,
        )


@dataclass(frozen=True, eq=False)
class Item:
    """A picture on its canvas: (H, W, 3) before the model, its log density (H, W) after it."""

    photo: Photo
    box: Letterbox
    grid: np.ndarray
    digest: str | None = None  # of the weights that made it


def _record(one: Item) -> Record:
    return Record(key="", values=one.grid, geometry=one.box)
