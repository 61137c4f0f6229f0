"""Adopting catalogues and models by command, and what is in force for new cases.

Invariants: a catalogue and a model never change once they are here; a model is adopted only after a check
set showed that it may act alone; new cases are judged in batches, outside the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.routing import errors, files, text
from services.cases.routing.catalogue import Catalogue
from services.cases.routing.judgement import Judged, judged
from services.cases.routing.model import Model
from services.cases.routing.rules_file import WrittenCatalogue, contradictions
from services.cases.routing.words import Taxonomy
from services.cases.yaml_file import shown
from shared.contracts import routing as contract
from shared.contracts.registry import Contract
from shared.messaging.desk import Decide, Decision, check_area
from shared.messaging.received import Received
from shared.refusals import Refusal
from shared.security.sealing import Opener

BATCH = 64
"""How many messages are judged at a stretch: some 20 to 40 ms of processor time."""
RIGHT = 0.975
ENOUGH = 50
"""What a check set must show: this share right of at least so many messages that the model would route alone."""

ReadWords = Callable[[Opener, str], Any]
"""Opens sealed words: something with a title and a text. Raises Refusal."""

_NAME = re.compile(r"[a-z0-9-]{2,40}")


@dataclass(frozen=True)
class Adoption:
    """A catalogue or a model under its name. `version` counts adoptions: 0 for a model that is only held."""

    kind: type[Contract]
    name: str
    version: int
    by: str | None = None
    at: datetime | None = None
    document: Mapping[str, Any] | None = None
    automatic: int = 0
    automatic_right: int = 0


class AdoptionStore:
    """Catalogues and models by kind and name."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy

    def key(self, message: Received[Any]) -> str:
        """Kind and name. Raises Refusal when the subject is no name."""
        if not _NAME.fullmatch(message.envelope.subject):
            raise errors.name_invalid()
        return f"{type(message.data).__name__}:{message.envelope.subject}"

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Adoption]:
        """The catalogues and models that a batch names. One adoption at a time, so that their order is clear."""
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext("cases.routing"))))
        names = sorted({message.envelope.subject for message in messages})
        catalogues, models = tables.routing_catalogues.c, tables.routing_models.c
        known = await connection.execute(
            select(catalogues.name, catalogues.version).where(catalogues.name.in_(names))
        )
        held = await connection.execute(
            select(models.name, models.version, models.automatic, models.automatic_right).where(
                models.name.in_(names)
            )
        )
        found = [Adoption(contract.AdoptCatalogue, row.name, row.version) for row in known]
        found += [
            Adoption(
                contract.AdoptModel,
                row.name,
                row.version,
                automatic=row.automatic,
                automatic_right=row.automatic_right,
            )
            for row in held
        ]
        return {f"{one.kind.__name__}:{one.name}": one for one in found}

    async def context(
        self,
        connection: AsyncConnection,  # noqa: ARG002 - stores are called alike
        messages: Sequence[Received[Any]],  # noqa: ARG002
    ) -> Taxonomy:
        """The categories that a catalogue may name."""
        return self._taxonomy

    async def save(
        self,
        connection: AsyncConnection,
        before: Mapping[str, Adoption],  # noqa: ARG002
        after: Mapping[str, Adoption],
    ) -> None:
        """Write what was adopted."""
        for one in after.values():
            adopted = {"version": one.version, "adopted_by": one.by, "adopted_at": one.at}
            if one.kind is contract.AdoptCatalogue:
                row = {"name": one.name, "document": one.document, **adopted}
                await connection.execute(insert(tables.routing_catalogues).values(row))
            else:
                models = tables.routing_models
                await connection.execute(models.update().where(models.c.name == one.name).values(adopted))


def _adopt_catalogue(
    known: Adoption | None, message: Received[contract.AdoptCatalogue], taxonomy: Taxonomy
) -> Decision[Adoption]:
    check_area(message, None)
    if known is not None:
        raise errors.catalogue_exists()
    name = message.envelope.subject
    document = {"name": name, **message.data.model_dump(mode="json")}
    for place, why in contradictions(WrittenCatalogue.model_validate(document), taxonomy):
        raise errors.catalogue_invalid(shown(place), why)
    new = Adoption(contract.AdoptCatalogue, name, 1, message.sender().person, message.now, document)
    return Decision(new, new.version)


def _adopt_model(
    held: Adoption | None,
    message: Received[contract.AdoptModel],
    taxonomy: Taxonomy,  # noqa: ARG001 - decisions are called alike
) -> Decision[Adoption]:
    check_area(message, None)
    if held is None:
        raise errors.model_unknown()
    if not good_enough(held.automatic_right, held.automatic):
        raise errors.model_not_good_enough(held.automatic_right, held.automatic)
    adopted = replace(held, version=held.version + 1, by=message.sender().person, at=message.now)
    return Decision(adopted, adopted.version)


