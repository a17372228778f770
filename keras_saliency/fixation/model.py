"""Fixation models: recipes of their training; trained ones as folders: build, weights, card."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency._io import files, folders
from keras_saliency._io.files import bytes_of, local_path, unpacks_to
from keras_saliency.errors import (
    UNREADABLE,
    FixationModelError,
    KerasSaliencyError,
    ModelFileError,
    did_you_mean,
)
from keras_saliency.fixation.encoder_decoder import BLANK, FixationModel


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: Of the stage.
        encoder: Whether the encoder learns too. Where it does not, its features are computed
            once and stored on disk. Its batch normalisation never learns.
        epochs: How many at most.
        rate: Peak learning rate of AdamW, reached from a tenth of it; a cosine brings it down to
            a fifth.
        rise: Steps over which the rate rises to its peak.
        patience: Epochs without a better validation loss before the stage ends.
        ema: Momentum of the average over the weights, which is what is validated and saved; None
            for no average.
        weight_decay: Of AdamW.
    """

    name: str
    encoder: bool
    epochs: int
    rate: float
    rise: int = 100
    patience: int = 3
    ema: float | None = None
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        build: Arguments of `FixationModel`, all but ``weights`` and ``input_shape``.
        stages: What happens, in order.
        canvases: Heights and widths of the canvases in training.
        side: Height and width of the canvas in prediction.
        mirror: Whether prediction averages over the picture and its mirror image.
        batch_size: Pictures a step.
        loss: Weights of `FixationLoss`.
        about: What its card says first.
    """

    build: Mapping[str, Any]
    stages: tuple[Stage, ...]
    canvases: tuple[tuple[int, int], ...] = ((288, 384),)
    side: int = 384
    mirror: bool = False
    batch_size: int = 8
    loss: dict[str, float] = field(default_factory=lambda: {"kld": 1.0})
    about: str = ""


PRESETS: dict[str, Preset] = {
    "default": Preset(
        build={"encoder": "efficientnet_lite0", "decoder": "readout", "dropout": 0.3},
        stages=(
            Stage("readout", encoder=False, epochs=7, rate=1e-3, ema=0.99),
            Stage("all", encoder=True, epochs=4, rate=5e-5, ema=0.99),
        ),
        canvases=((384, 512),),
        side=512,
        about="Where people look in the first seconds of free viewing, at photographs.",
    ),
    "resnet50": Preset(
        build={"encoder": "resnet50", "decoder": "readout"},
        stages=(
            Stage("readout", encoder=False, epochs=8, rate=1e-3),
            Stage("all", encoder=True, epochs=8, rate=2e-5, ema=0.995),
        ),
        canvases=((512, 512),),
        side=512,
        batch_size=4,
    ),
}


def find(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        FixationModelError: There is none.
    """
    if name not in PRESETS:
        raise FixationModelError(
            f"No preset is called {name!r}.",
            f"Known: {', '.join(PRESETS)}.",
            did_you_mean(name, PRESETS) or "Choose one of these.",
            "help(keras_saliency.fixation.model)",
        )
    return PRESETS[name]


SCHEMA_VERSION = 2  # 1 had no checksums
MANIFEST, WEIGHTS, CARD = "model.json", "weights.npz", "README.md"
EMBEDDED = Path(__file__).parent / "weights"
_READ = "help(keras_saliency.fixation.load_model)"


def load_model(
    source: str | os.PathLike[str] = "default",
    input_shape: tuple[int | None, int | None, int] | None = None,
) -> keras.Model:
    """Load a trained fixation model.

    Args:
        source: ``"default"``, the one inside this package; a folder that `save_model` or
            ``keras-saliency train`` wrote; or a ``.keras`` file.
        input_shape: Height, width (multiples of 32, or None) and 3; as it was saved unless given.
            A ``.keras`` file has its own.

    Returns:
        A model as `FixationModel` builds.

    Raises:
        ModelFileError: There is no such model, or its weights are broken or another model's.

    Example:
        >>> model = load_model()
        >>> model.get_layer("encoder").name
        'encoder'
    """
    path = local_path(source, _READ, ModelFileError, "the name or folder of a fixation model")
    if path.suffix == ".keras":
        return _from_keras_file(path)
    manifest = read_manifest(source)
    build = dict(manifest["build"])
    shape = input_shape or tuple(build.pop("input_shape"))
    build.pop("input_shape", None)
    model = FixationModel(**build, input_shape=shape, weights=BLANK, name=manifest["name"])
    _fill(model, _place(source) / WEIGHTS, manifest)
    return model


