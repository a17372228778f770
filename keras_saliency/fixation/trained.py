"""Trained fixation models as folders: how to build one, its weights, its card."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_saliency import folder as files
from keras_saliency.errors import UNREADABLE, FixationModelError, ModelFileError
from keras_saliency.fixation.encoders import BLANK
from keras_saliency.fixation.model import FixationModel

SCHEMA_VERSION = 1
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
        ModelFileError: There is no such model, or its weights are broken or those of another.

    Example:
        >>> model = load_model()
        >>> model.get_layer("encoder").name
        'encoder'
    """
    path = Path(source)
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
    """Return what is written beside a model's weights: how it was built, trained and scored.

    Raises:
        ModelFileError: There is none, or one of a later schema.
    """
    place = _place(source)
    asked = f"The fixation model {os.fspath(source)!r} was asked for."
    fix = "Name 'default', or a folder written by keras-saliency train."
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        newer = manifest["schema_version"] > SCHEMA_VERSION
        manifest["build"], manifest["name"], manifest["parameters"]
    except FileNotFoundError:
        raise ModelFileError(asked, f"There is no {MANIFEST} in it.", fix, _READ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        found = f"Its {MANIFEST} cannot be read ({type(error).__name__}: {error})."
        raise ModelFileError(asked, found, fix, _READ) from error
    if newer:
        found = f"It has schema version {manifest['schema_version']}."
        raise ModelFileError(asked, found, "Upgrade: pip install -U keras-saliency.", _READ)
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
        folder: A new folder, or one such.
        build: The arguments that built it: ``encoder``, ``decoder``, ``input_shape``, options.
        dtype: In which kernels are stored; vectors (biases, statistics) stay float32.
        card: The text of ``README.md``.
        **about: What else the manifest shall say, such as recipe and scores.

    Raises:
        SaveError: The folder holds something else, or the disk does not take it.
    """
    arrays = {}
    for path, variable in _named(model).items():
        value = keras.ops.convert_to_numpy(variable.value)
        with np.errstate(over="ignore"):  # what does not fit is told below
            arrays[path] = value.astype(dtype if value.ndim > 1 else "float32")
        if not np.isfinite(arrays[path]).all():
            raise FixationModelError(
                f"The weights of {model.name!r} were to be saved.",
                f"{path} has values that are not finite in {dtype}.",
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
        text = json.dumps(manifest, indent=2)
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        (fresh / CARD).write_text(card or f"# {model.name}\n", encoding="utf-8")

    asked = f"A fixation model was to be saved as the folder {os.fspath(folder)!r}."
    return files.write(Path(folder), fill, (WEIGHTS, MANIFEST, CARD), asked, _READ)


def _place(source: str | os.PathLike[str]) -> Path:
    return EMBEDDED / "default" if source == "default" else Path(source)


def _named(model: keras.Model) -> dict[str, Any]:
    """Variables by their path: the same names whatever else was built in this process."""
    return {variable.path: variable for variable in model.weights}


def _fill(model: keras.Model, path: Path, manifest: dict[str, Any]) -> None:
    asked = f"The weights of {manifest['name']!r} were to be read from {str(path)!r}."
    variables = _named(model)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except UNREADABLE as error:
        found = f"The file is missing or broken ({type(error).__name__}: {error})."
        raise ModelFileError(asked, found, "Train or copy the model again.", _READ) from error
    wrong = sorted(variables.keys() ^ arrays.keys()) or sorted(
        name for name, array in arrays.items() if array.shape != tuple(variables[name].shape)
    )
    if wrong:
        raise ModelFileError(
            asked,
            f"They are those of another model: {len(wrong)} arrays differ, such as {wrong[0]!r}.",
            f"Use the {MANIFEST} that was written with them.",
            _READ,
        )
    for name, variable in variables.items():
        variable.assign(arrays[name].astype("float32"))


def _from_keras_file(path: Path) -> keras.Model:
    asked = f"The fixation model {str(path)!r} was asked for."
    if not path.is_file():
        raise ModelFileError(asked, "There is no such file.", "Check the path.", _READ)
    try:
        return keras.models.load_model(path, compile=False)
    except UNREADABLE as error:
        found = f"Keras cannot load it: {error}"
        raise ModelFileError(asked, found, "Save it again with model.save().", _READ) from error
