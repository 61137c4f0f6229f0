"""The table at the end: each figure of the script, asked of the services, and whether they agree.

Invariants: what is expected comes from the script alone; what is found comes from the services' HTTP
API (through the gateway) and never from what the driver counted, except the journal's lines, which
are compared with the services' effects: each accepted request has exactly one, a refused one none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table

from simulation import cases as case_script
from simulation import city as city_script
from simulation import year as year_script
from simulation.city import City
from simulation.gateway_client import GatewayClient, GatewayError
from simulation.journal import Entry
from simulation.script import END
from simulation.year import Consultation, Year

_LIST_SIZE = 500
_OPEN = case_script.CASES_FILED - case_script.CASES_CLOSED


@dataclass(frozen=True, slots=True)
class Ask:
    """How a figure is asked: GET `path` as the city's staff, then the value at `at`."""

    path: str
    at: tuple[str, ...]
    query: tuple[tuple[str, str | int], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.query)
        return f"GET {self.path}{'?' + query if query else ''} → {'.'.join(self.at)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: what the city reported for the whole year (None: not reported), the script's, how it is asked."""

    name: str
    reported: int | None
    expected: int
    ask: Ask


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; `found` None when the services did not say."""

    name: str
    reported: int | None
    expected: int
    found: int | None
    asked: str

    @property
    def equal(self) -> bool:
        """Whether the services agree with the script."""
        return self.expected == self.found


def figures(city: City, year: Year) -> tuple[Figure, ...]:
    """Every figure of the script, with how to ask the services for it."""
    cases, duties = year.cases, year.duties
    filed, closed = len(cases), sum(case.closed_at is not None for case in cases)
    rated = sum(case.stars is not None for case in cases)
    concerns = sum(case.submitted_at is not None for case in cases)
    explained = sum(case.explained for case in cases)
    rated_by_residents = sum(case.resident_stars is not None for case in cases)
    merged = sum(case.merged_into is not None for case in cases)
    split = sum(case.split_from is not None for case in cases)
    reopened = sum(case.reopened_at is not None for case in cases)
    lives = Counter(case.life for case in cases)
    objected = sum(case.explained and case.doubted_at is not None for case in cases)
    unsatisfied = sum(case.doubted_at is not None for case in cases) - objected
    granted = sum(bool(case.extension) for case in cases)
    trained = len(year.training.attendees)
    fates = Counter(duty.fate for duty in duties)
    decided = len(duties) - fates["declared"]
    levels = Counter(deputy.level for deputy in city.deputies)
    laws = [c for c in year.consultations if c.kind == "legislation"]
    questionnaire = next(c for c in year.consultations if c.kind == "questionnaire")
    respondents, answers = len(questionnaire.answers), sum(len(c.answers) for c in year.consultations)
    opinions = sum(answer.opinions for answer in questionnaire.answers)
    signed_up = sum(len(activity.attendances) for activity in year.activities)
    came = sum(one.checked_in_at is not None for activity in year.activities for one in activity.attendances)
    lines: tuple[tuple[str, int | None, int, Ask], ...] = (
        ("deputies", city_script.DEPUTIES, len(city.deputies), _total("/api/deputies")),
        ("  of the city", None, levels["city"], _total("/api/deputies", level="city")),
        ("  of counties", None, levels["county"], _total("/api/deputies", level="county")),
        ("  of towns", None, levels["town"], _total("/api/deputies", level="town")),
        ("departments", None, len(city.departments), _total("/api/departments")),
        ("stations", None, len(city.stations), _total("/api/stations")),
        ("cases filed 督事", case_script.CASES_FILED, filed, _figure("cases", "filed")),
        ("  put by residents 民情直通车", None, concerns, _figure("cases", "steps", "submitted")),
        ("    and taken up 接收", None, concerns - explained, _figure("cases", "steps", "taken-up")),
        ("    explained 解释说明", None, explained + objected, _figure("cases", "steps", "explained")),
        ("    and objected to 不同意见", None, objected, _figure("cases", "steps", "objected")),
        ("cases closed 办结", case_script.CASES_CLOSED, closed, _figure("cases", "closed")),
        ("  answered, still open", _OPEN, filed - closed, _figure("cases", "states", "answered")),
        ("  merged into others 并案", None, merged, _figure("cases", "merged")),
        ("  split 拆分", None, split, _figure("cases", "steps", "split")),
        ("  sent back once 重新办理", None, reopened + unsatisfied, _figure("cases", "reopened")),
        ("  moved by staff 转办", None, lives["transferred"], _figure("cases", "steps", "transferred")),
        (
            "  opinions of co-handlers 会办意见",
            None,
            lives["co-handled"],
            _figure("cases", "steps", "opinion"),
        ),
        ("  asked about 请求补充", None, lives["asked"], _figure("cases", "steps", "asked")),
        ("    and supplied 补充", None, lives["asked"], _figure("cases", "steps", "supplied")),
        ("  handed back 退回", None, 2 * lives["disputed"], _figure("cases", "steps", "returned")),
        ("  gone up, somebody designated 首接负责", None, lives["disputed"], _figure("cases", "designated")),
        (
            "  more time asked for 申请延期",
            None,
            lives["extended"],
            _figure("cases", "steps", "extension-asked"),
        ),
        ("    and granted", None, granted, _figure("cases", "steps", "extension-granted")),
        ("cases rated 评价", None, rated, _figure("cases", "rated")),
        (
            "ratings by residents 居民评价",
            None,
            rated_by_residents + unsatisfied,
            _figure("cases", "steps", "resident-rated"),
        ),
        *_session_lines(year),
        (
            "training completed 初任培训",
            None,
            trained,
            _figure("learning", "completed_by_course", str(year.training.id)),
        ),
        ("legislative consultations", 12, len(laws), _by_kind("legislation", "consultations")),
        ("  answers to them", None, answers - respondents, _by_kind("legislation", "answers")),
        (
            "questionnaire, respondents",
            year_script.QUESTIONNAIRE_RESPONDENTS,
            respondents,
            _answers_to(questionnaire, "respondents"),
        ),
        ("questionnaire, opinions", None, opinions, _answers_to(questionnaire, "opinions")),
        ("thematic activities", 10, len(year.activities), _total("/api/activities", kind="theme")),
        ("  sign-ups 报名", None, signed_up, _figure("participation", "sign_ups")),
        ("  check-ins 签到", None, came, _figure("participation", "check_ins")),
        *(
            (f"duties {fate}", None, fates[fate], _figure("participation", "duties", fate))
            for fate in ("declared", "confirmed", "rejected", "withdrawn")
        ),
        ("evaluation: deputies known", None, len(city.deputies), _figure("evaluation", "deputies")),
        ("evaluation: cases filed", None, filed - explained, _taken_in("case.filed")),
        ("evaluation: closings of cases", None, closed + objected + unsatisfied, _taken_in("case.closed")),
        ("evaluation: cases rated", None, rated, _taken_in("case.rated")),
        ("evaluation: completions", None, trained, _taken_in("course.completed")),
        ("evaluation: answers", None, answers, _taken_in("consultation.answered")),
        ("evaluation: sign-ups", None, signed_up, _taken_in("activity.signed-up")),
        ("evaluation: check-ins", None, came, _taken_in("activity.attended")),
        ("evaluation: steps of duties", None, len(duties) + decided, _taken_in("duty.logged")),
    )
    return tuple(Figure(*line) for line in lines)


def _session_lines(year: Year) -> tuple[tuple[str, int | None, int, Ask], ...]:
    """The figures of the session's motions, asked of the session's report and of evaluation."""
    put = [motion for motion in year.motions if motion.submitted_at is not None]
    fates = Counter(motion.fate for motion in put)
    handled = fates["accepted"] + fates["turned"]
    bills = sum(motion.kind == "bill" for motion in put)
    cosigned = [motion for motion in put if motion.cosigners]
    again = sum(motion.rated_again_at is not None for motion in put)
    by_others = sum(motion.handled and motion.rated_again_at is None for motion in cosigned)
    signatures = sum(len(motion.cosigners) for motion in cosigned)
    events = sum(len(motion.cosigners) * motion.submissions for motion in cosigned)
    return (
        ("motions submitted 议案建议", None, len(put), _session("submitted", "total")),
        *((("  bills 议案", None, bills, _session("submitted", "kinds", "bill", "city")),) if bills else ()),
        *(
            (("  bills passed 通过", None, fates["passed"], _session("bills", "passed")),)
            if fates["passed"]
            else ()
        ),
        ("  with co-signers 联名", None, len(cosigned), _session("cosigned")),
        ("  co-signatures", None, signatures, _session("signatures")),
        ("  turned into suggestions 转为建议", None, fates["turned"], _session("turned")),
        ("  not accepted 不予受理", None, fates["not-accepted"], _session("states", "not-accepted")),
        ("  withdrawn 撤回", None, fates["withdrawn"], _session("withdrawn")),
        ("  answered in time 按期答复", None, handled, _session("on_time", "numerator")),
        ("  handled again 再次办理", None, again, _session("redone")),
        ("  satisfied in the end 满意", None, handled, _session("satisfaction", "result", "numerator")),
        ("  closed 办结", None, handled, _session("states", "closed")),
        (
            "evaluation: motions submitted",
            None,
            sum(m.submissions for m in put),
            _taken_in("motion.submitted"),
        ),
        ("evaluation: co-signatures", None, events, _taken_in("motion.cosigned")),
        ("evaluation: ratings of answers", None, handled + again + by_others, _taken_in("motion.rated")),
    )


def _session(*at: str) -> Ask:
    """A figure of the session's report, as it stood at the end of the year."""
    return Ask("/api/motion-report", at, (("at", END.isoformat()),))


