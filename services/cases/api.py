"""Read-only HTTP of cases: lists, one case with its way, figures, and the key to seal words to.

Invariant: a deputy sees the cases that they filed or joined, a department those it holds or co-handles,
staff those of their area; contact data are shown in no list, only to who handles the case, and never without a
note of who read them and what for, written in the same transaction.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BeforeValidator
from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cases import errors, queries, steps, tables
from services.cases.domain import Origin, State
from services.cases.handlers import read_contact, read_supplied, read_words
from services.cases.metrics import METRICS, REASONS, Figure, Metric, measure_groups
from services.cases.overview import overview
from services.cases.search import marks
from services.cases.search import queries as search
from services.cases.search.grams import Keyed, contains
from services.cases.store import RulesAt, note_contact_read
from shared import receipts
from shared.contracts.envelope import Actor
from shared.contracts.identity import DepartmentCode, KnownPlaceCode, PlaceCode
from shared.host import WhoCalls
from shared.http import pages
from shared.http.callers import require
from shared.http.pages import Position
from shared.refusals import Refusal
from shared.security.sealing import Opener

Purpose = Literal["handling", "visit", "verification"]
"""What contact data are read for: 办理, 回访, 核实."""
SEE_ALL = frozenset({"operator", "simulation"})
_DAILY_UP_TO = timedelta(days=62)
_LOOKED_AT_MAX = 501
"""So many candidates of a search are opened for one page; what is left is for the next."""
_AMONG_MAX = 100
"""So many cases at most are asked for by their ids."""


def _apart(ids: Sequence[str]) -> list[str]:
    """Ids that come one by one, or with commas between them."""
    return [one for some in ids for one in some.split(",")]


def in_place(code: str) -> list[ColumnElement[bool]]:
    """Cases of a place and of those inside it: codes of places begin with the code of what they are in."""
    cases = tables.cases.c
    if len(code) < COUNTY_DIGITS:
        return [func.starts_with(cases.county, code)]
    found, town = [cases.county == code[:COUNTY_DIGITS]], tables.TOWN
    if len(code) >= tables.TOWN_DIGITS:
        found.append(town == code[: tables.TOWN_DIGITS])
    if len(code) not in (COUNTY_DIGITS, tables.TOWN_DIGITS):
        found.append(func.starts_with(cases.town, code))
    return found


COUNTY_DIGITS = 6
"""Digits of a county's code (GB/T 2260)."""


def visible(actor: Actor) -> list[ColumnElement[bool]]:
    """The cases that somebody may see, as conditions. Raises Refusal for a role that has none."""
    cases = tables.cases.c
    if actor.roles & SEE_ALL:
        return []
    own = [_followed(actor)] if "deputy" in actor.roles else []
    if "staff" in actor.roles:
        there = in_place(actor.organisation or "")
        return [or_(and_(*there), *own)] if own else there
    if "department" in actor.roles and actor.organisation:
        held = cases.department == actor.organisation
        return [or_(held, cases.co_handlers.contains([actor.organisation]))]
    if own:
        return own
    raise Refusal("role-not-allowed", "Your role has no cases to see.", "forbidden")


def _scope(actor: Actor) -> tuple[str, ...]:
    """Marks that every case has which somebody may see; see `visible`."""
    if actor.roles & {"deputy", *SEE_ALL}:
        return ()
    own = actor.organisation
    return marks.asked(place=own) if "staff" in actor.roles else marks.asked(department=own)


def _followed(actor: Actor) -> ColumnElement[bool]:
    """Cases that a deputy filed or follows."""
    cases = tables.cases.c
    return or_(cases.deputy_id == UUID(actor.person), cases.followers.contains([actor.person]))


def may_read(case: Mapping[str, Any], actor: Actor) -> bool:
    """`visible` for one case at hand."""
    if actor.roles & SEE_ALL:
        return True
    if "staff" in actor.roles and actor.reaches(case["county"], case["town"]):
        return True
    if "department" in actor.roles:
        return bool(actor.organisation) and actor.organisation in (case["department"], *case["co_handlers"])
    return "deputy" in actor.roles and actor.person in (str(case["deputy_id"]), *case["followers"])


