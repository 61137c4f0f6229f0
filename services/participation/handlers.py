"""Use cases of participation: each turns a command into a decision of `domain` and says it to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from services.participation import domain, errors
from services.participation.domain import Activity, Consultation, Duty
from shared.contracts import participation as contract
from shared.contracts.registry import Contract
from shared.messaging.desk import Decide, Decision, Emission, check_area, subject_id
from shared.messaging.received import Received

_NEVER_CHANGES = 1
"""Sequence of a fact about one deputy's part, which is said once."""


def _deputy(message: Received[Contract]) -> UUID:
    try:
        return UUID(message.sender().person)
    except ValueError:
        raise errors.not_a_person() from None


def announce_activity(
    activity: Activity | None, message: Received[contract.AnnounceActivity], new_code: Callable[[], str]
) -> Decision[Activity]:
    """Announce an activity; its code is made here."""
    if activity is not None:
        raise errors.activity_exists()
    data = message.data
    check_area(message, data.county)
    announced = domain.announce(
        Activity(
            id=subject_id(message),
            title=data.title,
            kind=data.kind,
            county=data.county,
            starts_at=data.starts_at,
            ends_at=data.ends_at,
            capacity=data.capacity,
            code=new_code(),
            announced_at=message.now,
            announced_by=message.sender().person,
            venue=data.venue,
            description=data.description,
        )
    )
    fact = contract.ActivityAnnounced(
        activity_id=announced.id,
        title=announced.title,
        kind=announced.kind,
        county=announced.county,
        starts_at=announced.starts_at,
        ends_at=announced.ends_at,
    )
    return Decision(announced, announced.version, (Emission(fact),))


def sign_up(
    activity: Activity | None, message: Received[contract.SignUp], _: Callable[[], str]
) -> Decision[Activity]:
    """Sign the sender up and say so."""
    found, deputy = _known_activity(activity), _deputy(message)
    signed_up = domain.sign_up(found, deputy, message.not_before(found.announced_at))
    fact = contract.ActivitySignedUp(activity_id=found.id, deputy_id=deputy, kind=found.kind)
    return Decision(
        signed_up,
        signed_up.version,
        (Emission(fact, key=deputy, sequence=_NEVER_CHANGES),),
        time=signed_up.attendances[deputy].signed_up_at,
    )


def check_in(
    activity: Activity | None, message: Received[contract.CheckIn], _: Callable[[], str]
) -> Decision[Activity]:
    """Check the sender in and say that they attended."""
    found, deputy = _known_activity(activity), _deputy(message)
    checked_in = domain.check_in(found, deputy, message.data.code, message.not_before(found.announced_at))
    fact = contract.ActivityAttended(activity_id=found.id, deputy_id=deputy, kind=found.kind)
    return Decision(
        checked_in,
        checked_in.version,
        (Emission(fact, key=deputy, sequence=_NEVER_CHANGES),),
        time=checked_in.attendances[deputy].checked_in_at,
    )


def _known_activity(activity: Activity | None) -> Activity:
    if activity is None:
        raise errors.activity_unknown()
    return activity


def open_consultation(
    consultation: Consultation | None, message: Received[contract.OpenConsultation], _: None
) -> Decision[Consultation]:
    """Open a consultation."""
    if consultation is not None:
        raise errors.consultation_exists()
    data = message.data
    check_area(message, data.county)
    opened = domain.open_consultation(
        Consultation(
            id=subject_id(message),
            title=data.title,
            kind=data.kind,
            county=data.county,
            questions=tuple(
                domain.Question(q.key, q.text, q.kind, q.options, q.required) for q in data.questions
            ),
            opened_at=message.now,
            opened_by=message.sender().person,
            closes_at=data.closes_at,
            changed_at=message.now,
        )
    )
    fact = contract.ConsultationOpened(
        consultation_id=opened.id,
        title=opened.title,
        kind=opened.kind,
        county=opened.county,
        closes_at=opened.closes_at,
    )
    return Decision(opened, opened.version, (Emission(fact),))


