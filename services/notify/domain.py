"""What a notice is and whom it is for.

Invariants: the id follows from event and addressee; a notice is for one person or for one audience,
never both; parameters are small, and are codes, numbers, dates and public titles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

Kind = Literal[
    "case.routed",
    "case.accepted",
    "case.progressed",
    "case.asked",
    "case.resumed",
    "case.returned",
    "case.extended",
    "case.answered",
    "case.informed",
    "case.reopened",
    "case.supervised",
    "case.merged",
    "case.joined",
    "case.reminded",
    "case.closed",
    "case.assigned",
    "case.rated",
    "work.co-handled",
    "work.supplied",
    "work.resumed",
    "work.extension-granted",
    "work.extension-refused",
    "work.opinion",
    "work.reopened",
    "work.urged",
    "work.urge-withdrawn",
    "work.redated",
    "work.supervised",
    "work.recalled",
    "work.erased",
    "work.concern-rated",
    "case.triage",
    "case.unrouted",
    "case.triage-late",
    "case.close-late",
    "case.close-reminder",
    "case.declined",
    "case.split",
    "work.split",
    "case.decide-extension",
    "case.overdue",
    "case.referred",
    "concern.submitted",
    "concern.passed-up",
    "concern.rated",
    "concern.reopened",
    "concern.objected",
    "concern.to-review",
    "concern.withdrawn",
    "concern.erased",
    "concern.supplied",
    "motion.invited",
    "motion.changed",
    "motion.cosigned",
    "motion.examine",
    "motion.returned",
    "motion.accepted",
    "motion.turned",
    "motion.refused",
    "motion.assigned",
    "motion.objected",
    "motion.reassign",
    "motion.decide-extension",
    "motion.extended",
    "motion.supervised",
    "motion.answered",
    "motion.redo",
    "motion.promise-reported",
    "motion.overdue",
    "motion.late",
    "motion.unstated",
    "motion.redated",
    "motion.referred",
    "motion.advised",
    "motion.tabled",
    "motion.concluded",
    "work.motion",
    "work.motion-co-handled",
    "work.motion-opinion",
    "work.motion-extension-granted",
    "work.motion-extension-refused",
    "work.motion-supervised",
    "work.motion-rated",
    "work.motion-redo",
    "work.motion-promise-rated",
    "work.motion-withdrawn",
    "work.motion-overdue",
    "work.motion-unstated",
    "work.motion-redated",
    "activity.announced",
    "consultation.opened",
    "consultation.closed",
    "course.published",
    "course.completed",
    "duty.confirmed",
    "duty.rejected",
    "appeal.filed",
    "appeal.upheld",
    "appeal.dismissed",
    "archive.noted",
]
Parameter = str | int | None


@dataclass(frozen=True)
class OnePerson:
    """For one person: a deputy's id or `department:<code>`."""

    person: str


@dataclass(frozen=True)
class Deputies:
    """For all deputies of a county (None = all) and of some levels (None = all), in their own term."""

    county: str | None = None
    levels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SameDeputies:
    """For whom the notice of another kind about the same subject was; unknown until that has arrived."""

    kind: Kind


@dataclass(frozen=True)
class StaffOf:
    """For the staff of a place and of what it lies in (whose code its own begins with); None for the city's."""

    place: str | None


Audience = OnePerson | Deputies | SameDeputies | StaffOf


@dataclass(frozen=True)
class Notice:
    """One thing that somebody is told. `at` is the business time of the fact."""

    id: UUID
    kind: Kind
    subject: str
    at: datetime
    to: Audience
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def notice(
    event: UUID, kind: Kind, subject: object, at: datetime, to: Audience, /, **parameters: Parameter
) -> Notice:
    """The notice that an event makes for an addressee."""
    addressee = to.person if isinstance(to, OnePerson) else type(to).__name__
    return Notice(uuid5(event, f"{kind}/{addressee}"), kind, str(subject), at, to, parameters)


def department(code: str) -> OnePerson:
    """A department as somebody who has an inbox."""
    return OnePerson(f"department:{code}")
