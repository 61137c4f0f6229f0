"""The rules of courses and of a deputy's way through one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.learning import domain, markup
from services.learning.domain import Course, Enrolment, Lesson, QuizQuestion
from shared.contracts.learning import LESSON_TEXT_MAX
from shared.refusals import Refusal

EVENING = datetime(2021, 12, 31, 12, tzinfo=UTC)
ANNA, BO = UUID(int=1), UUID(int=2)

COURSE = Course(
    id=UUID(int=9),
    title="代表履职初任培训",
    lessons=(Lesson("law", "代表法", 40), Lesson("app", "如何使用代表通", 20)),
    quiz=tuple(QuizQuestion(f"q{n}", "选择正确的一项", ("甲", "乙", "丙"), n % 3) for n in range(3)),
    pass_mark=60,
    levels=("county", "town"),
    published_at=EVENING,
    published_by="staff",
)
BEGUN = Enrolment(COURSE.id, ANNA, started_at=EVENING, changed_at=EVENING)
RIGHT = {question.key: question.answer for question in COURSE.quiz}


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda refusal: refusal.code == code)


def record(
    enrolment: Enrolment, *lessons: str, answers: dict[str, int] | None = None, course: Course = COURSE
) -> Enrolment:
    return domain.record(course, enrolment, EVENING, lessons=lessons, answers=answers or {})


READY = record(BEGUN, "law", "app", answers=RIGHT)


def test_a_course_lasts_as_long_as_its_lessons() -> None:
    assert domain.keep(None, COURSE).minutes == 60


def test_lessons_with_one_key_are_refused() -> None:
    with refused("lessons-not-valid"):
        domain.keep(None, replace(COURSE, lessons=(COURSE.lessons[0], COURSE.lessons[0])))


@pytest.mark.parametrize(
    "quiz",
    [
        (COURSE.quiz[0], COURSE.quiz[0]),
        (replace(COURSE.quiz[0], answer=3),),
        (replace(COURSE.quiz[0], options=("甲", "甲")),),
        (replace(COURSE.quiz[0], options=("甲", " ")),),
    ],
)
def test_a_quiz_without_one_clear_answer_to_each_question_is_refused(quiz: tuple[QuizQuestion, ...]) -> None:
    with refused("quiz-not-valid"):
        domain.keep(None, replace(COURSE, quiz=quiz))


def test_a_right_answer_is_not_printed_with_its_question() -> None:
    assert "answer" not in repr(COURSE)


# --- drafts and texts


DRAFT = replace(COURSE, published_at=None)


def write(course: Course, key: str = "law", revision: int = 0, title: str = "代表法", text: str = "第一条") -> Course:  # fmt: skip
    return domain.write(course, key, title=title, text=text, revision=revision, at=EVENING, by="staff")


def test_a_draft_is_saved_again_and_published_and_its_lessons_keep_their_texts_by_key() -> None:
    saved = write(domain.keep(None, DRAFT))
    assert saved.revisions == {"law": 2}
    turned = replace(DRAFT, lessons=(Lesson("new", "新课", 5), DRAFT.lessons[0]))
    again = domain.keep(saved, turned)
    assert (again.version, again.revisions, again.written) == (3, {"law": 2}, saved.written)
    without = domain.keep(again, replace(DRAFT, lessons=(DRAFT.lessons[1],)))
    assert domain.keep(without, DRAFT).revisions == {}  # what was taken out does not come back by its key
    published = domain.keep(again, COURSE)
    assert (published.published_at, published.version) == (EVENING, 4)
    for later in (COURSE, DRAFT):
        with refused("course-exists"):
            domain.keep(published, later)


def test_a_draft_is_not_saved_or_published_over_one_that_was_not_read() -> None:
    first = domain.keep(None, DRAFT)
    second = domain.keep(first, replace(DRAFT, title="新题目"), first.version)
    for course in (DRAFT, COURSE):
        with refused("course-changed"):
            domain.keep(second, course, first.version)
        with refused("course-changed"):
            domain.keep(write(second), course, second.version)  # a text brings its lesson's title
        with refused("course-unknown"):
            domain.keep(None, course, 1)
        assert domain.keep(second, course, second.version).version == 3
        assert domain.keep(second, course).version == 3  # who names no version replaces what is there


def test_a_published_lesson_is_corrected_and_what_was_completed_stays() -> None:
    first = write(COURSE)
    second = write(first, revision=first.revisions["law"], title="代表法（修订）", text="第一条　为了")
    assert [(one.title, one.minutes) for one in second.lessons] == [
        ("代表法（修订）", 40),
        ("如何使用代表通", 20),
    ]
    assert [(one.lesson, one.revision, one.text) for one in second.written] == [
        ("law", 2, "第一条"),
        ("law", 3, "第一条　为了"),
    ]
    assert domain.complete(second, READY, EVENING).mark == 100


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"key": "history"}, "lesson-unknown"),
        ({"revision": 0}, "lesson-changed"),
        ({"revision": 3}, "lesson-changed"),
        ({"revision": 2, "text": " \n"}, "lesson-empty"),
        ({"revision": 2, "title": " "}, "lesson-empty"),
    ],
)
def test_a_text_for_no_lesson_over_anothers_or_without_words_is_refused(
    given: dict[str, str], code: str
) -> None:
    with refused(code):
        write(write(COURSE), **given)  # type: ignore[arg-type]


class Elements(HTMLParser):
    """What a browser would make of a text's HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_text_has_headings_lists_quotations_emphasis_and_links() -> None:
    text = "# 总则\n\n为了**保证**代表\n*依法*履职：\n\n3. 出席会议\n4. 联系群众\n\n> 引文\n\n[法律](https://flk.npc.gov.cn/)"
    assert markup.html(text).replace("\n", "") == (
        "<h3>总则</h3><p>为了<strong>保证</strong>代表<br><em>依法</em>履职：</p>"
        '<ol start="3"><li>出席会议</li><li>联系群众</li></ol><blockquote><p>引文</p></blockquote>'
        '<p><a href="https://flk.npc.gov.cn/" target="_blank" rel="noopener noreferrer">法律</a></p>'
    )


