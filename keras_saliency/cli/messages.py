"""Errors in words that a shell user can type: options of the command in place of Python."""

from __future__ import annotations

import re
from collections.abc import Collection

from keras_saliency.errors import KerasSaliencyError

_VALUE = r"'[^']*'|\"[^\"]*\"|[-\w.]+(?![\w.(\[])"
_RENAMED = {"output": "model_output"}
_ONLY_IN_PYTHON = re.compile(r",? or (targets\.Region|a callable)\b")
_TARGETS = {
    "Class": "a class (--target 3)",
    "Margin": "a margin (--target margin:A:B)",
    "Pixel": "a pixel (--target pixel:Y:X)",
}


def for_shell(
    error: KerasSaliencyError, verb: str, options: Collection[str], model: str = "MODEL"
) -> str:
    """Return an error's message in the words of the command.

    Args:
        error: The error, whose words are those of Python.
        verb: The verb that was run.
        options: The verb's options, such as ``--kind``.
        model: The model as it was named.

    Example:
        >>> from keras_saliency.errors import ModelError
        >>> said = "Expected a kind.", "Got none.", "Pass kind='signal'.", "help(keras_saliency)"
        >>> for_shell(ModelError(*said), "explain", ["--kind"])
        'Expected a kind. Got none. Pass --kind signal. See keras-saliency explain --help.'
    """
    fix = _in_options(error.fix, options)
    return f"{error.what} {error.got} {fix} See {_where(error.read, verb, model)}."


def _in_options(text: str, options: Collection[str]) -> str:
    """Return text with ``kind='signal'`` as ``--kind signal``, where there is such an option."""

    def option(name: str) -> str | None:
        typed = f"--{_RENAMED.get(name, name).replace('_', '-')}"
        return typed if typed in options else None

    def with_value(match: re.Match[str]) -> str:
        typed = option(match["name"])
        if typed is None or match["value"] in ("True", "False"):
            return match[0]
        value = match["value"].strip("'\"")
        return f"{typed} {'none' if value == 'None' else value}"

    def without_value(match: re.Match[str]) -> str:
        return option(match["name"]) or match[0]

    text = _ONLY_IN_PYTHON.sub("", text)
    text = re.sub(rf"targets\.\w+\((?P<name>\w+)=(?P<value>{_VALUE})\)", with_value, text)
    text = re.sub(r"explain\((?:\.\.\., )?(?P<name>\w+)=\.\.\.\)", without_value, text)
    text = re.sub(rf"\b(?P<name>[a-z_]+)=(?P<value>{_VALUE})", with_value, text)
    text = re.sub(r"\b(?P<name>[a-z_]+)=(?=[ .,;]|$)", without_value, text)
    if "--target" in options:
        text = re.sub(
            r"\btargets\.(\w+)(?:\([^()]*\))?", lambda one: _TARGETS.get(one[1], one[0]), text
        )
    return text


def _where(read: str, verb: str, model: str) -> str:
    """Return where to read more, as a command line."""
    one_method = re.search(r"help\(keras_saliency\.methods\.(\w+)", read)
    if one_method:
        from keras_saliency.methods.base.method import names, resolve

        name = resolve(one_method[1], names())
        return f"keras-saliency methods {name}" if name else "keras-saliency methods"
    if "keras-saliency methods" in read:
        return "keras-saliency methods"
    if "layer_tree" in read:
        return f"keras-saliency layers {model}"
    if "help(keras.applications" in read:
        return "https://keras.io/api/applications"
    line = f"keras-saliency {verb} --help" if verb else "keras-saliency --help"
    return re.sub(r"help\(.*\)|keras_saliency\.\S+", line, read)
