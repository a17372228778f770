"""What can go wrong, as one tree.

::

    KerasSaliencyError
    ├── BackendError      (ValueError)  Keras' backend cannot be imported
    ├── ModelError        (TypeError)   not a Keras 3 model, or one that takes no pictures
    ├── ModelFileError    (ValueError)  a model or weights file that cannot be loaded
    ├── PretrainedError   (ValueError)  the embedded network's weights are absent or altered
    ├── InputError        (ValueError)  an input that is unreadable or does not fit the model
    │   └── ImageError                  a picture that is
    ├── PreprocessError   (ValueError)  how pixels become model input is unknown
    ├── LayerError        (ValueError)  no such layer, or none that has a map
    ├── TargetError       (ValueError)  a score that the model's outputs do not have
    ├── MethodError       (ValueError)  no such method, or an option it cannot take
    ├── GradientError     (ValueError)  the score does not depend differentiably on the picture
    ├── MetricError       (ValueError)  maps or pictures that a metric cannot take
    ├── FixationError     (ValueError)  human fixations or their pictures cannot be used
    ├── FixationModelError (ValueError) a fixation model that cannot be built, trained or scored
    ├── SaveError         (ValueError)  a folder that cannot be written or read back
    └── LawError          (AssertionError)  a method breaks a law of `keras_saliency.testing`

A message has four parts: what was expected, what it got, the nearest fix, where to read.
"""

from __future__ import annotations

import difflib
import lzma
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

__all__ = [
    "BackendError",
    "FixationError",
    "FixationModelError",
    "GradientError",
    "ImageError",
    "InputError",
    "KerasSaliencyError",
    "LawError",
    "LayerError",
    "MethodError",
    "MetricError",
    "ModelError",
    "ModelFileError",
    "PreprocessError",
    "PretrainedError",
    "SaveError",
    "TargetError",
]

# What json, zipfile, NumPy, HDF5 and Keras raise on a file that is missing, truncated or altered.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,  # a damaged header asks for terabytes
    OSError,
    OverflowError,
    RuntimeError,  # RecursionError of JSON nested too deep among them
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class KerasSaliencyError(Exception):
    """Base of every error raised on purpose by this package.

    Args:
        what: What was expected or went wrong, as a full sentence.
        got: What it got instead: shape, dtype, range, path.
        fix: The nearest change that works, as an imperative.
        read: Where to read more, such as ``help(keras_saliency.explain)``.
    """

    what: str
    got: str
    fix: str
    read: str

    # Raised inside a layer's call, Keras would wrap it in a report of its own, of another class.
    _keras_call_info_injected = True

    def __init__(self, what: str, got: str, fix: str, read: str) -> None:
        """Join the four parts into one message."""
        self.what, self.got, self.fix, self.read = what, got, fix, read
        super().__init__(f"{what} {got} {fix} See {read}.")

    def __reduce__(self) -> tuple[type[KerasSaliencyError], tuple[str, str, str, str]]:
        """Pickle by the four parts (the joined message is not the constructor's argument)."""
        return type(self), (self.what, self.got, self.fix, self.read)


class BackendError(KerasSaliencyError, ValueError):
    """Keras' choice of backend cannot be imported."""


class ModelError(KerasSaliencyError, TypeError):
    """Not a Keras 3 model, or one that cannot be called on pictures."""


class ModelFileError(KerasSaliencyError, ValueError):
    """A model or weights file that cannot be loaded."""


class PretrainedError(KerasSaliencyError, ValueError):
    """The embedded network's weights are absent or altered."""


class InputError(KerasSaliencyError, ValueError):
    """An input that is unreadable or does not fit the model."""


class ImageError(InputError):
    """A picture that cannot be read or does not fit the model."""


class PreprocessError(KerasSaliencyError, ValueError):
    """How pixels become model input is unknown."""


class LayerError(KerasSaliencyError, ValueError):
    """No such layer, or none that has a map."""


class TargetError(KerasSaliencyError, ValueError):
    """A score that the model's outputs do not have."""


class MethodError(KerasSaliencyError, ValueError):
    """No such method, or an option it cannot take."""


class GradientError(KerasSaliencyError, ValueError):
    """The score does not depend differentiably on the picture."""


class MetricError(KerasSaliencyError, ValueError):
    """Maps, pictures or options that a metric cannot take."""


class FixationError(KerasSaliencyError, ValueError):
    """Human fixations or the pictures they belong to cannot be used."""


class FixationModelError(KerasSaliencyError, ValueError):
    """A fixation model that cannot be built, trained or scored as requested."""


class SaveError(KerasSaliencyError, ValueError):
    """A folder that cannot be written or read back."""


class LawError(KerasSaliencyError, AssertionError):
    """A method breaks a law of `keras_saliency.testing`."""


_OF_KERAS = re.compile(
    r"\x1b\[\d*m|.*Exception encountered( when calling \S+|:)|Arguments received .*"
)


def words(error: Exception) -> str:
    """Return an error's message in one line, without the report that Keras wraps it in."""
    said = " ".join(str(error).split())
    return " ".join(_OF_KERAS.sub("", said).split())[:300].rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else ""
