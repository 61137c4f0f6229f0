"""Read-only HTTP of motions: lists, one motion with its way, open deadlines, promises, the report of a session.

Invariants: a draft is for its author and those invited; a deputy sees own and co-signed motions and what was
submitted and is not secret; a department sees what is assigned to it; staff see their congress. A deputy who
is no signer is shown neither the steps nor an answer that is not public.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import queries as case_queries
from services.cases.api import may_read as may_read_case
from services.cases.deadlines.rules import Level, MotionKind
from services.cases.motions import domain, errors, figures, queries, tables
from services.cases.motions.domain import Motion, PromiseState, State
from services.cases.motions.handlers import act_of, read_text, read_words
from services.cases.motions.store import RulesAt
from shared.contracts.envelope import Actor
from shared.contracts.identity import DepartmentCode
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal
from shared.security.sealing import Opener

_SEE_ALL = frozenset({"operator", "simulation"})
_LISTED = (
    "id",
    "kind",
    "level",
    "county",
    "town",
    "state",
    "version",
    "author_id",
    "number",
    "secret",
    "turned",
    "ground",
    "lead",
    "co_handlers",
    "round",
    "supervised",
    "from_case",
    "signers",
    "drafted_at",
    "submitted_at",
    "accepted_at",
    "assigned_at",
    "answered_at",
    "closed_at",
    "changed_at",
    "committee",
    "advice",
    "bill_outcome",
)


def _visible(actor: Actor) -> ColumnElement[bool]:
    if actor.roles & _SEE_ALL:
        return queries.visible_to_staff(None)
    if "staff" in actor.roles:
        return queries.visible_to_staff(actor.organisation) if actor.organisation else queries.nothing()
    if "department" in actor.roles:
        code = actor.organisation
        return queries.visible_to_department(code) if code else queries.nothing()
    if "deputy" in actor.roles:
        return queries.visible_to_deputy(UUID(actor.person))
    raise Refusal("role-not-allowed", "Your role has no motions to see.", "forbidden")


def _may_read(motion: Motion, actor: Actor) -> bool:
    put_forward = motion.submitted_at is not None and motion.state not in domain.PRIVATE
    if actor.roles & _SEE_ALL:
        return put_forward
    return domain.may_read(motion, act_of(actor, motion.changed_at))


def _is_party(motion: Motion, actor: Actor) -> bool:
    """Whether somebody sees all of it: not a deputy who merely may read it."""
    named = {str(c.deputy) for c in motion.cosigners if c.state in ("invited", "confirmed")}
    return "deputy" not in actor.roles or actor.person in {str(motion.author_id), *named}


def _listed(motion: Motion, opener: Opener) -> dict[str, Any]:
    due = motion.next_due
    shown: dict[str, Any] = {name: getattr(motion, name) for name in _LISTED}
    shown |= {"due": queries.shown(due) if due else None}
    try:
        return {**shown, "title": read_words(opener, motion.sealed).title}
    except Refusal:  # the content key was destroyed: the words are erased, the motion stays
        return {**shown, "title": None, "erased": True}


def _whole(motion: Motion, opener: Opener, actor: Actor) -> dict[str, Any]:
    shown = _listed(motion, opener)
    if not shown.get("erased"):
        shown |= read_words(opener, motion.sealed).model_dump()
    party = _is_party(motion, actor)
    answers = [a for a in motion.answers if party or a.public]
    shown["answers"] = [_opened(asdict(answer), opener) for answer in answers]
    shown["deadlines"] = [queries.shown(due) for due in motion.deadlines]
    if party:
        shown["digest"] = motion.digest
        shown["cosigners"] = [asdict(cosigner) for cosigner in motion.cosigners]
        shown["handlers"] = [asdict(handling) for handling in motion.handlers]
        shown["promises"] = [_opened(asdict(promise), opener) for promise in motion.promises]
        shown["ratings"] = [asdict(rating) for rating in motion.ratings]
        shown["extension_asked"] = motion.extension_asked
    return shown


def _promised(row: dict[str, Any], opener: Opener) -> dict[str, Any]:
    """A promise of the ledger with its words, and the title of its motion, in clear."""
    try:
        title: str | None = read_words(opener, row.pop("motion_sealed")).title
    except Refusal:  # erased, as above
        title = None
    return {**_opened(row, opener), "title": title}


def _opened(item: dict[str, Any], opener: Opener) -> dict[str, Any]:
    """An answer or a promise with its words in clear."""
    item["text"] = read_text(opener, item.pop("sealed"))
    if item.get("report"):
        item["report"] = read_text(opener, item["report"])
    return item


def router(opener: Opener, rules_at: RulesAt, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes. Figures are counted at the moment that is asked for (`at`), else now by the business clock."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]
    number = Annotated[int, Query(ge=1, le=1_000_000)]
    length = Annotated[int, Query(ge=1, le=200)]

    @routes.get("/motions")
    async def motions(
        request: Request,
        actor: who,
        state: State | None = None,
        kind: MotionKind | None = None,
        level: Level | None = None,
        department: DepartmentCode | None = None,
        deputy: UUID | None = None,
        mine: queries.Part | None = None,
        from_case: UUID | None = None,
        begin: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        until: AwareDatetime | None = None,
        page: number = 1,
        size: length = 20,
    ) -> dict[str, Any]:
        columns = tables.motions.c
        asked = {
            columns.state: state,
            columns.kind: kind,
            columns.level: level,
            columns.lead: department,
            columns.author_id: deputy,
            columns.from_case: from_case,
        }
        conditions = [
            _visible(actor),
            *(c == value for c, value in asked.items() if value is not None),
            *queries.submitted_in(begin, until),
        ]
        if mine is not None:
            require(actor, "deputy")
            every = rules_at(request.app.state.clock.now()).motions.answers_to.value == "every-signer"
            conditions.append(queries.of_deputy(UUID(actor.person), mine, every_signer=every))
        async with engine.connect() as connection:
            found, total = await queries.page(connection, conditions, number=page, size=size)
        items = [_listed(motion, opener) for motion in found]
        return {"items": items, "total": total, "page": page, "size": size}

    @routes.get("/motions/{motion_id}")
    async def motion(motion_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.one(connection, motion_id)
            if found is None or not _may_read(found, actor):
                raise errors.motion_unknown()
            steps = await queries.steps(connection, motion_id) if _is_party(found, actor) else []
        return {**_whole(found, opener, actor), "steps": steps}

    @routes.get("/motion-report")
    async def report(
        request: Request,
        actor: who,
        begin: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        until: AwareDatetime | None = None,
        at: AwareDatetime | None = None,
    ) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            found = await queries.session(connection, _visible(actor), begin, until)
        moment = at or request.app.state.clock.now()
        return figures.report(found, rules_at(moment).motions, moment)

    @routes.get("/motion-rules")
    async def rules(request: Request, actor: who) -> dict[str, Any]:
        require(actor, "deputy", "department", "staff", "operator", "simulation")
        found = rules_at(request.app.state.clock.now()).motions
        return {
            "grounds": found.grounds.value,
            "answer_unit": found.answer.unit,
            "classes": found.classes.value,
            "promising": found.promising.value,
            "axes": found.axes.value,
            "satisfaction": found.satisfaction.value,
        }

    @routes.get("/motion-deadlines")
    async def deadlines(
        actor: who, until: AwareDatetime | None = None, page: number = 1, size: length = 50
    ) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            found = await queries.open_deadlines(connection, _visible(actor), until, number=page, size=size)
        return {"items": found, "page": page, "size": size}

    @routes.get("/motion-promises")
    async def promises(
        request: Request,
        actor: who,
        department: DepartmentCode | None = None,
        state: PromiseState | None = None,
        overdue: bool = False,
        page: number = 1,
        size: length = 50,
    ) -> dict[str, Any]:
        require(actor, "staff", "department", "operator", "simulation")
        own = actor.organisation if "department" in actor.roles and "staff" not in actor.roles else None
        asked = queries.PromisesAsked(
            visible=queries.promised_by(own) if own else _visible(actor),
            department=department,
            state=state,
            overdue=overdue,
            now=request.app.state.clock.now(),
        )
        async with engine.connect() as connection:
            found, total = await queries.promises(connection, asked, number=page, size=size)
        items = [_promised(row, opener) for row in found]
        return {"items": items, "total": total, "page": page, "size": size}

    @routes.get("/case-referrals/{case_id}")
    async def referrals(case_id: UUID, actor: who) -> dict[str, Any]:
        require(actor, "deputy", "staff", "operator", "simulation")
        async with engine.connect() as connection:
            case = await case_queries.one(connection, case_id)
            is_read = case is not None and may_read_case(case, actor)
            return {"items": await queries.referrals(connection, case_id) if is_read else []}

    return routes
