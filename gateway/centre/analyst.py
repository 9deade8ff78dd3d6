"""The centre looks at its own losses: when, how often, and what comes of it.

Owns the pace and the process that does the work (`analysis_process`): reading tens of thousands of
sessions takes seconds of Python, which must not stand between a record and its `Ack`. What it finds
goes through the writer in small jobs behind the backlog, one after the other.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import gateway
from gateway.centre.metrics import Metrics
from gateway.centre.session import StoreQueue
from gateway.centre.store.jobs import FoundIncident, FoundLoss, Incidents, Job
from gateway.process.clock import Clock

LOGGER = logging.getLogger(__name__)
EVERY_S = 10.0
SHARE = 5.0
"""At most one part in so many of a core: a long analysis is not repeated at once."""
SPAN_NS = 7_200_000_000_000
"""How far back it looks; what was pending before that is looked at when its gateway comes back."""
ANSWER_S = 600.0
LINE = 4 * 1024 * 1024
LEAVE_S = 1.0


class Analyst:
    """One per store: with several workers the first has it. `changes` returns numbers that differ
    when a session began or ended, or a boot was told."""

    def __init__(
        self,
        path: Path,
        store: StoreQueue,
        metrics: Metrics,
        clock: Clock,
        changes: Callable[[], tuple[int, int]],
        every_s: float = EVERY_S,
    ) -> None:
        self._path = path
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._changes = changes
        self._every_s = every_s
        self._one = asyncio.Lock()
        self._seen: tuple[int, int] | None = None
        self._open = 0
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.took_s = 0.0
        """How long the last analysis took; a look at which nothing had changed is none."""
        self.trouble = ""
        """Why the last look failed; empty when it did not."""
        self.states: dict[str, int] = {}
        """Gateways by state, as of the last analysis."""

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="centre.analyst")

    async def stop(self) -> None:
        """End, also in the middle of an analysis: the next start does it again."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._end()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(self._every_s, self.took_s * (SHARE - 1)))
            try:
                await self.look()
            except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
                # The process died or talked nonsense: another one tries.
                if repr(error) != self.trouble:  # once, not every ten seconds of a night
                    LOGGER.warning("incidents could not be analysed error=%r", error)
                await self._start_over(error)
            except Exception as error:  # a bug here; nobody would notice that nothing looks
                LOGGER.exception("incidents could not be analysed")
                await self._start_over(error)
            else:
                if self.trouble:
                    LOGGER.info("incidents are analysed again")
                self.trouble = ""

    async def _start_over(self, error: Exception) -> None:
        self.trouble = repr(error)
        self._seen = None
        await self._end()

    async def look(self) -> None:
        """Analyse, unless nothing can have changed."""
        async with self._one:
            await self._look()

    async def _look(self) -> None:
        changes = self._changes()
        if changes == self._seen and not self._open:
            return
        self._seen = changes
        began = self._clock.now()
        try:
            await self._analyse(self._clock.wall_ns())
        finally:
            self.took_s = self._clock.now() - began

    async def _analyse(self, now_ns: int) -> None:
        async with asyncio.timeout(ANSWER_S):
            process = self._process or await self._begin()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([now_ns - SPAN_NS, now_ns, now_ns]).encode() + b"\n")
            await process.stdin.drain()
            while True:
                line = await process.stdout.readline()
                if not line:
                    raise RuntimeError("the analysing process ended")
                if await self._take(json.loads(line)):
                    return

    async def _begin(self) -> Process:
        home = str(Path(gateway.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.centre.analysis_process",
            str(self._path),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(LEAVE_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _take(self, answer: dict[str, object]) -> bool:
        """Have one line of the answer written; return whether it was the last."""
        done = bool(answer.get("done"))
        if "error" in answer:
            raise RuntimeError(str(answer["error"]))
        job = job_of(answer)
        if not done or job.marks:
            await self._written(job)
        if done:
            self._open = int(str(answer["open"]))
            self.states = dict(answer["states"])  # type: ignore[call-overload]
            for name, number in dict(answer["reboots"]).items():  # type: ignore[call-overload]
                self._metrics.reboots[name] += number
        return done

    async def _written(self, job: Incidents) -> None:
        """Hand a job to the writer and wait for its COMMIT; then count."""
        committed = asyncio.Event()

        def finish(_: Job) -> None:
            committed.set()

        job.done = finish
        self._store.submit(job)
        await committed.wait()
        if job.failed:
            raise RuntimeError(job.failed)
        for one in job.settled:
            if one.gap_s is not None:
                self._metrics.reconnect_gap_s.observe(one.gap_s)
            elif one.incident:
                self._metrics.incidents[one.cause] += 1
            else:
                self._metrics.lost_gateways[one.cause] += 1


def job_of(answer: dict[str, object]) -> Incidents:
    """Return what one line asks for. Raises: TypeError, ValueError."""

    def listed(name: str) -> list[list[object]]:
        found = answer.get(name, [])
        if not isinstance(found, list):
            raise ValueError(f"{name}: not a list")
        return found

    return Incidents(
        incidents=[FoundIncident(*one) for one in listed("incidents")],  # type: ignore[arg-type]
        losses=[FoundLoss(*one) for one in listed("losses")],  # type: ignore[arg-type]
        gone=[str(name) for name in listed("gone")],
        gone_losses=[(str(one[0]), int(str(one[1]))) for one in listed("gone_losses")],
        marks=[(str(one[0]), int(str(one[1]))) for one in listed("marks")],
        backlog=True,
    )
