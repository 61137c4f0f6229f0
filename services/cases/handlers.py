"""Use cases of cases: each turns a command into steps of the state machine and says them to others."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from services.cases import dates, domain, errors, steps
from services.cases.deadlines.reckoning import CHINA
from services.cases.deadlines.rules import is_within
from services.cases.domain import Act, Case, Event
from services.cases.routing.catalogue import choose, in_force
from services.cases.routing.choosing import route_of
from services.cases.routing.judgement import Judged, chosen
from services.cases.routing.reasons import Code, Ground, sentence
from services.cases.store import Context
from shared.contracts import cases as contract
from shared.contracts.registry import Contract, Role, declaration_of
from shared.messaging.desk import Decide, Decision, Desk, Emission, check_area, subject_id
from shared.messaging.received import REPLIES, Received
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.sealing import Opener, Unsealable

_FACTS: dict[str, type[contract.CaseFact]] = {
    "filed": contract.CaseFiled,
    "taken-up": contract.CaseFiled,
    "explained": contract.CaseClosed,
    "closed": contract.CaseClosed,
    "settled": contract.CaseClosed,
    "rated": contract.CaseRated,
}


RESIDENT = "resident"
_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL, and the dossier passes through its outbox


class Words(BaseModel):
    """The sealed words of a case, and where it is."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=_NO_NUL)]
    contact: Annotated[str, Field(max_length=200, pattern=_NO_NUL)] | None = None
    position: contract.Position | None = None

    @property
    def searched(self) -> str:
        """What a search looks through."""
        return f"{self.title}\n{self.text}"


class Contact(BaseModel):
    """The sealed contact data of a resident."""

    contact: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]


class Supplied(BaseModel):
    """The sealed words with which a filer answers a department's question, or says why a case is not done."""

    text: Annotated[str, Field(min_length=1, max_length=5000, pattern=_NO_NUL)]


def read_words(opener: Opener, sealed: str) -> Words:
    """Open a case's words. Raises Refusal."""
    try:
        return Words.model_validate(opener.open(sealed))
    except (Unsealable, ValidationError):
        raise errors.words_unreadable() from None


def read_contact(opener: Opener, sealed: str) -> str:
    """Open a resident's contact data. Raises Refusal."""
    try:
        return Contact.model_validate(opener.open(sealed)).contact
    except (Unsealable, ValidationError):
        raise errors.contact_unreadable() from None


def read_supplied(opener: Opener, sealed: str) -> str:
    """Open what a filer supplied. Raises Refusal."""
    try:
        return Supplied.model_validate(opener.open(sealed)).text
    except (Unsealable, ValidationError):
        raise errors.supplied_unreadable() from None


def _new_words(sealed: str, context: Context, rules: domain.Rules) -> Words:
    """Open the words of a new case. Raises Refusal, also for a position far outside the authority's area."""
    words: Words = context.opened.get(sealed) or read_words(context.opener, sealed)
    at, area = words.position, rules.cases.area.value
    if at is not None and not is_within(area, at.latitude, at.longitude):
        raise errors.position_outside()
    return words


def _reached(case: Case | None, message: Received[Any]) -> None:
    """Refuse staff of another place, who may not read the case either; a deputy among them goes on as a deputy."""
    who = message.sender()
    as_what = who.roles & declaration_of(type(message.data)).roles
    if case is not None and as_what == {"staff"} and not who.reaches(case.county, case.town):
        raise errors.not_your_case()


def _act(case: Case, message: Received[Any]) -> Act:
    _reached(case, message)
    who = message.sender()
    return Act(
        who.person,
        message.not_before(case.changed_at),
        message.now,
        department=who.organisation if "department" in who.roles else None,
        is_staff="staff" in who.roles and who.reaches(case.county, case.town),
    )


