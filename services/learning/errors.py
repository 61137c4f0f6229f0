"""Refusals of learning, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def not_a_person() -> Refusal:
    """The sender is no person with an id."""
    return Refusal("not-a-person", "Only a person can study.", "forbidden")


def course_exists() -> Refusal:
    """A course with this id has been published already."""
    return Refusal("course-exists", "A course with this id has been published already; take a new id.")


def course_unknown() -> Refusal:
    """There is no such course."""
    return Refusal("course-unknown", "There is no course with this id.", "not-found")


def lessons_not_valid() -> Refusal:
    """Two lessons have the same key."""
    return Refusal("lessons-not-valid", "Each lesson needs a key of its own.", "invalid")


def quiz_not_valid() -> Refusal:
    """The quiz contradicts itself."""
    return Refusal(
        "quiz-not-valid",
        "Each question of the quiz needs a key of its own, different options, and one of them as the answer.",
        "invalid",
    )


def lesson_unknown() -> Refusal:
    """The course has no such lesson."""
    return Refusal("lesson-unknown", "The course has no lesson with one of these keys.", "invalid")


def lesson_missing() -> Refusal:
    """There is no such lesson to read."""
    return Refusal("lesson-missing", "The course has no lesson with this key.", "not-found")


def course_changed() -> Refusal:
    """The draft was saved anew since it was read."""
    return Refusal(
        "course-changed", "Somebody else has saved this draft meanwhile; read it again before you save yours."
    )


def lesson_changed() -> Refusal:
    """The lesson was written anew since it was read."""
    return Refusal(
        "lesson-changed", "Somebody else has written this lesson meanwhile; read it again and add yours."
    )


def lesson_empty() -> Refusal:
    """A lesson's title or text is blank."""
    return Refusal("lesson-empty", "Write the lesson's title and its text.", "invalid")


def question_unknown() -> Refusal:
    """The quiz has no such question."""
    return Refusal("question-unknown", "The quiz has no question with one of these keys.", "invalid")


def option_unknown() -> Refusal:
    """A question has no such option."""
    return Refusal("option-unknown", "Answer each question by the index of one of its options.", "invalid")


def nothing_recorded() -> Refusal:
    """The command holds neither lessons nor answers."""
    return Refusal("nothing-recorded", "Send the lessons you finished, your answers, or both.", "invalid")


def lessons_missing(number: int) -> Refusal:
    """Not every lesson is done."""
    return Refusal("lessons-missing", f"Finish the other lessons first; {number} of them are left.")


def quiz_not_passed(pass_mark: int) -> Refusal:
    """The quiz's best mark is too low, or the quiz was never tried."""
    return Refusal("quiz-not-passed", f"Pass the quiz first, with {pass_mark} per cent or more.")


def already_completed() -> Refusal:
    """The deputy has completed the course before."""
    return Refusal("already-completed", "You have completed this course already.")


def no_certificate() -> Refusal:
    """The caller has not completed the course."""
    return Refusal(
        "no-certificate", "There is a certificate once you have completed the course.", "not-found"
    )
