"""The rules of activities, consultations and duties."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.participation import domain
from services.participation.domain import Activity, Consultation, Duty, Question
from services.participation.store import new_code
from shared.refusals import Refusal

NOON = datetime(2022, 4, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANNA, BO, CHEN = (UUID(int=n) for n in (1, 2, 3))
CODE = "K7PM2XQ4"


def activity(capacity: int | None = None, **changes: object) -> Activity:
    planned = Activity(
        id=UUID(int=9),
        title="走访企业",
        kind="theme",
        county=None,
        starts_at=NOON,
        ends_at=NOON + 2 * HOUR,
        capacity=capacity,
        code=CODE,
        announced_at=NOON - 100 * HOUR,
        announced_by="staff",
    )
    return replace(planned, **changes)


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda refusal: refusal.code == code)


@pytest.mark.parametrize(
    ("starts", "ends", "is_taken"),
    [
        (0, 1, True),
        (-200, 1, True),
        (1, 1, False),
        (2, 1, False),
        (-200, -100, False),
        (-99, 9000, False),
        (0, 24 * 366 + 1, False),
        (24 * 365 * 6, 24 * 365 * 6 + 1, False),
    ],
)
def test_an_activity_ends_after_it_starts_in_the_future_and_within_five_years(
    starts: int, ends: int, is_taken: bool
) -> None:
    planned = activity(starts_at=NOON + starts * HOUR, ends_at=NOON + ends * HOUR)
    if is_taken:
        assert domain.announce(planned) is planned
    else:
        with refused("period-not-valid"):
            domain.announce(planned)


def test_an_activity_has_no_more_places_than_can_be_counted() -> None:
    assert domain.announce(activity(capacity=domain.CAPACITY_MAX)).capacity == domain.CAPACITY_MAX
    with refused("capacity-not-valid"):
        domain.announce(activity(capacity=domain.CAPACITY_MAX + 1))


def test_signing_up_ends_when_the_activity_starts() -> None:
    assert domain.sign_up(activity(), ANNA, NOON - timedelta(microseconds=1)).sign_ups == 1
    with refused("sign-up-closed"):
        domain.sign_up(activity(), ANNA, NOON)


def test_signing_up_twice_is_refused() -> None:
    once = domain.sign_up(activity(), ANNA, NOON - HOUR)
    with refused("already-signed-up"):
        domain.sign_up(once, ANNA, NOON - HOUR)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (NOON - HOUR - timedelta(microseconds=1), False),
        (NOON - HOUR, True),
        (NOON + 2 * HOUR, True),
        (NOON + 2 * HOUR + timedelta(microseconds=1), False),
    ],
)
def test_checking_in_is_open_from_an_hour_before_the_start_until_the_end(at: datetime, is_open: bool) -> None:
    if is_open:
        assert domain.check_in(activity(), ANNA, CODE, at).check_ins == 1
        return
    with refused("check-in-not-open"):
        domain.check_in(activity(), ANNA, CODE, at)
    with refused("check-in-not-open"):  # outside the hours nobody learns whether a code is right
        domain.check_in(activity(), ANNA, "WRONG234", at)


def test_checking_in_without_having_signed_up_counts_as_signing_up() -> None:
    came = domain.check_in(activity(), ANNA, CODE, NOON)
    assert (came.sign_ups, came.check_ins) == (1, 1)
    assert came.attendances[ANNA].signed_up_at == NOON


def test_checking_in_after_signing_up_takes_no_second_place() -> None:
    signed_up = domain.sign_up(activity(capacity=1), ANNA, NOON - HOUR)
    came = domain.check_in(signed_up, ANNA, CODE, NOON)
    assert (came.sign_ups, came.check_ins) == (1, 1)
    assert came.attendances[ANNA].signed_up_at == NOON - HOUR
    with refused("already-checked-in"):
        domain.check_in(came, ANNA, CODE, NOON)


@pytest.mark.parametrize("typed", [CODE, CODE.lower(), f" {CODE[:4]}-{CODE[4:]} "])
def test_a_code_is_taken_as_people_type_it(typed: str) -> None:
    assert domain.check_in(activity(), ANNA, typed, NOON).check_ins == 1


@pytest.mark.parametrize("typed", ["", CODE[:-1], CODE + "2", "K7PM2XQ5", "活动码"])
def test_a_wrong_code_is_refused(typed: str) -> None:
    with refused("code-wrong"):
        domain.check_in(activity(), ANNA, typed, NOON)


def test_codes_are_random_and_easily_read() -> None:
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert all(len(code) == domain.CODE_LENGTH for code in codes)
    assert {character for code in codes for character in code} == set(domain.CODE_ALPHABET)
    assert not set(domain.CODE_ALPHABET) & set("0O1IL")


def test_the_code_is_not_printed_with_the_activity() -> None:
    assert CODE not in repr(activity())


@given(
    capacity=st.none() | st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["sign_up", "check_in"]), st.integers(1, 6), st.integers(-4, 4)),
        max_size=30,
    ),
)
def test_whatever_comes_check_ins_never_exceed_sign_ups_nor_sign_ups_the_places(
    capacity: int | None, steps: list[tuple[str, int, int]]
) -> None:
    now = activity(capacity=capacity)
    for step, number, hours in steps:
        before, deputy, at = now, UUID(int=number), NOON + hours * HOUR
        try:
            now = (
                domain.sign_up(now, deputy, at)
                if step == "sign_up"
                else domain.check_in(now, deputy, CODE, at)
            )
        except Refusal:
            assert now is before
        else:
            assert now.version == before.version + 1
        came = [a for a in now.attendances.values() if a.checked_in_at is not None]
        assert now.sign_ups == len(now.attendances)
        assert now.check_ins == len(came)
        assert now.check_ins <= now.sign_ups <= (capacity or 6)
        assert all(a.signed_up_at <= (a.checked_in_at or a.signed_up_at) for a in now.attendances.values())


CHOICE = Question("support", "是否赞成", "choice", ("赞成", "反对"), required=True)
WORDS = Question("opinion", "修改意见", "text", (), required=False)


def consultation(*questions: Question, **changes: object) -> Consultation:
    asked = Consultation(
        id=UUID(int=8),
        title="条例草案",
        kind="legislation",
        county=None,
        questions=questions or (CHOICE, WORDS),
        opened_at=NOON,
        opened_by="staff",
        closes_at=NOON + 24 * HOUR,
        changed_at=NOON,
    )
    return replace(asked, **changes)


@pytest.mark.parametrize(
    "questions",
    [
        (CHOICE, replace(WORDS, key=CHOICE.key)),
        (replace(CHOICE, options=()),),
        (replace(CHOICE, options=("赞成",)),),
        (replace(CHOICE, options=("赞成", "赞成")),),
        (replace(CHOICE, options=("赞成", " ")),),
        (replace(WORDS, options=("赞成", "反对")),),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(questions: tuple[Question, ...]) -> None:
    with refused("questions-not-valid"):
        domain.open_consultation(consultation(*questions))


@pytest.mark.parametrize("closes_at", [NOON, NOON - HOUR, NOON + timedelta(days=5 * 366 + 1)])
def test_a_consultation_closes_in_the_future_but_within_five_years(closes_at: datetime) -> None:
    assert domain.open_consultation(consultation()).version == 1
    with refused("closing-not-valid"):
        domain.open_consultation(consultation(closes_at=closes_at))


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({"support": "赞成", "other": "赞成"}, "question-unknown"),
        ({"support": "弃权"}, "option-unknown"),
        ({"opinion": "第三条应当明确期限"}, "answer-missing"),
        ({"support": "  ", "opinion": "第三条应当明确期限"}, "answer-missing"),
        ({}, "answer-missing"),
    ],
)
def test_answers_that_do_not_fit_the_questions_are_refused(answers: dict[str, str], code: str) -> None:
    with refused(code):
        domain.answer(consultation(), ANNA, answers, NOON)


def test_an_answer_of_blanks_alone_is_refused() -> None:
    with refused("answer-missing"):
        domain.answer(consultation(WORDS), ANNA, {"opinion": " \n"}, NOON)


def test_only_words_that_are_not_blank_count_as_opinions() -> None:
    more = replace(WORDS, key="more")
    once = domain.answer(
        consultation(CHOICE, WORDS, more),
        ANNA,
        {"support": "赞成", "opinion": "意见", "more": " "},
        NOON,
    )
    assert (once.respondents, once.opinions) == (1, 1)
    assert once.answers[ANNA].answers == {"support": "赞成", "opinion": "意见"}
    both = domain.answer(once, BO, {"support": "反对"}, NOON)
    assert (both.respondents, both.opinions) == (2, 1)


def test_a_deputy_answers_once() -> None:
    once = domain.answer(consultation(), ANNA, {"support": "赞成"}, NOON)
    with refused("already-answered"):
        domain.answer(once, ANNA, {"support": "反对"}, NOON)


def test_answers_end_at_the_last_moment_or_when_staff_close() -> None:
    asked = consultation()
    assert domain.answer(asked, ANNA, {"support": "赞成"}, asked.closes_at).respondents == 1
    with refused("consultation-closed"):
        domain.answer(asked, ANNA, {"support": "赞成"}, asked.closes_at + timedelta(microseconds=1))
    closed = domain.close(asked, NOON + HOUR)
    with refused("consultation-closed"):
        domain.answer(closed, ANNA, {"support": "赞成"}, NOON)
    with refused("consultation-closed"):
        domain.close(closed, NOON + HOUR)


def test_a_consultation_never_closes_before_an_answer_that_it_took() -> None:
    answered = domain.answer(consultation(), ANNA, {"support": "赞成"}, NOON + 3 * HOUR)
    assert domain.close(answered, NOON + HOUR).closed_at == NOON + 3 * HOUR


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["赞成", "反对", "弃权"]), st.text(max_size=3))))
def test_counters_of_a_consultation_equal_its_answers(given_: list[tuple[int, str, str]]) -> None:
    now = consultation()
    for number, option, words in given_:
        try:
            now = domain.answer(now, UUID(int=number), {"support": option, "opinion": words}, NOON)
        except Refusal:
            continue
    assert now.respondents == len(now.answers)
    assert now.opinions == sum(bool(a.answers.get("opinion", "").strip()) for a in now.answers.values())


def duty(happened_on: date = date(2022, 4, 1), **changes: object) -> Duty:
    declared = Duty(
        id=UUID(int=7),
        deputy_id=ANNA,
        kind="visit",
        happened_on=happened_on,
        note="走访选民",
        declared_at=NOON,
        changed_at=NOON,
    )
    return replace(declared, **changes)


@pytest.mark.parametrize(
    ("happened_on", "is_taken"),
    [
        (date(2022, 4, 1), True),
        (date(2022, 4, 2), False),
        (date(2022, 1, 1), True),
        (date(2021, 12, 31), False),
    ],
)
def test_a_duty_happened_today_or_within_90_days(happened_on: date, is_taken: bool) -> None:
    if is_taken:
        assert domain.declare(duty(happened_on)).state == "declared"
    else:
        with refused("date-not-valid"):
            domain.declare(duty(happened_on))


def test_today_is_the_day_in_china() -> None:
    evening = datetime(2022, 4, 1, 16, 30, tzinfo=UTC)  # half past midnight on the 2nd in Ningbo
    assert domain.declare(duty(date(2022, 4, 2), declared_at=evening)).happened_on == date(2022, 4, 2)


@pytest.mark.parametrize("state", ["confirmed", "rejected", "withdrawn"])
def test_a_decision_on_a_duty_is_final(state: str) -> None:
    decided = duty(state=state)
    for decide in (
        lambda: domain.confirm(decided, "staff", NOON),
        lambda: domain.reject(decided, "staff", NOON, "重复"),
        lambda: domain.withdraw(decided, ANNA, NOON),
    ):
        with refused("duty-decided"):
            decide()


def test_each_step_of_a_duty_raises_its_version() -> None:
    confirmed = domain.confirm(duty(), "staff", NOON + HOUR)
    assert (confirmed.state, confirmed.version, confirmed.decided_by) == ("confirmed", 2, "staff")
    rejected = domain.reject(duty(), "staff", NOON + HOUR, "重复")
    assert (rejected.state, rejected.version, rejected.reason) == ("rejected", 2, "重复")


def test_only_its_deputy_withdraws_a_duty() -> None:
    with refused("not-your-duty"):
        domain.withdraw(duty(), BO, NOON)
    assert domain.withdraw(duty(), ANNA, NOON).state == "withdrawn"


def test_time_of_a_duty_never_runs_backwards() -> None:
    assert domain.confirm(duty(), "staff", NOON - HOUR).changed_at == NOON
