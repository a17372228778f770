"""The command answers mistakes with the nearest right word, and its help is readable."""

import re
import shlex
import subprocess
from pathlib import Path

import keras
import pytest

from keras_saliency import cli, methods
from keras_saliency.cli import listing, main, messages
from keras_saliency.errors import KerasSaliencyError

pytestmark = pytest.mark.any_backend

pytest_plugins = ("command_line",)

VERBS = ("explain", "predict", "compare", "report", "layers", "methods", "train", "evaluate",
         "doctor", "completion")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("explan dog.jpg", "No verb is called 'explan'. Did you mean 'explain'?"),
        ("dog.jpg", "Write: keras-saliency explain dog.jpg."),
        ("photos", "No verb is called 'photos'. Verbs are explain, predict, "),
        ("explain --methd lrp", "explain has no option --methd. Did you mean '--method'?"),
        ("explain --batch_size=3", "Did you mean '--batch-size'?"),
        ("explain dog.jpg --out x --sede 3", "Did you mean '--seed'?"),
        ("explain -x", "explain has no option -x. Its options are --help, --kind, "),
        ("predict --method lrp", "predict has no option --method. It is one of explain."),
        ("train --dta x", "train has no option --dta. Did you mean '--data'?"),
        ("explain --kind vidoe", "--kind: Expected picture, signal, "),
        ("explain --kind vidoe", "Got 'vidoe'. Did you mean 'video'?"),
        ("doctor now", "Nothing is known of 'now'."),
        ("completion fish", "Expected bash or zsh. Got 'fish'."),
        ("methods grad_kam", "Did you mean 'grad_cam'?"),
        ("explain -M gradient,lrp", "keras-saliency compare takes several"),
        ("layers", "required: MODEL"),
    ],
)
def test_a_mistake(words, said, capsys):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    verb = words.split()[0]
    usage = f"usage: keras-saliency {verb} " if verb in VERBS else "usage: keras-saliency VERB"
    assert err.startswith(usage)
    assert "See keras-saliency" in err.splitlines()[-1]
    assert len(err.splitlines()) == 2


def test_words_that_only_look_like_options(run, photo):
    assert run("explain", photo, "-t", "-1")[0] == 1  # a class, which there is not
    assert run("explain", "--", "-x.png")[0] == 1  # a file, which there is not
    assert run("explain", photo, "-b2", "-oout")[0] == 0


def test_a_method_is_no_model(capsys):
    assert main(["explain", "-m", "Grad-CAM"]) == 1
    assert "It is a method. Write --method grad_cam." in capsys.readouterr().err


def test_the_command_alone_shows_its_help(capsys):
    assert main([]) == 0
    alone = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == alone
    for verb in VERBS:
        assert f"\n  {verb} " in alone


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_80_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "examples:\n  keras-saliency " + verb in text
    assert text.startswith(f"usage: keras-saliency {verb} ")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["help", verb]) == 0
    assert capsys.readouterr().out == text


def test_short_options_mean_the_same_everywhere():
    meanings = {}
    for parser in cli.parser().siblings.values():
        for action in parser._actions:
            for short in (one for one in action.option_strings if one[1] != "-"):
                long = action.option_strings[-1].removesuffix("s")  # --method, --methods
                assert meanings.setdefault(short, long) == long
    assert {"-m": "--model", "-M": "--method", "-t": "--target", "-o": "--out"}.items() <= (
        meanings.items()
    )


def test_every_method_has_a_line():
    assert list(listing.SHOWS) == methods.names()
    assert all(len(line) <= 51 for line in listing.SHOWS.values())


