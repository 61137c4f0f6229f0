"""The driver plays the whole script over HTTP alone, loses nothing to a shaky gateway, and cannot fool the table.

The gateway here is a small one of the tests' own, `tests.small_gateway`.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from rich.console import Console

from simulation.case_texts import CaseText
from simulation.city import City, Scale, build_city
from simulation.demo import demo_pair, demo_people
from simulation.driver import Driver, Played, roster_csv, roster_files, unfinished
from simulation.gateway_client import GatewayError, Write, open_gateway
from simulation.handling import CasesPlay, another_department, department_by_hand
from simulation.journal import Entry, Journal, read_journal
from simulation.phases import Phases
from simulation.report import (
    _WAYS,
    Line,
    ask_all,
    compare_journal,
    compare_ways,
    figures,
    list_cases,
    show,
    value_at,
)
from simulation.year import Year, write_year
from tests.small_gateway import SECRET, SmallGateway, new_case

SMALL = Scale(100)


@pytest.fixture(scope="module", autouse=True)
def _short_looks() -> Iterator[None]:
    """The small gateway is never behind, so that waiting for it need not be long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulation.driver.LOOK_SECONDS", 0.01)
        patch.setattr("simulation.phases._ASK_SECONDS", 0.01)
        yield


@pytest_asyncio.fixture
async def small() -> AsyncIterator[tuple[SmallGateway, str]]:
    gateway = SmallGateway()
    async with TestServer(gateway.app()) as server:
        yield gateway, str(server.make_url(""))


@dataclass
class Play:
    """One play of the smallest year on the small gateway, and the table after it."""

    gateway: SmallGateway
    url: str
    city: City
    year: Year
    played: Played
    lines: list[Line]
    journal: Path

    @property
    def entries(self) -> list[Entry]:
        return list(read_journal(self.journal))


async def _play(small: SmallGateway, url: str, path: Path) -> Play:
    city = build_city(4, SMALL)
    year = write_year(city, 4, SMALL)
    with Journal(path) as journal:
        async with open_gateway(url, SECRET, journal, connections=16) as gateway:
            driver = Driver(gateway, city, year, Phases(gateway, Console(file=io.StringIO()), 16))
            played = await driver.play()
            staff = played.cast.staff[city.code]
            lines = await ask_all(gateway, figures(city, year), staff)
            cases = await list_cases(gateway, staff)
            lines += await compare_ways(gateway, year, played.ids, cases, staff)
            lines += compare_journal(cases, journal.read(), played.mistakes)
    return Play(small, url, city, year, played, lines, path)


@pytest_asyncio.fixture(scope="module")
async def play(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Play]:
    """A play that several claims look at; none of them changes it."""
    gateway = SmallGateway()
    async with TestServer(gateway.app()) as server:
        yield await _play(gateway, str(server.make_url("")), tmp_path_factory.mktemp("play") / "journal.tsv")


async def test_the_whole_script_reaches_a_shaky_gateway_exactly_once(play: Play) -> None:
    gateway = play.gateway
    assert [line for line in play.lines if not line.equal] == []
    assert len(gateway.cases) == len(play.year.cases)
    assert min(gateway.hiccups.values()) > 3, "the gateway was not shaky enough to prove anything"
    assert set(gateway.hiccups) == {"503 before", "connection lost after", "202"}


async def test_every_case_is_filed_rated_and_closed_in_its_own_persons_name(play: Play) -> None:
    gateway = play.gateway
    filed = {str(case.id) for case in play.year.cases}
    by_instant = {case["filed_at"]: case for id_, case in gateway.cases.items() if id_ not in filed}
    for case in play.year.cases:
        submitted_at = case.submitted_at and case.submitted_at.isoformat()
        found = by_instant[submitted_at] if submitted_at else gateway.cases[str(case.id)]
        assert found["deputy"] == play.played.cast.deputies[case.deputy]
        assert (found["state"] == "closed") == (case.closed_at is not None)
        assert found["stars"] == case.stars


async def test_mistakes_are_refused_and_journalled_as_refused(play: Play) -> None:
    refused = {entry.command_id for entry in play.entries if not entry.accepted}
    assert refused == play.played.mistakes
    assert {e.kind for e in play.entries if not e.accepted} == {
        "case.close",
        "concern.explain",
        "concern.object.again",
        "course.complete",
        "consultation.answer.again",
        "activity.check_in",
        "motion.cosign",
    }


async def test_the_journal_holds_no_word_of_a_case_and_no_token(play: Play) -> None:
    text = play.journal.read_text(encoding="utf-8")
    assert SECRET not in text
    assert not any(case.title in text for case in play.year.cases)


async def _differing(play: Play, tmp_path: Path) -> list[str]:
    """Names of the journal's lines that differ from what the small gateway holds now."""
    staff = play.played.cast.staff[play.city.code]
    with Journal(tmp_path / "other.tsv") as journal:
        async with open_gateway(play.url, SECRET, journal, connections=2) as client:
            cases = await list_cases(client, staff)
            lines = await compare_ways(client, play.year, play.played.ids, cases, staff)
            lines += compare_journal(cases, play.entries, play.played.mistakes)
    return [line.name for line in lines if not line.equal]


