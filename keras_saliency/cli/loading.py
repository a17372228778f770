"""Models by name or file: keras.applications, efficientnet_lite0, .keras and .h5 files."""

from __future__ import annotations

import difflib
import inspect
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_saliency._imports import require_keras
from keras_saliency._io.files import unpacks_to
from keras_saliency.cli.output import held_stderr
from keras_saliency.errors import UNREADABLE, KerasSaliencyError, ModelFileError, did_you_mean

_OURS = "efficientnet_lite0"
_DEFAULT = ("imagenet", "pretrained")  # two words for a network's published weights
_HDF5 = (".h5", ".hdf5")
_READ = "keras-saliency explain --help"
_MARSHALLED = "4w"  # base64 of 0xE3, with which marshal begins a code object
_TRUSTED = (
    "If you trust its author, load it in Python, "
    "model = keras.saving.load_model({path!r}, safe_mode=False), "
    "and call keras_saliency.explain(model, picture)."
)


def load(model: str, weights: str | None = None, options: Mapping[str, Any] | None = None) -> Any:
    """Return a Keras model by its name or file.

    A file is loaded with ``safe_mode=True``, always: code that it carries does not run.

    Args:
        model: ``"efficientnet_lite0"``, a name of ``keras.applications`` (case, ``-`` and ``_`` do
            not matter), or the path of a ``.keras`` or ``.h5`` file that holds a whole model.
        weights: A weights file, ``"imagenet"`` or ``"pretrained"`` (the default; for
            ``keras.applications`` Keras downloads them), or ``"none"`` for random ones.
        options: For the function that builds the network, such as ``{"alpha": 0.25}``.

    Raises:
        ModelFileError: No such name, or a file that cannot be loaded or wants to run code.
        PretrainedError: The weights' package of efficientnet_lite0 is not installed.
        BackendError: Keras' backend is not installed.
    """
    if is_file(model):
        if weights is not None or options:
            given = f"--weights {weights}" if weights is not None else "--model-option"
            raise ModelFileError(
                f"Expected the model file {model!r} without {given}.",
                "A model file has its weights and options in it.",
                "Leave that out, or name the architecture: --model MobileNet --weights FILE.",
                _READ,
            )
        return _load_file(Path(model))
    return _build(model, weights, dict(options or {}))


def is_file(model: str) -> bool:
    """Whether a model is named by a path."""
    return Path(model).suffix.lower() in (".keras", *_HDF5) or os.sep in model


# ---------------------------------------------------------------------- by name


def _build(name: str, weights: str | None, options: dict[str, Any]) -> Any:
    name, function = _network(name)
    known = [option for option in inspect.signature(function).parameters if option != "weights"]
    for option in options:
        if option not in known:
            raise ModelFileError(
                f"{name} has no option {option!r}.",
                f"Its options are {', '.join(known)}.",
                "Use --weights." if option == "weights" else did_you_mean(option, known)
                or "Use one of these.",
                _READ,
            )  # fmt: skip
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    ours = name == _OURS
    if weights is None or weights in _DEFAULT:
        chosen: str | None = "pretrained" if ours else "imagenet"
    elif weights.lower() == "none":
        chosen = None
    else:
        chosen = str(_weights_file(name, Path(weights)))
    try:
        return function(weights=chosen, **options)
    except KerasSaliencyError:
        raise
    except Exception as error:  # whatever Keras raises; a failed download is a bare Exception
        raise _not_built(name, chosen, options, error) from error


def _network(name: str) -> tuple[str, Callable[..., Any]]:
    """Return the proper name of a network and the function that builds it."""
    from keras_saliency.methods.base.method import names, resolve
    from keras_saliency.pretrained import efficientnet_lite0

    if _plain(name) == _plain(_OURS):
        return _OURS, efficientnet_lite0
    applications = require_keras().applications
    functions = {
        one: function
        for one, function in vars(applications).items()
        if one[0].isupper() and callable(function)
    }
    for proper, function in functions.items():
        if _plain(proper) == _plain(name):
            return proper, function
    if os.path.exists(name):
        return _refuse_file(Path(name))
    proper_names = {one.lower(): one for one in (_OURS, *sorted(functions))}
    if method := resolve(name, names()):  # -m for -M
        raise ModelFileError(
            f"No model is called {name!r}.",
            "It is a method.",
            f"Write --method {method}.",
            _READ,
        )
    near = difflib.get_close_matches(name.lower(), proper_names, n=1, cutoff=0.5)
    raise ModelFileError(
        f"No model is called {name!r}.",
        "It is neither a .keras or .h5 file nor a network of keras.applications.",
        f"Did you mean {proper_names[near[0]]!r}?"
        if near
        else f"Take one of {', '.join(proper_names.values())}.",
        _READ,
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_]", "", name).lower()


def _weights_file(name: str, path: Path) -> Path:
    what = f"Cannot load the weights of {name} from {str(path)!r}."
    fix = "Pass a .weights.h5, .h5 or .keras file, 'imagenet', or 'none' for random weights."
    if not os.path.isfile(path):  # which raises for no name
        result = "It is a directory." if os.path.isdir(path) else "No such file."
        raise ModelFileError(what, result, fix, _READ)
    if not (_is_hdf5(path) or (path.suffix == ".keras" and zipfile.is_zipfile(path))):
        result = f"It is no HDF5 or .keras file ({path.stat().st_size} bytes), or a broken one."
        raise ModelFileError(what, result, fix, _READ)
    return path


