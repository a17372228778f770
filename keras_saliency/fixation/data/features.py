"""A recording as a TFDS example, and the base of the builders that write such examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import FixationError
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
