"""Refusals of identity, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def code_not_allowed() -> Refusal:
    """The department code is not one that can stand in a topic's name."""
    return Refusal(
        "code-not-allowed",
        "A department code has 2 to 40 of a-z, 0-9 and '-', and is not the reserved word 'changed'.",
        "invalid",
    )


def organisation_not_a_place() -> Refusal:
    """Staff work for the congress of a place, named by its code."""
    return Refusal(
        "organisation-not-a-place", "The organisation must be a place code, 4-12 digits.", "invalid"
    )


def text_not_printable() -> Refusal:
    """A name holds control characters, or nothing but blanks."""
    return Refusal("text-not-printable", "Names must hold text, and no control characters.", "invalid")


def part_out_of_range() -> Refusal:
    """A part's number lies beyond the number of parts, or there are too many parts."""
    return Refusal(
        "part-out-of-range", "Number the parts from 1 to the number of parts, at most 1000.", "invalid"
    )


def parts_differ() -> Refusal:
    """Two parts of one import disagree on how many parts it has."""
    return Refusal(
        "parts-differ", "The parts of one import must all name the same number of parts.", "invalid"
    )


def part_repeated() -> Refusal:
    """This part was taken in before, by another command."""
    return Refusal("part-repeated", "This part of the import was taken in before; start a new import.")


def not_your_import() -> Refusal:
    """Somebody else began this import."""
    return Refusal("not-your-import", "This import was begun by somebody else; start a new one.", "forbidden")


def not_your_account() -> Refusal:
    """Only operators set other people's passwords."""
    return Refusal("not-your-account", "You may set your own password only.", "forbidden")


def person_unknown() -> Refusal:
    """No active deputy, member of staff or department has this id."""
    return Refusal("person-unknown", "There is no active person or department with this id.", "not-found")


def password_unreadable() -> Refusal:
    """The sealed content cannot be opened, or lacks login or password."""
    return Refusal(
        "password-unreadable", "Seal {login, password}, both texts, to this service's key.", "invalid"
    )


def login_not_allowed() -> Refusal:
    """The sign-in name has the wrong form."""
    return Refusal(
        "login-not-allowed",
        "A sign-in name has 3 to 40 letters, digits or the signs . _ - @, and is nobody's id.",
        "invalid",
    )


def login_taken() -> Refusal:
    """Somebody else signs in under this name."""
    return Refusal("login-taken", "This sign-in name is taken; choose another.")


def password_too_weak() -> Refusal:
    """The password is too easy to guess."""
    return Refusal(
        "password-too-weak",
        "A password has 10 to 200 characters, 5 different ones, and does not contain the sign-in name.",
        "invalid",
    )


def deputy_unknown() -> Refusal:
    """There is no such deputy, nor an open station with this code."""
    return Refusal("deputy-unknown", "There is no such deputy.", "not-found")


def station_unknown() -> Refusal:
    """There is no such station."""
    return Refusal("station-unknown", "There is no such station.", "not-found")


def station_empty() -> Refusal:
    """No active deputy belongs to the station."""
    return Refusal("station-empty", "No active deputy belongs to this station now.")


def deputy_not_there() -> Refusal:
    """The deputy picked is not, or no longer, behind this code."""
    return Refusal(
        "deputy-not-there", "The deputy picked does not belong to this station; pick another.", "invalid"
    )


def import_unknown() -> Refusal:
    """There is no such import."""
    return Refusal(
        "import-unknown", "There is no import with this id, or none of it has arrived.", "not-found"
    )
