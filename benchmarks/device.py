"""Memory of a GPU that this process's backend has taken; nothing is known where there is none."""

from __future__ import annotations


def reset_highest() -> None:
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


def resident_mb() -> float | None:
    """Return the memory in MB that is taken now; None without a GPU."""
    return _megabytes("current")


def highest_mb() -> float | None:
    """Return the most memory in MB since `reset_highest`; None without a GPU."""
    return _megabytes("peak")


def _megabytes(what: str) -> float | None:
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
