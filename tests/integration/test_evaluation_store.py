"""The ledger in PostgreSQL gives the same scores as the pure rules, whatever order, batch or race."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from services.evaluation import consumers, nightly, queries, reckoning, tables
from services.evaluation.domain import Bucket, Fact, Identity, LedgerEntry, buckets, entries, totals
from services.evaluation.handlers import Settling, adopt_shipped
from services.evaluation.intake import EventReading
from services.evaluation.reckoning import Difference
from services.evaluation.rubric import Schedule, Term
from services.evaluation.rubric_file import read_rubric
from services.evaluation.store import EvaluationStore, EventCount
from shared.contracts.cases import CaseClosed, CaseFiled
from shared.contracts.envelope import Envelope
from shared.contracts.identity import DeputyChanged
from shared.contracts.learning import CourseCompleted
from shared.contracts.participation import DutyLogged
from shared.contracts.registry import Contract
from shared.database.engine import driver_dsn, make_engine, sqlstate_of
from shared.database.migrate import differences, migrate
from shared.host import Surroundings
from shared.messaging import fences
from shared.messaging.clock import BusinessClock
from shared.messaging.fences import Log, Step
from shared.messaging.received import Decoder
from shared.messaging.runner import Limits, Runner
from shared.messaging.stream import Tally
from shared.telemetry import metrics
from shared.telemetry.health import Health
from shared.testing.messages import HandRecord, encoded, message
from shared.testing.wait import wait_until

MIGRATIONS = Path(consumers.__file__).parent / "migrations"
DEPUTIES = [UUID(int=n) for n in range(1, 6)]


class Nobody:
    """No command travels in these tests."""

    async def verify(self, token: str, *, at: float) -> Any:
        raise AssertionError(token, at)


@pytest_asyncio.fixture(scope="module")
async def engine(stack: LocalStack) -> AsyncIterator[AsyncEngine]:
    stack.postgres.ensure_database("evaluation", stack.secrets.database_password("evaluation"), anew=True)
    url = SecretStr(stack.env_for("evaluation")["DATABASE_URL"])
    await migrate(url, MIGRATIONS)
    found = make_engine(url, pool_size=6, application="test")
    yield found
    await found.dispose()


@pytest_asyncio.fixture
async def store(engine: AsyncEngine) -> EvaluationStore:
    """An empty service with the shipped rubric."""
    async with engine.begin() as connection:
        names = ", ".join(table.name for table in tables.metadata.sorted_tables)
        await connection.execute(text(f"TRUNCATE {names}"))
    found = EvaluationStore()
    await adopt_shipped(engine, found, date(2020, 1, 1))
    return found


def make_runner(engine: AsyncEngine, store: EvaluationStore) -> Runner:
    return Runner(
        service="evaluation",
        engine=engine,
        decoder=Decoder("evaluation", Nobody(), BusinessClock("append")),
        handlers=consumers.handlers(store),
        limits=Limits(attempts_max=8, first_seconds=0.01, longest_seconds=0.2, dead_in_a_row_max=50),
    )


class Batches:
    """The fast way as the stream takes it, without a consumer: read, then one statement with its fences."""

    def __init__(self, engine: AsyncEngine, stack: LocalStack) -> None:
        self._reading = EventReading(EvaluationStore(), engine, consumers.taken_in())
        self._dsn = driver_dsn(SecretStr(stack.env_for("evaluation")["DATABASE_URL"]))
        self._log = Log("cluster", {topic: UUID(int=n) for n, topic in enumerate(consumers.EVENT_TOPICS)})
        self._runner = make_runner(engine, EvaluationStore())

    async def run(self, found: list[HandRecord], held: dict[tuple[str, int], int] | None = None) -> None:
        """Write a batch whose fences are believed to stand at `held` (by default where they stand)."""
        await self._reading.refresh()
        connection = await asyncpg.connect(self._dsn)
        try:
            places = sorted({(record.topic, record.partition) for record in found})
            stand = await fences.read(connection, self._log, places)
            following = {(r.topic, r.partition): r.offset + 1 for r in found}
            batch = self._reading.read(found)
            await self._runner.run(batch.set_aside)
            steps = []
            for place in places:
                tally = batch.tallies.get(place, Tally())
                from_ = (held or stand)[place]
                steps.append(Step(*place, from_, following[place], tally.records, tally.unused, tally.latest))
            await connection.fetch(
                self._reading.statement, *fences.columns(self._log, steps), *batch.parameters
            )
        finally:
            await connection.close()


async def settle(engine: AsyncEngine, store: EvaluationStore) -> int:
    return await Settling(store, engine, BusinessClock("append")).settle()


def records(envelopes: list[Envelope], *, partition: int = 0, first: int = 0) -> list[HandRecord]:
    return [
        HandRecord(e.type, encoded(e), partition=partition, offset=n)
        for n, e in enumerate(envelopes, start=first)
    ]


def year_of_events(dice: random.Random, count: int) -> list[Envelope]:
    """Events over two years, with reopened cases, withdrawn duties and courses done twice."""
    found: list[Envelope] = []
    for _ in range(count):
        deputy, thing = dice.choice(DEPUTIES), UUID(int=dice.randrange(1, 40))
        moment = datetime(2021, 12, 20, tzinfo=UTC) + timedelta(hours=dice.randrange(0, 24 * 25))
        data: Contract = dice.choice(
            [
                CaseFiled(
                    case_id=thing,
                    deputy_id=deputy,
                    state="routed",
                    county="330203",
                    origin=dice.choice(("own", "resident")),
                ),
                CaseClosed(
                    case_id=thing,
                    deputy_id=deputy,
                    state="closed",
                    county="330203",
                    result=dice.choice(("solved", "explained", "unsolved")),
                ),
                CourseCompleted(
                    course_id=thing,
                    deputy_id=deputy,
                    minutes=dice.randrange(10, 200),
                    mark=dice.randrange(60, 101),
                ),
                DutyLogged(
                    duty_id=thing,
                    deputy_id=deputy,
                    state=dice.choice(("declared", "confirmed", "withdrawn")),
                    kind=dice.choice(("inspection", "visit")),
                    happened_on=moment.date(),
                ),
            ]
        )
        found.append(message(data, subject=thing, time=moment, sequence=dice.randrange(1, 6)))
    return found


def by_the_rules(schedule: Schedule, envelopes: list[Envelope]) -> dict[Bucket, int]:
    return buckets(
        row
        for e in envelopes
        for row in entries(schedule, Fact(e.id, e.type, e.time, e.data, e.sequence or 0))
    )


async def in_the_database(engine: AsyncEngine) -> dict[Bucket, int]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT deputy_id, month, item, points FROM buckets WHERE points <> 0")
        )
        return {Bucket(row.deputy_id, row.month, row.item): row.points for row in rows}


def _differences(connection: Connection) -> list[object]:
    return differences(connection, tables.metadata)


async def test_the_migrations_make_the_tables_of_the_code(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_batching_repetition_and_race_gives_the_score_of_the_rules(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore, seed: int
) -> None:
    """Two consumers at once; with even seeds both in batches, with odd ones one of them one by one."""
    dice = random.Random(seed)
    envelopes = year_of_events(dice, 400)
    arriving = envelopes + dice.choices(envelopes, k=60)
    dice.shuffle(arriving)

    async def consume(
        mine: list[Envelope], partition: int, take_in: Callable[[list[HandRecord]], Awaitable[Any]]
    ) -> None:
        sizes, first = random.Random(seed + partition), 0
        while mine:
            size = sizes.randrange(1, 60)
            batch, mine = mine[:size], mine[size:]
            await take_in(records(batch, partition=partition, first=first))
            first += size

    half = len(arriving) // 2
    batches, runner = Batches(engine, stack), make_runner(engine, EvaluationStore())
    await asyncio.gather(
        consume(arriving[:half], 0, batches.run),
        consume(arriving[half:], 1, runner.run if seed % 2 else Batches(engine, stack).run),
    )
    await settle(engine, store)
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        letters = await connection.scalar(text("SELECT count(*) FROM dead_letters"))
        kept = (await connection.execute(text("SELECT deputy_id, year, total, categories FROM totals"))).all()
    expected = by_the_rules(schedule, envelopes)
    assert letters == 0
    assert expected
    assert await in_the_database(engine) == expected
    found = {(row.deputy_id, row.year): (row.total, row.categories) for row in kept}
    for deputy, year in {(b.deputy_id, b.year) for b in expected}:
        rubric = schedule.in_year(year)
        assert rubric is not None
        sums: dict[str, dict[int, int]] = {}
        for bucket, points in expected.items():
            if (bucket.deputy_id, bucket.year) == (deputy, year):
                sums.setdefault(bucket.item, {})[bucket.month] = points
        total = totals(rubric, sums)
        assert found.pop((deputy, year)) == (total.total, dict(total.categories))
    assert all(total == 0 for total, _ in found.values())


NIGHT = datetime(2022, 3, 4, 19, tzinfo=UTC)
"""Three o'clock in China, on the fifth."""


