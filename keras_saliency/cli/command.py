"""The command ``keras-saliency``: explain photos, list the methods, examine the installation.

Exit status: 0 all done, 1 something failed, 2 not understood, 130 interrupted. Results go to
stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.cli import results, startup, words
from keras_saliency.errors import (
    KerasSaliencyError,
    MethodError,
    SaveError,
)

if TYPE_CHECKING:  # the rest is imported where it is used: --help must not wait for it
    from keras_saliency.methods import Method

_READ = "keras-saliency explain --help"
_EXAMPLES = """examples:
  keras-saliency explain
  keras-saliency explain dog.jpg cat.png --method grad_cam --out maps
  keras-saliency explain dog.jpg --method integrated_gradients --method-option steps=100
  keras-saliency explain dog.jpg --target "golden retriever" --score probability
  keras-saliency explain dog.jpg --model MobileNetV2 --weights mobilenet_v2.weights.h5
  keras-saliency explain dog.jpg --model my_model.keras --preprocess tf
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The words after ``keras-saliency``; those of the process where it is None.

    Returns:
        The exit status.
    """
    args = None
    try:
        args = _parser().parse_args(argv)
        status = args.run(args)
        sys.stdout.flush()
        return status
    except SystemExit as stop:  # argparse: help was shown (0), or the words make no sense (2)
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python flushes stdout once more on its way out.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        _tell(error, getattr(args, "traceback", False))
        return 1


# ---------------------------------------------------------------------- the words


def _parser() -> argparse.ArgumentParser:
    from keras_saliency import __version__

    parser = argparse.ArgumentParser(
        "keras-saliency", description="Where does a Keras 3 model look?", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="explain | methods | doctor")
    _add_explain(verbs)
    for name, run, told in (
        ("methods", _methods, "list the attribution methods"),
        ("doctor", _doctor, "show what is installed, and test it"),
    ):
        verb = verbs.add_parser(name, help=told, description=told.capitalize() + ".")
        verb.add_argument("--json", action="store_true", help="as JSON")
        verb.set_defaults(run=run)
    return parser


def _add_explain(verbs: Any) -> None:
    verb = verbs.add_parser(
        "explain",
        help="map where a model looks in photos",
        description="Map where a model looks in photos. Each result is a folder with figure.png, "
        "explanation.npz and manifest.json; their paths are printed, one a line.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = verb.add_argument
    add("photos", nargs="*", metavar="PHOTO", help="pictures; a packaged photo where none is named")
    add("--model", default="efficientnet_lite0", help="a name of keras.applications, a .keras or "
        ".h5 file, or %(default)s (the default)")  # fmt: skip
    add("--weights", help="a weights file; imagenet (the default); none for random ones")
    add("--model-option", metavar="NAME=VALUE", action="append", default=[], type=words.pair,
        help="for building the network, such as alpha=0.25; may be repeated")  # fmt: skip
    add("--method", default="gradient", metavar="NAME", help="see keras-saliency methods; "
        "default: %(default)s")  # fmt: skip
    add("--method-option", metavar="NAME=VALUE", action="append", default=[], type=words.pair,
        help="such as steps=100, layer=block5_conv3, base=grad_cam; repeatable")  # fmt: skip
    add("--target", metavar="WHAT", type=words.target_words, help="a class number, an ImageNet "
        "class name, margin:A:B (class A against B) or pixel:Y:X[:CHANNEL] of a dense output; "
        "default: the predicted class")  # fmt: skip
    add("--score", choices=("logit", "probability", "log_probability"), default="logit")
    add("--preprocess", choices=("auto", "caffe", "tf", "torch", "none"), default="auto",
        help="auto knows the networks of keras.applications; none leaves 0..255")  # fmt: skip
    add("--fit", choices=("stretch", "crop", "pad"), default="stretch",
        help="how a photo gets the model's shape; default: %(default)s")  # fmt: skip
    add("--out", metavar="DIR", type=Path, default=Path("saliency_out"), help="where the folders "
        "go, named after the photos; default: %(default)s")  # fmt: skip
    add("--json", action="store_true", help="print one JSON array instead of paths")
    add(
        "--batch-size",
        type=words.count,
        default=8,
        metavar="N",
        help="default: 8",
    )
    add("--seed", type=int, default=0, help="for methods that draw random numbers; default: 0")
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_explain, parser=verb)


# ---------------------------------------------------------------------- explain


def _explain(args: argparse.Namespace) -> int:
    from keras_saliency import explain, pictures, progress

    try:
        method = words.method(args.method, args.method_option)
    except MethodError as error:
        args.parser.error(str(error))
    if args.out.exists() and not args.out.is_dir():
        raise SaveError(
            f"Results were to be saved in {str(args.out)!r}.",
            "It is a file.",
            "Name a new folder: --out DIR.",
            _READ,
        )
    photos = args.photos or [_sample()]
    named: Any = list(zip(photos, results.folder_names(photos), strict=True))
    if len(photos) > 1:
        named = progress.track(named, len(photos), "photos", wait=0)
    rows: list[dict[str, Any]] = []
    job = None
    for photo, name in named:
        row: dict[str, Any] = results.row(photo)
        rows.append(row)
        about = f"{photo}: " if len(photos) > 1 else ""
        try:
            picture = pictures.read(photo)
        except KerasSaliencyError as error:
            row["error"] = _tell(error, args.traceback, about)
            continue
        with _quiet():
            job = job or _job(args, method)  # a failure here ends the command
        try:
            with _quiet():
                explanation = explain(image=picture, **job)
                folder = explanation.save(args.out / name)
        except Exception as error:
            row["error"] = _tell(error, args.traceback, about)
            continue
        row.update(results.of(explanation, folder))
        _say(about + explanation.title())
        for finding in row["checks"]["findings"]:
            _say(f"warning: {about}{finding}")
        if not args.json:
            print(folder, flush=True)
    if args.json:
        print(json.dumps(results.plain(rows), indent=2))
    return int(any(row["error"] for row in rows))


def _sample() -> Path:
    from keras_saliency.pretrained import sample_photo

    _say(f"No photo was named: explaining the packaged one, {sample_photo()}")
    return sample_photo()


def _job(args: argparse.Namespace, method: Method) -> dict[str, Any]:
    """Return explain()'s arguments beside the picture: all that is the same for every photo."""
    from keras_saliency.cli.loading import load

    backend, why = startup.start_keras()
    if why.endswith("not installed"):
        _say(f"{why}: using {backend}")
    options = {name: words.value(text) for name, text in args.model_option}
    model = load(args.model, args.weights, options)
    if args.weights is not None and args.weights.lower() == "none":
        _say("warning: the weights are random, so the maps mean nothing")
    return {
        "model": model,
        "method": method,
        "target": words.target(args.target, args.score, model),
        "preprocess": words.preprocess(args.preprocess, args.fit, model),
        "batch_size": args.batch_size,
        "seed": args.seed,
    }


# ---------------------------------------------------------------------- methods, doctor


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

    with _quiet():
        report = doctor.examine()
    print(json.dumps(results.plain(report), indent=2) if args.json else doctor.text(report))
    return 0 if report["ok"] else 1


# ---------------------------------------------------------------------- stderr


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep stdout for results (Keras reports downloads there), and warnings to a line each."""

    def show(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning):
            _say(f"warning: {' '.join(str(message).split())}")

    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.showwarning = show
        warnings.filterwarnings("ignore", r"picture \d+: ")  # findings are told with their photo
        yield


def _tell(error: BaseException, with_traceback: bool, about: str = "") -> str:
    """Print an error's message, and return it."""
    if with_traceback:
        traceback.print_exception(error)
    if isinstance(error, KerasSaliencyError):
        message = str(error)
    else:
        message = (
            f"This was not foreseen. {type(error).__name__}: {error}. "
            "Please report it, with what --traceback shows. See keras-saliency doctor."
        )
    _say(f"error: {about}{message}")
    return message


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