def _not_built(
    name: str, weights: str | None, options: dict[str, Any], error: Exception
) -> ModelFileError:
    wanted = "".join(f" {key}={value!r}" for key, value in options.items())
    if "URL fetch failure" in str(error) or (isinstance(error, OSError) and weights == "imagenet"):
        return ModelFileError(
            f"Cannot load the ImageNet weights of {name}{wanted}.",
            f"Keras could not download them: {_short(error)}.",
            "Pass a local file: --weights FILE; or --weights none for random ones; "
            f"--model {_OURS} needs no download.",
            _READ,
        )
    if weights in (None, "imagenet"):
        return ModelFileError(
            f"Cannot build {name} with weights {weights!r}{wanted}.",
            f"Keras reports: {_short(error)}.",
            "Correct the --model-option, or pass weights that fit: --weights FILE, or none.",
            f"help(keras.applications.{name})",
        )
    return ModelFileError(
        f"Cannot load the weights of {name}{wanted} from {weights!r}.",
        f"Keras reports: {_short(error)}.",
        "Pass weights that were saved from this architecture with the same --model-option.",
        _READ,
    )


# ---------------------------------------------------------------------- by file


def _load_file(path: Path) -> Any:
    what = f"Cannot load the model file {str(path)!r}."
    config = _config(path, what)
    if any(_is_code(node) for node in _nodes(config)):
        raise _wants_to_run_code(path)
    keras = require_keras()
    try:
        with held_stderr():  # some errors make Keras look for TensorFlow, whatever its backend
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        text = str(error)
        if re.search(r"safe_mode|unsafe|arbitrary code", text):
            raise _wants_to_run_code(path) from error
        unknown = re.search(r"(?:Could not locate|Unknown) (\w+):? '([^']*)'", text)
        if unknown:
            raise ModelFileError(
                what,
                f"It holds the {unknown[1]} {unknown[2]!r}, which is no part of Keras.",
                "Load it in Python, keras.saving.load_model(path, custom_objects={...}), and call "
                "keras_saliency.explain(model, picture).",
                "https://keras.io/guides/serialization_and_saving",
            ) from error
        raise ModelFileError(
            what,
            f"Keras reports: {_short(error)}.",
            "Save it again with model.save('model.keras') from Keras 3.",
            "https://keras.io/guides/serialization_and_saving",
        ) from error


def _config(path: Path, what: str) -> Any:
    """Return the architecture that a model file holds, read as plain JSON.

    Raises:
        ModelFileError: The file is absent, broken, or holds weights only.
    """
    if not os.path.isfile(path) or path.suffix.lower() not in (".keras", *_HDF5):
        _refuse_file(path)
    try:
        if path.suffix.lower() == ".keras":
            if (size := unpacks_to(path)) is not None:
                raise ModelFileError(
                    what,
                    f"Its {path.stat().st_size:,} bytes unpack to {size:,}, as no model's do.",
                    "If you trust it, unpack it, and save the model again.",
                    _READ,
                )
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except UNREADABLE as error:
        if isinstance(error, KerasSaliencyError):
            raise
        raise ModelFileError(
            what,
            f"It is no {path.suffix} file, or a broken one "
            f"({path.stat().st_size} bytes; {_short(error)}).",
            "Save or copy it again.",
            _READ,
        ) from error
    if text is None:
        raise ModelFileError(
            what,
            "It holds weights only, without the architecture.",
            f"Name the architecture: --model MobileNet --weights {path}.",
            _READ,
        )
    try:
        return json.loads(text)
    except UNREADABLE:
        return None  # Keras will report what is wrong with it


def _refuse_file(path: Path) -> Any:
    if os.path.isdir(path):
        result = "It is a directory."
    elif not os.path.exists(path):
        result = "No such file."
    else:
        result = f"It is neither a .keras nor an .h5 file ({path.stat().st_size} bytes)."
    raise ModelFileError(
        f"Cannot load the model file {str(path)!r}.",
        result,
        "Pass a file that model.save('model.keras') wrote, or a name such as MobileNetV2.",
        _READ,
    )


def _wants_to_run_code(path: Path) -> ModelFileError:
    return ModelFileError(
        f"Cannot load the model file {str(path)!r}.",
        "It wants to run Python code that is stored in it (a Lambda layer or the like), and was "
        "refused: the code did not run.",
        _TRUSTED.format(path=str(path)),
        "https://keras.io/api/models/model_saving_apis/model_saving_and_loading",
    )


def _is_code(node: Any) -> bool:
    """Whether a node of a model's configuration holds marshalled Python code."""
    if isinstance(node, list):  # of Keras 2: [code in base64, defaults, closure]
        return len(node) == 3 and isinstance(node[0], str) and node[0].startswith(_MARSHALLED)
    if not isinstance(node, dict):
        return False
    return node.get("class_name") == "__lambda__" or node.get("function_type") == "lambda"


def _nodes(config: Any) -> Iterator[Any]:
    waiting = [config]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _is_hdf5(path: Path) -> bool:
    import h5py

    return bool(h5py.is_hdf5(path))


def _short(error: BaseException) -> str:
    """Return the message of an error of Keras, on one line and without its dump of the model."""
    text = str(error).split("Exception encountered: ")[-1] or type(error).__name__
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= 300 else text[:297] + "..."