def shown(row: dict[str, Any], opener: Opener) -> dict[str, Any]:
    """A case with its words opened; without contact data and what opens it to its resident."""
    sealed = row.pop("sealed")
    if row.get("receipt") is not None and row["state"] == "withdrawn" and "photos" in row:
        row = {**row, "photos": [], "documents": []}  # they are being removed
    for hidden in ("follow", "contact", "consent"):
        row.pop(hidden, None)
    try:
        words = read_words(opener, sealed)
    except Refusal:  # the content key was destroyed: the words are erased, the case stays
        gone: dict[str, Any] = {"title": None, "text": None, "position": None, "photos": [], "documents": []}
        return {**row, **gone, "erased": True}
    at = words.position
    found = {**row, "title": words.title, "text": words.text, "position": at.model_dump() if at else None}
    for step in found.get("steps", ()):
        if (supplied := step.pop("sealed")) is not None:
            step["text"] = _supplied(opener, supplied)
    return found


def _guessed(held: dict[str, Any] | None) -> dict[str, Any]:
    """What triage sees of a waiting case: the three best guesses, and the topic of the first."""
    return {} if held is None else {"guesses": held["guesses"], "topic": held["topic"]}


def _contact(row: Mapping[str, Any], opener: Opener) -> str | None:
    """The contact data of a case as `queries.one` gives it; None where there are none any more."""
    try:
        if row["contact"] is not None:
            return read_contact(opener, row["contact"])
        return read_words(opener, row["sealed"]).contact
    except Refusal:  # erased, as above
        return None


def _contact_role(row: Mapping[str, Any], actor: Actor) -> str:
    """As who somebody may read the contact data of a case. Raises Refusal.

    The lead department may while it works on the case; who only gives an opinion, or has handed it back, may not.
    """
    if actor.person == str(row["deputy_id"]):
        return "deputy"
    if "staff" in actor.roles and may_read(row, actor):
        return "staff"
    held = row["state"] in ("accepted", "in-progress", "waiting", "answered")
    if "department" in actor.roles and held and actor.organisation == row["department"]:
        return "department"
    raise errors.not_your_case()


def _supplied(opener: Opener, sealed: str) -> str | None:
    try:
        return read_supplied(opener, sealed)
    except Refusal:  # erased, as above
        return None


def _contains(opener: Opener, sealed: str, query: str) -> bool:
    """Whether sealed words contain what is searched for; erased ones contain nothing."""
    try:
        return contains(read_words(opener, sealed).searched, query)
    except Refusal:
        return False


class Candidates(Protocol):
    """Gives some cases of a list behind a position."""

    async def __call__(
        self, *, sort: queries.Sort, after: Position | None, skip: int, size: int
    ) -> queries.Part:
        """Up to `size` cases without the first `skip`; there may be fewer, or none, before the end."""


class _Walk:
    """Cases of a list in its order, opened one by one; with a query those that have its words, or that it names."""

    def __init__(
        self, opener: Opener, query: str | None, candidates: Candidates, named: UUID | None = None
    ) -> None:
        self.items: list[dict[str, Any]] = []
        self._opener = opener
        self._query = query
        self._candidates = candidates
        self._named = named

    async def walk(
        self, sort: queries.Sort, position: Position | None, *, skip: int, size: int
    ) -> Position | None:
        """Collect up to `size` cases behind a position; where the next page begins, None at the end."""
        looked_at, chunk = 0, size + 1
        while True:
            part = await self._candidates(sort=sort, after=position, skip=skip, size=chunk)
            for row in part.rows:
                if len(self.items) == size or looked_at == _LOOKED_AT_MAX:
                    return position
                position, looked_at = queries.position_of(row, sort), looked_at + 1
                self._take(row)
            if part.behind is None:
                return None
            # Few more may do, and each comes with all its words.
            position, skip, chunk = part.behind, part.skip, min(2 * chunk, _LOOKED_AT_MAX)

    def _take(self, row: dict[str, Any]) -> None:
        case = shown(row, self._opener)
        words = f"{case['title']}\n{case['text']}"
        named = self._query is None or case["id"] == self._named
        if named or (not case.get("erased") and contains(words, self._query or "")):
            self.items.append(case)


_ON_THE_WAY = timedelta(minutes=1)
"""So long ago is still now: a question takes a while, and no two clocks agree."""


