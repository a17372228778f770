"""The subject of a run: one network's weights, pictures and classes, in a file for all processes.

The first process writes the file; all others read it, whatever their backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks


def write(name: str, side: int, count: int, path: str) -> None:
    """Draw and calibrate a network, and write it with pictures and the classes it predicts.

    Args:
        name: Of the network.
        side: Of its pictures.
        count: How many pictures.
        path: Of the file.
    """
    images = networks.pictures(name, max(count, 8), side)
    model = networks.build(name, side, None)
    if name != "EfficientNetLite0":
        networks.draw(model)
        networks.calibrate(name, model, images[:8])
    images = images[:count]
    logits = np.concatenate([model.predict_on_batch(images[i : i + 8]) for i in range(0, count, 8)])
    weights = {f"weight{i:04}": each for i, each in enumerate(model.get_weights())}
    part = Path(path).with_suffix(".part")  # a file that is there is whole
    with part.open("wb") as file:
        np.savez(file, name=name, side=side, pictures=images, logits=logits, **weights)
    part.rename(path)


class Loaded:
    """A network of such a file in this process; each form of it is built at first use."""

    def __init__(self, path: str) -> None:
        """Read the file."""
        with np.load(path) as file:
            self.name, self.side = str(file["name"]), int(file["side"])
            self.pictures, self.logits = file["pictures"], file["logits"]
        self._path = path

    @property
    def layer(self) -> str:
        """Where Grad-CAM looks."""
        return networks.CAM_LAYERS[self.name]

    @cached_property
    def with_softmax(self) -> Any:
        """The network as users have it."""
        return self._built("softmax")

    @cached_property
    def with_logits(self) -> Any:
        """The network without softmax, for libraries that explain what it returns."""
        return self._built(None)

    @cached_property
    def native(self) -> Any:
        """The network of torch.nn modules, channels first, its logits checked."""
        from benchmarks.native import converted, require_same

        twin = converted(self._built(None))
        require_same(twin, self.pictures[:8], self.logits[:8])
        return twin

    def _built(self, activation: str | None) -> Any:
        model = networks.build(self.name, self.side, activation)
        with np.load(self._path) as file:
            names = sorted(one for one in file.files if one.startswith("weight"))
            model.set_weights([file[one] for one in names])
        return model


@dataclass(frozen=True)
class Subject:
    """A network and the first pictures of its file."""

    loaded: Loaded
    batch: int

    @property
    def pictures(self) -> np.ndarray:
        """(B, side, side, 3) float32, preprocessed."""
        return self.loaded.pictures[: self.batch]

    @property
    def classes(self) -> np.ndarray:
        """What is explained of each picture, (B,): the class it was first predicted as."""
        return self.loaded.logits[: self.batch].argmax(axis=-1)

    @property
    def noise(self) -> float:
        """SmoothGrad's standard deviation, in the network's input range."""
        from benchmarks.cases import NOISE

        return NOISE * float(np.ptp(self.pictures[0]))

    @property
    def window(self) -> int:
        """Height and width of occlusion's window."""
        from benchmarks.cases import WINDOWS

        return -(-self.loaded.side // WINDOWS)
