"""Reading files of signals, volumes, videos and tables: paths become arrays, numbers as they are.

=========  =========================================================================================
any        ``.npy``, ``.npz`` with one array
signal     ``.csv`` (a row for each moment), ``.wav`` (whole numbers become -1..1; never resampled)
volume     ``.nii``, ``.nii.gz`` (the extra ``volumes``), axes in the file's own order
video      ``.gif``; ``.mp4``, ``.mov``, ``.avi``, ``.mkv``, ``.webm`` (the extra ``video``)
table      ``.csv``, the names of its columns in the first line
=========  =========================================================================================
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import math
import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from keras_saliency._graph.adapter import Input
from keras_saliency._inputs import video
from keras_saliency._inputs.kinds import Kind
from keras_saliency._io import files
from keras_saliency.errors import InputError

MAX_BYTES = 2**30  # unpacked; what is larger shows a model no more

_READ = "help(keras_saliency.explain)"
_ARRAYS = (".npy", ".npz")
SUFFIXES = {
    "signal": (*_ARRAYS, ".csv", ".wav"),
    "volume": (*_ARRAYS, ".nii", ".nii.gz"),
    "video": (*_ARRAYS, *video.SUFFIXES),
    "tokens": _ARRAYS,
    "table": (*_ARRAYS, ".csv"),
}
_SHOWN = {".nii": "volume", ".nii.gz": "volume"} | dict.fromkeys(video.SUFFIXES, "video")
_TRAILING = 2**20  # bytes that may follow the voxels of a NIfTI file


@dataclass(frozen=True)
class Opened:
    """What a caller passed, its files read.

    Attributes:
        values: An array, or whatever was passed where it is no file.
        about: The file and its rate, for messages; ``""`` where it is no file.
        names: Names of a table's columns, or ().
        is_one: Whether the format holds a single input, never a batch.
    """

    values: Any
    about: str = ""
    names: tuple[str, ...] = ()
    is_one: bool = False


def is_path(given: Any) -> bool:
    """Whether a value is the path of a file."""
    return isinstance(given, str | os.PathLike)


def suffix(path: Any) -> str:
    """Return a path's suffix in small letters, such as ``".wav"`` or ``".nii.gz"``."""
    name = os.fsdecode(path).lower()
    return ".nii.gz" if name.endswith(".nii.gz") else os.path.splitext(name)[1]


def is_array_file(path: Any) -> bool:
    """Whether a path is by its suffix a file of something else than a picture."""
    known = {one for each in SUFFIXES.values() for one in each} - {".gif"}
    return is_path(path) and suffix(path) in known


def shown_kind(path: Any) -> str | None:
    """Return the kind that a file, or the first of a list, can only hold; None: any."""
    first = path[0] if isinstance(path, list | tuple) and path else path
    return _SHOWN.get(suffix(first)) if is_path(first) else None


def may_be_read_as_picture(path: Any, wanted: str | None) -> bool:
    """Whether a file is read as a picture before the model is known."""
    others = is_array_file(path) or suffix(path) in (".gif", ".txt")
    return wanted == "picture" or (wanted is None and not others)


def opened(given: Any, one: Input, kind: Kind) -> list[Opened]:
    """Return what a caller passed with its files read; several where it is a list with files.

    Args:
        given: Anything; a path, or a list with paths or PIL images, is read.
        one: The model's input.
        kind: Its kind.

    Raises:
        InputError: A file is missing, damaged, too large or of another format.
    """
    if is_path(given) or isinstance(given, Image.Image):
        return [_opened(given, one, kind)]
    if isinstance(given, list | tuple) and any(
        is_path(each) or isinstance(each, Image.Image) for each in given
    ):
        return [_opened(each, one, kind) for each in given]
    return [Opened(given)]


