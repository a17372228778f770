"""What was left out of a data set: counted, named, and said once."""

from __future__ import annotations

import warnings

from keras_saliency.errors import FixationError

_NAMED = 10  # a longer list is no longer read; the counts are of all


class Skipped:
    """Collects what is wrong with single pictures and fixations, for one warning at the end.

    Args:
        source: What was read, such as ``"the table '/data/lab'"``.

    Example:
        >>> skipped = Skipped("the table 'lab'")
        >>> skipped.picture("7.jpg", "no such file")
        >>> skipped.fixations("8.jpg", 2)
        >>> skipped.kept = 99
        >>> print(skipped.message())
        In the table 'lab', 1 of 100 pictures was left out: 7.jpg (no such file). 2 fixations were \
left out, outside their picture: 8.jpg (2).
    """

    def __init__(self, source: str) -> None:
        """Begin with nothing left out."""
        self.kept = 0  # pictures that are used, counted by whoever reads them
        self._source = source
        self._pictures: list[str] = []
        self._fixations: list[str] = []
        self._count = 0

    def picture(self, name: str, why: str) -> None:
        """Count a picture that cannot be used."""
        self._pictures.append(f"{name} ({why})")

    def fixations(self, name: str, count: int) -> None:
        """Count fixations of one picture that lie outside it or are not numbers."""
        if count:
            self._fixations.append(f"{name} ({count})")
            self._count += count

    def message(self) -> str:
        """Return the warning, or an empty string where nothing was left out."""
        parts = []
        if self._pictures:
            count = len(self._pictures)
            verb = "was" if count == 1 else "were"
            parts.append(
                f"{count} of {count + self.kept} pictures {verb} left out: "
                f"{_listed(self._pictures)}."
            )
        if self._count:
            some = "1 fixation was" if self._count == 1 else f"{self._count} fixations were"
            parts.append(f"{some} left out, outside their picture: {_listed(self._fixations)}.")
        return f"In {self._source}, {' '.join(parts)}" if parts else ""

    def report(self, stacklevel: int = 3) -> None:
        """Warn once of all that was left out.

        Raises:
            FixationError: Nothing is left.
        """
        message = self.message()
        if self._pictures and not self.kept:
            raise FixationError(
                f"Recordings were asked for from {self._source}.",
                f"No picture is left: {message}",
                "Mend the reasons named.",
                "help(keras_saliency.data)",
            )
        if message:
            warnings.warn(message, UserWarning, stacklevel=stacklevel)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
