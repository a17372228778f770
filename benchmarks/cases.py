"""The cases of a run, and when two answers to one are the same.

A case is a network, a method and a number of pictures. Before any contender is timed, its answer is
compared with a reference's (a hand-written program's, or ours). A contender says what its answer is
by one of the words of `TERMS`. The reference is then brought to these terms; what a contender gives
is only scaled, if at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.networks import NAMES

SAMPLES, STEPS, MASKS, CELLS = 50, 50, 1000, 7  # of SmoothGrad, integrated gradients and RISE
NOISE = 0.15  # SmoothGrad's, as a share of the pictures' range
WINDOWS = 8  # of occlusion, along each axis: they touch and do not overlap
CHUNK = 8  # variants that go through a network at once, where a library lets one choose

FIXATIONS = "fixations"  # predict_fixations(), by the network that comes with the package
EMBEDDED = "embedded"
METHODS = (
    "gradient", "grad_cam", "smooth_grad", "integrated_gradients", "occlusion", "rise", FIXATIONS,
)  # fmt: skip
DRAWN = ("smooth_grad", "rise")  # every library draws its own random numbers
ROUNDS = {
    "gradient": 9, "grad_cam": 9, "smooth_grad": 3, "integrated_gradients": 3, "occlusion": 5,
    "rise": 3, FIXATIONS: 9,
}  # fmt: skip

Pair = tuple[str, int]  # method, batch
_USUAL: dict[str, tuple[Pair, ...]] = {
    "MobileNetV2": (("gradient", 1), ("gradient", 8), ("grad_cam", 1), ("occlusion", 1)),
    "ResNet50": (
        ("gradient", 1), ("gradient", 8), ("grad_cam", 1), ("smooth_grad", 1),
        ("integrated_gradients", 1),
    ),
    EMBEDDED: ((FIXATIONS, 1),),
}  # fmt: skip
_ALL_BATCHES = (1, 8, 32)
_TINY = "tiny"


@dataclass(frozen=True)
class Case:
    """One comparison: all contenders do this, in the same rounds."""

    network: str
    method: str
    batch: int

    def __str__(self) -> str:
        return f"{self.network}, {self.method}, batch {self.batch}"


def chosen(
    networks: Sequence[str] = (),
    methods: Sequence[str] = (),
    batches: Sequence[int] = (),
    everything: bool = False,
    quick: bool = False,
) -> list[Case]:
    """Return the requested cases, network by network.

    What is named replaces that part of the usual cases (or of all); what is not named stays.

    Args:
        networks: Names, or nothing.
        methods: Names, or nothing.
        batches: Numbers of pictures, or nothing.
        everything: Start from all cases instead of the usual ones, which take about 35 minutes.
        quick: Start from a tiny network and two pictures.
    """
    start = dict(_USUAL)
    if quick:
        start = {_TINY: tuple((name, 2) for name in METHODS[:5])}
    elif everything:
        all_pairs = [(name, batch) for name in METHODS[:-1] for batch in _ALL_BATCHES]
        start = {name: tuple(all_pairs) for name in NAMES} | {EMBEDDED: _USUAL[EMBEDDED]}
    usual = dict.fromkeys(pair for pairs in start.values() for pair in pairs)  # ordered, once each
    cases = []
    for network in networks or start:
        pairs = list(start.get(network, [pair for pair in usual if pair[0] != FIXATIONS]))
        if methods:
            known = [pair for pair in usual if pair[0] in methods]
            pairs = known + [(name, 1) for name in methods if name not in dict(known)]
        if batches:
            pairs = [(name, b) for name in dict(pairs) for b in _batches(name, batches)]
        cases += [Case(network, *pair) for pair in pairs if _fits(network, pair[0])]
    return cases


def _batches(method: str, batches: Sequence[int]) -> Sequence[int]:
    return (1,) if method == FIXATIONS else batches


def _fits(network: str, method: str) -> bool:
    return (network == EMBEDDED) == (method == FIXATIONS)


# ------------------------------------------------------------------------------------ equal answers


MIN_COSINE = 0.9999
# Two programs in float32 that add up in another order are both up to 7.5e-3 from float64 (ResNet50:
# a rectifier switches), hence 1.5e-2 from each other; 1.25e-2 was measured.
MAX_RELATIVE_L2 = 2e-2


class Disagreement(Exception):
    """Two contenders gave different results, so their times mean nothing."""


@dataclass(frozen=True)
class Rule:
    """How far apart two answers may be: at least this cosine, at most this relative L2."""

    cosine: float
    relative_l2: float = float("inf")


EQUAL = Rule(MIN_COSINE, MAX_RELATIVE_L2)


@dataclass(frozen=True)
class Agreement:
    """How far apart two batches of gradients are, on the worst of their pictures."""

    cosine: float
    relative_l2: float


def measure(ours: np.ndarray, reference: np.ndarray, what: str) -> Agreement:
    """Return how well two batches (B, ...) agree; NaN where one is not finite or 0 everywhere.

    Raises:
        Disagreement: Their shapes differ.
    """
    if ours.shape != reference.shape:
        raise Disagreement(f"{what}: shapes {ours.shape} and {reference.shape}")
    a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (ours, reference))
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        cosines = (a * b).sum(axis=1) / (norms[0] * norms[1])
        distances = np.linalg.norm(a - b, axis=1) / norms[1]
    return Agreement(float(cosines.min()), float(distances.max()))


def require(ours: np.ndarray, reference: np.ndarray, what: str, rule: Rule = EQUAL) -> Agreement:
    """Return how well two batches (B, ...) agree.

    Raises:
        Disagreement: Too badly, or one of them is not finite or 0 everywhere.
    """
    result = measure(ours, reference, what)
    near = result.relative_l2 <= rule.relative_l2 or rule.relative_l2 == float("inf")
    if not (result.cosine >= rule.cosine and near):  # NaN fails too
        raise Disagreement(
            f"{what}: cosine {result.cosine:.6f} (at least {rule.cosine:.6g}), "
            f"relative L2 {result.relative_l2:.2e} (at most {rule.relative_l2:.3g})"
        )
    return result


# -------------------------------------------------------------------------------------- other terms


SPREAD = 0.05  # how much less than two draws of the reference another library's draw may agree
# Backends round otherwise, and a rectifier or a pool then takes another side: on VGG16 XLA is
# 1.4e-2 from oneDNN in relative L2, on the other networks 4e-3. Inside one backend `EQUAL` holds.
ANOTHER_BACKEND = Rule(0.999, 3e-2)
ANOTHER_ENLARGEMENT = Rule(0.99)  # bicubic, or other edges: 0.994 to 0.999 was measured
ANOTHER_QUADRATURE = Rule(0.99)  # trapezoids, or even points that all weigh the same

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Terms:
    """What an answer is, and how near it must come to the reference in the same terms.

    Args:
        description: For the row.
        rule: How near.
        change: What is done to the answer.
        reference: What is done to the reference, given the answer's shape.
    """

    description: str
    rule: Rule = EQUAL
    change: Change = lambda answer: answer
    reference: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] = lambda answer, shape: answer


def scaled(maps: np.ndarray) -> np.ndarray:
    """Return maps (B, H, W), each from 0 to 1."""
    low, high = (each(axis=(1, 2), keepdims=True) for each in (maps.min, maps.max))
    with np.errstate(all="ignore"):
        return (maps - low) / (high - low)


def _enlarged(how: str) -> Callable[[np.ndarray, tuple[int, ...]], np.ndarray]:
    """Return a function that enlarges a layer's map as a library does, and scales it."""

    def change(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        from keras_saliency.methods.base import enlarge

        if maps.shape != shape:
            maps = enlarge(maps, shape[1:], how)
        elif how != "bilinear":
            raise Disagreement(f"The reference is enlarged already, and not {how!r}.")
        return scaled(maps)

    return change


TERMS: dict[str, Terms] = {
    "equal": Terms("as it is"),
    "sizes": Terms("sizes, without signs", reference=lambda answer, _: np.abs(answer)),
    "map": Terms(
        "enlarged bilinearly, from 0 to 1", change=scaled, reference=_enlarged("bilinear")
    ),
    "corners": Terms(
        "enlarged corner on corner, from 0 to 1", change=scaled, reference=_enlarged("corners")
    ),
    "another enlargement": Terms(
        "enlarged in another way, from 0 to 1", ANOTHER_ENLARGEMENT, scaled, _enlarged("bilinear")
    ),
    "another quadrature": Terms("another quadrature", ANOTHER_QUADRATURE),
    "drawn": Terms("other random numbers"),
}


def compare(
    terms: str,
    answer: np.ndarray,
    reference: np.ndarray,
    what: str,
    again: np.ndarray | None = None,
    other_backend: bool = False,
) -> dict[str, object]:
    """Return what was compared, how well it agrees and how well it had to.

    Args:
        terms: What the answer is.
        answer: Of a contender.
        reference: What it is held against.
        what: Who with whom, for the message.
        again: The reference with other random numbers, where there are any.
        other_backend: Whether the reference was computed by another backend.

    Raises:
        Disagreement: They do not agree.
    """
    conversion = TERMS[terms]
    result, expected = (
        conversion.change(answer),
        conversion.reference(reference, answer.shape),
    )
    rule = ANOTHER_BACKEND if other_backend and conversion.rule is EQUAL else conversion.rule
    if again is not None:
        draws = measure(conversion.reference(again, answer.shape), expected, what)
        rule = Rule(draws.cosine - SPREAD, 1.5 * draws.relative_l2 + SPREAD)
    agreed: Agreement = require(result, expected, what, rule)
    return {
        "compared": conversion.description,
        "cosine": agreed.cosine,
        "relative_l2": agreed.relative_l2,
        "least_cosine": rule.cosine,
    }
