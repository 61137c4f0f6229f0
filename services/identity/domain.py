"""Deputies, stations, departments, staff and sign-in names as pure decisions.

Invariants: a deputy's id and public code follow from the number on the roster and never change, a station's
code from its id; a state that equals the one before is the very same object, so that nothing is written or announced;
a version counts changes; time of one person never runs backwards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal
from uuid import UUID, uuid5

from services.identity import errors

Level = Literal["city", "county", "town"]
Occupation = Literal["worker", "farmer", "professional", "official", "manager", "military", "other"]
DeputyState = Literal["active", "suspended", "left"]
Membership = Literal["active", "left"]
StationState = Literal["open", "closed"]

DEPARTMENT_PREFIX = "department:"
_DEPUTIES = UUID("1d7f7c58-6c0a-5a0e-9f0e-6d1c1f4f3b5a")
_CODES = UUID("c2a4f2f0-7d0b-5b5e-8a55-50f6b6e1d9c7")
_STATION_CODES = UUID("5d0e6a1c-91b7-5f3a-9c44-2b7f0a6be318")
# Crockford's alphabet: no letter that is read as a digit or makes a word.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CODE_LENGTH = 10
_READ_AS = str.maketrans({"o": "0", "i": "1", "l": "1", "-": None, " ": None})

_DEPARTMENT_CODE = re.compile(r"[a-z0-9-]{2,40}")
_RESERVED_CODE = "changed"  # department.changed is a topic
CONGRESS_CODE = re.compile(r"[0-9]{4,12}")
PLACE_CODE = re.compile(r"[1-9][0-9]{5}([0-9]{3}){0,2}")
_LOGIN = re.compile(r"[\w.@-]{3,40}")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Entry:
    """What the roster says of a deputy; `station` is the code of the one station they belong to."""

    number: str
    name: str
    level: Level
    occupation: Occupation | None
    county: str | None
    town: str | None
    constituency: str
    term_from: date
    term_until: date
    state: DeputyState
    station: str | None = None


@dataclass(frozen=True)
class Deputy:
    """A deputy 人大代表 as known now; `code` is the public code 代表码."""

    id: UUID
    version: int
    number: str
    name: str
    level: Level
    occupation: Occupation | None
    county: str | None
    town: str | None
    constituency: str
    code: str
    term_from: date
    term_until: date
    state: DeputyState
    changed_at: datetime
    station: str | None = None


@dataclass(frozen=True)
class Station:
    """A station 代表联络站 in a town; residents reach its deputies by its public `code`, while it is open."""

    id: UUID
    version: int
    name: str
    town: str
    code: str
    state: StationState
    changed_at: datetime


@dataclass(frozen=True)
class Department:
    """A department 承办单位; `counties` empty means that it serves the whole city."""

    code: str
    version: int
    name: str
    categories: tuple[str, ...]
    counties: tuple[str, ...]
    state: Membership
    changed_at: datetime


@dataclass(frozen=True)
class Staff:
    """A member of staff 人大工作者 of the congress of the place `organisation`."""

    id: UUID
    version: int
    name: str
    organisation: str
    state: Membership
    changed_at: datetime


def deputy_id(number: str) -> UUID:
    """The id of the deputy with this number on the roster."""
    return uuid5(_DEPUTIES, number)


def public_code(owner: UUID, of: UUID = _CODES) -> str:
    """The public code 代表码 of a deputy or a station: ten signs, 50 bits, that tell nothing of number or order.

    Among a million owners the chance that any two share one is below 1 in 2,000; the database refuses the
    second of one kind. `of` is another namespace for each kind, so that no deputy's id gives a station their code.
    """
    bits = uuid5(of, owner.bytes.hex()).int
    return "".join(_ALPHABET[bits >> 5 * place & 31] for place in range(_CODE_LENGTH))


def read_code(typed: str) -> str | None:
    """A public code as somebody typed it: capitals, blanks and look-alikes are forgiven; None if it is none."""
    code = unicodedata.normalize("NFKC", typed).lower().translate(_READ_AS)
    return code if len(code) == _CODE_LENGTH and set(code) <= set(_ALPHABET) else None


def printable(text: str) -> bool:
    """Whether a text holds something to read and no control characters.

    Private-use characters are allowed: registries use them for rare characters in names.
    """
    if not text.strip():
        return False
    return text.isprintable() or not any(unicodedata.category(sign) in _UNPRINTABLE for sign in text)


def enter(found: Deputy | None, entry: Entry, at: datetime) -> Deputy:
    """The deputy after a row of the roster; `found` itself when the row says nothing new."""
    if found is None:
        identity = deputy_id(entry.number)
        return Deputy(id=identity, version=1, code=public_code(identity), changed_at=at, **vars(entry))
    entered = replace(found, **vars(entry))
    if entered == found:
        return found
    return replace(entered, version=found.version + 1, changed_at=max(at, found.changed_at))


def check_department_code(code: str) -> None:
    """Raise Refusal unless a department's topics can be named after this code."""
    if not _DEPARTMENT_CODE.fullmatch(code) or code == _RESERVED_CODE:
        raise errors.code_not_allowed()


