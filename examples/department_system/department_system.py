"""A department's own system 承办单位系统, as an integrator would write it: one file, public contract only.

It hears of its cases, accepts and answers each or hands it back, through one of these doors (see README.md):
    kafka    reads department.<code>.routed, writes department.<code>.replies (CloudEvents as JSON)
    webhook  is told of each case by a signed POST, and posts accept, answer, return
    open311  asks GET /open311/v2/requests.json again and again, posts updates (GeoReport v2)
    http     asks GET /api/cases?state=routed again and again, posts accept, answer, return
On the topic it also does what takes more than two steps: a case that concerns several departments gets more time
first, one that lacks something is answered once the filer has supplied it, one that wants a co-handler 会办 after that
one's opinion; what is another's business waits for staff to move it, one whose owner is in dispute is handed back until
this department is designated, and motions 议案建议 are answered after a contact with the deputy, with what is promised
by when.

Three rules make it safe, whatever is killed and whenever: an offset is committed, or a webhook's POST
answered, only after every reply has been acknowledged; a reply's id is made from the dossier's id and the step, so a repetition
changes nothing; dossiers already handled are skipped by their id. What a case says is never printed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import aiohttp
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

REPLY_IDS = UUID("0d5f7a3c-6f0e-5b5d-8a53-3b9f0f1c2e77")
REMEMBERED_DOSSIERS = 10_000
SIGNATURE_SECONDS = 300
TOKEN_SECONDS = 600
JSON_EVENT = [("content-type", b"application/cloudevents+json")]
ANSWERS = (
    {"result": "solved", "text": "已安排人员到现场处理完毕，并已告知反映人。"},
    {"result": "explained", "text": "经核实，已向反映人说明政策和下一步安排。"},
    {"result": "unsolved", "text": "因涉及规划调整，暂不具备实施条件，已列入后续计划。"},
)
DISPUTED, CONCERNS_MANY = "权属不清", "多个部门"
ELSEWHERE, TOGETHER, INCOMPLETE = "改由其他单位主办", "确定会办单位", "具体位置待补充"
WAITED_FOR = ("extension-granted", "extension-refused", "supplied", "resumed", "opinion")
CHINA = timezone(timedelta(hours=8))
CLASSES = {
    "A": "已经解决。",
    "B": "正在解决，已明确完成时间。",
    "C": "已列入计划，逐步解决。",
    "D": "因客观条件限制，留作参考。",
}
PROMISING = ("B", "C")
PROMISED_IN = timedelta(days=180)
Message = dict[str, Any]
Step = tuple[str, timedelta, dict[str, Any]]  # its name, how long after the dossier (simulated), what it says


def steps_for(seed: str, return_share: float) -> list[Step]:
    """What is done with a dossier: the same for the same seed, however often it is asked."""
    chance = random.Random(seed)  # noqa: S311 - a demonstration's choice, no secret
    hours, days = chance.triangular(0.2, 6, 1), chance.triangular(0.1, 5, 1)
    if chance.random() < return_share:
        return [("return", timedelta(hours=hours), {"reason": "不属于本单位职责范围，请另行派单。"})]
    answer = chance.choices(ANSWERS, (7, 2, 1))[0]
    return [("accept", timedelta(hours=hours), {}), ("answer", timedelta(hours=hours, days=days), answer)]


def steps_for_text(steps: list[Step], text: str, seed: str) -> list[Step]:
    """The steps for a case, as its words ask for: handed back while in dispute, else what is waited for after accepting."""
    name, after, _ = steps[0]
    if DISPUTED in text:
        return [("return", after, {"reason": "权属不清，请明确责任单位。"})]
    if name != "accept":
        return steps
    if ELSEWHERE in text:
        said = {"text": "经核实，主要职责在其他单位，请转办。"}
        return [steps[0], ("progress", after + timedelta(hours=1), said)]
    if TOGETHER in text:
        said = {"text": "需要其他单位配合，请确定会办单位。"}
        return [steps[0], ("progress", after + timedelta(hours=1), said)]
    if INCOMPLETE in text:
        return [steps[0], ("ask", after + timedelta(hours=1), {"text": "请补充具体位置。"})]
    if CONCERNS_MANY in text:
        chance = random.Random(f"{seed}/extension")  # noqa: S311 - as above
        ask = {"days": chance.randint(2, 5), "reason": "需多部门会商。"}
        return [steps[0], ("ask-extension", after + timedelta(hours=1), ask)]
    return steps


def steps_for_motion(dossier: Mapping[str, Any]) -> list[Step]:
    """What is done with a motion: the same for the same motion, role and round.

    `on` and `due` are filled in when the time of the reply is known.
    """
    chance = random.Random(f"{dossier['motion_id']}/{dossier['role']}/{dossier['round']}")  # noqa: S311 - as above
    if dossier["role"] != "lead":
        return [("opinion", timedelta(days=chance.uniform(1, 20)), {"text": "我单位将按职责予以配合。"})]
    after = timedelta(
        days=chance.triangular(5, 60, 25) if dossier["round"] == 1 else chance.triangular(2, 15, 6)
    )
    form = chance.choice(("face-to-face", "phone", "inspection"))
    letter = chance.choices("ABCD", (6, 2, 1, 1))[0]
    answer: dict[str, Any] = {"result": letter, "text": CLASSES[letter], "signed_by": "局主要负责人"}
    answer["public"] = not dossier.get("secret", False)
    if letter in PROMISING:
        answer["promises"] = [{"text": "按计划完成。"}]
    return [("contact", after * 0.5, {"form": form}), ("answer", after, answer)]


def with_dates(name: str, data: dict[str, Any], at: datetime) -> dict[str, Any]:
    """A motion's reply with the dates that follow from when it is given."""
    if name == "contact":
        return {**data, "on": at.astimezone(CHINA).date().isoformat()}
    due = (at + PROMISED_IN).astimezone(CHINA).date().isoformat()
    promises = [{**promise, "due": due} for promise in data.get("promises", ())]
    return {**data, "promises": promises} if promises else data


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
        data = message["data"]
        about = data["motion_id"] if "motion_id" in data else data["case_id"]
        return message if message["id"] and message["type"] and about else None
    except (ValueError, KeyError, TypeError):
        return None


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a webhook's POST is the suite's and recent (Standard Webhooks: HMAC-SHA256 over id.timestamp.body)."""
    try:
        if abs(now - int(headers["webhook-timestamp"])) > SIGNATURE_SECONDS:
            return False
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        given = headers["webhook-signature"].split()
    except (KeyError, ValueError):
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


def as_update(step: str, data: dict[str, Any]) -> dict[str, str]:
    """A step in the words of Open311's updates."""
    if step == "accept":
        return {"status": "accepted"}
    if step == "return":
        return {"status": "not_responsible", "description": data["reason"]}
    return {"status": "closed", "result": data["result"], "description": data["text"]}


