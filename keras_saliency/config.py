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


class _Switch(threading.local):
    """The setting of the process, an attribute of the class, unless a thread has its own."""

    rewriting = os.environ.get(_VARIABLE, "1").strip().lower() not in ("0", "false", "off", "no")


switch = _Switch()  # switch.rewriting: `is_rewriting_enabled` where every call counts


def is_rewriting_enabled() -> bool:
    """Return whether models may be rewritten, folded, recorded and played back.

    Example:
        >>> from keras_saliency import config
        >>> config.is_rewriting_enabled()
        True
    """
    return switch.rewriting


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Run every layer exactly as Keras does within this block, in this thread."""
    outer = vars(switch).get("rewriting")
    switch.rewriting = False
    try:
        yield
    finally:
        if outer is None:
            del switch.rewriting


def disable_rewriting() -> None:
    """Run every layer exactly as Keras does, from the next call on.

    Example:
        >>> from keras_saliency import config
        >>> config.disable_rewriting()
        >>> config.is_rewriting_enabled()
        False
        >>> config.enable_rewriting()
    """
    _Switch.rewriting = False


def enable_rewriting() -> None:
    """Allow the faster forms again, from the next call on."""
    _Switch.rewriting = True
