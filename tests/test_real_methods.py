"""Every method on a real network and a real photograph, or the reason why not."""

import numpy as np
import pytest

from keras_saliency import errors, explain, methods
from keras_saliency.pretrained import sample_photo

pytestmark = pytest.mark.long

_CHEAP = {
    "smooth_grad": {"samples": 4},
    "integrated_gradients": {"steps": 8},
    "expected_gradients": {"samples": 4},
    "guided_integrated_gradients": {"steps": 8},
    "blur_integrated_gradients": {"steps": 8, "max_sigma": 20},
    "idgi": {"base": methods.IntegratedGradients(steps=8)},
    "xrai": {"base": methods.IntegratedGradients(steps=8)},
    "rise": {"masks": 24},
    "lime": {"segments": "grid", "samples": 80},
    "kernel_shap": {"segments": 8},
    "shapley_sampling": {"segments": "grid", "samples": 1},
    "score_cam": {"channels": 8},
    "ablation_cam": {"channels": 8},
    "occlusion": {"window": 112},
}
_NO_ATTENTION = ("attention_rollout", "transformer_attribution")


def _method(name):
    options = dict(_CHEAP.get(name, {}))
    if name == "expected_gradients":
        options["references"] = np.zeros((1, 1, 1, 1), "float32") + np.zeros((1, 227, 227, 3))
    return methods.classes()[name](**options)


# With so few steps and masks, methods say that they are not sure of their maps.
@pytest.mark.filterwarnings("ignore:picture 0")
@pytest.mark.parametrize("name", methods.names())
def test_every_method_on_squeezenet(classifier, name):
    model, method = classifier("squeezenet_v1_1"), _method(name)
    if name in _NO_ATTENTION:
        with pytest.raises(errors.LayerError, match=r"no keras.layers.MultiHeadAttention"):
            explain(model, sample_photo(), method, preprocess="caffe")
        return
    e = explain(model, sample_photo(), method, preprocess="caffe")
    assert e.values.shape == (1, 227, 227)
    assert np.isfinite(e.values).all()
    assert e.values.std() > 0
    assert e.labels == ("espresso",)
    assert e.signed or e.values.min() >= 0
    assert e.maps()[0].shape == (400, 600)