async def test_a_lost_a_strange_and_a_doubled_case_make_the_table_differ(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = play.gateway
    assert await _differing(play, tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "lose_a_case", True)
        assert "journal: cases accepted, found once" in await _differing(play, tmp_path)
    strange = new_case("strange", "nobody", "", "2021-07-25T08:00:00+08:00")
    with monkeypatch.context() as patch:
        patch.setitem(gateway.cases, "strange", strange)
        assert await _differing(play, tmp_path) == ["journal: cases accepted, found once"]
    with monkeypatch.context() as patch:
        patch.setitem(gateway.cases, "doubled", dict(next(iter(gateway.cases.values()))))
        assert "journal: cases accepted, found once" in await _differing(play, tmp_path)
    assert await _differing(play, tmp_path) == []


async def test_a_second_play_of_one_script_changes_nothing(
    small: tuple[SmallGateway, str], tmp_path: Path
) -> None:
    gateway, url = small
    gateway.shaky = False
    first = await _play(gateway, url, tmp_path / "one.tsv")
    cases, deputies = dict(gateway.cases), dict(gateway.deputies)
    second = await _play(gateway, url, tmp_path / "two.tsv")
    assert (gateway.cases, gateway.deputies) == (cases, deputies)
    assert [line.found for line in second.lines] == [line.found for line in first.lines]


async def test_every_write_of_the_script_says_its_business_time(play: Play) -> None:
    gateway = play.gateway
    assert len(gateway.times) == len(gateway.outcomes)
    filed = {case.filed_at for case in play.year.cases if not case.explained}
    submitted = {case.submitted_at for case in play.year.cases if case.submitted_at is not None}
    assert submitted
    doubted = {case.doubted_at for case in play.year.cases if case.doubted_at is not None}
    assert doubted
    assert {instant.isoformat() for instant in filed | submitted | doubted} <= set(gateway.times)


async def test_every_particular_life_of_a_case_is_played(play: Play) -> None:
    assert {case.life for case in play.year.cases} >= {"transferred", "co-handled", "asked"}
    expected = {line.name: line.expected for line in play.lines}
    ways = [name for name, _, _ in _WAYS]
    for name in (*ways, "cases split off others 拆分", "cases with a co-handler 会办"):
        assert expected[name] > 0, name


@pytest.mark.parametrize(
    ("life", "without", "line"),
    [
        ("asked", "supplied", "cases asked about and supplied 补充"),
        ("co-handled", "opinion", "cases answered after an opinion 会办意见"),
        ("transferred", "transferred", "cases moved by staff 转办"),
    ],
)
async def test_a_way_that_lacks_a_step_of_its_life_makes_the_table_differ(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, life: str, without: str, line: str
) -> None:
    case = next(case for case in play.year.cases if case.life == life)
    held = play.gateway.cases[play.played.ids.get(case.id, str(case.id))]
    with monkeypatch.context() as patch:
        patch.setitem(held, "steps", [one for one in held["steps"] if one["step"] != without])
        assert line in await _differing(play, tmp_path)
    assert await _differing(play, tmp_path) == []


async def test_a_clock_that_did_not_stand_still_makes_the_table_differ(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(case for case in play.year.cases if case.life == "asked")
    held = play.gateway.cases[play.played.ids.get(case.id, str(case.id))]
    with monkeypatch.context() as patch:
        at = held["steps"][0]["at"]
        patch.setitem(held, "steps", [{**one, "at": at} for one in held["steps"]])
        assert await _differing(play, tmp_path) == ["  and their clock stood still"]


async def test_demo_people_get_passwords_of_their_own(play: Play, tmp_path: Path) -> None:
    with Journal(tmp_path / "people.tsv") as journal:
        async with open_gateway(play.url, SECRET, journal, connections=2) as client:
            people = await demo_people(client, play.city, play.year, play.played.cast)
    assert [person.role for person in people] == [
        "city deputy",
        "county deputy",
        "congress staff",
        "department",
    ]
    deputy, office = demo_pair(play.city, play.year)
    county = play.city.deputies[deputy].county
    assert county in office.counties, "the office that answers the deputy's county, not one without cases"
    assert people[3].login == f"department-{office.code}"
    assert len({person.password for person in people}) == 4
    assert all(person.password not in repr(person) for person in people)
    assert all(person.password not in (tmp_path / "people.tsv").read_text() for person in people)


async def test_a_wrong_secret_is_said_plainly(small: tuple[SmallGateway, str], tmp_path: Path) -> None:
    _, url = small
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, "wrong", journal, connections=2) as client:
            with pytest.raises(GatewayError, match="401 client-unknown"):
                await client.token_for("somebody")


async def test_a_gateway_that_stays_away_ends_the_play_with_its_reason(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.gateway_client.REPEAT_SECONDS", 0.3)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, SECRET, journal, connections=2) as client:
            phases = Phases(client, Console(file=io.StringIO()), 4)
            write = Write("case.file", "s", str(uuid.uuid4()), "somebody", "POST", "/api/cases", {})
            with pytest.raises(GatewayError, match="no answer for"):
                await phases.send_all("cases", [write] * 8, 8)


async def test_an_outcome_that_never_comes_is_journalled_as_unanswered(
    small: tuple[SmallGateway, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.gateway_client.FOLLOW_SECONDS", 0.3)
    gateway, url = small
    gateway.requests = 29  # the next answer is a 202
    gateway.asks_before_outcome = 1_000
    write = Write("duty.declare", "s", str(uuid.uuid4()), "somebody", "POST", "/api/duties", {"id": "d"})
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, SECRET, journal, connections=2) as client:
            answer = await client.send(write)
    assert (answer.status, answer.accepted) == (0, False)
    assert next(read_journal(tmp_path / "journal.tsv")).status == 0


def test_roster_files_hold_every_deputy_once_and_stay_below_the_largest_body() -> None:
    city = build_city(1, Scale(1))
    codes = {station.town: f"{station.town}x" for station in city.stations}
    numbers: list[str] = []
    for _, deputies in roster_files(city):
        content = roster_csv(deputies, codes)
        assert len(content) < 200_000
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        numbers += [row["number"] for row in rows]
        assert {row["level"] for row in rows} <= {"city", "county", "town"}
        assert [row["occupation"] for row in rows] == [deputy.occupation for deputy in deputies]
        assert all(row["station"] == (f"{row['town']}x" if row["town"] else "") for row in rows)
    assert sorted(numbers) == sorted(deputy.number for deputy in city.deputies)


def test_staff_send_a_returned_case_to_another_department() -> None:
    city = build_city(1, SMALL)
    case = next(c for c in write_year(city, 1, SMALL).cases if c.category == "城乡建设")
    first = department_by_hand(city, case, times_returned=0)
    again = department_by_hand(city, case, times_returned=1)
    assert first != again == "housing"


def test_all_reports_of_one_storm_matter_are_gathered_by_one_request() -> None:
    city, unused = build_city(1, Scale(1)), cast("Any", None)
    cases = write_year(city, 1, Scale(1)).cases
    filed = {str(case.id): case.filed_at for case in cases}

    def make(kind: str, subject: str, who: str, path: str, body: Mapping[str, Any], at: datetime) -> Write:
        return Write(kind, subject, "command", who, "POST", path, body, at)

    play = CasesPlay(unused, unused, city, cases, [], "clerk", make, unused, {})
    gathered: dict[str, str] = {}
    for write in play._gatherings():
        assert write.path == f"/api/cases/{write.subject}/gather"
        assert write.at is not None
        assert write.at > max(filed[report] for report in write.body["cases"])
        assert write.subject not in gathered.values(), "a second request for the same matter"
        gathered |= dict.fromkeys(write.body["cases"], write.subject)
    assert len(set(gathered.values())) < len(gathered)
    assert gathered == {str(case.id): str(case.merged_into) for case in cases if case.merged_into is not None}


def test_staff_move_a_case_to_another_department_than_the_one_that_has_it() -> None:
    city = build_city(1, SMALL)
    for case in write_year(city, 1, SMALL).cases:
        for holder in city.departments:
            assert another_department(city, case, holder.code) != holder.code


def test_staff_find_a_department_for_a_case_of_unknown_kind() -> None:
    city = build_city(1, SMALL)
    messages = [CaseText(f"标题{n}", "正文", "没有这一类") for n in range(100)]
    codes = {department.code for department in city.departments}
    for case in write_year(city, 1, SMALL, messages).cases:
        assert department_by_hand(city, case, times_returned=0) in codes


@pytest.mark.parametrize(
    ("service", "is_left"),
    [
        ({"lag": {"cases": 0, "cases.commands": 0}, "outbox": 0}, False),
        ({"lag": {"cases": 0, "cases.commands": 3}, "outbox": 0}, True),
        ({"lag": {"cases": 0}, "outbox": 1}, True),
        ({"lag": {"cases": None}, "outbox": 0}, True),
        ({"lag": {}, "outbox": 0}, True),
        ({}, True),
    ],
)
def test_a_service_with_work_left_or_unknown_is_unfinished(service: dict[str, Any], is_left: bool) -> None:
    assert bool(unfinished({"services": {"cases": service}})) is is_left


def test_a_figure_that_the_services_do_not_say_is_not_equal() -> None:
    assert value_at({"cases": {"filed": 3}}, ("cases", "filed")) == 3
    assert value_at({"cases": {}}, ("cases", "filed")) is None
    assert value_at({"cases": True}, ("cases",)) is None
    assert not Line("figure", None, 0, None, "GET").equal


def test_the_table_marks_what_differs() -> None:
    console = Console(file=io.StringIO(), width=120)
    show(console, [Line("cases", 10, 1, 1, "GET /a"), Line("people", 20, 2, 3, "GET /b")], divisor=10)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "script ÷ 10" in text
    assert text.count("DIFFERS") == 1
    assert "differs: people: GET /b" in text
