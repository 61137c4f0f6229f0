"""Facts and the events since give every deputy what the events give, wherever a compaction lies between them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluation import domain
from services.evaluation.replay import Replay
from services.evaluation.rubric import Rubric
from services.evaluation.rubric_file import read_rubric
from shared.storage import Storage, open_storage
from tests.unit.test_audit import Event, _drawn, event
from tests.unit.test_evaluation_rescore import BEFORE, BEGIN, RUBRICS, SINCE, UNTIL, by_the_rules
from warehouse import compacting, facts, manifests, reading
from warehouse.__main__ import State
from warehouse.compacting import compact
from warehouse.manifests import File
from warehouse.rows import Record, Row, row_of
from warehouse.writing import parquet

SHIPPED = RUBRICS[[rubric.name for rubric in RUBRICS].index("ningbo")]


async def commit(storage: Storage, events: Iterable[Event], lacking: Sequence[str] = ()) -> None:
    """The events as the warehouse writes them, in one manifest; or as it did before it had some columns."""
    head = await manifests.head(storage)
    rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for offset, one in enumerate(events):
        raw = json.dumps(one).encode()
        row = row_of(Record(one["type"], 0, offset, datetime(2022, 1, 1, tzinfo=UTC), raw))
        rows[row.day, row.type].append(row)
    files = []
    for (day, type_), members in rows.items():
        content = narrower(parquet(type_, members), lacking)
        name = f"events/day={day}/type={type_}/{head.number + 1:020d}-{uuid4().hex[:12]}.parquet"
        await storage.put(name, content)
        files.append(File(name, day, type_, len(members), len(content)))
    assert await manifests.create(storage, manifests.follow_up(head, (), tuple(files), datetime.now(UTC)))


def narrower(content: bytes, lacking: Sequence[str]) -> bytes:
    if not lacking:
        return content
    table, out = pq.read_table(io.BytesIO(content)), io.BytesIO()
    pq.write_table(table.drop_columns([name for name in lacking if name in table.column_names]), out)
    return out.getvalue()


class House:
    """A warehouse in a folder of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder) / "warehouse"
        self.url = self.folder.as_uri()
        self.storage = open_storage(self.url)

    def take(self, *events: Event, lacking: Sequence[str] = ()) -> None:
        asyncio.run(commit(self.storage, events, lacking))

    def compact(self) -> facts.Facts:
        found = asyncio.run(compact(self.url, threads=1))
        assert found is not None
        return found

    def compacted(self) -> facts.Compacted:
        found = asyncio.run(facts.newest(self.storage))
        assert found is not None
        return facts.compacted(self.url, found, asyncio.run(reading.contents(self.storage)))

    def replay(self) -> Replay:
        return Replay(self.compacted(), threads=1)

    def sums(self, rubric: Rubric) -> dict[UUID, dict[str, dict[int, int]]]:
        with self.replay() as replay:
            return replay.sums(rubric, BEGIN, UNTIL)

    def sums_of_events(self, rubric: domain.Rubric) -> dict[UUID, dict[str, dict[int, int]]]:
        events = reading.paths(self.url, asyncio.run(reading.contents(self.storage)))
        with Replay(events, threads=1) as replay:
            return replay.sums(rubric, BEGIN, UNTIL)

    def names(self, of: str = "facts") -> set[str]:
        async def found() -> set[str]:
            return {one.name async for one in self.storage.under(of)}

        return asyncio.run(found())

    def grow_old(self, of: str = "facts") -> None:
        """Two days pass for what is there."""
        long_ago = datetime.now(UTC).timestamp() - 2 * 86_400
        for name in self.names(of):
            os.utime(self.folder / name, (long_ago, long_ago))

    def put(self, name: str) -> str:
        asyncio.run(self.storage.put(name, b"whatever"))
        return name


@contextmanager
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        yield House(folder)


@contextmanager
def buckets(digits: int) -> Iterator[None]:
    """So many digits in the name of a bucket, however few the events."""
    with patch.object(facts, "digits_for", lambda _: digits):
        yield