def read_manifest(source: str | os.PathLike[str] = "default") -> dict[str, Any]:
    """Return the manifest beside a model's weights: how it was built, trained and scored.

    Raises:
        ModelFileError: There is none, or one of a later schema.
    """
    place = _place(source)
    what = f"Cannot load the fixation model {str(source)!r}."
    fix = "Name 'default', or a folder written by keras-saliency train."
    try:
        manifest = json.loads(bytes_of(place / MANIFEST))
        newer = manifest["schema_version"] > SCHEMA_VERSION
        if not newer and (manifest["schema_version"] != 1 or folders.FIELD in manifest):
            content, sums = folders.opened(manifest)
            manifest = {**content, folders.FIELD: sums}
        manifest["build"], manifest["name"], manifest["parameters"]
    except FileNotFoundError:
        result = f"No such file: {str(place / MANIFEST)!r}."
        raise ModelFileError(what, result, fix, _READ) from None
    except UNREADABLE as error:
        result = f"Its {MANIFEST} cannot be read ({type(error).__name__}: {error})."
        raise ModelFileError(what, result, fix, _READ) from error
    if newer:
        result = f"Got schema version {manifest['schema_version']}; known up to {SCHEMA_VERSION}."
        raise ModelFileError(what, result, "Upgrade: pip install -U keras-saliency.", _READ)
    return manifest


def save_model(
    model: keras.Model,
    folder: str | os.PathLike[str],
    build: dict[str, Any],
    *,
    dtype: str = "float16",
    card: str = "",
    **about: Any,
) -> Path:
    """Write a model as a folder: ``model.json``, ``weights.npz`` and ``README.md``.

    Args:
        model: From `FixationModel`.
        folder: A new folder, or one that `save_model` wrote.
        build: The arguments that built it: ``encoder``, ``decoder``, ``input_shape``, options.
        dtype: Of the stored kernels; vectors (biases, statistics) stay float32.
        card: The text of ``README.md``.
        **about: More entries of the manifest, such as recipe and scores.

    Raises:
        SaveError: The folder holds other files, or cannot be written.
    """
    place = local_path(folder, "help(keras_saliency.fixation.save_model)")
    arrays = {}
    for path, variable in _named(model).items():
        value = keras.ops.convert_to_numpy(variable.value)
        with np.errstate(over="ignore"):  # what does not fit is reported below
            arrays[path] = value.astype(dtype if value.ndim > 1 else "float32")
        if not np.isfinite(arrays[path]).all():
            raise FixationModelError(
                f"Expected weights of {model.name!r} that are finite in {dtype}.",
                f"{path} has values that are not.",
                "Save with dtype='float32', or train again at a lower rate.",
                _READ,
            )
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": model.name,
        "parameters": int(model.count_params()),
        "build": build,
        **about,
    }

    def fill(fresh: Path) -> None:
        np.savez_compressed(fresh / WEIGHTS, **arrays)
        sums = {WEIGHTS: folders.of_file(fresh / WEIGHTS)}
        text = json.dumps(folders.sealed(manifest, sums), indent=2)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        (fresh / CARD).write_text(card or f"# {model.name}\n", encoding="utf-8")

    what = f"Cannot save a fixation model as the folder {str(place)!r}."
    return folders.write(place, fill, (WEIGHTS, MANIFEST, CARD), what, _READ)


def _place(source: str | os.PathLike[str]) -> Path:
    path = local_path(source, _READ, ModelFileError, "the name or folder of a fixation model")
    return EMBEDDED / "default" if str(path) == "default" else files.where(path)


def _named(model: keras.Model) -> dict[str, Any]:
    """Variables by their path: the same names whatever models were built before."""
    return {variable.path: variable for variable in model.weights}


def _fill(model: keras.Model, path: Path, manifest: dict[str, Any]) -> None:
    what = f"Cannot read the weights of {manifest['name']!r} from {str(path)!r}."
    variables = _named(model)
    try:
        data = bytes_of(path)
        if folders.FIELD in manifest:
            folders.check_bytes(data, path.name, manifest[folders.FIELD])
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except UNREADABLE as error:
        result = f"The file is missing or broken ({type(error).__name__}: {error})."
        raise ModelFileError(what, result, "Train or copy the model again.", _READ) from error
    wrong = sorted(variables.keys() ^ arrays.keys()) or sorted(
        name for name, array in arrays.items() if array.shape != tuple(variables[name].shape)
    )
    if wrong:
        raise ModelFileError(
            what,
            f"They are another model's: {len(wrong)} arrays differ, such as {wrong[0]!r}.",
            f"Use the {MANIFEST} that was written with them.",
            _READ,
        )
    for name, variable in variables.items():
        variable.assign(arrays[name].astype("float32"))


def _from_keras_file(path: Path) -> keras.Model:
    what = f"Cannot load the fixation model {str(path)!r}."
    if not os.path.isfile(path):
        raise ModelFileError(what, "No such file.", "Check the path.", _READ)
    try:
        if (size := unpacks_to(path)) is not None:
            result = f"Its {path.stat().st_size:,} bytes unpack to {size:,}, as no model's do."
            raise ModelFileError(what, result, "Save it again with model.save().", _READ)
        return keras.models.load_model(path, compile=False)
    except KerasSaliencyError:
        raise
    except Exception as error:  # whatever Keras and HDF5 raise
        result = f"Keras reports: {error}"
        raise ModelFileError(what, result, "Save it again with model.save().", _READ) from error
