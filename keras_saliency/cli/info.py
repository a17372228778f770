"""The verbs that print what there is: ``methods`` and ``doctor``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_saliency.cli import output
from keras_saliency.cli.output import quiet


def add(verbs: Any) -> None:
    """Add the verbs to the command."""
    for name, run, summary in (
        ("methods", _methods, "list the attribution methods"),
        ("doctor", _doctor, "show what is installed, and test it"),
    ):
        verb = verbs.add_parser(name, help=summary, description=summary.capitalize() + ".")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run)


def _methods(args: argparse.Namespace) -> int:
    from keras_saliency import methods

    claims = ("family", "signed", "complete", "stochastic", "needs_gradient", "reference")
    rows = []
    for name, one in methods.classes().items():
        method = one()
        rows.append({"name": name, **{claim: getattr(method, claim) for claim in claims},
                     "options": method.parameters()})  # fmt: skip
    if args.json:
        print(json.dumps(rows, indent=2, default=repr))
        return 0
    shown = ("name", *claims)
    said = {True: "yes", False: "no"}
    table = [[name.replace("_", " ") for name in shown]]
    table += [[said.get(row[name], row[name]) for name in shown] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(map(str.ljust, cells, widths)).rstrip())
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from keras_saliency.cli import doctor

    with quiet():
        report = doctor.examine()
    print(json.dumps(output.plain(report), indent=2) if args.json else doctor.text(report))
    return 0 if report["ok"] else 1