def _opened(given: Any, one: Input, kind: Kind) -> Opened:
    if isinstance(given, Image.Image):
        if kind.name != "video":
            return Opened(given)
        with refused("Cannot read the frames of the PIL image."):
            return Opened(video.of_pil(given, _most(one), MAX_BYTES), "", (), True)
    if not is_path(given):
        return Opened(given)
    form, name = suffix(given), os.fsdecode(given)
    if form not in SUFFIXES[kind.name]:
        raise _not_of_this_kind(name, one, kind)
    noun = kind.one.removeprefix("a ")
    what = f"Cannot read the {noun} {name!r}."
    about = f"the file {name!r} with "
    with _file(name, noun) as file, refused(what):
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise too_large(what, size)
        if form == ".npy":
            return Opened(_npy(file, size, what), about)
        if form == ".npz":
            return Opened(_npz(file, what), about)
        if form == ".csv":
            values, names = _csv(file)
            if kind.name == "table":
                return Opened(values, about, names)
            return Opened(_one(values, kind), about, (), True)
        if form == ".wav":
            values, rate = _wav(file, size)
            return Opened(_one(values, kind), f"{about}{rate} values a second, ", (), True)
        if form in video.SUFFIXES:
            values, frames = video.decoded(file, form, _most(one), MAX_BYTES)
            about += f"{frames:g} frames a second, " if frames else ""
            return Opened(values, about, (), True)
        return Opened(_one(_nifti(file, form, size, what), kind), about, (), True)


def _most(one: Input) -> int | None:
    """Return how many frames a model takes; None where it takes any."""
    return one.shape[0] if one.shape else None


