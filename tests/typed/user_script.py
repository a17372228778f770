"""What a user writes; mypy --strict and pyright find nothing in it, and know every type."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, assert_type

import keras  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

import keras_saliency
from keras_saliency import (
    Archive,
    Box,
    Comparison,
    Explainer,
    Explanation,
    FixationPrediction,
    FixationPredictor,
    JointExplanation,
    Preprocess,
    compare,
    explain,
    fixation,
    layer_tree,
    methods,
    predict_fixations,
    pretrained,
    targets,
)
from keras_saliency.errors import KerasSaliencyError
from keras_saliency.methods import Attribution, Engine, GradCam, Method
from keras_saliency.metrics.sanity import randomized

Maps = npt.NDArray[np.float32]


class Own(keras.Model):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x


def explained(model: keras.Model, photo: npt.NDArray[np.uint8]) -> Explanation:
    assert_type(explain(model, "dog.jpg"), Explanation)
    assert_type(keras_saliency.explain(model, [Path("a.png"), "b.png"], "grad_cam"), Explanation)
    assert_type(explain(model, [photo, photo], target=[1, 2], preprocess="caffe"), Explanation)
    assert_type(explain(model, {"image": photo, "age": [3.0]}, target=np.int64(3)), Explanation)
    explain(model, photo, GradCam, preprocess=lambda x: x / 255, batch_size="auto")
    explain(model, photo, preprocess=Preprocess(None, fit="crop"), target=lambda y: y[:, 0])
    explain(pretrained.efficientnet_lite0(), pretrained.sample_photo(), preprocess=None)
    method = methods.IntegratedGradients(steps=20, baseline="blur", tolerance=0.01)
    assert_type(method, methods.IntegratedGradients)
    target = targets.Margin(3, other=4, score="probability")
    return explain(model, photo, method, target=target, seed=1)


def every_kind_of_model() -> list[Explanation]:
    graph = keras.Model(keras.Input((8, 8, 3)), keras.Input((8, 8, 3)))
    line = keras.Sequential([keras.layers.Dense(3)])
    known = keras.applications.MobileNetV2()
    preprocess = keras.applications.mobilenet_v2.preprocess_input
    photo = Image.open("dog.jpg")
    maps = [explain(one, [photo, "b.jpg"], preprocess=preprocess) for one in (graph, line, known)]
    predict_fixations(photo, fixation.load_model())
    return [*maps, explain(Own(), photo, target=range(2))]


def shown(e: Explanation, folder: Path) -> Figure:
    assert_type(e.values, Maps)
    assert_type(e.maps(), list[Maps])
    assert_type(e.scores, npt.NDArray[np.float64])
    assert_type(e.labels, tuple[str, ...])
    assert_type(e.signed, bool)
    assert_type(e[0], Explanation)
    assert_type(iter(e), Iterator[Explanation])
    assert_type(e.save(folder), Path)
    assert_type(Explanation.load(folder), Explanation)
    if e.attributions is not None:
        assert_type(e.attributions, Maps)
    assert_type(e.plot(), Figure)
    assert_type(e.plot(colorbar=False), Figure)
    assert_type(keras_saliency.plot.grid([e, e]), Figure)
    return e.plot("overlay", alpha=0.5, percentile=98)


def predicted(photo: npt.NDArray[np.uint8]) -> float:
    p = predict_fixations([photo, "b.jpg"], "default", batch_size=2, mirror=True)
    assert_type(p, FixationPrediction)
    assert_type(p.maps(), list[Maps])
    assert_type(p.expected_fixations(10), list[Maps])
    assert_type(p.expected_fixations(10, (0, 0, 9, 9)), npt.NDArray[np.float64])
    assert_type(p.expected_fixations(10, np.eye(9) > 0), npt.NDArray[np.float64])
    assert_type(p.plot(shares=(0.5,)), Figure)
    stream = FixationPredictor(mirror=False).stream(Path("photos").iterdir())
    assert_type(stream, Iterator[FixationPrediction])
    return float(p.area(0.5)[0])


def compared(model: keras.Model, photo: npt.NDArray[np.uint8]) -> list[str]:
    result = compare(model, photo, ["gradient", GradCam(relu=False)], ["deletion"], warm=True)
    assert_type(result, Comparison)
    assert_type(result.plot("scores"), Figure)
    assert_type(result.values, npt.NDArray[np.float64])
    assert_type(result.explanations["gradient"], Explanation)
    assert_type(layer_tree(model), str)
    compare(model, photo, boxes=[(1, 2, 30, 40)], masks=None, baseline=0.5, names=["a dog"])
    explain(model, photo, target=targets.Region(box=Box(top=0, left=0, bottom=4, right=4)))
    explain(model, photo, target=targets.Region(mask=np.eye(7), reduce="sum"))
    explain(model, photo, target=targets.Contrast(3, others=[4, 5]))
    with randomized(model) as layers:
        assert_type(next(layers), str)
    return result.heads()


def streamed(model: keras.Model, folder: Path) -> Archive:
    explainer = Explainer(model, "smooth_grad", target=targets.TopClass(), seed=3)
    assert_type(explainer("dog.jpg"), Explanation)
    assert_type(explainer.stream(["a.jpg", "b.jpg"], targets=[1, None]), Iterator[Explanation])
    one: Explainer = Explainer(model, inputs="age", kind="table", batch_size="auto")
    assert_type(one("dog.jpg"), Explanation)
    together = Explainer(model, inputs=["age", "image"])
    assert_type(together.stream([{"age": [3.0], "image": "a.jpg"}]), Iterator[JointExplanation])
    assert_type(explain(model, {"age": [3.0], "image": "a.jpg"}, inputs="all"), JointExplanation)
    return explainer.write(folder.glob("*.jpg"), folder / "maps", part_size=8)


class Ramp(Method):
    """A method of one's own."""

    family = "gradient"
    reference = "none"

    def attribute(self, engine: Engine, seed: int) -> Attribution:
        return Attribution(engine.gradient())


def main(model: keras.Model, describe: Callable[[Any], str]) -> None:
    try:
        explain(model, "dog.jpg", Ramp())
    except KerasSaliencyError as error:
        assert_type(error, KerasSaliencyError)
        assert_type(error.fix, str)
        print(describe(error))
