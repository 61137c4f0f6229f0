"""Use cases of motions: each turns a command into steps of the state machine and says them to others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.cases.motions import bills, dates, domain, errors, handling, promises, writing
from services.cases.motions.domain import Act, Motion, Step
from services.cases.motions.store import Context, Referral
from shared.contracts import motions as contract
from shared.contracts.envelope import Actor
from shared.contracts.registry import Contract
from shared.messaging.desk import Decide, Decision, Desk, Emission, subject_id
from shared.messaging.received import REPLIES, Received
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.sealing import Opener, Unsealable

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL, and the dossier passes through its outbox


class Words(BaseModel):
    """The sealed words of a motion. A bill says its cause 案由, basis 案据 and plan 方案."""

    model_config = ConfigDict(str_strip_whitespace=True)

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=_NO_NUL)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=_NO_NUL)]
    cause: Annotated[str, Field(max_length=5_000, pattern=_NO_NUL)] | None = None
    basis: Annotated[str, Field(max_length=20_000, pattern=_NO_NUL)] | None = None
    plan: Annotated[str, Field(max_length=20_000, pattern=_NO_NUL)] | None = None


def read_words(opener: Opener, sealed: str) -> Words:
    """Open a motion's words. Raises Refusal."""
    try:
        return Words.model_validate(opener.open(sealed))
    except (Unsealable, ValidationError):
        raise errors.words_unreadable() from None


def read_text(opener: Opener, sealed: str) -> str | None:
    """The text of an answer, a promise or a report; None when its key was destroyed."""
    try:
        return str(opener.open(sealed)["text"])
    except (Unsealable, KeyError):
        return None


def read_motion(opener: Opener, sealed: str, kind: str) -> domain.Text:
    """A motion's words as the domain knows them. The digest covers the kind: another kind is another text."""
    words = read_words(opener, sealed).model_dump()
    written = json.dumps({**words, "kind": kind}, ensure_ascii=False, sort_keys=True)
    parts = frozenset(name for name in domain.BILL_PARTS if words[name])
    return domain.Text(sealed, hashlib.sha256(written.encode()).hexdigest(), parts)


def act_of(actor: Actor, now: Any, not_before: Any = None) -> Act:
    """Who acts, by the roles of a token or a department's topic."""
    deputy: UUID | None = None
    if "deputy" in actor.roles:
        try:
            deputy = UUID(actor.person)
        except ValueError:
            raise errors.not_your_motion() from None
    return Act(
        actor.person,
        now if not_before is None else max(now, not_before),
        now,
        deputy=deputy,
        department=actor.organisation if "department" in actor.roles else None,
        staff_of=actor.organisation if "staff" in actor.roles else None,
    )


def draft_motion(
    motion: Motion | None, message: Received[contract.DraftMotion], context: Context
) -> Decision[Motion]:
    """A deputy begins a motion, perhaps out of a case."""
    if motion is not None:
        raise errors.motion_exists()
    data, author = message.data, act_of(message.sender(), message.now).deputy
    deputy = context.deputies.get(author) if author else None
    if deputy is None or not deputy.active:
        raise errors.deputy_unknown()
    if data.from_case is not None:
        case = context.cases.get(data.from_case)
        if case is None or deputy.id not in case.deputies:
            raise errors.case_not_yours()
    text = read_motion(context.opener, data.sealed, data.kind)
    new = Motion(
        id=subject_id(message),
        author_id=deputy.id,
        kind=data.kind,
        level=deputy.level,
        county=deputy.county,
        town=deputy.town,
        secret=data.secret,
        sealed=text.sealed,
        digest=text.digest,
        parts=tuple(sorted(text.parts)),
        from_case=data.from_case,
        drafted_at=message.now,
        changed_at=message.now,
    )
    return _decided(new, writing.draft(new), context)


def revise_motion(
    motion: Motion | None, message: Received[contract.ReviseMotion], context: Context
) -> Decision[Motion]:
    """The author changes the text."""
    found, data = _known(motion), message.data
    act = _act(found, message)
    if not domain.may_read(found, act):
        raise errors.motion_unknown()
    text = read_motion(context.opener, data.sealed, data.kind or found.kind)
    return _decided(found, writing.revise(found, act, text, kind=data.kind, secret=data.secret), context)


