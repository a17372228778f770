"""Laws about what must not change a map: batches, a model's shape, its other inputs, other runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import errors
from keras_saliency._engine import programs
from keras_saliency._results.explanation import Explanation
from keras_saliency.testing import networks
from keras_saliency.testing.case import (
    Case,
    Inapplicable,
    Run,
    identical,
    raises,
    require,
    same,
    state,
    unchanged,
)


def image_sized_finite_float32(run: Run, case: Case) -> None:
    """A map is float32, finite, not 0, and has the picture's height and width."""
    x = networks.pictures(2)
    e = run(case.networks.flat(), x)
    arrays = {"values": (e.values, x.shape[:3])}
    if e.attributions is not None:
        arrays["attributions"] = (e.attributions, x.shape)
    for name, (array, shape) in arrays.items():
        require(
            array.shape == shape and array.dtype == np.float32,
            f"Expected {name} of shape {shape}, float32.",
            f"Got shape {array.shape}, {array.dtype}.",
            "Return attributions (B, H, W, C), or a grid (B, h, w).",
        )
    odd = int((~np.isfinite(e.values)).sum())
    require(
        not odd,
        "Expected a map of finite numbers.",
        f"Got {odd} of {e.values.size} values that are NaN or infinite.",
        "Guard the division or the logarithm that makes them.",
    )
    require(
        bool(e.values.any()),
        "Expected a map that is not 0 everywhere.",
        "Got only zeros.",
        "Return what attribute() computes from the score.",
    )
    require(
        e.signed == case.method.signed,
        f"Expected signed={case.method.signed}, as the method claims.",
        f"Got an explanation with signed={e.signed}.",
        "Let signed depend on the options alone.",
    )


def same_seed_same_map(run: Run, case: Case) -> None:
    """The same seed gives the same map, to the last bit."""
    x = networks.pictures(2)
    one, other = (run(case.networks.flat(), x, seed=3).values for _ in range(2))
    identical(
        one,
        other,
        "the same map from the same seed",
        "Draw random numbers from np.random.default_rng(seed).",
    )


def batch_is_singles(run: Run, case: Case) -> None:
    """A batch gives each picture the map that it gets alone."""
    x = networks.pictures(2)
    together = run(case.networks.flat(), x)
    fix = "Compute each picture's map from it alone: take no maximum or mean over the batch."
    for i in range(len(x)):
        alone = run(case.networks.flat(), x[i])
        what = f"picture {i} to have the same map in a batch as alone"
        same(together.values[i : i + 1], alone.values, what, fix)
        require(
            together.targets[i] == alone.targets[0],
            f"Expected picture {i} to have the same target in a batch as alone.",
            f"Got {together.targets[i]!r} and {alone.targets[0]!r}.",
            fix,
        )


def micro_batch_changes_nothing(run: Run, case: Case) -> None:
    """The size of the micro-batch changes nothing."""
    x = networks.pictures(3)  # the last of two pairs is filled up
    one, two = (run(case.networks.flat(), x, batch_size=size).values for size in (1, 2))
    what = "the same map with batch_size=1 as with batch_size=2"
    same(one, two, what, "Take no number from the size of engine.chunks().")


def model_left_as_found(run: Run, case: Case) -> None:
    """The model is left as it was, after an error in the target too."""
    model, x = case.networks.untouched(), networks.pictures(**networks.NEW)
    before = state(model)
    run(model, x, target=1)
    unchanged(model, before)

    class Stop(Exception):
        pass

    def stop(outputs: Any) -> Any:
        raise Stop

    refused: type[Exception] = errors.MethodError if case.only_classes else Stop
    what = "the target's own error" if refused is Stop else "a MethodError for what is no class"
    raises(
        refused,
        "",
        lambda: run(model, x, target=stop),
        what,
        "Take scores from the engine.",
    )
    unchanged(model, before)


