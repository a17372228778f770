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

FOLDER = Path(__file__).parent / "figures"
PAGE = Path(__file__).with_name("kinds.md")

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
    draw_kinds(cam)


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


def draw_kinds(cam: Any) -> None:
    """Run the page about kinds, keep its figures, and draw a photo, a signal and a text in one."""
    names: dict[str, Any] = {}
    *blocks, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)  # the last downloads
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for code in blocks:
            exec(compile(code, str(PAGE), "exec"), names)
        for path in (*Path(scratch).glob("*.png"), Path(scratch, "video.gif")):
            shutil.copy(path, FOLDER / "kinds" / path.name)
    windows = methods.Occlusion(window=12, stride=4, fill=0.0)
    of_signal = explain(names["of_signals"], names["signals"][7], windows, target=1)
    panels = [
        dataclasses.replace(panel, title=title)
        for panel, title in (
            (cam.panels()[0], "A photograph: espresso"),
            (of_signal.panels()[0], "A signal: it oscillates"),
            (names["shaded"], "A text: a bad review"),
        )
    ]
    plot.several(panels, Figure()).savefig(FOLDER / "kinds.png", dpi=110)


if __name__ == "__main__":
    matplotlib.use("Agg")
    (FOLDER / "kinds").mkdir(parents=True, exist_ok=True)
    main()
