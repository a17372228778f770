"""Parsing of command-line arguments: options, methods, targets, preprocessing."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import (
    KerasSaliencyError,
    MethodError,
    MetricError,
    PreprocessError,
    TargetError,
    did_you_mean,
)

if TYPE_CHECKING:
    from keras_saliency._inputs.preprocessing import Preprocess
    from keras_saliency.methods import Method
    from keras_saliency.metrics.registry import Metric
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


def seed(text: str) -> int:
    """Return a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
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


def method(text: str, given: list[tuple[str, str]]) -> Method:
    """Return the method that ``--method`` and ``--method-option`` mean.

    Args:
        text: A name in any usual spelling, alone or with options: ``"smooth_grad(samples=5)"``.
        given: Further options.

    Raises:
        MethodError: No such method, no such option, or a value that it cannot take.
    """
    from keras_saliency import methods

    (name, own), *others = _calls(text, "methods", MethodError)
    if others:
        raise MethodError(
            "Expected one method.",
            f"Got {text!r}.",
            "Name one; keras-saliency compare takes several.",
            _READ,
        )
    known = type(methods.get(name))
    fields = {field.name: str(field.type) for field in dataclasses.fields(known)}
    options = {}
    for option, word in [*own, *given]:
        if option not in fields:
            raise MethodError(
                f"The method {name!r} has no option {option!r}.",
                f"Its options are: {', '.join(fields)}." if fields else "It has no options.",
                did_you_mean(option, fields) or "Leave it out.",
                f"help(keras_saliency.methods.{known.__name__})",
            )
        words = fields[option].startswith("str") and word.lower() not in ("none", "null")
        options[option] = word if words else value(word)
    return known(**options)


def preprocess(word: str, fit: Any, model: Any, pictures: bool = True) -> Preprocess | str:
    """Return the preprocessing that ``--preprocess`` and ``--fit`` mean.

    Args:
        word: As on the command line.
        fit: As on the command line.
        model: The model.
        pictures: Whether pictures are explained; of other kinds ``auto`` is left to explain().

    Raises:
        PreprocessError: ``auto`` does not know the model.
    """
    from keras_saliency._inputs import preprocessing

    if word == "auto" and not pictures:
        return word
    result = preprocessing.resolve(None if word == "none" else word, model)
    if result is None:
        raise PreprocessError(
            f"No preprocessing is known for model {model.name!r}.",
            "It is not a keras.applications network by its layers, and no layer of it rescales.",
            "Name that of its training: --preprocess tf (-1..1), torch (0..1, ImageNet's mean and "
            "deviation), caffe (BGR less the mean) or none (0..255).",
            _READ,
        )
    if result.converter is not None and fit != "stretch":
        raise PreprocessError(
            f"--fit {fit} does not apply to keras_hub task {model.name!r}.",
            "Its own preprocessor resizes photos, as in task.predict.",
            "Leave --fit out, or name another preprocessing: --preprocess tf.",
            _READ,
        )
    return dataclasses.replace(result, fit=fit)


def target(
    words: tuple[str, list[str]] | None, score: Any, model: Any, output: str | None = None
) -> Target:
    """Return the target that ``--target``, ``--score`` and ``--model-output`` mean.

    Raises:
        TargetError: No class of the model has that name.
    """
    from keras_saliency import targets

    whole = {"score": score, "output": output}
    if words is None:
        return targets.TopClass(**whole)
    kind, parts = words
    if kind == "pixel":
        y, x, *channel = map(int, parts)
        return targets.Pixel(y, x, channel[0] if channel else None, **whole)
    first, *other = (_class_number(part, model) for part in parts)
    return targets.Margin(first, other[0], **whole) if other else targets.Class(first, **whole)


