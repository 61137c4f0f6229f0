"""Texts as keyed hashes, their likeness, and groups of reports, as pure functions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.cases.search.clusters import ALIKE, Report, clusters_of
from services.cases.search.grams import (
    INDEXED_MAX,
    SKETCH_BITS,
    VALUE_BITS,
    Keyed,
    contains,
    likeness,
    pairs,
    runs,
)
from services.cases.search.marks import MONTHS_MAX, asked, months
from services.cases.search.sketches import joined
from shared.security.sealing import Opener, new_private_key

KEYED = Keyed(b"a key of tests")
START = datetime(2022, 3, 1, tzinfo=UTC)
TOWN, OTHER_TOWN = "330203001", "330203002"
HOLE = "海曙区南门街道环城西路与柳汀街交叉口的窨井盖破损，路面塌陷，行人经过十分危险，请尽快派人维修。"
SAME_HOLE = "南门街道环城西路柳汀街路口窨井盖坏了，路面塌陷有个大洞，老人小孩走路很危险，希望早日修好。"
UNRELATED = "广场舞音响声音太大，一直跳到晚上十点，影响楼上住户休息，能不能规定时间？"
words = st.text(
    st.one_of(
        st.sampled_from("路口井盖破损积水扰民停车abcXYZ0123９Ａ，。！ \n_"), st.characters(codec="utf-8")
    ),
    max_size=60,
)


def sketch(text: str) -> int:
    return KEYED.sketch(text)


@settings(max_examples=50)
@given(words)
def test_a_text_is_wholly_like_itself_and_texts_without_words_are_like_nothing(text: str) -> None:
    assert likeness(sketch(text), sketch(text)) == (1.0 if runs(text) else 0.0)


@settings(max_examples=50)
@given(words, words)
def test_likeness_is_symmetric_and_between_none_and_whole(one: str, other: str) -> None:
    found = likeness(sketch(one), sketch(other))
    assert found == likeness(sketch(other), sketch(one))
    assert 0.0 <= found <= 1.0


@settings(max_examples=50)
@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_a_near_duplicate_ranks_above_what_is_unrelated(rng: random.Random, changed: int) -> None:
    letters = list(HOLE)
    for _ in range(changed // 6 + 1):
        letters[rng.randrange(len(letters))] = chr(rng.randrange(0x4E00, 0x9FA5))
    near = likeness(sketch(HOLE), sketch("".join(letters)))
    assert near > likeness(sketch(HOLE), sketch(UNRELATED))
    assert near > ALIKE


def test_the_same_thing_in_other_words_is_alike_and_another_thing_is_not() -> None:
    assert likeness(sketch(HOLE), sketch(SAME_HOLE)) > ALIKE
    assert likeness(sketch(HOLE), sketch(UNRELATED)) < 0.05


@settings(max_examples=50)
@given(st.sets(st.integers(0, 10**6), min_size=20, max_size=300), st.integers(0, 300))
def test_likeness_of_sketches_is_near_that_of_the_sets_of_pairs(numbers: set[int], common: int) -> None:
    pool = sorted(numbers)
    shared = pool[: min(common, len(pool))]
    one = "，".join(f"甲{n:06d}" for n in pool)[:INDEXED_MAX]
    other = "，".join(f"甲{n:06d}" for n in [*shared, *(n + 10**6 + 1 for n in pool)])[:INDEXED_MAX]
    true = len(pairs(one) & pairs(other)) / len(pairs(one) | pairs(other))
    assert abs(likeness(sketch(one), sketch(other)) - true) < 0.15


@settings(max_examples=50)
@given(words, words)
def test_what_contains_a_query_has_its_values(text: str, query: str) -> None:
    whole = f"{text}，{query}；{text}"
    assert contains(whole, query)
    assert set(KEYED.values_asked_for(query)) <= set(KEYED.values(whole))


def test_a_number_is_not_found_where_only_its_pairs_of_digits_stand() -> None:
    asked = set(KEYED.values_asked_for("234号"))
    assert asked <= set(KEYED.values("环城西路234号"))
    assert not asked <= set(KEYED.values("环城西路23号，电话0344号"))


@settings(max_examples=50)
@given(words)
def test_width_and_case_do_not_count(text: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert KEYED.values(wide.upper().lower()) == KEYED.values(text.upper().lower())


def test_values_are_cut_short_and_mean_nothing_under_another_key() -> None:
    values = KEYED.values(HOLE)
    assert all(0 <= value < 2**VALUE_BITS for value in values)
    foreign = Keyed(b"another key")
    assert len(set(values) & set(foreign.values(HOLE))) < 3
    assert foreign.fingerprint != KEYED.fingerprint
    assert KEYED.fingerprint == Keyed(b"a key of tests").fingerprint


def test_the_key_of_the_search_comes_from_the_sealing_key_and_is_another_for_another_purpose() -> None:
    opener, other = Opener(new_private_key()), Opener(new_private_key())
    assert opener.derived_key("search") == opener.derived_key("search")
    assert len({opener.derived_key("search"), opener.derived_key("else"), other.derived_key("search")}) == 3


def test_one_filing_costs_no_more_than_so_many_characters() -> None:
    rng = random.Random(1)
    huge = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(20_000))
    assert len(KEYED.values(huge)) <= 2 * INDEXED_MAX


def report(number: int, text: str, *, town: str | None = TOWN, minutes: int = 0) -> Report:
    bits = sketch(text).to_bytes(SKETCH_BITS // 8)
    return Report(UUID(int=number), "330203", town, START + timedelta(minutes=minutes), bits)


def test_reports_of_one_thing_make_one_group_and_the_rest_none() -> None:
    reports = [report(n, HOLE if n % 2 else SAME_HOLE, minutes=n) for n in range(1, 41)]
    strangers = [report(100 + n, UNRELATED[n:], town=f"3302030{n:02d}") for n in range(20)]
    (found,) = clusters_of([*strangers, *reports], joined, least=3)
    assert {r.id for r, _ in found.reports} == {r.id for r in reports}
    assert found.first.id == UUID(int=1)
    assert found.reports[0][1] == 1.0
    assert all(alike >= ALIKE for _, alike in found.reports)


def test_the_same_words_about_another_town_are_another_matter() -> None:
    here = [report(n, HOLE) for n in range(5)]
    there = [report(10 + n, HOLE, town=OTHER_TOWN) for n in range(4)]
    assert [len(c.reports) for c in clusters_of([*here, *there], joined, least=2)] == [5, 4]


@settings(max_examples=50, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.integers(0, 25),
    st.floats(0.05, 0.95),
    st.sampled_from([1, 2, 7, 64]),
)
def test_a_report_joins_the_group_whose_first_is_most_like_it(
    rng: random.Random, count: int, alike: float, at_once: int
) -> None:
    """Against the definition, with sketches of every likeness and some without a word."""
    seeds = [rng.getrandbits(SKETCH_BITS) for _ in range(4)] + [0]
    bits = [rng.choice(seeds) & rng.choice([-1, rng.getrandbits(SKETCH_BITS)]) for _ in range(count)]
    reports = [
        Report(UUID(int=n), "330203", rng.choice([TOWN, None]), START + timedelta(minutes=n), b)
        for n, b in enumerate(one.to_bytes(SKETCH_BITS // 8) for one in bits)
    ]
    expected: list[list[tuple[Report, float]]] = []
    for one in reports:
        near = [
            (likeness(bits[g[0][0].id.int], bits[one.id.int]), g)
            for g in expected
            if g[0][0].town == one.town
        ]
        best, group = max(near, key=lambda found: found[0], default=(0.0, None))
        if group is not None and best >= alike:
            group.append((one, best))
        else:
            expected.append([(one, 1.0)])
    found = clusters_of(reports, partial(joined, at_once=at_once), least=1, alike=alike)
    assert {c.reports for c in found} == {tuple(group) for group in expected}


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([HOLE, SAME_HOLE, UNRELATED, "井盖"]), st.integers(0, 5)), max_size=12)
)
def test_groups_do_not_depend_on_the_order_in_which_reports_come(given_: list[tuple[str, int]]) -> None:
    reports = [report(n, text, minutes=minutes) for n, (text, minutes) in enumerate(given_)]
    found = clusters_of(reports, joined, least=1)
    assert found == clusters_of(reversed(reports), joined, least=1)
    assert sorted(r.id for c in found for r, _ in c.reports) == sorted(r.id for r in reports)


moments = st.integers(0, 8 * 365 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))
zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))


@given(moments, st.timedeltas(timedelta(0), timedelta(days=400)), st.floats(0, 1), zones)
def test_what_was_filed_between_two_moments_has_one_of_their_months_marks(
    since: datetime, length: timedelta, part: float, zone: timezone
) -> None:
    found = months(since.astimezone(zone), (since + length).astimezone(zone))
    if found:
        assert f"{since + length * part:m:%Y-%m}" in found
        assert len(found) == len(set(found)) <= MONTHS_MAX
    else:
        assert length > timedelta(days=330), "a long time alone has none"
    assert months(None, since) == months(since, None) == ()


def test_a_place_has_the_marks_of_its_county_and_town_and_common_states_have_none() -> None:
    assert asked(place="3302") == ()
    assert asked(place="330203") == ("p:330203",)
    assert asked(place="330203001005") == ("p:330203", "p:330203001")
    assert asked(state="closed") == asked() == ()
    assert asked(state="withdrawn", department="housing") == ("d:housing", "s:withdrawn")
