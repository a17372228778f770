"""A live page: drop a picture, and see where a model looks and where people do.

`serve` opens it, as ``keras-saliency app`` does. The page is served to this machine only, and asks
for nothing outside it. `session` holds what it computes, `page` its layout. Needs the extra
``app`` (Gradio).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from keras_saliency.config import attach
from keras_saliency.errors import InputError, _arguments

__all__ = ["serve"]

_READ = "help(keras_saliency.app.serve)"
_HOST = "127.0.0.1"


def serve(
    models: Mapping[str, Any] | None = None,
    *,
    preprocess: Any = "auto",
    port: int | None = None,
    open_browser: bool = False,
    block: bool = True,
) -> str:
    """Serve the page on 127.0.0.1, without analytics and without a request to anywhere else.

    Args:
        models: Models of pictures by the name that the page shows: each a ``keras.Model``, or a
            callable without arguments that returns one when it is first chosen. None is the
            embedded network.
        preprocess: As for `keras_saliency.explain`, for all of them.
        port: Of the page; None takes the first free one from 7860 on.
        open_browser: Whether to open the page in a browser.
        block: Whether to wait until the process is interrupted.

    Returns:
        The page's address.

    Raises:
        InputError: Gradio is not installed, there is no model, or the port is none or not free.

    Example:
        >>> from keras_saliency import app
        >>> app.serve({"mine": model}, block=False)  # doctest: +SKIP
        'http://127.0.0.1:7860/'
    """
    if port is not None:
        port = _arguments.integer(port, "port", InputError, _READ, high=65535)
    # Read by Gradio and by the hub's client that it imports; both report to their makers otherwise.
    for name, value in (("GRADIO_ANALYTICS_ENABLED", "False"), ("HF_HUB_DISABLE_TELEMETRY", "1")):
        os.environ[name] = value
    try:
        from keras_saliency.app import page
    except ImportError as error:
        raise InputError(
            "Expected Gradio, which the page is made with.",
            f"It cannot be imported: {error}.",
            "Install it: pip install 'keras-saliency[app]'.",
            _READ,
        ) from error
    from keras_saliency.app.session import Session

    session = Session(models or _embedded(), preprocess)
    try:
        built = page.build(session)
        address = page.launch(built, _HOST, port, open_browser)
    except OSError as error:
        raise InputError(
            f"Cannot serve the page on {_HOST}.",
            f"{error}.",
            "Name a free port, such as 7870.",
            _READ,
        ) from error
    if block:
        print(f"The page is at {address} until you press Ctrl+C.", file=sys.stderr, flush=True)
        built.block_thread()
    return address


def _embedded() -> dict[str, Any]:
    from keras_saliency.pretrained import efficientnet_lite0

    return {"efficientnet_lite0": efficientnet_lite0}


__getattr__, __dir__ = attach(__name__, {}, ("page", "session"))
