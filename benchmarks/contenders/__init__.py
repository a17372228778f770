"""What is compared, and where it is installed.

Each library has a loader in a module of this folder (`CONTENDERS`): called once, in that library's
own process, it imports the library, which is timed, and returns ``entry(method, subject)``. That
gives what is called, in which setting, and in which terms its answer is to be compared. Each
library runs in the setting that is best for it.

An environment for each peer that is not installed beside this package holds the peer and what it
lacks, and sees every other package of the calling environment: so all run on the same Keras,
TensorFlow and PyTorch, and none is installed twice. Some peers pin versions that exclude ours, or
would bring another PyTorch; they are installed without their dependencies (``alone``), which works
(the agreement of their results is checked).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import BACKENDS

OURS, BY_HAND = "keras-saliency", "by hand"
_KERAS = "Keras model"
_MODULES = "torch.nn"  # made by `torch_modules`, which converts no transformer


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


MakeEntry = Callable[..., Entry]  # (method, subject), None where the method brings its own network


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
        load: The module's function that imports the library and returns a `MakeEntry`.
    """

    library: str
    backend: str
    module: str
    methods: tuple[str, ...]
    form: str = _KERAS
    package: str | None = None
    load: str = "load"

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
    *(Contender(BY_HAND, backend, "handwritten", _ALL) for backend in BACKENDS),
    *(Contender(OURS, backend, "ours", (*_ALL, "fixations")) for backend in BACKENDS),
    Contender(BY_HAND, "torch", "torch_modules", _GRADIENTS, _MODULES),
    Contender(
        "captum", "torch", "torch_peers", (*_GRADIENTS, "occlusion"), package="captum",
        load="captum",
    ),
    Contender(
        "captum", "torch", "torch_peers", (*_GRADIENTS, "grad_cam", "occlusion"), _MODULES,
        "captum", "captum_on_modules",
    ),
    Contender(
        "pytorch-grad-cam", "torch", "torch_peers", ("grad_cam",), _MODULES, "pytorch_grad_cam",
        "pytorch_grad_cam",
    ),
    Contender(
        "torch-cam", "torch", "torch_peers", ("grad_cam",), _MODULES, "torchcam", "torch_cam"
    ),
    Contender(
        "tf-keras-vis", "tensorflow", "tensorflow_peers", ("gradient", "smooth_grad", "grad_cam"),
        package="tf_keras_vis", load="tf_keras_vis",
    ),
    Contender("xplique", "tensorflow", "tensorflow_peers", _ALL, package="xplique", load="xplique"),
    Contender(
        "PAIR saliency", "tensorflow", "tensorflow_peers", (*_GRADIENTS, "grad_cam"),
        package="saliency", load="pair",
    ),
)  # fmt: skip
LIBRARIES = tuple(dict.fromkeys(one.library for one in CONTENDERS))


def chosen(libraries: tuple[str, ...] = (), backends: tuple[str, ...] = ()) -> list[Contender]:
    """Return the contenders of some libraries on some backends; nothing named stands for all."""
    return [
        one
        for one in CONTENDERS
        if (not libraries or one.library in libraries) and (not backends or one.backend in backends)
    ]


# ------------------------------------------------------------------------------------- environments

FOLDER = Path(__file__).resolve().parents[2] / ".benchmarks"


@dataclass(frozen=True)
class Recipe:
    """Packages to install: with their dependencies, and without them."""

    whole: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


RECIPES = {  # by what is imported
    "captum": Recipe(whole=("captum==0.9.0",)),
    "pytorch_grad_cam": Recipe(
        whole=("opencv-python-headless", "scikit-learn", "tqdm"),
        alone=("grad-cam==1.5.7", "ttach==0.0.3", "torchvision==0.28.0"),
    ),
    "torchcam": Recipe(alone=("torchcam==0.5.0", "torchvision==0.28.0")),
    "tf_keras_vis": Recipe(whole=("tf-keras-vis==0.8.7",)),
    "xplique": Recipe(
        whole=("einops", "decorator", "opencv-python-headless", "scikit-learn", "scikit-image",
               "cloudpickle", "dm-tree", "deprecated"),
        alone=("xplique==2.0.2", "tensorflow-probability==0.25.0", "tf_keras==2.21.0"),
    ),
    "saliency": Recipe(whole=("saliency==0.2.1",)),
}  # fmt: skip


class NotInstalled(Exception):
    """An environment could not be made."""


def python_for(package: str | None, folder: Path = FOLDER) -> Path:
    """Return an interpreter that imports a package, this one or that of its environment.

    Args:
        package: What is imported; None is here.
        folder: Where environments are; one that is missing is made.

    Raises:
        NotInstalled: pip failed; the message is its own.
    """
    here = Path(sys.executable)
    if package is None or importlib.util.find_spec(package) is not None:
        return here
    home, recipe = folder.resolve() / package, RECIPES[package]
    python, stamp = home / "bin" / "python", home / "recipe.json"
    recipe_and_paths = json.dumps({**asdict(recipe), "around": _packages()})
    if stamp.exists() and stamp.read_text(encoding="utf-8") == recipe_and_paths:
        return python
    print(f"making an environment for {package} in {home}", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, symlinks=True)
    _show_ours(home, python)
    for options, names in (((), recipe.whole), (("--no-deps",), recipe.alone)):
        if names:
            _pip(python, *options, *names)
    stamp.write_text(recipe_and_paths, encoding="utf-8")
    return python


def _packages() -> list[str]:
    """Return where this environment has its packages."""
    paths = sysconfig.get_paths()
    return sorted({paths["purelib"], paths["platlib"]})


def _show_ours(home: Path, python: Path) -> None:
    """Let the environment find our packages after its own."""
    (own,) = home.glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})\n" for path in _packages()]
    (own / "ours.pth").write_text("".join(lines), encoding="utf-8")


def _pip(python: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}\n{done.stderr[-2000:]}")
