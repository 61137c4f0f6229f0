"""The pure parts of the kit: retry schedule, waves of the relay, business clock, health, settings, failpoints."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploy.local.runfolder import CHECKOUT
from shared.messaging.clock import BusinessClock
from shared.messaging.kafka import partition_of
from shared.messaging.relay import _waves
from shared.messaging.retry import delay_seconds
from shared.settings import ServiceSettings
from shared.telemetry.health import STALL_SECONDS, Health

# --- partitions


@given(st.binary(max_size=60), st.integers(1, 50))
def test_a_key_goes_to_the_partition_that_kafkas_own_clients_choose(key: bytes, partitions: int) -> None:
    all_ = list(range(partitions))
    assert partition_of(key, all_) == DefaultPartitioner()(key, all_, all_)


# --- retry schedule


@given(
    st.integers(1, 1000),
    st.floats(0.001, 100, allow_nan=False),
    st.floats(0.001, 100, allow_nan=False),
)
def test_delays_never_shrink_and_never_exceed_the_longest(attempt: int, first: float, longest: float) -> None:
    now = delay_seconds(attempt, first=first, longest=longest)
    after = delay_seconds(attempt + 1, first=first, longest=longest)
    assert 0 < now <= after <= longest


def test_delays_double_from_the_first_to_the_longest() -> None:
    assert [delay_seconds(n, first=0.2, longest=1.0) for n in range(1, 6)] == [0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="from 1"):
        delay_seconds(attempt, first=1, longest=1)


# --- waves


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123")), max_size=40))
def test_waves_hold_every_row_once_keep_each_keys_order_and_never_hold_a_key_twice(
    places: list[tuple[str, str]],
) -> None:
    rows: list[Any] = [{"id": n, "topic": topic, "key": key} for n, (topic, key) in enumerate(places)]
    waves = _waves(rows)
    assert sorted(row["id"] for wave in waves for row in wave) == list(range(len(rows)))
    for wave in waves:
        assert max(Counter((row["topic"], row["key"]) for row in wave).values()) == 1
    for place in set(places):
        ids = [row["id"] for wave in waves for row in wave if (row["topic"], row["key"]) == place]
        assert ids == sorted(ids)
    assert len(waves) == max(Counter(places).values(), default=0), "no more waves than the longest key needs"


# --- business clock

WALL = datetime(2026, 3, 1, 9, tzinfo=UTC)
UNTIL = datetime(2022, 6, 16, 18, tzinfo=UTC)
TICK = b'{"data": {"until": "2022-06-16T18:00:00+00:00"}}'


def test_after_a_tick_business_time_goes_on_at_wall_speed() -> None:
    clock = BusinessClock("message")
    clock.tick(TICK, WALL)
    assert clock.at(WALL) == UNTIL
    assert clock.at(WALL + timedelta(hours=3)) == UNTIL + timedelta(hours=3)


def test_outside_a_simulation_no_tick_moves_the_clock() -> None:
    clock = BusinessClock("append")
    clock.tick(TICK, WALL)
    assert clock.at(WALL) == WALL


@pytest.mark.parametrize(
    "tick",
    [None, b"", b"\xff", b"[]", b"{}", b'{"data": {"until": 7}}', b'{"data": {"until": "2022-06-16"}}'],
)
def test_a_tick_that_cannot_be_read_is_passed_over(tick: bytes | None) -> None:
    clock = BusinessClock("message")
    clock.tick(TICK, WALL)
    clock.tick(tick, WALL)
    assert clock.at(WALL) == UNTIL


# --- health


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_makes_no_turn_for_too_long_is_not_alive_and_one_turn_heals_it() -> None:
    clock = Hand()
    health = Health(clock)
    health.watch("consumer")
    clock.now += STALL_SECONDS
    assert health.stalled() == {}
    clock.now += 1
    assert "no turn" in health.stalled()["consumer"]
    assert "consumer" in health.unready()
    health.turn("consumer")
    assert health.stalled() == {}


def test_a_loop_whose_task_has_ended_is_not_alive_at_once() -> None:
    health = Health(Hand())
    health.watch("relay", alive=lambda: False)
    assert health.stalled() == {"relay": "its task has ended"}


def test_a_backend_that_is_away_costs_readiness_and_never_life() -> None:
    clock = Hand()
    health = Health(clock)
    health.watch("relay")
    health.not_ready("broker", "away")
    for _ in range(20):
        clock.now += STALL_SECONDS / 2
        health.turn("relay")
        assert health.unready() == {"broker": "away"}
        assert health.stalled() == {}
    health.ready("broker")
    assert health.unready() == {}


def test_a_loop_may_turn_before_it_is_watched() -> None:
    health = Health(Hand())
    health.turn("consumer")
    assert health.stalled() == {}


# --- settings

NEEDED: dict[str, Any] = {
    "kafka_bootstrap_servers": "broker:9092",
    "http_port": 1,
    "jwks_url": "http://identity/jwks",
    "database_url": "postgresql+asyncpg://cases:s3cret@db/cases",
}
SIMULATED = {"business_time": "message", "allow_simulated_time": True, "failpoint": "after-commit"}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ServiceSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", SIMULATED)
def test_production_refuses_whatever_is_simulated(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name.upper()}.*ENVIRONMENT=production"):
        ServiceSettings(**NEEDED, **{name: SIMULATED[name]})
    for environment in ("demo", "test"):
        ServiceSettings(**NEEDED, environment=environment, **{name: SIMULATED[name]})


def test_without_a_word_the_environment_is_production() -> None:
    assert ServiceSettings(**NEEDED).environment == "production"


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_setting_is_named_and_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        ServiceSettings(**{k: v for k, v in NEEDED.items() if k != name})


def test_retries_must_end_before_kafka_takes_the_partitions_away() -> None:
    with pytest.raises(ValidationError, match="RETRY_ATTEMPTS_MAX"):
        ServiceSettings(**NEEDED, retry_attempts_max=20, retry_longest_seconds=20)


def test_no_password_shows_in_settings_or_in_what_is_said_of_wrong_ones() -> None:
    settings = ServiceSettings(**NEEDED, kafka_username="cases", kafka_password="s3cret")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()
    with pytest.raises(ValidationError) as wrong:
        ServiceSettings(**NEEDED, kafka_password="s3cret", relay_batch_max=0, business_time="message")
    assert "s3cret" not in str(wrong.value)


# --- failpoints

_PROGRAM = """
from shared.messaging import failpoints
failpoints.arm({armed!r})
for turn in range(3):
    failpoints.reach("before-commit")
    failpoints.reach("after-commit")
    print("turn", turn, flush=True)
"""


@pytest.mark.parametrize(
    ("armed", "turns"), [(None, 3), ("after-commit", 0), ("after-commit:3", 2), ("after-publish", 3)]
)
def test_a_failpoint_kills_the_process_at_its_nth_pass_and_is_inert_otherwise(
    armed: str | None, turns: int
) -> None:
    program = [sys.executable, "-c", _PROGRAM.format(armed=armed)]
    done = subprocess.run(program, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.count("turn") == turns
    assert done.returncode == (0 if turns == 3 else -9)
    assert done.stderr == ("" if turns == 3 else "failpoint reached: after-commit\n")