def _total(path: str, **query: str) -> Ask:
    return Ask(path, ("total",), (*query.items(), ("size", 1)))


def _figure(*at: str) -> Ask:
    return Ask("/api/figures", at)


def _by_kind(kind: str, figure: str) -> Ask:
    return _figure("participation", "by_kind", kind, figure)


def _answers_to(consultation: Consultation, figure: str) -> Ask:
    return Ask(f"/api/consultations/{consultation.id}", (figure,))


def _taken_in(event_type: str) -> Ask:
    """How many different events of a type evaluation has taken in."""
    return _figure("evaluation", "events", event_type)


async def ask_all(gateway: GatewayClient, asked: Iterable[Figure], staff: str) -> list[Line]:
    """Ask every figure; what the services do not know is a line with nothing found."""
    lines = []
    for figure in asked:
        ask = figure.ask
        try:
            body = await gateway.get(ask.path, who=staff, **dict(ask.query))
        except GatewayError as error:
            lines.append(Line(figure.name, figure.reported, figure.expected, None, str(error)))
            continue
        lines.append(Line(figure.name, figure.reported, figure.expected, value_at(body, ask.at), str(ask)))
    return lines


def value_at(body: Any, at: tuple[str, ...]) -> int | None:
    """The whole number at a place in a JSON body, None when it is not there."""
    for key in at:
        if not isinstance(body, Mapping) or key not in body:
            return None
        body = body[key]
    return body if isinstance(body, int) and not isinstance(body, bool) else None


