"""``python -m benchmarks``: what there is; ``run``, ``report`` and ``compare`` do it."""

from __future__ import annotations

import importlib
import sys

OVERVIEW = """\
python -m benchmarks VERB: the suite, ours beside programs by hand and beside other libraries
  run         every contender on every case, answers compared first, then timed      35 min
  report      the rows of a run as Markdown and figures, also into a page of docs/   seconds
  compare     two runs: what became slower                                          seconds

python -m benchmarks.studies.NAME: one question each
  cost memory          how much memory do methods of many samples take?              10 min
  cost batch_size      why is the default batch_size what it is?                     10 min
  cost path            through how many files does a warm call go?                  seconds
  streams folder       10,000 pictures, killed twice: is the folder whole?            3 min
  streams ray          what does a second actor bring Ray Data?                      15 min
  fixations speed      how fast do fixation models predict and train?                 5 min
  fixations baselines  how do other fixation models score on the same pictures?      30 min
  quality              which methods locate the object in photos?                   3 hours
  kinds                does every method locate a block in every kind of input?      10 min
  coverage             is every method right on every family of networks?           5 hours
  tables               rows of coverage or quality as tables for docs/              seconds
  fuzz_pictures        what does the reader make of 2,100 damaged pictures?           2 min
  fuzz_storage         do saved results survive flipped bits and killed processes?   15 min

Each has --help. Times are rough, for all three backends on 2 CPU cores. benchmarks/README.md says
how to read the figures; contenders/ holds what is compared, results/ what was measured."""
VERBS = ("run", "report", "compare")


def main(arguments: list[str]) -> int:
    """Do what the first word names; print the overview without one."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(OVERVIEW)
        return 0
    if arguments[0] not in VERBS:
        print(
            f"Expected {', '.join(VERBS)}. Got {arguments[0]!r}. Studies are modules: "
            "python -m benchmarks.studies.NAME. python -m benchmarks lists them.",
            file=sys.stderr,
        )
        return 2
    verb = importlib.import_module(f"benchmarks.{arguments[0]}")
    return int(verb.main(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