def test_a_method_of_its_own(capsys):
    assert main(["methods", "Guided IG", "blur-ig", "input_t_gradient"]) == 0
    assert capsys.readouterr().out.startswith("guided_integrated_gradients\n")
    assert main(["methods", "IG", "Grad-CAM++"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("integrated_gradients\n  shows ")
    assert "\n\ngrad_cam_pp\n" in text
    assert "steps=50" in text
    assert "arXiv:1703.01365" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("fix", "read", "said"),
    [
        ("Say it: kind='signal' or kind='picture'.", "help(keras_saliency.explain)",
         "Say it: --kind signal or --kind picture. See keras-saliency explain --help."),
        ("Leave kind= out.", "help(keras_saliency.methods.GradCamPP)",
         "Leave --kind out. See keras-saliency methods grad_cam_pp."),
        ("Pass preprocess=None, or explain(preprocess=...).",
         "keras-saliency methods, or help(keras_saliency.methods)",
         "Pass --preprocess none, or --preprocess. See keras-saliency methods."),
        ("Name one, as in targets.TopClass(output='aux/0').", "keras_saliency.layer_tree(model)",
         "Name one, as in --model-output aux/0. See keras-saliency layers m.keras."),
        ("Take targets.Class(3), or a callable.", "help(keras_saliency.targets)",
         "Take a class (--target 3). See keras-saliency explain --help."),
        ("Take window=3 or batch_size=1.", "help(keras.applications.VGG16)",
         "Take window=3 or --batch-size 1. See https://keras.io/api/applications."),
    ],
)  # fmt: skip
def test_an_error_says_what_a_shell_user_can_type(fix, read, said):
    options = ["--kind", "--preprocess", "--target", "--model-output", "--batch-size"]
    error = KerasSaliencyError("What.", "Got.", fix, read)
    assert messages.for_shell(error, "explain", options, "m.keras") == f"What. Got. {said}"


# ---------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell, capsys, tmp_path):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "guided_grad_cam" in script
    for verb in VERBS:
        assert verb in script
    if shell == "bash":
        path = tmp_path / "script"
        path.write_text(script + """
COMP_WORDS=(keras-saliency explain --overl); COMP_CWORD=2
_shtab_keras_saliency; echo "${COMPREPLY[@]}"
COMP_WORDS=(keras-saliency explain --method grad_c); COMP_CWORD=3
_shtab_keras_saliency; echo "${COMPREPLY[@]}"
COMP_WORDS=(keras-saliency lay); COMP_CWORD=1
_shtab_keras_saliency; echo "${COMPREPLY[@]}"
""")  # fmt: skip
        found = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
        assert found.stdout.split() == ["--overlay", "grad_cam", "grad_cam_pp", "layers"]


def test_completion_says_what_it_needs(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    assert main(["completion", "zsh"]) == 1
    assert "pip install 'keras-saliency[completion]'" in capsys.readouterr().err


# ---------------------------------------------------------------------- layers


def test_layers(tmp_path, capsys):
    layers = keras.layers
    tower = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, name="conv")])
    tower.name = "tower"
    given = keras.Input((16, 16, 3))
    both = layers.Add(name="both")([tower(given), tower(layers.Rescaling(0.5)(given))])
    late = layers.Conv2D(5, 3, name="late")(both)
    beside = layers.Conv2D(2, 1, name="beside")(both)  # no score depends on it
    ends = {
        "classes": layers.Dense(3, name="classes")(layers.GlobalAveragePooling2D()(late)),
        "other": layers.GlobalAveragePooling2D()(beside),
    }
    path = str(tmp_path / "twin.keras")
    keras.Model(given, ends).save(path)
    words = ["layers", path, "--model-output", "classes"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "tower/conv@0", "tower/conv@1", "both", "late",
    ]  # fmt: skip
    assert lines[1].split(None, 2)[1:] == ["Conv2D", "(14, 14, 4)"]
    assert lines[4].endswith("(12, 12, 5)   default")
    assert lines[-1].startswith("default: late, the last map of the input")
    assert main([*words, "--json"]) == 0
    assert '"name": "tower/conv@1"' in capsys.readouterr().out
    assert main(["layers", path]) == 1
    assert "as in --model-output classes" in capsys.readouterr().err


def test_layers_of_a_model_without_maps(files, capsys):
    assert main(["layers", str(files / "flat.keras")]) == 0
    assert capsys.readouterr().out == "No layer of flat has a map.\n"


def test_layers_of_any_size(tmp_path, photo, capsys):
    given = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="conv")(given))
    path = str(tmp_path / "open.keras")
    keras.Model(given, keras.layers.Dense(2)(x)).save(path)
    assert main(["layers", path]) == 0
    said = capsys.readouterr()
    assert "(222, 222, 4)" in said.out
    assert "224 is taken. Name a FILE" in said.err
    assert main(["layers", path, str(photo)]) == 0
    said = capsys.readouterr()
    assert "(18, 28, 4)" in said.out
    assert said.err == ""


# ---------------------------------------------------------------------- what the docs say

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _lines(text):
    """Return command lines: of blocks of shell code, or of examples in a help."""
    blocks = re.findall(r"```(?:bash|console|sh)\n(.*?)```", text, re.DOTALL) or [text]
    whole = "\n".join(blocks).replace("\\\n", " ")
    return re.findall(r"(?:^|&& |\$ )\s*(keras-saliency .*)$", whole, re.MULTILINE)


def _parsed(line):
    words = shlex.split(line, comments=True)[1:]
    ends = [k for k, word in enumerate(words) if word in (">", ">>", "|", "&&")]
    return cli.parser().parse_args(words[: min(ends, default=len(words))])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_of_the_docs_are_understood(page):
    text = page.read_text(encoding="utf-8")
    for line in _lines(text) if "```" in text else []:
        assert callable(_parsed(line).run), line


@pytest.mark.parametrize("verb", VERBS)
def test_examples_of_the_help_are_understood(verb):
    examples = cli.parser().siblings[verb].epilog
    assert all(_parsed(line).verb == verb for line in _lines(examples.replace("  keras", "keras")))
    assert _lines(examples.replace("  keras", "keras"))


def test_the_page_on_the_command_names_every_verb_and_short_option():
    page = (ROOT / "docs" / "howto" / "command.md").read_text(encoding="utf-8")
    for verb, parser in cli.parser().siblings.items():
        assert f"`{verb}`" in page
        for action in parser._actions:
            assert all(f"`{one}`" in page for one in action.option_strings if one[1] != "-")
