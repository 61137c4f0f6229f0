"""Deputies, departments, staff and sign-in names as pure decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import domain, handlers
from services.identity.domain import Entry
from shared.contracts import identity as contract
from shared.contracts.envelope import Actor
from shared.messaging.received import Position, Received
from shared.refusals import Refusal
from shared.testing.messages import message

NOW = datetime(2022, 1, 10, 9, tzinfo=UTC)
ENTRY = Entry(
    number="T-001",
    name="叶敏",
    level="county",
    occupation="worker",
    county="330203",
    town=None,
    constituency="第三选区",
    term_from=date(2021, 7, 1),
    term_until=date(2026, 12, 31),
    state="active",
)
STAFF_ID = UUID(int=7)
STATION_ID = UUID(int=8)


def refused(code: str) -> Any:
    return pytest.raises(Refusal, match=f"^{code}$")


def department(
    found: domain.Department | None = None, code: str = "housing", **more: Any
) -> domain.Department:
    asked: dict[str, Any] = {
        "name": "住建局",
        "categories": ("城乡建设",),
        "counties": (),
        "state": "active",
        "at": NOW,
    }
    return domain.register_department(found, code, **{**asked, **more})


def staff(found: domain.Staff | None = None, **more: Any) -> domain.Staff:
    asked: dict[str, Any] = {"name": "王工", "organisation": "3302", "state": "active", "at": NOW}
    return domain.register_staff(found, STAFF_ID, **{**asked, **more})


@pytest.mark.parametrize(
    ("org", "reached"),
    [
        (None, {"town", "elsewhere", "city"}),
        ("3302", {"town", "elsewhere", "city"}),
        ("330203", {"town"}),
        ("330203101", {"town"}),
        ("330205", {"elsewhere"}),
    ],
)
def test_staff_register_what_lies_in_their_area_alone(org: str | None, reached: set[str]) -> None:
    """Departments, staff and stations, new ones and those that are known; a whole city's department is the city's."""
    actor = Actor("staff", frozenset({"staff"}), org)
    places = {"town": "330203101", "elsewhere": "330205", "city": "3302"}

    def asked(data: Any) -> Received[Any]:
        envelope = message(data, subject=STAFF_ID)
        return Received(envelope, data, Position("t", 0, 0, NOW), b"", b"", NOW, is_command=True, actor=actor)

    def told(act: Any, found: Any, data: Any) -> str | None:
        try:
            act(found, asked(data), None)
        except Refusal as refusal:
            return refusal.code
        return None

    for name, place in places.items():
        expected = None if name in reached else "not-your-area"
        new = contract.RegisterStaff(name="王工", organisation=place)
        assert told(handlers.register_staff, None, new) == expected
        leaving = contract.RegisterStaff(name="王工", organisation=org or "3302", state="left")
        assert told(handlers.register_staff, staff(organisation=place), leaving) == expected
    for counties, name in (((), "city"), (("330203",), "county"), (("330203", "330205"), "city")):
        within = org in (None, "3302") or (name == "county" and org == "330203")
        housing = contract.RegisterDepartment(name="住建局", categories=("城乡建设",), counties=counties)
        assert told(handlers.register_department, None, housing) == (None if within else "not-your-area")
    station = contract.RegisterStation(name="联络站", town="330203101")
    assert told(handlers.register_station, None, station) == (None if "town" in reached else "not-your-area")


def test_the_same_number_always_gives_the_same_deputy_and_code() -> None:
    first, again = domain.enter(None, ENTRY, NOW), domain.enter(None, ENTRY, NOW + timedelta(days=1))
    assert (first.id, first.code) == (again.id, again.code)
    assert domain.enter(None, replace(ENTRY, number="T-002"), NOW).id != first.id


def test_an_unchanged_row_gives_the_very_same_deputy() -> None:
    found = domain.enter(None, ENTRY, NOW)
    assert domain.enter(found, ENTRY, NOW + timedelta(days=1)) is found


def test_a_changed_row_raises_the_version_and_keeps_id_and_code() -> None:
    found = domain.enter(None, ENTRY, NOW)
    moved = domain.enter(found, replace(ENTRY, county="330205"), NOW + timedelta(days=1))
    assert (moved.version, moved.county, moved.changed_at) == (2, "330205", NOW + timedelta(days=1))
    assert (moved.id, moved.code) == (found.id, found.code)


def test_a_row_that_no_longer_tells_the_occupation_takes_it_away() -> None:
    found = domain.enter(None, ENTRY, NOW)
    assert found.occupation == "worker"
    silent = domain.enter(found, replace(ENTRY, occupation=None), NOW)
    assert (silent.version, silent.occupation) == (2, None)


def test_time_of_a_deputy_never_runs_backwards() -> None:
    found = domain.enter(None, ENTRY, NOW)
    late = domain.enter(found, replace(ENTRY, state="left"), NOW - timedelta(days=30))
    assert late.changed_at == NOW


def test_public_codes_of_a_whole_city_differ_and_do_not_follow_the_numbers() -> None:
    codes = [domain.public_code(domain.deputy_id(f"S-{n:05}")) for n in range(10_000)]
    assert len(set(codes)) == len(codes)
    assert codes != sorted(codes)
    assert {len(code) for code in codes} == {10}


@given(st.uuids())
def test_a_public_code_is_understood_however_it_is_typed(deputy: UUID) -> None:
    code = domain.public_code(deputy)
    typed = f" {code[:5].upper()}-{code[5:].replace('0', 'O').replace('1', 'l')} "
    assert domain.read_code(typed) == code


@given(st.text(max_size=30))
def test_what_is_no_public_code_is_never_looked_up(typed: str) -> None:
    read = domain.read_code(typed)
    assert read is None or (len(read) == 10 and read.isascii() and read.isalnum())


@pytest.mark.parametrize("code", ["changed", "Housing", "a", "a" * 41, "住建", "a.b", "a\n", ""])
def test_a_code_that_cannot_name_a_topic_is_refused(code: str) -> None:
    with refused("code-not-allowed"):
        department(code=code)


def test_registering_a_department_again_changes_nothing() -> None:
    found = department()
    assert department(found, at=NOW + timedelta(days=9)) is found
    assert department(found, counties=("330203",)).version == 2


@pytest.mark.parametrize("more", [{"name": "a\x07"}, {"name": "   "}, {"categories": ("好", "a\x00b")}])
def test_a_department_without_readable_names_is_refused(more: dict[str, Any]) -> None:
    with refused("text-not-printable"):
        department(**more)


def test_a_name_with_a_private_use_character_is_accepted() -> None:
    assert staff(name="王\ue123").name == "王\ue123"


def test_registering_staff_again_changes_nothing_and_leaving_is_a_new_version() -> None:
    found = staff()
    assert staff(found, at=NOW + timedelta(days=9)) is found
    gone = staff(found, state="left", at=NOW - timedelta(days=9))
    assert (gone.version, gone.state, gone.changed_at) == (2, "left", NOW)


def station(found: domain.Station | None = None, **more: Any) -> domain.Station:
    asked: dict[str, Any] = {"name": "高桥镇联络站", "town": "330203100", "state": "open", "at": NOW}
    return domain.register_station(found, STATION_ID, **{**asked, **more})


def test_registering_a_station_again_changes_nothing_and_whatever_changes_it_keeps_its_code() -> None:
    found = station()
    assert domain.read_code(found.code) == found.code
    assert station(found, name=" 高桥镇联络站 ", at=NOW + timedelta(days=9)) is found
    closed = station(found, name="横街镇联络站", town="330203101", state="closed", at=NOW - timedelta(days=9))
    assert (closed.version, closed.state, closed.code, closed.changed_at) == (2, "closed", found.code, NOW)
    with refused("text-not-printable"):
        station(name="\x00")


@given(
    st.uuids(), st.lists(st.uuids(), min_size=1, max_size=20, unique=True), st.randoms(use_true_random=False)
)
def test_a_lot_falls_to_one_deputy_and_moves_only_where_that_one_leaves(
    lot: UUID, deputies: list[UUID], dice: Any
) -> None:
    found = domain.drawn(lot, deputies)
    assert found in deputies
    shuffled = [*deputies]
    dice.shuffle(shuffled)
    assert domain.drawn(lot, shuffled) == found
    leaving = dice.choice(deputies)
    rest = [deputy for deputy in deputies if deputy != leaving]
    if rest:
        assert (domain.drawn(lot, rest) == found) == (leaving != found)


def test_lots_fall_evenly_to_the_deputies_of_a_station() -> None:
    deputies = [domain.deputy_id(f"Z-{n}") for n in range(8)]
    counts = Counter(domain.drawn(UUID(int=n), deputies) for n in range(8_000))
    assert set(counts) == set(deputies)
    assert max(counts.values()) < 1_150, "1,000 each, and five standard deviations of 30"
    assert min(counts.values()) > 850


@pytest.mark.parametrize("organisation", ["宁波", "330", "housing", "3302\n", "٣٣٠٢"])
def test_staff_work_for_a_place(organisation: str) -> None:
    with refused("organisation-not-a-place"):
        staff(organisation=organisation)


@pytest.mark.parametrize(
    ("typed", "kept"), [("Anna.01", "anna.01"), (" ＡNNA ", "anna"), ("叶敏-3", "叶敏-3")]
)
def test_a_sign_in_name_has_one_form(typed: str, kept: str) -> None:
    assert domain.check_login(typed) == kept


@pytest.mark.parametrize("typed", ["ab", "a" * 41, "a b c", "department:x", "a\x00bc", str(UUID(int=1)), ""])
def test_what_is_no_sign_in_name_is_refused(typed: str) -> None:
    with refused("login-not-allowed"):
        domain.check_login(typed)


@given(st.text(max_size=60))
def test_a_kept_sign_in_name_is_found_by_itself(typed: str) -> None:
    try:
        kept = domain.check_login(typed)
    except Refusal:
        return
    assert domain.read_login(kept) == kept


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaa", "abababababab", "my-ANNA.01-password", "x1!" * 70]
)
def test_a_password_that_is_easy_to_guess_is_refused(password: str) -> None:
    with refused("password-too-weak"):
        domain.check_password(password, "anna.01")


def test_a_long_password_of_one_kind_of_characters_is_fine() -> None:
    domain.check_password("correct horse battery", "anna.01")


@pytest.mark.parametrize(
    ("text", "person"),
    [("department:housing", "department:housing"), (str(UUID(int=1)).upper(), str(UUID(int=1)))],
)
def test_a_person_id_has_one_form(text: str, person: str) -> None:
    assert domain.read_person(text) == person


@pytest.mark.parametrize("text", ["operator", "department:", "department:x\x00y", "department:changed", ""])
def test_what_is_no_person_id_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        domain.read_person(text)