async def list_cases(gateway: GatewayClient, staff: str) -> list[Mapping[str, Any]]:
    """All cases as lists show them."""
    return [item async for item in gateway.pages("/api/cases", who=staff, size=_LIST_SIZE)]


_WAYS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("cases moved by staff 转办", "transferred", ("accepted", "transferred", "accepted", "answered")),
    ("cases answered after an opinion 会办意见", "co-handled", ("co-handled", "opinion", "answered")),
    ("cases asked about and supplied 补充", "asked", ("asked", "supplied", "answered")),
    (
        "concerns handled again 不满意",
        "doubted",
        ("closed", "resident-rated", "reopened", "answered", "closed"),
    ),
    ("concerns objected to 不同意见", "objected", ("explained", "objected", "explained")),
)
"""Lines of the table: the name, what the script's cases have lived, and the steps that their ways must have, in order."""


async def compare_ways(
    gateway: GatewayClient,
    year: Year,
    ids: Mapping[UUID, str],
    cases: Sequence[Mapping[str, Any]],
    staff: str,
) -> list[Line]:
    """What no figure tells: counted among all cases as they are listed, and in the ways of the script's.

    `ids` are the services' ids of cases by the script's, where they are not the same.
    """
    lived: dict[str, list[str]] = {}
    for case in year.cases:
        doubt = None if case.doubted_at is None else ("objected" if case.explained else "doubted")
        for what in (case.life, doubt, None if case.split_from is None else "split"):
            lived.setdefault(what or "", []).append(ids.get(case.id, str(case.id)))
    number = {what: len(found) for what, found in lived.items()}
    lines = [
        Line(name, None, number.get(what, 0), sum(bool(case[field]) for case in cases), "GET /api/cases")
        for name, what, field in (
            ("cases split off others 拆分", "split", "split_from"),
            ("cases with a co-handler 会办", "co-handled", "co_handlers"),
            ("concerns objected to, listed", "objected", "objected"),
        )
    ]
    told = (await gateway.get("/api/indicators", who=staff))["indicators"]
    moved = sum(
        one["denominator"] - one["numerator"] for one in told if one["key"] == "cases-routed-right-first"
    )
    expected = number.get("disputed", 0) + number.get("transferred", 0)
    lines.append(Line("cases moved or handed back", None, expected, moved, "GET /api/indicators"))
    way = "GET /api/cases/{id}"
    for name, what, steps in _WAYS:
        wanted = lived.get(what, [])
        ways = await asyncio.gather(*(gateway.get(f"/api/cases/{id_}", who=staff) for id_ in wanted))
        found = [_in_order(one["steps"], steps) for one in ways]
        lines.append(Line(name, None, len(wanted), sum(len(at) == len(steps) for at in found), way))
        if what == "asked":
            rested = sum(len(at) > 1 and at[0] < at[1] for at in found)
            lines.append(Line("  and their clock stood still", None, len(wanted), rested, way))
    return lines


