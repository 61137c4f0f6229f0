"""Hashes the words of cases behind the filings, so that no filing waits for it.

Invariants: a case is locked while its words are read and their hashes written, so whoever erases the words
meanwhile comes after and takes the hashes along; words that cannot be opened leave no hashes; another key
makes every hash anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy import RowMapping, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.handlers import read_words
from services.cases.search.grams import SKETCH_BITS, Keyed
from services.cases.search.tables import case_words, cases_to_index, words_key
from shared.database.rows import insert_rows, upsert_rows
from shared.host import Loop, Surroundings
from shared.refusals import Refusal
from shared.security.sealing import Opener
from shared.telemetry.logging import logger

LOOP = "search"
PURPOSE = "search over cases"
_BATCH = 50
_IDLE_SECONDS = 0.5

log = logger(__name__)


def keyed_by(opener: Opener) -> Keyed:
    """The hashes of this service: their key comes from the sealing key, so there is no other secret to keep."""
    return Keyed(opener.derived_key(PURPOSE))


def indexing(opener: Opener, keyed: Keyed) -> Loop:
    """The loop; every replica runs it."""

    async def run(around: Surroundings) -> None:
        is_known = False
        while True:
            around.health.turn(LOOP)
            done = 0
            try:
                async with around.engine.begin() as connection:
                    if not is_known:
                        await use_key(connection, keyed)
                        is_known = True
                    done = await index_some(connection, opener, keyed)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("indexing-waits", error=type(error).__name__)
            if done < _BATCH:
                await asyncio.sleep(_IDLE_SECONDS)

    return run


async def use_key(connection: AsyncConnection, keyed: Keyed) -> None:
    """Have every case hashed anew if the hashes there are by another key."""
    known = (await connection.execute(select(words_key).with_for_update())).scalars().all()
    if known == [keyed.fingerprint]:
        return
    if known:
        log.warning("search-key-changed")
        await connection.execute(delete(words_key))
        await connection.execute(delete(case_words))
        every = select(tables.cases.c.id).where(tables.cases.c.id.not_in(select(cases_to_index.c.case_id)))
        await connection.execute(insert(cases_to_index).from_select(["case_id"], every))
    await insert_rows(connection, words_key, [{"fingerprint": keyed.fingerprint}], ignore=True)


async def index_some(connection: AsyncConnection, opener: Opener, keyed: Keyed) -> int:
    """Hash the words of a few cases that wait for it; returns how many.

    Where a replica with another key has taken over meanwhile that is 0: hashes of two keys would find nothing.
    """
    cases, due = tables.cases.c, cases_to_index.c
    rows = await connection.execute(
        select(cases.id, cases.sealed)
        .join(cases_to_index, due.case_id == cases.id)
        .order_by(cases.id)
        .limit(_BATCH)
        .with_for_update(of=tables.cases, skip_locked=True, key_share=True)
    )
    found = rows.mappings().all()
    if not found:
        return 0
    known = (await connection.execute(select(words_key).with_for_update(read=True))).scalars().all()
    if known != [keyed.fingerprint]:
        log.warning("search-key-of-another")
        return 0
    hashed = [row for case in found if (row := row_of(case, opener, keyed)) is not None]
    await upsert_rows(connection, case_words, hashed)
    await connection.execute(delete(cases_to_index).where(due.case_id.in_([case["id"] for case in found])))
    return len(found)


def row_of(case: Mapping[str, object] | RowMapping, opener: Opener, keyed: Keyed) -> dict[str, object] | None:
    """The row of a case (`id`, `sealed`); None where the words were erased."""
    try:
        words = read_words(opener, str(case["sealed"]))
    except Refusal:
        return None
    return {
        "case_id": case["id"],
        "hashes": keyed.values(words.searched),
        "sketch": f"{keyed.sketch(words.searched):0{SKETCH_BITS}b}",
    }
