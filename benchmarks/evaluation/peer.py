"""PEER: Quix Streams 3.28, the library that a team would take which does not write its own loop.

One streaming dataframe per topic decodes and scores with the same structs and compiled rubric as evaluation, and
one sink writes what came since the last checkpoint with the same statement as REF, in one transaction; offsets
are committed after it (at least once; the ledger's key makes it exactly once). A checkpoint is made
every 2,000 records or 100 ms; other sizes have not been tried. Quix Streams wants another confluent-kafka than the suite, so this
runs in an environment of its own, see `peer_python` in `__main__`. Environment as for REF.
"""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import asyncpg

from benchmarks.evaluation import city
from benchmarks.evaluation.reference import TOPICS, WRITE, columns_of, tell
from services.evaluation.scoring import Row, Scorer
from services.evaluation.store import in_key_order
from shared.contracts.registry import contract_of
from shared.contracts.structs import decoder_of
from shared.settings import KafkaSettings


class Ledger:
    """Writes the rows of a checkpoint at once; the methods are those of the library's `BaseSink`."""

    def __init__(self, stop: Any, events: int) -> None:
        super().__init__()
        self._stop, self._events = stop, events
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._taken = self._done = 0
        self._warm = False
        self._loop = asyncio.new_event_loop()
        self._connection = self._loop.run_until_complete(
            asyncpg.connect(os.environ["DATABASE_URL"].replace("+asyncpg", ""))
        )

    def add(self, value: Any, *_: Any, **__: Any) -> None:
        """Keep the rows of one event, the newest of each fact."""
        self._taken += 1
        for row in value:
            held = self._rows.get(row[:3])
            if held is None or held[3] < row[3]:
                self._rows[row[:3]] = row

    def flush(self) -> None:
        """Write what was kept; the library commits the offsets next."""
        if self._rows:
            self._loop.run_until_complete(self._write(columns_of(in_key_order(self._rows.values()))))
            self._rows.clear()
        self._done = self._taken
        if not self._warm and self._done >= self._events / 10:
            self._warm = True
            tell("warm", self._done)
        if self._done >= self._events:
            self._stop()

    async def _write(self, columns: list[Any]) -> None:
        async with self._connection.transaction():
            await self._connection.fetch(WRITE, *columns)

    def on_paused(self) -> None:
        """Nothing is kept for a partition that goes: the next to take it reads it again."""
        self._rows.clear()


def main() -> None:
    """Take in EVENTS records."""
    from quixstreams import Application
    from quixstreams.kafka import ConnectionConfig
    from quixstreams.sinks import BaseSink

    class Sink(Ledger, BaseSink):  # type: ignore[misc]  # not installed where mypy runs
        pass

    kafka, events = KafkaSettings(), int(os.environ["EVENTS"])
    assert kafka.kafka_password is not None
    application = Application(
        ConnectionConfig(
            bootstrap_servers=kafka.kafka_bootstrap_servers,
            security_protocol=kafka.kafka_security_protocol,
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=kafka.kafka_username,
            sasl_password=kafka.kafka_password,
        ),
        consumer_group=os.environ["GROUP"],
        auto_offset_reset="earliest",
        commit_every=2000,
        commit_interval=0.1,
        auto_create_topics=False,
        use_changelog_topics=False,
        consumer_extra_config={"fetch.wait.max.ms": 20},
        loglevel="WARNING",
    )
    scorer = Scorer(city.schedule())
    sink = Sink(application.stop, events)
    for name in TOPICS:
        declared = contract_of(name)
        assert declared is not None
        decode = decoder_of(declared).decode
        frame = application.dataframe(application.topic(name, value_deserializer="bytes"))
        frame.apply(lambda value, decode=decode: scorer.rows(decode(value))).sink(sink)
    application.run()
    tell("end", sink._done)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    tell("started", 0)
    main()