def invite_cosigners(
    motion: Motion | None, message: Received[contract.InviteCosigners], context: Context
) -> Decision[Motion]:
    """The author asks others to co-sign."""
    found = _known(motion)
    steps = writing.invite(found, _act(found, message), message.data.deputies, context.deputies)
    return _decided(found, steps, context)


def assign_motion(
    motion: Motion | None, message: Received[contract.AssignMotion], context: Context
) -> Decision[Motion]:
    """Staff assign a motion to departments that there are."""
    found, data = _known(motion), message.data
    if not {data.lead, *data.co_handlers} <= context.departments:
        raise errors.department_unknown()
    steps = handling.assign(
        found,
        _act(found, message),
        context.rules_at(message.now),
        lead=data.lead,
        co=data.co_handlers,
        reason=data.reason,
    )
    return _decided(found, steps, context)


def submit_motion(
    motion: Motion | None, message: Received[contract.SubmitMotion], context: Context
) -> Decision[Motion]:
    """The author submits it; who has left the congress meanwhile signs nothing."""
    found = _known(motion)
    rules = context.rules_at(message.now)
    act = _act(found, message)
    steps = writing.submit(found, act, rules, context.deputies, informed=message.data.informed)
    return _decided(found, steps, context)


def fall_due(
    motion: Motion | None, message: Received[contract.FallMotionDue], context: Context
) -> Decision[Motion]:
    """A deadline passes."""
    found, data = _known(motion), message.data
    return _decided(found, dates.fall_due(found, data.number, data.at), context)


def redate_motion(
    motion: Motion | None, message: Received[contract.RedateMotion], context: Context
) -> Decision[Motion]:
    """The calendar has changed; where no deadline moves, nobody is told."""
    found = _known(motion)
    redated = dates.redate(found, message.now, context.rules_at)
    if redated and not redated[0].detail["moved"]:
        return Decision(replace(found, **redated[0].change), found.version, [])
    return _decided(found, redated, context)


def answer_motion(
    motion: Motion | None, message: Received[contract.AnswerMotion], context: Context
) -> Decision[Motion]:
    """The lead department answers; its words are sealed before they rest."""
    found, data = _known(motion), message.data
    steps = handling.answer(
        found,
        _act(found, message),
        context.rules_at(message.now),
        result=data.result,
        sealed=context.sealer.seal({"text": data.text}),
        signed_by=data.signed_by,
        public=data.public,
        pledges=[promises.Pledge(context.sealer.seal({"text": p.text}), p.due) for p in data.promises],
    )
    return _decided(found, steps, context)


def report_promise(
    motion: Motion | None, message: Received[contract.ReportPromise], context: Context
) -> Decision[Motion]:
    """The department reports on a promise; its words are sealed before they rest."""
    found, data = _known(motion), message.data
    steps = promises.report_promise(
        found,
        _act(found, message),
        context.rules_at(message.now),
        number=data.promise,
        outcome=data.outcome,
        sealed=context.sealer.seal({"text": data.text}),
        due=data.due,
    )
    return _decided(found, steps, context)


Ask = Callable[[Motion, Act, Any, domain.Rules], tuple[Step, ...]]


def _step(ask: Ask) -> Decide[Motion]:
    """The decision on a command that needs no more than the motion, its data and the rules."""

    def decide(motion: Motion | None, message: Received[Any], context: Context) -> Decision[Motion]:
        found = _known(motion)
        rules = context.rules_at(message.now)
        return _decided(found, ask(found, _act(found, message), message.data, rules), context)

    return decide


def _known(motion: Motion | None) -> Motion:
    if motion is None:
        raise errors.motion_unknown()
    return motion


def _act(motion: Motion, message: Received[Any]) -> Act:
    return act_of(message.sender(), message.now, motion.changed_at)