def file_case(case: Case | None, message: Received[contract.FileCase], context: Context) -> Decision[Case]:
    """File a case; routed at once where words and place say where to."""
    if case is not None:
        raise errors.case_exists()
    data, deputy, rules = message.data, _filer(message), context.rules_at(message.now)
    words = _new_words(data.sealed, context, rules)
    new = Case(
        id=subject_id(message),
        deputy_id=deputy,
        county=data.county,
        town=data.town,
        origin=data.origin,
        category=data.category,
        sealed=data.sealed,
        filed_at=message.now,
        changed_at=message.now,
    )
    judged, route = _route_of(new, message, context)
    events = steps.file(new, route, rules, by=message.sender().person, judged=judged, photos=data.photos)
    return _decided(new, events, context, words)


def _filer(message: Received[contract.FileCase]) -> UUID | None:
    """The deputy who files a case; None where staff file what they found themselves, in their own area."""
    who, data = message.sender(), message.data
    needed: Role = "staff" if data.origin == "staff" else "deputy"
    if needed not in who.roles:
        raise errors.origin_not_yours()
    if needed == "deputy":
        return UUID(who.person)
    check_area(message, data.town or data.county)
    return None


def submit_concern(
    case: Case | None, message: Received[contract.SubmitConcern], context: Context
) -> Decision[Case]:
    """Take in what a resident submits to a deputy; what staff take down for a resident is taken up at once.

    Staff may take down what lies outside their area: nobody is sent to another counter 首问负责.
    """
    if case is not None:
        raise errors.case_exists()
    data, sender, rules = message.data, message.sender(), context.rules_at(message.now)
    words = _new_words(data.sealed, context, rules)
    if data.contact is not None:
        read_contact(context.opener, data.contact)
    by_staff = "staff" in sender.roles
    new = Case(
        id=subject_id(message),
        deputy_id=data.deputy_id,
        county=data.county,
        town=data.town,
        origin="resident",
        sealed=data.sealed,
        contact=data.contact,
        receipt=data.receipt,
        follow=data.follow,
        consent=data.consent,
        filed_at=message.now,
        changed_at=message.now,
    )
    events = steps.submit(new, rules, by=sender.person if by_staff else RESIDENT, photos=data.photos)
    if by_staff:
        act = Act(sender.person, message.now, message.now, is_staff=True)
        submitted = domain.evolve(new, events[0])
        judged, route = _route_of(new, message, context)
        events += steps.take_up(submitted, act, route, rules, judged=judged)
    return _decided(new, events, context, words)


def take_up_concern(
    case: Case | None, message: Received[contract.TakeUpConcern], context: Context
) -> Decision[Case]:
    """The deputy takes a concern up; routed at once where words and place say where to."""
    found = _known(case)
    act = _act(found, message)
    steps.take_up(found, act, None, context.rules_at(message.now))  # refused before its words are opened
    words = context.opened.get(found.sealed) or read_words(context.opener, found.sealed)
    taken = replace(found, category=message.data.category)
    judged, route = _route_of(taken, message, context)
    events = steps.take_up(taken, act, route, context.rules_at(message.now), judged=judged)
    return _decided(found, events, context, words)


def split_case(case: Case | None, message: Received[contract.SplitCase], context: Context) -> Decision[Case]:
    """Make a case of its own out of a part of another, which notes it; it keeps the other's filer and place."""
    if case is not None:
        raise errors.case_exists()
    other = context.cases.get(str(message.data.out_of))
    if other is None:
        raise errors.parent_unknown()
    _reached(other, message)
    words = _new_words(message.data.sealed, context, context.rules_at(message.now))
    act = _act(other, message)
    noted = steps.split(other, act, subject_id(message), message.data.reason)
    at = act.at
    new = Case(
        id=subject_id(message),
        deputy_id=other.deputy_id,
        county=other.county,
        town=other.town,
        origin=other.origin,
        category=message.data.category,
        sealed=message.data.sealed,
        filed_at=at,
        changed_at=at,
        split_from=other.id,
    )
    judged, route = _route_of(new, message, context)
    events = steps.file(new, route, context.rules_at(at), by=message.sender().person, judged=judged)
    part, whole = _decided(new, events, context, words), _decided(other, noted, context)
    told = [replace(emission, subject=emission.subject or other.id) for emission in whole.emissions]
    return replace(part, emissions=[*told, *part.emissions], others={str(other.id): whole.state})


