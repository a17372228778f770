"""One switch for all faster forms in which a model runs here, instead of as in Keras.

To be fast, convolutions, pools and normalisations run in equivalent forms (JAX on CPU, PyTorch),
batch normalisation is folded into convolutions (TensorFlow), and repeated runs are recorded and
played back (PyTorch). With the switch off, every layer runs exactly as Keras runs it: slower, and
the first thing to try when a map looks wrong.

The switch is on unless the environment says ``KERAS_SALIENCY_REWRITING=0``. It applies to the whole
process and from the next call on; what was compiled under the other setting is not used.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

__all__ = ["disable_rewriting", "enable_rewriting", "is_rewriting_enabled", "plain"]

_VARIABLE = "KERAS_SALIENCY_REWRITING"
_enabled = os.environ.get(_VARIABLE, "1").strip().lower() not in ("0", "false", "off", "no")
_mine = threading.local()  # .plain: whether this thread is in `plain`


def is_rewriting_enabled() -> bool:
    """Return whether models may be rewritten, folded, recorded and played back.

    Example:
        >>> from keras_saliency import config
        >>> config.is_rewriting_enabled()
        True
    """
    return _enabled and not getattr(_mine, "plain", False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Run every layer exactly as Keras does within this block, in this thread."""
    outer, _mine.plain = getattr(_mine, "plain", False), True
    try:
        yield
    finally:
        _mine.plain = outer


def disable_rewriting() -> None:
    """Run every layer exactly as Keras does, from the next call on.

    Example:
        >>> from keras_saliency import config
        >>> config.disable_rewriting()
        >>> config.is_rewriting_enabled()
        False
        >>> config.enable_rewriting()
    """
    global _enabled
    _enabled = False


def enable_rewriting() -> None:
    """Allow the faster forms again, from the next call on."""
    global _enabled
    _enabled = True
