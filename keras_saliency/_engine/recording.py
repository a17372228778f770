"""When PyTorch records a run (`_backend.torch_recorded`): the ninth time it comes, or at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Have PyTorch record a run the first time it comes; the other backends always compile."""
    import keras

    if keras.config.backend() != "torch":
        yield
        return
    from keras_saliency._backend import torch_recorded

    after, torch_recorded.AFTER = torch_recorded.AFTER, 0
    try:
        yield
    finally:
        torch_recorded.AFTER = after
