"""The CloudEvents 1.0 envelope (structured JSON) around every message.

Invariants: `time` is business time and zone-aware; `recordedtime` is wall time; `sequence` is the
aggregate's version after the fact and only says which of two messages is newer.
Extension names follow CloudEvents: lower-case letters and digits only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.contracts.registry import Role

CONTENT_TYPE = "application/cloudevents+json"
CITY_DIGITS = 4
"""Digits of a city's code (GB/T 2260), or fewer."""


@dataclass(frozen=True)
class Actor:
    """Who acts, as a verified token or a department's own topic says.

    `person` is the person's id, or `department:<code>`; `organisation` a department code or the code
    of the congress (city, county or town) that a member of staff works for; `acting_for_simulation`
    is true when the token was obtained by the simulation in the person's name.
    """

    person: str
    roles: frozenset[Role] = field(default_factory=frozenset)
    organisation: str | None = None
    acting_for_simulation: bool = False

    def reaches(self, *places: str | None) -> bool:
        """Whether one of the places lies in the area of a member of staff; who works for no congress reaches all.

        Codes of places begin with the code of what they are in (GB/T 2260). What has no place is the city's.
        """
        area = self.organisation or ""
        known = [place for place in places if place]
        return any(place.startswith(area) for place in known) if known else len(area) <= CITY_DIGITS


class Envelope(BaseModel):
    """One message on the wire; `data` is validated by the contract of its `type`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID = Field(description="UUIDv7 of the message; with `source` the identity for deduplication")
    source: str = Field(min_length=1, max_length=100, description="who wrote it, e.g. /services/cases")
    type: str = Field(min_length=1, max_length=100)
    subject: str = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="id of the aggregate it is about; no control characters, which a database cannot keep",
    )
    time: AwareDatetime = Field(description="business time, RFC 3339")
    datacontenttype: Literal["application/json"] = "application/json"
    recordedtime: AwareDatetime | None = Field(default=None, description="wall time of writing, RFC 3339")
    sequence: int | None = Field(default=None, ge=0, description="version of the aggregate after this fact")
    traceparent: str | None = Field(default=None, max_length=60, description="W3C trace context")
    correlationid: str | None = Field(default=None, max_length=100, description="id of the first message")
    causationid: str | None = Field(default=None, max_length=100, description="id of the message before")
    actortoken: str | None = Field(
        default=None, max_length=4096, repr=False, description="commands only: the sender's signed token"
    )
    datadigest: str | None = Field(
        default=None,
        max_length=64,
        description="commands only: the gateway's keyed digest of the plain body, by which a repetition is known",
    )
    data: dict[str, Any]
