"""The machine, date and versions of every row."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    "keras-saliency", "keras", "keras-hub", "numpy", "jax", "jaxlib", "tensorflow",
    "tensorflow-cpu", "torch",
    "captum", "grad-cam", "torchcam", "tf-keras-vis", "xplique", "saliency",
)  # fmt: skip
_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")


def describe() -> dict[str, Any]:
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
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> dict[str, Any]:
    """Return the commit, and whether the package differed from it, at the first call.

    A worker reads it before it imports the package: the commit may change during a long run.
    """
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(_git("status", "--porcelain", "--", "keras_saliency")),
    }


def _git(*words: str) -> str:
    here = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True)
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


def reset_highest() -> None:
    """Forget the most memory that this process has had; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def highest_mb() -> float:
    """Return the most memory in MB since the last `reset_highest`; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
