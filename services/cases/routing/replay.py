"""What another catalogue or model would have done with past cases, beside what routing did with them.

Only what routing decided by itself is compared: where it sent a case when it was filed or taken up, or that
it left the case to staff. Invariant: a comparison names cases by id, never by their words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

EXAMPLES = 3
"""So many cases of each change are named."""


@dataclass(frozen=True)
class Past:
    """A past case: where routing sent it by itself (None: left to staff), and who took it on (None: nobody yet)."""

    case: UUID
    sent: str | None
    settled: str | None


@dataclass
class Alone:
    """Among the settled cases: how many were routed without staff, and how many of these to who took them on."""

    routed: int = 0
    right: int = 0

    def count(self, department: str | None, settled: str) -> None:
        """Count one settled case."""
        self.routed += department is not None
        self.right += department == settled


@dataclass
class Comparison:
    """Counts past cases one by one."""

    cases: int = 0
    settled: int = 0
    before: Alone = field(default_factory=Alone)
    after: Alone = field(default_factory=Alone)
    _changes: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    _examples: defaultdict[tuple[str | None, str | None], list[UUID]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, past: Past, drafted: str | None) -> None:
        """Count a case that the draft would send to a department, or leave to staff (None)."""
        self.cases += 1
        if past.settled is not None:
            self.settled += 1
            self.before.count(past.sent, past.settled)
            self.after.count(drafted, past.settled)
        if past.sent != drafted:
            change = (past.sent, drafted)
            self._changes[change] += 1
            if len(self._examples[change]) < EXAMPLES:
                self._examples[change].append(past.case)

    def result(self) -> dict[str, Any]:
        """Everything counted, the most frequent change first."""
        changes = sorted(self._changes.items(), key=lambda item: (-item[1], str(item[0])))
        return {
            "cases": self.cases,
            "changed": self._changes.total(),
            "settled": self.settled,
            "before": {"alone": self.before.routed, "right": self.before.right},
            "after": {"alone": self.after.routed, "right": self.after.right},
            "changes": [
                {"before": before, "after": after, "cases": count, "examples": self._examples[before, after]}
                for (before, after), count in changes
            ],
        }
