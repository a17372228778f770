"""Batches for one model: its explained inputs made ready, with the originals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_saliency._graph.adapter import Adapter, InputLayout
from keras_saliency._inputs import arrays, baselines, fitting, text
from keras_saliency._inputs.geometry import Geometry
from keras_saliency._inputs.given import Given, Ready
from keras_saliency._inputs.kinds import PICTURE, SEVERAL, Kind
from keras_saliency._inputs.preprocessing import Preprocess
from keras_saliency.errors import InputError, MethodError

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Batch:
    """Inputs made ready for one model.

    Attributes:
        images: (B, H, W, C) in the model's input range, channels last; (B, *space, C) of other
            kinds. Where several inputs are explained, (B, N, 1): all their values, one input after
            the other.
        extra_inputs: Arrays for the model's other inputs, each with B rows, in the model's order.
        packing: Which of the model's inputs takes which array.
        originals: The pictures before fitting: (H0, W0, C) uint8, or float if preprocessed.
        geometries: How each original was fitted to (H, W).
        preprocess: The preprocessing of the pixels; ``None`` for floats where it is unknown.
        findings: For each picture, what is suspicious about its numbers.
        floats: Whether the inputs were floats, which count as preprocessed.
        kind: What they are.
        names: Names of a table's columns, or ().
        input: Name of the explained input, where the model has others; else "".
        parts: The batch of each explained input by its name, where several are.
        words: The tokens of each text, without padding; () where numbers were passed.
    """

    images: np.ndarray
    extra_inputs: tuple[np.ndarray, ...]
    packing: InputLayout
    originals: tuple[np.ndarray, ...]
    geometries: tuple[Geometry, ...]
    preprocess: Preprocess | None
    findings: tuple[tuple[str, ...], ...] = ()
    floats: bool = False
    kind: Kind = PICTURE
    names: tuple[str, ...] = ()
    input: str = ""
    parts: Mapping[str, Batch] | None = None
    words: tuple[tuple[str, ...], ...] = ()

    @property
    def preprocessed(self) -> str:
        """The preprocessing's name, for the manifest."""
        if self.parts:
            return "; ".join(f"{name}: {one.preprocessed}" for name, one in self.parts.items())
        if self.preprocess is None:
            return "given as floats"
        name, same = self.preprocess.name, self.preprocess.leaves_pixels
        return f"given as floats; of pixels: {name}" if self.floats and not same else name

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the manifest: the input's name, a table's columns, the words of texts."""
        facts: dict[str, Any] = {"input": self.input} if self.input else {}
        if self.names and self.kind.name == "table":
            facts["features"] = list(self.names)
        return facts | ({"words": [list(each) for each in self.words]} if self.words else {})

    def is_padding(self) -> np.ndarray:
        """Where the batch is padded, (B, *space) bool; nowhere in a picture."""
        result = np.zeros(self.images.shape[:-1], bool)
        if self.kind.name != "picture" and not self.parts:
            for row, geometry in zip(result, self.geometries, strict=True):
                row[geometry.original[0] :] = True
        return result

    def apart(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return values of ``images``' shape as one array (B, *space, C) for each input."""
        pairs = zip(self.parts or (), self.packing.apart(images), strict=True)
        return {name: its for name, (_, its) in pairs}

    def fill(self, value: Any, images: np.ndarray) -> np.ndarray:
        """Return inputs without content; see `keras_saliency._inputs.baselines.fill`.

        Args:
            value: A fill, or where several inputs are explained a dict of one for each.
            images: What it replaces.

        Raises:
            MethodError: It does not fit.
        """
        if not self.parts:
            return baselines.fill(value, images, self.preprocess, self.kind)
        by_name = value if isinstance(value, Mapping) else dict.fromkeys(self.parts, value)
        if set(by_name) != set(self.parts):
            raise MethodError(
                f"Expected one fill for all inputs, or a dict for {list(self.parts)}.",
                f"Got a dict for {list(by_name)}.",
                "Name each explained input.",
                _READ,
            )
        apart = self.apart(images)
        return _flat([one.fill(by_name[name], apart[name]) for name, one in self.parts.items()])

    def as_images(self, value: Any) -> np.ndarray:
        """Return arrays in the shape of what the model takes as images, such as references.

        Args:
            value: (N, ...) in the input's own axes or as images, or a dict of such by name.
        """
        if self.parts and isinstance(value, Mapping):
            return _flat([one.as_images(value[name]) for name, one in self.parts.items()])
        array = np.asarray(value, self.images.dtype)
        bare = not self.kind.has_channels and array.ndim == self.images.ndim - 1
        return array[..., None] if bare and not self.kind.is_embedded else array

    def spans(self, images: np.ndarray) -> list[Any]:
        """Return greatest minus least value of each image; of several inputs, of each value's."""
        if not self.parts:
            return [np.ptp(image) for image in images]
        spread = []
        for its in self.apart(images).values():
            span = np.ptp(its.reshape(len(its), -1), axis=1)
            spread.append(np.broadcast_to(span.reshape(-1, *[1] * (its.ndim - 1)), its.shape))
        return list(_flat(spread))


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
        kind: A name of `keras_saliency._inputs.kinds`; None finds it.
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
            made.append(fitting.ready(given, number, known.kind, preprocess, together))
        else:
            made.append(arrays.ready(given, number, known, preprocess, together))
    if inputs is None or (isinstance(inputs, str) and len(made) == 1 and inputs != "all"):
        return _batch(given, made[0])
    return _joint(given, made)


