"""What motions 议案建议 make notices of: who is told of which step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from services.notify.domain import Kind, Notice, OnePerson, StaffOf, department, notice
from shared.contracts import motions
from shared.contracts.registry import Contract
from shared.messaging.received import Received

Notices = tuple[Notice, ...]


def _about(message: Received[Any], kind: Kind, to: OnePerson | StaffOf) -> Notice:
    fact: motions.MotionFact = message.data
    passed = fact.deadline if isinstance(fact, motions.MotionProgressed) else None
    more = {"deadline": passed} if passed else {}
    return notice(
        message.envelope.id,
        kind,
        fact.motion_id,
        message.now,
        to,
        kind=fact.kind,
        department=fact.lead,
        due_at=fact.due_at.isoformat() if fact.due_at else None,
        **more,
    )


def _deputy(message: Received[Any], kind: Kind, deputy: UUID) -> Notice:
    return _about(message, kind, OnePerson(str(deputy)))


def _staff(message: Received[Any], kind: Kind) -> Notices:
    return (_about(message, kind, StaffOf(message.data.congress)),)


def invited(message: Received[motions.MotionInvited]) -> Notices:
    """Who is asked to co-sign, or to read a changed text, learns of it."""
    kind: Kind = "motion.changed" if message.data.again else "motion.invited"
    return (_deputy(message, kind, message.data.cosigner_id),)


def cosigned(message: Received[motions.MotionCosigned]) -> Notices:
    """A co-signer learns that the motion was submitted."""
    return (_deputy(message, "motion.cosigned", message.data.cosigner_id),)


def submitted(message: Received[motions.MotionSubmitted]) -> Notices:
    """Staff of the congress have a motion to examine."""
    return _staff(message, "motion.examine")


def assigned(message: Received[motions.MotionAssigned]) -> Notices:
    """The author learns who handles it, each department its part."""
    fact = message.data
    told = [_deputy(message, "motion.assigned", fact.deputy_id)]
    if fact.lead is not None:
        told.append(_about(message, "work.motion", department(fact.lead)))
    told += [_about(message, "work.motion-co-handled", department(code)) for code in fact.co_handlers]
    return tuple(told)


_TO_AUTHOR: Mapping[str, Kind] = {
    "returned": "motion.returned",
    "accepted": "motion.accepted",
    "turned": "motion.turned",
    "refused": "motion.refused",
    "objected": "motion.objected",
    "extension-granted": "motion.extended",
    "supervised": "motion.supervised",
    "promise-reported": "motion.promise-reported",
    "unstated": "motion.unstated",
    "referred": "motion.referred",
    "advised": "motion.advised",
    "tabled": "motion.tabled",
    "explained": "motion.concluded",
    "concluded": "motion.concluded",
}
_TO_LEAD: Mapping[str, Kind] = {
    "opinion": "work.motion-opinion",
    "extension-granted": "work.motion-extension-granted",
    "extension-refused": "work.motion-extension-refused",
    "supervised": "work.motion-supervised",
    "withdrawn": "work.motion-withdrawn",
    "unstated": "work.motion-unstated",
}
_TO_OWING: Mapping[str, Kind] = {
    "overdue": "work.motion-overdue",
    "redated": "work.motion-redated",
    "promise-rated": "work.motion-promise-rated",
}
_TO_STAFF: Mapping[str, Kind] = {
    "objected": "motion.reassign",
    "co-objected": "motion.reassign",
    "extension-asked": "motion.decide-extension",
    "overdue": "motion.overdue",
}
_OF_AUTHORS = frozenset({"feedback", "unstated", "rate-promise"})
"""Deadlines by which the author rates."""


def progressed(message: Received[motions.MotionProgressed]) -> Notices:
    """Each step is told to whom it concerns; a deadline, or a promise, to whose it is now.

    Of an answer that is late the author learns as well, and of a date of nobody's department whoever it binds.
    """
    fact = message.data
    told: list[Notice] = []
    if kind := _TO_AUTHOR.get(fact.step):
        told.append(_deputy(message, kind, fact.deputy_id))
    if (kind := _TO_LEAD.get(fact.step)) and fact.lead is not None:
        told.append(_about(message, kind, department(fact.lead)))
    # Events of former versions named neither whose a date is nor which; then it was the lead's.
    owing = fact.owing or (fact.lead if fact.deadline is None else None)
    if (kind := _TO_OWING.get(fact.step)) and owing is not None:
        told.append(_about(message, kind, department(owing)))
    if kind := _TO_STAFF.get(fact.step):
        told += _staff(message, kind)
    if fact.step == "overdue" and fact.deadline in ("answer", "redo"):
        told.append(_deputy(message, "motion.late", fact.deputy_id))
    if fact.step == "redated" and fact.deadline is not None and fact.owing is None:
        bound = fact.deadline in _OF_AUTHORS
        told += (
            [_deputy(message, "motion.redated", fact.deputy_id)]
            if bound
            else _staff(message, "motion.redated")
        )
    return tuple(told)


def answered(message: Received[motions.MotionAnswered]) -> Notices:
    """The author learns that there is an answer to rate, and where it goes to each signer, so do they."""
    fact = message.data
    to = (fact.deputy_id, *(fact.signers if fact.to_every_signer else ()))
    return tuple(_deputy(message, "motion.answered", signer) for signer in dict.fromkeys(to))


def rated(message: Received[motions.MotionRated]) -> Notices:
    """The lead department learns how it was rated, and with staff that it must be handled again."""
    fact = message.data
    if not fact.by_lead:
        return ()
    again = fact.state == "redo"
    kind: Kind = "work.motion-redo" if again else "work.motion-rated"
    told = (_about(message, kind, department(fact.lead)),) if fact.lead is not None else ()
    return (*told, *_staff(message, "motion.redo")) if again else told


def referred(message: Received[motions.CaseReferred]) -> Notices:
    """Who filed a case learns what it became."""
    fact = message.data
    to = OnePerson(str(fact.deputy_id))
    return (notice(message.envelope.id, "case.referred", fact.case_id, message.now, to, became=fact.became),)


NOTICES: dict[type[Contract], Callable[[Received[Any]], Notices]] = {
    motions.MotionInvited: invited,
    motions.MotionCosigned: cosigned,
    motions.MotionSubmitted: submitted,
    motions.MotionAssigned: assigned,
    motions.MotionProgressed: progressed,
    motions.MotionAnswered: answered,
    motions.MotionRated: rated,
    motions.CaseReferred: referred,
}