def around(engine: AsyncEngine) -> Surroundings:
    return Surroundings(engine, BusinessClock("append"), Health(), lambda: 0)


async def test_the_nightly_audit_agrees_once_a_night_and_each_altered_figure_raises_the_alarm(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await nightly.one_night(around(engine), store, NIGHT, 500) is None  # there is nobody yet
    await Batches(engine, stack).run(records(year_of_events(random.Random(4), 300)))
    await settle(engine, store)
    audits = await asyncio.gather(*(nightly.one_night(around(engine), store, NIGHT, 500) for _ in range(2)))
    (made,) = [found for found in audits if found is not None]
    assert (made.day, made.deputies, made.differences) == (date(2022, 3, 5), len(DEPUTIES), ())
    assert made.rows > 100
    assert await nightly.one_night(around(engine), store, NIGHT + timedelta(hours=22), 500) is None

    async with engine.begin() as connection:
        altered = (
            await connection.execute(
                text(
                    "UPDATE buckets SET points = points + 50 WHERE (deputy_id, month, item) IN "
                    "(SELECT deputy_id, month, item FROM buckets WHERE points > 0 ORDER BY 1, 2, 3 LIMIT 1) "
                    "RETURNING *"
                )
            )
        ).one()
    alarm = await nightly.one_night(around(engine), store, NIGHT + timedelta(days=1), 500)
    assert alarm is not None
    assert alarm.differences == (
        Difference(
            altered.deputy_id,
            altered.month // 12,
            altered.month,
            altered.item,
            altered.points,
            altered.points - 50,
        ),
    )
    assert "score-audit-differs" in capsys.readouterr().out
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE buckets SET points = points - 50 WHERE item = :i AND month = :m AND deputy_id = :d"),
            {"i": altered.item, "m": altered.month, "d": altered.deputy_id},
        )
        total = (
            await connection.execute(
                text(
                    "UPDATE totals SET total = total - 1 WHERE deputy_id = :d AND year = 2022 RETURNING total"
                ),
                {"d": DEPUTIES[0]},
            )
        ).scalar_one()
    task = asyncio.create_task(nightly.auditing(store, 500, around(engine)))

    async def shown() -> bool:
        return metrics.REGISTRY.get_sample_value("dbt_score_audit_differences") == 1

    await wait_until(shown, what="the alarm in the metrics")
    assert metrics.REGISTRY.get_sample_value("dbt_score_audit_deputies") == len(DEPUTIES)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        held = await queries.held(connection, DEPUTIES)
    assert [*reckoning.differences(schedule, held)] == [
        Difference(DEPUTIES[0], 2022, None, None, total, total + 1)
    ]


