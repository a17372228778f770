"""Which methods locate the object: pointing game and energy in its boxes, on real photos.

    python -m benchmarks.studies.quality --shared ../shared --json benchmarks/results/quality.jsonl

Every (photo, labelled class) is one case: the method explains that class, and its map in the
photo's own frame is compared with the class's boxes. A hit is a peak inside a box or at most 15
pixels beside it; of a fine-grained map the peak is that of the map blurred by 2 % of the photo's
longer side, since single pixels are noise. ``centre`` is a Gaussian in the middle of the photo, the
least a method should beat; ``area`` of the boxes is what a uniform map has inside.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import make_parser
from benchmarks.measuring import JsonLines, Table, describe_machine
from keras_saliency import Box, explain, methods
from keras_saliency._inputs import resampling
from keras_saliency.methods import Method
from keras_saliency.metrics import localization

NETWORKS = ("efficientnet_lite0", "mobilenet_v2", "squeezenet_v1_1")

# Cheaper than the defaults, which take hours over all photos: reported in every row.
_CHEAPER: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 25},
    "integrated_gradients": {"steps": 32},
    "expected_gradients": {"samples": 64},
    "guided_integrated_gradients": {"steps": 64},
    "blur_integrated_gradients": {"steps": 48},
    "rise": {"masks": 800},
    "lime": {"samples": 300},
    "kernel_shap": {"samples": 300},
    "shapley_sampling": {"samples": 6},
    "score_cam": {"channels": 128},
    "ablation_cam": {"channels": 256},
}
_COLUMNS = (
    ("network", -20), ("method", -28), ("hits", 7), ("energy", 7), ("findings", 8), ("seconds", 8),
)  # fmt: skip


def network(name: str, weights: Path) -> tuple[Any, str]:
    """Return a trained network, and the preprocessing it wants."""
    import keras

    if name == "mobilenet_v2":
        file = weights / "mobilenet_v2_1.0_224.weights.h5"
        return keras.applications.MobileNetV2(weights=file), "auto"
    model = keras.models.load_model(weights / f"{name}.keras", compile=False)
    return model, "caffe" if name.startswith("squeezenet") else "auto"


def cases(images: Path) -> list[dict[str, Any]]:
    """Return every photo and class of which it has boxes."""
    examples = []
    for photo in json.loads((images / "images.json").read_text(encoding="utf-8")):
        for index in sorted({box["class_index"] for box in photo["boxes"]} - {None}):
            corners = [one["xyxy"] for one in photo["boxes"] if one["class_index"] == index]
            boxes = [Box(y0, x0, y1, x1) for x0, y0, x1, y1 in corners]
            examples.append({"path": images / photo["file"], "class": index, "boxes": boxes})
    return examples


def chosen(name: str, references: np.ndarray) -> Method:
    """Return a method with the options used here."""
    kind = methods.classes()[name]
    options = dict(_CHEAPER.get(name, {}))
    if name == "expected_gradients":
        options["references"] = references
    if name in ("idgi", "xrai"):
        baseline: Any = ["black", "white"] if name == "xrai" else "black"
        options["base"] = methods.IntegratedGradients(steps=32, baseline=baseline)
    return kind(**options)


def score(maps: list[np.ndarray], examples: list[dict[str, Any]], fine: bool) -> dict[str, float]:
    """Return hits and mean energy of the positive part of maps (H0, W0) in the photos' frames."""
    hits, energy = [], []
    for grid, case in zip(maps, examples, strict=True):
        inside = localization.box_masks([case["boxes"]], grid.shape)
        smooth = grid[None]
        if fine:
            sigma = 0.02 * max(grid.shape)
            smooth = resampling.blur(np.maximum(grid, 0)[None, ..., None], sigma)[..., 0]
        hits += localization.pointing_game(smooth, inside).tolist()
        energy += localization.energy_inside(grid[None], inside).tolist()
    return {"hits": float(np.sum(hits)), "energy": float(np.mean(energy))}


def least(examples: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return what a Gaussian in the centre scores, and the boxes' share of the area."""
    from PIL import Image

    maps = []
    for case in examples:
        width, height = Image.open(case["path"]).size
        y, x = np.mgrid[:height, :width]
        away = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2
        maps.append(np.exp(-away / (2 * 0.2**2)))
    flat = [np.ones_like(one) for one in maps]
    return {"centre": score(maps, examples, False), "area": score(flat, examples, False)}


def main(argv: list[str] | None = None) -> int:
    """Run all methods on all networks."""
    parser = make_parser(".studies.quality", __doc__)
    parser.add_argument("--shared", type=Path, required=True, help="holds images/ and weights/")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--methods", nargs="+", default=methods.names())
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON lines here")
    args = parser.parse_args(argv)

    examples = cases(args.shared / "images")
    table, lines = Table(_COLUMNS), JsonLines(args.json)
    where = describe_machine()
    for name, scored in least(examples).items():
        _report(table, lines, {"network": "", "method": name, "cases": len(examples), **scored})
    for name in args.networks:
        model, preprocess = network(name, args.shared / "weights")
        for method_name in args.methods:
            row = {"network": name, "method": method_name, "cases": len(examples), "machine": where}
            _report(table, lines, {**row, **_scored(model, preprocess, method_name, examples)})
    return 0


def _references(model: Any, preprocess: str, examples: list[dict[str, Any]]) -> np.ndarray:
    """Return the first four photos, as the network takes them."""
    from keras_saliency._graph.adapter import Adapter
    from keras_saliency._inputs.batch import prepare

    return prepare(Adapter(model), [one["path"] for one in examples[:4]], preprocess).images


def _scored(
    model: Any, preprocess: str, name: str, examples: list[dict[str, Any]]
) -> dict[str, Any]:
    from keras_saliency.errors import KerasSaliencyError

    started = time.perf_counter()
    method = chosen(name, _references(model, preprocess, examples))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            e = explain(
                model,
                [one["path"] for one in examples],
                method,
                target=[one["class"] for one in examples],
                preprocess=preprocess,
            )
    except KerasSaliencyError as error:
        return {"refused": str(error), "seconds": time.perf_counter() - started}
    return {
        **score(e.maps(), examples, fine=e.attributions is not None),
        "findings": sum(bool(check["findings"]) for check in e.checks),
        "options": {k: v for k, v in e.info["parameters"].items() if k != "references"},
        "seconds": time.perf_counter() - started,
    }


def _report(table: Table, lines: JsonLines, row: dict[str, Any]) -> None:
    lines.write(json.loads(json.dumps({"benchmark": "quality", **row}, default=repr)))
    if "refused" in row:
        table.line(row["network"], row["method"], "refused", "", "", f"{row['seconds']:.0f}")
        print(f"    {row['refused']}", file=sys.stderr)
        return
    table.line(
        row["network"],
        row["method"],
        f"{row['hits']:.0f}/{row['cases']}",
        f"{row['energy']:.3f}",
        row.get("findings", ""),
        f"{row['seconds']:.0f}" if "seconds" in row else "",
    )


if __name__ == "__main__":
    sys.exit(main())
