"""What is explained and how, the same for every photo: model, target, preprocessing."""

from __future__ import annotations

import argparse
from typing import Any

from keras_saliency.cli import startup, words
from keras_saliency.cli.output import say


def add_arguments(verb: Any) -> None:
    """Add the words that name a model, a target and what pixels go through."""
    add = verb.add_argument
    add("--model", default="efficientnet_lite0", help="a name of keras.applications, a .keras or "
        ".h5 file, or %(default)s (the default)")  # fmt: skip
    add("--weights", help="a weights file; imagenet (the default); none for random ones")
    add("--model-option", metavar="NAME=VALUE", action="append", default=[], type=words.pair,
        help="for building the network, such as alpha=0.25; may be repeated")  # fmt: skip
    add("--target", metavar="WHAT", type=words.target_words, help="a class number, an ImageNet "
        "class name, margin:A:B (class A against B) or pixel:Y:X[:CHANNEL] of a dense output; "
        "default: the predicted class")  # fmt: skip
    add("--score", choices=("logit", "probability", "log_probability"), default="logit")
    add("--preprocess", choices=("auto", "caffe", "tf", "torch", "none"), default="auto",
        help="auto knows the networks of keras.applications; none leaves 0..255")  # fmt: skip
    add("--fit", choices=("stretch", "crop", "pad"), default="stretch",
        help="how a photo gets the model's shape; default: %(default)s")  # fmt: skip
    add("--batch-size", type=words.batch_size, default=8, metavar="N",
        help="a number, or auto; default: %(default)s")  # fmt: skip
    add("--seed", type=int, default=0, help="for methods that draw random numbers; default: 0")


def chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of explain() that these words mean; Keras starts and a model is loaded.

    Raises:
        KerasSaliencyError: No such model, or words that do not fit it.
    """
    from keras_saliency.cli.loading import load

    backend, why = startup.start_keras()
    if why.endswith("not installed"):
        say(f"{why}: using {backend}")
    options = {name: words.value(text) for name, text in args.model_option}
    model = load(args.model, args.weights, options)
    if args.weights is not None and args.weights.lower() == "none":
        say("warning: the weights are random, so the maps mean nothing")
    return {
        "model": model,
        "target": words.target(args.target, args.score, model),
        "preprocess": words.preprocess(args.preprocess, args.fit, model),
        "batch_size": args.batch_size,
        "seed": args.seed,
    }
