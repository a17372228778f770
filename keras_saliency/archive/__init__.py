"""Results of many pictures in a folder that a killed run goes on filling.

::

    out/
    ├── manifest.json          what was asked for: method, target, seed, model's hash, versions
    ├── part-00000/            written whole beside its place, moved there in one step
    │   ├── rows.json          key, score, target, label, checks and geometry of each picture;
    │   │                      pictures that were left out, and why
    │   └── maps.npz           "values" (n, H, W) float32, "keys", "scores"; or maps.array_record
    └── part-00001/ ...

=============  ====================================================================================
`record`       `Record`: what is kept of one picture
`formats`      the maps of a part: npz, array_record
`parts`        one part, whole or not there
`manifest`     what was asked for, and that it is asked for again
`lock`         one process a folder
`writing`      the loop: what is there already, what is to be done, part by part
`reading`      `Archive`: reading it back, part by part
=============  ====================================================================================

Nothing here knows a model.
"""

from __future__ import annotations

from keras_saliency.archive.manifest import described
from keras_saliency.archive.reading import Archive
from keras_saliency.archive.record import Record
from keras_saliency.archive.writing import Order, write

__all__ = ["Archive", "Order", "Record", "described", "write"]
