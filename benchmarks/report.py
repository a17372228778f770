"""Tables of a run as Markdown, and its figures, so that no number is typed by hand.

    python -m benchmarks report benchmarks/results/suite-2cpu.jsonl
    python -m benchmarks report RUN --out docs/figures --readme docs/benchmarks.md

--readme replaces what stands between the comments ``<!-- benchmarks: begin -->`` and
``<!-- benchmarks: end -->``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks import BACKENDS, make_parser
from benchmarks.cases import METHODS
from benchmarks.contenders import BY_HAND, OURS
from benchmarks.measuring import Row, markdown_table, put_into, read_lines

TITLES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
_NAMED = ("network", "method", "pictures")

Key = tuple[str, str, int, int, str]  # network, method, pictures, side, contender


def read(paths: Iterable[Path]) -> dict[Key, Row]:
    """Return the rows of a run by what they are about; a later row replaces an earlier one.

    Rows of other benchmarks are left out.
    """
    rows = (row for path in paths for row in read_lines(path))
    known = (_from_warm(row) if row["benchmark"] == "warm" else row for row in rows)
    return {key(row): row for row in known if row and row["benchmark"] == "run"}


def key(row: Row) -> Key:
    """Return what a row is about."""
    return row["network"], row["method"], row["batch"], row["side"], row["contender"]


def case(row: Row) -> str:
    """Return in words what was timed."""
    pictures = "1 picture" if row["batch"] == 1 else f"{row['batch']} pictures"
    return f"{row['network']}, {row['method']}, {pictures}"


def is_peer(row: Row) -> bool:
    """Whether a row is another library's, or of a program by hand for a network without Keras."""
    return row["library"] not in (OURS, BY_HAND) or row["form"] != "Keras model"


def _from_warm(row: Row) -> Row | None:
    """Return a row of the first benchmark of all as if it came from a run of today."""
    library = {"explain": OURS, "handwritten": BY_HAND}.get(row["contestant"])
    if library is None:
        return None
    return {
        "benchmark": "run",
        "network": row["model"],
        "method": "gradient",
        "batch": row["batch"],
        "side": 224,
        "contender": f"{library} ({row['backend']})",
        "library": library,
        "backend": row["backend"],
        "form": "Keras model",
        "settings": "",
        "rounds": row["rounds"],
        "seconds": row["seconds"],
        "ratios": {BY_HAND: row["ratio"]},
        "first_seconds": row["first_seconds"],
        "agreement": row["agreement"],
        "machine": row["machine"],
    }


# ------------------------------------------------------------------------------------------- tables


def markdown(results: Iterable[Row]) -> str:
    """Return all tables, with where and when they were measured and how to do it again."""
    ordered = sorted(results, key=_place)
    good = [row for row in ordered if "error" not in row]
    parts = [
        _where(good),
        "This package on each backend: milliseconds of a warm call, and how many times as long as "
        "a program written by hand for that backend it takes (median and quartiles of interleaved "
        "rounds; below 1 is faster).",
        across_backends(good),
    ]
    if peers := across_peers(good):
        parts += [
            "Other libraries, each in the setting that is best for it: how many times as long as "
            "this package on the same backend, and the memory above the loaded model.",
            peers,
            settings(good),
        ]
    if starts := starting(good):
        parts += [
            "Starting, on one picture's gradient: seconds to import, to load the network, and of "
            "the first call, which traces and compiles.",
            starts,
        ]
    parts.append(_missing(ordered))
    return "\n\n".join(part for part in parts if part) + "\n"


def across_backends(results: list[Row]) -> str:
    """Return a line a case: this package on each backend, beside the hand-written program."""
    present = [one for one in BACKENDS if any(row["backend"] == one for row in results)]
    lines: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in results:
        if row["library"] == OURS:
            lines.setdefault(_case(row), {})[row["backend"]] = row
    heads = [f"{TITLES[one]} {what}" for one in present for what in ("ms", "/ hand-written")]
    return markdown_table((*_NAMED, *heads), [
        (*case, *(cell for one in present for cell in _ours(backends.get(one))))
        for case, backends in lines.items()
    ])  # fmt: skip


