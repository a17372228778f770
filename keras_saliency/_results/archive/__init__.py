"""Results of many pictures in a folder; a killed run can be resumed.

::

    out/
    ├── manifest.json          the request: method, target, seed, model's hash, versions
    ├── part-00000/            written whole beside its path, moved there in one step
    │   ├── rows.json          key, score, target, label, checks and geometry of each picture;
    │   │                      skipped pictures, and why; checksums of both files
    │   └── maps.npz           "values" (n, H, W) float32, "keys", "scores"; or maps.array_record
    └── part-00001/ ...

=============  ====================================================================================
`record`       `Record`: the stored result of one picture
`parts`        one part, written all or not at all; its maps as npz or array_record
`writing`      one process per folder: skips what is done, writes the rest part by part
`reading`      `Archive`: reads it back; writes and checks the manifest
=============  ====================================================================================

This package does not depend on a model.
"""

from __future__ import annotations

from keras_saliency._results.archive.reading import Archive, described
from keras_saliency._results.archive.record import Record
from keras_saliency._results.archive.writing import WriteConfig, write

__all__ = ["Archive", "Record", "WriteConfig", "described", "write"]