class Department:
    """One department. `credentials` are its `username` and `password`; empty where the broker asks for none."""

    def __init__(self, code: str, credentials: dict[str, str], options: argparse.Namespace) -> None:
        self.code = code
        self.credentials, self.options = credentials, options
        self.seen: dict[str, None] = {}
        self.handed_back: dict[str, str] = {}

    async def serve(self) -> None:
        """Serve until cancelled; what is away or not yet made is tried again."""
        doors = {"kafka": self._serve_kafka, "webhook": self._serve_webhook, "open311": self._serve_open311}
        once = doors.get(self.options.door, self._serve_http)
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
            simulated = end is not None and parse_time(message["time"]) <= end
            for step in self._steps_after(message):
                live_answer = step[0] == "answer" and not simulated
                (later if live_answer else now).append(self._reply(message, step, simulated=simulated))
        await self._send(producer, now)
        if later:
            await asyncio.sleep(self.options.live_seconds)  # the work itself, in a live suite
            await self._send(producer, later)
        self.seen = dict.fromkeys([*self.seen, *(message["id"] for message in fresh)][-REMEMBERED_DOSSIERS:])

    def _steps_after(self, message: Message) -> list[Step]:
        """What follows from a message on the department's topic; nothing for what it need not answer."""
        data, type_ = message["data"], message["type"]
        about = data.get("case_id") or data.get("motion_id")
        if type_ == "department.motion":
            return steps_for_motion(data)
        if type_ == "department.routed" and data.get("role", "lead") != "lead":
            return [("opinion", timedelta(hours=5), {"text": "我单位将按职责予以配合。"})]
        if type_ == "department.routed":
            steps = self.steps(message["id"], about)
            known = data.get("again", False) or data.get("reason", "").startswith("transferred")
            return steps if known else steps_for_text(steps, data.get("text", ""), f"{self.code}/{about}")
        if type_ == "department.refused" and data.get("code") == "designated":
            return steps_for(f"{self.code}/{about}", 0.0)  # it has gone up: it is this department's now
        if type_ == "department.told" and data.get("step") in WAITED_FOR:
            return steps_for(f"{self.code}/{about}", 0.0)[-1:]
        if type_ in ("department.refused", "department.motion-refused"):
            print(f"{self.code}: reply refused on {about}: {data.get('code')}", flush=True)
        return []

    def _reply(self, dossier: Message, step: Step, *, simulated: bool) -> Message:
        name, after, data = step
        is_motion, at = dossier["type"] == "department.motion", datetime.now().astimezone()
        if simulated:
            at = simulated_time(parse_time(dossier["time"]), after, self.options.simulated_until)
        reply = {
            "specversion": "1.0",
            "id": reply_id(dossier["id"], name),
            "source": f"/departments/{self.code}",
            "type": f"{'motion' if is_motion else 'case'}.{name}",
            "subject": dossier["data"]["motion_id" if is_motion else "case_id"],
            "time": at.isoformat(),
            "datacontenttype": "application/json",
            "correlationid": dossier.get("correlationid") or dossier["id"],
            "causationid": dossier["id"],
            "data": with_dates(name, data, at) if is_motion else data,
        }
        if "traceparent" in dossier:
            reply["traceparent"] = dossier["traceparent"]
        if simulated:
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

    async def _sign_in(self, session: aiohttp.ClientSession) -> None:
        form = {"grant_type": "password", **self.credentials}  # username and password
        async with session.post("/api/token", data=form, raise_for_status=True) as answer:
            session.headers["Authorization"] = f"Bearer {(await answer.json())['access_token']}"

    async def _serve_http(self) -> None:
        async with aiohttp.ClientSession(os.environ["GATEWAY_URL"]) as session:
            while True:
                await self._sign_in(session)
                await self._handle_all_over_http(session)
                await asyncio.sleep(self.options.live_seconds)

    async def _handle_all_over_http(self, session: aiohttp.ClientSession) -> None:
        for state in ("accepted", "routed"):  # accepted: left over from a round that was cut short
            query = {"state": state, "size": "100"}
            async with session.get("/api/cases", params=query, raise_for_status=True) as answer:
                for case in (await answer.json())["items"]:
                    await self._post_steps(session, f"{case['id']}/{case['returned']}", case["id"], state)

    async def _post_steps(
        self, session: aiohttp.ClientSession, dossier_id: str, case_id: str, state: str = "routed"
    ) -> None:
        for name, _, data in self.steps(dossier_id, case_id):
            if name == "accept" and state == "accepted":
                continue
            headers = {"Idempotency-Key": reply_id(dossier_id, name)}
            async with session.post(f"/api/cases/{case_id}/{name}", json=data, headers=headers) as answer:
                await self._tell_refusal(answer, name, case_id)

    async def _tell_refusal(self, answer: aiohttp.ClientResponse, step: str, case_id: str) -> None:
        """Print a refusal; raises what is worth another try: the suite is away, or our token too old."""
        if answer.status >= 500 or answer.status == 401:
            answer.raise_for_status()
        if answer.status >= 400:
            said = await answer.json(content_type=None)
            code = said.get("code") if isinstance(said, dict) else said[0]["description"].partition(":")[0]
            print(f"{self.code}: refused: {step} on {case_id}: {code}", flush=True)

    async def _serve_open311(self) -> None:
        async with aiohttp.ClientSession(os.environ["GATEWAY_URL"]) as session:
            while True:
                await self._sign_in(session)
                path, query = "/open311/v2/requests.json", {"status": "open"}
                async with session.get(path, params=query, raise_for_status=True) as answer:
                    for request in await answer.json():
                        await self._update_over_open311(session, request)
                await asyncio.sleep(self.options.live_seconds)

    async def _update_over_open311(self, session: aiohttp.ClientSession, request: Message) -> None:
        case_id, state = request["service_request_id"], request["status_notes"].partition(" ")[0]
        dossier_id = f"{case_id}/{request['updated_datetime']}"
        for name, _, data in self.steps(dossier_id, case_id) if state in ("routed", "accepted") else ():
            if name == "accept" and state == "accepted":
                continue
            update = {"service_request_id": case_id, "update_id": reply_id(dossier_id, name)}
            form = update | as_update(name, data)
            async with session.post("/open311/v2/servicerequestupdates.json", data=form) as answer:
                await self._tell_refusal(answer, name, case_id)

    async def _serve_webhook(self) -> None:
        """Register our address, do what came before, then wait to be told; the token is renewed meanwhile."""
        host, _, port = self.options.listen.rpartition(":")
        async with aiohttp.ClientSession(os.environ["GATEWAY_URL"]) as session:
            secrets: list[str] = []

            async def take(request: web.Request) -> web.Response:
                body = await request.read()
                if not any(is_signed(secret, request.headers, body, time.time()) for secret in secrets):
                    return web.Response(status=401)
                await self._handle_told(session, body)  # an error is answered 500, and we are told again
                return web.Response(status=204)

            app = web.Application()
            app.router.add_post("/", take)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, host, int(port)).start()
                url = self.options.public_url or f"http://{host}:{runner.addresses[0][1]}/"
                await self._sign_in(session)
                secrets.append(await self._register(session, url))
                await self._handle_all_over_http(session)
                while True:
                    await asyncio.sleep(TOKEN_SECONDS)
                    await self._sign_in(session)
            finally:
                await runner.cleanup()

    async def _register(self, session: aiohttp.ClientSession, url: str) -> str:
        """Register our address anew; the answer is the only one that tells the secret."""
        async with session.get("/api/webhooks", raise_for_status=True) as answer:
            before = [one["id"] for one in (await answer.json())["items"] if one["url"] == url]
        for id_ in before:
            async with session.delete(f"/api/webhooks/{id_}", raise_for_status=True):
                pass
        async with session.post("/api/webhooks", json={"url": url}, raise_for_status=True) as answer:
            return str((await answer.json())["secret"])

    async def _handle_told(self, session: aiohttp.ClientSession, body: bytes) -> None:
        message = read_event(body)
        if message is None or message["id"] in self.seen:
            return
        case_id = message["data"].get("case_id")
        if message["type"] == "department.refused":
            print(f"{self.code}: reply refused on {case_id}: {message['data'].get('code')}", flush=True)
        elif message["type"] == "department.routed":
            await self._post_steps(session, message["id"], case_id)
        self.seen = dict.fromkeys([*self.seen, message["id"]][-REMEMBERED_DOSSIERS:])


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
    add("--door", choices=("kafka", "webhook", "open311", "http"), default="kafka")
    add("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="webhook: where to listen")
    add("--public-url", help="webhook: how the suite reaches us, https; without it the listening address")
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
