"""Composition root of notify: the only place that builds its parts."""

from __future__ import annotations

import sys
from pathlib import Path

from services.notify import consumers, tables
from services.notify.api import router
from services.notify.settings import NotifySettings
from shared.host import Service, run

HERE = Path(__file__).parent


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    service = Service(
        name="notify",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(),
        router=router,
        event_topics=consumers.EVENT_TOPICS,
    )
    run(service, NotifySettings(), sys.argv[1:])


if __name__ == "__main__":
    main()
