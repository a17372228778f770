"""Through how many files of the package does a warm call go?

    KERAS_BACKEND=jax python -m benchmarks.studies.path_of_a_call grad_cam

Prints each file with the number of calls that enter it, in the order in which it is first entered.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np


def entered(method: str, warm: int = 12) -> tuple[list[str], int, int]:
    """Return the files of a warm call, its functions and its moves between files."""
    import keras
    from keras import layers

    import keras_saliency

    root = Path(keras_saliency.__file__).parent
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    picture = np.random.default_rng(0).normal(size=(32, 32, 3)).astype("float32")
    for _ in range(warm):  # PyTorch plays a run back from the ninth on
        keras_saliency.explain(model, picture, method)
    files: dict[str, None] = {}
    functions: Counter[Any] = Counter()
    moves, last = 0, ""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal moves, last
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(str(root)):
            return
        name = str(Path(path).relative_to(root))
        files.setdefault(name)
        functions[frame.f_code] += 1
        moves += name != last
        last = name

    sys.setprofile(watch)
    try:
        keras_saliency.explain(model, picture, method)
    finally:
        sys.setprofile(None)
    return list(files), len(functions), moves


def main(argv: list[str] | None = None) -> int:
    """Print the path of a call."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.path_of_a_call", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("method", nargs="?", default="grad_cam", help="as explain() has it")
    method = parser.parse_args(argv).method
    files, functions, moves = entered(method)
    print(*files, sep="\n")
    print(f"{method}: {len(files)} files, {functions} functions, {moves} moves between files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
