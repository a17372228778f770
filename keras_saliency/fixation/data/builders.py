"""TFDS builders of CAT2000, MIT1003 and SALICON, from the files that their authors publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency.errors import FixationError
from keras_saliency.fixation.data import recording, sources
from keras_saliency.fixation.data.prepared import FixationBuilder
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
        _cat2000_check(root, ("Stimuli", "FIXATIONLOCS"))
        skipped = Skipped(f"CAT2000 in {str(root)!r}")
        splits = {"train": self._generate_examples(_cat2000_train(root, skipped), skipped)}
        test = nearest(manual, ("testSet", "CAT2000/testSet", "testSet/testSet"), ("Stimuli",))
        if test != manual:
            _cat2000_check(test, ("Stimuli",))
            skipped = Skipped(f"CAT2000 in {str(test)!r}")
            splits["test"] = self._generate_examples(_cat2000_test(test, skipped), skipped, False)
        return splits


def _cat2000_pictures(category: Path) -> list[Path]:
    # Not below it: a folder Output holds maps named as pictures. Numbers are not 001 to 100.
    result = (path for path in category.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    return sorted(path for path in result if not path.stem.endswith("_SaliencyMap"))


def _cat2000_categories(root: Path) -> list[Path]:
    result = sorted(path for path in (root / "Stimuli").iterdir() if path.is_dir())
    return [path for path in result if path.name.lower() != "output"]


def _cat2000_check(root: Path, folders: tuple[str, ...]) -> None:
    what = f"Expected the categories of CAT2000 in {str(root / 'Stimuli')!r}."
    read, categories = "help(keras_saliency.fixation.data.CAT2000)", _cat2000_categories(root)
    if not categories:
        result = f"It has no folder but holds {contents(root / 'Stimuli')}."
        raise FixationError(what, result, "Unpack it anew.", read)
    empty = [path.name for path in categories if not _cat2000_pictures(path)]
    if empty:
        result = f"No picture is in {', '.join(empty)}."
        raise FixationError(what, result, "Unpack it anew, or remove the empty folders.", read)
    absent = [f"{folder}/{p.name}" for folder in folders for p in categories]
    absent = [name for name in absent if not (root / name).is_dir()]
    if absent:
        raise FixationError(what, f"There is no {', '.join(absent)}.", "Unpack it anew.", read)


def _cat2000_train(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in (
        path for category in _cat2000_categories(root) for path in _cat2000_pictures(category)
    ):
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
        yield _cat2000_recording(picture, size, "train", rows + 0.5, columns + 0.5)


def _cat2000_test(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in (
        path for category in _cat2000_categories(root) for path in _cat2000_pictures(category)
    ):
        try:
            size = recording.header(picture, picture.name)
        except FixationError as error:
            skipped.picture(f"{picture.parent.name}/{picture.stem}", error.got.rstrip("."))
            continue
        yield _cat2000_recording(picture, size, "test", np.zeros(0), np.zeros(0))


def _cat2000_recording(
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
        root = nearest(dl_manager.manual_dir, (".", "MIT1003", "mit1003"), _MIT1003_FOLDERS)
        require(root, _MIT1003_FOLDERS, "MIT1003")
        if not _mit1003_pictures(root):
            raise FixationError(
                f"Expected pictures of MIT1003 in {str(root / _MIT1003_FOLDERS[0])!r}.",
                f"It has no .jpeg but holds {contents(root / _MIT1003_FOLDERS[0])}.",
                "Unpack ALLSTIMULI.zip anew.",
                "help(keras_saliency.fixation.data.MIT1003)",
            )
        skipped = Skipped(f"MIT1003 in {str(root)!r}")
        return {"train": self._generate_examples(_mit1003_recordings(root, skipped), skipped)}


_MIT1003_FOLDERS = ("ALLSTIMULI", "ALLFIXATIONMAPS")


def _mit1003_pictures(root: Path) -> list[Path]:
    # macOS leaves files ._name beside them.
    return sorted(
        path for path in (root / _MIT1003_FOLDERS[0]).glob("*.jpeg") if path.name[0] != "."
    )


def _mit1003_recordings(root: Path, skipped: Skipped) -> Iterator[Recording]:
    for picture in _mit1003_pictures(root):
        points = root / _MIT1003_FOLDERS[1] / f"{picture.stem}_fixPts.jpg"
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
        wanted = tuple(
            f"{folder}/{split}" for folder in _SALICON_FOLDERS for split in _SALICON_SPLITS
        )
        root = nearest(dl_manager.manual_dir, (".", "SALICON", "salicon"), _SALICON_FOLDERS)
        require(root, wanted, "SALICON")
        splits = {}
        for split in (*_SALICON_SPLITS, "test"):
            if not (root / "images" / split).is_dir():
                continue
            if not _salicon_pictures(root, split):
                raise _salicon_empty(root / "images" / split)
            skipped = Skipped(f"SALICON's {split} in {str(root)!r}")
            recordings = _salicon_recordings(root, split, skipped)
            splits[split] = self._generate_examples(recordings, skipped, split != "test")
        return splits


_SALICON_FOLDERS, _SALICON_SPLITS = ("images", "fixations"), ("train", "val")


def _salicon_pictures(root: Path, split: str) -> list[Path]:
    return sorted((root / "images" / split).glob("*.jpg"))


def _salicon_empty(folder: Path) -> FixationError:
    return FixationError(
        f"Expected pictures of SALICON in {str(folder)!r}.",
        f"It has no .jpg but holds {contents(folder)}.",
        "Unpack images.zip anew.",
        "help(keras_saliency.fixation.data.SALICON)",
    )


def _salicon_recordings(root: Path, split: str, skipped: Skipped) -> Iterator[Recording]:
    viewings = 0
    for picture in _salicon_pictures(root, split):
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
