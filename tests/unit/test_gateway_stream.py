"""Live hints: to whom they go, what they say, and what becomes of a client that does not keep up."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from gateway import stream
from gateway.stream import TOPICS, Hints, audiences_for, audiences_of
from shared.contracts import cases, identity, motions, participation
from shared.contracts.envelope import Actor, Envelope
from shared.testing.messages import HandRecord, encoded, message
from shared.testing.wait import wait_until
from tests.gateway_door import door, served, settings

DEPUTY, OTHER, FOLLOWER, INVITED = uuid4(), uuid4(), uuid4(), uuid4()
AS_DEPUTY = Actor(str(DEPUTY), frozenset({"deputy"}))
AS_OTHER = Actor(str(OTHER), frozenset({"deputy"}))
AS_FOLLOWER = Actor(str(FOLLOWER), frozenset({"deputy"}))
AS_INVITED = Actor(str(INVITED), frozenset({"deputy"}))
AS_TRANSPORT = Actor("department:transport", frozenset({"department"}), "transport")
AS_HOUSING = Actor("department:housing", frozenset({"department"}), "housing")
AS_HEALTH = Actor("department:health", frozenset({"department"}), "health")
AS_NOBODY = Actor("department:", frozenset({"department"}), None)
AS_STAFF = Actor(str(uuid4()), frozenset({"staff"}), "3302")


def _routed(case_id: UUID | None = None) -> Envelope:
    fact = cases.CaseRouted(
        case_id=case_id or uuid4(),
        deputy_id=DEPUTY,
        state="routed",
        county="330203",
        department="housing",
        reason="category",
        co_handlers=("transport",),
        followers=(FOLLOWER,),
    )
    return message(fact, subject=fact.case_id, sequence=2)


def _invited() -> Envelope:
    fact = motions.MotionInvited(
        motion_id=uuid4(),
        deputy_id=DEPUTY,
        kind="bill",
        level="county",
        state="draft",
        signers=(DEPUTY, FOLLOWER),
        lead="housing",
        cosigner_id=INVITED,
    )
    return message(fact, subject=fact.motion_id, sequence=2)


def _owed() -> Envelope:
    fact = motions.MotionProgressed(
        motion_id=uuid4(),
        deputy_id=DEPUTY,
        kind="suggestion",
        level="county",
        state="closed",
        lead="transport",
        step="overdue",
        deadline="promise",
        owing="housing",
    )
    return message(fact, subject=fact.motion_id, sequence=9)


def _opened() -> Envelope:
    fact = participation.ConsultationOpened.model_validate(
        {
            "consultation_id": uuid4(),
            "title": "草案",
            "kind": "legislation",
            "county": None,
            "closes_at": "2022-01-01T00:00:00Z",
        }
    )
    return message(fact, subject=uuid4(), sequence=1)


def _signed_up() -> Envelope:
    fact = participation.ActivitySignedUp(activity_id=uuid4(), deputy_id=DEPUTY, kind="theme")
    return message(fact, subject=fact.activity_id, sequence=1)


def _deputy() -> Envelope:
    fact = identity.DeputyChanged.model_validate(
        {
            "deputy_id": DEPUTY,
            "number": "1",
            "name": "王芳",
            "level": "city",
            "constituency": "海曙",
            "code": "abc",
            "term_from": "2021-07-01",
            "term_until": "2026-12-31",
            "state": "active",
        }
    )
    return message(fact, subject=DEPUTY, sequence=1)


@pytest.mark.parametrize(
    ("fact", "concerned", "not_concerned"),
    [
        (
            _routed(),
            [AS_DEPUTY, AS_FOLLOWER, AS_HOUSING, AS_TRANSPORT, AS_STAFF],
            [AS_OTHER, AS_HEALTH, AS_NOBODY],
        ),
        (
            _invited(),
            [AS_DEPUTY, AS_FOLLOWER, AS_INVITED, AS_HOUSING, AS_STAFF],
            [AS_OTHER, AS_HEALTH, AS_NOBODY],
        ),
        (_owed(), [AS_DEPUTY, AS_HOUSING, AS_TRANSPORT, AS_STAFF], [AS_OTHER, AS_HEALTH, AS_NOBODY]),
        (_opened(), [AS_DEPUTY, AS_OTHER, AS_STAFF], [AS_HOUSING, AS_NOBODY]),
        (_signed_up(), [AS_DEPUTY, AS_STAFF], [AS_OTHER, AS_HOUSING, AS_NOBODY]),
        (_deputy(), [AS_DEPUTY, AS_STAFF], [AS_OTHER, AS_HOUSING, AS_NOBODY]),
    ],
    ids=["case", "motion", "promise", "consultation", "sign-up", "deputy"],
)
def test_a_hint_goes_to_whom_it_concerns(
    fact: Envelope, concerned: list[Actor], not_concerned: list[Actor]
) -> None:
    told = set(audiences_for(fact))
    assert all(told & set(audiences_of(actor)) for actor in concerned)
    assert not any(told & set(audiences_of(actor)) for actor in not_concerned)


def test_dossiers_and_outcomes_are_never_read_for_hints() -> None:
    assert not {
        topic for topic in TOPICS if topic.startswith("department.") and topic != "department.changed"
    }
    assert "command.outcomes" not in TOPICS
    assert {"case.routed", "score.changed"} <= set(TOPICS)


def _record(fact: Envelope) -> HandRecord:
    return HandRecord(fact.type, encoded(fact))


class Reader:
    """A client of the stream; while `gate` is shut it does not read."""

    def __init__(self, hints: Hints, actor: Actor) -> None:
        self.got: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._hints = hints
        self.task = asyncio.create_task(self._read(actor))

    async def _read(self, actor: Actor) -> None:
        async for hint in self._hints.stream(actor):
            assert hint["event"] == "changed"
            self.got.append(json.loads(hint["data"]))
            await self.gate.wait()


async def _readers(hints: Hints, *actors: Actor) -> list[Reader]:
    readers = [Reader(hints, actor) for actor in actors]

    async def connected() -> bool:
        return len(hints._clients) == len(readers)

    await wait_until(connected, what="the streams")
    return readers


async def test_a_client_gets_its_hints_in_order_with_kind_id_and_version_and_nothing_else() -> None:
    hints = Hints(settings())
    mine, other = await _readers(hints, AS_DEPUTY, AS_OTHER)
    first, second = _routed(), _routed()
    for fact in (first, second):
        hints.take(_record(fact))
    hints.close()
    await asyncio.gather(mine.task, other.task)
    # Closing may overtake hints: the client comes back and reads again, as after any break.
    assert (
        mine.got
        == [{"kind": "case.routed", "id": f.subject, "version": 2} for f in (first, second)][: len(mine.got)]
    )
    assert other.got == []


async def test_a_record_that_is_no_message_stops_no_stream() -> None:
    hints = Hints(settings())
    (staff,) = await _readers(hints, AS_STAFF)
    for value in (None, b"", b"\xff", b"{}", b"[1]"):
        hints.take(HandRecord("case.routed", value))
    hints.take(_record(_routed()))

    async def arrived() -> bool:
        return len(staff.got) == 1

    await wait_until(arrived, what="the hint")
    hints.close()
    await staff.task


@pytest.mark.parametrize(("seconds", "expected"), [(60.0, {"case.routed", "deputy.changed"}), (0.0, set())])
async def test_a_stream_begins_with_what_has_just_changed_for_its_client(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: set[str]
) -> None:
    """What changed between a page's reading and its stream is not lost; a minute ago is not just now."""
    monkeypatch.setattr(stream, "_RECENT_SECONDS", seconds)
    hints = Hints(settings())
    facts = [_routed(), _routed(), _deputy()]
    for value in (None, b"{}", *(encoded(fact) for fact in facts)):
        hints.take(HandRecord("case.routed", value))
    mine, other = await _readers(hints, AS_DEPUTY, AS_OTHER)
    last = _opened()
    hints.take(_record(last))

    async def arrived() -> bool:
        return all(reader.got and reader.got[-1]["id"] == last.subject for reader in (mine, other))

    await wait_until(arrived, what="the hint that came later")
    hints.close()
    await asyncio.gather(mine.task, other.task)
    assert {hint["kind"] for hint in mine.got[:-1]} == expected
    assert len(mine.got) == len(expected) + 1
    assert all(hint["id"] == facts[1].subject for hint in mine.got if hint["kind"] == "case.routed")
    assert len(other.got) == 1