MIXED = read_rubric("""
name: mixed
version: 1
title: 什么都有
base: 3
cap: 40
categories:
  work: {title: 工作, cap: {half-year: 12, year: 20}, floor: {half-year: -2}}
  more: {title: 其他}
items:
  solved: {title: 解, category: work, event: case.closed, when: {result: solved}, points: 2, evidence: case_id, cap: {quarter: 4}}
  visit: {title: 访, category: work, event: duty.logged, where: {kind: [reception, visit]}, when: {state: confirmed}, points: 2, evidence: duty_id, date: happened_on, cap: {month: 3}}
  rejected: {title: 退, category: work, event: duty.logged, when: {state: rejected}, points: -1, evidence: duty_id, date: happened_on}
  of-year: {title: 年, category: more, event: duty.logged, when: {state: confirmed}, points: 1, evidence: [duty_id, year], date: happened_on}
  of-kind: {title: 类, category: more, event: duty.logged, when: {state: confirmed}, points: 0.7, evidence: duty_id}
  told-apart-by-what-changes: {title: 报, category: more, event: duty.logged, where: {state: rejected}, points: -0.1, evidence: duty_id}
  other-evidence: {title: 种, category: more, event: activity.attended, points: 0.3, evidence: activity_id}
  minutes: {title: 学, category: more, event: course.completed, points: 0.05, per: minutes, evidence: [course_id, year]}
  once: {title: 课, category: more, event: course.completed, points: 1, evidence: course_id}
""")[1]
"""What a rubric may ask, and a little more: of facts and of what only the events hold."""
_EVIDENCE = {"of-kind": ("duty_id", "kind"), "other-evidence": ("kind",)}
MIXED = replace(
    MIXED, items=tuple(replace(one, evidence=_EVIDENCE.get(one.key, one.evidence)) for one in MIXED.items)
)


@st.composite
def _drawn_events(draw: st.DrawFn) -> list[Event]:
    small = st.integers(1, 3)
    types = st.sampled_from(["case.closed", "duty.logged", "course.completed", "activity.attended"])
    one = st.tuples(
        types, small, st.integers(1, 2), st.integers(1, 4), st.integers(0, 6), st.integers(0, 11), small
    )
    return [_drawn(*values) for values in draw(st.lists(one, max_size=25))]


@st.composite
def _corrections(draw: st.DrawFn) -> Event:
    number = draw(st.integers(1, 99))
    return event(
        10_000 + number,
        "score.corrected",
        2,
        deputy_id=str(UUID(int=draw(st.integers(1, 2)))),
        item=draw(st.sampled_from(["solved", "visit", "other-evidence", "once"])),
        evidence=draw(st.sampled_from([str(UUID(int=1)), str(UUID(int=2)), "research"])),
        happened_on=draw(st.sampled_from(["2021-03-04", "2021-12-31", "2022-01-01"])),
        points=draw(st.integers(-300, 300)),
        revision=number,
    )


@pytest.mark.parametrize("digits", [0, 1])
@given(
    base=_drawn_events(),
    more=_drawn_events(),
    tail=_drawn_events(),
    corrections=st.lists(_corrections(), max_size=3, unique_by=lambda one: one["id"]),
    absurd=st.sampled_from([None, "base", "tail"]),
)
@settings(max_examples=6, deadline=None)
def test_facts_and_the_events_since_give_the_sums_and_totals_that_the_rules_give(
    digits: int,
    base: list[Event],
    more: list[Event],
    tail: list[Event],
    corrections: list[Event],
    absurd: str | None,
) -> None:
    """Versions on both sides of two compactions, late ones and doubled ones, corrections and mistakes."""
    mistake = event(
        9, "course.completed", 7, course_id=str(UUID(int=1)), deputy_id=str(UUID(int=1)), minutes=10**12
    )
    of_staff = event(8, "case.closed", case_id=str(UUID(int=9)), deputy_id=None, result="solved")
    base = [of_staff, *base, *corrections[:1], *([mistake] if absurd == "base" else [])]
    tail = [*tail, *base[:3], *corrections[1:], *([mistake] if absurd == "tail" else [])]
    right = by_the_rules(MIXED, [*base, *more, *tail])
    with house() as one, buckets(digits):
        for events in (base, more):
            one.take(*events, event(1, "case.filed", case_id=str(UUID(int=1))))
            one.compact()
        one.take(*tail)
        with one.replay() as replay:
            assert replay.sums(MIXED, BEGIN, UNTIL) == right
            replay.score(MIXED, date(2021, 1, 1), date(2021, 12, 31))
            found = dict(replay.database.execute("SELECT deputy, total FROM scores").fetchall())
    assert found == totals(MIXED, right, 2021)


