"""Data sets that TFDS has prepared, read as recordings, without TensorFlow."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import FixationError, did_you_mean
from keras_saliency.fixation.data.recording import Recording
from keras_saliency.fixation.data.sources import Skipped, usable

try:
    import tensorflow_datasets as tfds
except ImportError as missing:
    raise FixationError(
        "TFDS data sets need the package tensorflow_datasets.",
        f"It cannot be imported ({missing}).",
        'Run: pip install "keras-saliency[data]"',
        "help(keras_saliency.fixation.data)",
    ) from missing

# Written and read without TensorFlow; tf.data, which needs it, reads "tfrecord" only.
FILE_FORMAT = "array_record"


def features() -> Any:
    """Return the feature spec that all data sets here share.

    ``picture`` is stored as the bytes of its file, whatever their encoding; ``y``, ``x`` are
    float32 pixels, 0-based, (N,); ``subject`` is int32 (N,), or empty where viewers are not
    known; ``category`` is empty where there are none; ``sigma`` is one degree in pixels.
    """
    return tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            "picture": tfds.features.Image(shape=(None, None, 3), dtype=np.uint8),
            "height": tfds.features.Scalar(np.int32),
            "width": tfds.features.Scalar(np.int32),
            "y": tfds.features.Tensor(shape=(None,), dtype=np.float32),
            "x": tfds.features.Tensor(shape=(None,), dtype=np.float32),
            "subject": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "category": tfds.features.Text(),
            "sigma": tfds.features.Scalar(np.float64),
        }
    )


def example(recording: Recording) -> dict[str, Any]:
    """Return a recording whose picture is a file as an example of ``features()``."""
    subject = recording.subject
    return {
        "name": recording.name,
        "picture": Path(recording.picture).read_bytes(),  # type: ignore[arg-type]
        "height": recording.size[0],
        "width": recording.size[1],
        "y": np.asarray(recording.y, np.float32),
        "x": np.asarray(recording.x, np.float32),
        "subject": np.asarray([] if subject is None else subject, np.int32),
        "category": recording.category or "",
        "sigma": float(recording.sigma),
    }


def recording(example: dict[str, Any], dataset: str, split: str, picture: Any) -> Recording:
    """Return an example, read with its picture left encoded, as a recording.

    Args:
        example: As a TFDS data source gives it.
        dataset: The data set's name.
        split: The split it was read from.
        picture: What ``Recording.picture`` shall be.
    """
    subject = np.asarray(example["subject"], np.int32)
    return Recording(
        name=_text(example["name"]),
        dataset=dataset,
        split=split,
        picture=picture,
        size=(int(example["height"]), int(example["width"])),
        y=np.asarray(example["y"], np.float32),
        x=np.asarray(example["x"], np.float32),
        sigma=float(example["sigma"]),
        subject=subject if len(subject) else None,
        category=_text(example["category"]) or None,
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class FixationBuilder(tfds.core.GeneratorBasedBuilder):
    """Base of the builders: the shared features, and one warning about what was left out.

    Args:
        file_format: ``"array_record"`` by default, which is written and read without TensorFlow;
            ``"tfrecord"`` for ``tf.data``.
        **options: Of ``tfds.core.GeneratorBasedBuilder``, such as ``data_dir``.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS declares no ClassVar
    DESCRIPTION = HOMEPAGE = CITATION = LICENSE = ""

    def __init__(self, *, file_format: Any = None, **options: Any) -> None:
        """Choose the file format; the rest is TFDS'."""
        super().__init__(file_format=file_format or FILE_FORMAT, **options)

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=features(),
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            license=self.LICENSE,
        )

    def _generate_examples(
        self, recordings: Iterable[Recording], skipped: Skipped, need_fixations: bool = True
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for one in usable(recordings, skipped, need_fixations):
            skipped.used += 1
            yield one.name, example(one)
        skipped.report(stacklevel=2)


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
    features = importlib.import_module("keras_saliency.fixation.data.prepared")
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
    features = importlib.import_module("keras_saliency.fixation.data.prepared")
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
