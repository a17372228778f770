"""Other fixation models on the same recordings, by the same metrics.

    pip install ai-edge-litert opencv-contrib-python-headless
    python -m benchmarks.studies.fixation_baselines --data fixations --datasets osie,mit1003 \\
        --attention-center attention_center.tflite

attention-center (Google, Apache-2.0) is a MobileNetV3 trained on SALICON; what is read is the map
inside it. As a density it is blurred by 0.01 of the long side, raised to the power 0.7, and
multiplied with the centre bias to the power 0.5, which is what suits it best. Spectral residual
(Hou & Zhang 2007, OpenCV's) is blurred by 0.02 and multiplied with the centre bias.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._inputs import resampling
from keras_saliency.fixation import data
from keras_saliency.fixation.metrics.baselines import CentreBias, centre_bias
from keras_saliency.fixation.scoring import evaluate


def attention_center(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a picture (h, w, 3) uint8 to the network's map (h, w)."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(str(path), experimental_preserve_all_tensors=True)
    network.allocate_tensors()
    inputs = network.get_input_details()
    image = next(one for one in inputs if one["dtype"] is np.float32)
    key = next(one for one in inputs if one is not image)
    output = next(one for one in network.get_tensor_details() if one["name"] == "Sigmoid")

    def saliency(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        scale = min(480 / height, 640 / width)
        rows, columns = round(height * scale), round(width * scale)
        top, left = (480 - rows) // 2, (640 - columns) // 2
        canvas = np.zeros((1, 480, 640, 3), np.float32)
        box = (0.0, 0.0, float(height), float(width))
        shown = resampling.resize_picture(picture, (rows, columns), box) / np.float32(255)
        canvas[0, top : top + rows, left : left + columns] = shown
        network.set_tensor(image["index"], canvas)
        network.set_tensor(key["index"], np.array(b""))
        network.invoke()
        result = network.get_tensor(output["index"])[0]
        inside = result[top : top + rows, left : left + columns]
        return resampling.resize(inside[None], (height, width))[0]

    return saliency


def spectral_residual(picture: np.ndarray) -> np.ndarray:
    """Return OpenCV's spectral residual saliency of a picture, (h, w)."""
    import cv2

    succeeded, saliency = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(
        picture
    )
    if not succeeded:
        raise RuntimeError("OpenCV computed no saliency.")
    return saliency


def density(
    saliency: Callable[[np.ndarray], np.ndarray],
    biases: dict[str, CentreBias],
    blur: float,
    power: float,
    prior: float,
) -> Callable[[Any], np.ndarray]:
    """Return a predictor for `evaluate`: a recording's log density."""

    def predict(recording: Any) -> np.ndarray:
        result = saliency(recording.pixels()).astype(np.float64)
        result = resampling.blur(result[None, ..., None], blur * max(recording.size))[0, ..., 0]
        bias = biases[recording.dataset].log_density(recording.size)
        log_density = power * np.log(np.maximum(result, 1e-6)) + prior * bias
        log_density -= log_density.max()
        return log_density - np.log(np.exp(log_density).sum())

    return predict


def main(argv: list[str] | None = None) -> int:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.fixation_baselines", description=__doc__
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", required=True, help="a folder that data.read_table reads")
    parser.add_argument("--datasets", default="osie,mit1003")
    parser.add_argument("--attention-center", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    names = args.datasets.split(",")
    scored, fitted = (
        [one for one in data.read_table(args.data, split=split) if one.dataset in names]
        for split in ("val", "train")
    )
    biases = {name: centre_bias([one for one in fitted if one.dataset == name]) for name in names}
    others: dict[str, tuple[Any, float, float, float]] = {
        "spectral residual x centre bias": (spectral_residual, 0.02, 1.0, 1.0)
    }
    if args.attention_center:
        network = attention_center(args.attention_center)
        others["attention-center x centre bias"] = (network, 0.01, 0.7, 0.5)
    for name, (saliency, *options) in others.items():
        result = evaluate(
            scored, fitted, density(saliency, biases, *options), name=name, humans=False
        )
        print(result.table(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
