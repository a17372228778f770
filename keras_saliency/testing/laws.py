"""The laws every method keeps. Each is written once; each has a mutant that it must reject.

A law takes ``run(model, x, **options) -> Explanation`` and a `Case`. It raises `LawError` where the
method breaks it, and `Inapplicable` where this machine cannot run it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from keras_saliency.testing.case import Case, Run
from keras_saliency.testing.claims import (
    another_seed_another_map_if_stochastic,
    complete_where_claimed,
    dead_pixel_gets_zero,
    exact_on_linear,
    gradient_free_where_claimed,
    layer_is_reached_and_reaches,
    unsigned_is_non_negative,
)
from keras_saliency.testing.invariances import (
    another_run_is_a_fresh_run,
    batch_is_singles,
    channels_first_is_channels_last,
    foreign_inputs_change_nothing,
    image_sized_finite_float32,
    micro_batch_changes_nothing,
    model_left_as_found,
    nested_is_flat,
    same_seed_same_map,
    save_and_load_round_trip,
)

Law: TypeAlias = Callable[[Run, Case], None]

LAWS: Mapping[str, Law] = {
    law.__name__: law
    for law in (
        image_sized_finite_float32,
        same_seed_same_map,
        another_seed_another_map_if_stochastic,
        batch_is_singles,
        micro_batch_changes_nothing,
        model_left_as_found,
        nested_is_flat,
        exact_on_linear,
        dead_pixel_gets_zero,
        complete_where_claimed,
        unsigned_is_non_negative,
        gradient_free_where_claimed,
        channels_first_is_channels_last,
        save_and_load_round_trip,
        foreign_inputs_change_nothing,
        layer_is_reached_and_reaches,
        another_run_is_a_fresh_run,
    )
}

_CONCERNS: dict[Law, tuple[Callable[[Case], bool], str]] = {  # laws of some methods only
    exact_on_linear: (
        lambda case: case.on_linear is not None or case.on_cam is not None,
        "no map on a linear network is given (on_linear, on_cam)",
    ),
    complete_where_claimed: (lambda case: case.method.complete, "complete is False"),
    unsigned_is_non_negative: (lambda case: not case.method.signed, "signed is True"),
    layer_is_reached_and_reaches: (
        lambda case: getattr(case.method, "family", "") == "cam",
        "family is not 'cam'",
    ),
}


def skip_reason(law: Law, case: Case) -> str:
    """Return why a law asserts nothing of a method, or an empty string if it does."""
    concerns, reason = _CONCERNS.get(law, (lambda case: True, ""))
    return "" if concerns(case) else reason
