"""check_method(): the laws over one method, and a result for each.

Each law is written once, in `claims` or `invariances`; each has a mutant that it must reject.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from keras_saliency._explain import explain
from keras_saliency._io import track
from keras_saliency._results.explanation import Explanation
from keras_saliency.errors import LawError, MethodError, did_you_mean, words
from keras_saliency.methods import Method, get
from keras_saliency.testing import attention, networks
from keras_saliency.testing.claims import (
    Case,
    Inapplicable,
    Run,
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

Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]
Status = Literal["passed", "failed", "expected_failure", "unexpected_pass", "skipped"]

_READ = "help(keras_saliency.testing.check_method)"
_NETWORKS = {"convolution": networks, "attention": attention}
_ON_FAIL = ("raise", "warn", None)


@dataclass(frozen=True)
class LawResult:
    """Whether a method keeps a law.

    Attributes:
        law: The law's name, a key of `LAWS`.
        status: ``"passed"``; ``"failed"``; ``"expected_failure"``, a failure that
            ``expected_failures`` names; ``"unexpected_pass"``, where it names a law that holds;
            ``"skipped"``, where the law asserts nothing of the method or cannot run here.
        reason: Why it is not ``"passed"``, as a sentence.
        error: What the law or the method raised, or None.
    """

    law: str
    status: Status
    reason: str = ""
    error: Exception | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether there is nothing to correct: neither a failure nor an unexpected pass."""
        return self.status not in ("failed", "unexpected_pass")

    def __str__(self) -> str:
        return f"{self.law}: {self.status}{f': {self.reason}' if self.reason else ''}"


def check_method(
    method: str | Method | type[Method],
    *,
    on_linear: Formula | None = None,
    on_cam: Formula | None = None,
    only_classes: bool = False,
    baseline: Callable[[np.ndarray], np.ndarray] = np.zeros_like,
    networks: Literal["convolution", "attention"] = "convolution",
    laws: str | Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    on_fail: Literal["raise", "warn"] | None = "raise",
) -> tuple[LawResult, ...]:
    """Results of the laws on a method, in the order of `LAWS`.

    The laws run on small networks (12 x 12 pixels) on the backend in use: in seconds for a method
    of a few passes; JAX compiles first, which takes several times as long. Give a method of many
    passes cheap options. A bar shows on a terminal after 2 s. The networks are made once a process.

    Args:
        method: Your method, as `explain` takes it.
        on_linear: What the map must be on a linear network: ``(w, x)`` to (B, H, W) for
            y = sum(w * x), with w and x of shape (B, H, W, C) and the baseline 0.
        on_cam: What the grid of a CAM must be: ``(a, v)`` to (B, h, w) for y = sum_k v_k mean(A_k),
            with maps a of shape (B, h, w, K) and weights v (K,).
        only_classes: Whether the method explains classes only, and refuses other targets with a
            MethodError "... is no class".
        baseline: Of a complete method: pictures (B, H, W, C) to those that its attributions start
            from.
        networks: ``"attention"`` for methods that need a vision transformer.
        laws: The names of the laws to run, one or several; None runs all.
        expected_failures: For each law that the method is known to break, the reason. As with a
            strict ``xfail`` of pytest, keeping such a law counts as a failure.
        on_fail: ``"raise"`` raises one error that names every broken law, ``"warn"`` warns of
            them, None does neither.

    Raises:
        LawError: The method breaks a law, or keeps one that it is expected to break.
        MethodError: No such method, law, kind of networks or ``on_fail``; or a reason that is no
            text.

    Example:
        >>> from keras_saliency.testing import check_method
        >>> results = check_method(methods.Gradient(), laws=["nested_is_flat", "exact_on_linear"])
        >>> [result.status for result in results]
        ['passed', 'skipped']
        >>> print(results[1])
        exact_on_linear: skipped: no map on a linear network is given (on_linear, on_cam)
    """
    if on_fail not in _ON_FAIL:
        raise _unknown(f"No such on_fail: {on_fail!r}.", "'raise', 'warn', None")
    if not isinstance(networks, str) or networks not in _NETWORKS:
        raise _unknown(f"No such networks: {networks!r}.", ", ".join(map(repr, _NETWORKS)))
    case = Case(get(method), on_linear, on_cam, only_classes, baseline, _NETWORKS[networks])
    chosen = _named(LAWS if laws is None else [laws] if isinstance(laws, str) else laws)
    expected = _reasons({} if expected_failures is None else expected_failures)
    results = tuple(
        _result(name, case, expected.get(name))
        for name in track(chosen, len(chosen), f"laws of {case}")
    )
    if on_fail is not None and not all(one.ok for one in results):
        error = _error(case, results)
        if on_fail == "raise":
            raise error from next((one.error for one in results if one.status == "failed"), None)
        warnings.warn(str(error), stacklevel=2)
    return results


