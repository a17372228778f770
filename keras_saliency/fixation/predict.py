"""The density of human fixations: predict_fixations(), and FixationPredictor for streams."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_saliency._engine import weights
from keras_saliency._inputs import pictures
from keras_saliency._inputs.geometry import Letterbox
from keras_saliency._inputs.pictures import Picture, Pictures
from keras_saliency._inputs.prefetch import Steps, map_batched, together
from keras_saliency._io import track
from keras_saliency._results import archive, provenance
from keras_saliency._results.archive import Archive, Record
from keras_saliency.errors import FixationModelError, ImageError, _arguments
from keras_saliency.fixation.prediction import FixationPrediction
from keras_saliency.fixation.predictor import FixationModelLike, Predictor, predictor

_READ = "help(keras_saliency.predict_fixations)"


def predict_fixations(
    image: Pictures,
    model: FixationModelLike = "default",
    *,
    batch_size: int = 1,
    mirror: bool | None = None,
) -> FixationPrediction:
    """Predict where people look at pictures in the first seconds of free viewing.

    The default model is inside the package: no download. The first call loads it and, on JAX and
    TensorFlow, compiles; later calls do neither.

    Args:
        image: A picture (path, ``PIL.Image``, (H, W) or (H, W, 3) uint8 array), a batch
            (B, H, W, 3), or a list of pictures, which may differ in size and aspect ratio. Each is
            placed on the model's canvas whole, its aspect ratio preserved.
        model: ``"default"``, a folder that ``keras-saliency train`` or ``fixation.save_model``
            wrote, a ``.keras`` file, or a ``keras.Model`` as ``fixation.FixationModel`` builds.
        batch_size: Pictures that go through the model at once. On CPUs 1 is as fast a picture as
            any, or faster, and takes the least memory; on a GPU take 8.
        mirror: Whether to average (geometrically) over the picture and its mirror image, in twice
            the time; ``None`` reads it from the model's manifest, where the default is no.

    Returns:
        A `FixationPrediction`: ``values`` (B, H, W) float32, a density on the canvas; ``maps()``,
        the same in each picture's own frame; ``expected_fixations()``, ``plot()``, ``save()``.

    Raises:
        KerasSaliencyError: `ImageError` for a picture, `ModelFileError`, `ModelError` or
            `FixationModelError` for a model; each message gives a fix.

    Example:
        >>> from keras_saliency.pretrained import sample_photo
        >>> p = predict_fixations(sample_photo())
        >>> p.values.shape, p.maps()[0].shape, round(float(p.maps()[0].sum()), 3)
        ((1, 512, 512), (400, 600), 1.0)
    """
    started = time.perf_counter()
    batch_size = check(batch_size, mirror)
    pictures = read(image)  # first: a bad picture shall not cost the loading of a model
    ready = predictor(model)
    mirror = ready.mirror if mirror is None else mirror
    boxes = [Letterbox.fitted(photo.pixels.shape[:2], ready.canvas) for photo in pictures]

    def run(_: int) -> np.ndarray:
        canvases = (box.apply(photo.rgb) for box, photo in zip(boxes, pictures, strict=True))
        densities = ready.log_densities(canvases, mirror, batch_size)
        return np.stack(list(track(densities, len(pictures), "pictures")))

    log_density, digest = weights.consistently(ready.model, run, hashed=True)

    return FixationPrediction(
        log_density=log_density,
        pictures=tuple(photo.pixels for photo in pictures),
        letterboxes=tuple(boxes),
        names=tuple(photo.name for photo in pictures),
        info={
            **about(ready, mirror, batch_size),
            "seconds": round(time.perf_counter() - started, 4),
        },
        model_sha256=digest,
    )


def about(ready: Predictor, mirror: bool, batch_size: int) -> dict[str, Any]:
    """Return a manifest's entries on predictions: canvas, mirror, model, backend, versions."""
    return {
        "side": max(ready.canvas),
        "mirror": mirror,
        "batch_size": batch_size,
        **provenance.of_run(ready.model),
    }


def check(batch_size: Any, mirror: Any) -> int:
    """Return the batch size as Python's int; refuse options that cannot be used.

    Raises:
        FixationModelError: One of them cannot be used.
    """
    if not (mirror is None or isinstance(mirror, bool)):
        raise FixationModelError(
            "Expected mirror to be True, False or None.",
            f"Got mirror={mirror!r}.",
            "Pass one of these.",
            _READ,
        )
    return _arguments.integer(
        batch_size, "batch_size", FixationModelError, _READ, fix="Leave it at 1."
    )


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture as it was read.

    Attributes:
        pixels: (H0, W0, 3) or, where it is grey, (H0, W0, 1) uint8.
        name: The file's name; ``""`` where there is no file.
    """

    pixels: np.ndarray
    name: str = ""

    @property
    def rgb(self) -> np.ndarray:
        """The pixels as (H0, W0, 3)."""
        return np.ascontiguousarray(np.broadcast_to(self.pixels, (*self.pixels.shape[:2], 3)))


def read(image: Any) -> list[Photo]:
    """Return a picture, a batch or a list of pictures, which may differ in size.

    A `Photo` in a list is one that was read already.

    Raises:
        ImageError: One of them cannot be read, is too small, or has no uint8 pixels.
    """
    given = pictures.apart(image)
    if not given:
        what = "Expected one or more pictures."
        raise ImageError(what, "Got an empty list.", "Pass at least one.", _READ)
    return [_photo(one) for one in given]


def _photo(picture: Any) -> Photo:
    if isinstance(picture, Photo):
        return picture
    pixels = pictures.read(picture)
    name = Path(os.fsdecode(picture)).name if isinstance(picture, str | os.PathLike) else ""
    shown = repr(name) if name else "a picture"
    if pixels.dtype != np.uint8:
        raise ImageError(
            f"Expected {shown} to have uint8 pixels.",
            f"Got shape {pixels.shape} and dtype {pixels.dtype}; whether its values mean 0..1 or "
            "0..255 is not known.",
            "Pass uint8 pixels 0..255: (255 * x).round().astype('uint8') for 0..1.",
            _READ,
        )
    if pixels.shape[-1] not in (1, 3):
        raise ImageError(
            f"Expected {shown} to be RGB or grey.",
            f"Got shape {pixels.shape}: {pixels.shape[-1]} channels.",
            "Pass RGB (H, W, 3) or grey (H, W), channels last.",
            _READ,
        )
    if min(pixels.shape[:2]) < pictures.MIN_SIDE:
        raise ImageError(
            f"Expected {shown} to have at least {pictures.MIN_SIDE}x{pictures.MIN_SIDE} pixels.",
            f"Got {pixels.shape[0]}x{pixels.shape[1]} pixels (height x width).",
            "Pass a larger picture.",
            _READ,
        )
    return Photo(pixels, name)


_READ_PREDICTOR = "help(keras_saliency.FixationPredictor)"


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
            result = read(item[0])
            if len(result) != 1:
                raise ImageError(
                    "Expected a stream of single pictures.",
                    f"Got a batch or a list of {len(result)}.",
                    "Pass single pictures: itertools.chain.from_iterable(batches).",
                    _READ_PREDICTOR,
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
