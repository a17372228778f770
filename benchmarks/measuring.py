"""What a row is made with: the clock, the memory, the machine with its versions, and its output.

Rows are printed as a table while a run goes on, written as JSON lines, and put into pages.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
Seconds = list[float]


def seconds_of(function: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, Seconds]:
    """Call every contender once a round, in a new random order each round.

    Contenders return what they compute as NumPy arrays, so that no device is still at work when
    the clock stops. One round before the clock starts is not counted.
    """
    for function in contenders.values():
        function()
    order = random.Random(seed)
    seconds: dict[str, Seconds] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in order.sample(list(contenders), len(contenders)):
            seconds[name].append(seconds_of(contenders[name]))
    return seconds


def quartiles(values: Seconds) -> dict[str, float]:
    """Return the first quartile, the median and the third quartile, by name."""
    return dict(
        zip(("q1", "median", "q3"), np.percentile(values, (25, 50, 75)).tolist(), strict=True)
    )


def ratios(contender: Seconds, reference: Seconds) -> Seconds:
    """Return, for each round, how many times as long as the reference the contender took."""
    return [ours / theirs for ours, theirs in zip(contender, reference, strict=True)]


# -------------------------------------------------------------------------------------- the machine


_PACKAGES = (
    "keras-saliency", "keras", "keras-hub", "numpy", "jax", "jaxlib", "tensorflow",
    "tensorflow-cpu", "torch",
    "captum", "grad-cam", "torchcam", "tf-keras-vis", "xplique", "saliency",
)  # fmt: skip
_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")


def describe_machine() -> Row:
    """Return CPU, cores, threads, device, versions and commit, as this process sees them."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 2),
        **_threads_and_device(),
        "environment": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "versions": {"python": platform.python_version(), **_versions()},
        **commit(),
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _threads_and_device() -> dict[str, Any]:
    """Return how many threads one operation may use, and what it runs on."""
    import keras

    cores = len(os.sched_getaffinity(0))
    match keras.config.backend():
        case "jax":
            import jax

            return {"threads": cores, "device": jax.devices()[0].device_kind}
        case "tensorflow":
            import tensorflow as tf

            threads = tf.config.threading.get_intra_op_parallelism_threads()
            devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices()
            return {"threads": threads or cores, "device": devices[0].device_type.lower()}
        case "torch":
            import torch

            device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
            return {"threads": torch.get_num_threads(), "device": device}
        case other:
            raise ValueError(f"no threads known for backend {other!r}")


def _versions() -> dict[str, str]:
    result = {}
    for name in _PACKAGES:
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            continue
    return result


@cache
def commit() -> dict[str, Any]:
    """Return the commit, and whether the package differed from it, at the first call.

    A worker reads it before it imports the package: the commit may change during a long run.
    """
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(_git("status", "--porcelain", "--", "keras_saliency")),
    }


def _git(*arguments: str) -> str:
    here = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def peak_mb() -> float:
    """Return the most memory this process has had, in MB."""
    unit = 20 if sys.platform == "darwin" else 10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << unit)


def resident_mb() -> float:
    """Return the memory this process has now, in MB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def reset_peak() -> None:
    """Forget the most memory that this process has had; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_since_reset_mb() -> float:
    """Return the most memory in MB since the last `reset_peak`; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# ----------------------------------------------------------------------------------- a GPU's memory


def reset_device_peak() -> None:
    """Forget the most memory that there has been; JAX cannot."""
    import keras

    match keras.config.backend():
        case "torch":
            import torch

            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
        case "tensorflow":
            import tensorflow as tf

            if tf.config.list_logical_devices("GPU"):
                tf.config.experimental.reset_memory_stats("GPU:0")


def device_mb() -> float | None:
    """Return the memory in MB that is taken now; None without a GPU."""
    return _device_megabytes("current")


def device_peak_mb() -> float | None:
    """Return the most memory in MB since `reset_device_peak`; None without a GPU."""
    return _device_megabytes("peak")


def _device_megabytes(what: str) -> float | None:
    import keras

    taken: int | None = None
    match keras.config.backend():
        case "torch":
            import torch

            if torch.cuda.is_available():
                now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
                taken = now if what == "current" else most
        case "tensorflow":
            import tensorflow as tf

            if tf.config.list_logical_devices("GPU"):
                taken = tf.config.experimental.get_memory_info("GPU:0")[what]
        case "jax":
            import jax

            stats = jax.devices()[0].memory_stats() or {}
            taken = stats.get("bytes_in_use" if what == "current" else "peak_bytes_in_use")
    return None if taken is None else taken / (1 << 20)


# ---------------------------------------------------------------------------------- rows and tables


class Table:
    """A table printed line by line, as rows come in: a long run shows what it has.

    Args:
        columns: Heading and width of each column; text columns have a negative width.
    """

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        """Print the headings."""
        self._widths = [width for _, width in columns]
        self.line(*(heading for heading, _ in columns))

    def line(self, *cells: Any) -> None:
        """Print one line; floats as they are formatted by the caller."""
        texts = zip(map(str, cells), self._widths, strict=True)
        cut = (text.rjust(width) if width > 0 else text.ljust(-width) for text, width in texts)
        print("  ".join(cut).rstrip(), flush=True)


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits or all of them."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def read_lines(path: Path) -> list[Row]:
    """Return the rows of a file of JSON lines, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


class JsonLines:
    """A file that gets one JSON object a line, each on disk as soon as it is known."""

    def __init__(self, path: Path | None) -> None:
        """Empty the file; ``None`` writes nothing."""
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Append one row."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"  # around tables in pages


def markdown_table(heads: Iterable[str], lines: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    heads = list(heads)
    cells = [heads, ["---"] * len(heads), *([str(one) for one in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


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