def _named(names: Iterable[str]) -> list[str]:
    """Return names of laws in the order of `LAWS`.

    Raises:
        MethodError: No law is called so.
    """
    names = list(names)
    for name in names:
        if not isinstance(name, str) or name not in LAWS:
            near = did_you_mean(str(name), LAWS)
            raise _unknown(f"No law is called {name!r}.", ", ".join(LAWS), near)
    return [name for name in LAWS if name in names]


def _reasons(expected: Mapping[str, str]) -> Mapping[str, str]:
    """Return the reasons of expected failures.

    Raises:
        MethodError: A law that does not exist, or a reason that is no text.
    """
    if not isinstance(expected, Mapping):
        raise _no_reason(expected)
    _named(expected)
    for name, reason in expected.items():
        if not isinstance(reason, str) or not reason.strip():
            raise _no_reason({name: reason})
    return expected


def _result(name: str, case: Case, expected: str | None) -> LawResult:
    """Return the result of one law."""
    law = LAWS[name]
    if reason := skip_reason(law, case):
        return LawResult(name, "skipped", reason)

    def run(model: Any, x: Any, **options: Any) -> Explanation:
        return explain(model, x, case.method, **options)

    try:
        with warnings.catch_warnings():
            # A score without derivatives drops nowhere; a coarse path misses a small gap.
            warnings.filterwarnings("ignore", message="picture", category=UserWarning)
            law(run, case)
    except Inapplicable as error:
        return LawResult(name, "skipped", str(error), error)
    except Exception as error:  # any error of the method breaks the law
        _forget_networks()  # a method that writes to a model must not fail the next one
        if expected is not None:
            return LawResult(name, "expected_failure", expected, error)
        return LawResult(name, "failed", _sentence(error), error)
    if expected is not None:
        said = f"Expected it to be broken ({expected.rstrip('.')}). Got a method that keeps it."
        return LawResult(name, "unexpected_pass", said)
    return LawResult(name, "passed")


def _forget_networks() -> None:
    for module in _NETWORKS.values():
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _sentence(error: Exception) -> str:
    if isinstance(error, LawError):
        return f"{error.what} {error.got} {error.fix}"
    return f"Expected no error. Got {type(error).__name__}: {words(error)}."


def _error(case: Case, results: tuple[LawResult, ...]) -> LawError:
    wrong = [one for one in results if not one.ok]
    passed = sum(one.status == "unexpected_pass" for one in wrong)
    counts = [f"{len(wrong) - passed} broken"] * (len(wrong) > passed)
    counts += [f"{passed} passed that should be broken"] * (passed > 0)
    count = sum(one.status != "skipped" for one in results)
    lines = "".join(f"\n- {one.law}: {one.reason}" for one in wrong)
    return LawError(
        f"Expected {case} to keep every law except its expected failures.",
        f"Got {' and '.join(counts)}, of {count}:{lines}\n",
        "Correct the method, or correct expected_failures.",
        _READ,
    )


def _unknown(what: str, known: str, near: str = "") -> MethodError:
    return MethodError(what, f"Known: {known}.", near or "Take one of these.", _READ)


def _no_reason(got: Any) -> MethodError:
    return MethodError(
        "Expected expected_failures to be a dict of laws and the reasons why each is broken.",
        f"Got {got!r}.",
        "Write a reason: expected_failures={'nested_is_flat': 'it reads model.layers'}.",
        _READ,
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
"""The laws by name: each takes a method's run and its case, and raises if it is broken."""

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
