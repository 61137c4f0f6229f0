"""The city's divisions 区划: codes with their names, shipped or from a file of one's own (`DIVISIONS_FILE`)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.identity import KnownPlaceCode

SHIPPED = Path(__file__).with_name("ningbo.json")
"""The city and its counties. Towns come with a file of one's own."""


class Place(BaseModel):
    """A division with those inside it: city, county 县(市、区), town 乡镇(街道)."""

    model_config = ConfigDict(frozen=True)

    code: KnownPlaceCode
    name: str = Field(min_length=1, max_length=60)
    children: tuple[Place, ...] = ()


def read_divisions(path: Path | None) -> Place:
    """The divisions of a file {code, name, children}, else the shipped ones. Raises OSError or ValidationError."""
    return Place.model_validate_json((path or SHIPPED).read_bytes())


def names_of(place: Place) -> dict[str, str]:
    """The names of a division and of all inside it, by their codes."""
    inside = [names_of(child) for child in place.children]
    return {place.code: place.name, **{code: name for part in inside for code, name in part.items()}}
