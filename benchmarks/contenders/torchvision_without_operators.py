"""Lets torchvision be imported where its compiled part does not fit this PyTorch.

It then fails to register shapes of two undeclared operators. They are declared here, without an
implementation: a call of them is an error, and no code here calls them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

_OPERATORS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare() -> None:
    """Declare torchvision's operators where its compiled part cannot be loaded."""
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        return
    for library in Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:  # made for CUDA, say
            continue
        return
    for name in _OPERATORS:
        torch.library.define(f"torchvision::{name}", _SIGNATURE)
