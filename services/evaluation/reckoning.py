"""What deputies' sums and totals must be, by their ledger rows alone, and where what is kept differs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.evaluation.domain import Bucket, LedgerEntry, buckets, totals
from services.evaluation.rubric import Schedule

Place = tuple[UUID, int]
"""A deputy and a calendar year."""


@dataclass(frozen=True)
class Held:
    """What the tables say of some deputies at one moment; `unsettled` are totals that are not derived yet."""

    rows: Sequence[LedgerEntry]
    buckets: Mapping[Bucket, int]
    totals: Mapping[Place, tuple[int, Mapping[str, int]]]
    unsettled: frozenset[Place]


@dataclass(frozen=True)
class Difference:
    """A sum or total that is not what the ledger gives; in hundredths of a point.

    `month` as in `domain.month_of` and `item` for a sum; both are None for the total of `year`. `reckoned` is
    None where the ledger holds an item that the year's rubric does not have.
    """

    deputy_id: UUID
    year: int
    month: int | None
    item: str | None
    held: int
    reckoned: int | None


def differences(schedule: Schedule, held: Held) -> Iterator[Difference]:
    """What is kept and is not what the ledger rows give; sums first, then totals."""
    reckoned = buckets(held.rows)
    for bucket in sorted({*reckoned, *held.buckets}, key=lambda b: (b.deputy_id, b.month, b.item)):
        kept, right = held.buckets.get(bucket, 0), reckoned.get(bucket, 0)
        if kept != right:
            yield Difference(bucket.deputy_id, bucket.year, bucket.month, bucket.item, kept, right)
    sums: defaultdict[Place, dict[str, dict[int, int]]] = defaultdict(dict)
    for bucket, points in reckoned.items():
        sums[bucket.deputy_id, bucket.year].setdefault(bucket.item, {})[bucket.month] = points
    for place in sorted({*sums, *held.totals} - held.unsettled):
        rubric = schedule.in_year(place[1])
        if rubric is None:
            continue  # a year without a rubric has no score
        total, categories = held.totals.get(place, (0, {}))
        try:
            right_total = totals(rubric, sums[place])
        except KeyError:
            yield Difference(*place, None, None, total, None)
            continue
        if (total, categories) != (right_total.total, right_total.categories):
            yield Difference(*place, None, None, total, right_total.total)
