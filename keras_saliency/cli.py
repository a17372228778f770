"""The command ``keras-saliency``: explain photos, list the methods, examine the installation.

Exit status: 0 all done, 1 something failed, 2 not understood, 130 interrupted. Results go to
stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import json
import math
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_saliency.errors import (
    BackendError,
    KerasSaliencyError,
    MethodError,
    PreprocessError,
    SaveError,
    TargetError,
    did_you_mean,
)

if TYPE_CHECKING:  # the rest is imported where it is used: --help must not wait for it
    from keras_saliency._explanation import Explanation
    from keras_saliency.methods import Method
    from keras_saliency.preprocessing import Preprocess
    from keras_saliency.targets import Target

_READ = "keras-saliency explain --help"
_ROW = ("picture", "folder", "figure", "label", "class", "target", "score", "score_kind",
        "probability", "method", "layer", "seconds", "checks", "error")  # fmt: skip
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
    add("--model-option", metavar="NAME=VALUE", action="append", default=[], type=_pair,
        help="for building the network, such as alpha=0.25; may be repeated")  # fmt: skip
    add("--method", default="gradient", metavar="NAME", help="see keras-saliency methods; "
        "default: %(default)s")  # fmt: skip
    add("--method-option", metavar="NAME=VALUE", action="append", default=[], type=_pair,
        help="such as steps=100, window=32, layer=block5_conv3, base=grad_cam; may be repeated")  # fmt: skip
    add("--target", metavar="WHAT", type=_target_words, help="a class number, an ImageNet class "
        "name, margin:A:B (class A against B) or pixel:Y:X[:CHANNEL] of a dense output; "
        "default: the predicted class")  # fmt: skip
    add("--score", choices=("logit", "probability", "log_probability"), default="logit")
    add("--preprocess", choices=("auto", "caffe", "tf", "torch", "none"), default="auto",
        help="auto knows the networks of keras.applications; none leaves pixels at 0..255")  # fmt: skip
    add("--fit", choices=("stretch", "crop", "pad"), default="stretch",
        help="how a photo gets the model's shape; default: %(default)s")  # fmt: skip
    add("--out", metavar="DIR", type=Path, default=Path("saliency_out"), help="where the folders "
        "go, named after the photos; default: %(default)s")  # fmt: skip
    add("--json", action="store_true", help="print one JSON array instead of paths")
    add("--batch-size", type=_count, default=8, metavar="N", help="pictures at once; default: 8")
    add("--seed", type=int, default=0, help="for methods that draw random numbers; default: 0")
    add("--traceback", action="store_true", help="show Python's traceback of an error")
    verb.set_defaults(run=_explain, parser=verb)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip().replace("-", "_"), value


def _value(text: str) -> Any:
    """Return 0.25 for "0.25", True for "true" or "True", [1, 2] for "[1, 2]", else the text."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return read(text)
    return None if text.lower() == "none" else text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _target_words(text: str) -> tuple[str, list[str]]:
    kind, *parts = text.split(":")
    if not parts and text.strip():
        return "class", [text]
    if kind == "margin" and len(parts) == 2 and all(part.strip() for part in parts):
        return kind, parts
    if kind == "pixel" and len(parts) in (2, 3) and all(map(_is_number, parts)):
        return kind, parts
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a class, margin:A:B or pixel:Y:X[:CHANNEL]"
    )


def _method(name: str, given: list[tuple[str, str]]) -> Method:
    """Return a method with its options, or raise MethodError."""
    from keras_saliency import methods

    known = methods.classes().get(name)
    if known is None:
        return methods.get(name)  # raises, with the nearest name
    fields = {field.name: str(field.type) for field in dataclasses.fields(known)}
    options = {}
    for option, text in given:
        if option not in fields:
            raise MethodError(
                f"The method {name!r} was asked for with the option {option!r}.",
                f"Its options are: {', '.join(fields) or 'none at all'}.",
                did_you_mean(option, fields) or "Leave it out.",
                f"help(keras_saliency.methods.{known.__name__})",
            )
        words = fields[option].startswith("str") and text.lower() not in ("none", "null")
        options[option] = text if words else _value(text)
    return known(**options)


# ---------------------------------------------------------------------- the backend


def _start_keras() -> tuple[str, str]:
    """Choose a backend for this process and import Keras; return the backend's name and why."""
    from keras_saliency import _keras

    asked, why = _keras.configured_backend()
    name = _keras.usable_backend()
    if name != asked:
        why = f"{why} asks for {asked!r}, which is not installed"
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = name
        noisy = name != "tensorflow" or "TF_CPP_MIN_LOG_LEVEL" in os.environ
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        try:
            with contextlib.nullcontext() if noisy else _held_stderr():
                _keras.require_keras()
        except ImportError as error:
            raise BackendError(
                f"Keras was asked for the backend {name!r} (by {why}).",
                f"It is installed, but cannot be imported: {error}.",
                "Install it again, or set KERAS_BACKEND to another one.",
                "keras-saliency doctor",
            ) from error
    return name, why


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Drop what TensorFlow's C++ says at import, whatever TF_CPP_MIN_LOG_LEVEL, unless it fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


# ---------------------------------------------------------------------- explain


def _explain(args: argparse.Namespace) -> int:
    from keras_saliency import pictures, progress

    try:
        method = _method(args.method, args.method_option)
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
    named: Any = list(zip(photos, _names(photos), strict=True))
    if len(photos) > 1:
        named = progress.track(named, len(photos), "photos", wait=0)
    stdout, rows, job = sys.stdout, [], None
    for photo, name in named:
        row: dict[str, Any] = {**dict.fromkeys(_ROW), "picture": str(photo)}
        rows.append(row)
        try:
            # Keras prints the progress of downloads on stdout, which is for results.
            with contextlib.redirect_stdout(sys.stderr), _short_warnings():
                picture = pictures.read(photo)
                job = job or _Job.of(args)
                row.update(_result(job.run(picture, method), args.out / name, photos))
        except _Hopeless as error:
            raise error.__cause__ from None
        except Exception as error:
            row["error"] = _tell(error, args.traceback, str(photo) if len(photos) > 1 else "")
            continue
        if not args.json:
            # The bar, where there is one, sends sys.stdout through itself to the terminal.
            print(row["folder"], file=sys.stdout if stdout.isatty() else stdout, flush=True)
    if args.json:
        print(json.dumps(rows, indent=2, default=str), file=stdout)
    return int(any(row["error"] for row in rows))