def _in_order(way: Iterable[Mapping[str, Any]], steps: Sequence[str]) -> list[datetime]:
    """When a way came to these steps one after the other, whatever lies between; as far as it has them."""
    found: list[datetime] = []
    for one in way:
        if len(found) < len(steps) and one["step"] == steps[len(found)]:
            found.append(datetime.fromisoformat(one["at"]))
    return found


def compare_journal(
    cases: Iterable[Mapping[str, Any]], entries: Iterable[Entry], mistakes: frozenset[str]
) -> list[Line]:
    """The journal against the services: cases filed and closed one by one, mistakes refused, nothing unanswered."""
    accepted: dict[str, Counter[str]] = {}
    commands: set[str] = set()
    refused_mistakes = unanswered = refused_else = 0
    for entry in entries:
        if entry.status == 0:
            unanswered += 1
        elif entry.accepted and entry.command_id not in commands:
            commands.add(entry.command_id)
            accepted.setdefault(entry.kind, Counter())[entry.subject] += 1
        elif not entry.accepted and entry.command_id in mistakes:
            refused_mistakes += 1
        elif not entry.accepted:
            refused_else += 1

    def together(*kinds: str) -> Counter[str]:
        return sum((accepted.get(kind, Counter()) for kind in kinds), Counter())

    filed: Counter[str] = Counter()
    closed: Counter[str] = Counter()
    for item in cases:
        filed[item["id"]] += 1
        closed[item["id"]] += item["state"] == "closed" and item["merged_into"] is None
    return [
        Line(
            "journal: cases accepted, found once",
            None,
            *_matched(together("case.file", "case.split", "concern.take-up", "concern.explain"), filed),
            "GET /api/cases",
        ),
        Line(
            "journal: own closings accepted, found",
            None,
            *_matched(together("case.close", "concern.explain"), +closed),
            "GET /api/cases",
        ),
        Line("journal: mistakes refused", None, len(mistakes), refused_mistakes, "journal"),
        Line("journal: other refusals", None, 0, refused_else, "journal"),
        Line("journal: requests without an outcome", None, 0, unanswered, "journal"),
    ]


def _matched(wanted: Counter[str], found: Counter[str]) -> tuple[int, int]:
    """How many things there should be, and how many are there exactly once; strangers make it less."""
    once = sum(found[subject] == times == 1 for subject, times in wanted.items())
    strangers = sum(subject not in wanted for subject in found)
    return len(wanted), once - strangers


def show(console: Console, lines: Iterable[Line], *, divisor: int) -> None:
    """Print the table; the script's column says by how much the reported figures were divided."""
    table = Table(title="The year, as the script says and as the services say", title_justify="left")
    table.add_column("figure")
    table.add_column("reported", justify="right")
    table.add_column("script" if divisor == 1 else f"script ÷ {divisor}", justify="right")
    table.add_column("services", justify="right")
    table.add_column("")
    for line in lines:
        table.add_row(
            line.name,
            "" if line.reported is None else f"{line.reported:,}",
            f"{line.expected:,}",
            "?" if line.found is None else f"{line.found:,}",
            "equal" if line.equal else "[bold red]DIFFERS[/]",
        )
    console.print(table)
    for line in lines:
        if not line.equal:
            console.print(f"  differs: {line.name.strip()}: {line.asked}", markup=False, highlight=False)
