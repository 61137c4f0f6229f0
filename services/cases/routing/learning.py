"""New models for the service to hold: learnt from past messages and from its own cases, or brought by hand.

Each is a job of its own, as migrating is: it trains outside the serving processes, checks the model on
messages that it did not learn from, and keeps it. Staff adopt it by command.

Invariants: the model that is kept is the very one that was checked; a lesson costs no more memory and time, however
many cases there are; one lesson is learnt at a time, and no transaction is open while it trains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cases import tables
from services.cases.routing import desk, errors, files, judging, lessons, near, text, training
from services.cases.routing.files import Message
from services.cases.routing.model import Model
from services.cases.settings import LearningSettings
from shared.refusals import Refusal
from shared.security.sealing import Opener

MOST = 12_000
"""So many messages a lesson takes: docs/performance.md says what that costs."""
LEAST = 200
"""So many of its newest messages each category brings, also where it is rare."""
HELD = 10
"""So many learnt models that nobody adopted are held, the newest: each has tens of megabytes."""
_LOCK = "cases.learning"
_AT_ONCE = 500


async def install(connection: AsyncConnection, folder: Path, check: Path) -> str:
    """Keep a model of a folder, checked on a file's messages; returns what to print. Raises Refusal."""
    model = files.load(folder)
    messages = files.read_messages(check, labelled=True)
    _, said = await _keep(connection, model, messages)
    return said


async def learn(
    engine: AsyncEngine,
    opener: Opener,
    read_words: desk.ReadWords,
    past: Path | None,
    *,
    pace: LearningSettings | None = None,
) -> str:
    """Train on the service's confirmed cases and on past messages, check, keep; returns what to print.

    With a `pace` only if it is due. Raises Refusal.
    """
    known = files.read_messages(past, labelled=True) if past is not None else []
    async with engine.connect() as connection:
        try:
            return await _learn(connection, opener, read_words, known, pace)
        finally:
            await connection.invalidate()  # the lock goes with it


async def _learn(
    connection: AsyncConnection,
    opener: Opener,
    read_words: desk.ReadWords,
    past: Sequence[Message],
    pace: LearningSettings | None,
) -> str:
    if not await connection.scalar(select(func.pg_try_advisory_lock(func.hashtext(_LOCK)))):
        if pace is None:
            raise errors.learning_elsewhere()
        return "nothing to learn: another process is learning"
    standing = await lessons.standing(connection)
    if pace is not None and not lessons.is_due(standing, pace):
        return "nothing to learn: too little is new since the last lesson"
    own = await confirmed(connection, opener, read_words)
    await connection.commit()
    try:
        learnt, checked = cut([*last(past, MOST - len(own)), *own])
        trained = training.train([one.words for one in learnt], [one.label or "" for one in learnt])
    except training.NotTrainable:
        await lessons.note(connection, standing.confirmed, None)
        await connection.commit()
        raise
    model = files.unpack(*files.pack(trained))  # as it is kept: its numbers are shorter then
    version, said = await _keep(connection, model, checked)
    await lessons.note(connection, standing.confirmed, version)
    await _forget(connection)
    await connection.commit()
    return said


def shares(counts: Mapping[str, int], most: int, least: int = LEAST) -> dict[str, int]:
    """How many messages of each category to take, at most so many in all: `least` of each if there is room, the rest in proportion."""
    least = min(least, max(most, 0) // max(len(counts), 1))
    found = {category: min(count, least) for category, count in counts.items()}
    room = max(most - sum(found.values()), 0)
    rest = sum(counts.values()) - sum(found.values())
    return {
        category: taken + min(counts[category] - taken, (counts[category] - taken) * room // max(rest, 1))
        for category, taken in found.items()
    }


def last(messages: Sequence[Message], most: int) -> list[Message]:
    """The last ones of each category, at most so many in all."""
    left = shares(Counter(one.label or "" for one in messages), most)
    found = []
    for one in reversed(messages):
        if left[one.label or ""] > 0:
            left[one.label or ""] -= 1
            found.append(one)
    return found[::-1]


def cut(known: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """What to learn from, and a fold to check the model on. Raises NotTrainable.

    A category with too few different messages for every fold is not learnt; they all go among the checked, so that
    a model which is sure of itself about them shows it.
    """
    groups = near.groups(len(known), near.pairs([one.words for one in known]))
    labels = [one.label or "" for one in known]
    different = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    common = [at for at, label in enumerate(labels) if different[label] >= training.FOLDS]
    folds = training.folds([labels[at] for at in common], [groups[at] for at in common])
    learnt, checked = ([common[at] for at in part.tolist()] for part in folds[0])
    rare = [one for one, label in zip(known, labels, strict=True) if different[label] < training.FOLDS]
    return [known[at] for at in learnt], [*(known[at] for at in checked), *rare]


async def confirmed(
    connection: AsyncConnection,
    opener: Opener,
    read_words: desk.ReadWords,
    *,
    most: int = MOST,
    least: int = LEAST,
) -> list[Message]:
    """The newest of the service's confirmed cases, see `shares`; erased ones are left out."""
    cases = tables.cases.c
    found = []
    for category, many in sorted(shares(await lessons.counts(connection), most, least).items()):
        newest = (
            select(cases.sealed)
            .where(lessons.CONFIRMED, cases.category == category)
            .order_by(cases.filed_at.desc(), cases.id.desc())
            .limit(many)
            .execution_options(yield_per=_AT_ONCE)
        )
        async for sealed in await connection.stream_scalars(newest):
            try:
                words = read_words(opener, sealed)
            except Refusal:
                continue
            found.append(Message(tuple(text.from_text(f"{words.title}\n{words.text}")), category))
    return found


async def _keep(connection: AsyncConnection, model: Model, check: Sequence[Message]) -> tuple[str, str]:
    """The version of the model that is kept, and what to print."""
    judged = judging.classify(model, [one.words for one in check])
    quality = judging.quality([one.label or "" for one in check], judged)
    right, automatic = quality.automatic.part, quality.automatic.whole
    version = await desk.hold(connection, files.pack(model), len(check), automatic, right)
    verdict = "may be adopted" if desk.good_enough(right, automatic) else "is not good enough to be adopted"
    said = (
        f"model {version} is kept and {verdict}: of {len(check)} checked messages it would route {automatic} alone,"
        f" {right} of them rightly"
    )
    return version, said


async def _forget(connection: AsyncConnection) -> None:
    """Let go of learnt models that nobody adopted and that newer ones have followed."""
    # As an adoption does: else one could be adopted while it goes.
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("cases.routing"))))
    made, models = tables.routing_lessons.c, tables.routing_models.c
    learnt = (
        select(made.model)
        .join(tables.routing_models, models.name == made.model)
        .where(models.adopted_at.is_(None))
    )
    newest = learnt.group_by(made.model).order_by(func.max(made.number).desc()).limit(HELD)
    await connection.execute(
        delete(tables.routing_models).where(models.name.in_(learnt), models.name.not_in(newest))
    )
