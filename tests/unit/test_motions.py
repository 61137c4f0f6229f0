"""The life of a motion 议案建议 as pure functions, under every rule pack that ships."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.runfolder import CHECKOUT
from services.cases.deadlines import pack as packs
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.reckoning import CHINA
from services.cases.motions import bills, dates, domain, figures, handling, promises, writing
from services.cases.motions.domain import STEPS, Act, Deputy, Due, Motion, Rules, Step, Text
from services.cases.motions.promises import Pledge
from shared.refusals import Refusal

CALENDAR = ChinaCalendar()


class Moved(ChinaCalendar):
    """A later notice of the State Council, after which nobody works on the first of June."""

    def __init__(self) -> None:
        super().__init__()
        self.version = "later"

    def is_working_day(self, day: date) -> bool:
        return (day.month, day.day) != (6, 1) and super().is_working_day(day)


ANOTHER = Moved()
PACKS = {pack.jurisdiction: Rules(CALENDAR, pack.motions) for pack in packs.load()}
NINGBO, QINGDAO, CHONGQING = PACKS["ningbo"], PACKS["qingdao"], PACKS["chongqing"]
every_pack = pytest.mark.parametrize("rules", PACKS.values(), ids=PACKS)
START = datetime(2022, 3, 1, 9, tzinfo=CHINA)
AUTHOR = UUID(int=1)
OTHERS = [UUID(int=number) for number in range(2, 14)]
KNOWN = {who: Deputy(who, "county", "330203", None) for who in (AUTHOR, *OTHERS)}


def of(level: str) -> dict[UUID, Deputy]:
    """Everybody known, as deputies of that level."""
    return {who: replace(one, level=level) for who, one in KNOWN.items()}  # type: ignore[arg-type]


BILL = Text("sealed", "a" * 64, domain.BILL_PARTS)
GOOD = {"attitude": "satisfied", "result": "satisfied"}
BAD = {"attitude": "satisfied", "result": "unsatisfied"}


def at(days: float = 0) -> datetime:
    return START + timedelta(days=days)


def deputy(who: UUID = AUTHOR, when: datetime = START) -> Act:
    return Act(str(who), when, when, deputy=who)


def staff(when: datetime = START, place: str = "330203") -> Act:
    return Act("staff", when, when, staff_of=place)


def department(code: str, when: datetime = START) -> Act:
    return Act(f"department:{code}", when, when, department=code)


def taken(motion: Motion, steps: tuple[Step, ...]) -> Motion:
    for step in steps:
        motion = domain.evolve(motion, step)
    return motion


def drafted(kind: str = "bill", level: str = "county", text: Text = BILL) -> Motion:
    new = Motion(
        id=UUID(int=99),
        author_id=AUTHOR,
        kind=kind,  # type: ignore[arg-type]
        level=level,  # type: ignore[arg-type]
        county="330203",
        town=None,
        secret=False,
        sealed=text.sealed,
        digest=text.digest,
        parts=tuple(text.parts),
        drafted_at=START,
        changed_at=START,
    )
    return taken(new, writing.draft(new))


def signed(motion: Motion, number: int) -> Motion:
    """The motion with so many co-signers who confirmed."""
    who = OTHERS[:number]
    known = {one: replace(KNOWN[one], level=motion.level) for one in who}
    motion = taken(motion, writing.invite(motion, deputy(), who, known)) if who else motion
    for one in who:
        motion = taken(motion, writing.cosign(motion, deputy(one), motion.digest))
    return motion


def submitted(rules: Rules = NINGBO, kind: str = "suggestion", cosigners: int = 2) -> Motion:
    motion = signed(drafted(kind), cosigners)
    return taken(motion, writing.submit(motion, deputy(), rules, KNOWN, informed=True))


def accepted(rules: Rules = NINGBO, *, when: datetime = START) -> Motion:
    motion = submitted(rules)
    return taken(motion, handling.accept(motion, staff(when), rules, number="12", turn=False, reason=""))


def assigned(rules: Rules = NINGBO, *, when: datetime = START, co: tuple[str, ...] = ()) -> Motion:
    motion = accepted(rules, when=when)
    return taken(motion, handling.assign(motion, staff(when), rules, lead="housing", co=co, reason=""))


def bill(rules: Rules = NINGBO, *, when: datetime = START) -> Motion:
    """A bill that was taken in as one."""
    motion = submitted(rules, kind="bill", cosigners=9)
    return taken(motion, handling.accept(motion, staff(when), rules, number="12", turn=False, reason=""))


def referred(rules: Rules = NINGBO, *, when: datetime = START) -> Motion:
    motion = bill(rules)
    return taken(motion, bills.refer(motion, staff(when), rules, committee="城建环保委员会", reason=""))


def reported(rules: Rules = NINGBO, *, when: datetime | None = None) -> Motion:
    motion = referred(rules)
    return taken(motion, bills.advise(motion, staff(when or at(9)), rules, advice="agenda", text="可行"))


def deciding(motion: Motion, decision: str, when: datetime | None = None, rules: Rules = NINGBO) -> Motion:
    steps = bills.decide(motion, staff(when or at(10)), rules, decision=decision, reason="")  # type: ignore[arg-type]
    return taken(motion, steps)


def contacted(motion: Motion, when: datetime) -> Motion:
    day = when.astimezone(CHINA).date()
    act = department("housing", when)
    return taken(motion, handling.contact(motion, act, on=day, form="face-to-face", note=""))


def answered(
    rules: Rules = NINGBO,
    *,
    when: datetime | None = None,
    motion: Motion | None = None,
    result: str = "A",
    pledges: tuple[Pledge, ...] = (),
) -> Motion:
    when = when or at(20)
    motion = contacted(motion or assigned(rules), when)
    steps = handling.answer(
        motion,
        department("housing", when),
        rules,
        result=result,
        sealed="s",
        signed_by="局长",
        public=True,
        pledges=pledges,
    )
    return taken(motion, steps)


def rated(
    rules: Rules, values: dict[str, str], *, when: datetime | None = None, motion: Motion | None = None
) -> Motion:
    motion = motion or answered(rules)
    return taken(motion, handling.rate(motion, deputy(when=when or at(21)), rules, values))


def reporting(motion: Motion, act: Act, outcome: str, *, due: date | None, rules: Rules = NINGBO) -> Motion:
    steps = promises.report_promise(
        motion,
        act,
        rules,
        number=1,
        outcome=outcome,  # type: ignore[arg-type]
        sealed="s",
        due=due,
    )
    return taken(motion, steps)


def passing(motion: Motion, kind: str, code: str | None = None) -> Motion:
    """The motion after the deadline of a kind has passed."""
    due = motion.open_due(kind, code)  # type: ignore[arg-type]
    assert due is not None
    return taken(motion, dates.fall_due(motion, due.number, due.at))


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as told:
        ask()
    return told.value.code


# -- the machine -----------------------------------------------------------------------------------------


def test_the_drawn_diagram_is_the_machine() -> None:
    assert domain.diagram() in (CHECKOUT / "docs" / "motion-states.md").read_text("utf-8")


def test_every_state_can_be_reached_and_every_step_be_taken_from_somewhere() -> None:
    reached = {rule.after for rule in STEPS.values()} - {None}
    assert reached == set(domain.STATES)
    assert {name for name, rule in STEPS.items() if not rule.before} == {"drafted"}


CODES = ("housing", "roads", "water")


@st.composite
def asks(draw: st.DrawFn) -> Callable[[Motion, datetime, Rules], tuple[Step, ...]]:
    """Anything that anybody may ask of a motion, possible or not."""
    who = draw(st.sampled_from([AUTHOR, *OTHERS[:3]]))
    code, other = draw(st.sampled_from(CODES)), draw(st.sampled_from(CODES))
    digest = draw(st.sampled_from("ab")) * 64
    letter = draw(st.sampled_from("ABCDX"))
    values = draw(st.sampled_from([GOOD, BAD, {"attitude": "satisfied"}, {**GOOD, "result": "superb"}]))
    number, days, flag = draw(st.integers(1, 3)), draw(st.integers(-5, 200)), draw(st.booleans())
    place = draw(st.sampled_from(["3302", "330203", "330299"]))
    outcome = draw(st.sampled_from(["kept", "not-kept"]))
    decision = draw(st.sampled_from(["agenda", "suggestion", "explained"]))
    ended = draw(st.sampled_from(["passed", "not-passed", "withdrawn"]))
    known: dict[str, Callable[[Motion, datetime, Rules], tuple[Step, ...]]] = {
        "revise": lambda m, t, _: writing.revise(
            m, deputy(who, t), Text("s", digest, domain.BILL_PARTS), kind=None, secret=flag
        ),
        "invite": lambda m, t, _: writing.invite(m, deputy(AUTHOR, t), [who, OTHERS[4]], KNOWN),
        "cosign": lambda m, t, _: writing.cosign(m, deputy(who, t), digest),
        "decline": lambda m, t, _: writing.decline(m, deputy(who, t)),
        "uncosign": lambda m, t, _: writing.uncosign(m, deputy(who, t)),
        "submit": lambda m, t, r: writing.submit(m, deputy(AUTHOR, t), r, KNOWN, informed=flag),
        "withdraw": lambda m, t, _: handling.withdraw(m, deputy(who, t), "no more"),
        "give_back": lambda m, t, _: handling.give_back(m, staff(t, place), "unclear"),
        "accept": lambda m, t, r: handling.accept(m, staff(t, place), r, number="1", turn=flag, reason=""),
        "refuse": lambda m, t, r: handling.refuse(
            m, staff(t, place), r, ground="personal" if flag else "x", reason=""
        ),
        "assign": lambda m, t, r: handling.assign(
            m, staff(t, place), r, lead=code, co=[other] if flag else [], reason=""
        ),
        "object": lambda m, t, r: handling.object_to(m, department(code, t), r, "not ours"),
        "contact": lambda m, t, _: handling.contact(
            m, department(code, t), on=(t + timedelta(days=min(days, 2))).date(), form="phone", note=""
        ),
        "opinion": lambda m, t, _: handling.give_opinion(m, department(code, t), "fine"),
        "ask_extension": lambda m, t, r: handling.ask_extension(
            m, department(code, t), r, more=number, reason=""
        ),
        "decide": lambda m, t, r: handling.decide_extension(m, staff(t, place), r, granted=flag, reason=""),
        "answer": lambda m, t, r: handling.answer(
            m,
            department(code, t),
            r,
            result=letter,
            sealed="s",
            signed_by="x",
            public=flag,
            pledges=[Pledge("s", (t + timedelta(days=days)).date())],
        ),
        "refer": lambda m, t, r: bills.refer(m, staff(t, place), r, committee=code, reason=""),
        "advise": lambda m, t, r: bills.advise(m, staff(t, place), r, advice=decision, text="so"),  # type: ignore[arg-type]
        "decide_bill": lambda m, t, r: bills.decide(m, staff(t, place), r, decision=decision, reason=""),  # type: ignore[arg-type]
        "conclude": lambda m, t, _: bills.conclude(m, staff(t, place), outcome=ended, reason=""),  # type: ignore[arg-type]
        "supervise": lambda m, t, _: handling.supervise(m, staff(t, place), "important"),
        "rate": lambda m, t, r: handling.rate(m, deputy(who, t), r, values),
        "report": lambda m, t, r: promises.report_promise(
            m,
            department(code, t),
            r,
            number=number,
            outcome=outcome,  # type: ignore[arg-type]
            sealed="s",
            due=(t + timedelta(days=days)).date() if flag else None,
        ),
        "pass": lambda m, _, __: tuple(
            step for n, due_at in list(dates.due(m).items())[:1] for step in dates.fall_due(m, n, due_at)
        ),
        "redate": lambda m, t, r: dates.redate(m, t, lambda _: Rules(ANOTHER, r.motions)),
        "rate_promise": lambda m, t, r: promises.rate_promise(
            m, deputy(who, t), r, number=number, value="satisfied"
        ),
    }
    return known[draw(st.sampled_from(sorted(known)))]


BEGINNINGS: list[Callable[[Rules], Motion]] = [
    lambda _: drafted("suggestion"),
    submitted,
    accepted,
    lambda rules: assigned(rules, co=("roads",)),
    answered,
    lambda rules: rated(rules, BAD),
    lambda rules: answered(rules, result="B", pledges=(Pledge("s", at(90).date()),)),
    bill,
    reported,
]


@settings(max_examples=400)
@given(
    st.sampled_from(sorted(PACKS)),
    st.sampled_from(BEGINNINGS),
    st.lists(st.tuples(asks(), st.floats(0, 90)), max_size=25),
)
def test_no_path_leaves_the_diagram_and_every_deadline_has_a_reason(
    pack: str,
    begin: Callable[[Rules], Motion],
    asked: list[tuple[Callable[[Motion, datetime, Rules], tuple[Step, ...]], float]],
) -> None:
    rules = PACKS[pack]
    motion, now = begin(rules), at(25)
    for ask, days in asked:
        now += timedelta(days=days)
        with contextlib.suppress(Refusal):  # nothing else may be raised
            for step in ask(motion, now, rules):
                rule = STEPS[step.kind]
                assert motion.state in rule.before
                after = domain.evolve(motion, step)
                assert after.state == (rule.after or motion.state)
                assert after.version == motion.version + 1 == len(after.steps)
                now = max(now, step.at)
                assert after.steps[-1] is step
                assert step.at == now or (step.actor == "system" and step.at >= motion.changed_at)
                motion = after
        assert all(holds(due) for due in motion.deadlines)
        assert [due.number for due in motion.deadlines] == list(range(1, len(motion.deadlines) + 1))
        still_open = {due.kind for due in motion.deadlines if due.ended is None}
        ended = ("closed", "withdrawn", "not-accepted", "concluded")
        if motion.state in (*ended, "submitted", "draft", "correcting"):
            assert still_open <= {"promise", "rate-promise"}
        if motion.goes_as_bill:
            assert {OWED_BY_STATE.get(motion.state)} - {None} == still_open
            assert not motion.handlers
        assert (motion.bill_outcome is not None) == (motion.state == "concluded")
        if motion.state == "assigned":
            assert still_open & {"answer", "redo"}, "whoever handles it stands under a deadline"
        assert motion.contacted <= motion.round <= 2
        assert all(answer.round <= motion.round for answer in motion.answers)
        assert {c.digest for c in motion.cosigners if c.state == "confirmed"} <= {motion.digest}
    figures.report([motion], rules.motions, now)


OWED_BY_STATE = {
    "accepted": "refer",
    "in-committee": "committee",
    "reported": "adopt",
    "on-agenda": "conclude",
}
"""What a bill stands under."""


def holds(due: Due) -> bool:
    """Whether a deadline explains itself: date, beginning and source."""
    ends, begins = due.at.astimezone(CHINA), due.begin.astimezone(CHINA)
    return (
        due.at >= due.begin
        and f"{ends.year}年{ends.month}月{ends.day}日" in due.reason
        and f"{begins.year}年{begins.month}月{begins.day}日" in due.reason
        and "（" in due.reason
        and due.why[0].about["day"] == f"{begins:%Y-%m-%d}"
        and (due.ended is not None or due.met is None)
    )


# -- writing and signing ---------------------------------------------------------------------------------


@every_pack
@pytest.mark.parametrize("level", ["city", "county", "town"])
@pytest.mark.parametrize("kind", ["bill", "suggestion"])
def test_a_motion_is_submitted_with_the_packs_number_of_signers_and_not_with_one_less(
    rules: Rules, level: str, kind: str
) -> None:
    needed = rules.motions.signers.value[kind][level]  # type: ignore[index]
    enough = signed(drafted(kind, level), needed - 1)
    assert (
        taken(enough, writing.submit(enough, deputy(), rules, of(level), informed=False)).state == "submitted"
    )
    if needed > 1:
        few = signed(drafted(kind, level), needed - 2)
        code = refused(lambda: writing.submit(few, deputy(), rules, of(level), informed=False))
        assert code == "too-few-signers"


@every_pack
def test_the_law_asks_ten_signers_for_a_bill_above_the_town_and_five_in_a_town(rules: Rules) -> None:
    # 地方组织法 (2022) 第二十二条: 县级以上…代表十人以上联名; 乡、民族乡、镇…代表五人以上联名.
    assert rules.motions.signers.value["bill"] == {"city": 10, "county": 10, "town": 5}


def test_who_has_not_confirmed_is_no_signer() -> None:
    motion = signed(drafted(), 8)
    motion = taken(motion, writing.invite(motion, deputy(), [OTHERS[8]], KNOWN))
    code = refused(lambda: writing.submit(motion, deputy(), NINGBO, KNOWN, informed=True))
    assert code == "too-few-signers"


def test_where_the_lead_answers_for_the_cosigners_those_invited_sign_once_the_lead_says_so() -> None:
    informs = replace(NINGBO.motions.cosigning, value="lead-informs")
    rules = replace(NINGBO, motions=replace(NINGBO.motions, cosigning=informs))
    motion = drafted()
    motion = taken(motion, writing.invite(motion, deputy(), OTHERS[:9], KNOWN))
    assert refused(lambda: writing.submit(motion, deputy(), rules, KNOWN, informed=False)) == "not-informed"
    done = taken(motion, writing.submit(motion, deputy(), rules, KNOWN, informed=True))
    assert len(done.signers) == 10


def test_a_changed_text_voids_every_confirmation_and_must_be_read_again() -> None:
    motion = signed(drafted(), 3)
    other = replace(BILL, digest="b" * 64)
    changed = taken(motion, writing.revise(motion, deputy(), other, kind=None, secret=None))
    assert changed.signers == (AUTHOR,)
    assert changed.steps[-1].detail["voided"] == [str(one) for one in OTHERS[:3]]
    stale = refused(lambda: writing.cosign(changed, deputy(OTHERS[0]), "a" * 64))
    assert stale == "text-changed"
    again = taken(changed, writing.cosign(changed, deputy(OTHERS[0]), "b" * 64))
    assert again.signers == (AUTHOR, OTHERS[0])


def test_the_same_text_saved_again_keeps_the_confirmations() -> None:
    motion = signed(drafted(), 3)
    saved = taken(motion, writing.revise(motion, deputy(), BILL, kind=None, secret=True))
    assert len(saved.signers) == 4


@pytest.mark.parametrize("part", sorted(domain.BILL_PARTS))
def test_a_bill_without_cause_basis_or_plan_is_not_submitted(part: str) -> None:
    motion = signed(drafted(text=replace(BILL, parts=domain.BILL_PARTS - {part})), 9)
    assert refused(lambda: writing.submit(motion, deputy(), NINGBO, KNOWN, informed=True)) == "parts-missing"


def test_only_deputies_of_the_same_congress_are_invited() -> None:
    motion = drafted()
    for stranger in (
        replace(KNOWN[OTHERS[0]], level="city"),
        replace(KNOWN[OTHERS[0]], county="330212"),
        replace(KNOWN[OTHERS[0]], active=False),
    ):
        asked = {OTHERS[0]: stranger}
        code = refused(lambda asked=asked: writing.invite(motion, deputy(), [OTHERS[0]], asked))  # type: ignore[misc]
        assert code == "deputy-unknown"


def test_a_draft_is_for_its_author_and_those_invited_alone() -> None:
    motion = drafted()
    motion = taken(motion, writing.invite(motion, deputy(), OTHERS[:1], KNOWN))
    assert domain.may_read(motion, deputy())
    assert domain.may_read(motion, deputy(OTHERS[0]))
    for act in (deputy(OTHERS[1]), staff(), department("housing")):
        assert not domain.may_read(motion, act)
    declined = taken(motion, writing.decline(motion, deputy(OTHERS[0])))
    assert not domain.may_read(declined, deputy(OTHERS[0]))


def test_what_is_submitted_is_read_by_deputies_unless_secret_and_by_its_departments_alone() -> None:
    motion = assigned(co=("roads",))
    assert domain.may_read(motion, deputy(OTHERS[9]))
    assert not domain.may_read(replace(motion, secret=True), deputy(OTHERS[9]))
    assert domain.may_read(replace(motion, secret=True), deputy(OTHERS[0]))
    assert domain.may_read(motion, department("housing"))
    assert domain.may_read(motion, department("roads"))
    assert not domain.may_read(motion, department("water"))
    assert domain.may_read(motion, staff(place="3302"))
    assert not domain.may_read(motion, staff(place="330212"))


# -- examination and assignment --------------------------------------------------------------------------


@every_pack
def test_only_a_ground_of_the_pack_is_taken(rules: Rules) -> None:
    motion = submitted(rules)
    for ground in rules.motions.grounds.value:
        done = taken(motion, handling.refuse(motion, staff(), rules, ground=ground, reason=""))
        assert (done.state, done.ground) == ("not-accepted", ground)
    code = refused(lambda: handling.refuse(motion, staff(), rules, ground="too-long", reason=""))
    assert code == "ground-unknown"


def test_a_bill_becomes_a_suggestion_and_a_suggestion_does_not() -> None:
    bill = submitted(kind="bill", cosigners=9)
    turned = taken(bill, handling.accept(bill, staff(), NINGBO, number="1", turn=True, reason="no plan"))
    assert (turned.kind, turned.turned, turned.state) == ("suggestion", True, "accepted")
    code = refused(lambda: handling.accept(submitted(), staff(), NINGBO, number="1", turn=True, reason=""))
    assert code == "not-a-bill"


def test_a_bill_is_put_on_the_agenda_and_voted_on_and_no_department_ever_has_it() -> None:
    assert refused(lambda: handling.assign(bill(), staff(), NINGBO, lead="housing", co=(), reason="")) == (
        "bill-not-assigned"
    )
    tabled = deciding(bill(), "agenda")
    for outcome, met in (("passed", True), ("not-passed", True), ("withdrawn", None)):
        steps = bills.conclude(tabled, staff(at(12)), outcome=outcome, reason="")  # type: ignore[arg-type]
        ended = taken(tabled, steps)
        assert (ended.state, ended.bill_outcome, ended.closed_at) == ("concluded", outcome, at(12))
        assert [d.met for d in ended.deadlines if d.kind == "conclude"] == [met]
        assert refused(partial(handling.rate, ended, deputy(), NINGBO, GOOD)) == "step-not-possible"
    assert refused(lambda: handling.withdraw(tabled, deputy(), "no more")) == "step-not-possible"
    assert handling.withdraw(referred(), deputy(), "no more"), (
        "before it is on the agenda, it is the author's"
    )


def test_a_committee_reports_and_what_is_decided_on_its_report_ends_the_bill_or_its_being_one() -> None:
    # 上海市人民代表大会关于代表议案的规定: 十五日, 三十日; then the packs' own.
    assert (open_until(bill(), "refer"), open_until(referred(), "committee")) == ("2022-03-16", "2022-03-31")
    assert (reported().advice, open_until(reported(), "adopt")) == ("agenda", "2022-05-10")
    tabled = deciding(reported(), "agenda")
    assert (tabled.state, open_until(tabled, "conclude")) == ("on-agenda", "2023-03-13")
    told = deciding(reported(), "explained")
    assert (told.state, told.bill_outcome, told.next_due) == ("concluded", "explained", None)
    turned = deciding(reported(), "suggestion")
    assert (turned.state, turned.kind, turned.turned) == ("accepted", "suggestion", True)
    assert open_until(turned, "assign") == "2022-03-18"
    assert handling.assign(turned, staff(at(11)), NINGBO, lead="housing", co=(), reason="")


def test_without_a_report_a_bill_is_not_explained_away_and_a_suggestion_goes_to_no_committee() -> None:
    for decision in ("suggestion", "explained"):
        assert refused(partial(deciding, bill(), decision)) == "step-not-possible"
        assert refused(partial(deciding, referred(), decision)) == "step-not-possible"
        unexamined = submitted(kind="bill", cosigners=9)
        assert refused(partial(deciding, unexamined, decision)) == "step-not-possible"
    with_it = partial(bills.refer, rules=NINGBO, reason="")
    assert refused(lambda: with_it(accepted(), staff(), committee="城建环保委员会")) == "not-a-bill"
    assert refused(lambda: with_it(referred(), staff(), committee="城建环保委员会")) == "same-committee"
    assert (
        refused(lambda: with_it(bill(), staff(place="330212"), committee="法制委员会")) == "not-your-motion"
    )
    moved = taken(referred(), with_it(referred(), staff(at(20)), committee="法制委员会"))
    assert (moved.committee, open_until(moved, "committee")) == ("法制委员会", "2022-04-20")
    assert [d.met for d in moved.deadlines if d.kind == "committee"] == [None, None]


def test_staff_of_another_congress_decide_nothing() -> None:
    motion = submitted()
    assert refused(lambda: handling.give_back(motion, staff(place="330212"), "x")) == "not-your-motion"
    of_city = replace(motion, level="city", county=None, town=None)
    assert refused(lambda: handling.give_back(of_city, staff(place="330203"), "x")) == "not-your-motion"
    assert [step.kind for step in handling.give_back(of_city, staff(place="3302"), "x")] == ["returned"]


def open_until(motion: Motion, kind: str, code: str | None = None) -> str:
    due = motion.open_due(kind, code)  # type: ignore[arg-type]
    assert due is not None
    return f"{due.at.astimezone(CHINA):%Y-%m-%d}"


# Begun on Tuesday 2022-03-01. 2022-06-03 to 06-05 are the Dragon Boat holidays, 2022-04-03 to 04-05 Qingming with
# work on 04-02, 2022-04-30 to 05-04 May Day with work on 04-24 and 05-07.
WORKED: list[tuple[str, Rules, str, str]] = [
    ("浙江规定第十条: 受理后七日内", NINGBO, "assign", "2022-03-08"),
    ("浙江规定第十四条: 十日内", NINGBO, "object", "2022-03-11"),
    ("浙江规定第十八条: 两个月内", NINGBO, "opinion", "2022-05-05"),
    ("浙江规定第二十一条: 三个月内", NINGBO, "answer", "2022-06-01"),
    ("青岛条例第十四条: 五个工作日内", QINGDAO, "assign", "2022-03-08"),
    ("青岛条例第十九条: 五个工作日内", QINGDAO, "object", "2022-03-08"),
    ("青岛条例第二十四条: 一个月内", QINGDAO, "opinion", "2022-04-01"),
    ("重庆条例第十三条: 十个工作日内", CHONGQING, "assign", "2022-03-15"),
    ("重庆条例第十六条: 十个工作日内", CHONGQING, "object", "2022-03-15"),
    ("重庆条例第十八条: 二十个工作日内", CHONGQING, "first-contact", "2022-03-29"),
    ("重庆条例第二十条: 三十个工作日内", CHONGQING, "opinion", "2022-04-13"),
]


@pytest.mark.parametrize(("law", "rules", "kind", "day"), WORKED, ids=[w[0] for w in WORKED])
def test_a_deadline_is_what_the_law_says(law: str, rules: Rules, kind: str, day: str) -> None:
    motion = accepted(rules) if kind == "assign" else assigned(rules, co=("roads",))
    assert open_until(motion, kind, "roads" if kind == "opinion" else None) == day


def test_an_objection_in_time_goes_to_staff_and_too_late_is_refused() -> None:
    motion = assigned()
    late = refused(lambda: handling.object_to(motion, department("housing", at(11)), NINGBO, "not ours"))
    assert late == "too-late"
    objected = taken(motion, handling.object_to(motion, department("housing", at(9)), NINGBO, "not ours"))
    assert objected.state == "objected"
    assert objected.open_due("reassign") is not None
    # The same late day is in time where the pack gives more: no value is in code.
    longer = assigned(CHONGQING)
    assert handling.object_to(longer, department("housing", at(11)), CHONGQING, "not ours")


def test_another_lead_gets_a_clock_of_its_own_and_the_same_one_keeps_its_old() -> None:
    motion = assigned()
    objected = taken(motion, handling.object_to(motion, department("housing", at(9)), NINGBO, "not ours"))
    same = taken(
        objected, handling.assign(objected, staff(at(12)), NINGBO, lead="housing", co=(), reason="it is")
    )
    assert open_until(same, "answer") == open_until(motion, "answer") == "2022-06-01"
    assert (
        refused(lambda: handling.object_to(same, department("housing", at(13)), NINGBO, "no")) == "too-late"
    )
    other = taken(objected, handling.assign(objected, staff(at(12)), NINGBO, lead="roads", co=(), reason=""))
    assert open_until(other, "answer") == "2022-06-13"
    assert [d.department for d in other.deadlines if d.kind == "answer" and d.ended is None] == ["roads"]
    gone = refused(lambda: handling.give_opinion(other, department("housing", at(13)), "x"))
    assert gone == "not-your-motion"


def test_a_department_that_is_not_assigned_touches_nothing() -> None:
    motion = assigned(co=("roads",))
    strange = department("water", at(1))
    for ask in (
        lambda: handling.object_to(motion, strange, NINGBO, "x"),
        lambda: handling.give_opinion(motion, strange, "x"),
        lambda: handling.contact(motion, strange, on=START.date(), form="phone", note=""),
        lambda: handling.ask_extension(motion, strange, NINGBO, more=1, reason="x"),
        # A co-handler does what is the lead's as little as a stranger.
        lambda: handling.ask_extension(motion, department("roads", at(1)), NINGBO, more=1, reason="x"),
    ):
        assert refused(ask) == "not-your-motion"


def test_an_extension_reaches_to_the_packs_latest_day_and_no_further() -> None:
    motion = assigned()
    code = refused(
        lambda: handling.ask_extension(motion, department("housing", at(5)), NINGBO, more=4, reason="")
    )
    assert code == "extension-too-long"
    asked = taken(
        motion, handling.ask_extension(motion, department("housing", at(5)), NINGBO, more=3, reason="难")
    )
    granted = taken(asked, handling.decide_extension(asked, staff(at(6)), NINGBO, granted=True, reason=""))
    assert open_until(granted, "answer") == "2022-09-01"
    due = granted.open_due("answer")
    assert due is not None
    assert "延期" in due.reason
    kept = taken(asked, handling.decide_extension(asked, staff(at(6)), NINGBO, granted=False, reason=""))
    assert open_until(kept, "answer") == "2022-06-01"


# -- answering, promises, rating -------------------------------------------------------------------------


def test_there_is_no_answer_without_a_contact_in_the_same_round() -> None:
    motion = assigned()
    give = {"result": "A", "sealed": "s", "signed_by": "x", "public": True, "pledges": ()}
    act = department("housing", at(5))
    assert refused(lambda: handling.answer(motion, act, NINGBO, **give)) == "contact-missing"  # type: ignore[arg-type]
    again = rated(NINGBO, BAD)
    assert (again.state, again.round) == ("redo", 2)
    later = department("housing", at(30))
    assert refused(lambda: handling.answer(again, later, NINGBO, **give)) == "contact-missing"  # type: ignore[arg-type]


def test_a_second_round_is_owed_by_whoever_handles_it_now() -> None:
    again = rated(NINGBO, BAD)
    moved = taken(again, handling.assign(again, staff(at(40)), NINGBO, lead="roads", co=(), reason=""))
    before, after = again.open_due("redo"), moved.open_due("redo")
    assert before is not None
    assert after is not None
    assert (before.department, after.department) == ("housing", "roads")
    assert after.at == before.at


def test_an_answer_of_a_promising_class_must_promise_something_and_the_pack_says_which() -> None:
    assert refused(lambda: answered(NINGBO, result="C")) == "promise-missing"
    assert refused(lambda: answered(NINGBO, result="B")) == "promise-missing"
    assert answered(QINGDAO, result="B").state == "answered"
    assert refused(lambda: answered(QINGDAO, result="C")) == "promise-missing"


def test_the_answer_to_a_secret_motion_is_not_public() -> None:
    motion = replace(assigned(), secret=True)
    assert refused(lambda: answered(motion=motion)) == "secret-not-public"


@pytest.mark.parametrize(("day", "on_time"), [(92, True), (93, False)])
def test_whether_an_answer_is_on_time_is_judged_by_when_it_was_given(day: int, on_time: bool) -> None:
    assert answered(when=at(day)).answers[0].on_time is on_time  # the last day is 2022-06-01


def test_a_second_round_ends_with_the_second_rating_whatever_it_says() -> None:
    again = rated(NINGBO, BAD)
    assert open_until(again, "redo") == "2022-04-22"  # 浙江规定第二十四条: 一个月内
    assert (
        open_until(rated(CHONGQING, BAD), "redo") == "2022-05-23"
    )  # 重庆条例第二十七条: 两个月内; 05-22 is a Sunday
    second = rated(NINGBO, BAD, when=at(40), motion=answered(motion=again, when=at(35)))
    assert (second.state, len(second.answers), len(second.ratings)) == ("closed", 2, 2)


def test_cosigners_rate_where_the_answer_goes_to_each_of_them() -> None:
    theirs = deputy(OTHERS[0], at(21))
    motion = answered(NINGBO)
    done = taken(motion, handling.rate(motion, theirs, NINGBO, BAD))
    assert (done.state, done.ratings[0].deputy) == ("answered", OTHERS[0])  # it is the lead's that counts
    assert refused(lambda: handling.rate(done, theirs, NINGBO, GOOD)) == "already-rated"
    passed_on = answered(QINGDAO)
    assert refused(lambda: handling.rate(passed_on, theirs, QINGDAO, GOOD)) == "not-your-motion"


@every_pack
def test_a_rating_gives_a_known_value_on_each_axis(rules: Rules) -> None:
    motion = answered(rules)
    for values in (
        {},
        {"attitude": "satisfied"},
        {**GOOD, "result": "great"},
        {**GOOD, "speed": "satisfied"},
    ):
        code = refused(lambda values=values: handling.rate(motion, deputy(when=at(21)), rules, values))  # type: ignore[misc]
        assert code == "ratings-wrong"
    for value in rules.motions.satisfaction.value:
        given = rated(rules, {"attitude": value, "result": value})
        assert (given.state == "redo") is (value in rules.motions.unsatisfied.value)


def test_a_promise_is_reported_by_who_made_it_and_rated_a_second_time() -> None:
    pledge = Pledge("sealed", at(60).date())
    motion = rated(NINGBO, GOOD, motion=answered(NINGBO, result="B", pledges=(pledge,)))
    assert motion.state == "closed"
    assert open_until(motion, "promise") == "2022-05-30"  # one month after 2022-04-30
    report = {"number": 1, "outcome": "kept", "sealed": "s", "due": None}
    foreign = refused(lambda: promises.report_promise(motion, department("roads", at(70)), NINGBO, **report))  # type: ignore[arg-type]
    assert foreign == "not-your-motion"
    early = refused(lambda: promises.rate_promise(motion, deputy(), NINGBO, number=1, value="satisfied"))
    assert early == "promise-unknown"
    kept = taken(motion, promises.report_promise(motion, department("housing", at(70)), NINGBO, **report))  # type: ignore[arg-type]
    assert kept.deadlines[-1].met is True
    done = taken(
        kept, promises.rate_promise(kept, deputy(when=at(71)), NINGBO, number=1, value="mostly-satisfied")
    )
    assert (done.promises[0].state, done.promises[0].rating) == ("kept", "mostly-satisfied")


def test_a_withdrawal_in_writing_ends_the_handling_until_it_is_answered() -> None:
    gone = taken(assigned(), handling.withdraw(assigned(), deputy(when=at(3)), "已解决"))
    assert gone.state == "withdrawn"
    assert all(due.ended for due in gone.deadlines)
    assert refused(lambda: handling.withdraw(answered(), deputy(when=at(30)), "x")) == "step-not-possible"


# -- who has left, second contacts, broken promises ------------------------------------------------------


def test_who_has_left_the_congress_before_it_is_submitted_signs_nothing() -> None:
    motion = signed(drafted(), 9)
    gone = {who: replace(KNOWN[who], active=False) for who in OTHERS[:3]}
    code = refused(lambda: writing.submit(motion, deputy(), NINGBO, {**KNOWN, **gone}, informed=True))
    assert code == "too-few-signers"
    elsewhere = {OTHERS[0]: replace(KNOWN[OTHERS[0]], county="330212")}
    code = refused(lambda: writing.submit(motion, deputy(), NINGBO, {**KNOWN, **elsewhere}, informed=True))
    assert code == "too-few-signers"
    more = signed(drafted(), 12)
    done = taken(more, writing.submit(more, deputy(), NINGBO, {**KNOWN, **gone}, informed=True))
    assert not set(done.signers) & set(gone)
    assert len(done.signers) == 10
    left = {AUTHOR: replace(KNOWN[AUTHOR], active=False)}
    code = refused(lambda: writing.submit(more, deputy(), NINGBO, {**KNOWN, **left}, informed=True))
    assert code == "deputy-unknown"


def test_the_second_round_needs_a_contact_after_the_rating_that_asked_for_it() -> None:
    again = rated(NINGBO, BAD)  # contacted on the 20th day, rated on the 21st
    act = department("housing", at(30))
    old = at(20).date()
    code = refused(lambda: handling.contact(again, act, on=old, form="phone", note=""))
    assert code == "contact-date-wrong"
    assert handling.contact(again, act, on=at(22).date(), form="phone", note="")


def test_a_promise_that_is_not_kept_in_full_stays_owed_with_a_new_date() -> None:
    motion = answered(NINGBO, result="B", pledges=(Pledge("s", at(60).date()),))
    act = department("housing", at(61))
    assert refused(lambda: reporting(motion, act, "partly-kept", due=None)) == "promise-date-missing"
    assert refused(lambda: reporting(motion, act, "not-kept", due=at(61).date())) == "promise-date-wrong"
    assert refused(lambda: reporting(motion, act, "kept", due=at(90).date())) == "promise-date-wrong"
    later = reporting(motion, act, "partly-kept", due=at(90).date())
    (promise,) = later.promises
    assert (promise.state, promise.due, promise.postponed) == ("partly-kept", at(90).date(), 1)
    assert open_until(later, "promise") == "2022-06-30"  # a month after 2022-05-30
    rated_once = taken(
        later, promises.rate_promise(later, deputy(when=at(62)), NINGBO, number=1, value="unsatisfied")
    )
    kept = reporting(rated_once, department("housing", at(88)), "kept", due=None)
    assert (kept.promises[0].state, kept.promises[0].rating) == ("kept", None)
    assert kept.open_due("promise") is None
    again = refused(lambda: reporting(kept, department("housing", at(89)), "kept", due=None))
    assert again == "promise-unknown"


def test_a_kept_promise_is_rated_within_the_packs_time_for_feedback() -> None:
    # 重庆条例第二十八条: 二十个工作日内.
    def kept(rules: Rules) -> Motion:
        motion = answered(rules, result="B", pledges=(Pledge("s", at(60).date()),))
        return reporting(motion, department("housing", at(61)), "kept", due=None, rules=rules)

    def rating(motion: Motion, rules: Rules, day: int) -> Motion:
        steps = promises.rate_promise(motion, deputy(when=at(day)), rules, number=1, value="satisfied")
        return taken(motion, steps)

    assert open_until(kept(CHONGQING), "rate-promise") == "2022-05-31"  # reported on Sunday, 2022-05-01
    in_time, late = (rating(kept(CHONGQING), CHONGQING, day) for day in (91, 92))
    assert (in_time.promises[0].late, late.promises[0].late) == (False, True)
    assert in_time.open_due("rate-promise") is None
    assert kept(NINGBO).open_due("rate-promise") is None
    assert rating(kept(NINGBO), NINGBO, 300).promises[0].late is False
    silent = passing(kept(CHONGQING), "rate-promise")
    assert [step.kind for step in silent.steps][-1] == "promise-unstated"
    assert silent.open_due("rate-promise") is None
    assert rating(silent, CHONGQING, 100).promises[0].late is True


# -- what time does --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "owing", "motion"),
    [
        ("assign", None, accepted()),
        ("answer", "housing", assigned()),
        ("opinion", "roads", assigned(co=("roads",))),
        ("first-contact", "housing", assigned(CHONGQING)),
        ("redo", "housing", rated(NINGBO, BAD)),
        ("promise", "housing", answered(NINGBO, result="B", pledges=(Pledge("s", at(60).date()),))),
        ("refer", None, bill()),
        ("committee", None, referred()),
        ("adopt", None, reported()),
        ("conclude", None, deciding(bill(), "agenda")),
    ],
)
def test_what_is_owed_when_its_time_is_over_is_overdue_once(
    kind: str, owing: str | None, motion: Motion
) -> None:
    due = motion.open_due(kind, owing)  # type: ignore[arg-type]
    assert due is not None
    assert dates.fall_due(motion, due.number, due.at - timedelta(days=1)) == ()
    (step,) = dates.fall_due(motion, due.number, due.at)
    assert (step.kind, step.department, step.at) == ("overdue", owing, due.at)
    assert step.detail["deadline"] == kind
    after = taken(motion, (step,))
    assert after.state == motion.state
    assert after.open_due(kind, owing) is not None, "it is owed still"  # type: ignore[arg-type]
    assert dates.fall_due(after, due.number, due.at) == ()
    assert due.number not in dates.due(after)


def test_what_was_done_in_time_or_may_no_longer_be_done_is_not_overdue() -> None:
    motion = assigned()
    due = motion.open_due("answer")
    assert due is not None
    assert dates.fall_due(answered(motion=motion), due.number, due.at) == ()
    assert {d.kind for d in motion.deadlines if d.number in dates.due(motion)} == {"answer"}
    extended = replace(due, at=due.at + timedelta(days=30))
    moved = replace(motion, deadlines=tuple(extended if d is due else d for d in motion.deadlines))
    assert dates.fall_due(moved, due.number, due.at) == ()


def test_without_a_rating_the_handling_ends_unstated_and_the_author_may_still_speak() -> None:
    for rules, kind, day in ((CHONGQING, "feedback", "2022-04-19"), (NINGBO, "unstated", "2022-06-21")):
        motion = answered(rules)
        assert open_until(motion, kind) == day
        silent = passing(motion, kind)
        assert (silent.state, silent.ratings) == ("closed", ())
        assert silent.closed_at == silent.deadlines[-1].ended
        told = figures.report([silent], rules.motions, at(200))["satisfaction"]["result"]
        assert (told["denominator"], told["left_out"]["unstated"]) == (0, 1)
        later = at(150)
        good = rated(rules, GOOD, motion=silent, when=later)
        assert (good.state, good.closed_at) == ("closed", silent.closed_at)
        assert good.ratings[0].late is (rules is CHONGQING)
        again = rated(rules, BAD, motion=silent, when=later)
        assert (again.state, again.round, again.closed_at) == ("redo", 2, None)
        twice = partial(handling.rate, good, deputy(when=later), rules, BAD)
        assert refused(twice) == "already-rated"


def test_open_deadlines_are_counted_again_with_a_new_calendar_and_ended_ones_are_not() -> None:
    motion = assigned()
    assert dates.redate(motion, at(40), lambda _: NINGBO) == ()
    later = Rules(ANOTHER, NINGBO.motions)
    moved = taken(motion, dates.redate(motion, at(40), lambda _: later))
    assert (open_until(motion, "answer"), open_until(moved, "answer")) == ("2022-06-01", "2022-06-02")
    assert {d.calendar for d in moved.deadlines if d.ended is None} == {"later"}
    assert {d.calendar for d in moved.deadlines if d.ended is not None} == {CALENDAR.version}
    assert [d.number for d in moved.deadlines if d.number in moved.steps[-1].detail["moved"]] == [3]
    assert dates.redate(moved, at(40), lambda _: later) == ()
    asked = taken(
        motion, handling.ask_extension(motion, department("housing", at(5)), NINGBO, more=3, reason="")
    )
    longer = taken(asked, handling.decide_extension(asked, staff(at(6)), NINGBO, granted=True, reason=""))
    assert open_until(taken(longer, dates.redate(longer, at(40), lambda _: later)), "answer") == "2022-09-01"


def test_a_deadline_that_moves_after_it_had_passed_can_pass_again() -> None:
    motion = passing(assigned(), "answer")
    moved = taken(motion, dates.redate(motion, at(40), lambda _: Rules(ANOTHER, NINGBO.motions)))
    assert passing(moved, "answer").steps[-1].kind == "overdue"


def test_what_was_owed_before_it_had_a_date_gets_one_as_if_it_always_had() -> None:
    def undated(motion: Motion, kind: str) -> Motion:
        ended = [replace(d, ended=at(30)) if d.kind == kind else d for d in motion.deadlines]
        return replace(motion, deadlines=tuple(ended))

    motion = answered(result="B", pledges=(Pledge("s", at(60).date()),))
    silent = undated(motion, "unstated")
    dated = taken(silent, dates.redate(silent, at(40), lambda _: NINGBO))
    assert open_until(dated, "unstated") == open_until(motion, "unstated")
    assert dated.steps[-1].detail["moved"] == [dated.deadlines[-1].number]
    assert dates.redate(dated, at(40), lambda _: NINGBO) == ()
    late = reporting(motion, department("housing", at(61)), "not-kept", due=at(90).date())
    forgotten = undated(late, "promise")
    owed = taken(forgotten, dates.redate(forgotten, at(40), lambda _: NINGBO))
    assert open_until(owed, "promise", "housing") == open_until(late, "promise", "housing")
    assert dates.redate(late, at(40), lambda _: NINGBO) == ()


# -- figures ---------------------------------------------------------------------------------------------


def test_on_time_counts_what_is_overdue_and_not_answered() -> None:
    motions = [answered(), answered(when=at(93)), assigned(), assigned(when=at(60)), submitted()]
    told = figures.report(motions, NINGBO.motions, at(100))["on_time"]
    assert told == {
        "share": 0.3333,
        "numerator": 1,
        "denominator": 3,
        "left_out": {"not_yet_due": 1, "withdrawn": 0, "bills": 0},
    }


def test_bills_are_told_apart_by_where_they_stand_and_are_nobodys_to_answer() -> None:
    motions = [bill(), referred(), deciding(reported(), "explained"), deciding(reported(), "suggestion")]
    told = figures.report([*motions, accepted()], NINGBO.motions, at(100))
    assert told["bills"] == {"accepted": 1, "in-committee": 1, "explained": 1}
    assert (told["turned"], told["on_time"]["left_out"]["bills"]) == (1, 3)
    assert told["on_time"]["denominator"] == 2


def test_what_nobody_assigned_in_time_is_overdue_as_well() -> None:
    assert figures.report([accepted()], NINGBO.motions, at(8.5))["on_time"]["denominator"] == 1


def test_unstated_and_late_ratings_leave_the_satisfaction_only_where_the_pack_says_so() -> None:
    def told(rules: Rules) -> dict[str, object]:
        motions = [
            rated(rules, GOOD),
            rated(rules, {"attitude": "unstated", "result": "unstated"}),
            rated(rules, GOOD, when=at(60)),  # in Chongqing after 20 working days
            answered(rules),  # in Chongqing without a rating within them: unstated
        ]
        found: dict[str, object] = figures.report(motions, rules.motions, at(100))["satisfaction"]["result"]
        return found

    assert told(CHONGQING) == {
        "share": 1.0,
        "numerator": 1,
        "denominator": 1,
        "left_out": {"pending": 0, "unstated": 2, "late": 1},
    }
    assert told(NINGBO) == {
        "share": 0.6667,
        "numerator": 2,
        "denominator": 3,
        "left_out": {"pending": 1, "unstated": 0, "late": 0},
    }


def test_promises_are_counted_by_what_became_of_them() -> None:
    def promised(reported: str | None) -> Motion:
        motion = answered(NINGBO, result="B", pledges=(Pledge("s", at(60).date()),))
        if reported is None:
            return motion
        act = department("housing", at(61))
        return reporting(motion, act, reported, due=None if reported == "kept" else at(200).date())

    motions = [promised("kept"), promised("not-kept"), promised(None)]
    before, after = (figures.report(motions, NINGBO.motions, at(day)) for day in (62, 120))
    assert before["promises"] == {"made": 3, "kept": 1, "not-kept": 1, "open": 1}
    assert before["promises_kept"]["denominator"] == 2
    assert after["promises"] == {"made": 3, "kept": 1, "not-kept": 1, "overdue": 1}
    assert (after["promises_kept"]["numerator"], after["promises_kept"]["denominator"]) == (1, 3)


def test_every_figure_of_the_report_says_how_it_is_counted() -> None:
    told = figures.report([submitted()], NINGBO.motions, datetime.now(UTC))
    plain = {"at", "states", "withdrawn", "supervised", "measures"}
    assert set(told) - plain == set(figures.MEASURES)
    assert told["submitted"] == {"total": 1, "kinds": {"suggestion": {"county": 1}}}
