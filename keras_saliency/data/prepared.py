"""Data sets that TFDS has prepared, read as recordings, without TensorFlow."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_saliency.data.recording import Recording
from keras_saliency.errors import FixationError, did_you_mean

BUILDERS = {"cat2000": "CAT2000", "salicon": "SALICON", "mit1003": "MIT1003"}

_READ = "help(keras_saliency.data.read_prepared)"


@dataclass(frozen=True)
class Stored:
    """The bytes of one picture in a TFDS data source, read when they are asked for."""

    source: Any
    index: int

    def __call__(self) -> bytes:
        """Return the picture's file as bytes."""
        return self.source[self.index]["picture"]


def read_prepared(
    builder: Any, split: str, data_dir: str | os.PathLike | None = None
) -> list[Recording]:
    """Read a split that ``download_and_prepare`` has written; pictures are read at use.

    Needs ``tensorflow_datasets`` and ``array_record``, not TensorFlow. Preparing needs no more::

        from keras_saliency.data import CAT2000, read_prepared

        CAT2000(data_dir="prepared").download_and_prepare()   # says where to put the download
        recordings = read_prepared("cat2000", "train", "prepared")

    Args:
        builder: ``"cat2000"``, ``"salicon"`` or ``"mit1003"``; a TFDS builder; or the path of a
            prepared folder, such as ``"prepared/cat2000/1.0.0"``.
        split: A split, a part of one (``"train[:90%]"``) or several (``"train+val"``).
        data_dir: Where TFDS keeps its data sets, if not in its default place. Only for a name.

    Returns:
        Recordings in the stored order, which is shuffled but always the same. Those of a split
        without ground truth have no fixations.

    Raises:
        FixationError: ``tensorflow_datasets`` is not installed; the data set is not prepared, has
            no such split, other features, or a file format without random access.
    """
    builder = _builder(builder, data_dir)
    features = importlib.import_module("keras_saliency.data.features")
    decoders = {"picture": features.tfds.decode.SkipDecoding()}
    recordings = []
    for part in split.split("+"):
        name = part.split("[")[0].strip()
        _check(builder, name, features)
        try:
            source = builder.as_data_source(split=part.strip(), decoders=decoders)
        except (NotImplementedError, ImportError, ValueError) as error:
            raise FixationError(
                f"The split {part!r} of {builder.name!r} was asked for.",
                f"TFDS cannot read it: {error}",
                "Write it as 'train' or 'train[:90%]', with array_record installed.",
                _READ,
            ) from error
        for index in range(len(source)):
            picture = Stored(source, index)
            recordings.append(features.recording(source[index], builder.name, name, picture))
    return recordings


def _builder(builder: Any, data_dir: str | os.PathLike | None) -> Any:
    features = importlib.import_module("keras_saliency.data.features")
    if not isinstance(builder, str | os.PathLike):
        return builder
    name = os.fspath(builder)
    if name in BUILDERS:
        module = importlib.import_module(f"keras_saliency.data.{name}")
        where = None if data_dir is None else os.fspath(data_dir)
        return getattr(module, BUILDERS[name])(data_dir=where)
    try:
        return features.tfds.builder_from_directory(name)
    except Exception as error:  # TFDS raises what its file system raises
        folder = Path(name)
        found = "No such folder, and no data set of that name."
        if folder.exists():
            found = f"It is no folder that TFDS has prepared ({type(error).__name__})."
        raise FixationError(
            f"The prepared data set {name!r} was asked for.",
            found,
            did_you_mean(name, BUILDERS) or f"Names are {', '.join(BUILDERS)}.",
            _READ,
        ) from error


def _check(builder: Any, split: str, features: Any) -> None:
    asked = f"The split {split!r} of {builder.name!r} was asked for."
    if not Path(builder.data_path).is_dir():
        raise FixationError(
            asked,
            f"It is not prepared in {str(builder.data_path)!r}.",
            "Call download_and_prepare() on its builder first, or name another data_dir.",
            _READ,
        )
    missing = sorted(set(features.features()) - set(builder.info.features or ()))
    if missing:
        found = f"It has no {', '.join(missing)}: another data set's features."
        raise FixationError(asked, found, "Use a builder of keras_saliency.data.", _READ)
    if split not in builder.info.splits:
        known = list(builder.info.splits)
        found = f"It has {', '.join(known) or 'none'}."
        raise FixationError(asked, found, did_you_mean(split, known) or "Take one of these.", _READ)
    form = builder.info.file_format.value
    if form != features.FILE_FORMAT:
        raise FixationError(
            asked,
            f"It was prepared as {form}, which has no random access without TensorFlow.",
            f"Prepare it in another folder with file_format={features.FILE_FORMAT!r}, the default.",
            _READ,
        )
