"""Read-only HTTP of evaluation: scores, ranking, archive, rubrics and figures.

Invariant: a deputy sees their own score and archive; staff see those of the deputies of their congress and of
the congresses in its area, alone, in lists and in simulations. Points are integers in hundredths of a point.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.evaluation import activity, annual, archive, errors, explaining, queries, rescore
from services.evaluation.domain import CHINA, Explanation, Total, chances, explain, month_of, sums_of, totals
from services.evaluation.judging import Candidate, judge
from services.evaluation.package import Signer
from services.evaluation.replay import Replay
from services.evaluation.rubric import CORRECTED, Adopted, Rubric, Schedule, adopt
from services.evaluation.rubric_file import RubricInvalid, parse_rubric, read_rubric, written
from services.evaluation.store import EvaluationStore
from shared.contracts.envelope import Actor
from shared.contracts.evaluation import AppealState
from shared.contracts.identity import OCCUPATIONS, Level, PlaceCode, congress_of
from shared.contracts.registry import Role, contract_of
from shared.host import WhoCalls
from shared.http.callers import require
from shared.http.problems import Problem
from shared.messaging.kafka import Reading, read_whole
from shared.refusals import Refusal
from shared.settings import KafkaSettings

_EVERYTHING: tuple[Role, ...] = ("staff", "operator", "simulation")

Year = Annotated[
    int | None, Query(ge=1954, le=9999, description="calendar year; the last with a score by default")
]
Page = Annotated[int, Query(ge=1, le=1_000_000)]
Size = Annotated[int, Query(ge=1, le=500)]


_SPAN_YEARS = 10
_STARTS = 3
"""So many years on are told whether a rubric could count from them."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
_XLSX, _DOCX = f"{_OFFICE}.spreadsheetml.sheet", f"{_OFFICE}.wordprocessingml.document"
_SHOWN = 20


class Draft(BaseModel):
    """A rubric to try, and the period to try it on; the last year with a score by default."""

    model_config = ConfigDict(extra="forbid")

    rubric: dict[str, Any]
    begin: date | None = None
    until: date | None = None


class DraftText(BaseModel):
    """A rubric as it is being written, in YAML."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    text: Annotated[str, Field(max_length=100_000)]


async def _check_seen(connection: AsyncConnection, actor: Actor, deputy_id: UUID) -> None:
    """Raise Refusal for who may not see a deputy's score and archive."""
    if actor.person == str(deputy_id):
        return
    if not actor.roles.intersection(_EVERYTHING):
        raise errors.not_your_score()
    if not await queries.is_known(connection, deputy_id):
        raise errors.deputy_unknown()
    if not actor.reaches(await queries.congress(connection, deputy_id)):
        raise errors.not_your_area()


def _reaches(actor: Actor, one: Candidate | rescore.Person) -> bool:
    """Whether a deputy's congress lies in somebody's area."""
    return actor.reaches(congress_of(one.level, one.county, one.town))


def _nothing(rubric: Rubric | None) -> Total:
    """The score of a deputy without any fact."""
    return totals(rubric, {}) if rubric else Total(0, {}, {})


def _title(rubric: Rubric | None, key: str) -> str:
    """An item's title under the rubric of its year; its key where that rubric has no such item."""
    return next((item.title for item in rubric.items if item.key == key), key) if rubric else key


def _named_by(rubric: Rubric | None, key: str) -> str | None:
    """Which fields of a fact make the evidence of an item; None where the rubric has no such item."""
    items = rubric.items if rubric else ()
    return next(("/".join(item.evidence) for item in items if item.key == key), None)


async def _year(connection: AsyncConnection, asked: int | None, deputy_id: UUID | None = None) -> int:
    return (
        asked or await queries.latest_year(connection, deputy_id) or datetime.now(UTC).astimezone(CHINA).year
    )


async def _explained(
    store: EvaluationStore, connection: AsyncConnection, deputy_id: UUID, day: date
) -> Explanation:
    """A deputy's score of a day's year, of what happened until that day."""
    rubric = (await store.read_schedule(connection)).in_year(day.year)
    if rubric is None:
        raise errors.no_rubric(day.year)
    rows = await queries.ledger_rows(connection, deputy_id, date(day.year, 1, 1), day)
    if not rows and await queries.deputy(connection, deputy_id) is None:
        raise errors.deputy_unknown()
    return explain(rubric, rows, day.year)


