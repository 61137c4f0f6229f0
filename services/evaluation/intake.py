"""Events in batches: decoded one by one, scored, and written with one statement (ADR 0017).

Invariants: an event that cannot be read or scored here is set aside and never makes its neighbours wait;
news of a deputy and corrections are set aside too. Rows are in key order, so that two processes
lock in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from services.evaluation.rubric import Schedule
from services.evaluation.scoring import Row, Scorer, SetAside
from services.evaluation.store import TAKE_IN, EvaluationStore, columns, in_key_order
from shared.contracts.evaluation import ScoreCorrected
from shared.contracts.identity import DeputyChanged
from shared.contracts.registry import Declaration
from shared.contracts.structs import canonical, decoder_of, hasty_decoder_of, without_control
from shared.messaging.received import NUL, Record
from shared.messaging.stream import Batch, Tally

# News of a deputy is no score; a correction names its row itself, so no item of a rubric gives it one.
_ONE_BY_ONE = (DeputyChanged, ScoreCorrected)


class EventReading:
    """Reads batches under the rubrics as they were adopted when it was last refreshed."""

    statement = TAKE_IN

    def __init__(self, store: EvaluationStore, engine: AsyncEngine, taken_in: Sequence[Declaration]) -> None:
        self._store = store
        self._engine = engine
        own = [d for d in taken_in if d.model not in _ONE_BY_ONE and d.type == d.topic]
        self._hasty = {declared.topic: hasty_decoder_of(declared) for declared in own}
        self._strict = {declared.topic: decoder_of(declared) for declared in own}
        self._scorer = Scorer(Schedule())
        self._version = 0

    async def refresh(self) -> None:
        """Load the adopted rubrics."""
        async with self._engine.connect() as connection:
            schedule, self._version = await self._store.schedule_and_version(connection)
        self._scorer = Scorer(schedule)

    def read(self, records: Sequence[Record]) -> Batch:
        """Decode and score; of several rows about one fact only the newest is kept."""
        ids: list[str | None] = []
        subjects: list[str] = []

        def hasty(topic: str, value: bytes) -> Any:
            decoder = self._hasty[topic]
            message = decoder.decode(value)
            ids.extend(decoder.ids(message))
            subjects.append(message.subject)
            return message

        batch = self._read(records, hasty)
        if canonical(ids) and without_control(subjects):
            return batch
        return self._read(records, lambda topic, value: self._strict[topic].decode(value))

    def _read(self, records: Sequence[Record], decode: Callable[[str, bytes], Any]) -> Batch:
        newest: dict[tuple[str, str, str], Row] = {}
        set_aside: list[Record] = []
        tallies: dict[tuple[str, int], Tally] = {}
        rows_of = self._scorer.rows
        topic, partition, tally = "", -1, Tally()
        for record in records:
            value = record.value
            if record.partition != partition or record.topic != topic:  # they come partition by partition
                topic, partition = record.topic, record.partition
                tally = tallies.setdefault((topic, partition), Tally())
            try:
                message = decode(topic, value)  # type: ignore[arg-type]
                if NUL in value:  # type: ignore[operator]
                    set_aside.append(record)
                    continue
                rows = rows_of(message)
            except (KeyError, TypeError, OverflowError, msgspec.MsgspecError, SetAside):
                # OverflowError: a time on the last day of the calendar has no date in China.
                set_aside.append(record)
                continue
            for row in rows:
                identity = row[:3]
                held = newest.get(identity)
                if held is None or held[3] < row[3]:
                    newest[identity] = row
            tally.records += 1
            tally.unused += not rows
            time = message.time
            if tally.latest is None or tally.latest < time:
                tally.latest = time
        return Batch((self._version, *columns(in_key_order(newest.values()))), tallies, set_aside)
