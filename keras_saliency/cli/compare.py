"""The verb ``compare``: many methods on the same photos, scored."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_saliency.cli import comparing, photos
from keras_saliency.cli.output import printable, quiet, say

_READ = "keras-saliency compare --help"
_EXAMPLES = """examples:
  keras-saliency compare
  keras-saliency compare dog.jpg cat.png --methods grad_cam,lrp,occlusion
  keras-saliency compare dog.jpg --methods all --metrics deletion,insertion --out all_of_them
  keras-saliency compare dog.jpg --methods "smooth_grad,smooth_grad(samples=5)" --metrics road
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "compare",
        help="compare methods on photos, in a table and a figure",
        description="Compare methods on the same photos. A table of scores is printed; the folder "
        "gets figure.png with all maps, scores.png, table.csv and table.json.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    comparing.add_arguments(verb)
    photos.add_arguments(
        verb, "saliency_comparison", "DIR", "where the results go", "print JSON instead of a table"
    )
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_saliency import folder
    from keras_saliency.comparison import writing

    asked = f"A comparison was to be saved as the folder {str(args.out)!r}."
    folder.check(args.out, writing.OURS, asked, _READ)  # now rather than after an hour
    found, broken = comparing.run(args, "comparing methods on")
    if found is None:
        return 1
    with quiet():
        place = found.save(args.out)
    if args.json:
        told = {"folder": str(place), "broken": broken, **writing.told(found)}
        print(json.dumps(told, indent=2))
    else:
        print(printable(f"{found.title()}\n\n{found.table()}"), flush=True)
    say(str(place))
    return comparing.status(found, broken)
