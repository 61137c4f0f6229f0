"""Whose inbox a notice for the staff of a place is in, asked of a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from services.notify import queries, store
from services.notify.domain import Notice, OnePerson, StaffOf
from services.notify.queries import Reader
from shared.database.engine import make_engine
from tests.conftest import Processes

PLACES = {1: "330203005", 2: "330203", 3: None}
"""A notice each: for the staff of a town, of its county, and of the city."""


@pytest.mark.parametrize(
    ("congress", "expected"),
    [
        ("3302", {1, 2, 3}),
        ("330203", {1, 2}),
        ("330203005", {1}),
        ("330212", set()),
        (None, set()),
    ],
)
async def test_staff_are_told_what_is_for_their_congress_and_for_those_inside_it(
    processes: Processes, congress: str | None, expected: set[int]
) -> None:
    await asyncio.to_thread(processes.migrate, "notify")
    engine = make_engine(
        SecretStr(processes.env("notify", "notify-test")["DATABASE_URL"]), pool_size=1, application="tests"
    )
    at = datetime(2022, 4, 1, tzinfo=UTC)
    told = [Notice(UUID(int=n), "appeal.filed", str(n), at, StaffOf(place)) for n, place in PLACES.items()]
    reader = Reader(str(uuid4()), congress)
    try:
        async with engine.begin() as connection:
            await store.add_notices(connection, told)
            page = await queries.page(connection, reader, unread_only=False, number=1, size=50)
            within = await queries.in_inboxes(connection, [(reader, notice.id) for notice in told])
    finally:
        await engine.dispose()
    assert {one["id"].int for one in page["items"]} & set(PLACES) == expected
    assert {notice.int for _, notice in within} == expected


async def test_all_are_marked_from_the_newest_one_seen_back_to_the_oldest_and_what_came_since_is_not(
    processes: Processes,
) -> None:
    await asyncio.to_thread(processes.migrate, "notify")
    engine = make_engine(
        SecretStr(processes.env("notify", "notify-test")["DATABASE_URL"]), pool_size=1, application="tests"
    )
    at = datetime(2022, 4, 1, tzinfo=UTC)
    reader, other = Reader(str(uuid4()), None), Reader(str(uuid4()), None)
    told = [
        Notice(uuid4(), "case.routed", str(n), at + timedelta(hours=n), OnePerson(who.person))
        for who in (reader, other)
        for n in range(30)
    ]
    try:
        async with engine.begin() as connection:
            await store.add_notices(connection, told)
            seen = (await queries.page(connection, reader, unread_only=False, number=1, size=20))["items"]
            late = Notice(uuid4(), "case.routed", "late", at + timedelta(days=9), OnePerson(reader.person))
            await store.add_notices(connection, [late])
            for _ in range(2):  # a second time changes nothing
                await store.mark_up_to(connection, reader, seen[0]["id"], at)
            mine, theirs = [
                await queries.page(connection, who, unread_only=True, number=1, size=50)
                for who in (reader, other)
            ]
    finally:
        await engine.dispose()
    assert [one["id"] for one in mine["items"]] == [late.id]
    assert theirs["unread"] == 30
