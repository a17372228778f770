"""What the words of a command line mean: options, methods, targets, preprocessing."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import MethodError, PreprocessError, TargetError, did_you_mean

if TYPE_CHECKING:  # imported where it is used: --help must not wait for it
    from keras_saliency.methods import Method
    from keras_saliency.preprocessing import Preprocess
    from keras_saliency.targets import Target

_READ = "keras-saliency explain --help"


def pair(text: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip().replace("-", "_"), value


def value(text: str) -> Any:
    """Return 0.25 for "0.25", True for "true" or "True", [1, 2] for "[1, 2]", else the text."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return read(text)
    return None if text.lower() == "none" else text


def count(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def batch_size(text: str) -> int | str:
    """Return a whole number above 0, or ``auto``."""
    return text if text == "auto" else count(text)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def target_words(text: str) -> tuple[str, list[str]]:
    """Split a target into its kind (class, margin, pixel) and its parts."""
    kind, *parts = text.split(":")
    if not parts and text.strip():
        return "class", [text]
    if kind == "margin" and len(parts) == 2 and all(part.strip() for part in parts):
        return kind, parts
    if kind == "pixel" and len(parts) in (2, 3) and all(map(_is_number, parts)):
        return kind, parts
    raise argparse.ArgumentTypeError(f"{text!r} is not a class, margin:A:B or pixel:Y:X[:CHANNEL]")


def method(name: str, given: list[tuple[str, str]]) -> Method:
    """Return the method that ``--method`` and ``--method-option`` mean.

    Raises:
        MethodError: No such method, no such option, or a value that it cannot take.
    """
    from keras_saliency import methods

    known = methods.classes().get(name)
    if known is None:
        return methods.get(name)  # raises, with the nearest name
    fields = {field.name: str(field.type) for field in dataclasses.fields(known)}
    options = {}
    for option, text in given:
        if option not in fields:
            raise MethodError(
                f"The method {name!r} was asked for with the option {option!r}.",
                f"Its options are: {', '.join(fields)}." if fields else "It has no options.",
                did_you_mean(option, fields) or "Leave it out.",
                f"help(keras_saliency.methods.{known.__name__})",
            )
        words = fields[option].startswith("str") and text.lower() not in ("none", "null")
        options[option] = text if words else value(text)
    return known(**options)


def preprocess(word: str, fit: Any, model: Any) -> Preprocess:
    """Return the preprocessing that ``--preprocess`` and ``--fit`` mean.

    Raises:
        PreprocessError: ``auto`` does not know the model.
    """
    from keras_saliency import preprocessing

    found = preprocessing.resolve(None if word == "none" else word, model)
    if found is None:
        raise PreprocessError(
            f"A photo was to be preprocessed for model {model.name!r}.",
            "It is not a keras.applications network by name, and no layer of it rescales.",
            "Say how it was trained: --preprocess tf (-1..1), torch (0..1, ImageNet's mean and "
            "deviation), caffe (BGR less the mean) or none (0..255).",
            _READ,
        )
    return dataclasses.replace(found, fit=fit)


def target(words: tuple[str, list[str]] | None, score: Any, model: Any) -> Target:
    """Return the target that ``--target`` and ``--score`` mean.

    Raises:
        TargetError: A class name that the model's classes do not bear.
    """
    from keras_saliency import targets

    if words is None:
        return targets.TopClass(score=score)
    kind, parts = words
    if kind == "pixel":
        y, x, *channel = map(int, parts)
        return targets.Pixel(y, x, channel[0] if channel else None, score=score)
    first, *other = (_class_number(part, model) for part in parts)
    return (
        targets.Margin(first, other[0], score=score) if other else targets.Class(first, score=score)
    )


def _class_number(word: str, model: Any) -> int:
    """Return the number of a class given by number or by name."""
    from keras_saliency.preprocessing import class_names

    if _is_number(word):
        return int(word)
    names = class_names(model)
    asked = f"The class {word!r} was asked for."
    if names is None:
        found = f"Nobody knows the class names of model {model.name!r}."
        raise TargetError(asked, found, "Give the class number.", _READ)
    plain = " ".join(word.replace("_", " ").split())
    if plain in names:
        return names.index(plain)
    alike = [name for name in names if name.casefold() == plain.casefold()]
    if len(alike) == 1:
        return names.index(alike[0])
    if alike:  # Cardigan is a dog, a cardigan is not
        found = f"It could be {' or '.join(f'{n!r} ({names.index(n)})' for n in alike)}."
        raise TargetError(asked, found, "Write it as it is, or give the number.", _READ)
    fix = did_you_mean(plain, names) or "Give the class number."
    raise TargetError(asked, "ImageNet has no class of that name.", fix, _READ)
