"""Use cases of notify: events become notices, deputies are kept for the audiences, people mark what they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.notify import errors, motions, queries, store
from services.notify.domain import (
    Deputies,
    Kind,
    Notice,
    OnePerson,
    SameDeputies,
    StaffOf,
    department,
    notice,
)
from services.notify.queries import Reader
from shared.contracts import cases, evaluation, identity, learning, participation
from shared.contracts.envelope import Actor
from shared.contracts.notify import MarkAllNotices, MarkNotices
from shared.contracts.registry import Contract
from shared.messaging.desk import authorise
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.refusals import Refusal

Notices = tuple[Notice, ...]


# What staff filed themselves they hear of only where it is on them to act: to supply, and to look at an answer.
_TO_STAFF_WHO_FILED: frozenset[Kind] = frozenset({"case.asked", "case.answered", "case.close-reminder"})


def _filer(message: Received[Any], kind: Kind, fact: cases.CaseFact) -> Notices:
    if fact.deputy_id is None and kind not in _TO_STAFF_WHO_FILED:
        return ()
    to = StaffOf(fact.town or fact.county) if fact.deputy_id is None else OnePerson(str(fact.deputy_id))
    told = notice(
        message.envelope.id,
        kind,
        fact.case_id,
        message.now,
        to,
        department=fact.department,
        category=fact.category,
        result=fact.result,
        county=fact.county,
        town=fact.town,
    )
    return (told,)


def case_filed(message: Received[cases.CaseFiled]) -> Notices:
    """Staff learn of a case that no rule could route."""
    fact = message.data
    return (_about(message, "case.unrouted", fact, StaffOf(fact.county)),) if fact.unrouted else ()


def case_routed(message: Received[cases.CaseRouted]) -> Notices:
    """The deputy learns where the case went, the department that it has one."""
    fact = message.data
    told = _filer(message, "case.routed", fact)
    if fact.department is None:
        return told
    assigned = notice(
        message.envelope.id,
        "case.assigned",
        fact.case_id,
        message.now,
        department(fact.department),
        category=fact.category,
        county=fact.county,
        town=fact.town,
    )
    return (*told, assigned)


# What a resident did by the follow link, or by a deputy's code, is told to the deputy.
_OF_RESIDENT: Mapping[str, Kind] = {
    "submitted": "concern.submitted",
    "supplied": "concern.supplied",
    "resident-rated": "concern.rated",
    "reopened": "concern.reopened",
    "objected": "concern.objected",
    "withdrawn": "concern.withdrawn",
    "erased": "concern.erased",
}
# Who is told of a step: the filer, those who joined, the department that holds the case, staff.
_TO_FILER: Mapping[str, Kind] = {
    "accepted": "case.accepted",
    "progressed": "case.progressed",
    "asked": "case.asked",
    "resumed": "case.resumed",
    "returned": "case.returned",
    "extension-granted": "case.extended",
    "answered": "case.answered",
    "informed": "case.informed",
    "reminded": "case.reminded",
    "reopened": "case.reopened",
    "supervised": "case.supervised",
    "merged": "case.merged",
    "joined": "case.joined",
    "close-reminded": "case.close-reminder",
    "declined": "case.declined",
    "split": "case.split",
}
_TO_FOLLOWERS = frozenset({"answered", "informed", "reopened", "merged", "declined"})
_TO_DEPARTMENT: Mapping[str, Kind] = {
    "supplied": "work.supplied",
    "resumed": "work.resumed",
    "extension-granted": "work.extension-granted",
    "extension-refused": "work.extension-refused",
    "opinion": "work.opinion",
    "reopened": "work.reopened",
    "urged": "work.urged",
    "urge-withdrawn": "work.urge-withdrawn",
    "redated": "work.redated",
    "supervised": "work.supervised",
    "withdrawn": "work.recalled",
    "merged": "work.recalled",
    "resident-rated": "work.concern-rated",
    "erased": "work.erased",
    "split": "work.split",
}
_TO_STAFF: Mapping[str, Kind] = {
    "returned": "case.triage",
    "triage-late": "case.triage-late",
    "close-late": "case.close-late",
    "extension-asked": "case.decide-extension",
    "passed-up": "concern.passed-up",
    "objected": "concern.to-review",
}


def case_progressed(message: Received[cases.CaseProgressed]) -> Notices:
    """Each step is told to whom it concerns; what nobody answered in time is told to staff as well."""
    fact = message.data
    step = fact.step
    told: list[Notice] = []
    if fact.by_resident and (kind := _OF_RESIDENT.get(step)):
        told.append(_about(message, kind, fact, OnePerson(str(fact.deputy_id))))
    elif (kind := _TO_FILER.get(step)) and not (step == "declined" and fact.by_deputy):
        told += _filer(message, kind, fact)
    if (kind := _TO_FILER.get(step)) and step in _TO_FOLLOWERS:
        told += _followers(message, kind, fact)
    if (kind := _TO_DEPARTMENT.get(step)) and fact.department is not None:
        told.append(_about(message, kind, fact, department(fact.department)))
    if step == "co-handled" and fact.co_handlers:
        told.append(_about(message, "work.co-handled", fact, department(fact.co_handlers[-1])))
    kind = "case.overdue" if step == "urged" and fact.by_system else _TO_STAFF.get(step)
    if kind:
        told.append(_about(message, kind, fact, StaffOf(fact.county)))
    return tuple(told)


def _about(message: Received[Any], kind: Kind, fact: cases.CaseFact, to: OnePerson | StaffOf) -> Notice:
    answer_by = fact.answer_by.isoformat() if fact.answer_by else None
    take_up_by = fact.take_up_by.isoformat() if fact.take_up_by else None
    return notice(
        message.envelope.id,
        kind,
        fact.case_id,
        message.now,
        to,
        category=fact.category,
        county=fact.county,
        town=fact.town,
        answer_by=answer_by,
        take_up_by=take_up_by,
        stars=fact.resident_stars,
    )


def _followers(message: Received[Any], kind: Kind, fact: cases.CaseFact) -> Notices:
    return tuple(
        notice(
            message.envelope.id,
            kind,
            fact.case_id,
            message.now,
            OnePerson(str(follower)),
            category=fact.category,
            result=fact.result,
            county=fact.county,
            town=fact.town,
        )
        for follower in fact.followers
    )


def case_closed(message: Received[cases.CaseClosed]) -> Notices:
    """The deputy learns that the case is closed and can be rated, and so do those who joined."""
    return (
        *_filer(message, "case.closed", message.data),
        *_followers(message, "case.closed", message.data),
    )


def case_rated(message: Received[cases.CaseRated]) -> Notices:
    """The department learns how its work was rated."""
    fact = message.data
    if fact.department is None:
        return ()
    to, place = department(fact.department), {"county": fact.county, "town": fact.town}
    told = notice(message.envelope.id, "case.rated", fact.case_id, message.now, to, stars=fact.stars, **place)
    return (told,)


def activity_announced(message: Received[participation.ActivityAnnounced]) -> Notices:
    """The deputies of the county, or of the city, are invited."""
    fact = message.data
    return (
        notice(
            message.envelope.id,
            "activity.announced",
            fact.activity_id,
            message.now,
            Deputies(fact.county),
            title=fact.title,
            kind=fact.kind,
            starts_at=fact.starts_at.isoformat(),
            ends_at=fact.ends_at.isoformat(),
        ),
    )


def consultation_opened(message: Received[participation.ConsultationOpened]) -> Notices:
    """The deputies of the county, or of the city, are asked."""
    fact = message.data
    return (
        notice(
            message.envelope.id,
            "consultation.opened",
            fact.consultation_id,
            message.now,
            Deputies(fact.county),
            title=fact.title,
            kind=fact.kind,
            closes_at=fact.closes_at.isoformat(),
        ),
    )


def consultation_closed(message: Received[participation.ConsultationClosed]) -> Notices:
    """Those who were asked learn how many answered."""
    fact = message.data
    return (
        notice(
            message.envelope.id,
            "consultation.closed",
            fact.consultation_id,
            message.now,
            SameDeputies("consultation.opened"),
            respondents=fact.respondents,
            opinions=fact.opinions,
        ),
    )


def course_published(message: Received[learning.CoursePublished]) -> Notices:
    """The deputies of the levels that the course is for learn of it."""
    fact = message.data
    return (
        notice(
            message.envelope.id,
            "course.published",
            fact.course_id,
            message.now,
            Deputies(levels=fact.levels),
            title=fact.title,
            minutes=fact.minutes,
        ),
    )


def course_completed(message: Received[learning.CourseCompleted]) -> Notices:
    """The deputy gets the result."""
    fact = message.data
    return (
        notice(
            message.envelope.id,
            "course.completed",
            fact.course_id,
            message.now,
            OnePerson(str(fact.deputy_id)),
            minutes=fact.minutes,
            mark=fact.mark,
        ),
    )


def duty_logged(message: Received[participation.DutyLogged]) -> Notices:
    """The deputy learns what staff decided; declaring and withdrawing are the deputy's own acts."""
    fact = message.data
    decided: dict[str, Kind] = {"confirmed": "duty.confirmed", "rejected": "duty.rejected"}
    kind = decided.get(fact.state)
    if kind is None:
        return ()
    return (
        notice(
            message.envelope.id,
            kind,
            fact.duty_id,
            message.now,
            OnePerson(str(fact.deputy_id)),
            kind=fact.kind,
            happened_on=fact.happened_on.isoformat(),
        ),
    )


