"""Refusals of motions, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def motion_exists() -> Refusal:
    """A motion with this id was drafted already."""
    return Refusal("motion-exists", "A motion with this id exists already; draft it under a new id.")


def motion_unknown() -> Refusal:
    """There is no such motion, or none that the asker may know of."""
    return Refusal("motion-unknown", "There is no motion with this id.", "not-found")


def not_your_motion() -> Refusal:
    """The motion is somebody else's, another department's or another congress's."""
    return Refusal("not-your-motion", "This motion is not yours to act on.", "forbidden")


def step_not_possible(step: str, state: str) -> Refusal:
    """The state machine has no such step from here."""
    return Refusal("step-not-possible", f"A motion that is {state} cannot be {step}.")


def deputy_unknown() -> Refusal:
    """No active deputy of this congress has this id."""
    return Refusal("deputy-unknown", "There is no active deputy of this congress with this id.", "invalid")


def department_unknown() -> Refusal:
    """No active department has this code."""
    return Refusal("department-unknown", "There is no active department with this code.", "invalid")


def case_not_yours() -> Refusal:
    """The case named does not exist, or the deputy has no part in it."""
    return Refusal("case-not-yours", "Name a case that you filed or follow.", "invalid")


def case_without_deputy() -> Refusal:
    """Staff filed the case themselves, and no deputy follows it; a lead is a deputy's."""
    return Refusal(
        "case-without-deputy", "No deputy filed or follows this case; a lead for a project needs one."
    )


def referral_exists() -> Refusal:
    """A referral with this id was made already."""
    return Refusal("referral-exists", "A referral with this id exists already; use a new id.")


def words_unreadable() -> Refusal:
    """The sealed words cannot be opened, or are not what a motion is written in."""
    return Refusal(
        "words-unreadable",
        "Seal title (1-200 characters), text (1-20,000) and, for a bill, cause, basis and plan.",
        "invalid",
    )


def parts_missing() -> Refusal:
    """A bill 议案 needs cause 案由, basis 案据 and plan 方案."""
    return Refusal("parts-missing", "A bill needs its cause, its basis and its plan.", "invalid")


def too_few_signers(needed: int, there: int) -> Refusal:
    """The rule pack asks for more signers than have confirmed."""
    return Refusal("too-few-signers", f"{needed} signers are needed and {there} stand behind it.")


def not_informed() -> Refusal:
    """The lead must state that the co-signers know the text."""
    return Refusal("not-informed", "State that every co-signer has read the text.", "invalid")


def not_invited() -> Refusal:
    """The deputy was not invited to co-sign, or has answered already."""
    return Refusal("not-invited", "There is no open invitation to you for this motion.", "forbidden")


def already_signed() -> Refusal:
    """The deputy signs or was invited already."""
    return Refusal("already-signed", "This deputy signs the motion or was invited already.")


def too_many_invited(most: int) -> Refusal:
    """More co-signers than one motion can have."""
    return Refusal("too-many-invited", f"At most {most} can be invited.", "invalid")


def text_changed() -> Refusal:
    """The text that was read is not the present one."""
    return Refusal("text-changed", "The text has changed since you read it; read it again.")


def ground_unknown(known: str) -> Refusal:
    """The rule pack lists no such ground."""
    return Refusal("ground-unknown", f"Choose one of the listed grounds: {known}.", "invalid")


def not_a_bill() -> Refusal:
    """Only a bill can be turned into a suggestion, go to a committee or be put on the agenda."""
    detail = "Only a bill can be turned into a suggestion, go to a committee or be put on the agenda."
    return Refusal("not-a-bill", detail)


def bill_not_assigned() -> Refusal:
    """A bill goes to departments only once it is handled as a suggestion."""
    detail = "A bill is put on the agenda or referred to a committee; it is assigned once it is a suggestion."
    return Refusal("bill-not-assigned", detail)


def same_committee() -> Refusal:
    """The committee named has the bill already."""
    return Refusal("same-committee", "This committee has the bill already; name another one.")


def already_there() -> Refusal:
    """The assignment names a department twice, or changes nothing."""
    return Refusal("already-there", "Name one lead department and others to co-handle, each once.", "invalid")


def too_late() -> Refusal:
    """The time for this step is over."""
    return Refusal("too-late", "The time in which this was possible is over.")


def opinion_given() -> Refusal:
    """The co-handler gave its opinion already."""
    return Refusal("opinion-given", "Your department has given its opinion already.")


def contact_date_wrong() -> Refusal:
    """A contact lies before the assignment, or the rating that asked for another round, or in the future."""
    detail = "The contact lies between today and the assignment, or the rating that asked for another round."
    return Refusal("contact-date-wrong", detail, "invalid")


def contact_missing() -> Refusal:
    """The deputy was not contacted before the answer."""
    return Refusal("contact-missing", "Contact the deputy and record it before answering.")


def class_unknown() -> Refusal:
    """The rule pack knows no such class of answers."""
    return Refusal("class-unknown", "Choose one of the rule pack's classes of answers.", "invalid")


def promise_missing() -> Refusal:
    """An answer of this class is a promise and must say what will be done by when."""
    return Refusal("promise-missing", "An answer of this class says what will be done by when.", "invalid")


def promise_date_wrong() -> Refusal:
    """A promised date is not in the future, or comes with a promise that was kept."""
    detail = "Promise a date after today, and none where the promise was kept."
    return Refusal("promise-date-wrong", detail, "invalid")


def promise_date_missing() -> Refusal:
    """What was not kept, or only in part, is promised for another day."""
    detail = "Say by when the rest will be done: a promise that is not kept in full needs a new date."
    return Refusal("promise-date-missing", detail, "invalid")


def promise_unknown() -> Refusal:
    """The motion has no such promise, or it is not in the state for this."""
    return Refusal("promise-unknown", "There is no promise with this number that this can be done to.")


def secret_not_public() -> Refusal:
    """The answer to a secret motion cannot be public."""
    return Refusal("secret-not-public", "The answer to a secret motion cannot be public.", "invalid")


def extension_pending() -> Refusal:
    """An extension was asked for already."""
    return Refusal("extension-pending", "An extension was asked for already; wait for the decision.")


def extension_too_long() -> Refusal:
    """More time than the rule pack allows."""
    return Refusal("extension-too-long", "The rule pack does not allow so much more time.", "invalid")


def no_extension_asked() -> Refusal:
    """There is nothing to decide on."""
    return Refusal("no-extension-asked", "Nobody has asked for more time on this motion.")


def ratings_wrong() -> Refusal:
    """The rating does not give one known value for each axis."""
    return Refusal("ratings-wrong", "Give one of the known values for each axis.", "invalid")


def already_rated() -> Refusal:
    """The deputy rated this answer already."""
    return Refusal("already-rated", "You have rated this answer already.")
