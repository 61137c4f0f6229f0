"""Phases: a part of the play at a time, a bounded number of requests under way, a line for each.

Invariants: a phase ends when every one of its requests has its outcome; requests are started in the
order given; the number under way never exceeds the number of workers.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from rich.cells import set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from simulation.gateway_client import Answer, GatewayClient, Write

T = TypeVar("T")

_DISPLAY_EVERY = 25
_ASK_SECONDS = 0.5
_TITLE_WIDTH = 36


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """How a phase went. Times are of the whole request, outcome included, in milliseconds."""

    title: str
    requests: int
    refused: int
    seconds: float
    median_ms: float
    p95_ms: float

    @property
    def per_second(self) -> float:
        """Requests with their outcome per second."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        text = f"{self.requests:>6,} in {self.seconds:5.1f} s, {self.per_second:5.0f}/s"
        text += f", median {self.median_ms:4.0f} ms, p95 {self.p95_ms:4.0f} ms"
        return text + (f", {self.refused:,} refused" if self.refused else "")


@dataclass(frozen=True, slots=True)
class _Measured:
    task: TaskID | None
    seconds: float
    milliseconds: array[float]


class Phases:
    """Runs phases and shows each as a bar on a terminal, as a plain line elsewhere."""

    def __init__(self, gateway: GatewayClient, console: Console, workers: int) -> None:
        self._gateway = gateway
        self._console = console
        self._workers = workers
        self._progress: Progress | None = None
        self.results: list[PhaseResult] = []

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Bars stay on the terminal while this is open."""
        if not self._console.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console, refresh_per_second=5) as progress:
            self._progress = progress
            try:
                yield
            finally:
                self._progress = None

    async def send_all(
        self,
        title: str,
        writes: Iterable[Write],
        total: int,
        took: Callable[[Write, Answer], None] | None = None,
    ) -> PhaseResult:
        """Send every write; `took` is told each answer. A refusal is counted, not raised.

        Raises GatewayError when the gateway stays away.
        """
        refused = 0

        async def one(write: Write) -> None:
            nonlocal refused
            answer = await self._gateway.send(write)
            refused += not answer.accepted
            if took is not None:
                took(write, answer)

        times = await self._each(title, writes, total, one)
        return self._finish(title, times, refused)

    async def obtain_tokens(self, title: str, people: list[str]) -> PhaseResult:
        """Obtain everybody's token beforehand, so that later phases measure their own work alone."""

        async def one(person: str) -> None:
            await self._gateway.token_for(person)

        return self._finish(title, await self._each(title, people, len(people), one), 0)

    @contextmanager
    def counting(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A phase that counts by itself: it calls what this yields with how many are done."""
        started = time.monotonic()
        task = self._begin(title, total)
        yield lambda done: self._show(task, done)
        self._end(title, task, total, f"{total:>6,} in {time.monotonic() - started:5.1f} s")

    async def wait_for(
        self, title: str, total: int, count: Callable[[], Awaitable[int]], patience: float
    ) -> None:
        """Ask until `count` reaches `total`; TimeoutError when it has not risen for `patience` seconds."""
        with self.counting(title, total) as show:
            seen, last_rise = -1, time.monotonic()
            while (now := await count()) < total:
                if now > seen:
                    seen, last_rise = now, time.monotonic()
                elif time.monotonic() - last_rise > patience:
                    raise TimeoutError(f"{title}: {now:,} of {total:,}, and none for {patience:.0f} s")
                show(now)
                await asyncio.sleep(_ASK_SECONDS)

    # -- inside ------------------------------------------------------------------------------------

    async def _each(
        self, title: str, things: Iterable[T], total: int, do: Callable[[T], Awaitable[None]]
    ) -> _Measured:
        """Worker loops on one iterator: no task and no queue per request."""
        task = self._begin(title, total)
        milliseconds = array("f")
        source = iter(things)

        async def work() -> None:
            for thing in source:
                started = time.perf_counter()
                await do(thing)
                milliseconds.append((time.perf_counter() - started) * 1000)
                if len(milliseconds) % _DISPLAY_EVERY == 0:
                    self._show(task, len(milliseconds))

        started = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._workers, total)):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise _first(failures) from failures
        return _Measured(task, time.perf_counter() - started, milliseconds)

    def _begin(self, title: str, total: int) -> TaskID | None:
        return self._progress.add_task(title, total=total, note="") if self._progress else None

    def _show(self, task: TaskID | None, done: int) -> None:
        if self._progress is not None and task is not None:
            self._progress.update(task, completed=done)

    def _end(self, title: str, task: TaskID | None, total: int, note: str) -> None:
        if self._progress is not None and task is not None:
            self._progress.update(task, completed=total, total=total, note=note.strip())
        else:
            line = f"{set_cell_size(title, _TITLE_WIDTH)} {note}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _finish(self, title: str, measured: _Measured, refused: int) -> PhaseResult:
        ordered = sorted(measured.milliseconds)
        number = len(ordered)
        result = PhaseResult(
            title=title,
            requests=number,
            refused=refused,
            seconds=measured.seconds,
            median_ms=ordered[number // 2] if ordered else 0.0,
            p95_ms=ordered[number * 95 // 100] if ordered else 0.0,
        )
        self.results.append(result)
        self._end(title, measured.task, number, str(result))
        return result


def _first(failure: BaseException) -> BaseException:
    """The first plain exception of a group: the workers fail alike, one says enough."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure
