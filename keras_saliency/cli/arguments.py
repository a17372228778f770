"""Arguments that several verbs share: files, a model, a target, what is written and printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_saliency.cli import parsing
from keras_saliency.cli.parser import Parser

KINDS = ("picture", "signal", "volume", "video", "tokens", "table")


def add_files(verb: Parser, what: str) -> None:
    """Add the files that a verb reads.

    Args:
        verb: The verb's parser.
        what: What they hold, such as "pictures".
    """
    verb.add_argument("files", nargs="*", metavar="FILE", help=f"{what}; folders of them, or globs "
        "such as 'photos/*.jpg'; a packaged photo where none is named")  # fmt: skip


def add_kind(verb: Parser) -> None:
    """Add the kind of input."""
    verb.add_argument("-k", "--kind", choices=KINDS, metavar="KIND", help="what the files hold: "
        f"{', '.join(KINDS)}; default: what the model shows")  # fmt: skip


def add_model(verb: Parser) -> None:
    """Add a model and how it is built."""
    add = verb.add_argument_group("the model").add_argument
    add("-m", "--model", metavar="MODEL", default="efficientnet_lite0", help="a .keras or .h5 "
        "file, a name of keras.applications, or %(default)s (the default)")  # fmt: skip
    add("-w", "--weights", metavar="FILE", help="weights of a named network: imagenet (the "
        "default), none for random ones, or a file")  # fmt: skip
    add_model_option(add)
    add("-p", "--preprocess", metavar="HOW", choices=("auto", "caffe", "tf", "torch", "none"),
        default="auto", help="what happens to pixels: tf (-1..1), torch (0..1, ImageNet's mean and "
        "deviation), caffe (BGR less the mean), none (0..255), or auto (the default), which knows "
        "the networks of keras.applications and models that rescale")  # fmt: skip
    add("--fit", choices=("stretch", "crop", "pad"), default="stretch", metavar="HOW",
        help="how a picture gets the model's shape: stretch (the default), crop or "
        "pad")  # fmt: skip


def add_model_option(add: Any) -> None:
    """Add what a named network is built with."""
    add("--model-option", metavar="NAME=VALUE", action="append", default=[], type=parsing.pair,
        help="for building a named network, such as alpha=0.25; repeatable")  # fmt: skip


def add_target(verb: Parser, several: bool = False) -> None:
    """Add what is explained.

    Args:
        verb: The verb's parser.
        several: Whether several targets may be named.
    """
    add = verb.add_argument_group("what is explained").add_argument
    more = "; repeat it for several" if several else ""
    add("-t", "--target", metavar="WHAT", type=parsing.target_words,
        action="append" if several else "store", help="a class number, an ImageNet class name, "
        "margin:A:B (class A against B) or pixel:Y:X[:CHANNEL] of a dense output; default: the "
        f"predicted class{more}")  # fmt: skip
    add("--model-output", metavar="NAME", help="the output that is explained, of a model with "
        "several: a name, or a path such as aux/0")  # fmt: skip
    add("--score", metavar="SCORE", choices=("logit", "probability", "log_probability"),
        default="logit", help="logit (the default), probability or log_probability")  # fmt: skip


def add_running(verb: Parser) -> None:
    """Add how a method runs."""
    add = verb.add_argument_group("how it runs").add_argument
    add("-b", "--batch-size", type=parsing.batch_size, default=8, metavar="N",
        help="inputs, or variants of one, that go through the model at once: a number, or auto; "
        "default: %(default)s")  # fmt: skip
    add("-s", "--seed", type=parsing.seed, default=0, metavar="N",
        help="for methods that draw random numbers; default: 0")  # fmt: skip


def add_results(
    verb: Parser,
    out: str = "saliency_out",
    metavar: str = "DIR",
    what: str = "the folder of the results, one in it for each file",
    json: str = "print one JSON array instead of paths",
    overlay: bool = False,
) -> Any:
    """Add the form of the results, and return the group's ``add_argument``."""
    add = verb.add_argument_group("results").add_argument
    add("-o", "--out", metavar=metavar, type=Path, default=Path(out),
        help=f"{what}; default: %(default)s")  # fmt: skip
    if overlay:
        add("--overlay", action="store_true", help="add overlay.png, the map over the picture at "
            "its own size")  # fmt: skip
    add_json(add, json)
    return add


def add_json(add: Any, what: str = "print JSON") -> None:
    """Add ``--json`` and ``--traceback``."""
    add("-j", "--json", action="store_true", help=what)
    add("--traceback", action="store_true", help="show Python's traceback of an error")
