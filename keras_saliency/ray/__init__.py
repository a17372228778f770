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

=============  ====================================================================================
`datasets`     `explain`, `predict_fixations`: a data set with more columns
`calls`        `Explaining`, `Predicting`: an actor's work on a batch; cells as pictures and maps
`shipping`     `ship`, `actors`: a model sent to actors, their backend and threads
=============  ====================================================================================
"""

from __future__ import annotations

from keras_saliency.ray.calls import Explaining, Predicting, Shipped, actors, ship
from keras_saliency.ray.datasets import explain, predict_fixations

__all__ = [
    "Explaining",
    "Predicting",
    "Shipped",
    "actors",
    "explain",
    "predict_fixations",
    "ship",
]
