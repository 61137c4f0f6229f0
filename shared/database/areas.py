"""Whose area a row lies in, asked of a database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, true

from shared.contracts.envelope import CITY_DIGITS


def reached(area: str | None, place: ColumnElement[Any]) -> ColumnElement[bool]:
    """`Actor.reaches` as a condition: whether the place, a column, lies in an actor's area."""
    if not area:
        return true()
    inside: ColumnElement[bool] = place.startswith(area, autoescape=True)
    return or_(place.is_(None), inside) if len(area) <= CITY_DIGITS else inside
