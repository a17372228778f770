"""Benchmarks: this package on each backend, beside hand-written programs, beside its peers.

    python -m benchmarks run            contenders against each other, in interleaved rounds
    python -m benchmarks report         tables and figures of a run, also into docs/benchmarks.md
    python -m benchmarks compare        two runs: what became slower

    python -m benchmarks.studies.micro_batch         time and memory by batch_size
    python -m benchmarks.studies.memory              memory of methods with many samples
    python -m benchmarks.studies.fixations           fixation models: predicting, building, training
    python -m benchmarks.studies.fixation_baselines  other fixation models on the same recordings
    python -m benchmarks.studies.quality             which methods find the object
    python -m benchmarks.studies.coverage            every family of networks by every method
    python -m benchmarks.studies.tables              quality or coverage as a table for the docs
    python -m benchmarks.studies.stream              10,000 pictures into a folder, killed twice
    python -m benchmarks.studies.ray_scaling         Ray Data with one actor and with two
    python -m benchmarks.studies.fuzz_pictures       damaged pictures
    python -m benchmarks.studies.fuzz_storage        damaged files, killed processes
    python -m benchmarks.studies.path_of_a_call      the files that a call goes through

Cores are shared and clocks wander, so every figure is a ratio inside one interleaved run, and
contenders must agree on the answer before any of them is timed.
"""

BACKENDS = ("jax", "tensorflow", "torch")
