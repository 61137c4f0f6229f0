"""Attachments 附件 of cases, photos and documents: taken over from the gateway's quarantine, kept, and removed with an erased case or a withdrawn concern.

A row is `claimed` in the transaction that accepts the command which names the upload; a loop then copies
it to `<case>/<digest>` in the service's own storage, a photo's thumbnail to `<case>/<digest>.thumbnail`,
and makes the row `kept`, or `missing` where there never was such an upload. Invariants: no command waits
for the storage; a row is `kept` only when every copy is there, and copying again changes nothing; a case
whose words are erased (the wrapped key of its sealed words is gone), or that its resident withdrew, shows no
attachment from that moment, and its rows go only after every copy is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args
from uuid import UUID

import prometheus_client
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cases import tables
from services.cases.domain import Case
from services.cases.settings import PhotoSettings
from shared.database.rows import insert_rows
from shared.host import Loop, Surroundings
from shared.storage import Storage, open_storage
from shared.telemetry import metrics
from shared.telemetry.logging import logger

Kind = Literal["photo", "document"]

LOOP = "attachments"
_AT_ONCE = 10
_AWAY_SECONDS = 5.0
_COUNT_SECONDS = 30.0
THUMBNAIL = ".thumbnail"

ATTACHMENTS = prometheus_client.Gauge(
    "dbt_attachments",
    "Photos and documents of cases, by kind and state",
    ["kind", "state"],
    registry=metrics.REGISTRY,
)
OLDEST = prometheus_client.Gauge(
    "dbt_attachments_claimed_oldest_seconds",
    "Age of the oldest photo or document that is named but not yet taken over",
    registry=metrics.REGISTRY,
)

log = logger(__name__)


@dataclass(frozen=True)
class Shelves:
    """The gateway's quarantine and the service's own storage, each opened when first needed."""

    settings: PhotoSettings

    @cached_property
    def quarantine(self) -> Storage:
        """Where gateways keep uploads."""
        return open_storage(self.settings.quarantine_url, self.settings)

    @cached_property
    def own(self) -> Storage:
        """Where photos and documents of cases stay."""
        return open_storage(self.settings.photos_url, self.settings)


async def claim(connection: AsyncConnection, cases: Mapping[str, Case]) -> None:
    """Write a row for each photo and document that a new step of these cases names."""
    rows = {
        (case.id, digest): {
            "case_id": case.id,
            "digest": digest,
            "kind": kind,
            "number": case.version - len(case.steps) + index,
            "claimed_at": step.at,
        }
        for case in cases.values()
        for index, step in enumerate(case.steps, start=1)
        for kind, digests in (("photo", step.photos), ("document", step.documents))
        for digest in digests
    }
    # The same upload again, in a later step of the case, is there already.
    await insert_rows(connection, tables.case_photos, list(rows.values()), ignore=True)


def taking_over(shelves: Shelves) -> Loop:
    """The loop: copies what was claimed, removes what was erased."""

    async def run(around: Surroundings) -> None:
        counted = float("-inf")
        loop = asyncio.get_running_loop()

        def turn() -> None:
            around.health.turn(LOOP)

        while True:
            turn()
            try:
                if loop.time() - counted > _COUNT_SECONDS:
                    await _count(around.engine)
                    counted = loop.time()
                done = await take_over(around.engine, shelves, turn)
                done += await remove(around.engine, shelves, turn)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("attachments-wait", error=type(error).__name__)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if not done:
                await asyncio.sleep(shelves.settings.photos_poll_seconds)

    return run


async def take_over(engine: AsyncEngine, shelves: Shelves, turn: Callable[[], None]) -> int:
    """Copy some claimed photos and documents; how many. Raises StorageAway."""
    photos = tables.case_photos.c
    claimed = (
        select(photos.case_id, photos.digest, photos.kind)
        .where(photos.state == "claimed")
        .order_by(photos.recorded_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with engine.begin() as connection:
        rows = (await connection.execute(claimed)).all()
        for case_id, digest, kind in rows:
            turn()
            size = await _copied(shelves, case_id, digest, kind)
            if size is None:
                log.warning("attachment-missing", case_id=str(case_id), kind=kind)
            await connection.execute(
                update(tables.case_photos)
                .where(photos.case_id == case_id, photos.digest == digest)
                .values(state="missing" if size is None else "kept", bytes=size)
            )
    return len(rows)


async def _copied(shelves: Shelves, case_id: UUID, digest: str, kind: Kind) -> int | None:
    """The size of what was copied; None where there is no such upload."""
    content = await shelves.quarantine.get(f"{kind}s/{digest}")
    if content is None or hashlib.sha256(content).hexdigest() != digest:
        return None
    if kind == "photo":
        thumbnail = await shelves.quarantine.get(f"thumbnails/{digest}")
        if thumbnail is None:
            return None
        await shelves.own.put(f"{case_id}/{digest}{THUMBNAIL}", thumbnail)
    await shelves.own.put(f"{case_id}/{digest}", content)
    return len(content)


async def remove(engine: AsyncEngine, shelves: Shelves, turn: Callable[[], None]) -> int:
    """Remove the attachments of some cases that may have none; from quarantine too; how many cases. Raises StorageAway."""
    cases, photos = tables.cases.c, tables.case_photos.c
    without = (
        select(cases.id)
        .where(tables.WITHOUT_ATTACHMENTS, tables.HAS_ATTACHMENTS)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with engine.begin() as connection:
        ids = (await connection.scalars(without)).all()
        for case_id in ids:
            # Locked, so that nobody takes one over again behind us.
            mine = (
                select(photos.digest, photos.recorded_at).where(photos.case_id == case_id).with_for_update()
            )
            for digest, recorded_at in (await connection.execute(mine)).all():
                turn()
                for name in (f"{case_id}/{digest}", f"{case_id}/{digest}{THUMBNAIL}"):
                    await shelves.own.delete(name)
                if await _awaited(connection, shelves, case_id, digest, recorded_at):
                    continue  # it goes with the sweep
                for folder in ("photos", "thumbnails", "documents", "claims"):
                    await shelves.quarantine.delete(f"{folder}/{digest}")
            await connection.execute(delete(tables.case_photos).where(photos.case_id == case_id))
            await connection.execute(
                update(tables.cases).where(cases.id == case_id).values(photos=[], documents=[])
            )
    return len(ids)


async def _awaited(
    connection: AsyncConnection, shelves: Shelves, case_id: UUID, digest: str, recorded_at: datetime
) -> bool:
    """Whether another case is still to take an upload over: by its row, or by a command that was sent later."""
    photos = tables.case_photos.c
    others = select(photos.digest).where(
        photos.digest == digest, photos.state == "claimed", photos.case_id != case_id
    )
    claim = await shelves.quarantine.look(f"claims/{digest}")
    later = claim is not None and claim.modified > recorded_at
    return later or (await connection.scalar(others.limit(1))) is not None


async def _count(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        photos = tables.case_photos.c
        rows = await connection.execute(
            select(photos.kind, photos.state, func.count()).group_by(photos.kind, photos.state)
        )
        found: dict[tuple[str, str], int] = {(row[0], row[1]): row[2] for row in rows}
        for kind in get_args(Kind):
            for state in ("claimed", "kept", "missing"):
                ATTACHMENTS.labels(kind, state).set(found.get((kind, state), 0))
        oldest = await connection.scalar(
            select(func.extract("epoch", func.now() - func.min(photos.recorded_at))).where(
                photos.state == "claimed"
            )
        )
        OLDEST.set(float(oldest or 0))
