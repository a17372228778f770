"""MIT1003: 1003 photographs, each seen by 15 people for three seconds."""

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


class MIT1003(FixationBuilder):
    """MIT1003 as ``tfds.builder("mit1003")``: one split ``train``; take parts as "train[:90%]".

    Read from ``ALLFIXATIONMAPS/*_fixPts.jpg``, the fixations of all viewers as white pixels: so
    viewers are not known, a pixel that was fixated twice counts once, and a fixation is taken at
    the centre of its pixel. A white pixel is one above 127, which JPEG's ringing stays below.

    The eye tracks in ``DATA`` are samples at 240 Hz, from which the authors' MATLAB programs make
    fixations; their result, with viewers, can be stored by ``write_table``.

    ``sigma`` is 24 pixels, with which the MIT/Tuebingen benchmark blurs; one degree was about 35.
    """

    name = "mit1003"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Download ALLSTIMULI.zip and ALLFIXATIONMAPS.zip from
http://people.csail.mit.edu/tjudd/WherePeopleLook and unpack them into this folder:
  ALLSTIMULI/<name>.jpeg
  ALLFIXATIONMAPS/<name>_fixPts.jpg
"""
    DESCRIPTION = (
        "Eye movements of 15 observers on 1003 photographs from Flickr and LabelMe, long side "
        "1024 pixels, 3 s of free viewing."
    )
    HOMEPAGE = "http://people.csail.mit.edu/tjudd/WherePeopleLook"
    LICENSE = (
        "None stated. The photographs are from Flickr (Creative Commons) and LabelMe: research "
        "use, not to be redistributed."
    )
    CITATION = """\
@inproceedings{judd2009learning,
  title = {Learning to Predict Where Humans Look},
  author = {Judd, Tilke and Ehinger, Krista and Durand, Fredo and Torralba, Antonio},
  booktitle = {IEEE International Conference on Computer Vision},
  year = {2009}
}"""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = nearest(dl_manager.manual_dir, (".", "MIT1003", "mit1003"), _FOLDERS)
        require(root, _FOLDERS, "MIT1003")
        if not _pictures(root):
            raise FixationError(
                f"Expected pictures of MIT1003 in {str(root / _FOLDERS[0])!r}.",
                f"It has no .jpeg but holds {contents(root / _FOLDERS[0])}.",
                "Unpack ALLSTIMULI.zip anew.",
                "help(keras_saliency.fixation.data.MIT1003)",
            )
        skipped = Skipped(f"MIT1003 in {str(root)!r}")
        return {"train": self._generate_examples(_recordings(root, skipped), skipped)}


_FOLDERS = ("ALLSTIMULI", "ALLFIXATIONMAPS")


def _pictures(root: Path) -> list[Path]:
    # macOS leaves files ._name beside them.
    return sorted(path for path in (root / _FOLDERS[0]).glob("*.jpeg") if path.name[0] != ".")


def _recordings(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in _pictures(root):
        points = root / _FOLDERS[1] / f"{picture.stem}_fixPts.jpg"
        try:
            size = recording.header(picture, picture.name)
            white = recording.read(points, size, points.name)[..., 0] > 127
        except FixationError as error:
            which = f"{points.name}: " if points.name in error.what else ""
            skipped.picture(picture.stem, which + error.got.rstrip("."))
            continue
        rows, columns = np.nonzero(white)
        yield Recording(
            name=picture.stem,
            dataset="mit1003",
            split="train",
            picture=picture,
            size=size,
            y=(rows + 0.5).astype(np.float32),
            x=(columns + 0.5).astype(np.float32),
            sigma=sources.sigma("mit1003", size, size, None),
        )
