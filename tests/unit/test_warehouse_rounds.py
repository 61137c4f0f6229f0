"""Rounds go on whatever becomes of a compaction beside them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from warehouse import __main__ as process
from warehouse.__main__ import REGISTRY, State, rounds

SLOW = [sys.executable, "-c", "import time; time.sleep(600)"]
FAILING = [sys.executable, "-c", "raise SystemExit(1)"]
MISSING = ["/nowhere/python"]


class Rounds:
    """Rounds that only count, and the compactions that were begun beside them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = 0
        self.children: list[subprocess.Popen[bytes]] = []
        self._patch = monkeypatch
        self._stop = threading.Event()
        monkeypatch.setattr(process, "_LOOK_SECONDS", 0.01)
        popen = subprocess.Popen

        def begun(*args: Any, **more: Any) -> subprocess.Popen[bytes]:
            child: subprocess.Popen[bytes] = popen(*args, **more)
            self.children.append(child)
            return child

        monkeypatch.setattr(subprocess, "Popen", begun)

    def hold(self, compaction: list[str], until: Callable[[], bool]) -> None:
        """Rounds until a condition or, so that a failure ends, for half a minute."""

        def one(state: State) -> bool:
            state.took({"rows": 100, "files": 1, "lag": 0, "lost": 0}, 0.0)
            self.held += 1
            if until():
                self._stop.set()
            return True

        self._patch.setattr(process, "_COMPACT", compaction)
        self._patch.setattr(process, "one_round", one)
        giving_up = threading.Timer(30, self._stop.set)
        giving_up.start()
        try:
            rounds(State(), self._stop, 0.01, rows=100)
            assert giving_up.is_alive(), "it came to nothing within half a minute"
        finally:
            giving_up.cancel()
            for child in self.children:
                child.kill()


@pytest.fixture
def failed() -> Callable[[], float]:
    """How many compactions have failed since the test began."""

    def counted() -> float:
        return REGISTRY.get_sample_value("dbt_warehouse_compactions_failed_total") or 0.0

    before = counted()
    return lambda: counted() - before


def test_a_slow_compaction_holds_up_no_round_is_the_only_one_and_ends_with_the_rounds(
    monkeypatch: pytest.MonkeyPatch, failed: Callable[[], float]
) -> None:
    one = Rounds(monkeypatch)
    one.hold(SLOW, lambda: one.held >= 5)
    assert one.held == 6, "and a last one after the stop"
    assert [child.poll() for child in one.children] == [-9]
    assert failed() == 0


def test_a_compaction_that_takes_for_ever_is_ended_and_the_next_is_begun(
    monkeypatch: pytest.MonkeyPatch, failed: Callable[[], float]
) -> None:
    monkeypatch.setattr(process, "_ROUND_SECONDS", 0.05)
    one = Rounds(monkeypatch)
    one.hold(SLOW, lambda: len(one.children) == 2)
    assert failed() >= 1


@pytest.mark.parametrize("argv", [FAILING, MISSING])
def test_a_compaction_that_fails_is_counted_and_tried_again_and_rounds_go_on(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, failed: Callable[[], float]
) -> None:
    one = Rounds(monkeypatch)
    one.hold(argv, lambda: failed() >= 2)
    assert one.held >= 2
