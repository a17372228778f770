"""What can go wrong, as one tree.

::

    KerasSaliencyError
    ├── BackendError      (ValueError)  Keras' backend cannot be imported
    ├── ModelError        (TypeError)   not a Keras 3 model, or one that takes no pictures
    ├── ModelFileError    (ValueError)  a model or weights file that cannot be loaded
    ├── PretrainedError   (ValueError)  the embedded network's weights are absent or altered
    ├── ImageError        (ValueError)  a picture that cannot be read or does not fit the model
    ├── PreprocessError   (ValueError)  nobody said how pixels become model input
    ├── LayerError        (ValueError)  no such layer, or none that has a map
    ├── TargetError       (ValueError)  a score that the model's outputs cannot give
    ├── MethodError       (ValueError)  no such method, or an option it cannot take
    ├── GradientError     (ValueError)  the score does not depend differentiably on the picture
    ├── MetricError       (ValueError)  maps or pictures that a metric cannot take
    ├── FixationError     (ValueError)  human fixations or their pictures cannot be used
    ├── FixationModelError (ValueError) a fixation model that cannot be built, trained or scored so
    └── SaveError         (ValueError)  a folder that cannot be written or read back

Every message has four parts: what was asked, what was found, the nearest fix, where to read.
"""

from __future__ import annotations

import difflib
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

# What NumPy and Keras raise on an archive that is missing, truncated or altered.
UNREADABLE = (
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class KerasSaliencyError(Exception):
    """Base of every error raised on purpose by this package.

    Args:
        asked: What was asked for, as a full sentence.
        found: What was found instead: shape, dtype, range, path.
        fix: The nearest thing that would work.
        read: Where to read more, such as ``help(keras_saliency.explain)``.
    """

    # Raised inside a layer's call, Keras would wrap it in a report of its own, of another class.
    _keras_call_info_injected = True

    def __init__(self, asked: str, found: str, fix: str, read: str) -> None:
        """Join the four parts into one message."""
        self.asked, self.found, self.fix, self.read = asked, found, fix, read
        super().__init__(f"{asked} {found} {fix} See {read}.")

    def __reduce__(self):
        """Pickle by the four parts (the joined message is not the constructor's argument)."""
        return type(self), (self.asked, self.found, self.fix, self.read)


class BackendError(KerasSaliencyError, ValueError):
    """Keras' choice of backend cannot be imported."""


class ModelError(KerasSaliencyError, TypeError):
    """Not a Keras 3 model, or one that cannot be called on pictures."""


class ModelFileError(KerasSaliencyError, ValueError):
    """A model or weights file that cannot be loaded."""


class PretrainedError(KerasSaliencyError, ValueError):
    """The embedded network's weights are absent or altered."""


class ImageError(KerasSaliencyError, ValueError):
    """A picture that cannot be read or does not fit the model."""


class PreprocessError(KerasSaliencyError, ValueError):
    """Nobody said how pixels become model input."""


class LayerError(KerasSaliencyError, ValueError):
    """No such layer, or none that has a map."""


class TargetError(KerasSaliencyError, ValueError):
    """A score that the model's outputs cannot give."""


class MethodError(KerasSaliencyError, ValueError):
    """No such method, or an option it cannot take."""


class GradientError(KerasSaliencyError, ValueError):
    """The score does not depend differentiably on the picture."""


class MetricError(KerasSaliencyError, ValueError):
    """Maps, pictures or options that a metric cannot take."""


class FixationError(KerasSaliencyError, ValueError):
    """Human fixations or the pictures they belong to cannot be used."""


class FixationModelError(KerasSaliencyError, ValueError):
    """A fixation model that cannot be built, trained or scored as asked."""


class SaveError(KerasSaliencyError, ValueError):
    """A folder that cannot be written or read back."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else ""