def across_peers(results: list[Row]) -> str:
    """Return a line for every peer in every case; nothing where there are no peers."""
    ours = {(*_case(row), row["backend"]): row for row in results if row["library"] == OURS}
    lines = []
    for row in results:
        if not is_peer(row):
            continue
        own = ours.get((*_case(row), row["backend"]))
        form = "" if row["form"] == "Keras model" else f", {row['form']}"
        lines.append((
            *_case(row),
            row["library"],
            f"{TITLES[row['backend']]}{form}",
            milliseconds(row),
            ratio(row, OURS),
            f"{row['above_model_mb']:.0f}",
            f"{own['above_model_mb']:.0f}" if own else "",
        ))  # fmt: skip
    heads = (*_NAMED, "library", "on", "ms", "theirs / ours", "MB", "ours MB")
    return markdown_table(heads, lines) if lines else ""


def settings(results: list[Row]) -> str:
    """Return the settings of each peer."""
    chosen: dict[str, dict[str, str]] = {}
    for row in results:
        if is_peer(row) and row.get("settings"):
            chosen.setdefault(row["contender"], {})[row["method"]] = row["settings"]
    lines = [
        f"{name}: {', '.join(f'{method} ({setting})' for method, setting in methods.items())}"
        for name, methods in chosen.items()
    ]
    return f"Settings. {'; '.join(lines)}." if lines else ""


def starting(results: list[Row]) -> str:
    """Return a line a contender, of the last network of which one picture's gradient was taken."""
    chosen = [
        row
        for row in results
        if (row["method"], row["batch"]) == ("gradient", 1) and row.get("import_seconds")
    ]
    if not chosen:
        return ""
    chosen = [row for row in chosen if row["network"] == chosen[-1]["network"]]
    heads = ("contender", "import s", "load s", "first call s", "warm ms")
    return f"{chosen[0]['network']}:\n\n" + markdown_table(heads, [
        (
            row["contender"],
            *(f"{row[f'{what}_seconds']:.1f}" for what in ("import", "load", "first")),
            milliseconds(row),
        )
        for row in chosen
    ])  # fmt: skip


def milliseconds(row: Row) -> str:
    """Return the median of a row with three digits or all of them."""
    value = row["seconds"]["median"] * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(row: Row, library: str) -> str:
    """Return the ratio to a reference with its quartiles, or nothing where there is none."""
    ratios = row["ratios"].get(library)
    return f"{ratios['median']:.2f} ({ratios['q1']:.2f}–{ratios['q3']:.2f})" if ratios else ""


def _place(row: Row) -> tuple[str, int, int]:
    return row["network"], METHODS.index(row["method"]), row["batch"]


def _case(row: Row) -> tuple[str, str, int]:
    return row["network"], row["method"], row["batch"]


def _ours(row: Row | None) -> tuple[str, str]:
    return (milliseconds(row), ratio(row, BY_HAND)) if row else ("", "")


def _where(results: list[Row]) -> str:
    """Return machine, date, commit and versions, and how to run it again."""
    machines = [row["machine"] for row in results if row.get("machine")]
    if not machines:
        return ""
    seen: dict[str, list[str]] = {"place": [], "date": [], "commit": [], "package": []}
    for one in machines:
        device = "" if one["device"] == "cpu" else f", {one['device']}"
        changed = " with changes" if one["dirty"] else ""
        seen["place"].append(f"{one['cores']} cores of {one['cpu']}{device}")
        seen["date"].append(one.get("date", "").split(" ")[0])
        seen["commit"].append(one["commit"][:7] + changed)
        seen["package"] += [f"{name} {value}" for name, value in one["versions"].items()]
    places, dates, commits, packages = (sorted(set(each) - {""}) for each in seen.values())
    return (
        f"Measured on {'; '.join(places)}; {', '.join(dates)}; commit {', '.join(commits)}; "
        f"{', '.join(packages)}. Answers were compared before any clock started. "
        "`python -m benchmarks run --json FILE` and `python -m benchmarks report FILE` do it again."
    )


