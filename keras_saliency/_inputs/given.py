"""What a caller passed to a model, by its inputs, and which of them is explained."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_saliency._graph.adapter import Adapter, Input, InputLayout, Part, Signature
from keras_saliency._inputs import reading
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.kinds import Kind
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency._inputs.recognition import Recognised, recognise, shown
from keras_saliency.errors import (
    InputError,
    KerasSaliencyError,
    ModelError,
    _arguments,
    did_you_mean,
)

_READ = "help(keras_saliency.explain)"
_ORDER = ("picture", "video", "volume", "signal", "tokens", "table")  # which is explained first
ALL = "all"


@dataclass(frozen=True)
class Ready:
    """One explained input, made ready for the model.

    Attributes:
        kind: What it is.
        part: How its images become what the model takes.
        images: (B, *space, C); of tokens, what their Embedding makes of them.
        originals: What the caller passed, each without the batch axis.
        geometries: How each original lies in its image.
        preprocess: The preprocessing of its numbers; None where it is unknown.
        findings: For each row, what is suspicious about its numbers.
        floats: Whether the numbers were floats, which count as preprocessed.
        extra_inputs: Arrays of the inputs that are not explained, and of words, by number.
        names: Names of a table's columns, or ().
    """

    kind: Kind
    part: Part
    images: np.ndarray
    originals: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    preprocess: Preprocess | None
    findings: tuple[tuple[str, ...], ...]
    floats: bool
    extra_inputs: dict[int, np.ndarray]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What a caller passed to a model.

    Attributes:
        adapter: The model.
        takes: What it takes.
        inputs: Its inputs.
        values: What was passed for each, by name, in the caller's order.
        names: Names of a dict of inputs for a model that is no graph, or None.
    """

    adapter: Adapter
    takes: Signature
    inputs: tuple[Input, ...]
    values: Mapping[str, Any]
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, adapter: Adapter, image: Any) -> Given:
        """Sort what explain() was given.

        Raises:
            InputError: An input is missing, or there is none of this name.
        """
        takes = _signature(adapter)
        inputs, values = _by_input(adapter.model, takes, image)
        named = isinstance(image, Mapping) and not takes.is_graph
        names = tuple(one.name for one in inputs) if named else None
        return cls(adapter, takes, inputs, values, names)

    def value(self, number: int) -> Any:
        """Return what was passed for an input."""
        return self.values[self.inputs[number].name]

    def extra_inputs(self, count: int, explained: Collection[int]) -> dict[int, np.ndarray]:
        """Return arrays of ``count`` rows for the inputs that are not explained, by number."""
        return {
            number: _extra_input(self.adapter, one, self.value(number), count)
            for number, one in enumerate(self.inputs)
            if number not in explained
        }

    def layout(self, part: Part) -> InputLayout:
        """Return how the model is called where one input is explained."""
        return InputLayout(**vars(part), names=self.names)

    def explained(
        self, kind: str | None, inputs: str | Sequence[str] | None
    ) -> list[tuple[int, Recognised]]:
        """Return the numbers of the inputs that are explained, and their kinds.

        By default one: the first picture in the caller's order; else what layers show to be
        something, a table last.

        Args:
            kind: The caller's name of a kind, or None.
            inputs: The caller's choice: a name, several, ``"all"`` or None.

        Raises:
            InputError: No input is called so.
            ModelError: Nothing shows what an input is.
        """
        numbers = {one.name: number for number, one in enumerate(self.inputs)}
        if inputs is None:
            return [self._first(kind, [numbers[name] for name in self.values])]
        if isinstance(inputs, str) and (inputs in numbers or inputs != ALL):
            return [(number, self._kind(number, kind)) for number in [self._number(inputs)]]
        if isinstance(inputs, str):
            known = [(number, self._shown(number, kind)) for number in range(len(self.inputs))]
            return [(number, one) for number, one in known if one is not None]
        if not isinstance(inputs, Collection):
            raise InputError(
                'Expected inputs to be "all", the name of an input or a list of names.',
                f"Got inputs={inputs!r}.",
                f"Take some of {list(numbers)}.",
                _READ,
            )
        chosen = [self._number(name) for name in inputs]
        return [(number, self._kind(number, kind)) for number in dict.fromkeys(chosen)]

    def _number(self, name: Any) -> int:
        names = [one.name for one in self.inputs]
        if name not in names:
            raise _no_such(name, names, self.adapter.model)
        return names.index(name)

    def _first(self, kind: str | None, numbers: list[int]) -> tuple[int, Recognised]:
        problem: KerasSaliencyError | None = None
        known: list[tuple[int, Recognised]] = []
        for number in numbers:
            try:
                one = self._kind(number, kind)
            except ModelError as error:
                problem = problem or error
                continue
            if one.kind.name == "picture" and one.kind.has_channels:
                return number, one
            known.append((number, one))
        if not known:
            raise problem or self._nothing()
        return min(known, key=lambda each: _ORDER.index(each[1].kind.name))

    def _kind(self, number: int, wanted: str | None) -> Recognised:
        one = self.inputs[number]
        if wanted is None and len(one.shape or ()) == 4:
            wanted = reading.shown_kind(self.value(number))
        known = self._shown(number, wanted)
        return known or recognise(self.adapter, number, self.value(number), one)

    def _shown(self, number: int, wanted: str | None) -> Recognised | None:
        """Return an input's kind where the model shows it; found once."""
        one, values = self.inputs[number], [self.value(n) for n in range(len(self.inputs))]
        if not self.takes.is_symbolic:
            return shown(self.adapter, number, wanted, one, values, self.names)
        return self.adapter.cache.get_or_create(
            ("kind", number, wanted), lambda: shown(self.adapter, number, wanted, one)
        )

    def _nothing(self) -> ModelError:
        return ModelError(
            f"Expected model {self.adapter.model.name!r} to have an input that can be explained.",
            f"Its inputs have shapes {[one.shape for one in self.inputs]}.",
            "Pass a model that takes pictures, signals, volumes, videos, texts or tables.",
            _READ,
        )


