"""A year of events of a city's deputies as CloudEvents, the same for every contender, and what they must add up to.

5 % of the events are sent twice (as by a relay that was taken over) and 5 % arrive up to a month late.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from confluent_kafka import Producer

from services.evaluation.domain import Fact, LedgerEntry, buckets, entries, newest
from services.evaluation.rubric import Adopted, Schedule
from services.evaluation.rubric_file import read_rubric

RUBRIC = Path("services/evaluation/rubrics/ningbo.yaml")
DEPUTIES = 9_185
SEED = 7
REPEATED = LATE = 0.05
_OWNERS = {"case": "cases", "course": "learning"}
_YEAR = datetime(2021, 1, 1, tzinfo=UTC)

Wire = tuple[str, bytes, bytes]
"""Topic, key and message."""

Scores = tuple[dict[tuple[str, str, str], int], dict[tuple[str, int, str], int]]
"""Points by ledger row (deputy, item, evidence) and by bucket (deputy, month, item)."""


@dataclass(frozen=True)
class Event:
    """One event before it is written down."""

    type: str
    subject: str
    key: str
    time: datetime
    sequence: int
    data: Mapping[str, Any]
    id: str


def schedule() -> Schedule:
    """The shipped rubric, in force as a new service adopts it."""
    return Schedule(
        (Adopted(datetime(2020, 1, 1, tzinfo=UTC).date(), read_rubric(RUBRIC.read_text("utf-8"))[1]),)
    )


def events(count: int, seed: int = SEED) -> Iterator[Event]:
    """Events in the order in which they are sent; `count` of them, repetitions included."""
    dice = random.Random(seed)
    deputies = deputies_of(dice)
    duties: list[tuple[str, str, str, str]] = []
    cases: list[tuple[str, str]] = []
    courses = [_id(dice, 0) for _ in range(300)]
    sent: list[Event] = []
    for number in range(count):
        moment = _YEAR + timedelta(seconds=number * 31_000_000 // count)
        if sent and dice.random() < REPEATED:
            yield dice.choice(sent[-2000:])
            continue
        if dice.random() < LATE:
            moment -= timedelta(days=dice.randrange(1, 31))
        deputy, kind, message_id = dice.choice(deputies), dice.random(), _id(dice, number)
        more: dict[str, Any]
        if kind < 0.2 or not cases:
            cases.append((_id(dice, number), deputy))
            case: dict[str, Any] = {
                "state": "routed",
                "county": "330203",
                "origin": dice.choice(("own", "resident")),
            }
            found = _of_case("case.filed", cases[-1], moment, 1, case, message_id)
        elif kind < 0.35:
            case = {
                "state": "closed",
                "county": "330203",
                "result": dice.choice(("solved", "explained", "unsolved")),
            }
            found = _of_case(
                "case.closed", dice.choice(cases[-5000:]), moment, dice.randrange(5, 9), case, message_id
            )
        elif kind < 0.42:
            case = {"state": "closed", "county": "330203", "stars": dice.randrange(1, 6)}
            found = _of_case("case.rated", dice.choice(cases[-5000:]), moment, 9, case, message_id)
        elif kind < 0.5:
            case = {"state": "routed", "county": "330203", "step": "accepted"}
            found = _of_case("case.progressed", dice.choice(cases[-5000:]), moment, 3, case, message_id)
        elif kind < 0.65:
            more = {
                "course_id": dice.choice(courses),
                "minutes": dice.randrange(20, 90),
                "mark": dice.randrange(60, 101),
            }
            found = _of_deputy("course.completed", deputy, moment, more, message_id)
        elif kind < 0.75:
            more = {
                "activity_id": _id(dice, number),
                "kind": dice.choice(("theme", "inspection", "research", "reception", "training")),
            }
            found = _of_deputy("activity.attended", deputy, moment, more, message_id)
        elif kind < 0.85:
            more = {
                "consultation_id": _id(dice, number),
                "kind": "questionnaire",
                "opinions": dice.randrange(4),
            }
            found = _of_deputy("consultation.answered", deputy, moment, more, message_id)
        else:
            if dice.random() < 0.5 or not duties:
                day = moment.date().isoformat()
                kinds = ("inspection", "research", "reception", "visit", "hearing", "meeting")
                duties.append((_id(dice, number), deputy, dice.choice(kinds), day))
                duty, state, sequence = duties[-1], "declared", 1
            else:
                duty, state, sequence = dice.choice(duties[-5000:]), dice.choice(("confirmed", "rejected")), 2
            more = {
                "duty_id": duty[0],
                "deputy_id": duty[1],
                "state": state,
                "kind": duty[2],
                "happened_on": duty[3],
            }
            found = Event("duty.logged", duty[0], duty[0], moment, sequence, more, message_id)
        sent.append(found)
        if len(sent) > 4000:
            del sent[:2000]
        yield found


def deputies_of(dice: random.Random) -> list[str]:
    """The deputies' ids, which a new generator of the seed gives first."""
    return [str(UUID(int=dice.getrandbits(128), version=4)) for _ in range(DEPUTIES)]


