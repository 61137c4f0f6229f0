"""A stand-in for the townships' 四个平台 that misbehaves on purpose, and always alike for the same seed.

It hears of its cases on department.<code>.routed and replies on department.<code>.replies: late, twice,
out of order, with other words under the same id, now and then with a refusal, with rubbish, and about
cases that are not its own. What the suite makes of it is the suite's affair; this program only keeps a
journal of what it sent: one JSON line a record, `id` null where the record is no message.

Source of the misbehaviour: what integrators of such platforms report: late, repeated and reordered receipts 乱序、重复回执,
退回, 延期. The interface of the real platforms is not public; this is the suite's own contract.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

TEXTS = ("已安排网格员到现场处理完毕。", "经核实，已向反映人说明情况。", "暂不具备条件，已列入计划。")
RESULTS = ("solved", "explained", "unsolved")
RUBBISH = (b"", b"\xff\xfe", b"[]", b"{", b'{"type": "case.accept"}', "收到".encode())
Sent = tuple[str | None, bytes]  # the message's id, where it is one, and its bytes


class Platform:
    """What one platform sends about each of its cases. `foreign` are ids of cases that are not its own."""

    def __init__(self, code: str, seed: int, foreign: list[str]) -> None:
        self.code = code
        self.foreign = foreign
        self.chance = random.Random(f"{seed}/{code}")  # noqa: S311 - repeatable is what is wanted

    def receipts(self, case_id: str) -> list[Sent]:
        """Everything that is sent about one case, in the order in which it is sent."""
        accept, answer = self._step("accept", case_id), self._answer(case_id)
        hand_back = self._step("return", case_id, reason="不属于本平台职责。")
        plans: dict[str, Callable[[], list[Sent]]] = {
            "properly": lambda: [accept, answer],
            "each twice": lambda: [accept, accept, answer, answer],
            "answer before accept": lambda: [answer, accept],
            "refused": lambda: [hand_back],
            "refused twice": lambda: [hand_back, self._step("return", case_id, reason="再次退回。")],
            "returned after accepting, then answered": lambda: [accept, hand_back, answer],
            "accepted after returning": lambda: [hand_back, accept],
            "two answers": lambda: [accept, answer, self._answer(case_id)],
            "other words under the same id": lambda: [answer, self._answer(case_id, answer[0]), accept],
            "shuffled": lambda: self._shuffled([accept, accept, answer, answer, hand_back]),
            "rubbish between": lambda: [
                self._rubbish(),
                accept,
                self._malformed(case_id),
                answer,
                self._rubbish(),
            ],
            "somebody else's case": lambda: [
                self._answer(self._stranger()),
                accept,
                answer,
                self._step("accept", self._stranger()),
            ],
        }
        return plans[self.chance.choice(MISCHIEF)]()

    def _stranger(self) -> str:
        return self.chance.choice([*self.foreign, str(self._id())])

    def _shuffled(self, receipts: list[Sent]) -> list[Sent]:
        self.chance.shuffle(receipts)
        return receipts

    def _id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def _step(self, step: str, case_id: str, **data: str) -> Sent:
        return self._message(str(self._id()), f"case.{step}", case_id, data)

    def _answer(self, case_id: str, id_: str | None = None) -> Sent:
        number = self.chance.randrange(10_000)
        data = {"result": self.chance.choice(RESULTS), "text": f"{self.chance.choice(TEXTS)}（回执{number}）"}
        return self._message(id_ or str(self._id()), "case.answer", case_id, data)

    def _malformed(self, case_id: str) -> Sent:
        """A message that can be told apart but not understood."""
        return self._message(str(self._id()), "case.answer", case_id, {"result": "perfect"})

    def _rubbish(self) -> Sent:
        return None, self.chance.choice(RUBBISH)

    def _message(self, id_: str, type_: str, case_id: str, data: dict[str, str]) -> Sent:
        message: dict[str, Any] = {
            "specversion": "1.0",
            "id": id_,
            "source": f"/platforms/{self.code}",
            "type": type_,
            "subject": case_id,
            "time": datetime.now().astimezone().isoformat(),
            "datacontenttype": "application/json",
            "data": data,
        }
        return id_, json.dumps(message).encode()


MISCHIEF = (
    "properly",
    "each twice",
    "answer before accept",
    "refused",
    "refused twice",
    "returned after accepting, then answered",
    "accepted after returning",
    "two answers",
    "other words under the same id",
    "shuffled",
    "rubbish between",
    "somebody else's case",
)


async def main(options: argparse.Namespace) -> None:
    """Misbehave about the first `--cases` cases that come, then end."""
    connection: dict[str, Any] = {"bootstrap_servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}
    if "KAFKA_USERNAME" in os.environ:
        connection |= {
            "security_protocol": os.environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": os.environ["KAFKA_USERNAME"],
            "sasl_plain_password": os.environ["KAFKA_PASSWORD"],
        }
    platform = Platform(options.department, options.seed, options.foreign_case)
    consumer = AIOKafkaConsumer(
        f"department.{options.department}.routed",
        group_id=f"department.{options.department}",
        auto_offset_reset="earliest",
        **connection,
    )
    producer = AIOKafkaProducer(acks="all", **connection)
    journal = options.journal.open("w", encoding="utf-8")
    try:
        await producer.start()
        await consumer.start()
        seen: set[str] = set()
        late: list[list[Sent]] = []
        while len(seen) < options.cases:
            record = await consumer.getone()
            message = json.loads(record.value)
            case_id = message["data"]["case_id"]
            if message["type"] != "department.routed" or case_id in seen:
                continue
            seen.add(case_id)
            late.append(platform.receipts(case_id))
            if len(late) > platform.chance.randrange(
                options.late + 1
            ):  # later ones may overtake earlier ones
                await _send(platform, producer, late.pop(platform.chance.randrange(len(late))), journal)
        for receipts in late:
            await _send(platform, producer, receipts, journal)
    finally:
        journal.close()
        await consumer.stop()
        await producer.stop()


async def _send(platform: Platform, producer: AIOKafkaProducer, receipts: list[Sent], journal: Any) -> None:
    for id_, body in receipts:
        await producer.send_and_wait(f"department.{platform.code}.replies", value=body)
        told = json.loads(body) if id_ else {}
        line = {"id": id_, "type": told.get("type"), "case": told.get("subject"), "data": told.get("data")}
        journal.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A department system that misbehaves on purpose.")
    add = parser.add_argument
    add("--department", required=True, metavar="CODE")
    add("--seed", type=int, default=1)
    add("--cases", type=int, default=100, help="how many cases to misbehave about")
    add("--late", type=int, default=5, help="how many cases may be held back")
    add("--foreign-case", action="append", default=[], metavar="ID", help="a case of another department")
    add("--journal", type=Path, required=True, help="where to write what was sent")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(read_options()))
