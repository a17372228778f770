"""The code of README and docs: read from a page, and run in its order."""

from __future__ import annotations

import contextlib
import glob
import io
import re
import shlex
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A block within a list is indented. What a block prints is the plain block right behind it.
_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<why>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent> *)```(?P<language>python|bash)\n(?P<code>.*?)^(?P=indent)```\n"
    r"(?:\s*^(?P=indent)```\n(?P<printed>.*?)^(?P=indent)```$)?",
    re.M | re.S,
)
# Lines for a shell that install or start something else than this package's command.
_ELSEWHERE = re.compile(
    r"([A-Z_]+=\S+ )?python -m (venv|tests|pytest|benchmarks)"
    r"|pip install|export |mkdocs |ruff |mypy$|lint-imports$|\. \.venv/"
)

# Words of commands that cannot run here, and why.
_NEEDS = {
    "MobileNetV2": "downloads weights",
    "segmentation.keras": "a model of the reader's own",
    "heartbeat.wav volume.npy": "one line for two models",
}


@dataclass(frozen=True)
class Block:
    """A block of code."""

    language: str
    code: str
    printed: str
    why: str
    """Why it is not run; empty where it is."""


def blocks(text: str) -> list[Block]:
    """Return the blocks of Python and for a shell in a page."""
    return [
        Block(
            found["language"],
            textwrap.dedent(found["code"]),
            textwrap.dedent(found["printed"] or ""),
            found["why"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def run(page: str) -> None:
    """Run a page's blocks in the working folder, and compare what Python prints.

    Args:
        page: Its path in the repository.

    Raises:
        AssertionError: A block prints something else, or a command fails.
    """
    names: dict = {}
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in blocks(text):
        if block.why:
            continue
        if block.language == "bash":
            for line in commands(block.code):
                _command(line)
            continue
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block.code, page, "exec"), names)
        assert said.getvalue() == block.printed, block.code


def commands(code: str) -> list[list[str]]:
    """Return the words of each call of keras-saliency in a block for a shell.

    Raises:
        AssertionError: A line is neither that nor known to be something else.
    """
    found = []
    for line in re.split(r"\n|&&", code.replace("\\\n", "")):
        line = re.sub(r" >>? \S+", "", line)
        if any(words in line for words in _NEEDS):
            continue
        words = shlex.split(line, comments=True)
        if words and words[0] == "keras-saliency":
            found.append(words[1:])
        else:
            assert not words or _ELSEWHERE.match(line.strip()), f"is this to be run? {line}"
    return found


def _command(words: list[str]) -> None:
    from keras_saliency.cli import main

    filled = [path for one in words for path in (sorted(glob.glob(one)) or [one])]
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        status = main(filled)
    assert status == 0, f"keras-saliency {shlex.join(words)}: {errors.getvalue()}"


def lay_out(folder: Path) -> None:
    """Put into a folder what examples name: photographs, and a small model."""
    import keras

    from keras_saliency.pretrained import sample_photo

    for name in (
        "dog.jpg", "cat.jpg", "street.jpg", "poster.png", "photos/a.jpg", "photos/b.jpg",
        "more/a.png",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith(".png"):
            from PIL import Image

            Image.open(sample_photo()).save(folder / name)
        else:
            shutil.copy(sample_photo(), folder / name)
    model = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            keras.layers.Conv2D(4, 5, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.save(folder / "my_model.keras")