async def test_a_client_that_does_not_keep_up_is_dropped_and_the_others_are_not() -> None:
    hints = Hints(settings(stream_queue_max=3))
    slow, quick = await _readers(hints, AS_STAFF, AS_STAFF)
    slow.gate.clear()
    for number in range(1, 9):
        hints.take(_record(_routed()))

        async def read(expected: int = number) -> bool:
            return len(quick.got) == expected

        await wait_until(read, what="the quick client")
    assert len(hints._clients) == 1
    slow.gate.set()
    await asyncio.wait_for(slow.task, 20)  # its stream ends, so that it comes back
    assert len(slow.got) < 8
    assert not quick.task.done()
    hints.close()
    await quick.task
    assert not hints._clients


async def test_the_stream_needs_a_token_and_says_no_to_too_many() -> None:
    at = door(stream_clients_max=1)
    assert (await at.ask("GET", "/api/events", role=None)).status == 401
    (first,) = await _readers(at.hints, AS_STAFF)
    said = await at.ask("GET", "/api/events", role="staff")
    assert (said.status, said.code) == (503, "too-many-streams")
    at.hints.close()
    await first.task


async def test_a_hint_arrives_as_a_server_sent_event_and_leaving_frees_the_place() -> None:
    at = door()
    token = at.issuer.token(DEPUTY, "deputy")
    fact = _routed()
    async with served(at.app) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/events", headers={"authorization": f"Bearer {token}"}) as said:
            assert said.headers["content-type"].startswith("text/event-stream")

            async def connected() -> bool:
                return len(at.hints._clients) == 1

            await wait_until(connected, what="the stream")
            at.hints.take(_record(fact))
            assert (await asyncio.wait_for(said.content.readline(), 20)).strip() == b"event: changed"
            line = await asyncio.wait_for(said.content.readline(), 20)
        assert json.loads(line.removeprefix(b"data: ")) == {
            "kind": "case.routed",
            "id": fact.subject,
            "version": 2,
        }

        async def left() -> bool:
            return not at.hints._clients

        await wait_until(left, what="the end of the stream")