def _route_of(new: Case, message: Received[Any], context: Context) -> tuple[Judged, domain.Route | None]:
    if new.category is not None and new.category not in context.categories:
        raise errors.category_unknown()
    judged = chosen(new.category) if new.category is not None else context.judged[message.envelope.id]
    catalogue = in_force(context.catalogues, message.now.astimezone(CHINA).date())
    route = route_of(judged, catalogue, context.departments, county=new.county, town=new.town)
    return replace(judged, catalogue=catalogue.name if catalogue else None), route


def _by_hand(
    case: Case,
    message: Received[contract.RouteCase] | Received[contract.TransferCase],
    context: Context,
    code: Code,
) -> domain.Route:
    """Where staff send a case; how urgent it is they say, or the catalogue does of that department's rule."""
    data, why = message.data, (Ground(code),)
    department = _active(data.department, context)
    category = _said(data.category, department, context)
    urgency = data.urgency
    about = category or case.category
    if urgency is None and about is not None:
        choice = choose(
            in_force(context.catalogues, message.now.astimezone(CHINA).date()),
            {department: context.departments[department]},
            category=about,
            county=case.county,
            town=case.town,
        )
        urgency = choice.urgency if choice else None
    return domain.Route(department, category, sentence(why), urgency, why)


def route_case(case: Case | None, message: Received[contract.RouteCase], context: Context) -> Decision[Case]:
    """Staff route a case by hand."""
    found = _known(case)
    route = _by_hand(found, message, context, "by-staff")
    rules = context.rules_at(message.now)
    events = steps.route(found, _act(found, message), route, rules, note=message.data.reason)
    return _decided(found, events, context)


def transfer_case(
    case: Case | None, message: Received[contract.TransferCase], context: Context
) -> Decision[Case]:
    """Staff move a case from one department to another."""
    found = _known(case)
    route = _by_hand(found, message, context, "transferred-by-staff")
    rules = context.rules_at(message.now)
    events = steps.transfer(found, _act(found, message), route, rules, note=message.data.reason)
    return _decided(found, events, context)


def _said(category: str | None, department: str, context: Context) -> str | None:
    """The category that staff say a case has: by name, or by where they send it if only one is handled there."""
    if category is not None and category not in context.categories:
        raise errors.category_unknown()
    handled = context.departments[department].categories
    return next(iter(handled)) if category is None and len(handled) == 1 else category


def _active(department: str, context: Context) -> str:
    if department not in context.departments:
        raise errors.department_unknown()
    return department


def co_handle_case(
    case: Case | None, message: Received[contract.CoHandle], context: Context
) -> Decision[Case]:
    """Staff add co-handling departments."""
    found = _known(case)
    departments = [_active(code, context) for code in message.data.departments]
    return _decided(
        found, steps.co_handle(found, _act(found, message), departments, message.data.reason), context
    )


def supply_case(
    case: Case | None, message: Received[contract.SupplyCase], context: Context
) -> Decision[Case]:
    """The filer supplies what the department asked for."""
    found = _known(case)
    supplied = read_supplied(context.opener, message.data.sealed)
    rules, data = context.rules_at(dates.ruled_at(found)), message.data
    events = steps.supply(
        found, _act(found, message), data.sealed, rules, photos=data.photos, documents=data.documents
    )
    return _decided(found, events, context, supplied=supplied)