def score_appealed(message: Received[evaluation.ScoreAppealed]) -> Notices:
    """Staff learn of an appeal, the deputy of its decision; taking it back is the deputy's own act."""
    fact = message.data
    kinds: dict[str, Kind] = {
        "open": "appeal.filed",
        "upheld": "appeal.upheld",
        "dismissed": "appeal.dismissed",
    }
    kind = kinds.get(fact.state)
    if kind is None:
        return ()
    # What was written before events told the congress tells the county alone.
    congress = fact.congress if "congress" in fact.model_fields_set else fact.county
    to = OnePerson(str(fact.deputy_id)) if kind != "appeal.filed" else StaffOf(congress)
    return (notice(message.envelope.id, kind, fact.appeal_id, message.now, to, item=fact.item),)


def archive_noted(message: Received[evaluation.ArchiveNoted]) -> Notices:
    """The deputy learns of each note in the own archive, and of its striking."""
    fact, to = message.data, OnePerson(str(message.data.deputy_id))
    return (notice(message.envelope.id, "archive.noted", fact.note_id, message.now, to),)


NOTICES: dict[type[Contract], Callable[[Received[Any]], Notices]] = {
    cases.CaseFiled: case_filed,
    cases.CaseRouted: case_routed,
    cases.CaseProgressed: case_progressed,
    cases.CaseClosed: case_closed,
    cases.CaseRated: case_rated,
    participation.ActivityAnnounced: activity_announced,
    participation.ConsultationOpened: consultation_opened,
    participation.ConsultationClosed: consultation_closed,
    participation.DutyLogged: duty_logged,
    evaluation.ScoreAppealed: score_appealed,
    evaluation.ArchiveNoted: archive_noted,
    learning.CoursePublished: course_published,
    learning.CourseCompleted: course_completed,
    **motions.NOTICES,
}


