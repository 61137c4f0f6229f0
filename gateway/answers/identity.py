"""What `identity` answers: who one is, deputies 人大代表, stations 代表联络站, departments 承办单位, imports of a roster."""

from __future__ import annotations

from datetime import date
from typing import Literal
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import identity
from shared.contracts.registry import Role


class Me(Answer):
    """Who one is."""

    person: str
    name: str
    roles: tuple[Role, ...]
    organisation: str | None


class Deputy(Answer):
    """A deputy 人大代表 as the roster has them; `code` is the public code 代表码, `station` the one of the station."""

    id: UUID
    number: str
    name: str
    level: identity.Level
    occupation: identity.Occupation | None
    county: str | None
    town: str | None
    constituency: str
    code: str
    term_from: date
    term_until: date
    state: str
    station: str | None


class DeputyPage(Page):
    """Deputies."""

    items: tuple[Deputy, ...]


class Station(Answer):
    """A station 代表联络站; `code` is its public code, `deputies` how many active ones belong to it."""

    id: UUID
    name: str
    town: str
    code: str
    state: Literal["open", "closed"]
    deputies: int


class StationPage(Page):
    """Stations."""

    items: tuple[Station, ...]


class Department(Answer):
    """A department 承办单位; no counties means all."""

    code: str
    name: str
    categories: tuple[str, ...]
    counties: tuple[str, ...]
    state: str


class DepartmentPage(Page):
    """Departments."""

    items: tuple[Department, ...]


class StaffMember(Answer):
    """One of a congress's staff 人大工作人员."""

    id: UUID
    name: str
    organisation: str
    state: str


class StaffPage(Page):
    """The staff, by the place of their congress."""

    items: tuple[StaffMember, ...]


class RosterFault(Answer):
    """What is wrong with a row of a roster file; `line` is its line in the file."""

    line: int
    column: str
    code: str
    detail: str


class RosterReport(Answer):
    """How far an import of a roster has come, with every fault found."""

    id: UUID
    rows: int
    parts: int
    parts_done: int
    accepted: int
    changed: int
    errors: tuple[RosterFault, ...]