def merge_case(case: Case | None, message: Received[contract.MergeCase], context: Context) -> Decision[Case]:
    """Staff merge the case into another."""
    found, data = _known(case), message.data
    parent = context.cases.get(str(data.into))
    _reached(parent, message)
    return _decided(found, steps.merge(found, _act(found, message), parent, data.reason), context)


def gather_cases(
    case: Case | None, message: Received[contract.GatherCases], context: Context
) -> Decision[Case]:
    """Staff merge many reports into one; each is merged by a command of its own."""
    parent, data = _known(case), message.data
    reports = [context.cases.get(str(other)) for other in data.cases]
    for one in (parent, *reports):
        _reached(one, message)
    ready = steps.gather(parent, reports)
    by = message.sender().person
    told = contract.MergeGathered(into=parent.id, by=by, reason=data.reason)
    return Decision(parent, parent.version, [Emission(told, subject=other) for other in ready])


def merge_gathered(
    case: Case | None, message: Received[contract.MergeGathered], context: Context
) -> Decision[Case]:
    """One of the gathered cases is merged, if it and the parent still can be."""
    found, data = _known(case), message.data
    parent = context.cases.get(str(data.into))
    act = replace(_act(found, message), actor=data.by)
    return _decided(found, steps.merge(found, act, parent, data.reason), context)


def inform_merged(
    case: Case | None, message: Received[contract.InformMerged], context: Context
) -> Decision[Case]:
    """A merged case hears the answer of its parent."""
    found = _known(case)
    parent = context.cases.get(str(message.data.parent))
    return _decided(found, steps.inform(found, _act(found, message), parent), context)


def settle_case(
    case: Case | None, message: Received[contract.SettleCase], context: Context
) -> Decision[Case]:
    """A merged case is closed with its parent."""
    found = _known(case)
    parent = context.cases.get(str(message.data.parent))
    return _decided(found, steps.settle(found, _act(found, message), parent), context)


def withdraw_case(
    case: Case | None, message: Received[contract.WithdrawCase], context: Context
) -> Decision[Case]:
    """The filer withdraws the case, unless others' cases were merged into it."""
    found = _known(case)
    return _withdrawn(found, _act(found, message), message.data.reason, context)


def withdraw_concern(
    case: Case | None, message: Received[contract.WithdrawConcern], context: Context
) -> Decision[Case]:
    """The resident withdraws the concern, unless others' cases were merged into it."""
    found, act = _opened_by_link(case, message)
    return _withdrawn(found, act, "", context)


def decline_concern(
    case: Case | None, message: Received[contract.DeclineConcern], context: Context
) -> Decision[Case]:
    """The deputy, or staff, decline the case, unless others' cases were merged into it."""
    found = _known(case)
    events = steps.decline(found, _act(found, message), message.data.reason)
    if context.merged_into(found.id):
        raise errors.others_wait()
    return _decided(found, events, context)


def _withdrawn(case: Case, act: Act, reason: str, context: Context) -> Decision[Case]:
    events = steps.withdraw(case, act, reason)
    if context.merged_into(case.id):
        raise errors.others_merged()
    return _decided(case, events, context)


def erase_concern(
    case: Case | None, message: Received[contract.EraseConcern], context: Context
) -> Decision[Case]:
    """The resident takes the consent back, for the contact data or for every word."""
    found, act = _opened_by_link(case, message)
    if message.data.what == "contact":
        return _decided(found, steps.erase_contact(found, act), context)
    has_others = bool(context.merged_into(found.id))
    return _decided(found, steps.erase(found, act, has_others=has_others), context)


def join_case(case: Case | None, message: Received[contract.JoinCase], context: Context) -> Decision[Case]:
    """Another deputy follows the case."""
    found = _known(case)
    events = steps.join(found, _act(found, message), UUID(message.sender().person))
    return _decided(found, events, context)