def _one(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Return a single input with or without an axis for its only channel, as the kind has it."""
    if kind.has_channels and values.ndim == kind.rank - 1:
        return values[..., None]
    if not kind.has_channels and values.ndim == kind.rank + 1 and values.shape[-1] == 1:
        return values[..., 0]
    return values


# ---------------------------------------------------------------------- errors


def _file(name: str, noun: str) -> BinaryIO:
    """Open a regular file; never wait for one without data, such as a FIFO."""
    what, fix = f"Cannot open the {noun} {name!r}.", "Check the path."
    try:
        return files.regular(name)
    except FileNotFoundError:
        what, got = f"No such file: {name!r}.", f"Expected the path of a {noun}."
    except IsADirectoryError:
        what, got, fix = f"Expected a file: {name!r}.", "Got a directory.", "Pass the files in it."
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        got = f"{getattr(error, 'strerror', None) or error}."
    raise InputError(what, got, fix, _READ)


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an InputError."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        is_av = (error.name or "").split(".")[0] == "av"
        package, extra = ("av", "video") if is_av else ("nibabel", "volumes")
        raise InputError(
            what,
            f"The package {package} cannot be imported: {error}.",
            f"Run: pip install 'keras-saliency[{extra}]', or pass a NumPy array.",
            _READ,
        ) from error
    except Exception as error:  # decoders raise more than they document
        raise InputError(
            what,
            f"It is broken: {' '.join(str(error).split())[:200] or type(error).__name__}.",
            "Save it again or pass another.",
            _READ,
        ) from error


def too_large(what: str, size: int) -> InputError:
    """Return the error for a file that would fill the memory."""
    return InputError(
        what,
        f"It holds {size:,} bytes, over the limit of {MAX_BYTES:,}.",
        "Cut or sample it first, and pass a NumPy array.",
        _READ,
    )


def _not_of_this_kind(name: str, one: Input, kind: Kind) -> InputError:
    known = SUFFIXES[kind.name]
    listed = f"{', '.join(known[:-1])} or {known[-1]}"
    if kind.is_embedded and suffix(name) != ".txt":
        return InputError(
            f"Expected numbers of words for input {one.name!r}: the model has no tokenizer.",
            f"Got the string {name[:60]!r}.",
            "Tokenize it as in training and pass the numbers, (T,) or (B, T). A keras_hub task "
            "with its preprocessor, and a model that begins with TextVectorization, take texts.",
            _READ,
        )
    return InputError(
        f"Expected {kind.one} in a file of one of the formats {listed}.",
        f"Got {name!r}.",
        f"Read it yourself and pass a NumPy array {kind.shape}.",
        _READ,
    )


# ---------------------------------------------------------------------- formats


def _npy(file: Any, size: int, what: str) -> np.ndarray:
    """Return the array of a .npy file of ``size`` bytes, whose header is checked first."""
    version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise ValueError(f"version {version} of the npy format is not known")
    shape, _, dtype = headers[version](file)
    if dtype.kind not in "fuib":
        raise InputError(
            what,
            f"It holds values of dtype {dtype}, which are no numbers.",
            "Save numbers: numpy.save(path, array.astype('float32')).",
            _READ,
        )
    stated, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if stated != held:
        raise ValueError(f"its header states {stated:,} bytes of values, and it has {held:,}")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    file.read(1)  # the end of a zip archive's member, where its checksum is compared
    return array


def _npz(file: BinaryIO, what: str) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(repr(each.filename.removesuffix(".npy")) for each in members[:6])
            raise InputError(
                what,
                f"Expected one array in it; it holds {len(members)}: {names or 'none'}.",
                "Pass one: numpy.load(path)['name'].",
                _READ,
            )
        if members[0].file_size > MAX_BYTES:
            raise too_large(what, members[0].file_size)
        with archive.open(members[0]) as member:
            return _npy(member, members[0].file_size, what)


def _csv(file: BinaryIO) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the numbers of a table, (rows, columns) float64, and the names in its first line."""
    text = file.read().decode("utf-8-sig")
    first = next(csv.reader(io.StringIO(text)), [])
    names = () if all(map(_is_number, first)) else tuple(cell.strip() for cell in first)
    lines = [line for line in text.splitlines()[bool(names) :] if line.strip()]
    if not lines:
        raise ValueError("it holds no numbers")
    return np.loadtxt(lines, delimiter=",", ndmin=2, comments=None, quotechar='"'), names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _wav(file: BinaryIO, size: int) -> tuple[np.ndarray, int]:
    """Return a sound, (T,) or (T, C) float32, and its values a second.

    Whole numbers are divided by the largest of their type, so that they lie in -1..1.
    """
    from scipy.io import wavfile

    head = file.read(8)
    stated = struct.unpack(">I" if head[:4] == b"RIFX" else "<I", head[4:8])[0] + 8
    if head[:4] in (b"RIFF", b"RIFX") and stated > size:
        raise ValueError(f"its header states {stated:,} bytes, and it has {size:,}")
    file.seek(0)
    rate, values = wavfile.read(file)
    if values.dtype == np.uint8:
        return (values.astype(np.float32) - 128) / 128, rate
    if values.dtype.kind == "i":
        largest = 2.0 ** (8 * values.dtype.itemsize - 1)  # 24 bits come as the upper of 32
        return (values / largest).astype(np.float32), rate
    return values.astype(np.float32), rate


def _nifti(file: BinaryIO, form: str, size: int, what: str) -> np.ndarray:
    """Return the values of a NIfTI file as float32, scaled as its header says."""
    import nibabel

    stream: Any = gzip.GzipFile(fileobj=file) if form == ".nii.gz" else file
    start = stream.read(540)
    sizes = {struct.unpack(f"{order}i", start[:4])[0] for order in "<>"}
    kind = nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image
    header = kind.header_class.from_fileobj(io.BytesIO(start))
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "fui" or min(shape, default=0) < 1:
        raise ValueError(f"it holds values of dtype {dtype} and shape {shape}")
    stated = int(header["vox_offset"]) + math.prod(map(int, shape)) * dtype.itemsize
    if not 0 < stated <= MAX_BYTES:
        raise too_large(what, stated)
    data = start + stream.read(max(0, stated - len(start)) + _TRAILING)
    if len(data) < stated:
        raise ValueError(f"its header states {stated:,} bytes, and it has {len(data):,}")
    if stream.read(1):
        raise ValueError(f"more than {_TRAILING:,} bytes follow its values")
    values = kind.from_bytes(data).get_fdata(dtype=np.float32, caching="unchanged")
    return values[:, :, :, 0] if values.ndim == 5 and values.shape[3] == 1 else values
