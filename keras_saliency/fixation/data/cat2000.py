"""CAT2000: 4000 pictures of 20 categories, the fixations of half of them public."""

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


class CAT2000(FixationBuilder):
    """CAT2000 as ``tfds.builder("cat2000")``: splits ``train``, and ``test`` where it is there.

    Read from ``FIXATIONLOCS``: one binary matrix a picture, so viewers are not known, a pixel
    that was fixated twice counts once, and a fixation is taken at the centre of its pixel. The
    test pictures have no fixations. ``FIXATIONMAPS`` is not needed.

    ``sigma`` is 24 pixels, with which the MIT/Tuebingen benchmark blurs CAT2000. One degree of
    the recording was about 38; the maps in ``FIXATIONMAPS`` are blurred with 48 (a Gaussian that
    halves 8 cycles on 2048 pixels). ``dataclasses.replace(recording, sigma=38)`` takes another.
    """

    name = "cat2000"
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
Download trainSet.zip (and testSet.zip, pictures only, if you want them) from
http://saliency.mit.edu/results_cat2000.html or https://saliency.tuebingen.ai, and unpack them
into this folder:
  trainSet/Stimuli/<Category>/<number>.jpg
  trainSet/FIXATIONLOCS/<Category>/<number>.mat
  testSet/Stimuli/<Category>/<number>.jpg
"""
    DESCRIPTION = (
        "Eye movements of 120 observers, 24 a picture, 5 s of free viewing; pictures of "
        "1920x1080 in 20 categories. The fixations of the 2000 training pictures are public."
    )
    HOMEPAGE = "http://saliency.mit.edu/results_cat2000.html"
    LICENSE = (
        "None stated. The pictures were collected from the web: research use, not to be "
        "redistributed."
    )
    CITATION = """\
@article{borji2015cat2000,
  title = {CAT2000: A Large Scale Fixation Dataset for Boosting Saliency Research},
  author = {Borji, Ali and Itti, Laurent},
  journal = {CVPR 2015 workshop on the Future of Datasets, arXiv:1505.03581},
  year = {2015}
}"""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        manual = Path(dl_manager.manual_dir)
        ways = ("trainSet", ".", "CAT2000/trainSet", "trainSet/trainSet")
        root = nearest(manual, ways, ("Stimuli", "FIXATIONLOCS"))
        require(root, ("Stimuli", "FIXATIONLOCS"), "the training set of CAT2000")
        _check(root, ("Stimuli", "FIXATIONLOCS"))
        skipped = Skipped(f"CAT2000 in {str(root)!r}")
        splits = {"train": self._generate_examples(_train(root, skipped), skipped)}
        test = nearest(manual, ("testSet", "CAT2000/testSet", "testSet/testSet"), ("Stimuli",))
        if test != manual:
            _check(test, ("Stimuli",))
            skipped = Skipped(f"CAT2000 in {str(test)!r}")
            splits["test"] = self._generate_examples(_test(test, skipped), skipped, False)
        return splits


def _pictures(category: Path) -> list[Path]:
    # Not below it: a folder Output holds maps named as pictures. Numbers are not 001 to 100.
    result = (path for path in category.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    return sorted(path for path in result if not path.stem.endswith("_SaliencyMap"))


def _categories(root: Path) -> list[Path]:
    result = sorted(path for path in (root / "Stimuli").iterdir() if path.is_dir())
    return [path for path in result if path.name.lower() != "output"]


def _check(root: Path, folders: tuple[str, ...]) -> None:
    what = f"Expected the categories of CAT2000 in {str(root / 'Stimuli')!r}."
    read, categories = "help(keras_saliency.fixation.data.CAT2000)", _categories(root)
    if not categories:
        result = f"It has no folder but holds {contents(root / 'Stimuli')}."
        raise FixationError(what, result, "Unpack it anew.", read)
    empty = [path.name for path in categories if not _pictures(path)]
    if empty:
        result = f"No picture is in {', '.join(empty)}."
        raise FixationError(what, result, "Unpack it anew, or remove the empty folders.", read)
    absent = [f"{folder}/{p.name}" for folder in folders for p in categories]
    absent = [name for name in absent if not (root / name).is_dir()]
    if absent:
        raise FixationError(what, f"There is no {', '.join(absent)}.", "Unpack it anew.", read)


def _train(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in (path for category in _categories(root) for path in _pictures(category)):
        category = picture.parent.name
        try:
            size = recording.header(picture, picture.name)
            file = root / "FIXATIONLOCS" / category / f"{picture.stem}.mat"
            fixated = np.asarray(sources.variable(file, "fixLocs"))
        except FixationError as error:
            skipped.picture(f"{category}/{picture.stem}", error.got.rstrip("."))
            continue
        if fixated.shape != size:
            why = f"fixLocs of shape {fixated.shape}, the picture's is {size}"
            skipped.picture(f"{category}/{picture.stem}", why)
            continue
        rows, columns = np.nonzero(fixated)
        yield _recording(picture, size, "train", rows + 0.5, columns + 0.5)


def _test(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in (path for category in _categories(root) for path in _pictures(category)):
        try:
            size = recording.header(picture, picture.name)
        except FixationError as error:
            skipped.picture(f"{picture.parent.name}/{picture.stem}", error.got.rstrip("."))
            continue
        yield _recording(picture, size, "test", np.zeros(0), np.zeros(0))


def _recording(
    picture: Path, size: tuple[int, int], split: str, y: np.ndarray, x: np.ndarray
) -> Recording:
    return Recording(
        name=f"{picture.parent.name}/{picture.stem}",
        dataset="cat2000",
        split=split,
        picture=picture,
        size=size,
        y=y.astype(np.float32),
        x=x.astype(np.float32),
        sigma=sources.sigma("cat2000", size, size, None),
        category=picture.parent.name,
    )
