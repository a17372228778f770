"""Data sets that TFDS has prepared, read as recordings, without TensorFlow."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_saliency.errors import FixationError, did_you_mean
from keras_saliency.fixation.data.recording import Recording

BUILDERS = {"cat2000": "CAT2000", "salicon": "SALICON", "mit1003": "MIT1003"}

_READ = "help(keras_saliency.fixation.data.read_prepared)"


@dataclass(frozen=True)
class Stored:
    """The bytes of one picture in a TFDS data source, read at use."""

    source: Any
    index: int

    def __call__(self) -> bytes:
        """Return the picture's file as bytes."""
        return self.source[self.index]["picture"]


def read_prepared(
    builder: Any, split: str, data_dir: str | os.PathLike[str] | None = None
) -> list[Recording]:
    """Read a split that ``download_and_prepare`` has written; pictures are read at use.

    Needs ``tensorflow_datasets`` and ``array_record``, not TensorFlow. Preparing needs no more::

        from keras_saliency.fixation.data import CAT2000, read_prepared

        CAT2000(data_dir="prepared").download_and_prepare()   # says where to put the download
        recordings = read_prepared("cat2000", "train", "prepared")

    Args:
        builder: ``"cat2000"``, ``"salicon"`` or ``"mit1003"``; a TFDS builder; or the path of a
            prepared folder, such as ``"prepared/cat2000/1.0.0"``.
        split: A split, a part of one (``"train[:90%]"``) or several (``"train+val"``).
        data_dir: Where TFDS stores its data sets, if not in its default folder. Only for a name.

    Returns:
        Recordings in the stored order, which is shuffled but always the same. Those of a split
        without ground truth have no fixations.

    Raises:
        FixationError: ``tensorflow_datasets`` is not installed; the data set is not prepared, has
            no such split, other features, or a file format without random access.
    """
    builder = _builder(builder, data_dir)
    features = importlib.import_module("keras_saliency.fixation.data.features")
    decoders = {"picture": features.tfds.decode.SkipDecoding()}
    recordings = []
    for part in split.split("+"):
        name = part.split("[")[0].strip()
        _check(builder, name, features)
        try:
            source = builder.as_data_source(split=part.strip(), decoders=decoders)
        except (NotImplementedError, ImportError, ValueError) as error:
            raise FixationError(
                f"Cannot read the split {part!r} of {builder.name!r}.",
                f"TFDS reports: {error}",
                "Write it as 'train' or 'train[:90%]', with array_record installed.",
                _READ,
            ) from error
        for index in range(len(source)):
            picture = Stored(source, index)
            recordings.append(features.recording(source[index], builder.name, name, picture))
    return recordings


def _builder(builder: Any, data_dir: str | os.PathLike | None) -> Any:
    features = importlib.import_module("keras_saliency.fixation.data.features")
    if not isinstance(builder, str | os.PathLike):
        return builder
    name = os.fspath(builder)
    if name in BUILDERS:
        module = importlib.import_module("keras_saliency.fixation.data.builders")
        where = None if data_dir is None else os.fspath(data_dir)
        return getattr(module, BUILDERS[name])(data_dir=where)
    try:
        return features.tfds.builder_from_directory(name)
    except Exception as error:  # TFDS raises what its file system raises
        folder = Path(name)
        result = "No such folder, and no data set of that name."
        if folder.exists():
            result = f"It is no folder that TFDS has prepared ({type(error).__name__})."
        raise FixationError(
            f"Expected {name!r} to be a prepared data set.",
            result,
            did_you_mean(name, BUILDERS) or f"Names are {', '.join(BUILDERS)}.",
            _READ,
        ) from error


def _check(builder: Any, split: str, features: Any) -> None:
    what = f"Cannot read the split {split!r} of {builder.name!r}."
    if not Path(builder.data_path).is_dir():
        raise FixationError(
            what,
            f"It is not prepared in {str(builder.data_path)!r}.",
            "Call download_and_prepare() on its builder first, or name another data_dir.",
            _READ,
        )
    missing = sorted(set(features.features()) - set(builder.info.features or ()))
    if missing:
        result = f"It has no {', '.join(missing)}: another data set's features."
        raise FixationError(what, result, "Use a builder of keras_saliency.fixation.data.", _READ)
    if split not in builder.info.splits:
        known = list(builder.info.splits)
        result = f"Its splits: {', '.join(known) or 'none'}."
        raise FixationError(what, result, did_you_mean(split, known) or "Take one of these.", _READ)
    form = builder.info.file_format.value
    if form != features.FILE_FORMAT:
        raise FixationError(
            what,
            f"It was prepared as {form}, which has no random access without TensorFlow.",
            f"Prepare it in another folder with file_format={features.FILE_FORMAT!r}, the default.",
            _READ,
        )
