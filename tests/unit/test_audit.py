"""The audit finds what was changed, lost or invented, and is not fooled by repetitions."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from audit.__main__ import (
    AGREES,
    CANNOT_AUDIT,
    DIFFERS,
    CannotAudit,
    _envelopes,
    main,
    topics_of,
    verdict,
    years_to_compare,
)
from audit.arithmetic import Score, gather, score, scores, years_in
from audit.comparison import Comparison, compare
from audit.gateway import GatewayUnusable, fetch_scores
from audit.log import Broker, LogUnusable, read_counts
from audit.rubric import Rubric, RubricUnusable, read
from services.evaluation import domain
from services.evaluation.rubric import Adopted, Schedule
from services.evaluation.rubric import Rubric as ServiceRubric
from services.evaluation.rubric_file import read_rubric

RUBRICS = Path(__file__).parents[2] / "services/evaluation/rubrics"
TEXT = (RUBRICS / "ningbo.yaml").read_text(encoding="utf-8")
RUBRIC = read(TEXT)
NOTHING = score(RUBRIC, {})
ANNA, BO, CY = (str(UUID(int=n)) for n in (0xA, 0xB, 0xC))
Event = dict[str, Any]
TOKEN = "token"


def event(
    number: int, type_: str, sequence: int = 1, *, at: str = "2021-07-25T10:00:00+08:00", **data: Any
) -> Event:
    return {
        "specversion": "1.0", "id": str(UUID(int=number)), "source": "/services/test", "type": type_,
        "subject": "s", "time": at, "sequence": sequence, "data": {"deputy_id": ANNA, **data},
    }  # fmt: skip


def case(number: int) -> str:
    return str(UUID(int=10_000 + number))


def log() -> list[Event]:
    """A small year: Anna 1 + 2 for a case, 2 + 0.3 for a course; Bo a confirmed duty; Cy nothing."""
    return [
        event(1, "deputy.changed"),
        event(2, "deputy.changed", deputy_id=BO),
        event(3, "deputy.changed", deputy_id=CY),
        event(4, "case.filed", case_id=case(1), origin="own"),
        event(5, "case.closed", 5, case_id=case(1), result="explained"),
        event(6, "case.closed", 9, case_id=case(1), result="solved"),
        event(7, "course.completed", course_id=case(2), minutes=30, mark=80),
        event(8, "duty.logged", 1, deputy_id=BO, duty_id=case(3), kind="visit", state="declared", happened_on="2021-07-01"),
        event(9, "duty.logged", 2, deputy_id=BO, duty_id=case(3), kind="visit", state="confirmed", happened_on="2021-07-01"),
        event(10, "rubric.adopted", effective_from="2021-01-01", version=1, rubric=RUBRIC.document),
    ]  # fmt: skip


SHOWN = {
    ANNA: Score(530, {"supervision": 300, "motions": 0, "learning": 230, "participation": 0, "duties": 0}),
    BO: Score(150, {"supervision": 0, "motions": 0, "learning": 0, "participation": 0, "duties": 150}),
    CY: Score(0, {"supervision": 0, "motions": 0, "learning": 0, "participation": 0, "duties": 0}),
}


def audit(events: Iterable[Event], shown: dict[str, Score]) -> tuple[Comparison, int]:
    findings = gather(RUBRIC, events)
    compared = compare(2021, scores(RUBRIC, findings, 2021), shown, NOTHING)
    return compared, verdict(findings, compared)


def test_scores_that_follow_from_the_log_agree() -> None:
    compared, code = audit(log(), SHOWN)
    assert (compared, code) == (Comparison(deputies=3, non_zero=2, differences=()), AGREES)


@pytest.mark.parametrize("number", [4, 6, 7, 9])
def test_one_event_removed_is_found(number: int) -> None:
    compared, code = audit([e for e in log() if e["id"] != str(UUID(int=number))], SHOWN)
    assert compared.differences
    assert code == DIFFERS


def test_a_deputy_removed_from_the_log_is_no_agreement_when_points_are_shown() -> None:
    shown = {**SHOWN, str(UUID(int=0xD)): Score(100, SHOWN[CY].categories)}
    compared, code = audit(log(), shown)
    assert [(d.audited, d.shown) for d in compared.differences] == [(0, 100)]
    assert code == DIFFERS


@pytest.mark.parametrize("deputy", [ANNA, BO, CY])
def test_one_altered_point_is_found(deputy: str) -> None:
    shown = {**SHOWN, deputy: Score(SHOWN[deputy].total + 1, SHOWN[deputy].categories)}
    compared, code = audit(log(), shown)
    assert [(d.deputy, d.what) for d in compared.differences] == [(deputy, "total")]
    assert code == DIFFERS


def test_points_moved_between_categories_under_the_same_total_are_found() -> None:
    moved = Score(530, {"supervision": 200, "motions": 0, "learning": 330, "participation": 0, "duties": 0})
    compared, _ = audit(log(), {**SHOWN, ANNA: moved})
    assert {d.what for d in compared.differences} == {"supervision", "learning"}


def test_one_event_altered_in_the_log_is_found() -> None:
    events = log()
    events[5]["data"]["result"] = "unsolved"
    assert audit(events, SHOWN)[1] == DIFFERS


@pytest.mark.parametrize("number", range(10))
def test_one_event_doubled_changes_nothing(number: int) -> None:
    events = log()
    compared, code = audit([*events, copy.deepcopy(events[number])], SHOWN)
    assert (compared.differences, code) == ((), AGREES)


def test_two_different_events_under_one_id_are_no_agreement() -> None:
    events = log()
    other = copy.deepcopy(events[3])
    other["data"]["origin"] = "resident"
    findings = gather(RUBRIC, [*events, other])
    assert findings.contradictions == [other["id"]]
    assert audit([*events, other], SHOWN)[1] == DIFFERS


def test_a_deputy_whom_the_suite_does_not_show_is_a_difference() -> None:
    shown = {deputy: score for deputy, score in SHOWN.items() if deputy != CY}
    assert [(d.deputy, d.shown) for d in audit(log(), shown)[0].differences] == [(CY, None)]


@pytest.mark.parametrize(
    ("events", "shown"),
    [([], {}), (log()[:3], {CY: SHOWN[CY], BO: SHOWN[CY], ANNA: SHOWN[CY]}), ([], {CY: SHOWN[CY]})],
)
def test_agreement_of_nothing_is_a_failure(events: list[Event], shown: dict[str, Score]) -> None:
    compared, code = audit(events, shown)
    assert not compared.differences
    assert code == DIFFERS


def test_the_order_of_the_log_does_not_matter() -> None:
    assert audit(reversed(log()), SHOWN)[1] == AGREES


def test_an_event_that_lacks_what_the_rubric_asks_counts_nothing_and_is_told() -> None:
    broken = [
        event(20, "case.filed", origin="own"),
        event(21, "course.completed", course_id=case(9), minutes=10**12, mark=100),
        event(
            22, "duty.logged", 2, duty_id=case(8), kind="visit", state="confirmed", happened_on="2021-02-30"
        ),
        event(23, "case.filed", deputy_id="nobody", case_id=case(7), origin="own"),
    ]
    findings = gather(RUBRIC, [*log(), *broken])
    assert findings.unusable == [e["id"] for e in broken]
    assert audit([*log(), *broken], SHOWN)[1] == AGREES


def test_records_that_are_no_event_are_counted_and_passed_over() -> None:
    bad = [0]
    values = [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"id": 1}',
        b'{"id":"a","source":"b","type":"c","time":"d","data":1}',
    ]
    good = json.dumps(log()[0]).encode()
    assert list(_envelopes(iter([*values, good]), bad)) == [log()[0]]
    assert bad == [len(values)]


def test_a_year_is_a_year_in_china() -> None:
    events = [event(30, "case.filed", at="2021-12-31T16:00:00Z", case_id=case(5), origin="own")]
    findings = gather(RUBRIC, events)
    assert years_in(findings) == [2022]
    assert scores(RUBRIC, findings, 2022)[ANNA].total == 100
    assert scores(RUBRIC, findings, 2021) == {}


def test_the_rubric_in_force_must_be_the_one_in_the_file() -> None:
    assert years_to_compare(RUBRIC, gather(RUBRIC, log()), []) == [2021]
    other = event(11, "rubric.adopted", effective_from="2021-01-01", version=2, rubric={"name": "ningbo"})
    with pytest.raises(CannotAudit, match="not the one in the file"):
        years_to_compare(RUBRIC, gather(RUBRIC, [*log(), other]), [])
    with pytest.raises(CannotAudit, match="no rubric for 2020"):
        years_to_compare(RUBRIC, gather(RUBRIC, log()), [2020])


def test_a_rubric_adopted_for_a_later_year_leaves_earlier_years_to_the_file() -> None:
    later = event(11, "rubric.adopted", effective_from="2022-01-01", version=2, rubric={"name": "ningbo"})
    assert years_to_compare(RUBRIC, gather(RUBRIC, [*log(), later]), []) == [2021]


def test_the_audit_reads_the_topics_that_the_rubric_looks_at() -> None:
    assert topics_of(RUBRIC) == [
        "activity.attended", "case.closed", "case.filed", "case.progressed", "case.rated", "case.referred",
        "consultation.answered", "course.completed", "deputy.changed", "duty.logged", "motion.cosigned", "motion.progressed",
        "motion.rated", "motion.submitted", "rubric.adopted", "score.corrected",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "a: [", "name: x", TEXT.replace("points: 0.25", "points: 0.255"), TEXT.replace("per: opinions", "par: opinions")])  # fmt: skip
def test_a_file_that_is_no_rubric_stops_the_audit(text: str) -> None:
    with pytest.raises(RubricUnusable):
        read(text)


def test_without_a_broker_or_with_unusable_counts_the_audit_says_so() -> None:
    with pytest.raises(LogUnusable, match="KAFKA_BOOTSTRAP_SERVERS"):
        Broker.of_environment({})
    with pytest.raises(LogUnusable):
        read_counts("[1]")
    assert read_counts('{"case.filed": 3}') == {"case.filed": 3}
    assert not Broker.of_environment({"KAFKA_BOOTSTRAP_SERVERS": "x", "KAFKA_KIND": "tansu"}).ends_are_known


# --- against the service's own rules, on random years ---------------------------------------------


def _drawn(type_: str, sequence: int, deputy: int, thing: int, day: int, pick: int, number: int) -> Event:
    by_staff = type_.startswith("case.") and pick == 11  # what staff filed has no deputy
    data = {
        "deputy_id": None if by_staff else str(UUID(int=deputy)),
        **{name: str(UUID(int=thing)) for name in ("case_id", "course_id", "duty_id", "activity_id", "consultation_id", "motion_id")},
        **{name: str(UUID(int=deputy)) for name in ("cosigner_id", "rater_id")},
        "step": ("accepted", "turned", "withdrawn", "refused", "reopened", "promise-rated")[pick % 6],
        "by_deputy": pick < 6,
        "became": ("motion", "project-lead")[pick % 2], "rated_round": 1 + pick % 2,
        "origin": ("own", "resident")[pick % 2],
        "result": ("solved", "explained", "unsolved")[pick % 3],
        "state": ("declared", "confirmed", "withdrawn", "rejected")[pick % 4],
        "kind": ("inspection", "research", "reception", "visit", "hearing", "meeting", "theme", "training", "bill", "suggestion")[number % 10],
        "minutes": number, "mark": number, "opinions": number % 9, "stars": 5,
        "happened_on": str(date(2021, 12, 29) + timedelta(days=day)),
    }  # fmt: skip
    moment = datetime(2021, 12, 30, 15, 59, 59, tzinfo=UTC) + timedelta(
        hours=7 * day if day < 7 else 24 * day
    )
    return {
        "id": str(uuid5(NAMESPACE_OID, repr((type_, sequence, deputy, thing, day, pick, number)))),
        "source": "/services/test", "type": type_, "subject": "s", "time": moment.isoformat(),
        "sequence": sequence, "data": data,
    }  # fmt: skip


_events = st.lists(
    st.builds(
        _drawn,
        st.sampled_from(["case.filed", "case.closed", *sorted({rule.event for rule in RUBRIC.rules})]),
        st.integers(0, 4),
        st.integers(1, 2),
        st.integers(1, 30),
        st.one_of(st.integers(0, 6), st.integers(0, 200)),
        st.integers(0, 11),
        st.integers(0, 100),
    ),
    max_size=60,
)
_TEXTS = [file.read_text(encoding="utf-8") for file in sorted(RUBRICS.glob("*.yaml"))]
# Limits as tight and in as many windows as the language has, so that random events reach them all.
_TEXTS.append("""
name: tight
version: 1
title: 紧
base: 3
cap: 9
floor: 1
categories:
  work: {title: 工作, cap: {half-year: 6, year: 8}, floor: {half-year: -2}}