def _class_number(word: str, model: Any) -> int:
    """Return the number of a class given by number or by name."""
    from keras_saliency._inputs.preprocessing import class_names

    if _is_number(word):
        return int(word)
    names = class_names(model)
    what = "Expected the number or name of a class."
    if names is None:
        result = f"Got {word!r}; the class names of model {model.name!r} are not known."
        raise TargetError(what, result, "Give the class number.", _READ)
    plain = " ".join(word.replace("_", " ").split())
    if plain in names:
        return names.index(plain)
    alike = [name for name in names if name.casefold() == plain.casefold()]
    if len(alike) == 1:
        return names.index(alike[0])
    if alike:  # Cardigan is a dog, a cardigan is not
        classes = " or ".join(f"{n!r} ({names.index(n)})" for n in alike)
        result = f"Got {word!r}, which could be {classes}."
        raise TargetError(what, result, "Write it exactly, or give the number.", _READ)
    fix = did_you_mean(plain, names) or "Give the class number."
    raise TargetError(what, f"Got {word!r}; ImageNet has no class of that name.", fix, _READ)


_READ_METHODS = "keras-saliency compare --help"


def methods(text: str | None) -> list[Method] | str | None:
    """Return the methods of a list, ``"all"``, or None for None.

    Raises:
        MethodError: It is no such list, or names an unknown method or option.
    """
    if text is None or text.strip() == "all":
        return text and text.strip()
    return [method(part, []) for part in _parts(text, "methods", MethodError)]


def metrics(text: str | None) -> list[Metric] | None:
    """Return the metrics of a list, no metric for ``"none"``, None for None.

    Raises:
        MetricError: It is no such list, or names an unknown metric or option.
    """
    if text is None:
        return None
    if text.strip() == "none":
        return []
    from keras_saliency.metrics import registry

    result = []
    for name, options in _calls(text, "metrics", MetricError):
        metric = registry.get(name)
        values = {option: value(text) for option, text in options}
        metric = replace(metric, options={**metric.options, **values})
        metric.check_options()
        result.append(metric)
    return result


_CALL = re.compile(r"\s*(?P<name>\w[-+\w ]*?)\s*(?:\((?P<options>.*)\)\s*)?", re.DOTALL)
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""


def _parts(text: str, what: str, error: type[KerasSaliencyError]) -> list[str]:
    """Split at commas that stand in no brackets and in no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter in _QUOTES and quote in ("", letter):
            quote = "" if quote else letter
        elif not quote:
            depth += (letter in _OPENING) - (letter in _CLOSING)
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    if not all(_CALL.fullmatch(part) for part in parts):
        raise _no_list(text, what, error)
    return parts


def _calls(
    text: str, what: str, error: type[KerasSaliencyError]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield names, in any spelling, and their options, which are not yet read."""
    from keras_saliency.methods.base.method import names, resolve

    for part in _parts(text, what, error):
        match = _CALL.fullmatch(part)
        if match is None:
            raise _no_list(text, what, error)
        name, options = match["name"], match["options"] or ""
        if " " in name and (error is not MethodError or resolve(name, names()) is None):
            raise _no_list(text, what, error)
        line = f"f({options})"
        try:
            call: Any = ast.parse(line, mode="eval").body
            if (
                not isinstance(call.func, ast.Name)
                or call.args
                or any(one.arg is None for one in call.keywords)
            ):
                raise ValueError("an option without a name")
            yield name, [(str(one.arg), _word(line, one.value)) for one in call.keywords]
        except (AttributeError, MemoryError, RecursionError, SyntaxError, ValueError):
            raise _no_list(text, what, error) from None


def _no_list(text: str, what: str, error: type[KerasSaliencyError]) -> KerasSaliencyError:
    return error(
        f"Expected a list of {what}.",
        f"Got {text!r}, which is no list of names.",
        "Write names with commas between them, options in parentheses: "
        '"grad_cam,smooth_grad(samples=5)".',
        _READ_METHODS,
    )


def _word(line: str, node: Any) -> str:
    """Return an option's value as it was written; text in quotes without these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.get_source_segment(line, node) or ""
