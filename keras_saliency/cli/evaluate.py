"""The verb ``evaluate``: score a fixation model on recordings of eye movements."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keras_saliency.cli import recordings, startup
from keras_saliency.cli.output import quiet, say

_EXAMPLES = """examples:
  keras-saliency evaluate --data my_recordings
  keras-saliency evaluate --data fixations --datasets osie,mit1003 --model my_training/model
  keras-saliency evaluate --data cat2000 --train-split 'train[:90%]' --val-split 'train[90%:]'
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "evaluate",
        help="score a fixation model, beside the centre bias and humans",
        description="Score a fixation model on the validation split of recordings. The centre bias "
        "is fitted on the training split. A table is printed; the folder gets table.md, "
        "evaluation.json, pictures.csv and best_and_worst.png.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    recordings.add_arguments(verb)
    add("--model", default="default", help="default (the one in this package), a folder that "
        "keras-saliency train wrote, or a .keras file")  # fmt: skip
    add("--mirror", action=argparse.BooleanOptionalAction, help="average over picture and mirror "
        "image, in twice the time; default: as the model was made for")  # fmt: skip
    add("--by", choices=("dataset", "category"), default="dataset", help="rows of the table")
    add("--seed", type=int, default=0, help="of the halves of the observers; default: 0")
    add("--out", metavar="DIR", type=Path, default=Path("fixation_evaluation"),
        help="default: %(default)s")  # fmt: skip
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    scored = recordings.read(args.data, args.val_split, args.datasets)
    fitted = recordings.read_for_baseline(args.data, args.train_split, args.datasets)
    say(f"scoring on {recordings.told(scored)}")
    backend, why = startup.start_keras()
    if why.endswith("not installed"):
        say(f"{why}: using {backend}")
    with quiet():
        from keras_saliency.fixation.scoring import best_and_worst, evaluate

        found = evaluate(scored, fitted, args.model, mirror=args.mirror, seed=args.seed)
    for what, note in found.info["notes"].items():
        say(f"note: {what}: {note}")
    print(found.json() if args.json else found.table(args.by), flush=True)
    with quiet():  # last: a place that cannot be written shall not cost the numbers
        figure = best_and_worst(found, scored, args.model, mirror=args.mirror)
        folder = found.save(args.out, figure)
    say(str(folder))
    return 0
