"""Photos of cases: taken over from the gateway's quarantine, kept, and removed with an erased case.

A row is `claimed` in the transaction that accepts the command which names the photo; a loop then copies
photo and thumbnail to `<case>/<digest>` and `<case>/<digest>.thumbnail` in the service's own storage and
makes the row `kept`, or `missing` where there never was such an upload. Invariants: no command waits for
the storage; a row is `kept` only when both copies are there, and copying again changes nothing; a case
whose words are erased (the wrapped key of its sealed words is gone) shows no photo from that moment, and
its rows go only after every copy is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import prometheus_client
from sqlalchemy import delete, func, select, text, update
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

LOOP = "photos"
_AT_ONCE = 10
_AWAY_SECONDS = 5.0
_COUNT_SECONDS = 30.0
THUMBNAIL = ".thumbnail"

PHOTOS = prometheus_client.Gauge(
    "dbt_photos", "Photos of cases, by state", ["state"], registry=metrics.REGISTRY
)
OLDEST = prometheus_client.Gauge(
    "dbt_photos_claimed_oldest_seconds",
    "Age of the oldest photo that is named but not yet taken over",
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
        """Where photos of cases stay."""
        return open_storage(self.settings.photos_url, self.settings)


async def claim(connection: AsyncConnection, cases: Mapping[str, Case]) -> None:
    """Write a row for each photo that a new step of these cases names."""
    rows = {
        (case.id, digest): {
            "case_id": case.id,
            "digest": digest,
            "number": case.version - len(case.steps) + index,
            "claimed_at": step.at,
        }
        for case in cases.values()
        for index, step in enumerate(case.steps, start=1)
        for digest in step.photos
    }
    # The same photo again, in a later step of the case, is there already.
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
                log.warning("photos-wait", error=type(error).__name__)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if not done:
                await asyncio.sleep(shelves.settings.photos_poll_seconds)

    return run


async def take_over(engine: AsyncEngine, shelves: Shelves, turn: Callable[[], None]) -> int:
    """Copy some claimed photos; how many. Raises StorageAway."""
    photos = tables.case_photos.c
    claimed = (
        select(photos.case_id, photos.digest)
        .where(photos.state == "claimed")
        .order_by(photos.recorded_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with engine.begin() as connection:
        rows = (await connection.execute(claimed)).all()
        for case_id, digest in rows:
            turn()
            kept = await _copied(shelves, case_id, digest)
            if not kept:
                log.warning("photo-missing", case_id=str(case_id))
            await connection.execute(
                update(tables.case_photos)
                .where(photos.case_id == case_id, photos.digest == digest)
                .values(state="kept" if kept else "missing")
            )
    return len(rows)


async def _copied(shelves: Shelves, case_id: UUID, digest: str) -> bool:
    photo = await shelves.quarantine.get(f"photos/{digest}")
    thumbnail = await shelves.quarantine.get(f"thumbnails/{digest}")
    if photo is None or thumbnail is None or hashlib.sha256(photo).hexdigest() != digest:
        return False
    await shelves.own.put(f"{case_id}/{digest}", photo)
    await shelves.own.put(f"{case_id}/{digest}{THUMBNAIL}", thumbnail)
    return True


async def remove(engine: AsyncEngine, shelves: Shelves, turn: Callable[[], None]) -> int:
    """Remove the photos of some erased cases, in quarantine too; how many cases. Raises StorageAway."""
    cases, photos = tables.cases.c, tables.case_photos.c
    erased = (
        select(cases.id)
        .where(tables.ERASED, cases.photos != text("'[]'"))
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with engine.begin() as connection:
        ids = (await connection.scalars(erased)).all()
        for case_id in ids:
            # Locked, so that nobody takes one over again behind us.
            mine = select(photos.digest).where(photos.case_id == case_id).with_for_update()
            for digest in (await connection.scalars(mine)).all():
                turn()
                for name in (f"{case_id}/{digest}", f"{case_id}/{digest}{THUMBNAIL}"):
                    await shelves.own.delete(name)
                for kind in ("photos", "thumbnails", "claims"):
                    await shelves.quarantine.delete(f"{kind}/{digest}")
            await connection.execute(delete(tables.case_photos).where(photos.case_id == case_id))
            await connection.execute(update(tables.cases).where(cases.id == case_id).values(photos=[]))
    return len(ids)


async def _count(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        photos = tables.case_photos.c
        rows = await connection.execute(select(photos.state, func.count()).group_by(photos.state))
        found: dict[str, int] = {row[0]: row[1] for row in rows}
        for state in ("claimed", "kept", "missing"):
            PHOTOS.labels(state).set(found.get(state, 0))
        oldest = await connection.scalar(
            select(func.extract("epoch", func.now() - func.min(photos.recorded_at))).where(
                photos.state == "claimed"
            )
        )
        OLDEST.set(float(oldest or 0))
