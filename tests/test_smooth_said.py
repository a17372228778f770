"""What SmoothGrad says beside its map: its base's checks, findings and facts, by picture."""

import models
import numpy as np
import pytest

from keras_saliency import explain, methods
from keras_saliency.errors import MethodError
from keras_saliency.methods.base import Attribution, Method

pytestmark = pytest.mark.filterwarnings("ignore:picture")


class Says(Method):
    """Checks, findings and facts that tell which pictures it got."""

    family, reference = "gradient", "none"

    def attribute(self, engine, seed):
        mean = engine.images.mean(axis=(1, 2, 3))
        return Attribution(
            engine.images,
            {"mean": mean},
            {"place": engine.source_indices, "fixed": 7},
            [("bright",) if one > 0 else () for one in mean],
        )


@pytest.mark.parametrize("batch_size", [2, 3, 16])
def test_what_the_base_says_is_recorded_by_picture(batch_size):
    x = models.pictures(3) * 0.1 + np.array([1, -1, 0]).reshape(3, 1, 1, 1).astype("float32")
    method = methods.SmoothGrad(Says(), samples=5, noise=0.01)
    e = explain(models.flat(), x, method, target=0, batch_size=batch_size)
    np.testing.assert_allclose([one["mean"] for one in e.checks], x.mean(axis=(1, 2, 3)), atol=0.01)
    assert "bright" in e.checks[0]["findings"]
    assert not e.checks[1]["findings"]
    assert e.info["place"] == [0, 1, 2]
    assert e.info["fixed"] == 7


def test_findings_of_some_copies_are_counted():
    x = models.pictures(1)
    x -= x.mean()
    e = explain(models.flat(), x, methods.SmoothGrad(Says(), samples=20, noise=1.0), target=0)
    (said,) = e.checks[0]["findings"]
    count = int(said.split()[0])
    assert 0 < count < 20
    assert said == f"{count} of 20 copies: bright"


def test_references_are_the_pictures_that_were_given():
    x, base = models.pictures(3), methods.ExpectedGradients(samples=4)
    smooth = methods.SmoothGrad(base, samples=3)
    maps = [
        explain(models.flat(), x, smooth, target=0, batch_size=size).attributions for size in (2, 8)
    ]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4, atol=1e-6)
    others = methods.SmoothGrad(methods.ExpectedGradients(4, references=x[1:]), samples=3)
    alone = explain(models.flat(), x[:1], others, target=0).attributions
    np.testing.assert_allclose(maps[0][:1], alone, rtol=1e-4, atol=1e-6)
    with pytest.raises(MethodError, match="a batch of one"):
        explain(models.flat(), x[:1], smooth, target=0)


def test_references_are_not_copied_for_every_picture():
    class Engine:
        images = reference_images = np.zeros((300, 8, 8, 1), "float32")
        source_indices = range(300)

    result = methods.ExpectedGradients()._references(Engine())
    assert result.pictures is Engine.images
    assert result.count == 299
