"""The verb ``train``: a fixation model from recordings of eye movements."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from keras_saliency.cli import recordings, startup
from keras_saliency.cli.output import quiet, say
from keras_saliency.errors import FixationModelError

_EXAMPLES = """examples:
  keras-saliency train --data my_recordings --out my_training
  keras-saliency train default --data fixations --datasets osie,scene500
  keras-saliency train resnet50 --data salicon --data fixations --data-parallel
  keras-saliency train --data cat2000 --train-split 'train[:90%]' --val-split 'train[90%:]'

A training that was stopped goes on where it was when the same command is run again.
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "train",
        help="train a fixation model on recordings of eye movements",
        description="Train a fixation model. The folder gets checkpoint.npz, history.csv, "
        "history.png and the model, whose path is printed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    add("preset", nargs="?", default="default", help="default (EfficientNet-Lite0, the one in this "
        "package) or resnet50")  # fmt: skip
    recordings.add_arguments(verb)
    add("--out", metavar="DIR", type=Path, default=Path("fixation_training"),
        help="default: %(default)s")  # fmt: skip
    add("--weights", default="imagenet", help="the encoder's: imagenet (the default), none for "
        "random ones, or a file")  # fmt: skip
    add("--seed", type=int, default=0, help="of order, variation and weights; default: 0")
    add("--data-parallel", action="store_true", help="share each batch among all devices (JAX)")
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_saliency.fixation import presets

    preset = presets.find(args.preset)  # before anything that takes time
    learned = recordings.read(args.data, args.train_split, args.datasets)
    checked = recordings.read(args.data, args.val_split, args.datasets)
    say(f"learning from {recordings.told(learned)}")
    say(f"validating on {recordings.told(checked)}")
    backend, why = startup.start_keras()
    say(f"{why}: using {backend}" if why.endswith("not installed") else f"on {backend}")
    if args.data_parallel and backend != "jax":
        raise FixationModelError(
            "Training on several devices was asked for.",
            f"Keras shares batches among devices on JAX; this is {backend}.",
            "Set KERAS_BACKEND=jax, or leave out --data-parallel.",
            "keras-saliency train --help",
        )
    with quiet():
        if args.data_parallel:
            import keras

            keras.distribution.set_distribution(keras.distribution.DataParallel())
        from keras_saliency import data, fixation

        batches = data.FixationBatches(
            learned,
            preset.canvases,
            preset.batch_size,
            augment=data.Augment(),
            shuffle=True,
            seed=args.seed,
        )
        model = fixation.train(
            args.preset,
            batches,
            data.FixationBatches(checked, preset.canvases, preset.batch_size),
            args.out,
            seed=args.seed,
            weights=None if args.weights.lower() == "none" else args.weights,
            tell=say,
            about={"command": _command(), "data": recordings.counted(learned)},
        )
    print(model, flush=True)
    return 0


def _command() -> str:
    """The command as it was given: to be repeated."""
    return shlex.join(["keras-saliency", *sys.argv[1:]])