def joined(batches: Sequence[Batch]) -> Batch:
    """Return batches that can go through a model together as one batch."""
    if len(batches) == 1:
        return batches[0]
    extra_inputs = zip(*(batch.extra_inputs for batch in batches), strict=True)
    parts = batches[0].parts and {
        name: joined([(batch.parts or {})[name] for batch in batches]) for name in batches[0].parts
    }
    return replace(
        batches[0],
        images=np.concatenate([batch.images for batch in batches]),
        extra_inputs=tuple(np.concatenate(one) for one in extra_inputs),
        originals=sum((batch.originals for batch in batches), ()),
        geometries=sum((batch.geometries for batch in batches), ()),
        findings=sum((batch.findings for batch in batches), ()),
        words=sum((batch.words for batch in batches), ()),
        parts=parts,
    )


def _batch(given: Given, one: Ready) -> Batch:
    several = len(given.inputs) > 1
    return Batch(
        images=one.images,
        extra_inputs=tuple(one.extra_inputs[number] for number in sorted(one.extra_inputs)),
        packing=given.layout(one.part),
        originals=one.originals,
        geometries=one.geometries,
        preprocess=one.preprocess,
        findings=one.findings,
        floats=one.floats,
        kind=one.kind,
        names=one.names,
        input=given.inputs[one.part.explained].name if several else "",
    )


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
    counts = {given.inputs[one.part.explained].name: len(one.images) for one in made}
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
    parts = tuple(replace(one.part, shape=one.images.shape[1:]) for one in made)
    extra: dict[int, np.ndarray] = {}
    for one in made:
        extra |= one.extra_inputs
    return Batch(
        images=_flat([one.images for one in made]),
        extra_inputs=tuple(extra[number] for number in sorted(extra)),
        packing=InputLayout(axes=1, names=given.names, parts=parts),
        originals=made[0].originals,
        geometries=made[0].geometries,
        preprocess=None,
        findings=tuple(
            tuple(said for one in made for said in one.findings[row])
            for row in range(len(made[0].images))
        ),
        floats=True,
        kind=SEVERAL,
        parts={given.inputs[one.part.explained].name: _batch(given, one) for one in made},
    )


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of the same rows as one (B, N, 1)."""
    return np.concatenate([one.reshape(len(one), -1) for one in arrays], axis=1)[..., None]
