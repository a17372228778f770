"""Ray Data: maps of a data set's pictures, by actors on one machine or many.

::

    import ray
    from keras_saliency.ray import explain

    photos = ray.data.read_images("photos/")            # a column "image"
    maps = explain(photos, "model.keras", "grad_cam", concurrency=4, num_cpus=2)
    maps.write_parquet("maps/")                         # beside it "saliency", "score", ...

Each actor loads the model once. What an actor had in hand when it was killed is done again by
another, and comes out once: Ray counts only whole tasks. Needs the extra ``ray``. Without these
functions, `Explaining` and `Predicting` are what ``Dataset.map_batches`` takes::

    photos.map_batches(Explaining, fn_constructor_args=[ship(model)], batch_size=32, **actors(4))

=============  ====================================================================================
`datasets`     `explain`, `predict_fixations`: a data set with more columns
`calls`        `Explaining`, `Predicting`: what an actor does with a batch
`cells`        a column's cells as pictures, maps as a column
`shipping`     `ship`, `actors`: a model on its way, and what an actor needs
=============  ====================================================================================
"""

from __future__ import annotations

from keras_saliency.ray.calls import Explaining, Predicting
from keras_saliency.ray.datasets import explain, predict_fixations
from keras_saliency.ray.shipping import Shipped, actors, ship

__all__ = [
    "Explaining",
    "Predicting",
    "Shipped",
    "actors",
    "explain",
    "predict_fixations",
    "ship",
]
