"""A department's own system 承办单位系统, as an integrator would write it: one file, public contract only.

It hears of its cases, accepts and answers each or hands it back, through one of two doors (see README.md):
    kafka   reads department.<code>.routed, writes department.<code>.replies (CloudEvents as JSON)
    http    asks GET /api/cases?state=routed again and again, posts accept, answer, return

Three rules make it safe, whatever is killed and whenever: an offset is committed only after the broker
has acknowledged every reply; a reply's id is made from the dossier's id and the step, so a repetition
changes nothing; dossiers already handled are skipped by their id. What a case says is never printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

REPLY_IDS = UUID("0d5f7a3c-6f0e-5b5d-8a53-3b9f0f1c2e77")
REMEMBERED_DOSSIERS = 10_000
JSON_EVENT = [("content-type", b"application/cloudevents+json")]
ANSWERS = (
    {"result": "solved", "text": "已安排人员到现场处理完毕，并已告知反映人。"},
    {"result": "explained", "text": "经核实，已向反映人说明政策和下一步安排。"},
    {"result": "unsolved", "text": "因涉及规划调整，暂不具备实施条件，已列入后续计划。"},
)
Message = dict[str, Any]
Step = tuple[str, timedelta, dict[str, str]]  # its name, how long after the dossier (simulated), what it says


def steps_for(seed: str, return_share: float) -> list[Step]:
    """What is done with a dossier: the same for the same seed, however often it is asked."""
    chance = random.Random(seed)  # noqa: S311 - a demonstration's choice, no secret
    hours, days = chance.triangular(0.2, 6, 1), chance.triangular(0.1, 5, 1)
    if chance.random() < return_share:
        return [("return", timedelta(hours=hours), {"reason": "不属于本单位职责范围，请另行派单。"})]
    answer = chance.choices(ANSWERS, (7, 2, 1))[0]
    return [("accept", timedelta(hours=hours), {}), ("answer", timedelta(hours=hours, days=days), answer)]


def reply_id(dossier_id: str, step: str) -> str:
    """The id of a reply, made from what it replies to."""
    return str(uuid5(REPLY_IDS, f"{dossier_id}/{step}"))


def simulated_time(routed: datetime, after: timedelta, end: datetime) -> datetime:
    """When a step happens in the simulated year: later steps later, none behind its end."""
    return min(routed + after, routed + (end - routed) * (after / (after + timedelta(days=3))))


def parse_time(text: str) -> datetime:
    """An RFC 3339 time; ValueError for one without a zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return time


def read_event(value: bytes | None) -> Message | None:
    """A message of the routed topic, or None for what is not one: it must not stop this department."""
    try:
        message: Message = json.loads(value or b"")
        parse_time(message["time"])
        return message if message["id"] and message["type"] and message["data"]["case_id"] else None
    except (ValueError, KeyError, TypeError):
        return None