def test_every_shipped_rubric_is_scored_from_facts_as_by_the_rules() -> None:
    dice = random.Random(20261128)
    types = sorted({item.event for rubric in RUBRICS for item in rubric.items})
    events = [
        _drawn(
            dice.choice(types),
            dice.randint(0, 2),
            dice.randint(0, 29),
            dice.randint(0, 5),
            dice.randrange(0, 201, 10),
            dice.randint(0, 11),
            dice.randint(0, 100),
        )
        for _ in range(2000)
    ]
    with house() as one:
        one.take(*events[:1700])
        one.compact()
        one.take(*events[1700:], *events[:9])
        with one.replay() as replay:
            for rubric in RUBRICS:
                right = by_the_rules(rubric, events)
                giving = {
                    item
                    for items in right.values()
                    for item, months in items.items()
                    if any(points and month // 12 == 2022 for month, points in months.items())
                }
                idle = {item.key for item in rubric.items} - giving
                assert idle <= {"consultation-legislation"}, "of a kind that is never drawn"
                assert replay.sums(rubric, BEGIN, UNTIL) == right
                replay.score(rubric, date(2022, 1, 1), date(2022, 12, 31))
                found = dict(replay.database.execute("SELECT deputy, total FROM scores").fetchall())
                assert found == totals(rubric, right, 2022)
                assert len(set(found.values())) > len(found) / 5, "not everybody has nothing, or all there is"


def totals(rubric: Rubric, sums: dict[UUID, dict[str, dict[int, int]]], year: int) -> dict[UUID, int]:
    found = {}
    for deputy, items in sums.items():
        of_year = {
            item: {month: points for month, points in months.items() if month // 12 == year}
            for item, months in items.items()
        }
        if any(of_year.values()):
            found[deputy] = domain.totals(rubric, of_year).total
    return found


def versions(count: int, deputy: int = 1) -> list[Event]:
    """A duty that is declared, confirmed, rejected, …."""
    states = ("declared", "confirmed", "rejected")
    return [
        event(
            100 * deputy + number,
            "duty.logged",
            number,
            deputy_id=str(UUID(int=deputy)),
            duty_id=str(UUID(int=5)),
            kind="meeting",
            state=states[(number - 1) % 3],
            happened_on="2021-05-06",
        )
        for number in range(1, count + 1)
    ]


def rows(one: House, type_: str, columns: str) -> list[tuple[object, ...]]:
    held = one.compacted().types[type_]
    files = [part.name for part in held.parts.values()]
    with duckdb.connect() as database:
        return database.execute(f"SELECT {columns} FROM read_parquet({files}) ORDER BY ALL").fetchall()


def test_of_each_fact_one_row_is_kept_with_its_newest_version_alone() -> None:
    declared, confirmed, rejected = versions(3)
    with house() as one:
        one.take(declared, confirmed, declared, *versions(1, deputy=2))
        first = one.compact()
        assert rows(one, "duty.logged", "d_deputy_id, d_state, sequence, contested") == [
            (UUID(int=1), "confirmed", 2, False),
            (UUID(int=2), "declared", 1, False),
        ]
        one.take(rejected, confirmed)
        second = one.compact()
        assert rows(one, "duty.logged", "d_deputy_id, d_state, sequence, contested") == [
            (UUID(int=1), "rejected", 3, False),
            (UUID(int=2), "declared", 1, False),
        ]
        assert (first.until, second.until, second.number) == (1, 2, 2)


def test_versions_that_differ_in_what_tells_facts_apart_are_kept_both_and_marked() -> None:
    meeting, visit = versions(2)
    visit["data"]["kind"] = "visit"
    with house() as one:
        one.take(meeting, visit)
        one.compact()
        assert rows(one, "duty.logged", "d_kind, contested") == [("meeting", True), ("visit", True)]
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [meeting, visit])


def test_only_buckets_and_types_with_new_events_are_written_again() -> None:
    with house() as one, buckets(1):
        one.take(
            *versions(1, deputy=1), *versions(1, deputy=2), event(900, "case.filed", case_id=str(UUID(int=1)))
        )
        first = one.compact().types
        one.take(*versions(2, deputy=2)[1:])
        second = one.compact().types
    assert second["case.filed"] == first["case.filed"]
    duty = [held["duty.logged"].parts for held in (first, second)]
    assert [duty[0][at] == duty[1][at] for at in ("1", "2")] == [True, False]


def test_more_buckets_are_filled_from_the_events() -> None:
    every = [*versions(2, deputy=1), *versions(3, deputy=2)]
    with house() as one:
        one.take(*every[:3])
        assert one.compact().digits == 0
        one.take(*every[3:])
        with buckets(1):
            assert one.compact().digits == 1
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, every)


