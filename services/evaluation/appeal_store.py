"""The write side of appeals. Appeals are locked in id order; a row's open appeals are held by a unique index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluation import appeals, errors, tables
from services.evaluation.appeals import Appeal, Context
from services.evaluation.domain import Identity
from services.evaluation.store import EvaluationStore
from shared.contracts.evaluation import (
    AppealScore,
    DecideAppeal,
    ScoreAppealed,
    ScoreCorrected,
    WithdrawAppeal,
)
from shared.contracts.identity import congress_of
from shared.contracts.registry import Contract
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows
from shared.messaging.desk import Decide, Decision, Emission, check_area, subject_id, subject_ids
from shared.messaging.received import Received

_ONE_BY_ONE = "SELECT pg_advisory_xact_lock(727_105, hashtext(d::text)) FROM unnest($1::uuid[]) AS d"
_APPEAL = tuple(field.name for field in fields(Appeal))


@dataclass(frozen=True)
class Looked:
    """What decisions look up: `context` for the rules, and of known deputies county and congress, by the place."""

    context: Context
    counties: Mapping[UUID, str | None]
    congresses: Mapping[UUID, str | None]


class AppealStore:
    """Appeals by id."""

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store

    def key(self, message: Received[Any]) -> str:
        """The appeal id."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Appeal]:
        """The appeals of a batch, locked in id order."""
        kept = tables.appeals
        rows = await connection.execute(
            select(kept).where(kept.c.id.in_(subject_ids(messages))).order_by(kept.c.id).with_for_update()
        )
        return {str(row["id"]): Appeal(**{name: row[name] for name in _APPEAL}) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Looked:
        """The rubrics, the rows that the batch is about, their corrections and open appeals, and the deputies' places."""
        schedule = await self._store.schedule(connection)
        kept, ledger, deputies = tables.appeals.c, tables.ledger.c, tables.deputies.c
        known = await connection.execute(
            select(kept.id, kept.deputy_id, kept.item, kept.evidence).where(
                kept.id.in_(subject_ids(messages))
            )
        )
        about = {row.id: (row.deputy_id, row.item, row.evidence) for row in known}
        wanted = set(about.values())
        for message in messages:
            if isinstance(message.data, DecideAppeal) and message.data.evidence is not None:
                if (found := about.get(subject_id(message))) is not None:
                    wanted.add((*found[:2], message.data.evidence.lower()))  # as `decide` names it
            elif isinstance(message.data, AppealScore):
                try:
                    sender = UUID(message.sender().person)
                except ValueError:
                    continue  # the decision refuses who is no person
                wanted.add((sender, message.data.item, message.data.evidence))
        places = sorted(wanted)
        # Appeals that name one row may be decided in two processes; the second must see the first's correction.
        await connection.exec_driver_sql(_ONE_BY_ONE, (sorted({place[0] for place in places}),))
        rows = await connection.execute(
            select(ledger.deputy_id, ledger.item, ledger.evidence, ledger.happened_on).where(
                tuple_(ledger.deputy_id, ledger.item, ledger.evidence).in_(places)
            )
        )
        counted = await connection.execute(
            select(
                kept.deputy_id,
                kept.item,
                kept.evidence,
                func.max(kept.revision).label("revision"),
                func.bool_or(kept.state == "open").label("open"),
            )
            .where(tuple_(kept.deputy_id, kept.item, kept.evidence).in_(places))
            .group_by(kept.deputy_id, kept.item, kept.evidence)
        )
        corrections: dict[Identity, int] = {}
        open_: set[Identity] = set()
        for row in counted:
            identity = Identity(row.item, row.deputy_id, row.evidence)
            corrections[identity] = row.revision or 0
            if row.open:
                open_.add(identity)
        people = await connection.execute(
            select(deputies.id, deputies.level, deputies.county, deputies.town).where(
                deputies.id.in_([place[0] for place in places])
            )
        )
        held = {Identity(row.item, row.deputy_id, row.evidence): row.happened_on for row in rows}
        counties, congresses = {}, {}
        for one in people:
            counties[one.id] = one.county
            congresses[one.id] = congress_of(one.level, one.county, one.town)
        return Looked(Context(schedule, held, corrections, open_), counties, congresses)

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Appeal], after: Mapping[str, Appeal]
    ) -> None:
        """Write new and decided appeals."""
        await insert_rows(
            connection, tables.appeals, [asdict(a) for key, a in after.items() if key not in before]
        )
        changed = [asdict(a) for key, a in after.items() if key in before]
        if changed and await update_rows(connection, tables.appeals, changed) != len(changed):
            raise VersionConflict("a locked row is gone")