def good_enough(right: int, automatic: int) -> bool:
    """Whether a check set showed that a model may act alone."""
    return automatic >= ENOUGH and right >= RIGHT * automatic


DECISIONS: dict[type[Contract], Decide[Adoption]] = {
    contract.AdoptCatalogue: _adopt_catalogue,
    contract.AdoptModel: _adopt_model,
}


class InForce:
    """Judges new cases with the model in force, or with the shipped words where none was adopted."""

    def __init__(self, taxonomy: Taxonomy, opener: Opener, read_words: ReadWords) -> None:
        self._taxonomy = taxonomy
        self._opener = opener
        self._read_words = read_words
        self._model: Model | None = None
        self._catalogues: dict[str, Catalogue] = {}

    async def judge(
        self, connection: AsyncConnection, unknown: Sequence[tuple[UUID, str]]
    ) -> tuple[Sequence[Catalogue], Mapping[UUID, Judged], Mapping[str, Any]]:
        """The adopted catalogues, what cases are about, and their words, opened.

        `unknown` has the id of the message that brings a case, by which the second goes, and the sealed words,
        by which the third goes.
        """
        catalogues = await self.catalogues(connection)
        opened: dict[str, Any] = {}
        texts: list[tuple[UUID, str]] = []
        for number, sealed in unknown:
            try:
                words = opened.get(sealed) or self._read_words(self._opener, sealed)
            except Refusal:
                continue  # the decision on this message refuses it
            opened[sealed] = words
            texts.append((number, f"{words.title}\n{words.text}"))
        if not texts:
            return catalogues, {}, opened
        model = await self._model_in_force(connection)
        said: dict[UUID, Judged] = {}
        for begin in range(0, len(texts), BATCH):
            part = texts[begin : begin + BATCH]
            found = await asyncio.to_thread(judge_texts, [one for _, one in part], model, self._taxonomy)
            said.update(zip((number for number, _ in part), found, strict=True))
        return catalogues, said, opened

    async def catalogues(self, connection: AsyncConnection) -> Sequence[Catalogue]:
        """The adopted catalogues in the order of adoption; each is read once."""
        found = tables.routing_catalogues.c
        names = (await connection.scalars(select(found.name).order_by(found.number))).all()
        missing = [name for name in names if name not in self._catalogues]
        if missing:
            rows = await connection.execute(select(found.name, found.document).where(found.name.in_(missing)))
            for row in rows:
                self._catalogues[row.name] = WrittenCatalogue.model_validate(row.document).made()
        return [self._catalogues[name] for name in names]

    async def _model_in_force(self, connection: AsyncConnection) -> Model | None:
        models = tables.routing_models.c
        name = await connection.scalar(
            select(models.name)
            .where(models.adopted_at.is_not(None))
            .order_by(models.adopted_at.desc(), models.name)
            .limit(1)
        )
        if name is None:
            self._model = None
        elif self._model is None or self._model.manifest.version != name:
            self._model = await held_model(connection, name)
        return self._model


async def held_model(connection: AsyncConnection, name: str) -> Model | None:
    """A model that the service holds, adopted or not; None where it holds none of that version."""
    models = tables.routing_models.c
    found = await connection.execute(select(models.manifest, models.arrays).where(models.name == name))
    row = found.one_or_none()
    if row is None:
        return None
    return await asyncio.to_thread(files.unpack, row.manifest, row.arrays, f"model {name}")


def judge_texts(texts: Sequence[str], model: Model | None, taxonomy: Taxonomy) -> list[Judged]:
    """What texts are about, by a model or by the shipped words."""
    messages = [text.from_text(one) for one in texts]
    name = f"model {model.manifest.version}" if model is not None else taxonomy.version
    classifier = model if model is not None else taxonomy
    return [
        judged(
            judgement,
            name,
            taxonomy.topic_of(message, judgement.guesses[0].category) if judgement.guesses else None,
        )
        for message, judgement in zip(messages, classifier.classify(messages), strict=True)
    ]


async def hold(
    connection: AsyncConnection, model: tuple[bytes, bytes], checked: int, automatic: int, right: int
) -> str:
    """Keep a packed model with what its check set showed; returns its version. One that is here stays as it is."""
    manifest, arrays = model
    version = files.unpack(manifest, arrays).manifest.version
    row = {
        "name": version,
        "version": 0,
        "manifest": manifest,
        "arrays": arrays,
        "checked": checked,
        "automatic": automatic,
        "automatic_right": right,
    }
    await connection.execute(insert(tables.routing_models).values(row).on_conflict_do_nothing())
    return version
