"""Composition root of evaluation: the only place that builds its parts."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from services.evaluation import consumers, errors, nightly, tables
from services.evaluation.api import router
from services.evaluation.handlers import SETTLE_LOOP, adopt_shipped, settle_on
from services.evaluation.intake import EventReading
from services.evaluation.package import Signer
from services.evaluation.settings import EvaluationSettings
from services.evaluation.store import EvaluationStore
from shared.host import Service, run
from shared.places import names_of, read_divisions

HERE = Path(__file__).parent


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    settings = EvaluationSettings()
    store = EvaluationStore()
    places = names_of(read_divisions(settings.divisions_file))
    signer = Signer(json.loads(settings.archive_key.get_secret_value()))

    async def at_start(engine: AsyncEngine) -> None:
        await adopt_shipped(engine, store, settings.first_rubric_from)

    service = Service(
        name="evaluation",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(store),
        router=partial(router, store, settings, signer, places),
        event_topics=consumers.EVENT_TOPICS,
        refusals_by_constraint={tables.OPEN_APPEAL: errors.appeal_open()},
        at_start=at_start,
        reading=lambda engine: EventReading(store, engine, consumers.taken_in()),
        loops={
            SETTLE_LOOP: partial(settle_on, store),
            nightly.LOOP: partial(nightly.auditing, store, settings.audit_deputies),
        },
        queues={"evaluation.scores": tables.unsettled.name},
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
