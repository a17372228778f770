"""What methods around another one have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_saliency.methods.base.method import Method


class Around(Method):
    """A method that asks another one; unless it says otherwise, it claims what that one does."""

    base: Any

    @property
    def signed(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base.signed

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base.needs_gradient

    @property
    def local(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base.local

    def to_map(self, attributions: np.ndarray) -> np.ndarray:
        """Return the map that the base makes."""
        return self.base.to_map(attributions)