ALLOWED = {"p", "br", "h3", "h4", "ul", "ol", "li", "blockquote", "hr", "strong", "em", "a"}
PIECES = st.sampled_from(
    ["<script>", "<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>", "[a](javascript:alert(1))", "[a](data:text/html,x)",
     "![图](https://a.cn/b.png)", '[a](https://a.cn/"onclick=b)', "<https://a.cn>", "<javascript:alert(1)>", "# ", "- ", "7. ", "> ", "**", "_", "`", "\n",
     "\n\n", "    ", "&lt;", "&#60;", "<!--", "<style>", "[b]: javascript:x\n", "[b]", "文"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
def test_whatever_a_text_holds_only_plain_elements_come_of_it(text: str) -> None:
    for tag, attributes in Elements(markup.html(text)).found:
        assert tag in ALLOWED
        if tag == "a":
            assert set(attributes) == {"href", "target", "rel"}
            assert str(attributes["href"]).lower().startswith(("http://", "https://"))
        else:
            assert set(attributes) <= ({"start"} if tag == "ol" else set())


@pytest.mark.parametrize("piece", ["*", "[", ">", "<", "*a_ ", "[a](", "- ", "`", "\\"])
def test_the_longest_text_is_rendered_soon(piece: str) -> None:
    assert len(markup.html((piece * LESSON_TEXT_MAX)[:LESSON_TEXT_MAX])) < 10 * LESSON_TEXT_MAX


@pytest.mark.parametrize(
    ("lessons", "answers", "code"),
    [
        ((), {}, "nothing-recorded"),
        (("law", "history"), {}, "lesson-unknown"),
        ((), {"q9": 0}, "question-unknown"),
        ((), {"q0": 3}, "option-unknown"),
        ((), {"q0": -1}, "option-unknown"),
    ],
)
def test_progress_that_does_not_fit_the_course_is_refused(
    lessons: tuple[str, ...], answers: dict[str, int], code: str
) -> None:
    with refused(code):
        record(BEGUN, *lessons, answers=answers)


def test_answers_to_a_course_without_quiz_are_refused() -> None:
    with refused("question-unknown"):
        record(BEGUN, answers={"q0": 0}, course=replace(COURSE, quiz=()))


def test_lessons_add_up_and_a_lesson_done_twice_changes_nothing() -> None:
    first = record(BEGUN, "law")
    assert record(first, "law") is first
    assert record(first, "app").lessons == {"law", "app"}


def test_what_is_left_out_of_a_quiz_is_wrong_and_a_mark_is_never_rounded_up() -> None:
    assert domain.mark(COURSE, {"q0": 0, "q1": 1}) == 66
    assert record(BEGUN, answers={"q0": 0, "q1": 1}).mark == 66


def test_the_best_attempt_counts() -> None:
    good = record(BEGUN, answers=RIGHT)
    worse = record(good, answers={"q0": 1})
    assert (worse.mark, worse.attempts) == (100, 2)
    assert record(record(BEGUN, answers={"q0": 1}), answers=RIGHT).mark == 100


def test_a_course_is_completed_with_all_lessons_and_the_quiz_passed() -> None:
    done = domain.complete(COURSE, READY, EVENING + timedelta(hours=1))
    assert done.completed_at == EVENING + timedelta(hours=1)
    assert done.certificate == domain.certificate(COURSE.id, ANNA, EVENING)
    assert (done.mark, done.version) == (100, READY.version + 1)


def test_a_missing_lesson_keeps_the_course_open() -> None:
    with refused("lessons-missing"):
        domain.complete(COURSE, BEGUN, EVENING)
    with refused("lessons-missing"):
        domain.complete(COURSE, record(BEGUN, "law", answers=RIGHT), EVENING)


@pytest.mark.parametrize("pass_mark", [0, 66, 67])
def test_a_quiz_not_tried_or_below_the_pass_mark_keeps_the_course_open(pass_mark: int) -> None:
    course = replace(COURSE, pass_mark=pass_mark)
    studied = record(BEGUN, "law", "app")
    with refused("quiz-not-passed"):
        domain.complete(course, studied, EVENING)
    two_of_three = record(studied, answers={"q0": 0, "q1": 1})
    if pass_mark <= 66:
        assert domain.complete(course, two_of_three, EVENING).mark == 66
    else:
        with refused("quiz-not-passed"):
            domain.complete(course, two_of_three, EVENING)


def test_a_course_without_quiz_is_completed_by_its_lessons() -> None:
    course = replace(COURSE, quiz=())
    assert domain.complete(course, record(BEGUN, "law", "app", course=course), EVENING).mark == 100


def test_a_completed_course_is_final() -> None:
    done = domain.complete(COURSE, READY, EVENING)
    with refused("already-completed"):
        domain.complete(COURSE, done, EVENING)
    with refused("already-completed"):
        record(done, "law")


def test_time_of_an_enrolment_never_runs_backwards() -> None:
    done = domain.complete(COURSE, READY, EVENING - timedelta(hours=1))
    assert done.completed_at == done.changed_at == EVENING


def test_a_certificate_bears_the_day_in_china() -> None:
    just_after_midnight = datetime(2021, 12, 31, 16, 1, tzinfo=UTC)
    assert domain.certificate(COURSE.id, ANNA, just_after_midnight).startswith("20220101-")


SOME_IDS = st.sampled_from([COURSE.id, ANNA, BO, UUID(int=1 << 127)])


@given(SOME_IDS, SOME_IDS, SOME_IDS, SOME_IDS)
def test_two_certificates_differ(course: UUID, deputy: UUID, other_course: UUID, other_deputy: UUID) -> None:
    assume((course, deputy) != (other_course, other_deputy))
    numbers = {
        domain.certificate(course, deputy, EVENING),
        domain.certificate(other_course, other_deputy, EVENING),
    }
    assert len(numbers) == 2


@given(
    st.lists(
        st.one_of(
            st.builds(lambda lessons: ("lessons", lessons), st.sets(st.sampled_from(["law", "app", "none"]))),
            st.builds(
                lambda answers: ("answers", answers),
                st.dictionaries(st.sampled_from(["q0", "q1", "q2"]), st.integers(-1, 3)),
            ),
            st.just(("complete", None)),
        ),
        max_size=20,
    )
)
def test_whatever_comes_a_course_completed_has_all_lessons_and_a_mark_that_passes(steps: list) -> None:  # type: ignore[type-arg]
    now, best = BEGUN, None
    for step, content in steps:
        before = now
        try:
            if step == "complete":
                now = domain.complete(COURSE, now, EVENING)
            elif step == "lessons":
                now = record(now, *content)
            else:
                now = record(now, answers=content)
                best = max(best or 0, domain.mark(COURSE, content))
        except Refusal:
            assert now is before
            continue
        assert now.lessons >= before.lessons
        assert now.mark == best
        assert before.completed_at is None or now is before
        if now.completed_at is not None:
            assert now.lessons == {"law", "app"}
            assert now.mark is not None
            assert now.mark >= COURSE.pass_mark
            assert now.certificate is not None
