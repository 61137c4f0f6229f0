"""Activity by place adds up, and never points at persons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.activity import DEFINITION, LEAST, series
from shared.measures import ACTIVITY

PLACES = st.sampled_from(["330203", "330205", "330206", "330211", None])
DEPUTIES = st.dictionaries(PLACES, st.integers(1, 40), max_size=5)


@given(DEPUTIES, st.randoms(use_true_random=False))
def test_small_places_are_hidden_never_one_alone_and_never_few_together(
    deputies: dict[str | None, int], dice: st.DataObject
) -> None:
    active = {(place, 24253): dice.randint(0, number) for place, number in deputies.items()}  # type: ignore[attr-defined]
    found = series(deputies, active, [24252, 24253])
    assert found["months"] == ["2021-01", "2021-02"]
    assert found["whole"]["deputies"] == sum(deputies.values())
    told = found["whole"]["active"]
    assert told == ([0, sum(active.values())] if sum(deputies.values()) >= LEAST else None)
    hidden = [one for one in found["places"] if one["active"] is None]
    shown = [one for one in found["places"] if one["active"] is not None]
    assert all(one["deputies"] >= LEAST for one in shown)
    assert all(one["active"] == [0, active[one["place"], 24253]] for one in shown)
    assert len(hidden) != 1 or len(deputies) == 1
    if shown and hidden:  # the whole less these tells of those together
        assert sum(one["deputies"] for one in hidden) >= LEAST
    if all(number >= LEAST for number in deputies.values()):
        assert not hidden


@given(DEPUTIES, DEPUTIES, PLACES)
def test_what_is_hidden_in_a_list_is_not_told_by_opening_it(
    above: dict[str | None, int], within: dict[str | None, int], place: str | None
) -> None:
    if place is None:
        return
    above[place] = sum(within.values())
    active = {(one, 24253): number for one, number in within.items()}
    shown = {one["place"] for one in series(above, {}, [24253])["places"] if one["active"] is not None}
    opened = series(within, active, [24253], [(above, place)])
    if place in shown:
        assert opened == series(within, active, [24253])
        assert opened["whole"]["active"] == [sum(within.values())]
    else:
        assert opened["whole"]["active"] is None
        assert {one["active"] for one in opened["places"]} <= {None}
    deeper = series({"x": 40}, {}, [24253], [(above, place), ({"x": 40}, "x")])
    assert (deeper["whole"]["active"] is None) == (place not in shown)


def test_the_definition_that_pages_show_is_the_registrys() -> None:
    (hidden,) = ACTIVITY.exclusions.values()
    assert {
        "numerator": ACTIVITY.numerator.both,
        "denominator": ACTIVITY.denominator.both,
        "exclusions": hidden.both,
    } == DEFINITION
    assert str(LEAST) in hidden.zh
    assert str(LEAST) in hidden.en