def test_a_compaction_killed_before_its_manifest_changes_nothing_and_its_files_go_after_a_day() -> None:
    declared, confirmed, rejected = versions(3)
    with house() as one:
        one.take(declared)
        one.compact()
        one.take(confirmed)
        before = one.names()
        with patch.object(facts, "create", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            one.compact()
        left = one.names() - before
        assert left
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [declared, confirmed])
        one.compact()
        one.take(rejected)
        assert left <= one.names(), "another may be about to name them"
        with patch.object(compacting, "_LEFT_FOR", -compacting._LEFT_FOR):
            one.compact()
        assert not left & one.names()
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [declared, confirmed, rejected])


def test_what_somebody_reads_stays_for_a_day_however_many_compactions_follow() -> None:
    filed, *every = event(900, "case.filed", case_id=str(UUID(int=1))), *versions(4)
    with house() as one:
        one.take(filed, every[0])
        one.compact()
        first = one.names()
        one.grow_old()
        with one.replay() as reader:
            for later in every[1:]:
                one.take(later)
                one.compact()
            assert first <= one.names()
            assert reader.sums(SHIPPED, BEGIN, UNTIL) == by_the_rules(SHIPPED, [filed, every[0]])


def test_what_no_compaction_of_the_last_day_names_goes_and_so_do_the_facts_of_types_that_are_no_more() -> (
    None
):
    filed, *every = event(900, "case.filed", case_id=str(UUID(int=1))), *versions(4)
    with house() as one:
        one.take(filed, every[0])
        one.compact()
        first = one.names()
        other = "facts/type=case.filed/of-somebody-else.txt"
        asyncio.run(one.storage.put(other, b"not ours"))
        with patch.dict(facts.SHAPES, clear=False):
            del facts.SHAPES["case.filed"]  # type: ignore[attr-defined]
            for later in every[1:]:
                one.take(later)
                newest = one.compact()
                one.grow_old()
            more = [event(901, "case.filed", case_id=str(UUID(int=2))), *versions(2, deputy=2)]
            one.take(*more)
            last = one.compact()
        assert "case.filed" not in last.types
        assert not first & one.names()
        assert one.names() == {
            other,
            *(f"facts/manifests/{found.number:020d}.json" for found in (newest, last)),
            *(part.name for found in (newest, last) for part in found.types["duty.logged"].parts.values()),
        }, "what was the newest until now is still read"
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [filed, *every, *more])


def test_nothing_is_removed_where_a_manifest_cannot_be_read_of_which_somebody_may_read_the_files() -> None:
    every = versions(3)
    with house() as one:
        for later in every[:2]:
            one.take(later)
            one.compact()
        one.grow_old()
        before = one.names()
        asyncio.run(one.storage.put("facts/manifests/00000000000000000002.json", b"{}"))
        one.take(every[2])
        assert one.compact().number == 3
        assert before <= one.names()


