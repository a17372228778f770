"""What an archive was asked for, and that a later call asks for the same."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_saliency import provenance
from keras_saliency.archive import parts
from keras_saliency.errors import UNREADABLE, SaveError

SCHEMA_VERSION = 1
NAME = "manifest.json"
_BESIDE = f".{NAME}.new"
_LONGEST = 80  # of what an error quotes


def described(value: Any) -> Any:
    """Return anything in words of JSON that are the same in the next process.

    Functions and classes are told by their names, large arrays by their hash.

    Example:
        >>> described(targets.Class(3))
        {'is': 'Class', 'score': 'logit', 'output': None, 'index': 3}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.size <= 64:
            return value.tolist()
        return f"array {value.shape} sha256 {provenance.picture_hash(value)}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return {"is": type(value).__qualname__, **described(fields)}
    if isinstance(value, Mapping):
        return {str(name): described(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def settle(
    folder: Path, identity: Mapping[str, Any], about: Mapping[str, Any], asked: str, read: str
) -> None:
    """Write a new archive's manifest, or check that an old one's says the same.

    Args:
        folder: The archive's folder, there and locked.
        identity: What must be the same in every call, as `described`.
        about: What else the manifest of the first call says.
        asked: The first sentence of an error.
        read: Where an error says to read more.

    Raises:
        SaveError: The folder holds an archive of something else, or a broken one.
    """
    if not (folder / NAME).exists():
        told = {"schema_version": SCHEMA_VERSION, **identity, **about}
        text = json.dumps(told, indent=2, allow_nan=True) + "\n"
        (folder / _BESIDE).write_text(text, encoding="utf-8")
        parts.sync(folder / _BESIDE)
        os.replace(folder / _BESIDE, folder / NAME)
        parts.sync(folder)
        return
    told = load(folder, asked, read)
    same = json.loads(json.dumps(dict(identity), allow_nan=True))
    differ = [
        f"{name} was {_short(told.get(name))} and is now {_short(value)}"
        for name, value in same.items()
        if _words(told.get(name)) != _words(value)
    ]
    if differ:
        raise SaveError(
            asked,
            f"It was begun with something else: {'; '.join(differ)}.",
            "Ask for the same again, or name a new folder.",
            read,
        )


def load(folder: Path, asked: str, read: str) -> dict[str, Any]:
    """Return what the manifest says.

    Raises:
        SaveError: There is none, it is broken, or of a later schema.
    """
    fix = "Name a folder written by Explainer.write or FixationPredictor.write."
    try:
        told = json.loads((folder / NAME).read_text(encoding="utf-8"))
        version = told["schema_version"]
        newer = version > SCHEMA_VERSION
        told["holds"], told["format"]
    except UNREADABLE as error:
        found = f"Its {NAME} cannot be read ({type(error).__name__}: {error})."
        raise SaveError(asked, found, fix, read) from error
    if newer:
        found = f"It has schema version {version}; this package reads up to {SCHEMA_VERSION}."
        raise SaveError(asked, found, "Upgrade: pip install -U keras-saliency.", read)
    return told


def is_ours(name: str) -> bool:
    """Whether a file of this name was left of a manifest; the next one is written over it."""
    return name == _BESIDE


def _words(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=True)  # NaN is not NaN; its word is


def _short(value: Any) -> str:
    text = _words(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