def fall_due(case: Case | None, message: Received[contract.FallDue], context: Context) -> Decision[Case]:
    """Something falls due.

    What nothing comes of yet is saved all the same: its date is gone from what is noted as due, and is noted anew.
    """
    found, data = _known(case), message.data
    rules = context.rules_at(dates.ruled_at(found))
    events = dates.fall_due(found, data.due, data.at, rules)
    if not events and data.due in dates.due(found, rules):
        return Decision(replace(found), found.version, [])
    return _decided(found, events, context)


def supply_concern(
    case: Case | None, message: Received[contract.SupplyConcern], context: Context
) -> Decision[Case]:
    """The resident supplies what the department asked for."""
    found, act = _opened_by_link(case, message)
    supplied = read_supplied(context.opener, message.data.sealed)
    rules = context.rules_at(dates.ruled_at(found))
    events = steps.supply(found, act, message.data.sealed, rules, photos=message.data.photos)
    return _decided(found, events, context, supplied=supplied)


def reopen_concern(
    case: Case | None, message: Received[contract.ReopenConcern], context: Context
) -> Decision[Case]:
    """The resident is not content; what they say goes to the department with the dossier, and rests sealed."""
    found, act = _opened_by_link(case, message)
    said = read_supplied(context.opener, message.data.sealed)
    events = steps.reopen(found, act, None, context.rules_at(message.now), sealed=message.data.sealed)
    return _decided(found, events, context, supplied=said)


def object_to_concern(
    case: Case | None, message: Received[contract.ObjectToConcern], context: Context
) -> Decision[Case]:
    """The resident does not agree with an explanation or a refusal; what they say rests sealed."""
    found, act = _opened_by_link(case, message)
    read_supplied(context.opener, message.data.sealed)
    rules = context.rules_at(message.now)
    return _decided(found, steps.object_to(found, act, rules, sealed=message.data.sealed), context)


def _opened_by_link(case: Case | None, message: Received[Any]) -> tuple[Case, Act]:
    """The case that a follow link opens, and the resident acting on it. Raises Refusal that tells nothing."""
    if case is None or case.follow is None or not hmac.compare_digest(case.follow, message.data.follow):
        raise errors.follow_unknown()
    at = message.not_before(case.changed_at)
    return case, Act(RESIDENT, at, message.now, is_resident=True)


Ask = Callable[[Case, Act, Any, domain.Rules], tuple[Event, ...]]


def _by_link(ask: Callable[[Case, Act, Any], tuple[Event, ...]]) -> Decide[Case]:
    """The decision on what a resident asks by the follow link."""

    def decide(case: Case | None, message: Received[Any], context: Context) -> Decision[Case]:
        found, act = _opened_by_link(case, message)
        return _decided(found, ask(found, act, message.data), context)

    return decide


def _step(ask: Ask) -> Decide[Case]:
    """The decision on a command that needs no more than the case, its data and the rules under which it runs."""

    def decide(case: Case | None, message: Received[Any], context: Context) -> Decision[Case]:
        found = _known(case)
        rules = context.rules_at(dates.ruled_at(found))
        return _decided(found, ask(found, _act(found, message), message.data, rules), context)

    return decide


def reopen_case(
    case: Case | None, message: Received[contract.ReopenCase], context: Context
) -> Decision[Case]:
    """Who filed is not content, and a new clock begins by the rules of the day."""
    found, act = _known(case), _act(_known(case), message)
    events = steps.reopen(found, act, message.data.reason, context.rules_at(message.now))
    return _decided(found, events, context)


def redate_case(
    case: Case | None, message: Received[contract.RedateCase], context: Context
) -> Decision[Case]:
    """The calendar has changed; where no deadline moves, nobody is told."""
    found = _known(case)
    match dates.redate(found, message.now, context.rules_at(dates.ruled_at(found))):
        case domain.Event() as redated:
            return _decided(found, (redated,), context)
        case noted:
            return Decision(noted or found, found.version, [])


def _known(case: Case | None) -> Case:
    if case is None:
        raise errors.case_unknown()
    return case