class Department:
    """One department. `credentials` are its `username` and `password`; empty where the broker asks for none."""

    def __init__(self, code: str, credentials: dict[str, str], options: argparse.Namespace) -> None:
        self.code = code
        self.credentials, self.options = credentials, options
        self.seen: dict[str, None] = {}
        self.handed_back: dict[str, str] = {}

    async def serve(self) -> None:
        """Serve until cancelled; what is away or not yet made is tried again."""
        once = self._serve_kafka if self.options.door == "kafka" else self._serve_http
        while True:
            try:
                await once()
            except (KafkaError, aiohttp.ClientError, OSError, TimeoutError) as error:
                print(f"{self.code}: {type(error).__name__}, trying again", flush=True)
                await asyncio.sleep(2)

    def steps(self, dossier_id: str, case_id: str) -> list[Step]:
        """The steps for a dossier; a case that was handed back and came again is handled."""
        again = self.handed_back.get(case_id, dossier_id) != dossier_id
        steps = steps_for(f"{self.code}/{case_id}", 0.0 if again else self.options.return_share)
        if steps[0][0] == "return":
            self.handed_back[case_id] = dossier_id
        return steps

    async def _serve_kafka(self) -> None:
        connection: dict[str, Any] = {"bootstrap_servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}
        if self.credentials:
            connection["security_protocol"] = os.environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            connection["sasl_mechanism"] = "SCRAM-SHA-512"
            connection |= {f"sasl_plain_{name}": value for name, value in self.credentials.items()}
        consumer = AIOKafkaConsumer(
            f"department.{self.code}.routed",
            group_id=f"department.{self.code}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=5_000,
            **connection,
        )
        producer = AIOKafkaProducer(acks="all", linger_ms=5, **connection)
        try:
            await producer.start()
            await consumer.start()
            while True:
                batches = await consumer.getmany(timeout_ms=1_000, max_records=500)
                if batches:
                    await self._handle([record for batch in batches.values() for record in batch], producer)
                    await consumer.commit({part: batch[-1].offset + 1 for part, batch in batches.items()})
        finally:
            await consumer.stop()
            await producer.stop()

    async def _handle(self, records: list[Any], producer: AIOKafkaProducer) -> None:
        """Reply to every dossier of a batch; returns once the broker has acknowledged all replies."""
        messages = {m["id"]: m for record in records if (m := read_event(record.value))}
        fresh = [message for id_, message in messages.items() if id_ not in self.seen]
        now, later, end = list[Message](), list[Message](), self.options.simulated_until
        for message in fresh:
            data = message["data"]
            if message["type"] == "department.refused":
                print(f"{self.code}: reply refused on {data['case_id']}: {data.get('code')}", flush=True)
            elif message["type"] == "department.routed":
                simulated = end is not None and parse_time(message["time"]) <= end
                for step in self.steps(message["id"], data["case_id"]):
                    live_answer = step[0] == "answer" and not simulated
                    (later if live_answer else now).append(self._reply(message, step, simulated=simulated))
        await self._send(producer, now)
        if later:
            await asyncio.sleep(self.options.live_seconds)  # the work itself, in a live suite
            await self._send(producer, later)
        self.seen = dict.fromkeys([*self.seen, *(message["id"] for message in fresh)][-REMEMBERED_DOSSIERS:])

    def _reply(self, dossier: Message, step: Step, *, simulated: bool) -> Message:
        name, after, data = step
        reply = {
            "specversion": "1.0",
            "id": reply_id(dossier["id"], name),
            "source": f"/departments/{self.code}",
            "type": f"case.{name}",
            "subject": dossier["data"]["case_id"],
            "time": datetime.now().astimezone().isoformat(),
            "datacontenttype": "application/json",
            "correlationid": dossier.get("correlationid") or dossier["id"],
            "causationid": dossier["id"],
            "data": data,
        }
        if "traceparent" in dossier:
            reply["traceparent"] = dossier["traceparent"]
        if simulated:
            routed, end = parse_time(dossier["time"]), self.options.simulated_until
            reply["time"] = simulated_time(routed, after, end).isoformat()
            reply["actortoken"] = os.environ["SIMULATION_TOKEN"]
        return reply

    async def _send(self, producer: AIOKafkaProducer, replies: list[Message]) -> None:
        sending = []
        for reply in replies:
            record = {
                "value": json.dumps(reply).encode(),
                "key": reply["subject"].encode(),
                "headers": JSON_EVENT,
            }
            sending.append(await producer.send(f"department.{self.code}.replies", **record))
        await asyncio.gather(*sending)

    async def _serve_http(self) -> None:
        form = {"grant_type": "password", **self.credentials}  # username and password
        async with aiohttp.ClientSession(os.environ["GATEWAY_URL"]) as session:
            while True:
                async with session.post("/api/token", data=form, raise_for_status=True) as answer:
                    session.headers["Authorization"] = f"Bearer {(await answer.json())['access_token']}"
                for state in ("accepted", "routed"):  # accepted: left over from a round that was cut short
                    query = {"state": state, "size": "100"}
                    async with session.get("/api/cases", params=query, raise_for_status=True) as answer:
                        for case in (await answer.json())["items"]:
                            await self._handle_over_http(session, case)
                await asyncio.sleep(self.options.live_seconds)

    async def _handle_over_http(self, session: aiohttp.ClientSession, case: Message) -> None:
        dossier_id = f"{case['id']}/{case['returned']}"
        for name, _, data in self.steps(dossier_id, case["id"]):
            if name == "accept" and case["state"] == "accepted":
                continue
            headers = {"Idempotency-Key": reply_id(dossier_id, name)}
            async with session.post(f"/api/cases/{case['id']}/{name}", json=data, headers=headers) as answer:
                if answer.status >= 400:
                    code = (await answer.json(content_type=None)).get("code")
                    print(f"{self.code}: refused: {name} on {case['id']}: {code}", flush=True)


async def main(options: argparse.Namespace) -> None:
    """Serve every department of the file, also those that appear or leave meanwhile, until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    serving: dict[tuple[str, str], asyncio.Task[None]] = {}
    known: dict[str, dict[str, str]] = {}
    while not stopped.is_set():
        with contextlib.suppress(FileNotFoundError, ValueError):  # not there yet, or half written
            known = json.loads(options.departments_file.read_text(encoding="utf-8"))
        ours = {code: theirs for code, theirs in known.items() if code in (options.department or known)}
        wanted = {(code, json.dumps(theirs)): theirs for code, theirs in ours.items()}
        for place in serving.keys() - wanted.keys():
            serving.pop(place).cancel()
        for place in wanted.keys() - serving.keys():
            serving[place] = asyncio.create_task(Department(place[0], wanted[place], options).serve())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), 1)
        [task.result() for task in serving.values() if task.done()]  # a mistake of ours: stop and show it
    for task in serving.values():
        task.cancel()
    await asyncio.gather(*serving.values(), return_exceptions=True)


def read_options() -> argparse.Namespace:
    """The command line; ends the program with a message when it does not make sense."""
    parser = argparse.ArgumentParser(description="Departments that accept and answer their cases.")
    add = parser.add_argument
    add("--departments-file", type=Path, required=True, help="JSON {code: {username, password}}")
    add("--department", action="append", metavar="CODE", help="only this one of the file; may be repeated")
    add("--door", choices=("kafka", "http"), default="kafka")
    add("--return-share", type=float, default=0.0, help="share of the cases to hand back, 0 to 1")
    add("--live-seconds", type=float, default=2.0, help="how long an answer takes")
    add("--simulated-until", type=parse_time, help="simulate the pace of dossiers up to this RFC 3339 time")
    options = parser.parse_args()
    needed = ["KAFKA_BOOTSTRAP_SERVERS" if options.door == "kafka" else "GATEWAY_URL"]
    for name in needed + ["SIMULATION_TOKEN"] * (options.simulated_until is not None):
        if name not in os.environ:
            parser.error(f"needs {name} in the environment")
    return options


if __name__ == "__main__":
    asyncio.run(main(read_options()))
