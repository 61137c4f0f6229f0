"""Activity 活跃率: how many deputies did something of their duty in a month, by place.

A deputy is active in a month in which some recorded fact of their duty earned points, whatever the caps;
signing in is no fact and so never counts. The rate divides by the deputies in office 在任 of the place as the
roster stands now. The city opens into counties, a county into towns, a town into the stations of its own deputies.
Invariants: a place with fewer than `LEAST` deputies is not shown, nor a whole that small; never is exactly one place
of a list hidden: it could be reckoned from the whole; and nothing is shown within a place that is hidden. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.measures import ACTIVITY, ACTIVITY_LEAST

LEAST = ACTIVITY_LEAST

DEFINITION = {
    "numerator": ACTIVITY.numerator.both,
    "denominator": ACTIVITY.denominator.both,
    "exclusions": "; ".join(one.both for one in ACTIVITY.exclusions.values()),
}


def series(
    deputies: Mapping[str | None, int],
    active: Mapping[tuple[str | None, int], int],
    months: Sequence[int],
    above: Sequence[tuple[Mapping[str | None, int], str]] = (),
) -> dict[str, Any]:
    """Rates of the whole and of each place, month by month.

    `deputies` by place, `active` by place and month (see `domain.month_of`); None are those of no place. `above` are
    the lists in which the whole itself stands as a place: deputies by place, and which of them it is.
    """
    whole = sum(deputies.values())
    concealed = whole < LEAST or any(place in _hidden(others) for others, place in above)
    hidden = set(deputies) if concealed else _hidden(deputies)
    return {
        "definition": DEFINITION,
        "months": [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in months],
        "whole": {
            "deputies": whole,
            "active": None
            if concealed
            else [sum(active.get((place, month), 0) for place in deputies) for month in months],
        },
        "places": [
            {
                "place": place,
                "deputies": number,
                "active": None if place in hidden else [active.get((place, month), 0) for month in months],
            }
            for place, number in sorted(deputies.items(), key=lambda pair: pair[0] or "")
        ],
    }


def _hidden(deputies: Mapping[str | None, int]) -> set[str | None]:
    """The places that are too small, and the smallest others until those hidden are several and together not too small.

    For the whole less what is shown tells of all that are hidden together.
    """
    found = {place for place, number in deputies.items() if number < LEAST}
    others = sorted(deputies.keys() - found, key=lambda place: (deputies[place], place or ""))
    while found and others and (len(found) == 1 or sum(deputies[place] for place in found) < LEAST):
        found.add(others.pop(0))
    return found
