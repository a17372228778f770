"""Benchmarks: this package on each backend, beside programs written by hand, beside its peers.

    python -m benchmarks run            contenders against each other, in interleaved rounds
    python -m benchmarks report         tables and figures of a run, also into the README
    python -m benchmarks compare        two runs: what became slower

    python -m benchmarks.micro_batch    time and memory by batch_size
    python -m benchmarks.memory         memory of methods that look at a picture very often
    python -m benchmarks.fixations      fixation models: predicting, building, training
    python -m benchmarks.quality        which methods find the object
    python -m benchmarks.coverage       every family of networks by every method: is it right
    python -m benchmarks.rivals         other fixation models on the same recordings

Cores are shared and clocks wander, so every figure is a ratio inside one interleaved run, and
contestants must agree on the answer before any of them is timed.
"""
