"""A virtual environment for each peer that is not installed beside this package.

An environment holds the peer and what it lacks, and sees every other package of the calling
environment: so all run on the same Keras, TensorFlow and PyTorch, and none is installed twice. Some
peers pin versions that exclude ours, or would bring another PyTorch; they are installed without
their dependencies (``alone``), which works (the agreement of their results is checked).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".benchmarks"


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
        NotInstalled: pip failed; the message is what it said.
    """
    here = Path(sys.executable)
    if package is None or importlib.util.find_spec(package) is not None:
        return here
    home, recipe = folder.resolve() / package, RECIPES[package]
    python, stamp = home / "bin" / "python", home / "recipe.json"
    wanted = json.dumps({**asdict(recipe), "around": _packages()})
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"making an environment for {package} in {home}", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, symlinks=True)
    _show_ours(home, python)
    for options, names in (((), recipe.whole), (("--no-deps",), recipe.alone)):
        if names:
            _pip(python, *options, *names)
    stamp.write_text(wanted, encoding="utf-8")
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


def _pip(python: Path, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}\n{done.stderr[-2000:]}")
