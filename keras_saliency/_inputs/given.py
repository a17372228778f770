"""What a caller passed to a model, by its inputs, which of them is explained; as one batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from keras_saliency._graph.adapter import Adapter, Input, InputLayout, Part, Signature
from keras_saliency._inputs import SEVERAL, arrays, reading, text
from keras_saliency._inputs.batch import Batch, fitted, flat
from keras_saliency._inputs.geometry import Geometry
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


class Ready(NamedTuple):
    """One explained input, made ready for the model.

    Attributes:
        part: How its images become what the model takes.
        extra_inputs: Arrays of the inputs that are not explained, and of words, by number.
        batch: The input alone.
    """

    part: Part
    extra_inputs: dict[int, np.ndarray]
    batch: Batch


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

    def ready(self, part: Part, extra_inputs: dict[int, np.ndarray], **facts: Any) -> Ready:
        """Return one explained input by the fields of its `Batch`."""
        batch = Batch(
            extra_inputs=tuple(extra_inputs[number] for number in sorted(extra_inputs)),
            packing=self.layout(part),
            input=self.inputs[part.explained].name if len(self.inputs) > 1 else "",
            **facts,
        )
        return Ready(part, extra_inputs, batch)

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
        """Return an input's kind where the model shows it; computed once."""
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


def prepare(
    adapter: Adapter,
    image: Any,
    preprocess: Any = "auto",
    kind: str | None = None,
    inputs: str | Sequence[str] | None = None,
) -> Batch:
    """Return inputs as a batch for a model; a model without weights is built first.

    Args:
        adapter: The model.
        image: One picture (path, PIL, array), a batch (B, H, W, C), or a list of pictures; other
            kinds alike, texts among them where the model has a tokenizer. For a model with several
            inputs a dict by input name (or a tuple in the model's order).
        preprocess: See `keras_saliency._inputs.preprocessing.resolve`.
        kind: A name of `keras_saliency._inputs`; None finds it.
        inputs: Which inputs are explained: a name, a list of names or ``"all"``, together; None
            takes the first picture, or what comes nearest.

    Raises:
        InputError: An input does not fit.
        PreprocessError: The preprocessing of pixels is unknown, or floats lie where the known
            preprocessing puts no pixels.
    """
    are_numbers = isinstance(image, np.ndarray) and image.dtype.kind in "fuib"
    texts = None if are_numbers else text.tokenized(adapter, image)
    if texts is not None:
        return _of_texts(prepare(adapter, texts.inputs, preprocess, "tokens"), texts)
    given = Given.of(adapter, image)
    chosen = given.explained(kind, inputs)
    together = {number for number, _ in chosen}
    made = []
    for number, known in chosen:
        if known.kind.name == "picture":
            made.append(fitted(given, number, known.kind, preprocess, together))
        else:
            made.append(arrays.ready(given, number, known, preprocess, together))
    if inputs is None or (isinstance(inputs, str) and len(made) == 1 and inputs != "all"):
        return made[0].batch
    return _joint(given, made)


def _of_texts(batch: Batch, texts: text.Tokenized) -> Batch:
    pairs = zip(batch.originals, texts.words, strict=True)
    originals = tuple(one[: len(words)] for one, words in pairs)
    geometries = tuple(Geometry.of(one.shape, batch.images.shape[1:2]) for one in originals)
    return replace(
        batch,
        originals=originals,
        geometries=geometries,
        findings=texts.findings,
        words=texts.words,
    )


def _joint(given: Given, made: list[Ready]) -> Batch:
    """Return several inputs as one batch of all their values.

    Raises:
        InputError: There is none, or they have not the same number of rows.
    """
    counts = {given.inputs[one.part.explained].name: len(one.batch.images) for one in made}
    if not made:
        raise InputError(
            f"Expected inputs to explain together, among {[one.name for one in given.inputs]}.",
            "Got none that holds pictures, signals, volumes, videos, texts or tables.",
            'Pass inputs="all", or a list of names.',
            _READ,
        )
    if len(set(counts.values())) > 1:
        raise InputError(
            "Expected as many rows of each input that is explained.",
            f"Got {', '.join(f'{n} of {name!r}' for name, n in counts.items())}.",
            "Pass one row of each for every example.",
            _READ,
        )
    parts = tuple(replace(one.part, shape=one.batch.images.shape[1:]) for one in made)
    extra: dict[int, np.ndarray] = {}
    for one in made:
        extra |= one.extra_inputs
    return Batch(
        images=flat([one.batch.images for one in made]),
        extra_inputs=tuple(extra[number] for number in sorted(extra)),
        packing=InputLayout(axes=1, names=given.names, parts=parts),
        originals=made[0].batch.originals,
        geometries=made[0].batch.geometries,
        preprocess=None,
        findings=tuple(
            tuple(said for one in made for said in one.batch.findings[row])
            for row in range(len(made[0].batch.images))
        ),
        floats=True,
        kind=SEVERAL,
        parts={given.inputs[one.part.explained].name: one.batch for one in made},
    )
