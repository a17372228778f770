"""Texts for models that tokenize: keras_hub tasks, and models that begin with TextVectorization."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency._graph.adapter import Adapter
from keras_saliency._graph.ends import nodes_by_input, symbolic
from keras_saliency._graph.model_cache import get_or_create
from keras_saliency._inputs.known_networks import task_preprocessor
from keras_saliency._io import files
from keras_saliency.errors import InputError, ModelError

MAX_LETTERS = 10_000_000  # of a file; no model reads more

_READ = "help(keras_saliency.explain)"


@dataclass(frozen=True)
class Text:
    """A text of a stream, where a plain string would be taken for the name of a file."""

    words: str


@dataclass(frozen=True)
class Tokenized:
    """Texts as a model takes them.

    Attributes:
        inputs: The arrays of the model's inputs, each (B, T), the numbers of the words first; or
            these alone.
        words: The tokens of each text, without padding.
        findings: For each text, what of it the model does not see.
    """

    inputs: Any
    words: tuple[tuple[str, ...], ...]
    findings: tuple[tuple[str, ...], ...]


class AfterStrings(Adapter):
    """A model without the TextVectorization that it begins with."""

    def __init__(self, model: Any, layer: Any) -> None:
        """Hold the rest of the model, and that layer."""
        super().__init__(model)
        self.vectorization = layer


def adapter(model: Any) -> Adapter:
    """Return the adapter of a model; of its rest, where it begins with TextVectorization.

    Strings have no gradient, and only TensorFlow has tensors of them. The rest shares all layers
    and weights with the model.

    Raises:
        ModelError: It is no Keras model, or that layer counts words.
    """
    own = Adapter(model)
    layer = _vectorization(own)
    if layer is None:
        return own
    config = layer.get_config()
    if config["output_mode"] != "int" or config.get("ragged"):
        form = (
            "a ragged tensor" if config.get("ragged") else f"output_mode={config['output_mode']!r}"
        )
        raise ModelError(
            f"Expected the TextVectorization of model {model.name!r} to make numbers of words, "
            "output_mode='int'.",
            f"Got {form}.",
            "Explain the model behind that layer on what it makes of a text, such as a table of "
            "counts: layer([text]).",
            _READ,
        )
    return AfterStrings(
        get_or_create(model, ("after strings",), lambda: _rest(model, layer)), layer
    )


def begins_with_texts(model: Any) -> bool:
    """Whether a model begins with TextVectorization."""
    return _vectorization(Adapter(model)) is not None


def _vectorization(own: Adapter) -> Any:
    """Return the TextVectorization that takes a model's only input, else None."""
    import keras

    model, kind = own.model, keras.layers.TextVectorization
    if isinstance(model, keras.Sequential):
        layers = model.layers
        return layers[0] if len(layers) > 1 and isinstance(layers[0], kind) else None
    ends = symbolic(model)
    if ends is None or len(ends[0]) != 1 or ends[0][0].dtype != "string":
        return None
    calls = nodes_by_input(ends[1]).get(id(ends[0][0]), [])
    alone = len(calls) == 1 and isinstance(calls[0][0].operation, kind)
    return calls[0][0].operation if alone else None


def _rest(model: Any, layer: Any) -> Any:
    import keras

    if isinstance(model, keras.Sequential):
        length = layer.get_config()["output_sequence_length"]
        numbers = keras.Input((length,), dtype="int64")  # with which its weights are made
        return keras.Sequential([numbers, *model.layers[1:]], name=model.name)
    inputs, outputs = symbolic(model) or ([], [])
    call = nodes_by_input(outputs)[id(inputs[0])][0][0]
    return keras.Model(call.output_tensors[0], model.output, name=model.name)


def takes_texts(own: Adapter) -> bool:
    """Whether a model has a tokenizer of its own."""
    return isinstance(own, AfterStrings) or _preprocessor(own) is not None


def _preprocessor(own: Adapter) -> Any:
    preprocessor = task_preprocessor(own.model)
    both = getattr(preprocessor, "image_converter", None) is not None  # texts with pictures
    return None if both or getattr(preprocessor, "tokenizer", None) is None else preprocessor


def tokenized(own: Adapter, given: Any) -> Tokenized | None:
    """Return texts as the model takes them; None where these are no texts, or it takes none.

    Args:
        own: The model.
        given: A text, a list of texts, an array of strings, or the `pathlib.Path` of a ``.txt``
            file in UTF-8; or anything else.

    Raises:
        InputError: A text is empty, or the preprocessor makes no tokens of it.

    Example:
        >>> from keras_saliency._inputs import text
        >>> layer = keras.layers.TextVectorization(vocabulary=["a", "good", "film"])
        >>> rest = [keras.layers.Embedding(5, 2), keras.layers.GlobalAveragePooling1D()]
        >>> own = text.adapter(keras.Sequential([layer, *rest]))
        >>> text.tokenized(own, "A good film!").words
        (('a', 'good', 'film'),)
    """
    if not takes_texts(own):
        return None
    texts = _texts(given)
    if texts is None:
        return None
    for text in texts:
        if not text.strip():
            raise InputError(
                "Expected a text of one word or more.",
                f"Got {text!r}.",
                "Pass a longer one.",
                _READ,
            )
    if isinstance(own, AfterStrings):
        return _by_layer(own.vectorization, texts)
    return _by_task(own, _preprocessor(own), texts)