async def take_in(messages: Sequence[Received[Contract]], work: Work) -> None:
    """Handler of every event: write its notices, and keep the deputies for the audiences."""
    told: list[Notice] = []
    deputies: list[Received[identity.DeputyChanged]] = []
    for message in messages:
        if isinstance(message.data, identity.DeputyChanged):
            deputies.append(message)  # type: ignore[arg-type]
        else:
            told += NOTICES[type(message.data)](message)
    await store.keep_deputies(work.connection, deputies)
    await store.add_notices(work.connection, told)


def reader_of(actor: Actor) -> Reader:
    """Whose inbox somebody may read: a person's own, and as staff what is for their congress."""
    return Reader(actor.person, actor.organisation if "staff" in actor.roles else None)


def _own_inbox(message: Received[Any]) -> Reader:
    """Whose inbox a command is about. Raises Refusal where that is not the sender's."""
    authorise(message)
    if message.envelope.subject != message.sender().person:
        raise errors.not_your_inbox()
    return reader_of(message.sender())


async def mark(messages: Sequence[Received[MarkNotices]], work: Work) -> None:
    """Handler of `notice.mark`: all notices of a command or none."""
    asked: list[Received[MarkNotices]] = []
    for message in messages:
        try:
            _own_inbox(message)
        except Refusal as refusal:
            work.reject(message, refusal)
        else:
            asked.append(message)
    wanted = {(reader_of(m.sender()), notice_id) for m in asked for notice_id in m.data.notices}
    there = await queries.in_inboxes(work.connection, wanted)
    marks: dict[tuple[str, UUID], tuple[bool, Received[MarkNotices]]] = {}
    for message in asked:
        person = message.sender().person
        if any((person, notice_id) not in there for notice_id in message.data.notices):
            work.reject(message, errors.notices_unknown())
            continue
        for notice_id in message.data.notices:
            marks[person, notice_id] = (message.data.read, message)
        work.accept(message)
    await store.save_marks(
        work.connection,
        read={place: message.now for place, (read, message) in marks.items() if read},
        unread={place for place, (read, _) in marks.items() if not read},
    )


async def mark_all(messages: Sequence[Received[MarkAllNotices]], work: Work) -> None:
    """Handler of `notice.mark-all`."""
    for message in messages:
        last = message.data.up_to
        try:
            reader = _own_inbox(message)
            if not await queries.in_inboxes(work.connection, [(reader, last)]):
                raise errors.notices_unknown()
        except Refusal as refusal:
            work.reject(message, refusal)
        else:
            await store.mark_up_to(work.connection, reader, last, message.now)
            work.accept(message)