async def _starts(
    store: EvaluationStore, connection: AsyncConnection, rubric: Rubric, year: int
) -> list[dict[str, Any]]:
    """From which days a rubric could count, each with the code of what would refuse it."""
    schedule = await store.read_schedule(connection)
    looked_at = schedule.event_types | rubric.items_by_event.keys()
    last_year = await store.last_year(connection, looked_at)
    own = {rubric.effective_from.year} if rubric.effective_from else set()
    starts = []
    for begin in (date(one, 1, 1) for one in sorted({*range(year, year + _STARTS), *own})):
        code = None
        try:
            adopt(schedule, Adopted(begin, rubric), last_scored_year=last_year)
        except Refusal as refusal:
            code = refusal.code
        starts.append({"day": begin, "refused": code})
    return starts


def _last_day(year: int) -> date:
    """The last day of a year, or today within it: what has not happened yet raises nothing."""
    today = datetime.now(UTC).astimezone(CHINA).date()
    return min(date(year, 12, 31), max(today, date(year, 1, 1)))


def _file(content: bytes, kind: str, name: str) -> Response:
    """A file to be kept under a name, never shown in a page."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


# The libraries that make these files are loaded with the first one, in its thread: no start waits for them.


def _sheet(found: dict[str, Any], today: date) -> bytes:
    from services.evaluation import paper

    return paper.sheet(found, printed_on=today)


def _book(found: dict[str, Any], places: Mapping[str, str], today: date) -> bytes:
    from services.evaluation import paper

    return paper.book(found, places, printed_on=today)


def _spreadsheet(found: dict[str, Any]) -> bytes:
    from services.evaluation import office

    return office.spreadsheet(found)


def _report_pdf(draft: annual.Report, today: date) -> bytes:
    from services.evaluation import paper

    return paper.annual_report(draft, printed_on=today)


def _report_docx(draft: annual.Report) -> bytes:
    from services.evaluation import office

    return office.document(draft)


def router(
    store: EvaluationStore,
    kafka: KafkaSettings,
    signer: Signer,
    places: Mapping[str, str],
    engine: AsyncEngine,
    caller: WhoCalls,
) -> APIRouter:
    """The routes. A simulation reads the log of facts with `kafka`, one at a time in a process."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]
    simulating = asyncio.Lock()

    @routes.get("/scores/{deputy_id}")
    async def score(deputy_id: UUID, actor: who, year: Year = None) -> dict[str, Any]:
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            found_year = await _year(connection, year, deputy_id)
            rubric = (await store.read_schedule(connection)).in_year(found_year)
            found = await queries.score(connection, deputy_id, found_year, rubric)
            term = await queries.score_of_term(connection, deputy_id, found_year, rubric)
        if found is None:
            raise errors.deputy_unknown()
        return {
            "deputy_id": deputy_id,
            "year": found_year,
            "total": found.total,
            "categories": found.categories,
            "rubric": {"name": rubric.name, "version": rubric.version} if rubric else None,
            "term": vars(term) if term else None,
        }

    async def explained(actor: Actor, deputy_id: UUID, year: int | None, on: date | None) -> dict[str, Any]:
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            day = on or _last_day(await _year(connection, year, deputy_id))
            found = await _explained(store, connection, deputy_id, day)
            deputy = await queries.deputy(connection, deputy_id)
        sums = sums_of(line.entry for line in found.lines)
        raised = chances(found.rubric, sums, month_of(day))
        return {**explaining.as_of(deputy, deputy_id, day), **explaining.explanation(found, raised)}

    @routes.get("/scores/{deputy_id}/explanation")
    async def explanation(
        deputy_id: UUID, actor: who, year: Year = None, on: date | None = None
    ) -> dict[str, Any]:
        return await explained(actor, deputy_id, year, on)

    @routes.get("/scores/{deputy_id}/sheet")
    async def sheet(deputy_id: UUID, actor: who, year: Year = None, on: date | None = None) -> Response:
        found = await explained(actor, deputy_id, year, on)
        today = datetime.now(UTC).astimezone(CHINA).date()
        body = await asyncio.to_thread(_sheet, found, today)
        return Response(body, media_type="application/pdf")

    @routes.get("/scores/{deputy_id}/difference")
    async def difference(deputy_id: UUID, actor: who, begin: date, until: date) -> dict[str, Any]:
        if until < begin:
            raise errors.period_wrong()
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            before = await _explained(store, connection, deputy_id, begin)
            after = await _explained(store, connection, deputy_id, until)
        return {
            "deputy_id": deputy_id,
            "begin": begin,
            "until": until,
            **explaining.difference(before, after),
        }

    @routes.post("/simulations")
    async def simulate(draft: Draft, actor: who) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        rubric = parse_rubric(draft.rubric)
        if simulating.locked():
            raise errors.simulation_running()
        async with simulating:
            async with engine.connect() as connection:
                year = await _year(connection, None)
                schedule = await store.read_schedule(connection)
                people = await queries.people(connection)
            begin, until = draft.begin or date(year, 1, 1), draft.until or date(year, 12, 31)
            if until < begin or until.year - begin.year >= _SPAN_YEARS:
                raise errors.period_wrong()
            found = await _simulated(kafka, schedule, rubric, begin, until, people, actor)
            async with engine.connect() as connection:
                shown = {one["deputy_id"] for one in (*found["risers"], *found["fallers"])}
                names = await queries.names(connection, shown)
        for one in (*found["risers"], *found["fallers"]):
            one["number"], one["name"] = names[one["deputy_id"]]
        return found

    @routes.get("/ranking")
    async def ranking(
        actor: who,
        year: Year = None,
        level: Level | None = None,
        county: PlaceCode | None = None,
        page: Page = 1,
        size: Size = 50,
    ) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            found_year = await _year(connection, year)
            rubric = (await store.read_schedule(connection)).in_year(found_year)
            found = await queries.ranking(
                connection,
                found_year,
                _nothing(rubric),
                area=actor.organisation,
                level=level,
                county=county,
                page=page,
                size=size,
            )
        return {"items": found.items, "total": found.total, "page": page, "size": size, "year": found_year}

    @routes.get("/archive/{deputy_id}")
    async def timeline(
        deputy_id: UUID,
        actor: who,
        year: Year = None,
        with_zero: Annotated[bool, Query(description="also what counts nothing (now)")] = False,
        page: Page = 1,
        size: Size = 50,
    ) -> dict[str, Any]:
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            rows, total = await queries.archive(
                connection, deputy_id, year=year, with_zero=with_zero, page=page, size=size
            )
            known = archive.items_of(await store.read_schedule(connection))
        items = []
        for row in rows:
            item = known[row["rubric"], row["rubric_version"], row["item"]]
            items.append({**row, "title": item.title, "category": item.category})
        return {"items": items, "total": total, "page": page, "size": size}

    async def whole_archive(actor: Actor, deputy_id: UUID) -> dict[str, Any]:
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            if not await queries.is_known(connection, deputy_id):
                raise errors.deputy_unknown()
            schedule = await store.read_schedule(connection)
            rows = await queries.ledger_rows(connection, deputy_id, date.min, date.max)
            notes = await queries.notes(connection, deputy_id)
            deputy = await queries.deputy(connection, deputy_id)
        return archive.archive(deputy, deputy_id, rows, notes, schedule, as_of=datetime.now(UTC))

    @routes.get("/archive/{deputy_id}/parts")
    async def parts(deputy_id: UUID, actor: who) -> dict[str, Any]:
        return await whole_archive(actor, deputy_id)

    @routes.get("/archive/{deputy_id}/package")
    async def package(deputy_id: UUID, actor: who) -> Response:
        found = await whole_archive(actor, deputy_id)
        made_at: datetime = found["as_of"]

        def packed() -> bytes:
            files = {
                "archive.json": to_json(found, indent=1),
                "archive.pdf": _book(found, places, made_at.astimezone(CHINA).date()),
            }
            return signer.pack(files, deputy_id=deputy_id, made_at=made_at)

        return _file(await asyncio.to_thread(packed), "application/zip", "archive.zip")

    @routes.get("/archive/{deputy_id}/spreadsheet")
    async def spreadsheet(deputy_id: UUID, actor: who) -> Response:
        found = await whole_archive(actor, deputy_id)
        return _file(await asyncio.to_thread(_spreadsheet, found), _XLSX, "archive.xlsx")

    @routes.get("/archive-keys")
    async def archive_keys() -> dict[str, Any]:
        return signer.public_keys

    @routes.get("/scores/{deputy_id}/report")
    async def report(
        deputy_id: UUID, actor: who, year: Year = None, kind: Literal["docx", "pdf"] = "docx"
    ) -> Response:
        async with engine.connect() as connection:
            await _check_seen(connection, actor, deputy_id)
            day = _last_day(await _year(connection, year, deputy_id))
            explained = await _explained(store, connection, deputy_id, day)
            schedule = await store.read_schedule(connection)
            deputy = await queries.deputy(connection, deputy_id)
        draft = annual.report(explained, deputy, schedule, until=day)
        today = datetime.now(UTC).astimezone(CHINA).date()
        if kind == "pdf":
            body = await asyncio.to_thread(_report_pdf, draft, today)
            return _file(body, "application/pdf", f"report-{day.year}.pdf")
        return _file(await asyncio.to_thread(_report_docx, draft), _DOCX, f"report-{day.year}.docx")

    @routes.get("/activity")
    async def active(
        actor: who,
        year: Year = None,
        county: Annotated[str | None, Query(pattern=r"^\d{6}$")] = None,
        town: Annotated[str | None, Query(pattern=r"^\d{9}(\d{3})?$")] = None,
    ) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        within = [town[:6], town] if town else [county] if county else []
        async with engine.connect() as connection:
            found_year = await _year(connection, year)
            months = range(found_year * 12, found_year * 12 + 12)
            deputies, found, above = await queries.activity(connection, within, months)
        return {
            "year": found_year,
            "county": within[0] if within else None,
            "town": town,
            **activity.series(deputies, found, months, above),
        }

    @routes.get("/standings")
    async def standings(
        actor: who,
        year: Year = None,
        level: Level | None = None,
        county: PlaceCode | None = None,
        outstanding: Annotated[bool, Query(description="only who is chosen or tied at the edge")] = False,
        page: Page = 1,
        size: Annotated[int, Query(ge=1, le=10_000)] = 50,  # everybody is ranked each time
    ) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            found_year = await _year(connection, year)
            rubric = (await store.read_schedule(connection)).in_year(found_year)
            if rubric is None:
                raise errors.no_rubric(found_year)
            # Everybody is ranked among all peers, whatever is asked for.
            found = await queries.candidates(connection, found_year, _nothing(rubric))
        names = {candidate.deputy_id: name for candidate, name in found}
        everybody = judge(rubric, (candidate for candidate, _ in found))
        ranked = Counter(one.peers for one in everybody if one.rank is not None)
        judged = [
            one
            for one in everybody
            if _reaches(actor, one.candidate)
            and (level is None or one.candidate.level == level)
            and (county is None or one.candidate.county == county)
            and (not outstanding or one.outstanding or one.tied)
        ]
        judged.sort(key=lambda one: (one.rank is None, -one.candidate.total, one.candidate.number))
        items = [
            {
                **vars(one.candidate),
                "name": names[one.candidate.deputy_id],
                "peers": one.peers,
                "ranked": ranked[one.peers],
                "rank": one.rank,
                "grade": {"key": one.grade.key, "title": one.grade.title} if one.grade else None,
                "outstanding": one.outstanding,
                "tied": one.tied,
                "reason": one.reason,
            }
            for one in judged[(page - 1) * size : page * size]
        ]
        return {"items": items, "total": len(judged), "page": page, "size": size, "year": found_year}

    @routes.get("/appeals")
    async def appeals(
        actor: who,
        state: AppealState | None = None,
        deputy: UUID | None = None,
        page: Page = 1,
        size: Size = 50,
    ) -> dict[str, Any]:
        is_deputy = "deputy" in actor.roles
        of = deputy
        if not actor.roles.intersection(_EVERYTHING):
            require(actor, "deputy")
            of = UUID(actor.person)
        async with engine.connect() as connection:
            rows, total = await queries.appeals(
                connection,
                area=actor.organisation,
                own=UUID(actor.person) if is_deputy else None,
                state=state,
                deputy_id=of,
                page=page,
                size=size,
            )
            schedule = await store.read_schedule(connection)
        items = []
        for row in rows:
            rubric = schedule.in_year(row["happened_on"].year)
            told = {"title": _title(rubric, row["item"]), "named_by": _named_by(rubric, row["item"])}
            items.append({**row, **told})
        return {"items": items, "total": total, "page": page, "size": size}

    @routes.get("/rubrics")
    async def rubrics(actor: who) -> list[dict[str, Any]]:
        require(actor, *_EVERYTHING, "deputy")
        async with engine.connect() as connection:
            return await queries.rubrics(connection)

    @routes.get("/rubrics/{name}")
    async def rubric_text(
        name: str, actor: who, version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None
    ) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            adopted = await queries.rubrics(connection)
        known = [one for one in adopted if one["name"] == name and version in (None, one["version"])]
        if not known:
            raise errors.rubric_unknown()
        newest = max(known, key=lambda one: int(one["version"]))
        told = {part: newest[part] for part in ("name", "version", "effective_from")}
        return {**told, "text": written(newest["document"])}

    @routes.post("/rubric-checks")
    async def check(request: Request, draft: DraftText, actor: who) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        try:
            document, rubric = await asyncio.to_thread(read_rubric, draft.text)
        except RubricInvalid as invalid:
            flaws = [{**vars(flaw), "reason": flaw.reason} for flaw in invalid.flaws]
            return {"rubric": None, "flaws": flaws}
        shown = {"name": rubric.name, "version": rubric.version, "title": rubric.title}
        year = request.app.state.clock.now().astimezone(CHINA).year
        async with engine.connect() as connection:
            starts = await _starts(store, connection, rubric, year)
        return {"rubric": {**shown, "document": document, "starts": starts}, "flaws": []}

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes


async def _simulated(
    kafka: KafkaSettings,
    schedule: Schedule,
    draft: Rubric,
    begin: date,
    until: date,
    people: Sequence[rescore.Person],
    actor: Actor,
) -> dict[str, Any]:
    """The period under the adopted rubrics and under the draft, side by side: ranks among all, shown whom the actor may see."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "facts.ndjson"
        try:
            reading = await _write_log(kafka, schedule, draft, file)
        except (KafkaError, LookupError, TimeoutError):
            detail = "The log of facts cannot be read now; try again soon."
            raise Problem(503, "log-unreadable", detail, headers={"Retry-After": "5"}) from None
        all_changes = await asyncio.to_thread(_side_by_side, file, schedule, draft, begin, until, people)
    changes = [change for change in all_changes if _reaches(actor, change.person)]
    return {
        "begin": begin,
        "until": until,
        "draft": {"name": draft.name, "version": draft.version, "title": draft.title},
        "present": [
            {"name": rubric.name, "version": rubric.version, "title": rubric.title}
            for rubric in _in_period(schedule, begin, until)
        ],
        "facts": reading.records,
        "cut": sorted(reading.cut),
        "deputies": len(changes),
        "rise": sum(change.points > 0 for change in changes),
        "fall": sum(change.points < 0 for change in changes),
        "groups": {
            "level": [vars(group) for group in rescore.groups(changes, lambda person: person.level)],
            "county": [vars(group) for group in rescore.groups(changes, lambda person: person.county)],
            "town": [vars(group) for group in rescore.groups(changes, lambda person: person.town)],
            "occupation": [
                vars(group)
                for group in rescore.groups(changes, lambda person: person.occupation, OCCUPATIONS)
            ],
        },
        "risers": [_change(change) for change in changes[:_SHOWN] if change.points > 0],
        "fallers": [_change(change) for change in changes[::-1][:_SHOWN] if change.points < 0],
    }


def _in_period(schedule: Schedule, begin: date, until: date) -> list[Rubric]:
    """The rubrics that count in some year of a period, each once."""
    found: list[Rubric] = []
    for year in range(begin.year, until.year + 1):
        rubric = schedule.in_year(year)
        if rubric is not None and rubric not in found:
            found.append(rubric)
    return found


async def _write_log(kafka: KafkaSettings, schedule: Schedule, draft: Rubric, file: Path) -> Reading:
    types = {CORRECTED, *(item.event for rubric in (*schedule.rubrics, draft) for item in rubric.items)}
    topics = {declared.topic for type_ in types if (declared := contract_of(type_)) is not None}
    with file.open("wb") as out:

        def take(record: bytes) -> None:
            # One object a line; whatever else lies on a topic is no fact.
            if record.startswith(b"{") and b"\n" not in record:
                out.write(record + b"\n")

        return await read_whole(kafka, sorted(topics), take)


def _side_by_side(
    file: Path,
    schedule: Schedule,
    draft: Rubric,
    begin: date,
    until: date,
    people: Sequence[rescore.Person],
) -> list[rescore.Change]:
    def drafted(_: int) -> Rubric:
        return draft

    with Replay(file) as facts:
        present = facts.totals(schedule.in_year, begin, until)
        then = facts.totals(drafted, begin, until)
    return rescore.side_by_side(
        people,
        present,
        then,
        present_nothing=rescore.worth_of_nothing(schedule.in_year, begin, until),
        draft_nothing=rescore.worth_of_nothing(drafted, begin, until),
    )


def _change(change: rescore.Change) -> dict[str, Any]:
    return {
        "deputy_id": change.person.deputy_id,
        "level": change.person.level,
        "county": change.person.county,
        "occupation": change.person.occupation,
        "present": change.present,
        "draft": change.draft,
        "present_rank": change.present_rank,
        "draft_rank": change.draft_rank,
    }