def register_department(
    found: Department | None,
    code: str,
    *,
    name: str,
    categories: tuple[str, ...],
    counties: tuple[str, ...],
    state: Membership,
    at: datetime,
) -> Department:
    """The department after it was registered or changed; `found` itself when nothing is new."""
    check_department_code(code)
    if not all(map(printable, (name, *categories))):
        raise errors.text_not_printable()
    asked = Department(code, 1, name.strip(), categories, counties, state, at)
    if found is None:
        return asked
    if asked == replace(found, version=1, changed_at=at):
        return found
    return replace(asked, version=found.version + 1, changed_at=max(at, found.changed_at))


def register_staff(
    found: Staff | None, identity: UUID, *, name: str, organisation: str, state: Membership, at: datetime
) -> Staff:
    """The member of staff after having been registered or changed; `found` itself when nothing is new."""
    if not CONGRESS_CODE.fullmatch(organisation):
        raise errors.organisation_not_a_place()
    if not printable(name):
        raise errors.text_not_printable()
    asked = Staff(identity, 1, name.strip(), organisation, state, at)
    if found is None:
        return asked
    if asked == replace(found, version=1, changed_at=at):
        return found
    return replace(asked, version=found.version + 1, changed_at=max(at, found.changed_at))


def register_station(
    found: Station | None, identity: UUID, *, name: str, town: str, state: StationState, at: datetime
) -> Station:
    """The station after it was registered or changed; `found` itself when nothing is new."""
    if not printable(name):
        raise errors.text_not_printable()
    asked = Station(identity, 1, name.strip(), town, public_code(identity, _STATION_CODES), state, at)
    if found is None:
        return asked
    if asked == replace(found, version=1, changed_at=at):
        return found
    return replace(asked, version=found.version + 1, changed_at=max(at, found.changed_at))


def county_of(town: str) -> str:
    """The county in which a town lies."""
    return town[:6]


def drawn(lot: UUID, deputies: Iterable[UUID]) -> UUID:
    """The deputy of a station who gets what is put to any of them.

    Each draws a number from the lot and the lowest has it: over many lots all get as much, the same lot always
    falls to the same deputy, and who joins or leaves moves no lot between the others. There must be one.
    """
    return min(deputies, key=lambda deputy: uuid5(lot, deputy.bytes.hex()))


def read_login(typed: str) -> str:
    """A sign-in name in the one form in which it is kept and looked up: full-width and case are forgiven."""
    return unicodedata.normalize("NFKC", typed).strip().casefold()


def check_login(typed: str) -> str:
    """The sign-in name to keep. Raises Refusal when it may not be one."""
    login = read_login(typed)
    try:
        UUID(login)
    except ValueError:
        if _LOGIN.fullmatch(login):
            return login
    raise errors.login_not_allowed()


def check_password(password: str, login: str) -> None:
    """Raise Refusal unless the password is hard enough to guess.

    Source: NIST SP 800-63B 3.1.1.2 asks for length and for refusing what is bound to the account, not
    for kinds of characters; ten characters because attempts are limited as well.
    """
    if not 10 <= len(password) <= 200 or len(set(password)) < 5 or login in read_login(password):
        raise errors.password_too_weak()


def read_person(text: str) -> str:
    """A person's id in its one form: a UUID, or `department:<code>`. Raises Refusal when it is none."""
    if is_department(text):
        check_department_code(text.removeprefix(DEPARTMENT_PREFIX))
        return text
    try:
        return str(UUID(text))
    except ValueError:
        raise errors.person_unknown() from None


def is_department(person: str) -> bool:
    """Whether a person id stands for a department as a whole."""
    return person.startswith(DEPARTMENT_PREFIX)
