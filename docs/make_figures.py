"""Draw the figures of README and docs: ``python docs/make_figures.py``."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from keras_saliency import explain, methods, plot, predict_fixations, targets
from keras_saliency.pretrained import efficientnet_lite0, sample_photo

DOCS = Path(__file__).parent
FOLDER = DOCS / "figures"

METHODS = (
    methods.Gradient(),
    methods.SmoothGrad(),
    methods.IntegratedGradients(),
    methods.GradCam(),
    methods.Occlusion(window=48, stride=12),
)
LAYERS = ("block3b_add", "block4c_add", "block5c_add", "block6d_add", "head_relu")


def main() -> None:
    """Explain the photograph by every method, predict where people look, and save the figures."""
    model = efficientnet_lite0()
    explanations = [explain(model, sample_photo(), method) for method in METHODS]
    plot.grid(explanations, Figure(), size=1.5).savefig(FOLDER / "methods.png", dpi=110)
    cam = explain(model, sample_photo(), "grad_cam")
    cam.plot("pair", figure=Figure()).savefig(FOLDER / "pair.png", dpi=90)
    cam.plot("overlay", figure=Figure()).savefig(FOLDER / "overlay.png", dpi=90)
    predict_fixations(sample_photo()).plot(figure=Figure()).savefig(
        FOLDER / "fixations.png", dpi=110
    )
    draw_howto(
        explain(model, sample_photo(), "grad_cam", target=targets.Top(3)),
        explain(model, sample_photo(), [methods.GradCam(layer=name) for name in LAYERS]),
        cam,
        explain(model, sample_photo(), "integrated_gradients"),
    )
    run_page("gallery")
    draw_kinds(cam, run_page("kinds"))


def draw_howto(classes: Any, layers: Any, cam: Any, signed: Any) -> None:
    """Draw the figures of the page on figures."""
    for name, figure in (
        ("classes", classes.plot("overlay", photo="color")),
        ("layers", layers.plot()),
        ("contours", cam.plot("contours")),
        ("guided", cam.plot("overlay", upsampling="guided")),
        ("signed", signed.plot("overlay", smooth=True)),
    ):
        figure.savefig(FOLDER / "howto" / f"{name}.png", dpi=90)


def run_page(name: str) -> dict[str, Any]:
    """Run a page's code, copy the figures that it writes to a folder, and return its names."""
    names: dict[str, Any] = {}
    page = DOCS / f"{name}.md"
    code = re.findall(r"(?<!-->\n)```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    (FOLDER / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for block in code:
            exec(compile(block, str(page), "exec"), names)
        for path in (*Path(scratch).glob("*.png"), *Path(scratch).glob("video.gif")):
            shutil.copy(path, FOLDER / name / path.name)
    return names


def draw_kinds(cam: Any, names: dict[str, Any]) -> None:
    """Draw a photo, a signal and a text in one figure."""
    panels = [
        dataclasses.replace(panel, title=title)
        for panel, title in (
            (cam.panels()[0], "A photograph: espresso"),
            (names["in_signal"].panels()[0], "A signal: it oscillates"),
            (names["shaded"], "A text: a bad review"),
        )
    ]
    plot.several(panels, Figure()).savefig(FOLDER / "kinds.png", dpi=110)


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