items:
  filed: {title: 提, category: work, event: case.filed, points: 1, evidence: case_id, cap: {month: 2, quarter: 3}}
  closed: {title: 结, category: work, event: case.closed, when: {result: solved}, points: 2, evidence: case_id, cap: {quarter: 4}}
  unsolved: {title: 未, category: work, event: case.closed, when: {result: unsolved}, points: -1.5, evidence: case_id, floor: {month: -2, half-year: -3}}
  rejected: {title: 退, category: work, event: duty.logged, when: {state: rejected}, points: -1, evidence: duty_id, date: happened_on}
  learnt: {title: 学, category: work, event: course.completed, points: 0.05, per: minutes, evidence: [course_id, year], cap: {month: 1.5}}
""")
_PAIRS = [(read(text), read_rubric(text)[1]) for text in _TEXTS]


@pytest.mark.parametrize(("rubric", "service"), _PAIRS, ids=[one.name for one, _ in _PAIRS])
@given(events=_events)
def test_audit_and_service_reach_the_same_scores_by_different_ways(
    rubric: Rubric, service: ServiceRubric, events: list[Event]
) -> None:
    schedule = Schedule((Adopted(date(2021, 1, 1), service),))
    findings = gather(rubric, events)
    facts = (
        domain.Fact(UUID(e["id"]), e["type"], datetime.fromisoformat(e["time"]), e["data"], e["sequence"])
        for e in events
    )
    sums = domain.buckets(row for fact in facts for row in domain.entries(schedule, fact))
    for year in (2021, 2022):
        audited = scores(rubric, findings, year)
        assert audited.keys() == {str(b.deputy_id) for b in sums if b.year == year}
        for deputy, found in audited.items():
            by_item: dict[str, dict[int, int]] = {}
            for b, p in sums.items():
                if (str(b.deputy_id), b.year) == (deputy, year):
                    by_item.setdefault(b.item, {})[b.month] = p
            total = domain.totals(service, by_item)
            assert found == Score(total.total, dict(total.categories))


# --- the gateway ---------------------------------------------------------------------------------


def _ranking(items: list[dict[str, Any]], *, claims: int | None = None) -> web.Application:
    async def ranking(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"code": "unauthenticated"}, status=401)
        assert request.query["year"] == "2021"
        page, size = int(request.query["page"]), int(request.query["size"])
        found = items[(page - 1) * size : page * size]
        total = len(items) if claims is None else claims
        return web.json_response({"items": found, "total": total, "page": page, "size": size})

    app = web.Application()
    app.router.add_get("/api/ranking", ranking)
    return app


def _items(count: int) -> list[dict[str, Any]]:
    return [{"deputy_id": str(UUID(int=n)), "total": n, "categories": {"duties": n}} for n in range(count)]


async def _fetch(app: web.Application, token: str) -> dict[str, Score]:
    async with TestServer(app) as server:
        return await fetch_scores(str(server.make_url("/")), token, 2021)


async def test_every_page_of_the_ranking_is_read() -> None:
    found = await _fetch(_ranking(_items(1203)), TOKEN)
    assert len(found) == 1203
    assert found[str(UUID(int=7))] == Score(7, {"duties": 7})


async def test_an_empty_ranking_is_an_empty_answer() -> None:
    assert await _fetch(_ranking([]), TOKEN) == {}


@pytest.mark.parametrize(
    "app",
    [
        _ranking(_items(10), claims=11),
        _ranking([*_items(10), *_items(1)]),
        _ranking([{"deputy_id": ANNA, "total": "x", "categories": {}}]),
    ],
    ids=["fewer than claimed", "one twice", "no number"],
)
async def test_a_ranking_that_does_not_fit_together_stops_the_audit(app: web.Application) -> None:
    with pytest.raises(GatewayUnusable):
        await _fetch(app, TOKEN)


def test_an_audit_that_cannot_be_made_exits_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    (tmp_path / "rubric.yaml").write_text(TEXT, encoding="utf-8")
    for file in ("rubric.yaml", "missing.yaml"):
        assert main(["--rubric", str(tmp_path / file), "--gateway", "http://127.0.0.1:9"]) == CANNOT_AUDIT


async def test_a_gateway_that_refuses_stops_the_audit() -> None:
    with pytest.raises(GatewayUnusable, match="401"):
        await _fetch(_ranking([]), "other")
