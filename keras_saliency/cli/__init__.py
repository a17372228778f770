"""The command ``keras-saliency``: parsing, loading models, printing. No mathematics."""

from __future__ import annotations

from keras_saliency.cli.command import main

__all__ = ["main"]