def test_what_killed_rounds_left_goes_after_a_day_and_nothing_else_of_the_events() -> None:
    every = versions(3)

    def left(number: int, of: str) -> str:
        return f"events/day=2021-05-06/type=duty.logged/{number:020d}-{of * 12}.parquet"

    with house() as one:
        one.take(every[0])
        one.take(every[1])
        gone = {one.put(left(1, "a")), one.put(left(2, "b"))}
        under_way = one.put(left(3, "c"))
        others = one.put("events/day=2021-05-06/type=duty.logged/of-somebody-else.parquet")
        named = one.names("events") - gone - {under_way, others}
        one.grow_old("events")
        fresh = one.put(left(2, "d"))
        one.compact()
        assert one.names("events") == {*named, under_way, others, fresh}
        one.take(every[2])
        one.grow_old("events")
        one.put(fresh)
        newest = one.names("events") - named - {under_way, others, fresh}
        one.compact()
        assert one.names("events") == {*named, *newest, others, fresh}, (
            "its manifest names another's files now"
        )
        assert one.sums_of_events(SHIPPED) == by_the_rules(SHIPPED, every)


def test_killed_rounds_are_cleared_up_after_although_facts_cannot_be() -> None:
    every = versions(2)
    with house() as one:
        one.take(every[0])
        one.put(left := f"events/day=2021-05-06/type=duty.logged/{1:020d}-{'a' * 12}.parquet")
        one.grow_old("events")
        one.put("facts/manifests/00000000000000000001.json")
        assert one.compact().number == 2
        assert left not in one.names("events")


def test_facts_of_events_that_a_restore_took_back_are_not_used_and_made_anew() -> None:
    """Whether other events have taken their numbers by then or not; facts that are older than the events are used."""
    first, (*others, taken_back) = event(900, "case.filed", case_id=str(UUID(int=1))), versions(3)
    with house() as one:
        one.take(first)
        one.compact()
        kept = one.folder.with_name("backup")
        shutil.copytree(one.folder, kept)

        def restore(*folders: str) -> None:
            for name in folders:
                shutil.rmtree(one.folder / name)
                shutil.copytree(kept / name, one.folder / name)

        one.take(taken_back)
        assert one.compact().until == 2
        restore("events", "manifests")
        with pytest.raises(manifests.Contradiction, match="of events that are not there"):
            one.sums(SHIPPED)
        one.take(*others)
        with pytest.raises(manifests.Contradiction, match="of other events than those up to manifest 2"):
            one.sums(SHIPPED)
        assert one.compact().until == 2
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [first, *others])
        assert rows(one, "duty.logged", "d_state, sequence, contested") == [("confirmed", 2, False)]
        restore("facts")
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, [first, *others])


def test_of_two_compactions_at_once_one_counts_and_the_other_leaves_nothing() -> None:
    with house() as one:
        one.take(*versions(2))
        create = facts.create

        async def late(storage: Storage, found: facts.Facts) -> bool:
            if found.number == 1:
                with patch.object(facts, "create", create):
                    assert await compact(one.url, threads=1) is not None
            return await create(storage, found)

        with patch.object(facts, "create", late):
            assert asyncio.run(compact(one.url, threads=1)) is None
        assert len(one.names()) == 2, "a file and its manifest"
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, versions(2))


def test_what_is_written_while_a_compaction_is_under_way_counts_beside_it_and_comes_into_the_next() -> None:
    every = versions(2)
    with house() as one:
        one.take(every[0])
        create = facts.create

        async def meanwhile(storage: Storage, found: facts.Facts) -> bool:
            await commit(storage, every[1:])
            return await create(storage, found)

        with patch.object(facts, "create", meanwhile):
            assert one.compact().until == 1
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, every) != {}
        assert one.compact().until == 2
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, every)


