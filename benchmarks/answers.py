"""Bringing the answers of different libraries to the same terms, and saying which terms.

A contender says what its answer is by one of the words of `TERMS`. The reference (a hand-written
program, or ours) is then brought to these terms; what a contender gives is only scaled, if at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.agreement import EQUAL, Agreement, Disagreement, Rule, measure, require

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
        words: For the row.
        rule: How near.
        found: What is done to the answer.
        reference: What is done to the reference, given the answer's shape.
    """

    words: str
    rule: Rule = EQUAL
    found: Change = lambda answer: answer
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
    "map": Terms("enlarged bilinearly, from 0 to 1", found=scaled, reference=_enlarged("bilinear")),
    "corners": Terms(
        "enlarged corner on corner, from 0 to 1", found=scaled, reference=_enlarged("corners")
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
    asked = TERMS[terms]
    found, wanted = asked.found(answer), asked.reference(reference, answer.shape)
    rule = ANOTHER_BACKEND if other_backend and asked.rule is EQUAL else asked.rule
    if again is not None:
        draws = measure(asked.reference(again, answer.shape), wanted, what)
        rule = Rule(draws.cosine - SPREAD, 1.5 * draws.relative_l2 + SPREAD)
    agreed: Agreement = require(found, wanted, what, rule)
    return {
        "compared": asked.words,
        "cosine": agreed.cosine,
        "relative_l2": agreed.relative_l2,
        "least_cosine": rule.cosine,
    }
