"""Cases with one wall between departments taken out: `python -m tests.e2e.leaking_cases MUTATION [argument]`.

A test of isolation proves something only if it fails without the wall. Each mutation here takes out one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from services.cases import api, steps
from services.cases.__main__ import main
from services.cases.webhooks import api as webhooks_api
from services.cases.webhooks import endpoints
from services.cases.webhooks.deliveries import Writer


def _take_out(where: Any, wall: str, hole: Callable[..., Any]) -> None:
    """Put `hole` where `wall` stands. Raises AttributeError where there is no such wall (any more)."""
    getattr(where, wall)
    setattr(where, wall, hole)


def shows_every_case() -> None:
    """Lists do not ask whose a case is."""
    _take_out(api, "visible", lambda actor: [])  # noqa: ARG005 - called so


def held_by_anybody() -> None:
    """A command does not ask who holds the case."""
    _take_out(steps, "_held_by", lambda case, department: None)  # noqa: ARG005 - called so


def delivers_to_all() -> None:
    """A message to one department is written for the webhooks of another as well."""
    write = Writer.write

    async def writes_twice(self: Writer, connection: Any, outgoing: Sequence[tuple[str, str, bytes]]) -> None:
        also = [(re.sub("housing", "health", topic), key, body) for topic, key, body in outgoing]
        await write(self, connection, [*outgoing, *also])

    _take_out(Writer, "write", writes_twice)


def shows_every_webhook() -> None:
    """Reads of webhooks do not ask whose they are."""
    _take_out(webhooks_api, "_own", lambda actor: [])  # noqa: ARG005 - called so


def anybodys_webhook() -> None:
    """Commands on a webhook do not ask whose it is."""
    of_sender = endpoints.of_sender
    _take_out(endpoints, "of_sender", lambda known, sender: of_sender(known, None))  # noqa: ARG005 - called so


MUTATIONS: dict[str, Callable[[], None]] = {
    "shows-every-case": shows_every_case,
    "held-by-anybody": held_by_anybody,
    "delivers-to-all": delivers_to_all,
    "shows-every-webhook": shows_every_webhook,
    "anybodys-webhook": anybodys_webhook,
}

if __name__ == "__main__":
    MUTATIONS[sys.argv.pop(1)]()
    main()
