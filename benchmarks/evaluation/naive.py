"""NAIVE: one message, pydantic, one ORM transaction, one commit: how a service is first written.

At the end it tells the ids of what it took. Environment as for REF.
"""

from __future__ import annotations

import asyncio
import os
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.evaluation import city
from benchmarks.evaluation.reference import consumer, tell
from services.evaluation.domain import Fact, LedgerEntry, entries, month_of
from shared.contracts.envelope import Envelope
from shared.contracts.registry import contract_of


class _Base(DeclarativeBase):
    pass


class LedgerRow(_Base):
    """A row of the ledger."""

    __tablename__ = "ledger"
    deputy_id: Mapped[UUID] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    evidence: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    sequence: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[datetime]
    happened_on: Mapped[date]
    points: Mapped[int]
    rubric: Mapped[str]
    rubric_version: Mapped[int]


class BucketRow(_Base):
    """A sum."""

    __tablename__ = "buckets"
    deputy_id: Mapped[UUID] = mapped_column(primary_key=True)
    month: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)


async def _add(session: AsyncSession, deputy: UUID, day: date, item: str, points: int) -> None:
    if not points:
        return
    bucket = await session.get(BucketRow, (deputy, month_of(day), item))
    if bucket is None:
        session.add(BucketRow(deputy_id=deputy, month=month_of(day), item=item, points=points))
    else:
        bucket.points += points


async def _enter(session: AsyncSession, row: LedgerEntry) -> None:
    key = row.identity
    held = await session.get(LedgerRow, (key.deputy_id, key.item, key.evidence))
    if held is None:
        held = LedgerRow(deputy_id=key.deputy_id, item=key.item, evidence=key.evidence)
        session.add(held)
    elif (held.sequence, held.event_id) >= (row.sequence, row.event_id):
        return
    else:
        await _add(session, key.deputy_id, held.happened_on, key.item, -held.points)
    for name in (
        "event_id",
        "event_type",
        "sequence",
        "time",
        "happened_on",
        "points",
        "rubric",
        "rubric_version",
    ):
        setattr(held, name, getattr(row, name))
    await _add(session, key.deputy_id, row.happened_on, key.item, row.points)


async def run(events: int) -> None:
    """Take in `events` records."""
    rules = city.schedule()
    engine = create_async_engine(os.environ["DATABASE_URL"])
    sessions = async_sessionmaker(engine)
    reader = consumer()
    await reader.start()
    done = 0
    ids: list[str] = []
    while done < events:
        record = await reader.getone()
        envelope = Envelope.model_validate_json(record.value)
        declaration = contract_of(envelope.type)
        assert declaration is not None
        data = declaration.model.model_validate(envelope.data).model_dump(mode="json")
        fact = Fact(envelope.id, envelope.type, envelope.time, data, envelope.sequence or 0)
        async with sessions() as session, session.begin():
            for row in entries(rules, fact):
                await _enter(session, row)
        await reader.commit()
        ids.append(str(envelope.id))
        done += 1
        if done == events // 10:
            tell("warm", done)
    tell("end", done, ids=ids)
    await reader.stop()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(run(int(os.environ["EVENTS"])))
