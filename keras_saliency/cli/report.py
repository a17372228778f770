"""The verb ``report``: many methods on the same photos, as one HTML file."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_saliency.cli import comparing, photos
from keras_saliency.cli.output import quiet

_EXAMPLES = """examples:
  keras-saliency report
  keras-saliency report dog.jpg cat.png --out dogs_and_cats.html
  keras-saliency report dog.jpg --methods grad_cam,lrp,occlusion --metrics deletion,insertion
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "report",
        help="compare methods on photos, in one HTML file",
        description="Compare methods on the same photos and write one HTML file with photos, maps "
        "to be faded in and out, scores and checks. It opens in a browser without a network. Its "
        "path is printed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    comparing.add_arguments(verb)
    photos.add_arguments(
        verb, "saliency_report.html", "FILE", "the HTML file", "print JSON instead of the path"
    )
    verb.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from keras_saliency.comparison import writing

    writing.check_report(args.out)  # now rather than after an hour
    found, broken = comparing.run(args, "reporting on")
    if found is None:
        return 1
    with quiet():
        place = found.to_html(args.out)
    told = {"report": str(place), "broken": broken, **writing.told(found)}
    print(json.dumps(told, indent=2) if args.json else place, flush=True)
    return comparing.status(found, broken)
