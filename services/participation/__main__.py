"""Composition root of participation: the only place that builds its parts."""

from __future__ import annotations

import sys
from pathlib import Path

from services.participation import consumers, tables
from services.participation.api import router
from services.participation.settings import ParticipationSettings
from shared.host import Service, run


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    service = Service(
        name="participation",
        metadata=tables.metadata,
        migrations=Path(__file__).parent / "migrations",
        handlers=consumers.handlers(),
        router=router,
        event_topics=consumers.EVENT_TOPICS,
    )
    run(service, ParticipationSettings(), sys.argv[1:])


if __name__ == "__main__":
    main()
