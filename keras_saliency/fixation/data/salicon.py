"""SALICON: 20,000 pictures of COCO, with mouse movements in place of eye movements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import FixationError
from keras_saliency.fixation.data import recording, sources
from keras_saliency.fixation.data.features import FixationBuilder
from keras_saliency.fixation.data.recording import Recording
from keras_saliency.fixation.data.sources import Skipped, contents, nearest, require


class SALICON(FixationBuilder):
    """SALICON as ``tfds.builder("salicon")``: splits ``train``, ``val``, and ``test`` if there.

    Read from the field ``fixations`` of ``fixations/<split>/*.mat``, which count pixels from 1;
    a fixation is taken at the centre of its pixel. Workers are anonymous: ``subject`` counts
    viewings, so that no two pictures share a number. Test pictures have no fixations. ``maps``
    is not needed.

    ``sigma`` is 19 pixels of 640x480, as in the authors' API.
    """

    name = "salicon"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Download images.zip and fixations.zip from http://salicon.net/download and unpack them into this
folder:
  images/{train,val,test}/COCO_*.jpg
  fixations/{train,val}/COCO_*.mat
"""
    DESCRIPTION = (
        "Mouse movements over blurred pictures of MS COCO, 640x480, 5 s of free viewing: 10,000 "
        "for training, 5,000 for validation, 5,000 for testing without fixations."
    )
    HOMEPAGE = "http://salicon.net"
    LICENSE = (
        "The authors state none for the fixations; the pictures are COCO's, each under its "
        "photographer's licence on Flickr."
    )
    CITATION = """\
@inproceedings{jiang2015salicon,
  title = {SALICON: Saliency in Context},
  author = {Jiang, Ming and Huang, Shengsheng and Duan, Juanyong and Zhao, Qi},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2015}
}"""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        wanted = tuple(f"{folder}/{split}" for folder in _FOLDERS for split in _SPLITS)
        root = nearest(dl_manager.manual_dir, (".", "SALICON", "salicon"), _FOLDERS)
        require(root, wanted, "SALICON")
        splits = {}
        for split in (*_SPLITS, "test"):
            if not (root / "images" / split).is_dir():
                continue
            if not _pictures(root, split):
                raise _empty(root / "images" / split)
            skipped = Skipped(f"SALICON's {split} in {str(root)!r}")
            recordings = _recordings(root, split, skipped)
            splits[split] = self._generate_examples(recordings, skipped, split != "test")
        return splits


_FOLDERS, _SPLITS = ("images", "fixations"), ("train", "val")


def _pictures(root: Path, split: str) -> list[Path]:
    return sorted((root / "images" / split).glob("*.jpg"))


def _empty(folder: Path) -> FixationError:
    return FixationError(
        f"Expected pictures of SALICON in {str(folder)!r}.",
        f"It has no .jpg but holds {contents(folder)}.",
        "Unpack images.zip anew.",
        "help(keras_saliency.fixation.data.SALICON)",
    )


def _recordings(root: Path, split: str, skipped: Skipped) -> Iterator[Recording]:
    viewings = 0
    for picture in _pictures(root, split):
        try:
            size = recording.header(picture, picture.name)
            points = [np.zeros((0, 2))]
            if split != "test":
                points = fixations(root / "fixations" / split / f"{picture.stem}.mat")
        except FixationError as error:
            skipped.picture(picture.stem, error.got.rstrip("."))
            continue
        subject = np.repeat(np.arange(len(points)), [len(one) for one in points]) + viewings
        viewings += len(points)
        x, y = np.concatenate(points).T.astype(np.float32)
        yield Recording(
            name=picture.stem,
            dataset="salicon",
            split=split,
            picture=picture,
            size=size,
            y=y,
            x=x,
            sigma=sources.sigma("salicon", size, size, None),
            subject=subject.astype(np.int32),
        )


def fixations(file: Path) -> list[np.ndarray]:
    """Return the fixations of each viewing in a file of SALICON, (N, 2) float64 of (x, y).

    0-based, at the centres of pixels: the file counts pixels from 1.

    Raises:
        FixationError: The file is missing, broken or of another form.
    """
    gaze = np.asarray(sources.variable(file, "gaze"))
    if gaze.dtype.names is None or "fixations" not in gaze.dtype.names or not gaze.size:
        raise FixationError(
            f"Cannot read the viewings in {file.name!r}.",
            f"{file.name} has a 'gaze' without viewings or without the field 'fixations'.",
            "Copy the file again from fixations.zip.",
            "help(keras_saliency.fixation.data.SALICON)",
        )
    # As float first: 1-based unsigned integers would wrap around. Some viewings are empty.
    return [np.asarray(one, float).reshape(-1, 2) - 0.5 for one in gaze["fixations"].ravel()]
