"""Draw the figures of README and docs: ``python docs/make_figures.py``."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from keras_saliency import explain, methods, plot, predict_fixations
from keras_saliency.pretrained import efficientnet_lite0, sample_photo

FOLDER = Path(__file__).parent / "figures"

METHODS = (
    methods.Gradient(),
    methods.SmoothGrad(),
    methods.IntegratedGradients(),
    methods.GradCam(),
    methods.Occlusion(window=48, stride=12),
)


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


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main()
