"""Words shared by all rooms. Axes are B, H, W, C; points are (y, x); maps are (B, H, W) float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Picture: TypeAlias = "str | PathLike[str] | Array | Any"  # Any: PIL.Image.Image, not imported here
Pictures: TypeAlias = "Picture | Sequence[Picture] | Mapping[str, Any]"