def _decided(
    case: Case,
    events: tuple[Event, ...],
    context: Context,
    words: Words | None = None,
    *,
    supplied: str | None = None,
) -> Decision[Case]:
    emissions: list[Emission] = []
    for event in events:
        before, case = case, domain.evolve(case, event)
        fact = _fact(case, event)
        if isinstance(fact, contract.CaseFiled):
            fact = fact.model_copy(update={"unrouted": event is events[-1]})
        emissions.append(Emission(fact, sequence=case.version))
        emissions += _to_departments(before, case, event, words, context, supplied)
        if event.step in ("closed", "settled"):
            emissions += [
                Emission(contract.SettleCase(parent=case.id), subject=child)
                for child in context.merged_into(case.id)
            ]
        if event.step in ("answered", "informed"):
            emissions += [
                Emission(contract.InformMerged(parent=case.id), subject=child)
                for child in context.merged_into(case.id)
            ]
    return Decision(case, case.version, emissions, time=max([case.changed_at, *(e.at for e in events)]))


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
        "urgency": case.urgency,
        "co_handlers": case.co_handlers,
        "answer_by": case.answer_by,
        "on_time": case.on_time,
        "returned": case.returned,
        "reopened": case.reopened,
        "merged_into": case.merged_into,
        "split_from": case.split_from,
        "followers": case.followers,
        "take_up_by": case.take_up_by,
        "resident_stars": case.resident_stars,
    }
    if event.step in ("routed", "transferred"):
        return contract.CaseRouted(
            **fields,
            reason=case.reason or "",
            transferred=event.step == "transferred",
            classifier=event.judged.classifier if event.judged else None,
            catalogue=event.judged.catalogue if event.judged else None,
        )
    known = _FACTS.get(event.step)
    if known is not None:
        return known(**fields)
    return contract.CaseProgressed(
        **fields,
        step=event.step,
        by_system=event.actor == "system",
        by_resident=event.actor == RESIDENT,
        by_deputy=case.deputy_id is not None and event.actor == str(case.deputy_id),
    )


def _to_departments(
    before: Case, case: Case, event: Event, words: Words | None, context: Context, supplied: str | None
) -> list[Emission]:
    """What the departments concerned hear of a step on their own topics: dossiers, news, and recalls."""
    found: list[Emission] = []

    def say(department: str | None, data: Contract) -> None:
        if department is not None:
            found.append(Emission(data, topic=f"department.{department}.routed", sequence=case.version))

    def told(step: Any, text: str | None = None) -> contract.DepartmentTold:
        return contract.DepartmentTold(
            case_id=case.id,
            step=step,
            state=case.state,
            answer_by=case.answer_by,
            text=text,
            photos=event.photos,
            documents=event.documents,
        )

    step = event.step
    if step in _SENDS_DOSSIER:
        if case.erased and step != "reopened":
            words = _ERASED  # it goes on, without its words, for the others that were merged into it
        dossier = _dossier(case, event, words or read_words(context.opener, case.sealed), supplied)
        say(event.department if step == "co-handled" else case.department, dossier)
    if step in _TOLD:
        say(case.department, told(step, supplied if step == "supplied" else event.text))
    if step == "transferred":
        say(before.department, told("recalled"))
    if step in ("withdrawn", "merged", "closed"):
        gone: Any = "closed" if step == "closed" else "recalled"
        for department in (before.department, *before.co_handlers):
            say(department, told(gone))
    if step == "erased":
        for department in (before.department, *before.co_handlers):
            say(department, told("erased"))
    return found


_ERASED = Words(title="内容已删除", text="居民已撤回同意，内容已删除；并入本件的反映仍待办理。")
_SENDS_DOSSIER: frozenset[domain.Step] = frozenset({"routed", "transferred", "reopened", "co-handled"})
_TOLD: frozenset[domain.Step] = frozenset(
    {
        "supplied",
        "resumed",
        "extension-granted",
        "extension-refused",
        "opinion",
        "urged",
        "urge-withdrawn",
        "supervised",
        "redated",
    }
)


