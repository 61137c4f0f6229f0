"""What every page needs to know of the city and the day: its divisions 区划 and the time.

Invariant: nothing here is about a person, so it needs no token.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

from datetime import datetime
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.commands import json_response
from shared.contracts.identity import KnownPlaceCode
from shared.messaging.clock import BusinessClock

SHIPPED = Path(__file__).with_name("ningbo.json")
"""The city and its counties. Towns come with a file of one's own (`DIVISIONS_FILE`)."""


class Place(BaseModel):
    """A division with those inside it: city, county 县(市、区), town 乡镇(街道)."""

    model_config = ConfigDict(frozen=True)

    code: KnownPlaceCode
    name: str = Field(min_length=1, max_length=60)
    children: tuple["Place", ...] = ()


class Surroundings(BaseModel):
    """The city and the time: `simulated` where it is not the wall's."""

    city: Place
    now: datetime
    simulated: bool


def read_divisions(path: Path | None) -> Place:
    """The divisions of a file {code, name, children}, else the shipped ones. Raises OSError or ValidationError."""
    return Place.model_validate_json((path or SHIPPED).read_bytes())


def add(app: FastAPI, city: Place, clock: BusinessClock) -> None:
    """Add the route."""

    @app.get(
        "/api/surroundings",
        summary="Divisions and the time",
        tags=["surroundings"],
        response_model=Surroundings,
    )
    async def surroundings() -> Response:
        found = Surroundings(city=city, now=clock.now(), simulated=bool(clock.offset))
        return json_response(found.model_dump(mode="json"))
