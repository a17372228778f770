"""The verbs ``train`` and ``evaluate``, and the recordings they read."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_saliency.cli import arguments, output, parsing
from keras_saliency.cli.output import printable, quiet, say
from keras_saliency.cli.parser import Parser, add_verb
from keras_saliency.errors import FixationError, FixationModelError, did_you_mean

_EXAMPLES = """
keras-saliency train --data my_recordings --out my_training
keras-saliency train default --data fixations --datasets osie,scene500
keras-saliency train resnet50 --data salicon --data fixations --data-parallel
keras-saliency train --data cat2000 --train-split 'train[:90%]' \\
                     --val-split 'train[90%:]'
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "train",
        "[PRESET] --data WHERE [OPTIONS]",
        "train a fixation model on recordings of eye movements",
        "Train a fixation model. The folder gets checkpoint.npz, history.csv, history.png and the "
        "model, whose path is printed. The same command resumes a training that was interrupted.",
        _EXAMPLES,
    )
    verb.add_argument("preset", nargs="?", metavar="PRESET", default="default", help="default "
        "(EfficientNet-Lite0, the one in this package) or resnet50")  # fmt: skip
    _add_data(verb)
    add = verb.add_argument_group("the training").add_argument
    add("-w", "--weights", metavar="FILE", default="imagenet", help="the encoder's: imagenet (the "
        "default), none for random ones, or a file")  # fmt: skip
    add("-s", "--seed", type=parsing.seed, default=0, metavar="N",
        help="of order, variation and weights; default: 0")  # fmt: skip
    add("--data-parallel", action="store_true", help="share each batch among all devices (JAX)")
    add = verb.add_argument_group("results").add_argument
    add("-o", "--out", metavar="DIR", type=Path, default=Path("fixation_training"),
        help="default: %(default)s")  # fmt: skip
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_run, parser=verb, verb="train")


def _run(args: argparse.Namespace) -> int:
    for source in args.data:  # before Keras is imported
        _check_source(source)
    from keras_saliency.fixation import model as presets

    preset = presets.find(args.preset)  # before anything that takes time
    learned = read(args.data, args.train_split, args.datasets)
    checked = read(args.data, args.val_split, args.datasets)
    say(f"learning from {described(learned)}")
    say(f"validating on {described(checked)}")
    backend, why = output.start_keras()
    say(f"{why}: using {backend}" if why.endswith("not installed") else f"on {backend}")
    if args.data_parallel and backend != "jax":
        raise FixationModelError(
            "Expected the backend jax for --data-parallel.",
            f"Got {backend}; Keras shares batches among devices on JAX only.",
            "Set KERAS_BACKEND=jax, or leave out --data-parallel.",
            "keras-saliency train --help",
        )
    with quiet():
        if args.data_parallel:
            import keras

            keras.distribution.set_distribution(keras.distribution.DataParallel())
        from keras_saliency import fixation
        from keras_saliency.fixation import data

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
            about={"command": _command(), "data": counted(learned)},
        )
    print(printable(str(model)), flush=True)
    return 0


def _command() -> str:
    """The command line of this process, to be repeated."""
    return shlex.join(["keras-saliency", *sys.argv[1:]])


_EVALUATE_EXAMPLES = """
keras-saliency evaluate --data my_recordings
keras-saliency evaluate --data fixations -m my_training/model
keras-saliency evaluate --data cat2000 --train-split 'train[:90%]' \\
                        --val-split 'train[90%:]'
"""


def add_evaluate(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "evaluate",
        "--data WHERE [OPTIONS]",
        "score a fixation model, beside the centre bias and humans",
        "Score a fixation model on the validation split of recordings. The centre bias is fitted "
        "on the training split. A table is printed; the folder gets table.md, evaluation.json, "
        "pictures.csv and best_and_worst.png.",
        _EVALUATE_EXAMPLES,
    )
    _add_data(verb)
    add = verb.add_argument_group("the model").add_argument
    add("-m", "--model", metavar="MODEL", default="default", help="default (the one in this "
        "package), a folder that keras-saliency train wrote, or a .keras file")  # fmt: skip
    add("--mirror", action=argparse.BooleanOptionalAction, help="average over picture and mirror "
        "image, in twice the time; default: as the model was made for")  # fmt: skip
    add("-s", "--seed", type=parsing.seed, default=0, metavar="N",
        help="of the halves of the observers; default: 0")  # fmt: skip
    add = arguments.add_results(
        verb, "fixation_evaluation", "DIR", "the folder", "print JSON instead of a table"
    )
    add("--by", choices=("dataset", "category"), default="dataset", metavar="WHAT",
        help="rows of the table: dataset (the default) or category")  # fmt: skip
    verb.set_defaults(run=_run_evaluate, parser=verb, verb="evaluate")