def _sender(message: Received[Any]) -> UUID:
    try:
        return UUID(message.sender().person)
    except ValueError:
        raise errors.not_a_deputy() from None


def _told(appeal: Appeal, looked: Looked) -> Decision[Appeal]:
    told = ScoreAppealed(
        appeal_id=appeal.id,
        deputy_id=appeal.deputy_id,
        county=looked.counties.get(appeal.deputy_id),
        congress=looked.congresses.get(appeal.deputy_id),
        kind=appeal.kind,
        item=appeal.item,
        state=appeal.state,
    )
    emissions = [Emission(told)]
    if appeal.points is not None and appeal.revision is not None:
        corrected = ScoreCorrected(
            deputy_id=appeal.deputy_id,
            item=appeal.item,
            evidence=appeal.evidence,
            happened_on=appeal.happened_on,
            points=appeal.points,
            revision=appeal.revision,
            appeal_id=appeal.id,
        )
        emissions.append(Emission(corrected))
    return Decision(appeal, appeal.version, tuple(emissions))


def file_appeal(appeal: Appeal | None, message: Received[AppealScore], looked: Looked) -> Decision[Appeal]:
    """A deputy contests a row of the own ledger."""
    if appeal is not None:
        raise errors.appeal_exists()
    data = message.data
    filed = appeals.file(
        Appeal(
            id=subject_id(message),
            deputy_id=_sender(message),
            kind=data.kind,
            item=data.item,
            evidence=data.evidence,
            happened_on=data.happened_on,
            reason=data.reason,
            state="open",
            filed_at=message.now,
        ),
        looked.context,
    )
    looked.context.open.add(filed.identity)
    return _told(filed, looked)


def decide_appeal(appeal: Appeal | None, message: Received[DecideAppeal], looked: Looked) -> Decision[Appeal]:
    """Staff uphold or dismiss an appeal of a deputy in their area."""
    if appeal is None:
        raise errors.appeal_unknown()
    check_area(message, looked.congresses.get(appeal.deputy_id))
    data = message.data
    decided = appeals.decide(
        appeal,
        upheld=data.upheld,
        points=data.points,
        reason=data.reason,
        by=message.sender().person,
        at=message.not_before(appeal.filed_at),
        context=looked.context,
        evidence=data.evidence,
    )
    _close(appeal, looked)
    if decided.revision is not None:
        looked.context.corrections[decided.identity] = decided.revision
    return _told(decided, looked)


def withdraw_appeal(
    appeal: Appeal | None, message: Received[WithdrawAppeal], looked: Looked
) -> Decision[Appeal]:
    """The deputy takes an appeal back."""
    if appeal is None:
        raise errors.appeal_unknown()
    withdrawn = appeals.withdraw(appeal, _sender(message))
    _close(appeal, looked)
    return _told(withdrawn, looked)


def _close(appeal: Appeal, looked: Looked) -> None:
    """Later commands of the batch see that the row's appeal is closed."""
    looked.context.open.discard(appeal.identity)


ON_APPEALS: dict[type[Contract], Decide[Appeal]] = {
    AppealScore: file_appeal,
    DecideAppeal: decide_appeal,
    WithdrawAppeal: withdraw_appeal,
}
