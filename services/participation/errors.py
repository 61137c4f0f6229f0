"""Refusals of participation, each with its stable code."""

from __future__ import annotations

from datetime import date

from shared.refusals import Refusal


def not_a_person() -> Refusal:
    """The sender is no person with an id."""
    return Refusal("not-a-person", "Only a person can do this.", "forbidden")


def activity_exists() -> Refusal:
    """An activity with this id has been announced already."""
    return Refusal("activity-exists", "An activity with this id has been announced already; take a new id.")


def activity_unknown() -> Refusal:
    """There is no such activity."""
    return Refusal("activity-unknown", "There is no activity with this id.", "not-found")


def period_not_valid() -> Refusal:
    """The activity would end before it starts, is over already, or lies too far ahead."""
    return Refusal(
        "period-not-valid",
        "An activity must end after it starts, in the future but within five years, and last a year at most.",
        "invalid",
    )


def capacity_not_valid(largest: int) -> Refusal:
    """More places than anything has."""
    return Refusal("capacity-not-valid", f"An activity has at most {largest:,} places.", "invalid")


def already_signed_up() -> Refusal:
    """The deputy has signed up before."""
    return Refusal("already-signed-up", "You have signed up for this activity already.")


def sign_up_closed() -> Refusal:
    """The activity has started."""
    return Refusal("sign-up-closed", "This activity has started; you can still check in at it.")


def activity_full() -> Refusal:
    """All places are taken."""
    return Refusal("activity-full", "All places of this activity are taken.")


def already_checked_in() -> Refusal:
    """The deputy has checked in before."""
    return Refusal("already-checked-in", "You have checked in at this activity already.")


def check_in_not_open() -> Refusal:
    """It is too early or too late to check in."""
    return Refusal(
        "check-in-not-open", "Check-in is open from one hour before the activity starts until it ends."
    )


def code_wrong() -> Refusal:
    """The code is not the one shown at the activity."""
    return Refusal("code-wrong", "This is not the code of this activity; read it again.", "invalid")


def consultation_exists() -> Refusal:
    """A consultation with this id has been opened already."""
    return Refusal(
        "consultation-exists", "A consultation with this id has been opened already; take a new id."
    )


def consultation_unknown() -> Refusal:
    """There is no such consultation."""
    return Refusal("consultation-unknown", "There is no consultation with this id.", "not-found")


def questions_not_valid() -> Refusal:
    """The questions contradict themselves."""
    return Refusal(
        "questions-not-valid",
        "Each question needs a key of its own; a choice at least two different options, a question for "
        "words none.",
        "invalid",
    )


def closing_not_valid() -> Refusal:
    """The consultation would close before it opens, or too far ahead."""
    return Refusal(
        "closing-not-valid", "A consultation must close in the future but within five years.", "invalid"
    )


def consultation_closed() -> Refusal:
    """The consultation takes no answers any more."""
    return Refusal("consultation-closed", "This consultation is closed.")


def already_answered() -> Refusal:
    """The deputy has answered before."""
    return Refusal("already-answered", "You have answered this consultation already.")


def question_unknown() -> Refusal:
    """An answer is to a question that was not asked."""
    return Refusal("question-unknown", "An answer is to a question that was not asked.", "invalid")


def option_unknown() -> Refusal:
    """An answer to a choice is none of its options."""
    return Refusal("option-unknown", "Choose one of the options of each question.", "invalid")


def answer_missing() -> Refusal:
    """A required question has no answer, or nothing was answered at all."""
    return Refusal("answer-missing", "Answer at least one question, and each that is required.", "invalid")


def duty_exists() -> Refusal:
    """A duty with this id has been declared already."""
    return Refusal("duty-exists", "A duty with this id has been declared already; take a new id.")


def duty_unknown() -> Refusal:
    """There is no such duty."""
    return Refusal("duty-unknown", "There is no duty with this id.", "not-found")


def not_your_duty() -> Refusal:
    """The duty belongs to somebody else."""
    return Refusal("not-your-duty", "This duty is not yours.", "forbidden")


def date_not_valid(earliest: date, latest: date) -> Refusal:
    """The duty lies in the future, or too far back."""
    return Refusal(
        "date-not-valid", f"A duty can be declared for {earliest} to {latest}, not for this day.", "invalid"
    )


def duty_decided(state: str) -> Refusal:
    """The duty is not waiting for a decision any more."""
    return Refusal("duty-decided", f"This duty is {state} already; that is final.")