def test_a_field_that_the_facts_do_not_have_yet_is_read_from_the_events_until_they_are_made_anew() -> None:
    def fields(of: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(of, "string")

    old = ("duty_id", "deputy_id", "kind", "happened_on")
    with house() as one:
        one.take(*versions(2))
        with patch.object(compacting, "typed_fields", lambda _: fields(old)):
            assert "state" not in one.compact().types["duty.logged"].columns
        assert one.sums(SHIPPED) == by_the_rules(SHIPPED, versions(2))
        one.take(*versions(1, deputy=2))
        assert "state" in one.compact().types["duty.logged"].columns
        assert rows(one, "duty.logged", "d_state") == [("confirmed",), ("declared",)]


COLUMNS = ["d_state", "d_kind", "d_happened_on", "d_duty_id", "d_deputy_id", "d_minutes"]


@pytest.mark.parametrize("then", ["", *COLUMNS])
@pytest.mark.parametrize("first", ["", "d_state"])
def test_files_that_lack_a_column_count_as_if_it_were_null_in_facts_as_in_events(
    first: str, then: str
) -> None:
    """Whichever side of a compaction they lie on, whatever the column is to the fact, and in the compaction after it."""
    dice = random.Random(first + then)
    old, new, newest = (
        [
            _drawn(
                dice.choice(["duty.logged", "course.completed"]),
                sequence,
                dice.randint(1, 3),
                dice.randint(1, 2),
                dice.choice([0, 40]),
                dice.randint(0, 11),
                dice.randint(0, 19),
            )
            for sequence in range(12)
        ]
        for _ in range(3)
    )
    with house() as one:
        one.take(*old, lacking=[first])
        one.compact()
        for events, lacking in ((new, then), (newest, "")):
            one.take(*events, lacking=[lacking])
            right = one.sums_of_events(MIXED)
            assert one.sums(MIXED) == right
            one.compact()
            assert one.sums(MIXED) == right
        assert right


def test_it_waits_until_enough_is_new() -> None:
    with house() as one:
        one.take(*versions(3), *(versions(1, deputy=n)[0] for n in range(2, 60)))
        assert asyncio.run(compact(one.url, at_least=62, threads=1)) is None
        assert asyncio.run(compact(one.url, at_least=61, threads=1)) is not None
        assert asyncio.run(compact(one.url, threads=1)) is None, "nothing is new"
        with patch.object(compacting, "_GROWTH", 20):
            one.take(event(990, "case.filed", case_id=str(UUID(int=1))))
            assert asyncio.run(compact(one.url, threads=1)) is None, "one of sixty is too little"
        one.take(event(991, "case.dreamt"), event(992, "case.filed", case_id=str(UUID(int=2))))
        after = asyncio.run(compact(one.url, threads=1))
    assert after is not None
    assert set(after.types) == {"duty.logged", "case.filed"}, "a type without facts stays with the events"


def test_a_compaction_is_looked_at_after_the_first_round_and_when_enough_was_written() -> None:
    state = State()
    looked = []
    for rows, files in ((1, 1), (99, 1), (1, 1), (1, 999), (0, 1)):
        state.took({"rows": rows, "files": files, "lag": 0, "lost": 0}, 0.0)
        looked.append(state.may_compact(100))
    assert looked == [True, False, True, False, True]


def test_deputies_are_told_of_by_facts_and_the_events_since() -> None:
    with house() as one:
        one.take(*BEFORE)
        one.compact()
        one.take(*SINCE)
        with one.replay() as replay:
            replay.score(SHIPPED, date(2021, 1, 1), date(2021, 12, 31))
            replay.stand(SHIPPED, replay.roster())
            found = dict(replay.database.execute("SELECT number, occupation FROM standings").fetchall())
    assert found == {"N1": None, "N2": "farmer", "N3": None, "N4": None, "N5": "manager"}


def test_the_shipped_rubrics_and_the_roster_are_answered_by_facts_alone() -> None:
    """What they look at is kept; so nothing falls back on the events unnoticed."""
    data: dict[str, Any] = {name: str(UUID(int=1)) for name in ("case_id", "motion_id", "cosigner_id", "rater_id", "duty_id", "course_id", "activity_id", "consultation_id")}  # fmt: skip
    data |= {"level": "city", "happened_on": "2021-01-02"}
    with house() as one:
        one.take(
            *(
                event(n, type_, rated_round=1, minutes=9, opinions=1, **data)
                for n, type_ in enumerate(facts.SHAPES)
            )
        )
        one.compact()
        for rubric in RUBRICS:
            with Replay(replace(one.compacted(), events={}), threads=1) as replay:
                served = replay._serve(rubric)
                assert {type_: len(items) for type_, items in served.items()} == {
                    type_: len(items) for type_, items in rubric.items_by_event.items()
                }
                assert replay._states({"deputy_id", "number", "occupation"}) is not None
