"""Ray Data: maps of a data set's pictures, by actors on one machine or many.

::

    import ray
    from keras_saliency.ray import explain

    photos = ray.data.read_images("photos/")            # a column "image"
    maps = explain(photos, "model.keras", "grad_cam", concurrency=4, num_cpus=2)
    maps.write_parquet("maps/")                         # beside it "saliency", "score", ...

Each actor loads the model once. The task of an actor that was killed is run again by another, and
its result comes out once: Ray counts only whole tasks. Needs the extra ``ray``. `Explaining` and
`Predicting` are the classes behind these functions, for ``Dataset.map_batches``::

    photos.map_batches(Explaining, fn_constructor_args=[ship(model)], batch_size=32, **actors(4))

`calls` holds an actor's work on a batch, and how a model is sent to actors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_saliency._inputs import KindName
from keras_saliency._inputs.preprocessing import Preprocessing
from keras_saliency.config import attach
from keras_saliency.errors import _arguments
from keras_saliency.methods import Method
from keras_saliency.ray.calls import (
    Explaining,
    Frame,
    ModelSource,
    Predicting,
    Shipped,
    actors,
    checked,
    import_ray,
    ship,
)
from keras_saliency.targets.base import TargetLike

__all__ = ["Explaining", "Predicting", "Shipped", "actors", "explain", "predict_fixations", "ship"]


_TURNS = 4  # micro-batches in a batch of Ray's: while one is computed, the next is prepared


def explain(
    ds: Any,
    model: ModelSource,
    method: str | Method | type[Method] = "gradient",
    *,
    column: str = "image",
    target: TargetLike | str = None,
    preprocess: Preprocessing = "auto",
    batch_size: int = 8,
    seed: int = 0,
    frame: Frame = "model",
    kind: KindName | None = None,
    concurrency: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    num_gpus: float | None = None,
) -> Any:
    """Explain the pictures of a data set.

    Args:
        ds: A ``ray.data.Dataset``.
        model: A ``.keras`` file that every node can read; a callable without arguments that returns
            a model, called once in each actor; or a ``keras.Model``, which is saved once and sent
            through Ray's object store.
        method: A name, or a method with options.
        column: Where the pictures are: arrays, paths, or files as bytes. Of another kind arrays,
            paths, or texts.
        target: As for `keras_saliency.explain`; or the name of a column of class numbers.
        preprocess: As for `keras_saliency.explain`.
        batch_size: Pictures that go through the model at once.
        seed: For methods that draw random numbers.
        frame: ``"model"``: maps (H, W) in the model's frame; ``"picture"``: in each picture's own.
        kind: As for `keras_saliency.explain`.
        concurrency: Actors, or the least and the most of them.
        num_cpus: Of an actor: what Ray counts, and how many threads its backend uses.
        num_gpus: Of an actor.

    Returns:
        A ``ray.data.Dataset``, not yet computed: the columns of ``ds`` and ``saliency`` float32,
        ``score``, ``target`` (a class number, or text), ``label``, and ``findings``: likely faults
        of a map as text, empty where there is none. Of texts also ``words``, their tokens.

    Raises:
        KerasSaliencyError: Ray is not installed, or an argument cannot be used. The error of a
            picture is raised when the data set is computed.
    """
    given = {
        "method": method, "column": column, "target": target, "preprocess": preprocess,
        "batch_size": batch_size, "seed": seed, "frame": frame, "kind": kind,
    }  # fmt: skip
    return _mapped(ds, Explaining, model, given, concurrency, num_cpus, num_gpus)


def predict_fixations(
    ds: Any,
    model: ModelSource = "default",
    *,
    column: str = "image",
    batch_size: int = 1,
    mirror: bool | None = None,
    frame: Frame = "picture",
    concurrency: int | tuple[int, int] = 1,
    num_cpus: float = 1,
    num_gpus: float | None = None,
) -> Any:
    """Predict where people look at the pictures of a data set.

    Args:
        ds: A ``ray.data.Dataset``.
        model: ``"default"``, a folder or ``.keras`` file that every node can read; a callable
            without arguments that returns a model; or a ``keras.Model``.
        column: Where the pictures are: arrays, paths, or files as bytes.
        batch_size: Pictures that go through the model at once.
        mirror: Whether to average over the picture and its mirror image; ``None`` reads it from
            the model's manifest.
        frame: ``"picture"``: densities in each picture's own frame; ``"model"``: on the canvas.
        concurrency: Actors, or the least and the most of them.
        num_cpus: Of an actor: what Ray counts, and how many threads its backend uses.
        num_gpus: Of an actor.

    Returns:
        A ``ray.data.Dataset``, not yet computed: the columns of ``ds`` and ``saliency`` float32,
        a density that sums to 1.

    Raises:
        KerasSaliencyError: As for `explain`.
    """
    given = {"column": column, "batch_size": batch_size, "mirror": mirror, "frame": frame}
    return _mapped(ds, Predicting, model, given, concurrency, num_cpus, num_gpus)


def _mapped(
    ds: Any,
    kind: type,
    model: Any,
    given: Mapping[str, Any],
    concurrency: int | tuple[int, int],
    num_cpus: float,
    num_gpus: float | None,
) -> Any:
    import_ray()
    checked(given["frame"])
    size = int(given["batch_size"]) if _arguments.is_integer(given["batch_size"]) else 8
    return ds.map_batches(
        kind,
        fn_constructor_kwargs={"model": ship(model), **given},
        batch_size=_TURNS * max(1, size),
        batch_format="numpy",
        **actors(concurrency, num_cpus, num_gpus),
    )


if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, {})