def _dossier(case: Case, event: Event, words: Words, supplied: str | None) -> contract.Dossier:
    return contract.Dossier(
        case_id=case.id,
        title=words.title,
        text=words.text,
        category=case.category,
        county=case.county,
        town=case.town,
        position=words.position,
        reason=(event.text or supplied if event.step == "reopened" else case.reason) or "",
        role="co-handler" if event.step == "co-handled" else "lead",
        urgency=case.urgency,
        answer_by=case.answer_by,
        again=case.reopened > 0,
        returned=case.returned,
        designated=case.designated,
        photos=() if case.erased else case.photos,
        documents=() if case.erased else case.documents,
    )


class CaseDesk(Desk[Case]):
    """The desk of cases; tells a department on its own topic when its reply is refused."""

    def changed(self, state: Case, context: Context) -> None:
        """Let later decisions of the batch see the case as it stands now."""
        context.note(state)

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
    contract.SubmitConcern: submit_concern,
    contract.TakeUpConcern: take_up_concern,
    contract.ExplainConcern: _step(lambda case, act, data, _: steps.explain(case, act, data.text)),
    contract.DeclineConcern: decline_concern,
    contract.SupplyConcern: supply_concern,
    contract.ReopenConcern: reopen_concern,
    contract.ObjectToConcern: object_to_concern,
    contract.RateConcern: _by_link(
        lambda case, act, data: steps.rate_as_resident(case, act, data.stars, data.attitude, data.result)
    ),
    contract.WithdrawConcern: withdraw_concern,
    contract.EraseConcern: erase_concern,
    contract.CloseFollowLink: _by_link(lambda case, act, _: steps.close_link(case, act)),
    contract.SplitCase: split_case,
    contract.RouteCase: route_case,
    contract.TransferCase: transfer_case,
    contract.CoHandle: co_handle_case,
    contract.SupplyCase: supply_case,
    contract.MergeCase: merge_case,
    contract.GatherCases: gather_cases,
    contract.MergeGathered: merge_gathered,
    contract.InformMerged: inform_merged,
    contract.SettleCase: settle_case,
    contract.JoinCase: join_case,
    contract.AcceptCase: _step(lambda case, act, _, __: steps.accept(case, act)),
    contract.ProgressCase: _step(lambda case, act, data, _: steps.progress(case, act, data.text)),
    contract.AskFiler: _step(lambda case, act, data, _: steps.ask(case, act, data.text)),
    contract.ReturnCase: _step(lambda case, act, data, rules: steps.hand_back(case, act, data.reason, rules)),
    contract.AskExtension: _step(
        lambda case, act, data, rules: steps.ask_extension(case, act, data.days, data.reason, rules)
    ),
    contract.DecideExtension: _step(
        lambda case, act, data, rules: steps.decide_extension(
            case, act, granted=data.granted, reason=data.reason, rules=rules
        )
    ),
    contract.GiveOpinion: _step(lambda case, act, data, _: steps.give_opinion(case, act, data.text)),
    contract.AnswerCase: _step(
        lambda case, act, data, _: steps.answer(
            case, act, result=data.result, text=data.text, photos=data.photos, documents=data.documents
        )
    ),
    contract.CloseCase: _step(lambda case, act, data, _: steps.close(case, act, data.result)),
    contract.RateCase: _step(lambda case, act, data, _: steps.rate(case, act, data.stars)),
    contract.ReopenCase: reopen_case,
    contract.UrgeCase: _step(lambda case, act, data, _: steps.urge(case, act, data.reason)),
    contract.SuperviseCase: _step(lambda case, act, data, _: steps.supervise(case, act, data.reason)),
    contract.WithdrawCase: withdraw_case,
    contract.FallDue: fall_due,
    contract.RedateCase: redate_case,
}
