"""The only room that names a framework: the same in ``jax.py``, ``tensorflow.py``, ``torch.py``.

====================  ==============================================================================
``COMPILES``          whether a new batch size costs a compilation (then batches are padded)
``FOLDS``             whether batch normalisation is better folded into convolutions; unused
                      results must be free there
``forward``           a function of arrays, compiled, without gradients
``value_and_grad``    a function ``(x, *rest) -> (scores, aux)``, compiled, with d sum(scores) / dx
``vjp``               a part of a run and its pullback: from upstream gradients to its inputs'
``redirect``          a tensor whose gradient goes back by another rule than the true one
``ancestors``         run a function once; which of the tensors it notes depend on which others
``dry_run``           run a function for its side effects, computing as little as possible
``to_numpy``          tensors to arrays
``read``              the values of variables; where they can be deleted or written to, copies
``marked``            marks that show whether variables were written since (`are_marked`, `content`)
``is_out_of_memory``  whether an error says that the device's memory ran out
====================  ==============================================================================

In all of them ``variables()`` gives the model's variables at each call, whose present values are
used, and no run can change the model's state. ``x`` may be a tuple. Inside a differentiated
function, ``vjp`` cuts its part out of the run and ``redirect`` puts it back.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType


@functools.cache
def current() -> ModuleType:
    """Return the module of the backend that Keras runs on."""
    import keras

    return importlib.import_module(f"{__name__}.{keras.config.backend()}")
