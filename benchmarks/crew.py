"""The processes of contenders: started at first use, alive from case to case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environments import NotInstalled, python_for
from benchmarks.worker import JobFailed, Worker

_JOBS = "benchmarks.contestant"


class Crew:
    """One process a contender.

    Args:
        environments: The folder of peers' environments.
        limit: Seconds that one job may take.
    """

    def __init__(self, environments: Path, limit: float) -> None:
        """Start nothing yet."""
        self._environments, self._limit = environments, limit
        self._workers: dict[Contender, Worker] = {}
        self._broken: dict[Contender, str] = {}  # tried once
        self.import_seconds: dict[Contender, float] = {}

    def do(self, contender: Contender, job: str, **arguments: Any) -> Any:
        """Return what a contender's process gives for a job of `benchmarks.contestant`.

        Raises:
            JobFailed: It cannot be installed or imported, it raised, took too long or died.
        """
        worker = self._workers.get(contender)
        if worker is not None and not worker.alive:
            self._workers.pop(contender).close()
            worker = None
        if worker is None:
            worker = self._started(contender)
        return worker.do(f"{_JOBS}:{job}", self._limit, **arguments)

    def _started(self, contender: Contender) -> Worker:
        if contender in self._broken:
            raise JobFailed(self._broken[contender])
        try:
            python = python_for(contender.package, self._environments)
        except NotInstalled as error:
            self._broken[contender] = str(error)
            raise JobFailed(str(error)) from None
        worker = Worker(contender.backend, python)
        module = f"benchmarks.contenders.{contender.module}"
        try:
            started = worker.do(f"{_JOBS}:start", self._limit, module=module)
        except JobFailed as error:
            self._broken[contender] = str(error)
            worker.close()
            raise
        self._workers[contender] = worker
        self.import_seconds[contender] = started["import_seconds"]
        return worker

    def keep(self, needed: Iterable[Contender]) -> None:
        """End all other processes: memory is what runs out first."""
        for contender in self._workers.keys() - set(needed):
            self._workers.pop(contender).close()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep(())