def _missing(results: list[Row]) -> str:
    """Return what failed or disagreed: it is never left out silently."""
    bad = [row for row in results if "error" in row]
    if not bad:
        return ""
    lines = [f"- {case(row)}: {row['contender']}: {row['error'].splitlines()[-1]}" for row in bad]
    return "Not in the tables, because it failed or gave another answer:\n\n" + "\n".join(lines)


# ------------------------------------------------------------------------------------------ figures


_COLOURS = {"jax": "#7b5ea7", "tensorflow": "#e07b39", "torch": "#3a7ca5"}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def draw_figures(results: list[Row], folder: Path) -> list[Path]:
    """Draw what there is to draw, and return the files: ``backends.png`` and ``peers.png``.

    Args:
        results: Rows of a run.
        folder: Made where it is missing.
    """
    good = [row for row in results if "error" not in row]
    ours = [row for row in good if row["library"] == OURS and BY_HAND in row["ratios"]]
    ours.sort(key=lambda row: BACKENDS.index(row["backend"]))
    peers = [row for row in good if is_peer(row) and OURS in row["ratios"]]
    figures = {
        "backends.png": (ours, BY_HAND, "backend", "times as long as hand-written",
                         "This package against a hand-written program for the same backend"),
        "peers.png": (peers, OURS, "contender", "times as long as this package",
                      "Other libraries beside this package on the same backend"),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / name: figure for name, figure in figures.items() if figure[0]}
    for path, figure in wanted.items():
        _bars(path, *figure)
    return list(wanted)


def _bars(path: Path, results: list[Row], library: str, name: str, axis: str, title: str) -> None:
    """Draw a group of bars a case, from top to bottom, each with its ratio and ``row[name]``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups: dict[str, list[Row]] = {}
    for row in results:
        groups.setdefault(case(row), []).append(row)
    places, ticks, top = [], [], 0.0
    for group in groups.values():
        inside = top + np.arange(len(group))
        places += inside.tolist()
        ticks.append(float(inside.mean()))
        top += len(group) + 0.8
    ordered = [row for group in groups.values() for row in group]
    middle, low, high = (
        np.array([row["ratios"][library][each] for row in ordered])
        for each in ("median", "q1", "q3")
    )
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.26 * top), layout="constrained")
    axes.barh(
        places, middle - 1, left=1, height=0.86,
        color=[_COLOURS[row["backend"]] for row in ordered],
    )  # fmt: skip
    axes.errorbar(
        middle, places, xerr=[middle - low, high - middle], fmt="none", ecolor="#333333",
        elinewidth=1,
    )  # fmt: skip
    for place, row, value, end in zip(places, ordered, middle, high, strict=True):
        axes.annotate(
            f"{value:.2f}  {row[name]}", (max(end, 1), place), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(min(0.8, float(low.min()) / 1.1), max(1.25, float(high.max())) * 3)
    left, right = axes.get_xlim()
    ticks_shown = [each for each in _TICKS if left <= each <= right]
    axes.set_xticks(ticks_shown, [f"{each:g}" for each in ticks_shown])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(ticks, groups)
    axes.set_ylim(top - 1.2, -0.8)
    axes.set_xlabel(f"{axis} (median, quartiles; to the left is faster)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Print the tables; draw figures and fill a README on request."""
    parser = make_parser(" report", __doc__)
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines of runs")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for figures")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the tables there")
    args = parser.parse_args(argv)
    results = list(read(args.files).values())
    if not results:
        parser.error("Expected rows of a run. Got none in these files.")
    text = markdown(results)
    print(text, end="")
    if args.out:
        for path in draw_figures(results, args.out):
            print(path, file=sys.stderr)
    if args.readme:
        put_into(args.readme, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
