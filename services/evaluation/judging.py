"""What totals mean among peers 同组: ranks, grades 等次, outstanding deputies 优秀代表; and how ballots are read 述职测评.

Invariants: equal totals are treated alike: they share a rank, and where they do not all fit into the quota staff
decide between them; who is not ranked, or passed over, is told why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.evaluation.rubric import Grade, Review, Rubric


@dataclass(frozen=True)
class Candidate:
    """A deputy as ranking and selection see one; `total` in hundredths of a point."""

    deputy_id: UUID
    number: str
    level: str
    county: str | None
    town: str | None
    state: str
    total: int


@dataclass(frozen=True)
class Judged:
    """Where a deputy stands among peers 同组.

    `rank` and `grade` are None for who is not ranked, and `reason` says why; for who is ranked and passed
    over in the selection it says why as well. `tied` marks who shares the last place with more than the
    quota has room for: staff decide between them.
    """

    candidate: Candidate
    peers: tuple[str | None, ...]
    rank: int | None = None
    grade: Grade | None = None
    outstanding: bool = False
    tied: bool = False
    reason: str | None = None


def judge(rubric: Rubric, candidates: Iterable[Candidate]) -> list[Judged]:
    """Ranks within peer groups, grades, and outstanding deputies within the quota of each group.

    The quota is a share of all who are ranked in the group, rounded down. Equal totals share a rank; where
    they do not all fit into the quota none of them is chosen.
    """
    found: list[Judged] = []
    groups: defaultdict[tuple[str | None, ...], list[Candidate]] = defaultdict(list)
    for one in candidates:
        peers = tuple(getattr(one, name) for name in rubric.peers)
        reason = rubric.eligibility.excluded.get(one.number)
        if reason is None and one.state not in rubric.eligibility.states:
            reason = one.state
        if reason is not None:
            found.append(Judged(one, peers, reason=reason))
        else:
            groups[peers].append(one)
    for peers, members in groups.items():
        found += _judge_group(rubric, peers, sorted(members, key=lambda one: (-one.total, one.number)))
    return found


def _judge_group(
    rubric: Rubric, peers: tuple[str | None, ...], members: Sequence[Candidate]
) -> Iterator[Judged]:
    selection = rubric.selection
    least = next(
        (grade.at_least for grade in rubric.grades if selection and grade.key == selection.grade), None
    )
    ranks: dict[int, int] = {}
    for rank, one in enumerate(members, 1):
        ranks.setdefault(one.total, rank)
    passed = selection.excluded if selection else {}
    standing = [
        one.total
        for one in members
        if selection and one.number not in passed and (least is None or one.total >= least)
    ]
    quota = len(members) * selection.quota_percent // 100 if selection else 0
    # Who has more than the first that does not fit is in; who has exactly as much is tied.
    edge = standing[quota] if quota < len(standing) else None
    last = standing[min(quota, len(standing)) - 1] if quota and standing else None
    for one in members:
        stands = one.number not in passed and (least is None or one.total >= least)
        yield Judged(
            one,
            peers,
            rank=ranks[one.total],
            grade=rubric.grade(one.total),
            outstanding=stands and last is not None and one.total >= last and one.total != edge,
            tied=stands and last is not None and one.total == last == edge,
            reason=passed.get(one.number),
        )


def band(review: Review, approving: int, ballots: int) -> Grade | None:
    """How voters' ballots on a report are read 述职测评; None where nobody voted.

    Raises:
        ValueError: more approve than voted, or a number is negative.
    """
    if not 0 <= approving <= ballots:
        raise ValueError("approving votes lie between 0 and all ballots")
    if ballots == 0:
        return None
    return next(one for one in review.bands if approving * 100 >= one.at_least * ballots)
