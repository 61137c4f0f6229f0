"""The write side of cases: the only place that writes its tables; what has fallen due `due` takes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import attachments, dates, domain, tables
from services.cases.domain import Case, Clock, Rules
from services.cases.routing.catalogue import Catalogue, Department
from services.cases.routing.judgement import Judged
from services.cases.routing.reasons import Ground
from shared.contracts.cases import (
    AnswerCase,
    CloseCase,
    DeclineConcern,
    EraseConcern,
    FileCase,
    GatherCases,
    InformMerged,
    MergeCase,
    MergeGathered,
    RedateCase,
    RouteCase,
    SettleCase,
    SplitCase,
    SubmitConcern,
    TakeUpConcern,
    TransferCase,
    WithdrawCase,
    WithdrawConcern,
)
from shared.contracts.identity import DepartmentChanged
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows, upsert_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.newest import keep_newest
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.security.sealing import Opener

RulesAt = Callable[[datetime], Rules]
"""The rules in force at a moment."""

_COLUMNS = tuple(f.name for f in fields(Case) if f.name != "steps")
_CLOCK = TypeAdapter(Clock | None)
_ROUTED_AT_ONCE = (FileCase, SplitCase, SubmitConcern, TakeUpConcern)
"""What brings a case that is routed where a route is known."""
_BY_CATALOGUE = (*_ROUTED_AT_ONCE, RouteCase, TransferCase)
"""What the catalogue has a say in."""
_ENDING = (
    AnswerCase,
    InformMerged,
    CloseCase,
    SettleCase,
    WithdrawCase,
    WithdrawConcern,
    DeclineConcern,
    EraseConcern,
)
"""What is passed on to the cases that were merged into one, or refused because of them."""


@dataclass
class Context:
    """What decisions on cases look up: departments, categories, rules, the key that opens words, other cases.

    `judged` says for each new case without a category, by its message's id, what it is about; `opened` holds
    words that were opened for that, by what they were sealed as. `cases` holds those that a command names
    beside its own, and every one that the batch has changed.
    """

    departments: Mapping[str, Department]
    categories: frozenset[str]
    opener: Opener
    rules_at: RulesAt
    catalogues: Sequence[Catalogue] = ()
    judged: Mapping[UUID, Judged] = field(default_factory=dict)
    opened: Mapping[str, Any] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    children: defaultdict[UUID, set[UUID]] = field(default_factory=lambda: defaultdict(set))

    def note(self, case: Case) -> None:
        """A case as it stands now."""
        self.cases[str(case.id)] = case
        if case.state == "merged" and case.merged_into is not None:
            self.children[case.merged_into].add(case.id)

    def merged_into(self, parent: UUID) -> list[UUID]:
        """The cases that were merged into one, in id order."""
        return sorted(self.children.get(parent, ()))


class RoutesFilings(Protocol):
    """What judges new cases before they are decided on."""

    async def judge(
        self, connection: AsyncConnection, unknown: Sequence[tuple[UUID, str]]
    ) -> tuple[Sequence[Catalogue], Mapping[UUID, Judged], Mapping[str, Any]]:
        """The adopted catalogues, what cases are about, and their words, opened.

        `unknown` has the id of the message that brings a case, by which the second goes, and the sealed words,
        by which the third goes.
        """
        ...


class CaseStore:
    """Cases by id. A batch locks its own cases and those that its commands name, all in id order."""

    def __init__(
        self, categories: frozenset[str], opener: Opener, rules_at: RulesAt, routing: RoutesFilings
    ) -> None:
        self._categories = categories
        self._routing = routing
        self._opener = opener
        self._rules_at = rules_at

    def key(self, message: Received[Any]) -> str:
        """The case id. Raises Refusal when the subject is none."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Case]:
        """The cases of a batch, locked in id order."""
        ids = sorted({*subject_ids(messages), *_named(messages)})
        return await _cases(connection, ids, lock=True)

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Context:
        """Active departments, read anew for each batch; the cases that commands name, and those merged into them."""
        departments = await active_departments(connection)
        found = Context(departments, self._categories, self._opener, self._rules_at)
        if any(isinstance(m.data, _BY_CATALOGUE) for m in messages):
            unknown = await _uncategorised(connection, messages)
            found.catalogues, found.judged, found.opened = await self._routing.judge(connection, unknown)
        if named := _named(messages) | _gathered(messages):
            found.cases.update(await _cases(connection, named, lock=False))
        ending = [m for m in messages if isinstance(m.data, _ENDING)]
        if ending:
            cases = tables.cases.c
            merged = await connection.execute(
                select(cases.id, cases.merged_into).where(
                    cases.merged_into.in_(subject_ids(ending)), cases.state == "merged"
                )
            )
            for row in merged:
                found.children[row.merged_into].add(row.id)
        return found

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Case], after: Mapping[str, Case]
    ) -> None:
        """Write changed cases, their new steps, and what falls due in them."""
        new = [_row(case) for key, case in after.items() if key not in before]
        old = [_row(case) for key, case in after.items() if key in before]
        await insert_rows(connection, tables.cases, new)
        if await update_rows(connection, tables.cases, old) != len(old):
            raise VersionConflict("a locked case is gone")
        steps = [
            {
                "case_id": case.id,
                "number": case.version - len(case.steps) + index,
                "step": step.step,
                "actor": step.actor,
                "at": step.at,
                "department": step.department,
                "reason": step.reason,
                "why": [asdict(one) for one in step.why],
                "text": step.text,
                "sealed": step.sealed,
                "answer_by": step.dates.answer_by if step.dates else None,
                "dates_reason": step.dates.reason if step.dates else None,
            }
            for case in after.values()
            for index, step in enumerate(case.steps, start=1)
        ]
        await insert_rows(connection, tables.case_steps, steps)
        await attachments.claim(connection, after)
        judged = {  # the last counts: what was taken up, declined and objected to may be taken up again
            case.id: {"case_id": case.id, "at": step.at, **asdict(step.judged)}
            for case in after.values()
            for step in case.steps
            if step.step in ("filed", "taken-up") and step.judged is not None
        }
        await upsert_rows(connection, tables.case_routings, list(judged.values()))
        if erased := [c.id for c in after.values() if any(s.step == "erased" for s in c.steps)]:
            step = tables.case_steps
            await connection.execute(update(step).where(step.c.case_id.in_(erased)).values(sealed=None))
            copies = tables.webhook_deliveries
            ids = [str(case_id) for case_id in erased]
            await connection.execute(update(copies).where(copies.c.case_id.in_(ids)).values(sealed=""))
        if old:
            known = [case.id for key, case in after.items() if key in before]
            await connection.execute(delete(tables.case_due).where(tables.case_due.c.case_id.in_(known)))
        waiting = [
            {"case_id": case.id, "due": due, "at": at}
            for case in after.values()
            for due, at in dates.due(case, self._rules_at(dates.ruled_at(case))).items()
        ]
        await insert_rows(connection, tables.case_due, waiting)


