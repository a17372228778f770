"""One row a method: the table that the contract runs over. A new method adds its row here."""

from __future__ import annotations

import numpy as np

from keras_saliency import methods
from keras_saliency._inputs import resampling, segments
from keras_saliency.testing import Case, attention


def _channel_max(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.abs(w).max(-1)


def _contribution(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (w * x).sum(-1)


def _of_squares(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    labels = segments.of("grid", x[0])
    sums = [np.bincount(labels.ravel(), one.ravel()) for one in _contribution(w, x)]
    return np.stack([segments.paint(labels, one) for one in sums])


_EITHER_SIDE = np.array([-0.5, 0.5])
_QUARTERS = np.stack(
    [np.kron(one, np.ones((6, 6))) > 0 for one in np.eye(4).reshape(4, 2, 2)]
)  # masks (4, 12, 12)


def _shares_of_squares(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    shares = w**2 / (w**2).sum((1, 2, 3), keepdims=True)
    return (shares * (w * x).sum((1, 2, 3), keepdims=True)).sum(-1)


def _quarter_means(maps: np.ndarray) -> np.ndarray:
    means = maps.reshape(-1, 2, 6, 2, 6).mean((2, 4))
    return means.repeat(6, axis=1).repeat(6, axis=2)


def _cam(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum((a * v).sum(-1), 0) / (a.shape[1] * a.shape[2])


def _positive_cam(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _cam(a, np.maximum(v, 0))


def _second_order(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    places = a.shape[1] * a.shape[2]
    alpha = 1 / (2 + a.sum((1, 2), keepdims=True) * v / places)
    return (places * alpha * np.maximum(v / places, 0) * a).sum(-1)


def _first_component(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    flat = a.reshape(len(a), -1, a.shape[-1])
    vectors = np.linalg.eigh(flat.swapaxes(1, 2) @ flat)[1][..., -1]
    return np.abs(flat @ vectors[..., None]).reshape(a.shape[:3])


def _seen_through_maps(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    masks = a / a.max((1, 2), keepdims=True)  # every map has a 0
    scores = np.einsum("bhwk,bhwj,j->bk", masks, a, v) / (a.shape[1] * a.shape[2])
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return np.einsum("bhwk,bk->bhw", a, weights)


def _share_of_the_score(a: np.ndarray, v: np.ndarray) -> np.ndarray:
    shares = v * a.mean((1, 2)) / (a.mean((1, 2)) @ v)[:, None]
    return np.maximum(np.einsum("bhwk,bk->bhw", a, shares), 0)


CASES = [
    Case(methods.Gradient(), on_linear=_channel_max),
    Case(methods.InputXGradient(), on_linear=_contribution),
    Case(methods.GuidedBackprop(), on_linear=_channel_max),  # no rectifier: the gradient
    Case(methods.DeconvNet(), on_linear=_channel_max),
    Case(methods.SmoothGrad(samples=5), on_linear=_channel_max),
    Case(methods.IntegratedGradients(steps=24, baseline=0.0), on_linear=_contribution),
    # Two references at equal distance from 0: for a linear score, as one at 0.
    Case(
        methods.ExpectedGradients(
            samples=24, references=_EITHER_SIDE.reshape(2, 1, 1, 1) * np.ones((1, 12, 12, 3))
        ),
        on_linear=_contribution,
    ),
    Case(
        methods.GuidedIntegratedGradients(steps=40, max_distance=0.1, baseline=0.0),
        on_linear=_contribution,
    ),
    Case(
        methods.BlurIntegratedGradients(max_sigma=4, steps=16),
        on_linear=lambda w, x: _contribution(w, x - resampling.blur(x, 4)),
        baseline=lambda x: resampling.blur(x, 4),
    ),
    Case(
        methods.Idgi(methods.IntegratedGradients(steps=6, baseline=0.0)),
        on_linear=_shares_of_squares,
    ),
    Case(
        methods.Xrai(
            methods.IntegratedGradients(steps=8, baseline=_EITHER_SIDE.tolist()),
            masks=_QUARTERS,
            min_area=1,
        ),
        on_linear=lambda w, x: _quarter_means(_contribution(w, x)),
    ),
    Case(methods.GradCam(), on_cam=_cam),
    Case(methods.GradCamPP(), on_cam=_second_order),
    Case(methods.HiResCam(), on_cam=_cam),
    Case(methods.LayerCam(), on_cam=_positive_cam),
    Case(methods.XGradCam(), on_cam=_cam),
    Case(methods.EigenCam(), on_cam=_first_component),
    Case(methods.ScoreCam(), on_cam=_seen_through_maps),
    Case(methods.AblationCam(), on_cam=_share_of_the_score),
    Case(methods.FinerCam(), only_classes=True),
    Case(methods.GuidedGradCam()),
    Case(methods.FullGrad(), on_linear=lambda w, x: np.abs(w * x).sum(-1)),  # no biases
    Case(methods.LRP("epsilon"), on_linear=_contribution),
    Case(methods.DeepLift(baseline=0.0), on_linear=_contribution),
    Case(methods.AttentionRollout(), networks=attention),
    Case(methods.TransformerAttribution(), networks=attention),
    # A window of one pixel: the drop is that pixel's contribution.
    Case(methods.Occlusion(window=1, stride=1, fill=0.0), on_linear=_contribution),
    Case(methods.RISE(masks=64, cells=3)),
    Case(methods.Lime("grid", samples=150, fill=0.0, ridge=0.0), on_linear=_of_squares),
    Case(methods.KernelShap("grid", samples=140, fill=0.0), on_linear=_of_squares),
    Case(methods.ShapleySampling("grid", samples=2, fill=0.0), on_linear=_of_squares),
]
