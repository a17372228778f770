"""Fixation models: how fast they are, and how well other models score on the same recordings.

    python -m benchmarks.studies.fixations speed --backends jax tensorflow torch --json speed.jsonl

    pip install ai-edge-litert opencv-contrib-python-headless
    python -m benchmarks.studies.fixations baselines --data fixations --datasets osie,mit1003 \\
        --attention-center attention_center.tflite

speed      At 512x512: predicting with the embedded model, building and training ResNet-50. Each row
           is a process of its own, so that its peak of memory is its own.
baselines  attention-center (Google, Apache-2.0) is a MobileNetV3 trained on SALICON; what is read
           is the map inside it. As a density it is blurred by 0.01 of the long side, raised to the
           power 0.7, and multiplied with the centre bias to the power 0.5, which is what suits it
           best. Spectral residual (Hou & Zhang 2007, OpenCV's) is blurred by 0.02 and multiplied
           with the centre bias.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import BACKENDS, choose, make_parser, measuring
from benchmarks.measuring import JsonLines, Table, milliseconds
from benchmarks.workers import JobFailed, Worker

if TYPE_CHECKING:
    from keras_saliency.fixation.metrics.baselines import CentreBias

# -------------------------------------------------------------------------------------------- speed

SIDE = 512
_COLUMNS = (
    ("backend", -10), ("task", -28), ("first s", 8), ("warm ms", 8), ("quartiles ms", 14),
    ("peak MB", 8),
)  # fmt: skip
_TASKS = {
    "predict": "embedded, predict_fixations",
    "predict_mirror": "embedded, with mirror=True",
    "resnet50_predict": "ResNet-50, predict",
    "resnet50_train": "ResNet-50, one training step",
}


def predict(rounds: int, mirror: bool = False) -> dict[str, Any]:
    """Time predict_fixations() on a picture of 512x512, loading included in the first call."""
    from keras_saliency import predict_fixations

    picture = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    return _timed(lambda: predict_fixations(picture, mirror=mirror).maps(), rounds)


def predict_mirror(rounds: int) -> dict[str, Any]:
    """Likewise, averaged over the mirror image."""
    return predict(rounds, mirror=True)


def resnet50_predict(rounds: int) -> dict[str, Any]:
    """Time the forward pass of the ResNet-50 encoder-decoder, building included in the first."""
    model = None

    def call() -> Any:
        nonlocal model
        model = model or _resnet50()
        return model.predict_on_batch(_picture())

    return _timed(call, rounds)


def resnet50_train(rounds: int) -> dict[str, Any]:
    """Time a step of training all of it on one picture, building included in the first."""
    from keras_saliency.fixation import FixationLoss

    truth = np.zeros((1, SIDE, SIDE, 2), np.float32)
    truth[:, 200:300, 200:300] = 1e-4
    model = None

    def call() -> Any:
        nonlocal model
        if model is None:
            model = _resnet50()
            model.compile("adam", FixationLoss())
        return model.train_on_batch(_picture(), truth)

    return _timed(call, rounds)


def _resnet50() -> Any:
    from keras_saliency.fixation import FixationModel

    return FixationModel("resnet50", weights=None)


def _picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)


def _timed(call: Any, rounds: int) -> dict[str, Any]:
    started = time.perf_counter()
    call()
    first = time.perf_counter() - started
    seconds = measuring.interleaved({"call": call}, rounds)["call"]
    return {
        "first_seconds": first,
        "rounds": seconds,
        "peak_mb": measuring.peak_mb(),
        "machine": measuring.describe_machine(),
    }


def speed(argv: list[str]) -> int:
    """Run all tasks; return 1 where one failed."""
    parser = make_parser(".studies.fixations speed", __doc__)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--tasks", nargs="+", choices=_TASKS, default=list(_TASKS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    table, lines = Table(_COLUMNS), JsonLines(args.json)
    for backend in args.backends:
        for task in args.tasks:
            try:
                with Worker(backend) as worker:
                    result = worker.do(f"benchmarks.studies.fixations:{task}", rounds=args.rounds)
            except JobFailed as error:
                print(f"{backend}, {task}: {error}", file=sys.stderr)
                return 1
            seconds = measuring.quartiles(result["rounds"])
            lines.write({"benchmark": "fixations", "backend": backend, "task": task,
                         "seconds": seconds, **result})  # fmt: skip
            table.line(
                backend,
                _TASKS[task],
                f"{result['first_seconds']:.1f}",
                milliseconds(seconds["median"]),
                f"{milliseconds(seconds['q1'])}-{milliseconds(seconds['q3'])}",
                f"{result['peak_mb']:.0f}",
            )
    return 0


# --------------------------------------------------------------------------------------- baselines


def attention_center(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a picture (h, w, 3) uint8 to the network's map (h, w)."""
    from ai_edge_litert.interpreter import Interpreter

    from keras_saliency._inputs import resampling

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
    from keras_saliency._inputs import resampling

    def predict(recording: Any) -> np.ndarray:
        result = saliency(recording.pixels()).astype(np.float64)
        result = resampling.blur(result[None, ..., None], blur * max(recording.size))[0, ..., 0]
        bias = biases[recording.dataset].log_density(recording.size)
        log_density = power * np.log(np.maximum(result, 1e-6)) + prior * bias
        log_density -= log_density.max()
        return log_density - np.log(np.exp(log_density).sum())

    return predict


def baselines(argv: list[str]) -> int:
    """Print a table for each model."""
    from keras_saliency.fixation import data
    from keras_saliency.fixation.metrics.baselines import centre_bias
    from keras_saliency.fixation.scoring import evaluate

    parser = make_parser(".studies.fixations baselines", __doc__)
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


def main(argv: list[str]) -> int:
    """Run what the first word names."""
    return choose(".studies.fixations", __doc__, {"speed": speed, "baselines": baselines}, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