async def active_departments(connection: AsyncConnection) -> dict[str, Department]:
    """The departments that cases can be sent to, by code."""
    rows = await connection.execute(select(tables.departments).where(tables.departments.c.state == "active"))
    return {
        row.code: Department(row.code, frozenset(row.categories), frozenset(row.counties)) for row in rows
    }


async def _uncategorised(
    connection: AsyncConnection, messages: Sequence[Received[Any]]
) -> list[tuple[UUID, str]]:
    """What is to be judged: the id of each message that brings a case without a category, and its sealed words.

    What a resident submitted is judged only when it is taken up, be that in the batch of its submission.
    """
    found: list[tuple[UUID, str]] = []
    submitted: dict[UUID, str] = {}
    taken: list[tuple[UUID, UUID]] = []
    for message in messages:
        number = message.envelope.id
        match message.data:
            case FileCase(category=None, sealed=sealed) | SplitCase(category=None, sealed=sealed):
                found.append((number, sealed))
            case SubmitConcern(sealed=sealed):
                submitted.update(dict.fromkeys(subject_ids([message]), sealed))
                if "staff" in message.sender().roles:
                    found.append((number, sealed))
            case TakeUpConcern(category=None):
                taken += [(number, case) for case in subject_ids([message])]
    if taken:
        cases = tables.cases.c
        ids = [case for _, case in taken]
        rows = await connection.execute(select(cases.id, cases.sealed).where(cases.id.in_(ids)))
        submitted |= {row.id: row.sealed for row in rows}
    return found + [(number, submitted[case]) for number, case in taken if submitted.get(case)]


