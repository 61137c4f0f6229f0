"""Pages of long lists by position: the next page begins after the last item of this one, however long the list is.

Invariant: an item that stays where it is in the order is seen exactly once, whatever is added meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request

from shared.http.problems import Problem


class Position(NamedTuple):
    """Where a page ended: the moment that the list is ordered by (None: without one, at the end), and the id."""

    at: datetime | None
    id: UUID


def written(position: Position) -> str:
    """A position as a query parameter `after`."""
    plain = json.dumps([position.at and position.at.isoformat(), str(position.id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read(after: str | None) -> Position | None:
    """The position in `after`. Raises Problem 422 for one that no page gave."""
    if after is None:
        return None
    try:
        at, identifier = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        moment = datetime.fromisoformat(at) if at is not None else None
        if moment is not None and moment.tzinfo is None:
            raise ValueError
        return Position(moment, UUID(identifier))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        detail = "Take `after` from the `next` of the page before; this is none."
        raise Problem(422, "position-unknown", detail) from error


def next_link(request: Request, position: Position | None) -> str | None:
    """A reference to the next page, relative to this one: it holds wherever the list is read through."""
    if position is None:
        return None
    query = request.query_params
    rest = [(name, value) for name, value in query.multi_items() if name not in ("after", "page")]
    return "?" + urlencode([*rest, ("after", written(position))])