def _decided(motion: Motion, steps: tuple[Step, ...], context: Context) -> Decision[Motion]:
    emissions: list[Emission] = []
    for step in steps:
        before, motion = motion, domain.evolve(motion, step)
        emissions += [
            Emission(fact, sequence=motion.version) for fact in _facts(before, motion, step, context)
        ]
        emissions += _to_departments(before, motion, step, context)
        if step.kind == "submitted" and before.submitted_at is None and motion.from_case is not None:
            referred = contract.CaseReferred(
                case_id=motion.from_case, deputy_id=motion.author_id, became="motion", motion_id=motion.id
            )
            emissions.append(Emission(referred, key=motion.from_case, sequence=motion.version))
    return Decision(motion, motion.version, emissions, time=max([motion.changed_at, *(s.at for s in steps)]))


# -- what others hear ------------------------------------------------------------------------------------

_SILENT: frozenset[domain.StepKind] = frozenset({"drafted", "cosigned", "declined", "uncosigned"})


def _fields(motion: Motion) -> dict[str, Any]:
    due, last = motion.next_due, motion.answers[-1] if motion.answers else None
    return {
        "motion_id": motion.id,
        "deputy_id": motion.author_id,
        "kind": motion.kind,
        "level": motion.level,
        "congress": motion.congress,
        "state": motion.state,
        "secret": motion.secret,
        "turned": motion.turned,
        "signers": motion.signers,
        "lead": motion.lead,
        "co_handlers": motion.co_handlers,
        "round": motion.round,
        "result": last.result if last else None,
        "on_time": last.on_time if last else None,
        "supervised": motion.supervised,
        "bill_outcome": motion.bill_outcome,
        "due_at": due.at if due else None,
        "from_case": motion.from_case,
    }


def _facts(before: Motion, motion: Motion, step: Step, context: Context) -> list[Contract]:
    """The events of a step; of a draft only what an invited deputy must hear."""
    fields = _fields(motion)
    match step.kind:
        case "invited":
            return [contract.MotionInvited(**fields, cosigner_id=step.deputy)]
        case "revised":
            return [
                contract.MotionInvited(**fields, cosigner_id=deputy, again=True)
                for deputy in step.detail["voided"]
            ]
        case "submitted":
            signed = [contract.MotionCosigned(**fields, cosigner_id=deputy) for deputy in motion.signers[1:]]
            return [contract.MotionSubmitted(**fields), *signed]
        case "assigned":
            return [contract.MotionAssigned(**fields)]
        case "answered":
            every = context.rules_at(step.at).motions.answers_to.value == "every-signer"
            return [
                contract.MotionAnswered(
                    **fields,
                    promises=step.detail["promises"],
                    public=motion.answers[-1].public,
                    to_every_signer=every,
                )
            ]
        case "rated" | "unsatisfied" | "cosigner-rated":
            return [
                contract.MotionRated(
                    **fields,
                    rater_id=step.deputy,
                    by_lead=step.kind != "cosigner-rated",
                    rated_round=step.detail["round"],
                    ratings=step.detail["values"],
                    late=step.detail["late"],
                )
            ]
        case "withdrawn" if before.submitted_at is None:
            return []
        case "redated":
            moved = [due for due in motion.deadlines if due.number in step.detail["moved"]]
            return [
                _progressed({**fields, "due_at": due.at, "owing": due.department, "deadline": due.kind}, step)
                for due in moved
            ]
        case "overdue":
            passed = {"due_at": step.detail["due"], "owing": step.department}
            return [_progressed({**fields, **passed}, step)]
        case "promise-reported" | "promise-rated":
            promise = motion.promises[step.detail["promise"] - 1]
            return [_progressed({**fields, "owing": promise.department}, step)]
        case kind if kind in _SILENT:
            return []
        case _:
            return [_progressed(fields, step)]


def _progressed(fields: Mapping[str, Any], step: Step) -> contract.MotionProgressed:
    said = ("ground", "promise", "outcome", "deadline")
    more = {name: step.detail[name] for name in said if name in step.detail}
    return contract.MotionProgressed.model_validate({**fields, "step": step.kind, **more})


