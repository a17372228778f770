"""The cases of a run: a network, a method and a number of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
