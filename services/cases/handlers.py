"""Use cases of cases: each turns a command into steps of the state machine and says them to others."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from services.cases import domain, errors
from services.cases.domain import Case, Event
from services.cases.routing import choose
from services.cases.store import Context
from shared.contracts import cases as contract
from shared.contracts.registry import Contract
from shared.messaging.desk import Decide, Decision, Desk, Emission, subject_id
from shared.messaging.received import REPLIES, Received
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.sealing import Opener, Unsealable

_FACTS: dict[str, type[contract.CaseFact]] = {
    "filed": contract.CaseFiled,
    "routed": contract.CaseRouted,
    "closed": contract.CaseClosed,
    "rated": contract.CaseRated,
}


_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL, and the dossier passes through its outbox


class Words(BaseModel):
    """The sealed words of a case."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=_NO_NUL)]
    contact: Annotated[str, Field(max_length=200, pattern=_NO_NUL)] | None = None


def read_words(opener: Opener, sealed: str) -> Words:
    """Open a case's words. Raises Refusal."""
    try:
        return Words.model_validate(opener.open(sealed))
    except (Unsealable, ValidationError):
        raise errors.words_unreadable() from None


def file_case(case: Case | None, message: Received[contract.FileCase], context: Context) -> Decision[Case]:
    """File a case; routed at once where words and place say where to."""
    if case is not None:
        raise errors.case_exists()
    data = message.data
    if data.category is not None and data.category not in context.words:
        raise errors.category_unknown()
    words = read_words(context.opener, data.sealed)
    new = Case(
        id=subject_id(message),
        deputy_id=UUID(message.sender().person),
        county=data.county,
        town=data.town,
        origin=data.origin,
        category=data.category,
        sealed=data.sealed,
        filed_at=message.now,
        changed_at=message.now,
    )
    route = choose(
        list(context.departments.values()),
        context.words,
        category=data.category,
        county=data.county,
        text=f"{words.title}\n{words.text}",
    )
    return _decided(new, domain.file(new, route), context, words)


def route_case(case: Case | None, message: Received[contract.RouteCase], context: Context) -> Decision[Case]:
    """Staff route a case by hand."""
    found = _known(case)
    department = context.departments.get(message.data.department)
    if department is None:
        raise errors.department_unknown()
    route = domain.Route(department.code, found.category, "chosen by staff")
    at = message.not_before(found.changed_at)
    events = domain.route(found, route, message.sender().person, at, message.data.reason)
    return _decided(found, events, context)


def accept_case(
    case: Case | None, message: Received[contract.AcceptCase], context: Context
) -> Decision[Case]:
    """The department takes the case on."""
    found, who, at = _known(case), message.sender(), message.now
    return _decided(
        found, domain.accept(found, who.organisation, who.person, max(at, found.changed_at)), context
    )


def return_case(
    case: Case | None, message: Received[contract.ReturnCase], context: Context
) -> Decision[Case]:
    """The department hands the case back."""
    found, who = _known(case), message.sender()
    at = message.not_before(found.changed_at)
    return _decided(
        found, domain.hand_back(found, who.organisation, who.person, at, message.data.reason), context
    )


def answer_case(
    case: Case | None, message: Received[contract.AnswerCase], context: Context
) -> Decision[Case]:
    """The department answers."""
    found, who, data = _known(case), message.sender(), message.data
    at = message.not_before(found.changed_at)
    events = domain.answer(found, who.organisation, who.person, at, result=data.result, text=data.text)
    return _decided(found, events, context)


def close_case(case: Case | None, message: Received[contract.CloseCase], context: Context) -> Decision[Case]:
    """The filing deputy or staff close the case."""
    found, who = _known(case), message.sender()
    at = message.not_before(found.changed_at)
    is_staff = "staff" in who.roles
    return _decided(
        found, domain.close(found, who.person, at, is_staff=is_staff, result=message.data.result), context
    )


def rate_case(case: Case | None, message: Received[contract.RateCase], context: Context) -> Decision[Case]:
    """The filing deputy rates the case."""
    found = _known(case)
    at = message.not_before(found.changed_at)
    return _decided(found, domain.rate(found, message.sender().person, at, message.data.stars), context)


def _known(case: Case | None) -> Case:
    if case is None:
        raise errors.case_unknown()
    return case


def _decided(
    case: Case, events: tuple[Event, ...], context: Context, words: Words | None = None
) -> Decision[Case]:
    emissions: list[Emission] = []
    for event in events:
        case = domain.evolve(case, event)
        emissions.append(Emission(_fact(case, event), sequence=case.version))
        if event.step == "routed" and case.department is not None:
            emissions.append(_dossier(case, words or read_words(context.opener, case.sealed)))
    return Decision(case, case.version, emissions, time=case.changed_at)


def _fact(case: Case, event: Event) -> Contract:
    fields: dict[str, Any] = {
        "case_id": case.id,
        "deputy_id": case.deputy_id,
        "state": case.state,
        "category": case.category,
        "county": case.county,
        "town": case.town,
        "department": case.department,
        "result": case.result,
        "stars": case.stars,
        "origin": case.origin,
    }
    if event.step == "routed":
        return contract.CaseRouted(**fields, reason=case.reason or "")
    known = _FACTS.get(event.step)
    return known(**fields) if known else contract.CaseProgressed(**fields, step=event.step)


def _dossier(case: Case, words: Words) -> Emission:
    dossier = contract.Dossier(
        case_id=case.id,
        title=words.title,
        text=words.text,
        category=case.category,
        county=case.county,
        town=case.town,
        reason=case.reason or "",
    )
    return Emission(dossier, topic=f"department.{case.department}.routed", sequence=case.version)


class CaseDesk(Desk[Case]):
    """The desk of cases; tells a department on its own topic when its reply is refused."""

    def refused(self, message: Received[Any], refusal: Refusal, work: Work) -> None:
        """Send the refusal to the department that wrote to its replies topic."""
        department = REPLIES.match(message.position.topic)
        if department is not None:
            subject = message.envelope.subject
            told = contract.ReplyRefused(
                case_id=subject, reply_id=message.envelope.id, code=refusal.code, detail=refusal.detail
            )
            work.emit(message, told, subject=subject, topic=f"department.{department[1]}.routed")


DECISIONS: dict[type[Contract], Decide[Case]] = {
    contract.FileCase: file_case,
    contract.RouteCase: route_case,
    contract.AcceptCase: accept_case,
    contract.ReturnCase: return_case,
    contract.AnswerCase: answer_case,
    contract.CloseCase: close_case,
    contract.RateCase: rate_case,
}
