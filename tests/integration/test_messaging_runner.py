"""The runner on real PostgreSQL: what becomes of repeated, poisonous and unreadable records, and of failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr

from deploy.local.stack import LocalStack
from shared.contracts import cases, registry
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.operations import CommandOutcome, DeadLetterNotice
from shared.database.engine import VersionConflict, make_engine
from shared.messaging import inbox
from shared.messaging.received import Received, Unit
from shared.messaging.runner import Rewind
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from tests.kit import POISON, SECRET_WORDS, Kit, open_kit, tally

SHARES_STACK = True


@pytest_asyncio.fixture(scope="module")
async def database(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Kit]:
    async with open_kit(stack, issuer) as found:
        yield found


@pytest_asyncio.fixture
async def kit(database: Kit) -> Kit:
    """The kit with empty tables."""
    await database.rows("TRUNCATE inbox, outbox, dead_letters, tallies")
    return database


async def outcomes(kit: Kit) -> list[CommandOutcome]:
    """The outcomes in the outbox, taken out of it."""
    rows = await kit.take_outbox("command.outcomes")
    return [CommandOutcome.model_validate(Envelope.model_validate_json(row["payload"]).data) for row in rows]


# --- repetitions and order


async def test_a_command_delivered_twice_acts_once_and_gets_its_first_outcome_again(kit: Kit) -> None:
    rating = kit.rating()
    for _ in range(2):
        await kit.runner().run([kit.record(rating)])
    assert await kit.stars() == 1
    first, again = await outcomes(kit)
    assert first == again
    assert first.state == "accepted"


async def test_a_command_twice_in_one_batch_acts_once(kit: Kit) -> None:
    rating = kit.rating()
    await kit.runner().run([kit.record(rating), kit.record(kit.rating()), kit.record(rating)])
    assert await kit.stars() == 2


async def test_records_delivered_again_out_of_order_act_once_each(kit: Kit) -> None:
    records = [kit.record(kit.rating(), partition=n % 3) for n in range(9)]
    await kit.runner().run(records[:6])
    await kit.runner().run([records[4], records[8], records[1], records[0], records[7], records[6]])
    await kit.runner().run(list(reversed(records)))
    assert await kit.stars() == 9


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_an_id_used_again_with_other_content_is_refused_and_keeps_its_outcome(
    kit: Kit, in_one_batch: bool
) -> None:
    rating = kit.rating()
    other = kit.rating(stars=5, message_id=rating.id)
    runner = kit.runner()
    batches = [[rating, other]] if in_one_batch else [[rating], [other]]
    for batch in batches:
        await runner.run([kit.record(command) for command in batch])
    assert await kit.stars() == 1
    found = {outcome.state: outcome for outcome in await outcomes(kit)}
    assert found["rejected"].problem is not None
    assert found["rejected"].problem.code == "command-id-reused"
    stored = await kit.stored_outcome(rating)
    assert stored is not None
    assert stored["state"] == "accepted"


async def test_nobody_can_use_up_another_persons_id(kit: Kit) -> None:
    mine = kit.rating()
    theirs = kit.rating(message_id=mine.id, person="somebody-else")
    await kit.runner().run([kit.record(theirs), kit.record(mine)])
    assert await kit.stars() == 2
    assert (await kit.stored_outcome(mine)) is not None
    assert (await kit.stored_outcome(theirs, "somebody-else")) is not None


async def test_two_runners_with_the_same_records_act_once_and_never_lock_each_other_out(kit: Kit) -> None:
    for _ in range(5):
        records = [kit.record(kit.rating(), partition=n % 3) for n in range(40)]
        await asyncio.gather(kit.runner().run(records), kit.runner().run(list(reversed(records))))
    assert await kit.stars() == 200
    assert await kit.letters() == []


async def test_without_the_inbox_a_record_delivered_twice_acts_twice(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claims_nothing(_: Work, units: Sequence[Unit]) -> list[Unit]:
        return list(units)

    monkeypatch.setattr(inbox, "claim", claims_nothing)
    record = kit.record(kit.rating())
    for _ in range(2):
        await kit.runner().run([record])
    assert await kit.stars() == 2, "the tests above cannot fail"


# --- poison


async def test_one_poison_record_in_a_batch_over_three_partitions_costs_no_neighbour(kit: Kit) -> None:
    ratings = [kit.rating() for _ in range(28)]
    poison = kit.poison()
    batch = [kit.record(r, partition=n % 3) for n, r in enumerate(ratings)]
    poisonous, garbage = kit.record(poison, partition=1), kit.record(b"\xff{", partition=2)
    batch[9:9] = [poisonous]
    batch[20:20] = [garbage]
    await kit.runner().run(batch)

    assert await kit.stars() == 28
    letters = {letter["reason"]: letter for letter in await kit.letters()}
    assert {reason: (x["partition"], x["offset"], bytes(x["message"])) for reason, x in letters.items()} == {
        "handler-failed": (1, poisonous.offset, poisonous.value),
        "undecodable": (2, garbage.offset, garbage.value),
    }
    stored = await kit.stored_outcome(poison)
    assert stored is not None
    assert stored["state"] == "failed"
    assert len(await kit.take_outbox("cases.dead")) == 2


async def test_what_a_failed_handler_said_is_in_no_dead_letter_outcome_or_reference(kit: Kit) -> None:
    await kit.runner().run([kit.record(kit.poison())])
    everything = repr(await kit.letters()) + repr(await kit.rows("SELECT * FROM outbox"))
    assert "ZeroDivisionError" in everything
    assert SECRET_WORDS not in everything


async def test_a_poison_record_delivered_again_is_no_second_dead_letter(kit: Kit) -> None:
    batch = [kit.record(kit.rating()), kit.record(kit.poison()), kit.record(b"garbage")]
    for _ in range(2):
        await kit.runner().run(batch)
    assert await kit.stars() == 1
    assert len(await kit.letters()) == 2


async def test_dead_letters_in_a_row_pause_their_topic_and_good_records_between_them_do_not(kit: Kit) -> None:
    runner = kit.runner(dead_in_a_row_max=4)

    def batch(*kinds: str) -> list[Any]:
        return [kit.record(b"garbage" if kind == "bad" else kit.rating()) for kind in kinds]

    assert await runner.run(batch("bad", "good", "bad", "good", "bad", "good", "bad")) == set()
    assert await runner.run(batch("bad", "bad")) == set()
    assert await runner.run(batch("bad")) == {"cases.commands"}


async def test_dead_letters_of_handlers_in_a_row_pause_their_topic(kit: Kit) -> None:
    runner = kit.runner(dead_in_a_row_max=3)
    assert await runner.run([kit.record(kit.poison()), kit.record(kit.poison())]) == set()
    assert await runner.run([kit.record(kit.poison())]) == {"cases.commands"}


# --- failures that pass by themselves


async def test_a_transient_failure_is_tried_again_and_acts_once(kit: Kit) -> None:
    failures = [VersionConflict("moved on")]

    async def stumbles(messages: Sequence[Received[Any]], work: Work) -> None:
        await tally(messages, work)
        if failures:
            raise failures.pop()

    await kit.runner(handlers={cases.RateCase: stumbles}).run([kit.record(kit.rating())])
    assert await kit.stars() == 1
    assert len(await outcomes(kit)) == 1


async def test_a_failure_that_does_not_pass_rewinds_the_batch_and_writes_nothing(kit: Kit) -> None:
    async def conflicts(messages: Sequence[Received[Any]], work: Work) -> None:
        await tally(messages, work)
        raise VersionConflict("moved on")

    with pytest.raises(Rewind):
        await kit.runner(handlers={cases.RateCase: conflicts}).run([kit.record(kit.rating())])
    for table in ("inbox", "outbox", "dead_letters", "tallies"):
        assert await kit.rows(f"SELECT 1 FROM {table}") == []


async def test_a_database_that_is_away_rewinds_the_batch(kit: Kit) -> None:
    nowhere = make_engine(
        SecretStr("postgresql+asyncpg://x:x@127.0.0.1:9/x"), pool_size=3, application="nowhere"
    )
    with pytest.raises(Rewind):
        await kit.runner(engine=nowhere).run([kit.record(kit.rating())])
    await nowhere.dispose()


async def test_identity_being_away_rewinds_the_batch_and_buries_nobody(kit: Kit) -> None:
    class Away:
        async def verify(self, _token: str, **_at: float) -> Actor:
            raise ConnectionError("identity is away")

    with pytest.raises(Rewind):
        await kit.runner(trust=Away()).run([kit.record(kit.rating())])
    assert await kit.letters() == []


async def test_a_named_constraint_is_the_refusal_that_it_stands_for(kit: Kit) -> None:
    case_id = uuid4()
    await kit.rows("INSERT INTO tallies VALUES ($1, 0)", case_id)

    async def inserts(messages: Sequence[Received[Any]], work: Work) -> None:
        for received in messages:
            await work.connection.exec_driver_sql(
                "INSERT INTO tallies VALUES ($1, 1)", (received.envelope.subject,)
            )
            work.accept(received)

    taken = Refusal("tally-exists", "There is one already.")
    runner = kit.runner(handlers={cases.RateCase: inserts}, refusals={"tallies_pkey": taken})
    refused, accepted = kit.rating(case_id), kit.rating()
    await runner.run([kit.record(refused), kit.record(accepted)])
    found = {outcome.command_id: outcome for outcome in await outcomes(kit)}
    assert found[accepted.id].state == "accepted"
    assert found[refused.id].problem is not None
    assert found[refused.id].problem.code == "tally-exists"
    assert await kit.letters() == []


# --- replay of dead letters


async def open_letter(kit: Kit) -> str:
    return str((await kit.letters())[0]["id"])


async def test_a_replayed_dead_letter_acts_exactly_once_and_a_second_replay_is_refused(kit: Kit) -> None:
    poison = kit.poison()

    async def mended(messages: Sequence[Received[Any]], work: Work) -> None:
        for received in messages:
            await work.connection.exec_driver_sql(
                "INSERT INTO tallies VALUES ($1, 1)", (received.envelope.subject,)
            )
            work.accept(received)

    await kit.runner().run([kit.record(poison)])
    runner = kit.runner(handlers={cases.AnswerCase: mended})
    first = kit.replay_of(await open_letter(kit))
    await runner.run([kit.record(first)])
    (record,) = await kit.replayed_records()
    await runner.run([record, record])  # the relay may have sent it twice
    await runner.run([record])
    assert await kit.stars() == 1
    assert (await kit.letters())[0]["state"] == "replayed"
    stored = await kit.stored_outcome(poison)
    assert stored is not None
    assert stored["state"] == "accepted"

    second = kit.replay_of(await open_letter(kit))
    await runner.run([kit.record(second)])
    assert await kit.replayed_records() == []
    refused = next(o for o in await outcomes(kit) if o.command_id == second.id)
    assert refused.problem is not None
    assert refused.problem.code == "dead-letter-not-open"


@pytest.mark.parametrize("value", [POISON, None], ids=["handler still fails", "still unreadable"])
async def test_a_replay_that_fails_again_leaves_the_letter_open_under_its_id_for_a_later_one(
    kit: Kit, value: str | None
) -> None:
    token = kit.issuer.token(kit.person, "department", organisation="roads")
    command = message(cases.AnswerCase(result="solved", text=POISON), subject=uuid4(), token=token)
    if value is None:
        command = command.model_copy(update={"data": {"result": "no such result", "text": "x"}})
    await kit.runner().run([kit.record(command)])
    letter = (await kit.letters())[0]
    for attempt in (2, 3):
        await kit.runner().run([kit.record(kit.replay_of(letter["id"]))])
        await kit.runner().run(await kit.replayed_records())
        (now,) = await kit.letters()
        assert (now["id"], now["state"], now["attempts"]) == (letter["id"], "dead", attempt)
    notices = [
        DeadLetterNotice.model_validate_json(row["payload"]) for row in await kit.take_outbox("cases.dead")
    ]
    assert {notice.dead_letter_id for notice in notices} == {letter["id"]}


async def test_a_letter_that_a_newer_version_can_read_acts_after_replays_that_could_not(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    rating = kit.rating()
    with monkeypatch.context() as older:
        known = {name: found for name, found in registry._BY_TYPE.items() if name != "case.rate"}
        older.setattr(registry, "_BY_TYPE", known)
        await kit.runner().run([kit.record(rating)])
        await kit.runner().run([kit.record(kit.replay_of(await open_letter(kit)))])
        await kit.runner().run(await kit.replayed_records())
        assert (await kit.letters())[0]["state"] == "dead"
    await kit.runner().run([kit.record(kit.replay_of(await open_letter(kit)))])
    await kit.runner().run(await kit.replayed_records())
    assert await kit.stars() == 1
    assert (await kit.letters())[0]["state"] == "replayed"


async def test_every_replay_command_gets_an_outcome(kit: Kit) -> None:
    await kit.runner().run([kit.record(b"garbage")])
    letter = await open_letter(kit)
    commands = {
        "twice in one batch": kit.replay_of(letter),
        "the same": kit.replay_of(letter),
        "in capitals": kit.replay_of(letter.upper()),
        "unknown": kit.replay_of(uuid4()),
        "no id": kit.replay_of("../../etc"),
        "not an operator": kit.replay_of(letter, roles=("deputy",)),
    }
    await kit.runner().run([kit.record(command) for command in commands.values()])
    found = {outcome.command_id: outcome for outcome in await outcomes(kit)}
    assert set(found) == {command.id for command in commands.values()}
    codes = {what: found[c.id].problem and found[c.id].problem.code for what, c in commands.items()}
    assert codes == {
        "twice in one batch": None,
        "the same": "dead-letter-not-open",
        "in capitals": "dead-letter-not-open",
        "unknown": "dead-letter-not-open",
        "no id": "subject-not-an-id",
        "not an operator": "role-not-allowed",
    }
    assert len(await kit.replayed_records()) == 1


async def test_a_record_on_the_replay_topic_without_an_origin_is_a_dead_letter_of_its_own(kit: Kit) -> None:
    rating = kit.rating()
    for headers in [(), [("origin", b"\xff")], [("origin", b"a/b/c|yesterday|key")]]:
        await kit.runner().run([kit.record(rating, topic="cases.replay", headers=headers)])
    assert await kit.stars() == 0
    assert [letter["reason"] for letter in await kit.letters()] == ["undecodable"] * 3
