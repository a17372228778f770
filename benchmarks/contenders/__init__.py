"""Who is compared: a file a library, which is imported only in that library's own processes.

Such a file has ``entry(method, subject)``, which returns what is called, in what setting, and in
what terms its answer is to be compared. Each library runs in the setting that is best for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.worker import BACKENDS

OURS, BY_HAND = "keras-saliency", "by hand"
_KERAS = "Keras model"
_MODULES = "torch.nn"  # what benchmarks.native makes; it makes none of a transformer


@dataclass(frozen=True)
class Entry:
    """A contender in one case.

    Args:
        call: What is timed: NumPy arrays in, NumPy arrays out, so that no device is still at work.
        settings: What was chosen for it, for the row.
        terms: What its answer is; see `benchmarks.answers`.
        again: The same with other random numbers; references have it where they draw any.
    """

    call: Callable[[], np.ndarray]
    settings: str = ""
    terms: str = "equal"
    again: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True)
class Contender:
    """A library on a backend.

    Args:
        library: Its name.
        backend: What it computes with.
        module: Of `benchmarks.contenders`.
        methods: What it has.
        form: What it is given, where there are several.
        package: What is imported of it; None where it needs nothing beside this package.
    """

    library: str
    backend: str
    module: str
    methods: tuple[str, ...]
    form: str = _KERAS
    package: str | None = None

    @property
    def is_reference(self) -> bool:
        """Whether others are measured by it."""
        return self.library in (OURS, BY_HAND) and self.form == _KERAS

    @property
    def name(self) -> str:
        """The contender's name, also in tables."""
        form = "" if self.form == _KERAS else f", {self.form}"
        return f"{self.library} ({self.backend}{form})"

    def takes(self, network: str, method: str) -> bool:
        """Whether it can be in a case."""
        if network == "ViT" and (self.form == _MODULES or method not in _ON_TOKENS):
            return False
        return method in self.methods


_GRADIENTS = ("gradient", "smooth_grad", "integrated_gradients")
_ON_TOKENS = (*_GRADIENTS, "occlusion", "rise")  # Grad-CAM needs code of one's own there
_ALL = (*_GRADIENTS, "grad_cam", "occlusion", "rise")

CONTENDERS = (
    *(Contender(BY_HAND, backend, "by_hand", _ALL) for backend in BACKENDS),
    *(Contender(OURS, backend, "ours", (*_ALL, "fixations")) for backend in BACKENDS),
    Contender(BY_HAND, "torch", "by_hand_modules", _GRADIENTS, _MODULES),
    Contender("captum", "torch", "captum_keras", (*_GRADIENTS, "occlusion"), package="captum"),
    Contender(
        "captum", "torch", "captum_modules", (*_GRADIENTS, "grad_cam", "occlusion"), _MODULES,
        "captum",
    ),
    Contender(
        "pytorch-grad-cam", "torch", "pytorch_grad_cam", ("grad_cam",), _MODULES, "pytorch_grad_cam"
    ),
    Contender("torch-cam", "torch", "torch_cam", ("grad_cam",), _MODULES, "torchcam"),
    Contender(
        "tf-keras-vis", "tensorflow", "tf_keras_vis", ("gradient", "smooth_grad", "grad_cam"),
        package="tf_keras_vis",
    ),
    Contender("xplique", "tensorflow", "xplique", _ALL, package="xplique"),
    Contender("PAIR saliency", "tensorflow", "pair", (*_GRADIENTS, "grad_cam"), package="saliency"),
)  # fmt: skip
LIBRARIES = tuple(dict.fromkeys(one.library for one in CONTENDERS))


def chosen(libraries: tuple[str, ...] = (), backends: tuple[str, ...] = ()) -> list[Contender]:
    """Return the contenders of some libraries on some backends; nothing named stands for all."""
    return [
        one
        for one in CONTENDERS
        if (not libraries or one.library in libraries) and (not backends or one.backend in backends)
    ]
