"""What is made for a model and kept as long as it lives: compiled functions, what was learnt of it.

Models are held weakly: everything goes when the user lets go of the model, so nothing that is kept
may hold it.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

_MOST = 32  # things a model
_cache: weakref.WeakKeyDictionary[Any, OrderedDict[Any, Any]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def kept(model: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return what was made for a model under a key, as long as it has the same variables."""
    # quantize() and new layers change the variables, and with them what was compiled.
    key = (*key, tuple(map(id, model.variables)))
    with _lock:
        all_made = _cache.setdefault(model, OrderedDict())
        if key in all_made:
            all_made.move_to_end(key)
            return all_made[key]
    made = make()
    with _lock:
        made = all_made.setdefault(key, made)
        while len(all_made) > _MOST:
            all_made.popitem(last=False)
    return made