def answer_consultation(
    consultation: Consultation | None, message: Received[contract.AnswerConsultation], _: None
) -> Decision[Consultation]:
    """Take the sender's answer and say how many opinions it holds."""
    found, deputy = _known_consultation(consultation), _deputy(message)
    at = message.not_before(found.opened_at)
    answered = domain.answer(found, deputy, message.data.answers, at)
    fact = contract.ConsultationAnswered(
        consultation_id=found.id,
        deputy_id=deputy,
        kind=found.kind,
        opinions=answered.answers[deputy].opinions,
    )
    return Decision(
        answered, answered.version, (Emission(fact, key=deputy, sequence=_NEVER_CHANGES),), time=at
    )


def close_consultation(
    consultation: Consultation | None, message: Received[contract.CloseConsultation], _: None
) -> Decision[Consultation]:
    """Close a consultation and say how many answered it."""
    found = _known_consultation(consultation)
    check_area(message, found.county)
    closed = domain.close(found, message.now)
    fact = contract.ConsultationClosed(
        consultation_id=closed.id, respondents=closed.respondents, opinions=closed.opinions
    )
    return Decision(closed, closed.version, (Emission(fact),), time=closed.closed_at)


def _known_consultation(consultation: Consultation | None) -> Consultation:
    if consultation is None:
        raise errors.consultation_unknown()
    return consultation


Congresses = Mapping[UUID, str | None]
"""Of what congress deputies are, by the place; None for the city's, which has those nobody has told of as well."""


def declare_duty(duty: Duty | None, message: Received[contract.DeclareDuty], _: Congresses) -> Decision[Duty]:
    """Log a duty of the sender."""
    if duty is not None:
        raise errors.duty_exists()
    data = message.data
    declared = Duty(
        id=subject_id(message),
        deputy_id=_deputy(message),
        kind=data.kind,
        happened_on=data.happened_on,
        note=data.note,
        declared_at=message.now,
        changed_at=message.now,
    )
    return _logged(domain.declare(declared))


def confirm_duty(
    duty: Duty | None, message: Received[contract.ConfirmDuty], congresses: Congresses
) -> Decision[Duty]:
    """Staff confirm a duty of a deputy in their area."""
    found = _duty_in_area(duty, message, congresses)
    return _logged(domain.confirm(found, message.sender().person, message.now))


def reject_duty(
    duty: Duty | None, message: Received[contract.RejectDuty], congresses: Congresses
) -> Decision[Duty]:
    """Staff reject a duty of a deputy in their area and say why."""
    found, reason = _duty_in_area(duty, message, congresses), message.data.reason
    return _logged(domain.reject(found, message.sender().person, message.now, reason))


def _duty_in_area(duty: Duty | None, message: Received[Any], congresses: Congresses) -> Duty:
    found = _known_duty(duty)
    check_area(message, congresses.get(found.deputy_id))
    return found


def withdraw_duty(
    duty: Duty | None, message: Received[contract.WithdrawDuty], _: Congresses
) -> Decision[Duty]:
    """The sender takes a duty of theirs back."""
    return _logged(domain.withdraw(_known_duty(duty), _deputy(message), message.now))


def _known_duty(duty: Duty | None) -> Duty:
    if duty is None:
        raise errors.duty_unknown()
    return duty


def _logged(duty: Duty) -> Decision[Duty]:
    fact = contract.DutyLogged(
        duty_id=duty.id,
        deputy_id=duty.deputy_id,
        state=duty.state,
        kind=duty.kind,
        happened_on=duty.happened_on,
    )
    return Decision(duty, duty.version, (Emission(fact),), time=duty.changed_at)


ON_ACTIVITIES: dict[type[Contract], Decide[Activity]] = {
    contract.AnnounceActivity: announce_activity,
    contract.SignUp: sign_up,
    contract.CheckIn: check_in,
}
ON_CONSULTATIONS: dict[type[Contract], Decide[Consultation]] = {
    contract.OpenConsultation: open_consultation,
    contract.AnswerConsultation: answer_consultation,
    contract.CloseConsultation: close_consultation,
}
ON_DUTIES: dict[type[Contract], Decide[Duty]] = {
    contract.DeclareDuty: declare_duty,
    contract.ConfirmDuty: confirm_duty,
    contract.RejectDuty: reject_duty,
    contract.WithdrawDuty: withdraw_duty,
}
