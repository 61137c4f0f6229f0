"""New models for the service to hold: learnt from past messages and from its own cases, or brought by hand.

Each is a job of its own, as migrating is: it trains outside the serving processes, checks the model on
messages that it did not learn from, and keeps it. Staff adopt it by command.

Invariant: the model that is kept is the very one that was checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import queries, tables
from services.cases.routing import desk, files, judging, near, text, training
from services.cases.routing.files import Message
from services.cases.routing.model import Model
from shared.refusals import Refusal
from shared.security.sealing import Opener


async def install(connection: AsyncConnection, folder: Path, check: Path) -> str:
    """Keep a model of a folder, checked on a file's messages; returns what to print. Raises Refusal."""
    model = files.load(folder)
    messages = files.read_messages(check, labelled=True)
    return await _keep(connection, model, messages)


async def learn(
    connection: AsyncConnection, opener: Opener, read_words: desk.ReadWords, past: Path | None
) -> str:
    """Train on past messages and on the service's confirmed cases; a fold of them checks. Raises Refusal."""
    known = files.read_messages(past, labelled=True) if past is not None else []
    known += await confirmed(connection, opener, read_words)
    messages, labels = [one.words for one in known], [one.label or "" for one in known]
    cut = training.folds(labels, near.groups(len(known), near.pairs(messages)))[0]
    learnt, checked = (part.tolist() for part in cut)
    trained = training.train([messages[i] for i in learnt], [labels[i] for i in learnt])
    model = files.unpack(*files.pack(trained))  # as it is kept: its numbers are shorter then
    return await _keep(connection, model, [known[i] for i in checked])


async def confirmed(connection: AsyncConnection, opener: Opener, read_words: desk.ReadWords) -> list[Message]:
    """The service's own cases whose category a department confirmed by taking them on; erased ones are left out.

    So are those whose category is in doubt: they went by it to a department whose business they were not.
    """
    cases = tables.cases.c
    rows = await connection.execute(
        select(cases.sealed, cases.category)
        .where(cases.category.is_not(None), ~cases.category_doubted, cases.state.in_(queries.ACCEPTED))
        .order_by(cases.filed_at, cases.id)
    )
    found = []
    for row in rows:
        try:
            words = read_words(opener, row.sealed)
        except Refusal:
            continue
        found.append(Message(tuple(text.from_text(f"{words.title}\n{words.text}")), row.category))
    return found


async def _keep(connection: AsyncConnection, model: Model, check: Sequence[Message]) -> str:
    judged = judging.classify(model, [one.words for one in check])
    quality = judging.quality([one.label or "" for one in check], judged)
    right, automatic = quality.automatic.part, quality.automatic.whole
    version = await desk.hold(connection, files.pack(model), len(check), automatic, right)
    verdict = "may be adopted" if desk.good_enough(right, automatic) else "is not good enough to be adopted"
    return (
        f"model {version} is kept and {verdict}: of {len(check)} checked messages it would route {automatic} alone,"
        f" {right} of them rightly"
    )
