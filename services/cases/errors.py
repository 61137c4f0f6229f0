"""Refusals of cases, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def case_exists() -> Refusal:
    """A case with this id has been filed already."""
    return Refusal("case-exists", "A case with this id has been filed already; file it under a new id.")


def case_unknown() -> Refusal:
    """There is no such case."""
    return Refusal("case-unknown", "There is no case with this id.", "not-found")


def not_your_case() -> Refusal:
    """The case belongs to somebody else."""
    return Refusal("not-your-case", "This case is not yours to act on.", "forbidden")


def origin_not_yours() -> Refusal:
    """A deputy files what is a deputy's or a resident's, staff what staff found."""
    return Refusal(
        "role-not-allowed",
        "Staff file what they found themselves with the origin `staff`; `own` and `resident` are a deputy's.",
        "forbidden",
    )


def photo_unknown() -> Refusal:
    """There is no such photo of this case, or none that the caller may see."""
    return Refusal("photo-unknown", "There is no such photo of a case that you may see.", "not-found")


def document_unknown() -> Refusal:
    """There is no such document of this case, or none that the caller may see."""
    return Refusal("document-unknown", "There is no such document of a case that you may see.", "not-found")


def too_many_photos(most: int) -> Refusal:
    """The case has as many photos as it may have."""
    return Refusal("too-many-photos", f"A case may have at most {most} photos.", "invalid")


def too_many_documents(most: int) -> Refusal:
    """The case has as many documents as it may have."""
    return Refusal("too-many-documents", f"A case may have at most {most} documents.", "invalid")


def step_not_possible(step: str, state: str) -> Refusal:
    """The state machine has no such step from here."""
    return Refusal("step-not-possible", f"A case that is {state} cannot be {step}.")


def department_unknown() -> Refusal:
    """No active department has this code."""
    return Refusal("department-unknown", "There is no active department with this code.", "invalid")


def words_unreadable() -> Refusal:
    """The sealed words cannot be opened, or are not a title and a text."""
    return Refusal(
        "words-unreadable",
        "Seal title (1-200 characters) and text (1-20,000) to this service's key.",
        "invalid",
    )


def position_outside() -> Refusal:
    """The position lies far outside the area that the rule pack names."""
    return Refusal(
        "position-outside",
        "The position lies far outside this authority's area (WGS-84 is asked for); leave it out, or give another.",
        "invalid",
    )


def category_unknown() -> Refusal:
    """The filer chose a category that does not exist; it would travel on events, so free text has no place there."""
    return Refusal("category-unknown", "Choose one of the known categories, or leave it out.", "invalid")


def already_there() -> Refusal:
    """The department named holds the case, or co-handles it, already."""
    return Refusal("already-there", "This department has the case already; choose another.")


def designated() -> Refusal:
    """The case came back too often, and staff designated who handles it 首接负责."""
    return Refusal(
        "designated",
        "Your department was designated for this case and cannot return it; ask staff to transfer it.",
    )


def returned_too_late() -> Refusal:
    """The time in which a case can be handed back is over."""
    return Refusal("returned-too-late", "The time for handing back is over; ask staff to transfer the case.")


def extension_pending() -> Refusal:
    """An extension was asked for already."""
    return Refusal("extension-pending", "An extension was asked for already; wait for the decision.")


def extension_too_long(left: int) -> Refusal:
    """More time than the rule pack allows."""
    return Refusal("extension-too-long", f"At most {max(left, 0)} more may be asked for.", "invalid")


def extension_too_late() -> Refusal:
    """The deadline has passed."""
    return Refusal("extension-too-late", "The deadline has passed; more time must be asked for before it.")


def no_extension_asked() -> Refusal:
    """There is nothing to decide on."""
    return Refusal("no-extension-asked", "Nobody has asked for more time on this case.")


def reopened_too_late() -> Refusal:
    """The time in which a case can be reopened is over."""
    return Refusal("reopened-too-late", "The time for reopening is over; file a new case and name this one.")


def objected_already() -> Refusal:
    """The resident has objected once."""
    return Refusal("objected-already", "One objection is possible; it was made and answered.")


def objected_too_late() -> Refusal:
    """The time in which a resident can object is over."""
    return Refusal("objected-too-late", "The time for an objection is over; file a new concern.")


def nothing_to_object_to() -> Refusal:
    """A department answered it, or its words were erased, or no resident submitted it."""
    detail = (
        "An objection is for what was explained or declined; ask to have what a department answered reopened."
    )
    return Refusal("nothing-to-object-to", detail)


def parent_unknown() -> Refusal:
    """The case to merge into, or to split, is not there, or is the same case."""
    return Refusal("parent-unknown", "There is no other case with the id that you named.", "invalid")


def parent_not_open(state: str) -> Refusal:
    """The case to merge into is finished or answered."""
    return Refusal("parent-not-open", f"A case that is {state} takes no others in.")


def others_merged() -> Refusal:
    """Other people's cases were merged into it, and would go with it."""
    return Refusal(
        "others-merged", "Others' cases were merged into this one, so it cannot be withdrawn; ask staff."
    )


def as_of_past() -> Refusal:
    """Figures are reckoned from cases as they stand, which were others in the past."""
    return Refusal(
        "as-of-past",
        "Figures are told for now or for a moment to come, from cases as they stand; leave as_of out.",
        "invalid",
    )


def others_wait() -> Refusal:
    """Other people's cases were merged into it, and would never be answered."""
    return Refusal(
        "others-wait", "Others' cases were merged into this one, so it cannot be declined; route it."
    )


def nothing_to_split() -> Refusal:
    """The case's words were erased, and no part of them may come back."""
    return Refusal("nothing-to-split", "The words of this case were erased; nothing can be split from it.")


def nothing_to_gather() -> Refusal:
    """None of the cases named can be merged any more."""
    return Refusal("nothing-to-gather", "None of these cases is open any more; look at the list again.")


def too_many_followers() -> Refusal:
    """The case has as many followers as one event can name."""
    return Refusal(
        "too-many-followers", "So many follow this case that no more can; it is being looked after."
    )


def supplied_unreadable() -> Refusal:
    """The sealed words that the filer supplies cannot be opened, or are no text."""
    return Refusal(
        "supplied-unreadable", "Seal a text (1-5,000 characters) to this service's key.", "invalid"
    )


def nothing_asked_for() -> Refusal:
    """The query has neither a letter nor a digit."""
    return Refusal("query-without-words", "Search for at least one letter, character or digit.", "invalid")


def nothing_to_reopen() -> Refusal:
    """No department ever had the case, or its words were erased."""
    return Refusal(
        "nothing-to-reopen", "No department answered this case, or its words were erased; file a new one."
    )


def follow_unknown() -> Refusal:
    """The secret of a follow link opens nothing; whether there ever was such a case is not told."""
    return Refusal("follow-unknown", "This link or number leads to no concern.", "not-found")


def receipt_taken() -> Refusal:
    """Another case has the receipt number already, which is next to impossible."""
    return Refusal("receipt-taken", "This receipt number is taken; submit again under a new id.")


def contact_unreadable() -> Refusal:
    """The sealed contact data cannot be opened, or are none."""
    return Refusal(
        "contact-unreadable", "Seal a contact (1-200 characters) to this service's key.", "invalid"
    )


def contact_unknown() -> Refusal:
    """There is no contact data, or it was erased."""
    return Refusal("contact-unknown", "There is no contact data with this case.", "not-found")
