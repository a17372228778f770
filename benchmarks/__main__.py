"""``python -m benchmarks run | report | compare``: see ``--help`` of each."""

from __future__ import annotations

import importlib
import sys

VERBS = ("run", "report", "compare")


def main(words: list[str]) -> int:
    """Do what the first word says."""
    if not words or words[0] not in VERBS:
        print(f"python -m benchmarks {' | '.join(VERBS)}; each has --help", file=sys.stderr)
        return 2
    verb = importlib.import_module(f"benchmarks.{words[0]}")
    return int(verb.main(words[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
