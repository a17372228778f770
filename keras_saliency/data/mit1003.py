"""MIT1003: 1003 photographs, each seen by 15 people for three seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.data import degree, pixels
from keras_saliency.data.features import FixationBuilder
from keras_saliency.data.recording import Recording
from keras_saliency.data.skipped import Skipped
from keras_saliency.data.unpacked import contents, nearest, require
from keras_saliency.errors import FixationError


class MIT1003(FixationBuilder):
    """MIT1003 as ``tfds.builder("mit1003")``: one split ``train``; take parts as "train[:90%]".

    Read from ``ALLFIXATIONMAPS/*_fixPts.jpg``, the fixations of all viewers as white pixels: so
    viewers are not known, a pixel that was fixated twice counts once, and a fixation is taken at
    the centre of its pixel. A white pixel is one above 127, which JPEG's ringing stays below.

    The eye tracks in ``DATA`` are samples at 240 Hz, from which the authors' MATLAB programs make
    fixations; whoever has run these can bring the result, with viewers, by ``write_table``.

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
        root = nearest(dl_manager.manual_dir, (".", "MIT1003", "mit1003"), _ROOMS)
        require(root, _ROOMS, "MIT1003")
        if not _pictures(root):
            raise FixationError(
                f"Pictures of MIT1003 were looked for in {str(root / _ROOMS[0])!r}.",
                f"It has no .jpeg but holds {contents(root / _ROOMS[0])}.",
                "Unpack ALLSTIMULI.zip anew.",
                "help(keras_saliency.data.MIT1003)",
            )
        skipped = Skipped(f"MIT1003 in {str(root)!r}")
        return {"train": self._generate_examples(_recordings(root, skipped), skipped)}


_ROOMS = ("ALLSTIMULI", "ALLFIXATIONMAPS")


def _pictures(root: Path) -> list[Path]:
    # A Mac leaves files ._name beside them.
    return sorted(path for path in (root / _ROOMS[0]).glob("*.jpeg") if path.name[0] != ".")


def _recordings(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in _pictures(root):
        points = root / _ROOMS[1] / f"{picture.stem}_fixPts.jpg"
        try:
            size = pixels.header(picture, picture.name)
            white = pixels.read(points, size, points.name)[..., 0] > 127
        except FixationError as error:
            which = f"{points.name}: " if points.name in error.asked else ""
            skipped.picture(picture.stem, which + error.found.rstrip("."))
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
            sigma=degree.sigma("mit1003", size, size, None),
        )
