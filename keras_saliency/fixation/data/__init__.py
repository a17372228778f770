"""Human fixations: reading them, and feeding them to a model.

Data sets in the form of a table, such as one's own: ``read_table`` and ``write_table``. CAT2000,
SALICON and MIT1003: the builders ``CAT2000``, ``SALICON``, ``MIT1003``, and ``read_prepared`` for
what they have written; these need the extra ``data``, but not TensorFlow.

Importing this package loads nothing else; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_saliency.config import attach

if TYPE_CHECKING:
    from keras_saliency.fixation.data.builders import CAT2000, MIT1003, SALICON
    from keras_saliency.fixation.data.pipeline import Augment, FixationBatches
    from keras_saliency.fixation.data.prepared import read_prepared
    from keras_saliency.fixation.data.recording import Recording
    from keras_saliency.fixation.data.table import read_table
    from keras_saliency.fixation.data.table_writer import write_table

__all__ = [
    "CAT2000",
    "MIT1003",
    "SALICON",
    "Augment",
    "FixationBatches",
    "Recording",
    "read_prepared",
    "read_table",
    "write_table",
]

_LAZY = {
    "Augment": "pipeline",
    "FixationBatches": "pipeline",
    "CAT2000": "builders",
    "MIT1003": "builders",
    "SALICON": "builders",
    "Recording": "recording",
    "read_prepared": "prepared",
    "read_table": "table",
    "write_table": "table_writer",
}

if not TYPE_CHECKING:  # where every name would be known
    __getattr__, __dir__ = attach(__name__, _LAZY)
