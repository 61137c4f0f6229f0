"""The life of a case and its first routing, as pure functions."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast, get_args
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.local.runfolder import CHECKOUT
from services.cases import api, dates, domain, following, handlers, steps
from services.cases.deadlines.reckoning import CHINA, Limit
from services.cases.deadlines.rules import Setting
from services.cases.domain import FINISHED, STEPS, Act, Case, Clock, Event, Route, Rules
from services.cases.routing.catalogue import Catalogue, Department, Rule
from services.cases.routing.desk import judge_texts
from services.cases.routing.rules_file import shipped_taxonomy
from services.cases.store import Context
from shared.contracts import cases as contract
from shared.contracts.envelope import Actor
from shared.messaging.received import Received
from shared.refusals import Refusal
from shared.security.sealing import Opener, Sealer, new_private_key
from tests.case_rules import RULES, MondayOff, Weekdays, days

START = datetime(2021, 7, 15, tzinfo=UTC)
DEPUTY = UUID(int=1)
ROADS = Department("roads", frozenset({"交通运输"}), frozenset())
HOUSING = Department("housing", frozenset({"城乡建设"}), frozenset())

OTHER = UUID(int=2)
HELD = {"routed", "accepted", "in-progress"}
AT_WORK = {"accepted", "in-progress"}
BUSY = HELD | {"waiting"}


@dataclass
class Asked:
    """One thing that can be asked of a case, with the states in which it is possible."""

    ask: Callable[[Case, datetime], tuple[Event, ...]]
    states: set[str]
    but: Callable[[Case], bool] = lambda _: True


def by(at: datetime, department: str | None = None, *, staff: bool = False, actor: str | None = None) -> Act:
    who = actor or (f"department:{department}" if department else "staff" if staff else str(DEPUTY))
    return Act(who, at, at, department=department, is_staff=staff)


def parent(state: str = "routed") -> Case:
    return replace(filed(Route("roads", None, "by hand")), state=state)  # type: ignore[arg-type]


def resident(at: datetime) -> Act:
    return Act("resident", at, at, is_resident=True)


NEW = {"submitted"}
ENDING = NEW | BUSY | {"triage"}
ASKED: dict[str, Asked] = {
    "take-up": Asked(lambda c, at: steps.take_up(c, by(at), Route("roads", "交通运输", "x"), RULES), NEW),
    "take-up-unrouted": Asked(lambda c, at: steps.take_up(c, by(at, staff=True), None, RULES), NEW),
    "explain": Asked(lambda c, at: steps.explain(c, by(at), "because"), NEW, lambda c: not c.objected),
    "staff-explain": Asked(lambda c, at: steps.explain(c, by(at, staff=True), "because"), NEW),
    "decline": Asked(lambda c, at: steps.decline(c, by(at), "in court"), NEW, lambda c: not c.objected),
    "staff-decline": Asked(lambda c, at: steps.decline(c, by(at, staff=True), "in court"), NEW | {"triage"}),
    "split": Asked(
        lambda c, at: steps.split(c, by(at, staff=True), uuid4(), "two matters"),
        BUSY | {"triage", "answered"},
        lambda c: not c.erased,
    ),
    "resident-supply": Asked(lambda c, at: steps.supply(c, resident(at), "sealed", RULES), {"waiting"}),
    "resident-rate": Asked(lambda c, at: steps.rate_as_resident(c, resident(at), 2, 3, None), {"closed"}),
    "resident-withdraw": Asked(lambda c, at: steps.withdraw(c, resident(at), ""), ENDING),
    "resident-reopen": Asked(
        lambda c, at: steps.reopen(c, resident(at), None, RULES, sealed="why"),
        {"answered", "closed"},
        lambda c: c.department is not None and not c.erased,
    ),
    "object": Asked(
        lambda c, at: steps.object_to(c, resident(at), RULES, sealed="why"),
        {"closed", "declined"},
        lambda c: c.department is None and c.receipt is not None and not c.objected and not c.erased,
    ),
    "erase": Asked(lambda c, at: steps.erase(c, resident(at)), set(domain.STATES)),
    "erase-contact": Asked(lambda c, at: steps.erase_contact(c, resident(at)), set(domain.STATES)),
    "close-link": Asked(lambda c, at: steps.close_link(c, resident(at)), set(domain.STATES)),
    "route": Asked(
        lambda c, at: steps.route(c, by(at, staff=True), Route("roads", None, "x"), RULES), {"triage"}
    ),
    "transfer": Asked(
        lambda c, at: steps.transfer(c, by(at, staff=True), Route("housing", None, "x"), RULES, note="n"),
        HELD,
        lambda c: c.department != "housing",
    ),
    "accept": Asked(lambda c, at: steps.accept(c, by(at, c.department or "roads")), {"routed"}),
    "progress": Asked(lambda c, at: steps.progress(c, by(at, c.department or "roads"), "half"), AT_WORK),
    "ask": Asked(lambda c, at: steps.ask(c, by(at, c.department or "roads"), "where?"), AT_WORK),
    "supply": Asked(lambda c, at: steps.supply(c, by(at), "sealed", RULES), {"waiting"}),
    "return": Asked(
        lambda c, at: steps.hand_back(c, by(at, c.department or "roads"), "not ours", RULES),
        {"routed", "accepted"},
        lambda c: not c.designated,
    ),
    "extension": Asked(
        lambda c, at: steps.ask_extension(c, by(at, c.department or "roads"), 4, "more", RULES),
        AT_WORK,
        lambda c: c.extension_asked is None and c.clock is not None and len(c.clock.extensions) < 2,
    ),
    "grant": Asked(
        lambda c, at: steps.decide_extension(c, by(at, staff=True), granted=True, reason="", rules=RULES),
        AT_WORK,
        lambda c: c.extension_asked is not None,
    ),
    "refuse": Asked(
        lambda c, at: steps.decide_extension(c, by(at, staff=True), granted=False, reason="", rules=RULES),
        AT_WORK,
        lambda c: c.extension_asked is not None,
    ),
    "co-handle": Asked(
        lambda c, at: steps.co_handle(c, by(at, staff=True), ["parks"], ""),
        BUSY,
        lambda c: "parks" not in c.co_handlers,
    ),
    "opinion": Asked(
        lambda c, at: steps.give_opinion(c, by(at, "parks"), "yes"), BUSY, lambda c: "parks" in c.co_handlers
    ),
    "answer": Asked(
        lambda c, at: steps.answer(c, by(at, c.department or "roads"), result="solved", text="done"), HELD
    ),
    "close": Asked(lambda c, at: steps.close(c, by(at), None), {"answered"}),
    "rate": Asked(lambda c, at: steps.rate(c, by(at), 4), {"closed"}),
    "reopen": Asked(
        lambda c, at: steps.reopen(c, by(at), "still broken", RULES),
        {"answered", "closed"},
        lambda c: c.department is not None and not c.erased,
    ),
    "urge": Asked(lambda c, at: steps.urge(c, by(at), ""), HELD),
    "supervise": Asked(lambda c, at: steps.supervise(c, by(at, staff=True), "old"), BUSY),
    "withdraw": Asked(lambda c, at: steps.withdraw(c, by(at), ""), ENDING, lambda c: c.receipt is None),
    "merge": Asked(lambda c, at: steps.merge(c, by(at, staff=True), parent(), ""), BUSY | {"triage"}),
}


def filed(route_to: Route | None = None) -> Case:
    case = Case(uuid4(), DEPUTY, "330203", None, "own", "sealed", START, START)
    return after(case, steps.file(case, route_to, RULES))


def submitted() -> Case:
    """What a resident has just put to the deputy."""
    case = replace(filed(), version=0, steps=(), origin="resident", receipt="R", follow="f", contact="sealed")
    return after(case, steps.submit(case, RULES, by="resident"))


def after(case: Case, events: Iterable[Event]) -> Case:
    for event in events:
        case = domain.evolve(case, event)
    return case


def did(case: Case, *names: str, at: datetime = START) -> Case:
    for name in names:
        case = after(case, ASKED[name].ask(case, at))
    return case


@settings(max_examples=300)
@example(False, [("route", 0), ("erase", 0)])  # one command, two steps
@given(st.booleans(), st.lists(st.tuples(st.sampled_from(sorted(ASKED)), st.integers(0, 12)), max_size=30))
def test_a_case_takes_exactly_the_steps_of_its_state_machine(
    by_resident: bool, script: list[tuple[str, int]]
) -> None:
    case, at = submitted() if by_resident else filed(), START
    for name, hours in script:
        at += timedelta(hours=hours)
        asked, before = ASKED[name], case
        allowed = before.state in asked.states and asked.but(before)
        try:
            case = after(case, asked.ask(case, at))
        except Refusal as refusal:
            late = refusal.code.endswith("-too-late")
            assert late or not allowed, (name, before.state)
            continue
        assert allowed, (name, before.state)
        reached = before
        for event in case.steps[len(before.steps) :]:
            assert reached.state in STEPS[event.step].before, "no path leaves the diagram"
            reached = domain.evolve(reached, event)
        assert reached == case
        assert len(case.steps) == case.version
        assert case.changed_at >= before.changed_at
        if case.state not in ("withdrawn", "merged", "closed"):
            assert (case.department is None) == (case.state in ("triage", "submitted", "declined"))
        if case.erased:
            assert case.contact is None
            assert case.state in FINISHED | {"answered"}, "nobody could handle it any more"
        if case.state in BUSY:
            assert case.answer_by is not None
            assert case.dates_reason, "every deadline has a reason"
            for why in (case.dates_why, case.accept_why):
                assert why[0].code == "limit", "and pages can word it in another language"
        assert bool(case.accept_by) == bool(case.accept_why), (
            "no date without its reason, no reason without it"
        )
        assert set(dates.due(case, RULES)) <= set(get_args(dates.Due))
        assert case.state not in FINISHED or set(dates.due(case, RULES)) <= {"rating"}, "nothing else is due"


@given(st.lists(st.tuples(st.sampled_from(sorted(ASKED)), st.integers(0, 48)), max_size=30), st.data())
def test_what_falls_due_is_always_possible_and_ends(
    script: list[tuple[str, int]], data: st.DataObject
) -> None:
    case, at = data.draw(st.sampled_from([filed(Route("roads", None, "x")), submitted()])), START
    for name, hours in script:
        at += timedelta(hours=hours)
        with contextlib.suppress(Refusal):
            case = after(case, ASKED[name].ask(case, at))
    for _ in range(6):
        ripe = dates.due(case, RULES)
        if not ripe:
            break
        kind, moment = data.draw(st.sampled_from(sorted(ripe.items(), key=lambda pair: pair[0])))
        events = dates.fall_due(case, kind, moment, RULES)
        assert events, "what is noted as due does something"
        assert all(event.at >= moment for event in events)
        case = after(case, events)
        assert dates.fall_due(case, kind, moment, RULES) == (), "and does it once"
    else:
        pytest.fail("something falls due for ever")


@dataclass(frozen=True)
class OtherDays:
    """Another calendar: which days of the week are worked."""

    worked: frozenset[int]
    version: str = "other"

    def is_working_day(self, day: date) -> bool:
        return day.weekday() in self.worked

    def is_official(self, day: date) -> bool:
        return bool(day)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ASKED)), st.integers(0, 48)), max_size=20),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.data(),
)
def test_what_another_calendar_dates_differently_is_done_or_stays_due(
    script: list[tuple[str, int]], worked: frozenset[int], data: st.DataObject
) -> None:
    case, at = data.draw(st.sampled_from([filed(Route("roads", None, "x")), submitted()])), START
    for name, hours in script:
        at += timedelta(hours=hours)
        with contextlib.suppress(Refusal):
            case = after(case, ASKED[name].ask(case, at))
    other = Rules(OtherDays(worked), RULES.cases)
    for kind, noted in dates.due(case, RULES).items():
        told = SimpleNamespace(data=contract.FallDue(due=kind, at=noted), now=noted, envelope=None)
        context = replace(CONTEXT, rules_at=lambda _: other)
        decision = handlers.fall_due(case, cast("Received[Any]", told), context)
        assert decision.state is not case, "its row is gone, so what is due must be written anew"
        if decision.state == case:
            assert dates.due(case, other)[kind] > noted
        else:
            assert decision.state.steps[-1].actor == "system"


def test_a_department_that_does_not_hold_the_case_can_do_nothing_with_it() -> None:
    case = did(filed(Route("roads", None, "x")), "accept", "co-handle")
    foreign = by(START, "housing")
    for ask in (
        lambda: steps.accept(case, foreign),
        lambda: steps.progress(case, foreign, "x"),
        lambda: steps.ask(case, foreign, "x"),
        lambda: steps.hand_back(case, foreign, "x", RULES),
        lambda: steps.ask_extension(case, foreign, 1, "x", RULES),
        lambda: steps.answer(case, foreign, result="solved", text="x"),
        lambda: steps.answer(case, by(START, "parks"), result="solved", text="a co-handler"),
        lambda: steps.give_opinion(case, foreign, "x"),
    ):
        with pytest.raises(Refusal) as refusal:
            ask()
        assert refusal.value.code == "not-your-case"


def test_what_staff_filed_staff_see_through_and_nobody_rates() -> None:
    staff = by(START, staff=True)
    case = replace(filed(Route("roads", None, "x")), deputy_id=None, origin="staff")
    asked = did(case, "accept", "ask")
    supplied = after(asked, steps.supply(asked, staff, "sealed", RULES))
    answered = did(supplied, "answer")
    assert after(answered, steps.reopen(answered, staff, "not done", RULES)).state == "routed"
    closed = after(answered, steps.close(answered, staff, "unsolved"))
    assert (closed.state, closed.result) == ("closed", "unsolved")
    assert dates.due(closed, RULES) == {}, "nobody is reminded to rate it"
    assert after(case, steps.withdraw(case, staff, "")).state == "withdrawn"
    of_a_deputy = filed(Route("roads", None, "x"))
    for ask in (
        lambda: steps.rate(closed, staff, 5),
        lambda: steps.rate(closed, by(START), 5),
        lambda: steps.withdraw(case, by(START), ""),
        lambda: steps.withdraw(of_a_deputy, staff, ""),
        lambda: steps.supply(did(of_a_deputy, "accept", "ask"), staff, "sealed", RULES),
    ):
        with pytest.raises(Refusal) as refusal:
            ask()
        assert refusal.value.code == "not-your-case"


def test_a_case_returned_too_often_goes_up_and_is_designated_not_passed_round() -> None:
    case = did(filed(Route("roads", "交通运输", "words")), "return", "route", "accept", "return")
    assert (case.state, case.returned, case.department) == ("triage", 2, None)
    case = did(case, "route")
    assert case.designated
    with pytest.raises(Refusal) as refusal:
        did(case, "return")
    assert refusal.value.code == "designated"
    assert did(case, "transfer", "accept").state == "accepted", "staff may still move it"


def test_the_clock_stands_still_while_the_filer_is_waited_for() -> None:
    case = did(filed(Route("roads", None, "x")), "accept", "ask")
    assert dates.due(case, RULES).keys() == {"waiting"}
    later = START + timedelta(days=5)
    resumed = did(case, "supply", at=later)
    assert resumed.answer_by is not None
    assert case.answer_by is not None
    assert resumed.answer_by - case.answer_by >= timedelta(days=4)
    assert "暂停" in str(resumed.dates_reason)


def test_an_answer_is_on_time_by_when_it_was_given_however_late_it_arrives() -> None:
    case = filed(Route("roads", None, "x"))
    assert case.answer_by is not None
    for kind in ("accept", "answer"):
        case = after(case, dates.fall_due(case, kind, dates.due(case, RULES)[kind], RULES))
    assert case.chased == 2
    given_at, taken_in = case.answer_by - timedelta(hours=1), case.answer_by + timedelta(days=1)
    act = Act("department:roads", taken_in, given_at, department="roads")
    answered = after(case, steps.answer(case, act, result="solved", text="done"))
    assert answered.on_time is True
    assert [event.step for event in answered.steps[-2:]] == ["answered", "urge-withdrawn"]
    late = after(case, steps.answer(case, by(taken_in, "roads"), result="solved", text="done"))
    assert late.on_time is False


def test_a_case_that_staff_supervise_early_is_chased_like_any_other() -> None:
    plain = filed(Route("roads", None, "x"))
    case = did(plain, "supervise")
    assert dates.due(case, RULES) == dates.due(plain, RULES)
    answered = did(case, "answer")
    assert answered.steps[-1].step == "answered", "there is no urge to withdraw"
    for kind in ("accept", "answer", "supervise"):
        case = after(case, dates.fall_due(case, kind, dates.due(case, RULES)[kind], RULES))
    assert [step.actor for step in case.steps if step.step == "supervised"] == ["staff", "system"]


def test_a_reopened_case_is_rated_anew() -> None:
    case = did(submitted(), "take-up", "answer", "close", "rate", "resident-rate", "reopen")
    assert (case.stars, case.resident_stars, case.resident_attitude, case.resident_result) == (None,) * 4
    again = did(case, "answer", "close")
    assert dates.due(again, RULES).keys() == {"rating"}, "and reminded of it"
    assert [step.stars for step in again.steps if step.stars] == [4, 2], "the steps keep what was said"


def test_chasing_begins_in_the_morning_of_its_day_and_what_somebody_must_do_ends_with_the_day() -> None:
    case = filed(Route("roads", None, "x"))  # on a Thursday, with five working days for the answer
    clock = {kind: at.astimezone(CHINA).isoformat() for kind, at in dates.due(case, RULES).items()}
    assert clock["accept"].startswith("2021-07-16T23:59:59")
    assert clock["answer"] == "2021-07-23T00:00:00+08:00"
    urged = after(case, dates.fall_due(case, "answer", dates.due(case, RULES)["answer"], RULES))
    assert dates.due(urged, RULES)["supervise"].astimezone(CHINA).isoformat() == "2021-07-30T00:00:00+08:00"
    closed = did(case, "answer", "close")
    assert dates.due(closed, RULES)["rating"].astimezone(CHINA).isoformat() == "2021-07-20T00:00:00+08:00"
    waiting = did(case, "accept", "ask")
    assert dates.due(waiting, RULES)["waiting"].astimezone(CHINA).isoformat().startswith("2021-07-29T23:59")
    hours = replace(RULES.cases, urge=Limit(2, "hours", "test rule"))
    assert case.answer_by is not None
    exact = dates.due(case, Rules(RULES.calendar, hours))["answer"]
    assert exact == case.answer_by + timedelta(hours=2), "hours have no morning"


@pytest.mark.parametrize("step", ["ask", "transfer", "return", "answer"])
def test_a_case_that_was_late_is_late_whatever_is_done_then(step: str) -> None:
    case = did(filed(Route("roads", None, "x")), "accept")
    assert case.answer_by is not None
    longer = Rules(RULES.calendar, replace(RULES.cases, hand_back=days(90)))
    asked = {name: ASKED[name].ask for name in ("ask", "transfer", "answer")}
    asked["return"] = lambda c, at: steps.hand_back(c, by(at, "roads"), "not ours", longer)
    late = after(case, asked[step](case, case.answer_by + timedelta(microseconds=1)))
    assert late.late
    assert not after(case, asked[step](case, case.answer_by)).late
    further = {
        "ask": ("supply", "answer", "close", "reopen", "answer"),
        "transfer": ("answer", "close"),
        "return": ("route", "answer", "close"),
        "answer": ("close", "reopen", "answer"),
    }
    done = did(late, *further[step], at=late.changed_at)
    assert done.late, "and no later answer in time takes it back"


def test_a_case_holds_documents_in_their_order_once_each_and_no_more_than_it_may() -> None:
    def answered(case: Case, *documents: str) -> Case:
        act = by(case.changed_at, "roads")
        return after(case, steps.answer(case, act, result="solved", text="done", documents=documents))

    asked = did(filed(Route("roads", None, "x")), "accept", "ask")
    supply = steps.supply(asked, by(START), "sealed", RULES, documents=("b", "a", "b"))
    case = answered(after(asked, supply), "a", "c")
    assert case.documents == ("b", "a", "c")
    assert [step.documents for step in case.steps if step.documents] == [("b", "a"), ("c",)]
    assert case.photos == ()
    most = [str(number) for number in range(steps.DOCUMENTS_MAX)]
    with pytest.raises(Refusal) as refusal:
        answered(after(asked, supply), *most)
    assert refusal.value.code == "too-many-documents"
    assert len(answered(did(asked, "supply"), *most).documents) == steps.DOCUMENTS_MAX


def test_a_concern_that_nobody_takes_up_is_passed_up_once_when_it_falls_due_and_stays_open() -> None:
    case = submitted()
    assert case.take_up_by is not None
    assert dates.due(case, RULES) == {"take-up": case.take_up_by}
    assert case.steps[0].reason, "the date has its reason"
    late = after(case, dates.fall_due(case, "take-up", case.take_up_by, RULES))
    assert (late.state, late.steps[-1].step) == ("submitted", "passed-up")
    assert dates.due(late, RULES) == {}
    assert did(late, "take-up", at=case.take_up_by).state == "routed"


@pytest.mark.parametrize("first", ["explain", "decline"])
def test_a_resident_objects_once_and_staff_answer_by_the_packs_date_which_the_deputy_may_not(
    first: str,
) -> None:
    case = did(submitted(), first, *(["resident-rate"] if first == "explain" else []))
    objected = did(case, "object")
    said = objected.steps[-1]
    assert (objected.state, objected.objected, said.sealed) == ("submitted", True, "why")
    assert (objected.closed_at, objected.resident_stars) == (None, None)
    assert said.reason
    assert said.why[0].about["number"] == "5"
    assert objected.take_up_by is not None
    assert objected.take_up_by.astimezone(CHINA).isoformat().startswith("2021-07-22T23:59"), "5 working days"
    assert dates.due(objected, RULES) == {"take-up": objected.take_up_by}
    late = after(objected, dates.fall_due(objected, "take-up", objected.take_up_by, RULES))
    assert late.steps[-1].step == "passed-up"
    for own in ("explain", "decline"):
        with pytest.raises(Refusal, match="not-your-case"):
            did(objected, own)
    assert did(objected, "take-up").state == "routed", "who was wrong may give in"
    for answered in (did(objected, "staff-explain"), did(objected, "staff-decline")):
        with pytest.raises(Refusal, match="objected-already"):
            did(answered, "object")
    with pytest.raises(Refusal, match="objected-too-late"):
        did(case, "object", at=START + timedelta(days=20))
    for other in (did(submitted(), "take-up", "answer", "close"), did(case, "erase")):
        with pytest.raises(Refusal, match="nothing-to-object-to"):
            did(other, "object")


def test_a_case_left_in_triage_is_told_to_staff_once_and_again_when_it_comes_back() -> None:
    case = filed()
    assert dates.due(case, RULES).keys() == {"triage"}
    late = after(case, dates.fall_due(case, "triage", dates.due(case, RULES)["triage"], RULES))
    assert (late.state, late.steps[-1].step, dates.due(late, RULES)) == ("triage", "triage-late", {})
    joined = after(case, steps.join(case, by(START + timedelta(days=1)), OTHER))
    assert dates.due(joined, RULES) == dates.due(case, RULES), "what others do puts nothing off"
    back = did(late, "route", "return", at=START + timedelta(days=4))
    assert dates.due(back, RULES)["triage"] > START + timedelta(days=4)


def test_an_answered_case_that_is_not_closed_reminds_its_deputy_and_then_staff() -> None:
    case = did(filed(Route("roads", None, "x")), "answer", at=START + timedelta(days=30))
    found = []
    while kinds := dates.due(case, RULES):
        ((kind, at),) = kinds.items()
        found.append((kind, at.astimezone(CHINA).date().isoformat()))
        case = after(case, dates.fall_due(case, kind, at, RULES))
    assert found == [("close-reminder", "2021-08-18"), ("close-late", "2021-08-25")]
    assert case.steps[-1].step == "close-late"
    assert after(case, steps.close(case, by(case.changed_at, staff=True), None)).state == "closed"


def test_only_staff_decline_what_lies_in_triage_and_not_what_others_were_merged_into() -> None:
    case = replace(filed(), sealed=sealed("井盖"))
    with pytest.raises(Refusal) as refusal:
        steps.decline(case, by(START), "x")
    assert refusal.value.code == "not-your-case"
    command = told(contract.DeclineConcern(reason="在诉讼中"))
    declined = handlers.decline_concern(case, command, CONTEXT)
    assert (declined.state.state, declined.state.steps[-1].text) == ("declined", "在诉讼中")
    context = replace(CONTEXT, children=defaultdict(set, {case.id: {uuid4()}}))
    with pytest.raises(Refusal) as refusal:
        handlers.decline_concern(case, command, context)
    assert refusal.value.code == "others-wait"


def test_splitting_is_noted_on_the_case_and_asks_for_one_that_is_open() -> None:
    whole = replace(filed(Route("roads", None, "x")), sealed=sealed("井盖"))

    def split(whole: Case) -> Any:
        data = contract.SplitCase(
            sealed=sealed("路灯"), out_of=whole.id, category="城乡建设", reason="两件事"
        )
        return handlers.split_case(None, told(data), replace(CONTEXT, cases={str(whole.id): whole}))

    decision = split(whole)
    noted = decision.others[str(whole.id)]
    step = noted.steps[-1]
    assert (step.step, step.actor, step.text, step.other) == ("split", "staff", "两件事", decision.state.id)
    assert (noted.state, noted.version) == (whole.state, whole.version + 1)
    about = [(type(e.data).__name__, e.subject) for e in decision.emissions]
    assert about[0] == ("CaseProgressed", whole.id)
    assert {subject for _, subject in about[1:]} == {None}
    for closed, code in ((did(whole, "withdraw"), "step-not-possible"), (submitted(), "step-not-possible")):
        with pytest.raises(Refusal) as refusal:
            split(closed)
        assert refusal.value.code == code
    with pytest.raises(Refusal) as refusal:
        split(replace(whole, sealed=""))
    assert refusal.value.code == "nothing-to-split"


def test_only_the_deputy_or_staff_decide_on_a_concern_and_only_the_resident_withdraws_it() -> None:
    case, stranger = submitted(), by(START, actor=str(OTHER))
    for ask in (
        lambda: steps.take_up(case, stranger, None, RULES),
        lambda: steps.explain(case, stranger, "x"),
        lambda: steps.decline(case, stranger, "x"),
        lambda: steps.withdraw(case, by(START), ""),
        lambda: steps.withdraw(case, stranger, ""),
        lambda: steps.rate(did(case, "explain"), resident(START), 5),
    ):
        with pytest.raises(Refusal) as refusal:
            ask()
        assert refusal.value.code == "not-your-case"


def test_what_is_erased_is_gone_and_ends_a_case_that_nobody_answered() -> None:
    case = did(submitted(), "take-up", "erase")
    assert (case.state, case.sealed, case.contact) == ("withdrawn", "", None)
    assert steps.erase(case, resident(START)) == ()
    closed = did(submitted(), "take-up", "answer", "close", "resident-rate", "erase")
    assert (closed.state, closed.erased) == ("closed", True)
    assert (closed.stars, closed.resident_stars, closed.resident_attitude) == (None, 2, 3)


def test_a_merged_case_is_settled_with_its_parent_and_by_nothing_else() -> None:
    whole = did(filed(Route("roads", None, "x")), "answer", "close")
    part = filed()
    part = after(part, steps.merge(part, by(START, staff=True), replace(whole, state="routed"), ""))
    assert steps.settle(part, by(START), replace(whole, state="answered")) == ()
    assert steps.settle(part, by(START), replace(whole, id=uuid4())) == ()
    closed = after(part, steps.settle(part, by(START), whole))
    assert (closed.state, closed.result, closed.department) == ("closed", "solved", "roads")
    assert did(closed, "rate").stars == 4
    for state in ("answered", "closed", "withdrawn", "merged"):
        with pytest.raises(Refusal) as refusal:
            steps.merge(filed(), by(START, staff=True), parent(state), "")
        assert refusal.value.code == "parent-not-open"


def test_joining_twice_or_one_s_own_case_changes_nothing() -> None:
    case = filed()
    assert steps.join(case, by(START), DEPUTY) == ()
    case = after(case, steps.join(case, by(START), OTHER))
    assert case.followers == (OTHER,)
    assert steps.join(case, by(START), OTHER) == ()


class Expected(Weekdays):
    """Nothing is certain yet."""

    def is_official(self, day: date) -> bool:
        return not super().is_official(day)


def test_new_dates_are_told_only_where_a_new_calendar_changes_them() -> None:
    case = filed(Route("roads", None, "x"))
    later = START + timedelta(days=1)
    another = Rules(Weekdays("another"), RULES.cases)
    assert dates.redate(case, later, another) == replace(case, calendar="another")
    for changed in (MondayOff("another"), Expected("another")):
        step = dates.redate(case, later, Rules(changed, RULES.cases))
        assert isinstance(step, Event)
        assert step.at == later
        told = domain.evolve(case, step)
        assert (told.answer_by, told.provisional) != (case.answer_by, case.provisional)
        assert told.changed_at == case.changed_at
    assert dates.redate(replace(case, state="closed"), later, another) is None


def test_what_runs_keeps_the_rules_under_which_it_began() -> None:
    case = filed(Route("roads", None, "x"))
    shorter = Rules(RULES.calendar, replace(RULES.cases, answer={**RULES.cases.answer, "normal": days(1)}))
    context = replace(CONTEXT, rules_at=lambda at: RULES if at <= START else shorter)
    case = after(case, steps.accept(case, by(START, "roads")))
    asked = after(case, steps.ask(case, by(START + timedelta(hours=1), "roads"), "where?"))
    said = Sealer(OPENER.public_jwk).seal({"text": "there"})
    message = told(contract.SupplyCase(sealed=said), at=START + timedelta(hours=2))
    message.sender = lambda: Actor(str(DEPUTY), frozenset({"deputy"}))
    supplied = handlers.supply_case(asked, message, context).state
    assert supplied.answer_by is not None
    assert case.answer_by is not None
    assert supplied.answer_by >= case.answer_by
    returned = after(case, steps.hand_back(case, by(START + timedelta(hours=1), "roads"), "not ours", RULES))
    assert dates.ruled_at(asked) == START
    assert dates.ruled_at(returned) == returned.changed_at, "triage begins now, by the rules of now"


def test_a_resident_is_not_offered_what_comes_too_late() -> None:
    fields = {
        "id",
        "receipt",
        "contact",
        "consent",
        "filed_at",
        "objected",
        "department",
        "dates_reason",
        "answer",
    }
    fields |= {"answer_by", "result", "resident_stars", "resident_attitude", "resident_result", "take_up_by"}
    row: dict[str, Any] = {
        **dict.fromkeys(fields),
        "sealed": sealed("井盖"),
        "photos": (),
        "parts": (),
        "steps": (),
    }
    row |= {
        "state": "closed",
        "closed_at": START,
        "answered_at": START,
        "state_since": START,
        "changed_at": START,
    }

    def can(department: str | None, passed: int) -> set[str]:
        seen = {**row, "department": department}
        return set(following.view(seen, [], OPENER, START + timedelta(days=passed), RULES)["can"])

    last = (dates.after(RULES.cases.reopen, START, RULES).at - START).days
    assert can("roads", last) - can("roads", last + 5) == {"reopen"}
    assert can(None, last) - can(None, last + 5) == {"object"}


def test_the_diagram_in_the_docs_is_the_code_s() -> None:
    assert domain.diagram() in (CHECKOUT / "docs" / "states.md").read_text("utf-8")


OPENER = Opener(new_private_key())


def filing(words: dict[str, Any], **more: Any) -> Any:
    data = contract.FileCase(sealed=Sealer(OPENER.public_jwk).seal(words), county="330203", **more)
    envelope = SimpleNamespace(id=FILING, subject=str(uuid4()))
    sender = Actor(str(DEPUTY), frozenset({"deputy"}))
    return cast(
        "Received[Any]", SimpleNamespace(data=data, envelope=envelope, now=START, sender=lambda: sender)
    )


CATEGORIES = frozenset(shipped_taxonomy().categories)
FILING = uuid4()
[JUDGED] = judge_texts(["井盖\n窨井盖破损"], None, shipped_taxonomy())
CONTEXT = Context(
    {"roads": ROADS, "housing": HOUSING}, CATEGORIES, OPENER, lambda _: RULES, judged={FILING: JUDGED}
)


def sealed(text: str) -> str:
    return Sealer(OPENER.public_jwk).seal({"title": text, "text": text})


def told(data: Any, *, at: datetime = START, **who: Any) -> Any:
    """A command of staff."""
    sender = Actor("staff", frozenset({"staff"}), "3302", **who)
    envelope = SimpleNamespace(id=uuid4(), subject=str(uuid4()))
    received = SimpleNamespace(
        data=data, envelope=envelope, now=at, sender=lambda: sender, not_before=lambda then: max(then, at)
    )
    return cast("Received[Any]", received)


def test_a_transfer_says_what_a_case_is_about_or_leaves_it_in_doubt() -> None:
    departments = {
        "roads": ROADS,
        "housing": HOUSING,
        "office": Department("office", frozenset(), frozenset()),
    }
    context = replace(CONTEXT, departments=departments)
    case = replace(filed(Route("roads", "交通运输", "words")), sealed=sealed("井盖"))

    def moved(case: Case, data: Any) -> tuple[str | None, bool]:
        decide: Any = handlers.DECISIONS[type(data)]
        state = decide(case, told(data), context).state
        return state.category, state.category_doubted

    def transfer(to: str, category: str | None = None) -> Any:
        return contract.TransferCase(department=to, reason="n", category=category)

    assert not case.category_doubted
    assert moved(case, transfer("housing")) == ("城乡建设", False), "the only one that is handled there"
    assert moved(case, transfer("office")) == ("交通运输", True)
    assert moved(case, transfer("office", "教育文体")) == ("教育文体", False)
    with pytest.raises(Refusal) as refused:
        moved(case, transfer("office", "张三的电话"))
    assert refused.value.code == "category-unknown"
    returned = did(case, "return")
    assert moved(returned, contract.RouteCase(department="office")) == ("交通运输", True)
    assert moved(returned, contract.RouteCase(department="office", category="教育文体")) == (
        "教育文体",
        False,
    )


def test_staff_say_how_urgent_a_case_is_else_the_catalogue_does_of_the_departments_rule_else_it_stays() -> (
    None
):
    rules = (
        Rule(frozenset({"交通运输"}), frozenset({"330203"}), "roads", "urgent", "县区"),
        Rule(frozenset({"城乡建设"}), frozenset(), "housing", None, "全市"),
    )
    context = replace(CONTEXT, catalogues=[Catalogue("c", "c", START.date(), rules)])
    case = replace(did(filed(Route("roads", "交通运输", "words")), "return"), sealed=sealed("井盖"))

    def became(case: Case, data: Any) -> Case:
        decide: Any = handlers.DECISIONS[type(data)]
        return cast("Case", decide(case, told(data), context).state)

    by_rule = became(case, contract.RouteCase(department="roads"))
    assert by_rule.urgency == "urgent"
    assert by_rule.answer_by == dates.dates(Clock(START), "urgent", RULES).answer_by
    assert became(case, contract.RouteCase(department="roads", urgency="complex")).urgency == "complex"
    assert became(case, contract.RouteCase(department="housing")).urgency == "normal", "the rule says nothing"
    moved = became(by_rule, contract.TransferCase(department="housing", reason="n"))
    assert moved.urgency == "urgent"
    moved = became(by_rule, contract.TransferCase(department="housing", reason="n", urgency="inquiry"))
    assert (moved.urgency, moved.state) == ("inquiry", "routed")
    assert moved.answer_by == dates.dates(Clock(START), "inquiry", RULES).answer_by


def test_a_department_is_told_that_a_case_came_back_and_is_now_theirs_for_good() -> None:
    case = replace(filed(Route("roads", None, "x")), sealed=sealed("井盖"))

    def dossier(case: Case) -> contract.Dossier:
        decide: Any = handlers.DECISIONS[contract.RouteCase]
        emitted = decide(case, told(contract.RouteCase(department="roads")), CONTEXT).emissions
        return cast("contract.Dossier", emitted[-1].data)

    once = dossier(did(case, "return"))
    assert (once.returned, once.designated) == (1, False)
    twice = dossier(did(case, "return", "route", "return"))
    assert (twice.returned, twice.designated) == (2, True)


def test_filing_tells_the_facts_without_words_and_the_department_with_them() -> None:
    decision = handlers.file_case(None, filing({"title": "井盖", "text": "窨井盖破损"}), CONTEXT)
    kinds = {type(emission.data).__name__: emission for emission in decision.emissions}
    assert set(kinds) == {"CaseFiled", "CaseRouted", "Dossier"}
    assert kinds["Dossier"].topic == "department.housing.routed"
    assert not kinds["CaseFiled"].data.unrouted
    nobody = replace(CONTEXT, departments={})
    [unrouted] = handlers.file_case(None, filing({"title": "井盖", "text": "窨井盖破损"}), nobody).emissions
    assert unrouted.data.unrouted, "nothing follows, and staff are told"
    assert [kinds[name].sequence for name in ("CaseFiled", "CaseRouted", "Dossier")] == [1, 2, 2]
    for name in ("CaseFiled", "CaseRouted"):
        assert "窨井盖" not in kinds[name].data.model_dump_json()


@pytest.mark.parametrize("accuracy", [None, 12])
def test_where_a_case_is_comes_to_its_department_in_six_decimals_and_stands_in_no_fact(
    accuracy: int | None,
) -> None:
    at = {"latitude": 29.86833612, "longitude": 121.5439904, "accuracy": accuracy}
    rounded = {"latitude": 29.868336, "longitude": 121.54399, "accuracy": accuracy}
    new = filing({"title": "井盖", "text": "窨井盖破损", "position": at})
    decision = handlers.file_case(None, new, CONTEXT)
    kinds = {type(emission.data).__name__: emission.data for emission in decision.emissions}
    assert kinds.pop("Dossier").model_dump()["position"] == rounded
    assert not [name for name, fact in kinds.items() if "29.868" in fact.model_dump_json()]
    assert "29.868" not in f"{new.data!r} {decision.state!r} {decision.emissions!r}", "nor where it is logged"
    row = {"id": decision.state.id, "sealed": new.data.sealed}
    assert api.shown({**row}, OPENER)["position"] == rounded
    head, _, *rest = new.data.sealed.split(".")  # as erasing does it: without the key of the content
    assert api.shown({**row, "sealed": ".".join((head, "", *rest))}, OPENER)["position"] is None


def test_an_authority_that_names_no_area_takes_positions_from_anywhere() -> None:
    anywhere = replace(RULES, cases=replace(RULES.cases, area=Setting({}, "")))
    context = replace(CONTEXT, rules_at=lambda _: anywhere)
    beijing = {"latitude": 39.9, "longitude": 116.4}
    assert handlers.file_case(None, filing({"title": "x", "text": "x", "position": beijing}), context)


@pytest.mark.parametrize(
    ("words", "more", "code"),
    [
        ({"title": "", "text": "x"}, {}, "words-unreadable"),
        ({"title": "x", "text": "a\0b"}, {}, "words-unreadable"),
        ({"text": "x"}, {}, "words-unreadable"),
        ({"title": "x", "text": "x"}, {"category": "张三的电话"}, "category-unknown"),
        ({"title": "x", "text": "x", "position": {"latitude": 91, "longitude": 121}}, {}, "words-unreadable"),
        (
            {"title": "x", "text": "x", "position": {"latitude": 30.7, "longitude": 121}},
            {},
            "position-outside",
        ),
        (
            {"title": "x", "text": "x", "position": {"latitude": 28.7, "longitude": 121}},
            {},
            "position-outside",
        ),
        (
            {"title": "x", "text": "x", "position": {"latitude": 30, "longitude": 120.7}},
            {},
            "position-outside",
        ),
        (
            {"title": "x", "text": "x", "position": {"latitude": 30, "longitude": 122.5}},
            {},
            "position-outside",
        ),
    ],
)
def test_what_cannot_be_filed_is_refused_with_a_code(
    words: dict[str, Any], more: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        handlers.file_case(None, filing(words, **more), CONTEXT)
    assert refused.value.code == code