async def test_a_total_that_waits_to_be_settled_is_no_difference_and_a_lost_row_is_one(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    envelopes = year_of_events(random.Random(5), 200)
    await Batches(engine, stack).run(records(envelopes[:100]))
    await settle(engine, store)
    await Batches(engine, stack).run(records(envelopes[100:], first=100))

    async def differing() -> list[Difference]:
        async with engine.connect() as connection:
            schedule = await store.read_schedule(connection)
            return [*reckoning.differences(schedule, await queries.held(connection, DEPUTIES))]

    assert await differing() == []
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM unsettled"))
    assert await differing() != []  # the notes were all that excused them
    async with engine.begin() as connection:
        await connection.execute(
            text("DELETE FROM ledger WHERE points > 0 AND deputy_id = :d"), {"d": DEPUTIES[1]}
        )
    assert {one.deputy_id for one in await differing() if one.month is not None} == {DEPUTIES[1]}


async def test_a_night_draws_the_same_deputies_again_and_another_night_others(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    known = [UUID(int=n) for n in range(1, 201)]
    async with engine.begin() as connection:
        news = {one: (1, DeputyChanged.model_validate(deputy_changed(one, 1).data)) for one in known}
        await store.keep_deputies(connection, news)
        drawn = [await queries.sample(connection, seed=seed, size=20) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == len(set(drawn[2])) == 20
    assert len({*drawn[0], *drawn[2]}) > 25


async def test_of_two_owners_of_a_partition_one_writes_and_the_other_nothing(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    envelopes = [e for e in year_of_events(random.Random(2), 200) if e.type == "case.filed"]
    mine, theirs = envelopes[: len(envelopes) // 2], envelopes[len(envelopes) // 2 :]
    batches = Batches(engine, stack)
    start = {("case.filed", 0): 0}
    results = await asyncio.gather(
        batches.run(records(mine), start), batches.run(records(theirs), start), return_exceptions=True
    )
    lost = [sqlstate_of(result) for result in results if isinstance(result, BaseException)]
    assert lost == [fences.STANDS_ELSEWHERE]
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        held = (await connection.execute(text("SELECT next, records FROM fences"))).one()
    winner = mine if results[0] is None else theirs
    assert tuple(held) == (len(winner), len(winner))
    assert await in_the_database(engine) == by_the_rules(schedule, winner)


async def test_a_stale_batch_that_would_leave_a_gap_is_not_written(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    envelopes = [e for e in year_of_events(random.Random(2), 60) if e.type == "case.filed"]
    with pytest.raises(asyncpg.PostgresError) as caught:
        await Batches(engine, stack).run(records(envelopes, first=7), {("case.filed", 0): 7})
    assert sqlstate_of(caught.value) == fences.STANDS_ELSEWHERE
    assert await in_the_database(engine) == {}


async def test_a_batch_scored_under_rubrics_that_have_changed_since_is_not_written(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    batches = Batches(engine, stack)

    async def adopted_meanwhile() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE schedule SET version = version + 1"))

    batches._reading.refresh = adopted_meanwhile  # type: ignore[method-assign]
    with pytest.raises(asyncpg.PostgresError) as caught:
        await batches.run(records(year_of_events(random.Random(2), 20)))
    assert sqlstate_of(caught.value) == fences.STANDS_ELSEWHERE
    assert await in_the_database(engine) == {}


async def test_a_rewound_topic_is_taken_in_again_without_effect(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    envelopes = year_of_events(random.Random(9), 120)
    batches = Batches(engine, stack)
    await batches.run(records(envelopes))
    before = await in_the_database(engine)
    assert await settle(engine, store) > 0
    async with engine.begin() as connection:
        await fences.rewind(connection, sorted({e.type for e in envelopes}))
    await batches.run(records(envelopes), {(e.type, 0): 0 for e in envelopes})
    assert await in_the_database(engine) == before
    assert await settle(engine, store) == 0


async def test_what_a_batch_cannot_take_is_handled_by_itself(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    """News of a deputy counts, an absurd amount and an unknown version become dead letters, neighbours are scored."""
    good = year_of_events(random.Random(3), 20)
    absurd = message(
        CourseCompleted(course_id=UUID(int=1), deputy_id=DEPUTIES[0], minutes=10**12, mark=90),
        subject=UUID(int=1), time=datetime(2021, 5, 1, tzinfo=UTC), sequence=1,
    )  # fmt: skip
    strange = good[0].model_copy(update={"id": UUID(int=9), "type": f"{good[0].type}.v9"})
    found = records([*good, absurd, deputy_changed(DEPUTIES[0], 1)])
    found.append(HandRecord(good[0].type, encoded(strange), offset=len(found)))
    await Batches(engine, stack).run(found)
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        letters = (
            await connection.execute(text("SELECT reason FROM dead_letters ORDER BY reason"))
        ).scalars()
        figures = await queries.figures(connection)
        assert list(letters) == ["handler-failed", "unknown-type"]
    assert await in_the_database(engine) == by_the_rules(schedule, good)
    assert sum(figures["events"].values()) == len(good) + 1
    assert figures["deputies"] == 1
    assert figures["unscored"] == {"deputy.changed": 1}


async def test_the_buckets_are_the_sums_of_the_ledger(engine: AsyncEngine, store: EvaluationStore) -> None:
    dice = random.Random(7)
    for _ in range(5):
        await make_runner(engine, store).run(records(year_of_events(dice, 80)))
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT deputy_id, extract(year FROM happened_on)::int * 12 + extract(month FROM happened_on)::int - 1 "
                 "AS month, item, sum(points) AS points FROM ledger GROUP BY 1, 2, 3 HAVING sum(points) <> 0")
        )  # fmt: skip
        sums = {Bucket(row.deputy_id, row.month, row.item): row.points for row in rows}
    assert sums == await in_the_database(engine)
    assert sums


async def test_two_transactions_on_one_deputy_do_not_lose_each_others_points(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    """The second waits for the first at the deputy's total and only then reads the sums."""
    at = datetime(2021, 5, 1, tzinfo=UTC)
    filed = {"deputy_id": str(DEPUTIES[0]), "case_id": str(UUID(int=1)), "origin": "own"}
    learned = {"deputy_id": str(DEPUTIES[0]), "course_id": str(UUID(int=2)), "minutes": 10, "mark": 60}
    async with engine.connect() as first, engine.connect() as second, engine.connect() as watcher:
        await watcher.execution_options(isolation_level="AUTOCOMMIT")
        schedule = await store.schedule(first)
        places = [(DEPUTIES[0], 2021)]
        await store.enter(first, entries(schedule, Fact(UUID(int=1), "case.filed", at, filed)))
        assert [scored.total.total for scored in await store.settle(first, places, schedule)] == [100]
        await store.schedule(second)
        await store.enter(second, entries(schedule, Fact(UUID(int=2), "course.completed", at, learned)))
        settling = asyncio.create_task(store.settle(second, places, schedule))

        async def waiting() -> bool:
            query = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
            return bool(await watcher.scalar(query))

        await wait_until(waiting, what="the second transaction waiting for the first")
        await first.commit()
        assert [scored.total.total for scored in await settling] == [310]
        await second.commit()


async def test_a_rubric_is_adopted_only_when_batches_that_score_under_the_old_one_are_done(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    async with engine.connect() as scoring, engine.connect() as adopting, engine.connect() as watcher:
        await watcher.execution_options(isolation_level="AUTOCOMMIT")
        await store.schedule(scoring)
        await store.count(scoring, {"case.filed": EventCount(1, 0, 2031)})

        async def adopt() -> int | None:
            await store.schedule(adopting, for_adoption=True)
            return await store.last_year(adopting, {"case.filed"})

        adoption = asyncio.create_task(adopt())

        async def waiting() -> bool:
            query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(await watcher.scalar(query))

        await wait_until(waiting, what="the adoption waiting for the batch")
        await scoring.commit()
        assert await adoption == 2031
        await adopting.rollback()


async def test_a_batch_tells_only_the_latest_score_of_each_deputy_and_year(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    envelopes = year_of_events(random.Random(1), 300)
    await make_runner(engine, store).run(records(envelopes))
    await settle(engine, store)
    async with engine.connect() as connection:
        found = (
            await connection.execute(
                text("SELECT key, convert_from(payload, 'UTF8')::jsonb -> 'data' AS data, "
                     "(convert_from(payload, 'UTF8')::jsonb ->> 'sequence')::bigint AS sequence "
                     "FROM outbox WHERE topic = 'score.changed'")
            )
        ).all()  # fmt: skip
        kept = (await connection.execute(text("SELECT deputy_id, year, total, version FROM totals"))).all()
    told = {(row.data["deputy_id"], row.data["year"]): (row.data["total"], row.sequence) for row in found}
    assert len(told) == len(found)
    assert told == {(str(row.deputy_id), row.year): (row.total, row.version) for row in kept}
    assert all(row.key == row.data["deputy_id"] for row in found)


async def test_events_that_change_no_score_tell_nothing(engine: AsyncEngine, store: EvaluationStore) -> None:
    envelopes = year_of_events(random.Random(1), 50)
    runner = make_runner(engine, store)
    await runner.run(records(envelopes))
    assert await settle(engine, store) > 0
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM outbox"))
    older = [
        e.model_copy(update={"id": UUID(int=n), "sequence": 0}) for n, e in enumerate(envelopes, start=1)
    ]
    await runner.run(records(older))
    assert await settle(engine, store) == 0
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM outbox")) == 0


async def test_one_absurd_event_becomes_a_dead_letter_and_its_neighbours_count(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    absurd = message(
        CourseCompleted(course_id=UUID(int=1), deputy_id=DEPUTIES[0], minutes=10**12, mark=90),
        subject=UUID(int=1),
        time=datetime(2021, 5, 1, tzinfo=UTC),
        sequence=1,
    )
    envelopes = year_of_events(random.Random(3), 20)
    await make_runner(engine, store).run(records([*envelopes[:10], absurd, *envelopes[10:]]))
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        letters = (await connection.execute(text("SELECT reason, detail FROM dead_letters"))).all()
    assert [tuple(row) for row in letters] == [("handler-failed", "AbsurdAmount")]
    assert await in_the_database(engine) == by_the_rules(schedule, envelopes)


@pytest.mark.parametrize("time", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
async def test_a_time_at_the_end_of_the_calendar_is_no_reason_to_lose_a_batch(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore, time: datetime
) -> None:
    """The last day of the calendar has no date in China; the first is only long ago."""
    (fact, *others) = [e for e in year_of_events(random.Random(4), 60) if e.type == "case.filed"]
    await Batches(engine, stack).run(
        records([others[0], fact.model_copy(update={"time": time}), *others[1:]])
    )
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)
        letters = await connection.scalar(text("SELECT count(*) FROM dead_letters"))
    assert letters == (time.year == MAXYEAR)
    assert await in_the_database(engine) == by_the_rules(schedule, others)


async def test_an_event_of_an_unknown_type_is_kept_counted_and_shown(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    known = year_of_events(random.Random(3), 1)[0]
    strange = known.model_copy(update={"id": UUID(int=9), "type": "case.filed.v9"})
    await make_runner(engine, store).run([HandRecord("case.filed", encoded(strange))])
    async with engine.connect() as connection:
        found = await queries.figures(connection)
        letter = (await connection.execute(text("SELECT message FROM dead_letters"))).scalar_one()
    assert found["unknown"] == {"case.filed.v9": 1}
    assert bytes(letter) == encoded(strange)


async def test_events_are_counted_by_type_with_those_that_nothing_scores(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    deputy = deputy_changed(DEPUTIES[0], 1)
    envelopes = [*year_of_events(random.Random(5), 40), deputy]
    runner = make_runner(engine, store)
    await runner.run(records(envelopes))
    await runner.run(records(envelopes))
    async with engine.connect() as connection:
        found = await queries.figures(connection)
    assert sum(found["events"].values()) == 41
    assert found["unscored"] == {"deputy.changed": 1}


def deputy_changed(deputy: UUID, sequence: int, **more: Any) -> Envelope:
    plain: dict[str, Any] = {
        "number": str(deputy.int), "name": f"代表{deputy.int}", "level": "county", "county": "330203",
        "constituency": "一", "code": "c", "term_from": date(2021, 1, 1), "term_until": date(2026, 1, 1),
        "state": "active",
    }  # fmt: skip
    data = DeputyChanged(deputy_id=deputy, **{**plain, **more})
    return message(data, subject=deputy, sequence=sequence, time=datetime(2021, 1, 1, tzinfo=UTC))


async def test_an_unknown_deputy_is_scored_and_shown_and_gets_a_name_when_known(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    filed = CaseFiled(case_id=UUID(int=1), deputy_id=DEPUTIES[0], state="routed", county="330203")
    runner = make_runner(engine, store)
    await runner.run(
        records([message(filed, subject=UUID(int=1), time=datetime(2021, 5, 1, tzinfo=UTC), sequence=1)])
    )
    await settle(engine, store)
    ranked = await rank(engine, store)
    assert [(i["deputy_id"], i["name"], i["total"]) for i in ranked.items] == [(DEPUTIES[0], None, 100)]
    seen = {area: (await rank(engine, store, area=area)).total for area in ("3302", "330203")}
    assert seen == {"3302": 1, "330203": 0}, "whose congress nobody told is the city's to see"
    newer, older = deputy_changed(DEPUTIES[0], 5), deputy_changed(DEPUTIES[0], 4, name="旧名", level="town")
    await runner.run(records([newer, older]))
    await runner.run(records([deputy_changed(DEPUTIES[0], 3, name="更旧")]))
    ranked = await rank(engine, store, level="county", county="330203")
    assert [(i["name"], i["total"], i["rank"]) for i in ranked.items] == [("代表1", 100, 1)]
    assert (await rank(engine, store, level="town")).items == []


async def rank(engine: AsyncEngine, store: EvaluationStore, **asked: Any) -> queries.Ranked:
    plain: dict[str, Any] = {"area": None, "level": None, "county": None, "page": 1, "size": 500}
    async with engine.connect() as connection:
        rubric = (await store.read_schedule(connection)).in_year(2021)
        assert rubric is not None
        return await queries.ranking(connection, 2021, totals(rubric, {}), **{**plain, **asked})


async def test_a_ranking_of_9185_deputies_answers_within_300_ms(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    runner = make_runner(engine, store)
    everybody = [UUID(int=10_000 + n) for n in range(9185)]
    known = [deputy_changed(deputy, 1) for deputy in everybody]
    filed = [
        message(
            CaseFiled(
                case_id=UUID(int=n), deputy_id=deputy, state="routed", county="330203", origin="resident"
            ),
            subject=deputy,
            time=datetime(2021, 5, 1, tzinfo=UTC),
            sequence=1,
        )
        for n, deputy in enumerate(everybody)
        if n % 5
    ]
    for start in range(0, 10_000, 500):
        await runner.run(records([*known[start : start + 500], *filed[start : start + 500]]))
    await settle(engine, store)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE"))
    taken: list[float] = []
    pages: list[queries.Ranked] = []
    for page in (1, 1, 10, 19):
        began = time.perf_counter()
        pages.append(await rank(engine, store, page=page))
        taken.append(time.perf_counter() - began)
    assert {page.total for page in pages} == {9185}
    assert pages[0].items[0]["total"] == 150
    assert pages[-1].items[-1]["total"] == 0
    assert max(taken) < 0.3, taken
    seen = [item["deputy_id"] for n in range(1, 20) for item in (await rank(engine, store, page=n)).items]
    assert sorted(seen) == everybody


async def test_the_shipped_rubric_is_adopted_once_even_by_two_first_starts(
    engine: AsyncEngine, store: EvaluationStore
) -> None:
    await asyncio.gather(*(adopt_shipped(engine, EvaluationStore(), date(2020, 1, 1)) for _ in range(4)))
    async with engine.connect() as connection:
        told = (await connection.execute(text("SELECT topic, key FROM outbox"))).all()
        assert [(rubric["name"], rubric["version"]) for rubric in await queries.rubrics(connection)] == [
            ("ningbo", 1)
        ]
    # The fixture emptied the outbox and adopted; none of the four adopted again.
    assert [tuple(row) for row in told] == [("rubric.adopted", "ningbo")]


async def test_the_score_of_a_term_takes_its_years_together_up_to_the_one_asked_for(
    stack: LocalStack, engine: AsyncEngine, store: EvaluationStore
) -> None:
    text_of = (Path(consumers.__file__).parent / "rubrics" / "dongbao.yaml").read_text(encoding="utf-8")
    document, termed = read_rubric(text_of)
    async with engine.begin() as connection:
        await store.add_rubric(
            connection, termed, document, date(2022, 1, 1), datetime(2021, 12, 1, tzinfo=UTC)
        )

    def filed(number: int, year: int) -> Envelope:
        data = CaseFiled(case_id=UUID(int=number), deputy_id=DEPUTIES[0], state="routed", county="330203")
        return message(data, subject=data.case_id, time=datetime(year, 5, 1, tzinfo=UTC), sequence=1)

    facts = [filed(number, year) for number, year in enumerate((2021, 2022, 2022, 2023), start=1)]
    await Batches(engine, stack).run(records(facts))
    async with engine.connect() as connection:
        schedule = await store.read_schedule(connection)

        async def asked(year: int) -> queries.TermScore | None:
            return await queries.score_of_term(connection, DEPUTIES[0], year, schedule.in_year(year))

        assert await asked(2021) is None  # the rubric of that year knows no term
        assert await asked(2022) == queries.TermScore(2022, 2026, 60_00 + 2_00)
        assert await asked(2023) == queries.TermScore(2022, 2026, 2 * 60_00 + 3_00)
        earlier = replace(termed, term=Term(2021, 5))
        assert await queries.score_of_term(connection, DEPUTIES[0], 2023, earlier) is None


@pytest.mark.parametrize("texts", [["a\x1fb", "\x1f", "x y", '"{},\\', "，", "", "2022"], [""], ["\x1f"]])
async def test_evidence_with_any_sign_in_it_is_written_as_it_is(
    engine: AsyncEngine, store: EvaluationStore, texts: list[str]
) -> None:
    rows = [
        LedgerEntry(
            Identity("case-filed", DEPUTIES[number % 2], evidence), UUID(int=number // 2), "case.filed", number // 2,
            datetime(MAXYEAR, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), date(2022, 1, 1), 100, "ningbo", 1,
        )
        for number, evidence in enumerate(texts)
    ]  # fmt: skip
    async with engine.begin() as connection:
        await store.enter(connection, rows)
        found = await queries.held(connection, DEPUTIES)
    assert sorted(found.rows, key=lambda row: row.identity.evidence) == sorted(
        rows, key=lambda row: row.identity.evidence
    )
