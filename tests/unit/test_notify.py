"""Events become notices: who is told what, and that the pages have words for it."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from deploy.local.runfolder import CHECKOUT
from services.notify.consumers import EVENT_TOPICS, handlers
from services.notify.domain import (
    Deputies,
    Kind,
    Notice,
    OnePerson,
    SameDeputies,
    StaffOf,
)
from services.notify.handlers import NOTICES, reader_of
from shared.contracts import cases, evaluation, learning, motions, participation
from shared.contracts.envelope import Actor
from shared.contracts.registry import Contract
from shared.messaging.received import Position, Received
from shared.testing.messages import encoded, message

NOW = datetime(2022, 3, 1, 9, tzinfo=UTC)
ANNA = UUID(int=0xA)
SUBJECT = UUID(int=1)
FACT: dict[str, Any] = {
    "case_id": SUBJECT,
    "deputy_id": ANNA,
    "category": "城乡建设",
    "county": "330203",
    "town": "330203100",
    "department": "housing",
    "co_handlers": ("parks",),
    "answer_by": NOW + timedelta(days=5),
}
ROUTED = cases.CaseRouted(**FACT, state="routed", reason="2 words of category 城乡建设")
RETURNED = cases.CaseProgressed(**{**FACT, "department": None}, state="triage", step="returned")
ACTIVITY = participation.ActivityAnnounced(
    activity_id=SUBJECT,
    title="主题月",
    kind="theme",
    county=None,
    starts_at=NOW,
    ends_at=NOW + timedelta(hours=2),
)
OPENED = participation.ConsultationOpened(
    consultation_id=SUBJECT, title="条例草案", kind="legislation", county="330203", closes_at=NOW
)
CLOSED = participation.ConsultationClosed(consultation_id=SUBJECT, respondents=10, opinions=3)
COURSE = learning.CoursePublished(course_id=SUBJECT, title="初任培训", levels=("county", "town"), minutes=90)


def duty(state: Any) -> participation.DutyLogged:
    return participation.DutyLogged(
        duty_id=SUBJECT, deputy_id=ANNA, state=state, kind="visit", happened_on=date(2022, 2, 3)
    )


def progressed(step: Any, state: Any) -> cases.CaseProgressed:
    return cases.CaseProgressed(**FACT, state=state, step=step, result="solved")


STEPS = get_args(cases.CaseProgressed.model_fields["step"].annotation)
UNTOLD = ("submitted", "contact-erased", "link-closed")
"""What is the resident's own business; a submission is told as the resident's."""
BY_RESIDENT = ("submitted", "supplied", "resident-rated", "reopened", "objected", "withdrawn", "erased")
MOTION: dict[str, Any] = {
    "motion_id": SUBJECT,
    "deputy_id": ANNA,
    "kind": "suggestion",
    "level": "county",
    "congress": "330203",
    "signers": (ANNA, UUID(int=0xB)),
    "lead": "housing",
    "co_handlers": ("roads",),
    "due_at": NOW,
}
MOTION_STEPS = (
    *("returned", "accepted", "turned", "refused", "objected", "co-objected", "opinion", "supervised"),
    *("extension-asked", "extension-granted", "extension-refused", "promise-reported"),
    *("withdrawn", "unstated", "referred", "advised", "tabled", "explained", "concluded"),
)
RATED = {"rater_id": ANNA, "rated_round": 1, "ratings": {"result": "unsatisfied"}}
COSIGNER = UUID(int=0xB)
MOTIONS: list[Contract] = [
    motions.MotionInvited(**MOTION, state="draft", cosigner_id=COSIGNER),
    motions.MotionInvited(**MOTION, state="draft", cosigner_id=COSIGNER, again=True),
    motions.MotionCosigned(**MOTION, state="submitted", cosigner_id=COSIGNER),
    motions.MotionSubmitted(**MOTION, state="submitted"),
    motions.MotionAssigned(**MOTION, state="assigned"),
    *(motions.MotionProgressed(**MOTION, state="assigned", step=step) for step in MOTION_STEPS),
    motions.MotionProgressed(**MOTION, state="assigned", step="overdue", deadline="answer", owing="housing"),
    motions.MotionProgressed(**MOTION, state="assigned", step="redated", deadline="answer", owing="roads"),
    motions.MotionProgressed(**MOTION, state="answered", step="redated", deadline="unstated"),
    motions.MotionProgressed(**MOTION, state="closed", step="promise-rated", promise=1, owing="roads"),
    motions.MotionAnswered(**MOTION, state="answered", to_every_signer=False),
    motions.MotionRated(**MOTION, **RATED, state="closed", by_lead=True),
    motions.MotionRated(**MOTION, **RATED, state="redo", by_lead=True),
    motions.CaseReferred(case_id=SUBJECT, deputy_id=ANNA, became="project-lead"),
]


def appeal(state: evaluation.AppealState) -> evaluation.ScoreAppealed:
    return evaluation.ScoreAppealed(
        appeal_id=UUID(int=9), deputy_id=ANNA, county="330203", congress="330203005", kind="wrong",
        item="case-filed", state=state,
    )  # fmt: skip


EVENTS: list[Contract] = [
    *(appeal(state) for state in ("open", "upheld", "dismissed")),
    *MOTIONS,
    evaluation.ArchiveNoted(
        note_id=UUID(int=9), deputy_id=ANNA, part="reports", happened_on=date(2021, 12, 1), state="noted"
    ),
    ROUTED,
    cases.CaseFiled(**FACT, state="triage", unrouted=True),
    progressed("accepted", "accepted"),
    *(progressed(step, "in-progress") for step in STEPS if step not in ("accepted", "returned", *UNTOLD)),
    *(progressed(step, "submitted").model_copy(update={"by_resident": True}) for step in BY_RESIDENT),
    progressed("urged", "routed").model_copy(update={"by_system": True}),
    RETURNED,
    cases.CaseClosed(**FACT, state="closed", result="explained"),
    cases.CaseRated(**FACT, state="closed", stars=4),
    ACTIVITY,
    OPENED,
    CLOSED,
    COURSE,
    learning.CourseCompleted(course_id=SUBJECT, deputy_id=ANNA, minutes=90, mark=95),
    duty("confirmed"),
    duty("rejected"),
]


def received(data: Contract, event: UUID | None = None) -> Received[Any]:
    envelope = message(data, subject=SUBJECT, message_id=event, time=NOW)
    position = Position(envelope.type, 0, 0, NOW)
    return Received(envelope, data, position, b"k", encoded(envelope), NOW, is_command=False)


def told(data: Contract, event: UUID | None = None) -> dict[Kind, Notice]:
    notices = NOTICES[type(data)](received(data, event))
    found = {notice.kind: notice for notice in notices}
    assert len(found) == len(notices)
    return found


def test_the_filing_deputy_and_the_department_learn_of_a_routed_case() -> None:
    found = told(ROUTED)
    assert found["case.routed"].to == OnePerson(str(ANNA))
    assert found["case.assigned"].to == OnePerson("department:housing")
    assert found["case.assigned"].parameters == {
        "category": "城乡建设",
        "county": "330203",
        "town": "330203100",
    }
    assert found["case.routed"].parameters["town"] == "330203100"


def test_staff_learn_of_a_new_case_only_where_no_rule_could_route_it() -> None:
    filed = cases.CaseFiled(**{**FACT, "department": None}, state="triage")
    assert told(filed) == {}
    assert told(filed.model_copy(update={"unrouted": True}))["case.unrouted"].to == StaffOf("330203")


def test_an_objection_is_told_to_staff_who_answer_it_by_a_date_and_to_the_deputy() -> None:
    fact = progressed("objected", "submitted").model_copy(update={"by_resident": True, "take_up_by": NOW})
    found = told(fact)
    assert {kind: notice.to for kind, notice in found.items()} == {
        "concern.objected": OnePerson(str(ANNA)),
        "concern.to-review": StaffOf("330203"),
    }
    assert found["concern.to-review"].parameters["take_up_by"] == NOW.isoformat()


def test_a_deputy_learns_that_staff_declined_a_case_and_not_of_the_own_declining() -> None:
    assert told(progressed("declined", "declined"))["case.declined"].to == OnePerson(str(ANNA))
    own = progressed("declined", "declined").model_copy(update={"by_deputy": True})
    assert told(own) == {}


def test_who_is_to_close_an_answered_case_is_told_first_the_deputy_then_staff() -> None:
    assert told(progressed("close-reminded", "answered"))["case.close-reminder"].to == OnePerson(str(ANNA))
    assert told(progressed("close-late", "answered"))["case.close-late"].to == StaffOf("330203")
    assert told(progressed("triage-late", "triage"))["case.triage-late"].to == StaffOf("330203")


def test_staff_who_filed_a_case_themselves_hear_of_it_where_it_is_on_them_to_act() -> None:
    own = {**FACT, "deputy_id": None, "origin": "staff", "town": "330203001"}
    heard = {
        step: NOTICES[cases.CaseProgressed](received(cases.CaseProgressed(**own, state="routed", step=step)))
        for step in STEPS
    }
    theirs = {step for step, found in heard.items() if any(one.to == StaffOf("330203001") for one in found)}
    assert theirs == {"asked", "answered", "close-reminded"}
    assert not any(one.to == OnePerson("None") for found in heard.values() for one in found)
    assert set(told(cases.CaseRouted(**own, state="routed", reason="x"))) == {"case.assigned"}
    assert told(cases.CaseClosed(**own, state="closed")) == {}


def test_a_returned_case_is_told_to_the_deputy_and_to_the_staff_of_its_county() -> None:
    found = told(RETURNED)
    assert found["case.returned"].to == OnePerson(str(ANNA))
    assert found["case.triage"].to == StaffOf("330203")


def test_the_department_learns_how_it_was_rated_and_the_deputy_is_not_told_of_the_own_act() -> None:
    found = told(cases.CaseRated(**FACT, state="closed", stars=4))
    assert {kind: notice.to for kind, notice in found.items()} == {
        "case.rated": OnePerson("department:housing")
    }
    assert found["case.rated"].parameters == {"stars": 4, "county": "330203", "town": "330203100"}


def test_staff_of_the_deputys_congress_learn_of_an_appeal_and_the_deputy_of_its_decision_alone() -> None:
    assert told(appeal("open"))["appeal.filed"].to == StaffOf("330203005")
    of_city = appeal("open").model_copy(update={"congress": None})
    assert told(of_city)["appeal.filed"].to == StaffOf(None)
    earlier = evaluation.ScoreAppealed.model_validate(appeal("open").model_dump(exclude={"congress"}))
    assert told(earlier)["appeal.filed"].to == StaffOf("330203"), "written before events told the congress"
    assert told(appeal("upheld"))["appeal.upheld"].to == OnePerson(str(ANNA))
    assert told(appeal("dismissed"))["appeal.dismissed"].to == OnePerson(str(ANNA))
    assert told(appeal("withdrawn")) == {}


@pytest.mark.parametrize("state", ["declared", "withdrawn"])
def test_ones_own_steps_with_a_duty_are_not_told(state: str) -> None:
    assert told(duty(state)) == {}


def test_what_is_for_many_is_one_notice_with_an_audience() -> None:
    assert told(ACTIVITY)["activity.announced"].to == Deputies(None)
    assert told(OPENED)["consultation.opened"].to == Deputies("330203")
    assert told(COURSE)["course.published"].to == Deputies(levels=("county", "town"))


def test_the_end_of_a_consultation_is_for_those_who_were_asked_whenever_that_becomes_known() -> None:
    assert told(CLOSED)["consultation.closed"].to == SameDeputies("consultation.opened")


@pytest.mark.parametrize("data", EVENTS, ids=lambda data: type(data).__name__)
def test_an_event_makes_the_same_notices_each_time_and_another_event_makes_others(data: Contract) -> None:
    event = uuid4()
    first, again, other = told(data, event), told(data, event), told(data, uuid4())
    assert first == again
    assert first
    assert not {n.id for n in first.values()} & {n.id for n in other.values()}
    assert len({n.id for n in first.values()}) == len(first)


def test_every_signer_learns_of_an_answer_that_goes_to_each_of_them_and_the_author_alone_otherwise() -> None:
    def asked(*, every: bool) -> set[Any]:
        answered = motions.MotionAnswered(**MOTION, state="answered", to_every_signer=every)
        return {one.to for one in NOTICES[type(answered)](received(answered))}

    assert asked(every=True) == {OnePerson(str(ANNA)), OnePerson(str(COSIGNER))}
    assert asked(every=False) == {OnePerson(str(ANNA))}


def test_a_cosigners_rating_is_told_to_nobody_and_the_leads_to_the_department() -> None:
    theirs = motions.MotionRated(**MOTION, **RATED, state="answered", by_lead=False)
    assert told(theirs) == {}
    again = told(motions.MotionRated(**MOTION, **RATED, state="redo", by_lead=True))
    assert again["work.motion-redo"].to == OnePerson("department:housing")
    assert again["motion.redo"].to == StaffOf("330203")


def test_what_is_overdue_is_told_to_who_owes_it_and_to_staff_and_an_answer_to_the_author_as_well() -> None:
    def late(kind: Any, owing: str | None) -> dict[Kind, Any]:
        fact = {**MOTION, "step": "overdue", "deadline": kind, "owing": owing}
        return {k: n.to for k, n in told(motions.MotionProgressed(**fact, state="assigned")).items()}

    staff, owing = StaffOf("330203"), OnePerson("department:roads")
    assert late("opinion", "roads") == {"motion.overdue": staff, "work.motion-overdue": owing}
    assert late("promise", "roads") == {"motion.overdue": staff, "work.motion-overdue": owing}
    assert late("assign", None) == {"motion.overdue": staff}
    for kind in ("answer", "redo"):
        assert late(kind, "roads")["motion.late"] == OnePerson(str(ANNA))
    said = told(
        motions.MotionProgressed(
            **MOTION, state="assigned", step="overdue", deadline="opinion", owing="roads"
        )
    )
    assert said["motion.overdue"].parameters["deadline"] == "opinion"


def test_a_date_counted_again_is_told_to_whom_it_binds_now_and_to_nobody_else() -> None:
    def moved(kind: Any, owing: str | None) -> dict[Kind, Any]:
        fact = {**MOTION, "step": "redated", "deadline": kind, "owing": owing}
        return {k: n.to for k, n in told(motions.MotionProgressed(**fact, state="redo")).items()}

    assert moved("redo", "roads") == {"work.motion-redated": OnePerson("department:roads")}
    assert moved("unstated", None) == {"motion.redated": OnePerson(str(ANNA))}
    assert moved("committee", None) == {"motion.redated": StaffOf("330203")}


def test_the_rating_of_a_promise_is_told_to_who_made_it_whoever_leads_now() -> None:
    rated = motions.MotionProgressed(**MOTION, state="closed", step="promise-rated", promise=1, owing="roads")
    assert {k: n.to for k, n in told(rated).items()} == {
        "work.motion-promise-rated": OnePerson("department:roads")
    }


def test_a_notice_keeps_the_business_time_of_its_event() -> None:
    assert {notice.at for data in EVENTS for notice in told(data).values()} == {NOW}


def sentences(language: str) -> dict[str, str]:
    """What the pages say of each kind."""
    said = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))["noticed"]
    return {
        f"{about}.{what}": text
        for about, kinds in said.items()
        if isinstance(kinds, dict) and about != "became"
        for what, text in kinds.items()
    }


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_kind_is_made_by_some_event_and_has_a_sentence(language: str) -> None:
    made = {kind for data in EVENTS for kind in told(data)}
    assert made == set(get_args(Kind)) == set(sentences(language))


def test_every_event_type_that_makes_notices_is_read_and_handled() -> None:
    assert {type(data) for data in EVENTS} == set(NOTICES)
    assert set(NOTICES) <= set(handlers())
    assert len(EVENT_TOPICS) == len(set(EVENT_TOPICS)) == len(NOTICES) + 1


@pytest.mark.parametrize("data", EVENTS, ids=lambda data: type(data).__name__)
def test_a_sentence_has_no_gap_that_its_notice_leaves_open_without_a_word(data: Contract) -> None:
    page = (CHECKOUT / "web/src/shell/noticed.ts").read_text("utf-8")
    listed = re.search(r"OFTEN_OPEN = \[(.*?)\]", page)
    assert listed is not None
    often_open = set(re.findall(r"'(\w+)'", listed[1]))
    for kind, notice in told(data).items():
        known = {name for name, value in notice.parameters.items() if value is not None}
        if isinstance(notice.to, SameDeputies):
            known |= set(told(OPENED)[notice.to.kind].parameters)
        assert set(re.findall(r"\{(\w+)\}", sentences("zh")[kind])) <= known | often_open


@pytest.mark.parametrize("data", EVENTS, ids=lambda data: type(data).__name__)
def test_parameters_are_small_and_hold_none_of_the_reasons_people_write(data: Contract) -> None:
    for notice in told(data).values():
        assert "reason" not in notice.parameters
        assert len(str(dict(notice.parameters))) < 400


def test_only_staff_read_what_is_for_the_staff_of_a_place() -> None:
    staff = Actor("s", frozenset({"staff"}), "3302")
    department = Actor("department:housing", frozenset({"department"}), "housing")
    assert reader_of(staff).congress == "3302"
    assert reader_of(department).congress is None
    assert reader_of(department).deputy_id is None