def _to_departments(before: Motion, motion: Motion, step: Step, context: Context) -> list[Emission]:
    """What the departments concerned hear of a step on their own topics: dossiers, news, and recalls."""
    found: list[Emission] = []

    def say(department: str | None, data: Contract) -> None:
        if department is not None:
            found.append(Emission(data, topic=f"department.{department}.routed", sequence=motion.version))

    def told(name: Any, text: str | None = None) -> contract.DepartmentToldOfMotion:
        due = motion.next_due
        return contract.DepartmentToldOfMotion(
            motion_id=motion.id, step=name, state=motion.state, due_at=due.at if due else None, text=text
        )

    def holding(of: Motion) -> set[str]:
        return {h.department for h in of.handlers if h.state != "released"}

    match step.kind:
        case "assigned":
            roles = {(h.department, h.role, h.since) for h in before.handlers if h.state == "assigned"}
            for h in motion.handlers:
                if h.state == "assigned" and (h.department, h.role, h.since) not in roles:
                    say(h.department, _dossier(motion, h.department, context))
            for department in sorted(holding(before) - holding(motion)):
                say(department, told("recalled"))
        case "unsatisfied":
            say(motion.lead, told("rated"))
            say(motion.lead, _dossier(motion, str(motion.lead), context))
        case "rated":
            say(motion.lead, told("rated"))
        case "opinion":
            say(motion.lead, told("opinion", step.note))
        case "extension-granted":
            say(motion.lead, told("extension-granted", step.note))
        case "extension-refused":
            say(motion.lead, told("extension-refused", step.note))
        case "supervised":
            say(motion.lead, told("supervised", step.note))
        case "promise-rated":
            number = step.detail["promise"]
            say(motion.promises[number - 1].department, told("promise-rated"))
        case "unstated":
            say(motion.lead, told("unstated"))
        case "overdue":
            due_at = datetime.fromisoformat(step.detail["due"])
            say(step.department, told("overdue").model_copy(update={"due_at": due_at}))
        case "redated":
            moved = [due for due in motion.deadlines if due.number in step.detail["moved"]]
            for due in moved:
                say(due.department, told("redated").model_copy(update={"due_at": due.at}))
        case "withdrawn":
            for department in sorted(holding(before)):
                say(department, told("recalled"))
        case _:
            pass
    return found


def _dossier(motion: Motion, department: str, context: Context) -> contract.MotionDossier:
    words = read_words(context.opener, motion.sealed)
    is_lead = department == motion.lead
    due = (
        motion.open_due("answer") or motion.open_due("redo")
        if is_lead
        else motion.open_due("opinion", department)
    )
    return contract.MotionDossier(
        motion_id=motion.id,
        kind=motion.kind,
        number=motion.number,
        **words.model_dump(),
        role="lead" if is_lead else "co-handler",
        round=motion.round,
        secret=motion.secret,
        supervised=motion.supervised,
        due_at=due.at if due else None,
        due_reason=due.reason if due else None,
    )


class MotionDesk(Desk[Motion]):
    """The desk of motions; tells a department on its own topic when its reply is refused."""

    def refused(self, message: Received[Any], refusal: Refusal, work: Work) -> None:
        """Send the refusal to the department that wrote to its replies topic."""
        department = REPLIES.match(message.position.topic)
        if department is not None:
            subject = message.envelope.subject
            told = contract.MotionReplyRefused(
                motion_id=subject, reply_id=message.envelope.id, code=refusal.code, detail=refusal.detail
            )
            work.emit(message, told, subject=subject, topic=f"department.{department[1]}.routed")


