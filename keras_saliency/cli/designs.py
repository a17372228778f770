"""The verb ``designs``: where people look at two designs; and ``--region`` of it and predict."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import arguments, output
from keras_saliency.cli.output import printable, quiet, say
from keras_saliency.cli.parser import add_verb
from keras_saliency.errors import FixationError, SaveError

if TYPE_CHECKING:
    from keras_saliency.fixation.prediction import FixationPrediction

_READ = "keras-saliency designs --help"
_FORM = "NAME=TOP,LEFT,BOTTOM,RIGHT"
_EXAMPLES = """
keras-saliency designs a.png b.png
keras-saliency designs a.png b.png --region headline=10,20,60,300 --json
keras-saliency designs a.png b.png --region logo=0,0,40,40:9,0,49,40
"""

Region = tuple[str, list[list[int]]]  # a name, and a box for each design that has its own


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "designs",
        "DESIGN DESIGN [OPTIONS]",
        "compare where people look at two designs",
        "Compare where people look at two designs in the first seconds. The result is a folder "
        "with figure.png, designs.npz and manifest.json; its path is printed.",
        _EXAMPLES,
    )
    verb.add_argument("designs", nargs=2, metavar="DESIGN", help="two pictures of one shape: A, "
        "then B")  # fmt: skip
    add = verb.add_argument_group("the model").add_argument
    add("-m", "--model", metavar="MODEL", default="default", help="default (the one in this "
        "package), a folder that keras-saliency train wrote, or a .keras file")  # fmt: skip
    add("--mirror", action=argparse.BooleanOptionalAction, help="average over each design and its "
        "mirror image, in twice the time; default: as the model was made for")  # fmt: skip
    add = arguments.add_results(
        verb, out="designs_out", what="the folder of the result",
        json="print a JSON object instead of the path",
    )  # fmt: skip
    add_region(add, "; two boxes with a colon between them are for A and for B", most=2)
    verb.set_defaults(run=_run, parser=verb, verb="designs")


def add_region(add: Any, more: str = "", most: int = 1) -> None:
    """Add ``--region``; ``most`` boxes may be named for a region."""

    def read(text: str) -> Region:
        return _region(text, most)

    add("--region", metavar=_FORM, action="append", default=[], type=read,
        help="a region whose share of the fixations is reported, in pixels, bottom and right "
        f"exclusive{more}; repeatable")  # fmt: skip


def _region(text: str, most: int) -> Region:
    name, equals, boxes = text.rpartition("=")
    read = [[one.strip() for one in box.split(",")] for box in boxes.split(":")]
    whole = all(len(box) == 4 and all(map(str.isdecimal, box)) for box in read)
    if not (equals and name.strip() and whole and len(read) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not {_FORM}, four whole numbers of pixels")
    return name.strip(), [list(map(int, box)) for box in read]


def named(given: list[Region], which: int = 0) -> dict[str, list[int]]:
    """Return the boxes of ``--region`` by name, for the first or the second design.

    Raises:
        FixationError: Two regions have one name.
    """
    result: dict[str, list[int]] = {}
    for name, boxes in given:
        if name in result:
            raise FixationError(
                "Expected regions with names that differ.",
                f"Got two called {name!r}.",
                "Give each --region a name of its own.",
                _READ,
            )
        result[name] = boxes[min(which, len(boxes) - 1)]
    return result


def row(prediction: FixationPrediction, given: list[Region]) -> dict[str, Any]:
    """Return the JSON entries of a photo's regions, and print them; none without regions.

    Raises:
        FixationError: A region does not lie in the photo.
    """
    if not given:
        return {}
    from keras_saliency.fixation import regions

    with quiet():
        shares = {name: float(one[0]) for name, one in prediction.shares(named(given)).items()}
    say("  ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    weights = regions.weights(named(given), [prediction.pictures[0].shape[:2]])
    pairs = regions.overlaps({name: rows[0] for name, rows in weights.items()})
    if pairs:
        say(regions.said(pairs))
    return {"shares": shares, "overlaps": [list(pair) for pair in pairs]}


def _run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.out.is_dir():
        what = f"Cannot save the result in {str(args.out)!r}."
        raise SaveError(what, "It is a file.", "Name a new folder: --out DIR.", _READ)
    regions = (named(args.region), named(args.region, 1)) if args.region else None
    output.announce_backend()
    from keras_saliency.fixation.designs import compare_designs

    one, other = args.designs
    with quiet():
        result = compare_designs(one, other, regions, model=args.model, mirror=args.mirror)
        folder = result.save(args.out)
    say(result.sentence())
    for name, (a, b) in result.shares.items():
        say(f"{name}: {a:.1%} in A, {b:.1%} in B")
    if args.json:
        numbers = {"folder": str(folder), "figure": str(folder / "figure.png"), **result.to_dict()}
        print(json.dumps(output.plain(numbers), indent=2))
    else:
        print(printable(str(folder)), flush=True)
    return 0