def _id(dice: random.Random, number: int) -> str:
    """A UUIDv7 as gateway, phone and outbox make them, one each millisecond; the same again for the same seed."""
    milliseconds = 1_609_459_200_000 + number
    return str(
        UUID(int=milliseconds << 80 | 7 << 76 | dice.getrandbits(12) << 64 | 2 << 62 | dice.getrandbits(62))
    )


def _of_case(
    type_: str,
    case: tuple[str, str],
    moment: datetime,
    sequence: int,
    more: Mapping[str, Any],
    message_id: str,
) -> Event:
    data = {"case_id": case[0], "deputy_id": case[1], "category": "城乡建设", **more}
    return Event(type_, case[0], case[0], moment, sequence, data, message_id)


def _of_deputy(type_: str, deputy: str, moment: datetime, more: Mapping[str, Any], message_id: str) -> Event:
    return Event(type_, deputy, deputy, moment, 1, {"deputy_id": deputy, **more}, message_id)


def on_the_wire(event: Event) -> Wire:
    """The event as its owner's outbox writes it."""
    owner = _OWNERS.get(event.type.split(".")[0], "participation")
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/services/{owner}",
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "datacontenttype": "application/json",
        "recordedtime": datetime.now(UTC),
        "sequence": event.sequence,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "correlationid": event.id,
        "causationid": event.id,
        "data": event.data,
    }
    return event.type, event.key.encode(), msgspec.json.encode(document)


def worth(count: int, ids: AbstractSet[str] | None = None) -> Scores:
    """What the first `count` events (of them those with these ids) add up to, by the rules of the domain alone."""
    rules = schedule()
    found: list[LedgerEntry] = []
    for event in events(count):
        if ids is None or event.id in ids:
            fact = Fact(UUID(event.id), event.type, event.time, event.data, event.sequence)
            found += entries(rules, fact)
    return scores_of(found)


def scores_of(found: list[LedgerEntry]) -> Scores:
    """Ledger and buckets of rows in any order."""
    ledger = {(str(key.deputy_id), key.item, key.evidence): row.points for key, row in newest(found).items()}
    sums = {
        (str(bucket.deputy_id), bucket.month, bucket.item): points
        for bucket, points in buckets(found).items()
    }
    return ledger, sums


def produce(config: Mapping[str, Any], count: int) -> float:
    """Send the first `count` events; returns the seconds that it took."""
    producer = Producer({**config, "acks": "all", "linger.ms": 20, "partitioner": "murmur2_random",
                         "queue.buffering.max.messages": 500_000})  # fmt: skip
    failed: list[Any] = []

    def told(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error)

    began = time.monotonic()
    for event in events(count):
        topic, key, value = on_the_wire(event)
        while True:
            try:
                producer.produce(topic, value, key, on_delivery=told)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    left = producer.flush(120)
    if failed or left:
        raise RuntimeError(f"{len(failed)} events refused, {left} not sent: {failed[:1]}")
    return time.monotonic() - began