def _named(messages: Sequence[Received[Any]]) -> set[UUID]:
    """The cases that commands name beside their own."""
    found = set()
    for message in messages:
        match message.data:
            case MergeCase(into=other) | MergeGathered(into=other) | SplitCase(out_of=other):
                found.add(other)
            case SettleCase(parent=other) | InformMerged(parent=other):
                found.add(other)
    return found


def _gathered(messages: Sequence[Received[Any]]) -> set[UUID]:
    """The cases that are to be merged into those of the batch; looked at, not locked: each decides for itself."""
    return {other for m in messages if isinstance(m.data, GatherCases) for other in m.data.cases}


async def _cases(
    connection: AsyncConnection, ids: Sequence[UUID] | set[UUID], *, lock: bool
) -> dict[str, Case]:
    statement = select(tables.cases).where(tables.cases.c.id.in_(ids)).order_by(tables.cases.c.id)
    rows = await connection.execute(statement.with_for_update() if lock else statement)
    return {str(row["id"]): _case(row) for row in rows.mappings()}


def _case(row: RowMapping) -> Case:
    cells = {name: row[name] for name in _COLUMNS}
    cells["co_handlers"] = tuple(cells["co_handlers"])
    cells["photos"] = tuple(cells["photos"])
    cells["documents"] = tuple(cells["documents"])
    cells["followers"] = tuple(map(UUID, cells["followers"]))
    for why in ("dates_why", "accept_why"):
        cells[why] = tuple(Ground(**one) for one in cells[why])
    cells["clock"] = _CLOCK.validate_python(cells["clock"])
    return Case(**cells)


def _row(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in _COLUMNS}


async def note_contact_read(
    connection: AsyncConnection,
    case_id: UUID,
    *,
    person: str,
    role: str,
    organisation: str | None,
    purpose: str,
    at: datetime,
) -> None:
    """Note who reads a resident's contact data and what for; written before they are shown."""
    await connection.execute(
        insert(tables.contact_reads).values(
            case_id=case_id, person=person, role=role, organisation=organisation, purpose=purpose, at=at
        )
    )


async def redate_open_cases(work: Work, calendar: str, now: datetime) -> int:
    """Ask for new deadlines of every open case that was dated with another calendar; returns how many.

    One whose clock stands still is asked too, and gets them when it goes on.
    """
    cases = tables.cases.c
    open_states = sorted(domain.STEPS["redated"].before)
    rows = await work.connection.execute(
        select(cases.id).where(cases.state.in_(open_states), cases.calendar != calendar)
    )
    ids = rows.scalars().all()
    for case_id in ids:
        work.announce(RedateCase(), subject=case_id, time=now)
    return len(ids)


async def keep_departments(messages: Sequence[Received[DepartmentChanged]], work: Work) -> None:
    """Handler of `department.changed`: keep the newest state of each department."""

    def row(one: DepartmentChanged) -> dict[str, Any]:
        kept = {"categories": one.categories, "counties": one.counties, "state": one.state}
        return {"code": one.code, **kept}

    await keep_newest(work.connection, tables.departments, messages, row)
