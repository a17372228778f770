"""Tables of a run as Markdown, and its figures, so that no number is typed by hand.

    python -m benchmarks report benchmarks/results/suite-2cpu.jsonl
    python -m benchmarks report RUN --out docs/figures --readme docs/benchmarks.md

--readme replaces what stands between the comments ``<!-- benchmarks: begin -->`` and
``<!-- benchmarks: end -->``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BACKENDS, rows
from benchmarks.cases import METHODS
from benchmarks.contenders import BY_HAND, OURS
from benchmarks.rows import Row, case, is_peer

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
TITLES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
_NAMED = ("network", "method", "pictures")


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
    return table((*_NAMED, *heads), [
        (*case, *(cell for one in present for cell in _ours(backends.get(one))))
        for case, backends in lines.items()
    ])  # fmt: skip


def across_peers(results: list[Row]) -> str:
    """Return a line for every peer in every case; nothing where there are no peers."""
    ours = {(*_case(row), row["backend"]): row for row in results if row["library"] == OURS}
    lines = []
    for row in results:
        if not rows.is_peer(row):
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
    return table(heads, lines) if lines else ""


def settings(results: list[Row]) -> str:
    """Return the settings of each peer."""
    chosen: dict[str, dict[str, str]] = {}
    for row in results:
        if rows.is_peer(row) and row.get("settings"):
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
    return f"{chosen[0]['network']}:\n\n" + table(heads, [
        (
            row["contender"],
            *(f"{row[f'{what}_seconds']:.1f}" for what in ("import", "load", "first")),
            milliseconds(row),
        )
        for row in chosen
    ])  # fmt: skip


def table(heads: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    cells = [heads, ["---"] * len(heads), *([str(one) for one in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def milliseconds(row: Row) -> str:
    """Return the median of a row with three digits or all of them."""
    value = row["seconds"]["median"] * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ratio(row: Row, library: str) -> str:
    """Return the ratio to a reference with its quartiles, or nothing where there is none."""
    ratios = row["ratios"].get(library)
    return f"{ratios['median']:.2f} ({ratios['q1']:.2f}–{ratios['q3']:.2f})" if ratios else ""


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the two marks in a file.

    Raises:
        ValueError: It does not hold both marks once, in order.
    """
    whole = path.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{path} must hold {BEGIN} and then {END}, each once.")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


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
    """Return what failed or disagreed: it is never left out in silence."""
    bad = [row for row in results if "error" in row]
    if not bad:
        return ""
    lines = [
        f"- {rows.case(row)}: {row['contender']}: {row['error'].splitlines()[-1]}" for row in bad
    ]
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
    peers = [row for row in good if is_peer(row) and OURS in row["ratios"]]
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    if ours:
        order = {name: place for place, name in enumerate(BACKENDS)}
        ours.sort(key=lambda row: order[row["backend"]])
        title = "This package against a hand-written program for the same backend"
        path = folder / "backends.png"
        _bars(
            ours, BY_HAND, lambda row: row["backend"], title, "times as long as hand-written", path
        )
        made.append(path)
    if peers:
        title = "Other libraries beside this package on the same backend"
        path = folder / "peers.png"
        _bars(
            peers, OURS, lambda row: row["contender"], title, "times as long as this package", path
        )
        made.append(path)
    return made


def _bars(results: list[Row], library: str, name: Any, title: str, axis: str, path: Path) -> None:
    """Draw a group of bars a case, from top to bottom."""
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
            f"{value:.2f}  {name(row)}", (max(end, 1), place), xytext=(4, 0),
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines of runs")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for figures")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the tables there")
    args = parser.parse_args(argv)
    results = list(rows.read(args.files).values())
    if not results:
        parser.error("there is no row of a run in these files")
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