def _moment(as_of: datetime | None, now: datetime) -> datetime:
    """For which moment figures are told. Raises Refusal for one that has passed, whose states nobody knows any more."""
    if as_of is not None and as_of < now - _ON_THE_WAY:
        raise errors.as_of_past()
    return max(as_of or now, now)


def _indicator(metric: Metric, figure: Figure) -> dict[str, Any]:
    return {
        "key": metric.key,
        "title": metric.title.zh,
        "title_en": metric.title.en,
        "numerator": figure.numerator,
        "denominator": figure.denominator,
        "ratio": figure.ratio,
        "excluded": {
            reason: {"title": REASONS[reason].zh, "number": number}
            for reason, number in figure.excluded.items()
        },
    }


def router(
    opener: Opener, keyed: Keyed, rules_at: RulesAt, engine: AsyncEngine, caller: WhoCalls
) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    def designating(told: dict[str, Any], request: Request) -> dict[str, Any]:
        rules = rules_at(request.app.state.clock.now())
        return {**told, "designates": steps.is_to_be_designated(told["returned"], rules)}

    @routes.get("/sealing-key")
    async def sealing_key() -> dict[str, Any]:
        return opener.public_jwk

    @routes.get("/cases")
    async def cases(
        request: Request,
        actor: who,
        q: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
        state: State | None = None,
        department: DepartmentCode | None = None,
        deputy: UUID | None = None,
        county: PlaceCode | None = None,
        place: KnownPlaceCode | None = None,
        category: Annotated[str | None, Query(max_length=40)] = None,
        origin: Origin | None = None,
        merged_into: UUID | None = None,
        among: Annotated[list[UUID] | None, BeforeValidator(_apart), Query(max_length=_AMONG_MAX)] = None,
        owed: bool = False,
        open: bool = False,  # noqa: A002 - the filter's name
        overdue: bool = False,
        extension_asked: bool = False,
        unrated: bool = False,
        filed_from: AwareDatetime | None = None,
        filed_until: AwareDatetime | None = None,
        sort: queries.Sort = "newest",
        after: Annotated[str | None, Query(max_length=200)] = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        columns = tables.cases.c
        asked = {
            columns.state: state,
            columns.department: department,
            columns.deputy_id: deputy,
            columns.county: county,
            columns.category: category,
            columns.origin: origin,
            columns.merged_into: merged_into,
        }
        conditions = visible(actor) + [
            column == value for column, value in asked.items() if value is not None
        ]
        if place is not None:
            conditions += in_place(place)
        if among is not None:
            conditions.append(queries.among(among))
        if owed and not overdue:
            conditions.append(queries.owed())
        if open:
            conditions.append(queries.unfinished())
        if overdue:
            conditions.append(queries.overdue(request.app.state.clock.now()))
        if extension_asked:  # what staff have to decide on 待审批延期
            conditions.append(columns.extension_asked.is_not(None))
        if unrated:  # what its deputy may still rate 待评价
            conditions += [columns.state == "closed", columns.stars.is_(None), columns.merged_into.is_(None)]
            conditions.append(columns.deputy_id.is_not(None))
        if filed_from is not None:
            conditions.append(columns.filed_at >= filed_from)
        if filed_until is not None:
            conditions.append(columns.filed_at < filed_until)
        values = keyed.values_asked_for(q) if q is not None else []
        if q is not None and not values:
            raise errors.nothing_asked_for()
        position = pages.read(after)
        named = None
        async with queries.reading(engine) as connection:
            candidates: Candidates
            if q is None:
                total, is_counted = await queries.total(connection, conditions)
                candidates = partial(queries.part, connection, conditions)
            else:
                unhashed = await search.waiting(connection, conditions)
                also = [one["id"] for one in unhashed if _contains(opener, one["sealed"], q)]
                if (receipt := receipts.read_receipt(q)) is not None:
                    named = await queries.of_receipt(connection, receipt)
                    also += [named] if named else []
                told = marks.asked(
                    department=department, category=category, county=county, place=place, state=state
                )
                listed = marks.Marks((*_scope(actor), *told), marks.months(filed_from, filed_until))
                wanted = search.Wanted(conditions, values, also, listed)
                matches, is_counted = await search.matches(connection, wanted), False
                total = matches.total
                candidates = search.Candidates(connection, wanted, matches)
            found = _Walk(opener, q, candidates, named)
            ended = await found.walk(sort, position, skip=0 if position else (page - 1) * size, size=size)
            is_staff = bool(actor.roles & {"staff", *SEE_ALL})
            waiting = [one["id"] for one in found.items if is_staff and one["state"] == "triage"]
            guesses = await queries.routings(connection, waiting)
        return {
            "items": [
                {**designating(one, request), **_guessed(guesses.get(one["id"]))} for one in found.items
            ],
            "next": pages.next_link(request, ended),
            "total": max(total, len(found.items)),
            "total_is_estimate": not is_counted,
            "page": page,
            "size": size,
        }

    @routes.get("/cases/{case_id}")
    async def case(request: Request, case_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.begin() as connection:
            found = await queries.one(connection, case_id)
            if found is None:
                raise errors.case_unknown()
            digests = (*found["photos"], *found["documents"])
            attachments = await queries.attachments(connection, case_id, digests)
            contact = None
            if actor.person == str(found["deputy_id"]):
                contact = await shown_contact(connection, found, actor, "handling", request)
        found.update(attachments)
        if not may_read(found, actor):
            raise errors.not_your_case()
        told = designating(shown(found, opener), request)
        return {**told, "contact": contact} if actor.person == str(found["deputy_id"]) else told

    @routes.get("/cases/{case_id}/contact")
    async def contact(request: Request, case_id: UUID, purpose: Purpose, actor: who) -> dict[str, Any]:
        async with engine.begin() as connection:
            found = await queries.one(connection, case_id)
            if found is None:
                raise errors.case_unknown()
            said = await shown_contact(connection, found, actor, purpose, request)
        if said is None:
            raise errors.contact_unknown()
        return {"contact": said}

    async def shown_contact(
        connection: AsyncConnection, row: Mapping[str, Any], actor: Actor, purpose: Purpose, request: Request
    ) -> str | None:
        role = _contact_role(row, actor)
        found = _contact(row, opener)
        if found is not None:
            await note_contact_read(
                connection,
                row["id"],
                person=actor.person,
                role=role,
                organisation=actor.organisation,
                purpose=purpose,
                at=request.app.state.clock.now(),
            )
        return found

    @routes.get("/indicators")
    async def indicators(
        request: Request,
        actor: who,
        county: PlaceCode | None = None,
        department: DepartmentCode | None = None,
        filed_from: AwareDatetime | None = None,
        filed_until: AwareDatetime | None = None,
        as_of: AwareDatetime | None = None,
    ) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        columns = tables.cases.c
        asked = {columns.county: county, columns.department: department}
        conditions = visible(actor) + [
            column == value for column, value in asked.items() if value is not None
        ]
        if filed_from is not None:
            conditions.append(columns.filed_at >= filed_from)
        if filed_until is not None:
            conditions.append(columns.filed_at < filed_until)
        moment = _moment(as_of, request.app.state.clock.now())
        async with engine.connect() as connection:
            groups = await queries.metric_groups(connection, conditions, moment)
        return {
            "as_of": moment,
            "indicators": [_indicator(metric, measure_groups(metric, groups, moment)) for metric in METRICS],
        }

    @routes.get("/overview")
    async def overview_of(
        request: Request,
        actor: who,
        place: PlaceCode | None = None,
        filed_from: AwareDatetime | None = None,
        filed_until: AwareDatetime | None = None,
        as_of: AwareDatetime | None = None,
    ) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        moment = _moment(as_of, request.app.state.clock.now())
        until = filed_until or moment
        since = filed_from or until - timedelta(days=365)
        columns = tables.cases.c
        conditions = [*visible(actor), columns.filed_at >= since, columns.filed_at < until]
        conditions += in_place(place) if place is not None else []
        narrowest = max(place or "", (actor.organisation or "") if "staff" in actor.roles else "", key=len)
        async with queries.reading(engine) as connection:
            groups = await queries.overview_groups(
                connection,
                conditions,
                moment,
                by_town=len(narrowest) >= COUNTY_DIGITS,
                by_day=until - since <= _DAILY_UP_TO,
            )
        return {"as_of": moment, "filed_from": since, "filed_until": until, **overview(groups, moment)}

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection, visible(actor))

    return routes
