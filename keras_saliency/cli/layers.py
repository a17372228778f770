"""The verb ``layers``: the layers that a class activation map can be of."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import arguments, output, parsing
from keras_saliency.cli.output import printable, quiet, say
from keras_saliency.cli.parser import add_verb

if TYPE_CHECKING:
    from keras_saliency._engine.cam_layers import CamLayer

_WHY = "the last map of the input, larger than one cell, on which the score depends"
# What stands for a size that the model leaves open, by kind.
_SIZES = {"picture": 224, "signal": 256, "volume": 32, "video": 16, "tokens": 16, "table": 8}
_EXAMPLES = """
keras-saliency layers my_model.keras
keras-saliency layers resnet50 --json
keras-saliency layers my_segmentation.keras dog.jpg --target pixel:10:20:1
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "layers",
        "MODEL [FILE] [OPTIONS]",
        "list the layers that Grad-CAM and other CAMs can be of",
        "List the layers of a model that a class activation map can be of, with the shapes of "
        "their outputs, in the order in which the model calls them. The default is marked; another "
        "one is named with --method-option layer=NAME. Nothing is downloaded: a named network is "
        "built with random weights.",
        _EXAMPLES,
    )
    verb.add_argument("model", metavar="MODEL", help="a .keras or .h5 file, or a name of "
        "keras.applications")  # fmt: skip
    verb.add_argument("file", metavar="FILE", nargs="?", help="an input, where the model leaves "
        "sizes open; default: 224x224 pixels")  # fmt: skip
    arguments.add_kind(verb)
    arguments.add_model_option(verb.add_argument)
    arguments.add_target(verb)
    arguments.add_json(verb.add_argument, "print a JSON array instead of a table")
    verb.set_defaults(run=_run, parser=verb, verb="layers")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency.cli import loading

    output.announce_backend()
    options = {name: parsing.value(text) for name, text in args.model_option}
    with quiet():
        is_file = loading.is_file(args.model)
        model = loading.load(args.model, None if is_file else "none", options)
        listed = _cam_layers(model, args)
    if args.json:
        rows = [{**dataclasses.asdict(one), "why": _why(one)} for one in listed]
        print(json.dumps(rows, indent=2))
    else:
        print(printable(_table(listed)) if listed else f"No layer of {model.name} has a map.")
    return 0


def _cam_layers(model: Any, args: argparse.Namespace) -> list[CamLayer]:
    from keras_saliency._engine.cam_layers import cam_layers
    from keras_saliency._engine.engine import Engine
    from keras_saliency._inputs import text
    from keras_saliency._inputs.batch import prepare

    own = text.adapter(model)
    target = parsing.target(args.target, args.score, model, args.model_output)
    given: Any = Path(args.file) if args.file else _example(own, args.kind)
    batch = prepare(own, given, None, args.kind)  # no layer depends on the numbers
    return cam_layers(Engine(own, target, batch))


def _example(own: Any, wanted: str | None) -> Any:
    """Return arrays that stand for a model's inputs."""
    import numpy as np

    from keras_saliency._inputs.recognition import kind_of

    kind = kind_of(own, None, wanted).name
    arrays, is_open = {}, False
    for one in own.inputs:
        shape = one.shape if one.shape is not None else (None, None, 3)
        is_open = is_open or None in shape
        sizes = [1, *(size or _SIZES[kind] for size in shape)]
        arrays[one.name] = np.ones(sizes, one.dtype if "int" in one.dtype else "float32")
    if is_open:
        say(f"The model leaves sizes open: {_SIZES[kind]} is taken. Name a FILE for another.")
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _why(layer: CamLayer) -> str | None:
    if not layer.is_default:
        return None
    return f"{_WHY}; but {layer.finding}" if layer.finding else _WHY


def _table(layers: list[CamLayer]) -> str:
    rows = [("layer", "class", "output shape", "")]
    for one in layers:
        tokens = "" if one.grid is None else f", {'x'.join(map(str, one.grid))} tokens"
        rows.append(
            (one.name, one.layer_class, f"{_shape(one.shape)}{tokens}", "default" * one.is_default)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in rows]
    default = next((one for one in layers if one.is_default), None)
    if default is not None:
        lines += ["", f"default: {default.name}, {_why(default)}."]
    return "\n".join(lines)


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('?' if one is None else str(one) for one in shape)})"