DECISIONS: dict[type[Contract], Decide[Motion]] = {
    contract.DraftMotion: draft_motion,
    contract.ReviseMotion: revise_motion,
    contract.InviteCosigners: invite_cosigners,
    contract.CosignMotion: _step(lambda motion, act, data, _: writing.cosign(motion, act, data.digest)),
    contract.DeclineMotion: _step(lambda motion, act, _, __: writing.decline(motion, act)),
    contract.UncosignMotion: _step(lambda motion, act, _, __: writing.uncosign(motion, act)),
    contract.SubmitMotion: submit_motion,
    contract.WithdrawMotion: _step(lambda motion, act, data, _: handling.withdraw(motion, act, data.reason)),
    contract.GiveBackMotion: _step(lambda motion, act, data, _: handling.give_back(motion, act, data.reason)),
    contract.AcceptMotion: _step(
        lambda motion, act, data, rules: handling.accept(
            motion, act, rules, number=data.number, turn=data.turn, reason=data.reason
        )
    ),
    contract.RefuseMotion: _step(
        lambda motion, act, data, rules: handling.refuse(
            motion, act, rules, ground=data.ground, reason=data.reason
        )
    ),
    contract.ReferBill: _step(
        lambda motion, act, data, rules: bills.refer(
            motion, act, rules, committee=data.committee, reason=data.reason
        )
    ),
    contract.AdviseOnBill: _step(
        lambda motion, act, data, rules: bills.advise(motion, act, rules, advice=data.advice, text=data.text)
    ),
    contract.DecideOnBill: _step(
        lambda motion, act, data, rules: bills.decide(
            motion, act, rules, decision=data.decision, reason=data.reason
        )
    ),
    contract.ConcludeBill: _step(
        lambda motion, act, data, _: bills.conclude(motion, act, outcome=data.outcome, reason=data.reason)
    ),
    contract.AssignMotion: assign_motion,
    contract.ObjectToMotion: _step(
        lambda motion, act, data, rules: handling.object_to(motion, act, rules, data.reason)
    ),
    contract.ContactDeputy: _step(
        lambda motion, act, data, _: handling.contact(motion, act, on=data.on, form=data.form, note=data.note)
    ),
    contract.GiveMotionOpinion: _step(
        lambda motion, act, data, _: handling.give_opinion(motion, act, data.text)
    ),
    contract.AskMotionExtension: _step(
        lambda motion, act, data, rules: handling.ask_extension(
            motion, act, rules, more=data.more, reason=data.reason
        )
    ),
    contract.DecideMotionExtension: _step(
        lambda motion, act, data, rules: handling.decide_extension(
            motion, act, rules, granted=data.granted, reason=data.reason
        )
    ),
    contract.AnswerMotion: answer_motion,
    contract.SuperviseMotion: _step(
        lambda motion, act, data, _: handling.supervise(motion, act, data.reason)
    ),
    contract.RateMotion: _step(
        lambda motion, act, data, rules: handling.rate(motion, act, rules, data.ratings)
    ),
    contract.ReportPromise: report_promise,
    contract.FallMotionDue: fall_due,
    contract.RedateMotion: redate_motion,
    contract.RatePromise: _step(
        lambda motion, act, data, rules: promises.rate_promise(
            motion, act, rules, number=data.promise, value=data.rating
        )
    ),
}


# -- what became of a case -------------------------------------------------------------------------------


def refer_case(
    referral: Referral | None, message: Received[contract.ReferCase], context: Context
) -> Decision[Referral]:
    """The filer, a follower or staff of the place put a case forward as a lead for a livelihood project 民生实事线索."""
    if referral is not None:
        raise errors.referral_exists()
    who, case_id = message.sender(), message.data.case_id
    case = context.cases.get(case_id)
    if case is None or not (
        ("staff" in who.roles and who.reaches(case.county, case.town))
        or act_of(who, message.now).deputy in case.deputies
    ):
        raise errors.case_not_yours()
    if not case.deputies:
        raise errors.case_without_deputy()
    made = Referral(
        id=subject_id(message),
        case_id=case_id,
        deputy_id=case.deputies[0],
        became="project-lead",
        actor=who.person,
        at=message.now,
        reason=message.data.reason,
    )
    fact = contract.CaseReferred(case_id=case_id, deputy_id=made.deputy_id, became="project-lead")
    return Decision(made, 1, (Emission(fact, key=case_id),), time=message.now)


ON_REFERRALS: dict[type[Contract], Decide[Referral]] = {contract.ReferCase: refer_case}
