"""``python -m benchmarks run | report | compare``: see ``--help`` of each."""

from __future__ import annotations

import importlib
import sys

VERBS = ("run", "report", "compare")


def main(arguments: list[str]) -> int:
    """Do what the first word says."""
    if not arguments or arguments[0] not in VERBS:
        print(f"python -m benchmarks {' | '.join(VERBS)}; each has --help", file=sys.stderr)
        return 2
    verb = importlib.import_module(f"benchmarks.{arguments[0]}")
    return int(verb.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
