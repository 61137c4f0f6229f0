"""What every page needs to know of the city and the day: its divisions 区划 and the time.

Invariant: nothing here is about a person, so it needs no token.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

from datetime import datetime

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel

from gateway.commands import json_response
from shared.messaging.clock import BusinessClock
from shared.places import Place


class Surroundings(BaseModel):
    """The city and the time: `simulated` where it is not the wall's."""

    city: Place
    now: datetime
    simulated: bool


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