def _texts(given: Any) -> list[str] | None:
    if isinstance(given, np.ndarray) and given.dtype.kind in "UO":
        given = given.ravel().tolist()
    each = list(given) if isinstance(given, list | tuple) else [given]
    each = [one.words if isinstance(one, Text) else one for one in each]
    is_file = [isinstance(one, os.PathLike) and Path(one).suffix == ".txt" for one in each]
    if not each or not all(
        isinstance(one, str) or its for one, its in zip(each, is_file, strict=True)
    ):
        return None
    if isinstance(given, tuple):
        raise InputError(
            "Expected a text or a list of texts.",
            f"Got a tuple of {len(given)}.",
            "Pass a list for a batch. Two texts that are read together are one: join them.",
            _READ,
        )
    return [_from_file(one) if its else str(one) for one, its in zip(each, is_file, strict=True)]


def _from_file(path: Any) -> str:
    what, fix = f"Cannot read the text {os.fsdecode(path)!r}.", "Check the path."
    try:
        with files.regular(path) as file:
            data = file.read(MAX_LETTERS + 1)
        if len(data) <= MAX_LETTERS:
            return data.decode("utf-8-sig")
        got, fix = f"It has more than {MAX_LETTERS:,} bytes.", "Pass a shorter one."
    except FileNotFoundError:
        what, got = f"No such file: {os.fsdecode(path)!r}.", "Expected the path of a text."
    except UnicodeDecodeError as error:
        got, fix = f"It is not UTF-8: {error}.", "Save it as UTF-8."
    except (OSError, ValueError) as error:
        got = f"{getattr(error, 'strerror', None) or error}."
    raise InputError(what, got, fix, _READ)


def _by_layer(layer: Any, texts: list[str]) -> Tokenized:
    numbers = _array(layer(texts))
    vocabulary = list(map(str, layer.get_vocabulary()))
    lengths = [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in numbers]
    words = _words(numbers, lengths, lambda number: vocabulary[number] or "[PAD]", texts)
    cut = tuple(
        _cut_off(row, lambda one: _without_end(layer)([one]), one) if length == len(row) else ()
        for row, length, one in zip(numbers, lengths, texts, strict=True)
    )
    return Tokenized(numbers, words, cut)


def _without_end(layer: Any) -> Any:
    """Return the same TextVectorization, which makes as many numbers as a text has words."""
    words = layer.get_vocabulary(include_special_tokens=False)
    return type(layer).from_config(
        {**layer.get_config(), "output_sequence_length": None, "vocabulary": words}
    )


def _by_task(own: Adapter, preprocessor: Any, texts: list[str]) -> Tokenized:
    what = f"Expected the preprocessor of keras_hub task {own.model.name!r} to make its inputs."
    try:
        made = preprocessor(texts)
    except Exception as error:  # whatever a tokenizer raises
        got = f"It raised {type(error).__name__}: {' '.join(str(error).split())[:200]}."
        raise InputError(what, got, "Pass the arrays of its inputs by name.", _READ) from error
    tokenizer, names = preprocessor.tokenizer, [one.name for one in own.inputs]
    arrays = {name: _array(one) for name, one in made.items()} if isinstance(made, Mapping) else {}
    if hasattr(made, "shape") and len(names) == 1:
        arrays = {names[0]: _array(made)}
    first = "token_ids" if "token_ids" in arrays else next(iter(arrays), "")
    if set(arrays) != set(names) or arrays[first].ndim != 2:
        got = f"Got {list(arrays) or type(made).__name__}; the model takes {names}."
        raise InputError(what, got, "Pass the arrays of its inputs by name.", _READ)
    numbers = arrays.pop(first)
    lengths = _lengths(numbers, arrays.get("padding_mask"), tokenizer)
    words = _words(numbers, lengths, tokenizer.id_to_token, texts)
    cut = tuple(
        _cut_off(row[:length], tokenizer, text) if length == len(row) else ()
        for row, length, text in zip(numbers, lengths, texts, strict=True)
    )
    return Tokenized({first: numbers, **arrays}, words, cut)


def _lengths(numbers: np.ndarray, mask: np.ndarray | None, tokenizer: Any) -> list[int]:
    """Return how many tokens each row has before its padding."""
    if mask is None:
        mask = numbers != getattr(tokenizer, "pad_token_id", 0)
    mask = np.asarray(mask, bool)
    return [int(np.flatnonzero(row).max(initial=-1)) + 1 for row in mask]


def _words(numbers: np.ndarray, lengths: list[int], token: Any, texts: list[str]) -> Any:
    for length, text in zip(lengths, texts, strict=True):
        if not length:
            raise InputError(
                "Expected a text with words that the model's tokenizer knows.",
                f"Got {text[:60]!r}, of which it makes nothing but padding.",
                "Pass another text.",
                _READ,
            )
    return tuple(
        tuple(str(token(int(number))) for number in row[:length])
        for row, length in zip(numbers, lengths, strict=True)
    )


def _cut_off(row: np.ndarray, tokenizer: Any, text: str) -> tuple[str, ...]:
    """Return a finding where the model's positions do not hold a whole text."""
    whole = _array(tokenizer(text)).ravel()
    starts = range(len(row) - len(whole) + 1)
    if any(np.array_equal(row[i : i + len(whole)], whole) for i in starts):
        return ()
    return (
        f"the text has {len(whole)} tokens: the model sees the first of them, up to {len(row)}",
    )


def _array(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor))