def _signature(adapter: Adapter) -> Signature:
    cache, model = adapter.cache, adapter.model  # the cache checks that it is a model
    if not model.built:
        return adapter.signature
    return cache.get_or_create(("signature",), lambda: Adapter(model).signature)


def _by_input(model: Any, takes: Signature, image: Any) -> tuple[tuple[Input, ...], dict[str, Any]]:
    """Return the model's inputs, and the caller's array for each by name, in the caller's order."""
    inputs = takes.inputs
    known = len(inputs) > 1 and isinstance(image, tuple)  # by how it was built
    if not takes.is_graph and isinstance(image, Mapping | tuple) and not known:
        # A subclassed model does not declare its inputs: it gets what the caller passed.
        keys = list(image) if isinstance(image, Mapping) else [str(i) for i in range(len(image))]
        inputs = tuple(Input(key, None, model.input_dtype) for key in keys)
    names = [one.name for one in inputs]
    if isinstance(image, tuple | list) and len(image) == len(names) > 1:
        image = dict(zip(names, image, strict=True))  # a list as Keras' predict takes it
    if not isinstance(image, Mapping) and len(names) == 1:
        return inputs, {names[0]: image}
    given = dict(image) if isinstance(image, Mapping) else {}
    for key in given:
        if key not in names:
            raise _no_such(key, names, model)
    if len(given) < len(names):
        raise InputError(
            f"Expected {len(names)} inputs of model {model.name!r}: {names}.",
            f"Got {len(given)} of them." if given else f"Got one {type(image).__name__} for all.",
            "Pass a dict by input name, the picture to explain first, as in "
            f"{{{', '.join(f'{name!r}: ...' for name in names)}}}.",
            _READ,
        )
    return inputs, given


def _no_such(name: Any, names: list[str], model: Any) -> InputError:
    return InputError(
        f"No input is called {name!r} in model {model.name!r}.",
        f"Its inputs are {names}.",
        did_you_mean(str(name), names) or "Use these names.",
        _READ,
    )


def _extra_input(adapter: Adapter, one: Input, given: Any, count: int) -> np.ndarray:
    """Return the array for an input that is not explained, a row for each picture."""
    try:
        array = _arguments.to_array(given)
        dtype = "float32" if one.dtype == "bfloat16" else one.dtype
        array = array.astype(dtype, copy=False)
    except Exception as error:  # whatever a tensor without values raises
        raise InputError(
            f"Expected {one.dtype} numbers for input {one.name!r} of model {adapter.model.name!r}.",
            f"Got {type(given).__module__}.{type(given).__qualname__}, which does not convert: "
            f"{' '.join(str(error).split())[:200]}.",
            "Pass a NumPy array.",
            _READ,
        ) from error
    if one.shape is not None and array.ndim == len(one.shape):
        array = array[None]
    if array.ndim == 0 or len(array) != count:
        raise InputError(
            f"Expected {count} rows, one per picture, for input {one.name!r} of model "
            f"{adapter.model.name!r}.",
            f"Got {len(array) if array.ndim else 0} rows.",
            "Pass one row per picture.",
            _READ,
        )
    return array
