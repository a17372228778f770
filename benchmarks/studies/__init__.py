"""Studies of one question each, run by hand: ``python -m benchmarks.studies.NAME``."""
