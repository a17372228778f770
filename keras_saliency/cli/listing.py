"""The verb ``methods``: all methods and what each shows, or all about some of them."""

from __future__ import annotations

import argparse
import inspect
import json
import textwrap
from typing import Any

from keras_saliency.cli import arguments, output
from keras_saliency.cli.output import printable
from keras_saliency.cli.parser import add_verb
from keras_saliency.errors import MethodError

# One plain line each, at most 51 characters: beside the names that makes 80 columns.
SHOWS = {
    "ablation_cam": "coarse regions whose removal lowers the score",
    "attention_rollout": "patches that a transformer attends to, of no class",
    "blur_integrated_gradients": "what matters as a blurred picture gets sharp",
    "deconvnet": "patterns that excite the class, like an etching",
    "deep_lift": "what differs from a baseline, layer by layer",
    "eigen_cam": "where the last layer is most active, of no class",
    "expected_gradients": "pixels that matter, against many reference images",
    "finer_cam": "what tells the class from similar classes",
    "full_grad": "pixels and biases that matter, added up",
    "grad_cam": "the coarse region that speaks for the class",
    "grad_cam_pp": "the region of a class, also of several objects",
    "gradient": "pixels to which the score is most sensitive",
    "guided_backprop": "edges that excite the network, hardly of a class",
    "guided_grad_cam": "edges inside the region of the class",
    "guided_integrated_gradients": "integrated gradients with less noise",
    "hires_cam": "the coarse region that the score is made of",
    "idgi": "pixels that change the score along a path",
    "input_x_gradient": "each pixel's share of the score, to first order",
    "integrated_gradients": "pixels that make the score, from a baseline on",
    "kernel_shap": "each segment's fair share of the score",
    "layer_cam": "regions of the class, sharper in earlier layers",
    "lime": "segments that matter, by a simple model of them",
    "lrp": "each pixel's share of the score, layer by layer",
    "occlusion": "windows whose covering lowers the score",
    "rise": "what matters, by thousands of random masks",
    "score_cam": "the coarse region of the class, without gradients",
    "shapley_sampling": "each segment's fair share of the score, sampled",
    "smooth_grad": "any method's map, averaged over noisy copies",
    "transformer_attribution": "patches that make a transformer's score",
    "x_grad_cam": "Grad-CAM with weights by activation",
    "xrai": "whole regions, the most important first",
}
_CLAIMS = ("family", "signed", "complete", "stochastic", "needs_gradient", "local", "kinds",
           "reference")  # fmt: skip
_EXAMPLES = """
keras-saliency methods
keras-saliency methods grad_cam lrp
keras-saliency methods --json
"""


def add(verbs: Any) -> None:
    """Add the verb to the command."""
    verb = add_verb(
        verbs,
        "methods",
        "[NAME ...] [--json]",
        "list the attribution methods and what they show",
        "List the attribution methods, each with what it shows; of named ones properties, options "
        "with their defaults, and the paper.",
        _EXAMPLES,
    )
    verb.add_argument("names", nargs="*", metavar="NAME", help="methods, in any usual spelling; "
        "default: all")  # fmt: skip
    arguments.add_json(verb.add_argument, "print all of it as JSON")
    verb.set_defaults(run=_run, parser=verb, verb="methods")


def _run(args: argparse.Namespace) -> int:
    from keras_saliency import methods

    try:
        some = [methods.get(name).name for name in args.names]
    except MethodError as error:
        args.parser.error(output.words(error, args))
    rows = [_row(name, methods.classes()[name]) for name in some or methods.names()]
    if args.json:
        print(json.dumps(rows, indent=2, default=repr))
    elif some:
        print(printable("\n\n".join(map(_card, rows))))
    else:
        width = max(len(row["name"]) for row in rows)
        print(f"{'name':<{width}}  what it shows")
        for row in rows:
            print(printable(f"{row['name']:<{width}}  {row['shows']}"))
    return 0


def _row(name: str, known: Any) -> dict[str, Any]:
    method = known()
    shows = SHOWS.get(name) or (inspect.getdoc(known) or "").partition("\n")[0]
    claims = {claim: getattr(method, claim) for claim in _CLAIMS}
    return {"name": name, "shows": shows, **claims, "options": method.parameters()}


_SAID = {
    "signed": ("its sign has a meaning: for and against", "no sign: 0 and more"),
    "complete": ("sums to the score less that of the baseline", "its sum has no meaning"),
    "stochastic": ("draws random numbers: --seed", "draws no random numbers"),
    "needs_gradient": ("needs a score with derivatives", "needs no gradient"),
}


def _card(row: dict[str, Any]) -> str:
    """Return all about one method as lines of text."""
    options = ", ".join(f"{name}={_typed(value)}" for name, value in row["options"].items())
    lines = [
        ("shows", row["shows"]),
        ("family", row["family"]),
        *(("", yes if row[claim] else no) for claim, (yes, no) in _SAID.items()),
        ("kinds", ", ".join(row["kinds"])),
        ("options", options or "none"),
        ("paper", row["reference"]),
    ]
    text = [row["name"]]
    for head, words in lines:
        first, rest = f"  {head:<8} ", " " * 11
        text.append(textwrap.fill(words, 79, initial_indent=first, subsequent_indent=rest,
                                  break_on_hyphens=False))  # fmt: skip
    return "\n".join(text)


def _typed(value: Any) -> str:
    """Return an option's value as one types it."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=repr)