def _run_evaluate(args: argparse.Namespace) -> int:
    scored = read(args.data, args.val_split, args.datasets)
    fitted = read_for_baseline(args.data, args.train_split, args.datasets)
    say(f"scoring on {described(scored)}")
    output.announce_backend()
    with quiet():
        from keras_saliency.fixation.scoring import best_and_worst, evaluate

        result = evaluate(scored, fitted, args.model, mirror=args.mirror, seed=args.seed)
    for what, note in result.info["notes"].items():
        say(f"note: {what}: {note}")
    print(result.json() if args.json else printable(result.table(args.by)), flush=True)
    with quiet():  # last: a folder that cannot be written shall not cost the numbers
        figure = best_and_worst(result, scored, args.model, mirror=args.mirror)
        folder = result.save(args.out, figure)
    say(str(folder))
    return 0


_NAMED = 10  # of pictures; the count is of all


def _add_data(verb: Parser) -> None:
    """Add the arguments that name data."""
    add = verb.add_argument_group("the recordings").add_argument
    add("-d", "--data", metavar="WHERE", action="append", required=True, help="a folder with "
        "index.csv and fixations.npz, or a data set prepared with TFDS: its name (cat2000, "
        "salicon, mit1003) or folder; repeatable")  # fmt: skip
    add(
        "--datasets", metavar="A,B", type=_names, help="which data sets of the tables; default: all"
    )
    add("--train-split", metavar="SPLIT", default="train", help="default: %(default)s; with TFDS "
        "also slices, such as 'train[:90%%]'")  # fmt: skip
    add("--val-split", metavar="SPLIT", default="val", help="default: %(default)s")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_for_baseline(
    sources: Sequence[str], split: str, datasets: Sequence[str] | None
) -> list[Any]:
    """Return the recordings that a centre bias is fitted on; none where there is no such split."""
    try:
        return read(sources, split, datasets)
    except FixationError as error:
        say(f"note: no training pictures, so the centre bias is that of the scored ones. {error}")
        return []


def read(sources: Sequence[str], split: str, datasets: Sequence[str] | None) -> list[Any]:
    """Return the recordings of a split from all sources; those without fixations are reported.

    Raises:
        FixationError: There is none, or a source holds no data.
    """
    for source in sources:  # before TensorFlow Datasets is imported, which takes seconds
        _check_source(source)
    from keras_saliency.fixation import data

    result: list[Any] = []
    with quiet():
        for source in sources:
            read_one = data.read_prepared if _prepared(source) else data.read_table
            result += read_one(source, split=split)
    chosen = [one for one in result if not datasets or one.dataset in datasets]
    if missing := set(datasets or ()) - {one.dataset for one in result}:
        raise FixationError(
            f"Expected the data sets {', '.join(sorted(missing))}, split {split!r}, in --data.",
            f"Got {', '.join(sorted({one.dataset for one in result})) or 'none'}.",
            "Check --datasets and --data.",
            "keras-saliency train --help",
        )
    seen = [one for one in chosen if len(one.y)]
    if not seen:
        raise FixationError(
            f"Expected recordings with fixations in the split {split!r}.",
            f"Got {len(chosen)} recordings, none with a fixation.",
            "Name another split: --train-split, --val-split.",
            "keras-saliency train --help",
        )
    if len(seen) < len(chosen):
        names = [f"{one.dataset}/{one.name}" for one in chosen if not len(one.y)]
        more = ", ..." * (len(names) > _NAMED)
        say(f"{len(names)} pictures have no fixation: {', '.join(names[:_NAMED])}{more}")
    return seen


def _check_source(source: str) -> None:
    """Raise FixationError for a source that is neither a folder nor the name of a data set."""
    from keras_saliency.fixation.data.prepared import BUILDERS

    if source in BUILDERS or os.path.isdir(source):
        return
    raise FixationError(
        f"Expected --data to name a folder, or one of {', '.join(BUILDERS)}.",
        f"{source!r} is a file."
        if os.path.exists(source)
        else f"There is no such folder: {source!r}.",
        did_you_mean(source, BUILDERS) or "Check the path.",
        "keras-saliency train --help",
    )


def _prepared(source: str) -> bool:
    """Whether a data set of TFDS is meant; an error about a table lists what a folder holds."""
    from keras_saliency.fixation.data.prepared import BUILDERS

    path = Path(source)
    if not path.exists() or source in BUILDERS:
        return not (path / "index.csv").exists()
    return (path / "dataset_info.json").exists()


def counted(recordings: Sequence[Any]) -> dict[str, int]:
    """Return how many recordings there are of each data set."""
    return dict(Counter(one.dataset for one in recordings))


def described(recordings: Sequence[Any]) -> str:
    """Return the number of recordings, in all and by data set, as text."""
    counts = counted(recordings)
    parts = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{len(recordings)} pictures ({parts})"