def nested_is_flat(run: Run, case: Case) -> None:
    """A model whose layers are in a model in a model gets the map of the flat one."""
    x = networks.pictures(2)
    flat, nested = run(case.networks.flat(), x), run(case.networks.nested(), x)
    fix = "Ask the engine for layers and gradients: the model's own list ends at nested models."
    same(nested.values, flat.values, "the same map for a nested model as for the flat one", fix)


def channels_first_is_channels_last(run: Run, case: Case) -> None:
    """A network with channels first gets the map of the one with channels last."""
    x = networks.pictures(2)
    last = run(case.networks.flat(), x)
    fix = "Take pictures and gradients from the engine: there channels are last."
    for given in (x, x.transpose(0, 3, 1, 2)):
        try:
            first = run(case.networks.channels_first(), given)
        except errors.ModelError as error:  # without oneDNN, TensorFlow's CPU kernels are NHWC only
            if "TensorFlow cannot run that on this device" not in str(error):
                raise
            said = "TensorFlow runs no channels first on this processor"
            raise Inapplicable(said) from error
        same(
            first.values, last.values, "the same map with channels first as with channels last", fix
        )
        if last.attributions is not None:
            what = "the same attributions with channels first as with channels last"
            same(np.asarray(first.attributions), last.attributions, what, fix)


def save_and_load_round_trip(run: Run, case: Case) -> None:
    """A saved explanation is loaded as it was."""
    e = run(case.networks.flat(), networks.pictures(2))
    fix = "Return plain data in info and checks: numbers, text, lists, dicts, arrays."
    with tempfile.TemporaryDirectory() as folder:
        back = Explanation.load(e.save(Path(folder) / "saved"))
        for name in ("values", "scores"):
            identical(getattr(back, name), getattr(e, name), f"the {name} that were saved", fix)
        for one, other in zip(back.maps(), e.maps(), strict=True):
            identical(one, other, "the maps that were saved", fix)
    pairs: dict[str, tuple[Any, Any]] = {
        name: (getattr(back, name), getattr(e, name)) for name in ("labels", "targets", "checks")
    }
    pairs["attributions is None"] = back.attributions is None, e.attributions is None
    pairs["info"] = {**back.info, "parameters": 0}, {**e.info, "parameters": 0}
    for name, (loaded, saved) in pairs.items():
        said = f"Got {loaded!r}."
        require(loaded == saved, f"Expected {name} as saved: {saved!r}.", said, fix)


def foreign_inputs_change_nothing(run: Run, case: Case) -> None:
    """Another input adds the same to every score, however its pixels are shuffled."""
    drawn = np.random.default_rng(4)
    other = drawn.random((1, 36, 2)).astype("float32")
    both = (other, other[:, drawn.permutation(36)])
    one, another = (
        run(
            case.networks.two_inputs(),
            {"picture": networks.pictures(1), "other": pixels.reshape(1, 6, 6, 2)},
            target=1,
        )
        for pixels in both
    )
    fix = "Explain engine.images only, by layers that they reach."
    layer = one.info.get("layer", "")
    what = "Expected a layer that the explained picture reaches."
    require("other" not in layer, what, f"Got {layer!r}.", fix)
    same(another.values, one.values, "the same map with the other input's pixels shuffled", fix)


def another_run_is_a_fresh_run(run: Run, case: Case) -> None:
    """What was compiled or recorded on some pictures holds nothing of them."""
    x = networks.pictures(**networks.NEW)
    with programs.recorded_at_once():
        run(case.networks.flat(), networks.pictures(2), target=1)
        e = run(case.networks.flat(), x, target=1)
    plain = run(case.networks.untouched(), x, target=1)
    fix = "Keep nothing of a run: not on the method, not in its module."
    same(
        e.values, plain.values, "the same map of new pictures as on a model that saw no others", fix
    )
    same(
        e.scores,
        plain.scores,
        "the same scores of new pictures as on a model that saw no others",
        fix,
    )
