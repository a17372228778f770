"""The photograph that examples and tests look at."""

from __future__ import annotations

from pathlib import Path


def sample_photo() -> Path:
    """Return the path of the packaged photograph: an espresso on a wooden table.

    Returns:
        Path of a JPEG file, RGB, 600 pixels wide and 400 high. An ImageNet classifier should call
        it ``espresso`` (class 967).

    Source:
        Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0; ``coffee.png`` of scikit-image
        (``data/LICENSES.md``).

    Example:
        >>> sample_photo().name
        'espresso.jpg'
    """
    return Path(__file__).parent / "data" / "espresso.jpg"
