"""Composition root of learning: the only place that builds its parts."""

from __future__ import annotations

import sys
from pathlib import Path

from services.learning import consumers, tables
from services.learning.api import router
from services.learning.settings import LearningSettings
from shared.host import Service, run


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    service = Service(
        name="learning",
        metadata=tables.metadata,
        migrations=Path(__file__).parent / "migrations",
        handlers=consumers.handlers(),
        router=router,
    )
    run(service, LearningSettings(), sys.argv[1:])


if __name__ == "__main__":
    main()
