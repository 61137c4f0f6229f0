"""`domain.entries` at the speed of a stream: the same rows, from structs instead of dictionaries.

What an event is worth depends on few things that recur (the fields that conditions look at, and the day),
so the answer for each combination is worked out once by the rules of `domain` and kept. Invariant: for
every event that `rows` takes, it gives the rows of `domain.entries`; for any other it raises `SetAside`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from operator import attrgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from services.evaluation.domain import CHINA, POINTS_LIMIT
from services.evaluation.rubric import YEAR, Item, Rubric, Schedule
from shared.contracts.registry import contract_of

Event = tuple[int, str, datetime]
"""Sequence, id and time of an event: of two about one fact the greater counts; canonical text sorts as the id does."""

Worth = tuple[str, str, date, int, str, int]
"""What recurs from row to row: item, event type, day, points, rubric and its version."""

Row = tuple[str, str, str, Event, Worth]
"""A ledger row: deputy, item and evidence, which together are the fact, and two tuples that rows share."""

_KEPT_MAX = 100_000
"""How many combinations of a type are kept before beginning anew."""


class SetAside(Exception):  # noqa: N818 - named by what it says
    """An event that must be looked at one by one."""


_Plan = tuple[Callable[[Any], str], str, Callable[[Any], str], Callable[[Any], Any] | None, Worth]
"""What events of one combination are worth under one item: how to read the deputy, the item, how to read
evidence and units (None: not by unit), and the worth, of one unit. A tuple, because it is unpacked per row."""


class _TypePlan:
    """All items that look at one event type."""

    def __init__(self, schedule: Schedule, type_: str, texts: frozenset[str]) -> None:
        """`texts` are the fields that a struct holds as text and never as null."""
        self._schedule = schedule
        self._type = type_
        self._texts = texts
        self._items: list[tuple[Rubric, Item]] = [
            (rubric, item) for rubric in schedule.rubrics for item in rubric.items_by_event.get(type_, ())
        ]
        conditions = [c for _, item in self._items for c in (*item.where, *item.when)]
        self._fields = tuple(sorted({condition.field for condition in conditions}))
        self._dates = tuple(sorted({item.date or "" for _, item in self._items}))
        self._values: Callable[[Any], Any] = attrgetter(*self._fields) if self._fields else lambda _: ()
        self._kept: dict[Any, tuple[_Plan, ...]] = {}

    def worth(self, time: datetime, data: Any) -> tuple[_Plan, ...]:
        values = self._values(data)
        if self._dates == ("",):
            days: Any = time.astimezone(CHINA).date()
        else:
            days = tuple(_day(getattr(data, name) if name else time) for name in self._dates)
        found = self._kept.get((values, days))
        if found is None:
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            by_date = dict(zip(self._dates, days if isinstance(days, tuple) else (days,), strict=True))
            held = values if len(self._fields) != 1 else (values,)
            found = self._kept[values, days] = self._work_out(
                dict(zip(self._fields, held, strict=True)), by_date
            )
        return found

    def _work_out(self, values: Mapping[str, Any], days: Mapping[str, date]) -> tuple[_Plan, ...]:
        found: dict[str, _Plan] = {}
        for rubric, item in self._items:
            if not all(condition.holds(values) for condition in item.where):
                continue
            day = days[item.date or ""]
            counts = self._schedule.in_force(day) is rubric
            if not counts and item.key in found:
                continue
            scores = counts and all(condition.holds(values) for condition in item.when)
            found[item.key] = (
                attrgetter(item.deputy),
                item.key,
                _evidence(item, day, self._texts),
                attrgetter(item.per) if scores and item.per else None,
                (item.key, self._type, day, item.points if scores else 0, rubric.name, rubric.version),
            )
        return tuple(found.values())


def _day(moment: date | None) -> date:
    if isinstance(moment, datetime):
        return moment.astimezone(CHINA).date()
    if moment is None:
        raise SetAside
    return moment


def _evidence(item: Item, day: date, texts: frozenset[str]) -> Callable[[Any], str]:
    """How to read the evidence, as `domain` writes it; the usual shapes without a call of our own."""
    names, year = item.evidence, str(day.year)
    if names == (YEAR,):
        return lambda _: year
    if len(names) == 1 and names[0] in texts:
        return attrgetter(names[0])
    if len(names) == 2 and names[1] == YEAR and names[0] in texts:
        first = attrgetter(names[0])
        return lambda data: f"{first(data)}/{year}"
    return lambda data: "/".join(year if name == YEAR else str(getattr(data, name)) for name in names)


class Scorer:
    """What events are worth under the adopted rubrics."""

    def __init__(self, schedule: Schedule) -> None:
        self._plans = {type_: _plan(schedule, type_) for type_ in schedule.event_types}

    def rows(self, message: Any) -> list[Row]:
        """The ledger rows of a decoded message (`shared.contracts.structs`).

        Raises:
            SetAside: this event, or every event of its type, must be looked at one by one.
        """
        type_ = message.type
        if type_ not in self._plans:
            return []
        plan = self._plans[type_]
        if plan is None:
            raise SetAside
        data, time = message.data, message.time
        event = (message.sequence or 0, message.id, time)
        found: list[Row] = []
        try:
            for deputy, item, evidence, per, worth in plan.worth(time, data):
                who = deputy(data)
                if who is None:
                    continue  # what staff filed has no deputy, and is nobody's row
                if per is not None:
                    worth = _times(worth, per(data))  # noqa: PLW2901 - by unit
                found.append((who, item, evidence(data), event, worth))
        except TypeError:  # a field is null that an item counts on
            raise SetAside from None
        return found


def _times(worth: Worth, units: int) -> Worth:
    item, type_, day, points, rubric, version = worth
    points *= units
    if not -POINTS_LIMIT <= points <= POINTS_LIMIT:
        raise SetAside
    return item, type_, day, points, rubric, version


def _plan(schedule: Schedule, type_: str) -> _TypePlan | None:
    """A plan for a type, or None where only `domain.entries` knows what to do."""
    declaration = contract_of(type_)
    if declaration is None:
        return None
    fields = {name: _kinds(field.annotation) for name, field in declaration.model.model_fields.items()}
    dates: defaultdict[str, set[str | None]] = defaultdict(set)
    for rubric in schedule.rubrics:
        for item in rubric.items_by_event.get(type_, ()):
            dates[item.key].add(item.date)
            plain = {c.field for c in (*item.where, *item.when)} | set(item.evidence) - {YEAR}
            if not (
                all(fields.get(name, {object}) <= {str, int, bool, UUID, type(None)} for name in plain)
                and (item.deputy == "deputy_id" or fields.get(item.deputy) == {UUID})
                and (item.per is None or fields.get(item.per, {object}) <= {int, type(None)})
            ):
                return None
    if any(len(sources) > 1 for sources in dates.values()):
        return None  # two rubrics disagree on the day, so on which fact it is
    return _TypePlan(
        schedule, type_, frozenset(name for name, kinds in fields.items() if kinds <= {str, UUID})
    )


def _kinds(annotation: Any) -> set[Any]:
    """The plain types of a field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {type(value) for value in arguments}
    if origin is Annotated:
        return _kinds(arguments[0])
    if origin is Union or type(annotation).__name__ == "UnionType":
        return set().union(*map(_kinds, arguments))
    return {annotation}
