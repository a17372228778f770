"""Benchmarks: what explain() costs beside what one would write by hand.

    python -m benchmarks.warm           the warm call against a hand-written compiled gradient
    python -m benchmarks.micro_batch    time and memory by batch_size

Cores are shared and clocks wander, so every figure is a ratio inside one interleaved run, and
contestants must agree on the answer before any of them is timed.
"""
