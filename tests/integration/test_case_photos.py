"""Photos and documents of cases from upload to erasure, through a gateway and cases as processes, quarantine and storage on S3."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from PIL import Image

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.storage import Storage, open_storage
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, started_producer
from tests.database import rows
from tests.document_files import document, legible, secrets
from tests.photo_files import GPS_MARK, HTML, MAKER, photo
from tests.s3_server import BUCKET, s3_environment, s3_server, s3_settings
from tests.warehouse_house import House

TOPICS = ("command.outcomes", "case.filed", "case.progressed", "department.housing.routed")
CASE = {"title": "井盖", "text": "路口窨井盖破损。", "county": "330203", "category": "城乡建设"}
QUARANTINE, PHOTOS = f"s3://{BUCKET}/quarantine", f"s3://{BUCKET}/photos"
ERASE = "UPDATE cases SET sealed = regexp_replace(sealed, '^([^.]*)\\.[^.]*', '\\1.') WHERE id = $1"
"""As erasure does it: the wrapped content key, the second part of the sealed words, is blanked."""


@dataclass
class Town:
    """A gateway, cases behind it, and their storage."""

    desk: Desk
    url: str
    session: aiohttp.ClientSession
    quarantine: Storage
    kept: Storage
    s3_port: int
    deputy: UUID = field(default_factory=uuid4)

    def token(self, *roles: Any, person: object = None, **more: Any) -> str:
        return self.desk.issuer.token(person or self.deputy, *roles, **more)

    async def ask(
        self, method: str, path: str, token: str, *, content: Any = None, raw: bytes | None = None
    ) -> tuple[int, aiohttp.typedefs.LooseHeaders, bytes]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(
            method, self.url + path, headers=headers, json=content, data=raw
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    async def upload(self, content: bytes, token: str | None = None, *, kind: str = "photos") -> str:
        status, _, body = await self.ask("POST", f"/api/{kind}", token or self.token("deputy"), raw=content)
        assert status == 201, body
        return str(json.loads(body)["digest"])

    async def file(self, *photos: str, **words: str) -> str:
        """A case of the deputy's with photos, routed to housing."""

        async def routed() -> str | None:  # the departments may not be known yet
            content = {**CASE, **words, "photos": photos}
            status, _, body = await self.ask("POST", "/api/cases", self.token("deputy"), content=content)
            assert status in {200, 202}, body
            case_id = str(json.loads(body)["id"])
            shown = await self.shown(case_id)
            return case_id if shown and shown["department"] == "housing" else None

        return str(await wait_until(routed, what="a routed case", every=0.3))

    async def shown(self, case_id: str) -> Any:
        status, _, body = await self.ask("GET", f"/api/cases/{case_id}", self.token("deputy"))
        return json.loads(body) if status == 200 else None

    async def states(self, case_id: str, count: int, *, kind: str = "photos") -> list[str]:
        """The states of a case's photos or documents, once none is only claimed."""

        async def settled() -> list[str] | None:
            states = [one["state"] for one in (await self.shown(case_id))[kind]]
            return states if len(states) == count and "claimed" not in states else None

        return list(await wait_until(settled, what=f"{kind} taken over", every=0.1) or ())


@pytest_asyncio.fixture(scope="module")
async def town(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Town]:
    async with s3_server() as port, aiohttp.ClientSession() as session:
        env = {**s3_environment(port), "QUARANTINE_URL": QUARANTINE, "PHOTOS_URL": PHOTOS}
        async with cases_desk(
            stack, processes, as_gateway, issuer, topics=TOPICS, PHOTOS_POLL_SECONDS="0.2", **env
        ) as desk:
            urls = json.dumps({"cases": [desk.url]})
            names = ("DIGEST_KEY", "INTAKE_SECRET", "INTAKE_CLIENT_SECRET")
            own = dict.fromkeys(names, "a secret of these tests") | {"OUTCOME_WAIT_SECONDS": "30"}
            url = await asyncio.to_thread(processes.start, "gateway", SERVICE_URLS=urls, **own, **env)
            settings = s3_settings(port)
            yield Town(
                desk, url, session, open_storage(QUARANTINE, settings), open_storage(PHOTOS, settings), port
            )
            await asyncio.to_thread(processes.stop, "gateway-1")


async def test_a_photo_reaches_who_may_see_the_case_without_position_or_maker_and_nobody_else(
    town: Town,
) -> None:
    digest = await town.upload(photo())
    case_id = await town.file(digest)
    assert await town.states(case_id, 1) == ["kept"]
    path = f"/api/cases/{case_id}/photos/{digest}"
    housing = town.token("department", person="housing-desk", organisation="housing")
    for token in (town.token("deputy"), town.token("staff", person=uuid4()), housing):
        status, headers, body = await town.ask("GET", path, token)
        assert status == 200
        assert Image.open(io.BytesIO(body)).size == (640, 480)
        assert not any(mark in body for mark in (GPS_MARK, MAKER.encode(), b"Exif"))
        assert headers["content-type"] == "image/jpeg"
        assert headers["content-disposition"].startswith("attachment;")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-store"
    status, _, small = await town.ask("GET", f"{path}?size=thumbnail", housing)
    assert (status, max(Image.open(io.BytesIO(small)).size)) == (200, 320)
    strangers = [
        town.token("deputy", person=uuid4()),
        town.token("department", person="other-desk", organisation="other"),
    ]
    for token in strangers:
        status, _, body = await town.ask("GET", path, token)
        assert (status, json.loads(body)["code"]) == (404, "photo-unknown")
    status, _, body = await town.ask("GET", path, "nobody")
    assert status == 401


async def test_the_department_gets_digests_on_its_topic_and_facts_carry_none(town: Town) -> None:
    digest = await town.upload(photo(colour="green"))
    case_id = await town.file(digest)

    async def dossier() -> Any:
        return town.desk.log.of("department.housing.routed", case_id)

    found = (await wait_until(dossier, what="the dossier"))[0]
    assert found.data["photos"] == [digest]
    for event in town.desk.log.of("case.filed", case_id):
        assert digest not in json.dumps(event.data)


async def test_supplies_and_answers_bring_photos_of_their_own_step_in_the_order_in_which_they_were_named(
    town: Town, stack: LocalStack
) -> None:
    colours = ("pink", "gold", "navy", "teal")
    first, third, *both = [await town.upload(photo(colour=colour)) for colour in colours]
    both = sorted(both, reverse=True)
    case_id = await town.file(first)
    housing = town.token("department", person="housing-desk", organisation="housing")

    async def done(step: str, token: str, content: Any = None) -> None:
        status, _, body = await town.ask("POST", f"/api/cases/{case_id}/{step}", token, content=content)
        assert status == 200, body

    await done("accept", housing)
    await done("ask", housing, {"text": "请补充照片"})
    await done("supply", town.token("deputy"), {"text": "见照片", "photos": [first, *both]})
    await done("answer", housing, {"result": "solved", "text": "已修复", "photos": [third]})
    assert await town.states(case_id, 4) == ["kept"] * 4
    shown = await town.shown(case_id)
    steps = {step["number"]: step["step"] for step in shown["steps"]}
    by_step = [(one["digest"], steps[one["step"]]) for one in shown["photos"]]
    supplied = [(digest, "supplied") for digest in both]
    assert by_step == [(first, "filed"), *supplied, (third, "answered")]


async def test_a_photo_that_was_never_uploaded_is_refused_at_the_door_and_missing_behind_another(
    town: Town, stack: LocalStack
) -> None:
    content = {**CASE, "photos": ["0" * 64]}
    status, _, body = await town.ask("POST", "/api/cases", town.token("deputy"), content=content)
    assert (status, json.loads(body)["code"]) == (422, "photo-unknown")
    case_id = await town.file()
    producer = await started_producer(stack, "dept-housing")
    answer = message(cases.AnswerCase(result="solved", text="已修复", photos=("0" * 64,)), subject=case_id)
    await producer.send_and_wait("department.housing.replies", value=encoded(answer), key=case_id.encode())
    await producer.stop()

    async def named() -> bool:
        return bool((await town.shown(case_id))["photos"])

    await wait_until(named, what="the answer")
    assert await town.states(case_id, 1) == ["missing"]
    status, _, _ = await town.ask("GET", f"/api/cases/{case_id}/photos/{'0' * 64}", town.token("deputy"))
    assert status == 404


async def test_a_wrong_file_is_a_problem_and_leaves_nothing(town: Town) -> None:
    status, headers, body = await town.ask("POST", "/api/photos", town.token("deputy"), raw=HTML)
    assert (status, json.loads(body)["code"]) == (415, "photo-type-not-allowed")
    assert headers["content-type"] == "application/problem+json"


async def test_with_the_words_of_a_case_its_photos_are_erased_everywhere(
    town: Town, stack: LocalStack
) -> None:
    digest, other = await town.upload(photo(colour="teal")), await town.upload(photo(colour="lime"))
    case_id, kept_id = await town.file(digest), await town.file(other)
    await town.states(case_id, 1)
    await town.states(kept_id, 1)
    await rows(stack, "cases", ERASE, UUID(case_id))
    path = f"/api/cases/{case_id}/photos/{digest}"
    status, _, _ = await town.ask("GET", path, town.token("staff", person=uuid4()))
    assert status == 404

    async def gone() -> bool:
        left = await rows(stack, "cases", "SELECT 1 FROM case_photos WHERE case_id = $1", UUID(case_id))
        return not left

    await wait_until(gone, what="rows of the erased case's photos gone")
    for storage, names in (
        (town.kept, (f"{case_id}/{digest}", f"{case_id}/{digest}.thumbnail")),
        (town.quarantine, (f"photos/{digest}", f"thumbnails/{digest}", f"claims/{digest}")),
    ):
        for name in names:
            assert await storage.look(name) is None
    assert await town.kept.look(f"{kept_id}/{other}") is not None
    assert (await town.shown(kept_id))["photos"][0]["state"] == "kept"


@pytest.mark.parametrize("ending", ["withdraw", "erase"])
async def test_a_residents_photos_follow_the_concern_into_the_case_and_go_when_it_is_withdrawn_or_erased(
    town: Town, stack: LocalStack, ending: str
) -> None:
    digest = await town.upload(photo(colour={"withdraw": "plum", "erase": "tan"}[ending]))
    case_id, intake = str(uuid4()), town.token("intake", person="intake")
    follow = hashlib.sha256(case_id.encode()).hexdigest()
    concern = cases.SubmitConcern(
        sealed=town.desk.sealer.seal({"title": "井盖", "text": "路口窨井盖破损。"}),
        deputy_id=town.deputy,
        county="330203",
        receipt=case_id[:8].upper().translate(str.maketrans("ABCDEF", "GHJKMN")) + "0000",
        follow=follow,
        consent="2026-12",
        photos=(digest,),
    )
    assert (await town.desk.ask(message(concern, subject=case_id, token=intake))).state == "accepted"
    assert await town.states(case_id, 1) == ["kept"]
    path = f"/api/cases/{case_id}/photos/{digest}"
    housing = town.token("department", person="housing-desk", organisation="housing")
    stranger = town.token("deputy", person=uuid4())
    staff, elsewhere = (town.token("staff", person=uuid4(), organisation=one) for one in ("330203", "330212"))

    async def statuses() -> list[int]:
        people = (town.token("deputy"), staff, elsewhere, stranger, housing)
        return [(await town.ask("GET", path, token))[0] for token in people]

    async def own(secret: str, *, of: str = digest, token: str = intake) -> int:
        asked = {"follow": secret, "digest": of, "size": "thumbnail"}
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{town.desk.url}/concerns/photo"
        async with town.session.post(url, json=asked, headers=headers) as answer:
            assert answer.status != 200 or max(Image.open(io.BytesIO(await answer.read())).size) == 320
            return answer.status

    assert await statuses() == [200, 200, 404, 404, 404]
    assert [await own(follow), await own("0" * 64), await own(follow, token=staff)] == [200, 404, 403]
    taken = {"category": "城乡建设"}
    status, _, body = await town.ask(
        "POST", f"/api/cases/{case_id}/take-up", town.token("deputy"), content=taken
    )
    assert status == 200, body
    assert await statuses() == [200, 200, 404, 404, 200]

    async def done(step: str, content: Any = None) -> None:
        status, _, body = await town.ask("POST", f"/api/cases/{case_id}/{step}", housing, content=content)
        assert status == 200, body

    await done("accept")
    await done("ask", {"text": "请问在哪里？"})
    words = town.desk.sealer.seal({"text": "三号楼东侧"})
    supplied = await town.upload(photo(colour={"withdraw": "cyan", "erase": "gray"}[ending]))
    supply = cases.SupplyConcern(follow=follow, sealed=words, photos=(supplied, digest))
    assert (await town.desk.ask(message(supply, subject=case_id, token=intake))).state == "accepted"
    assert await town.states(case_id, 2) == ["kept"] * 2
    await done("ask", {"text": "请再拍一张。"})
    deputys = await town.upload(photo(colour={"withdraw": "khaki", "erase": "peru"}[ending]))
    more = {"text": "见照片", "photos": [deputys]}
    status, _, body = await town.ask(
        "POST", f"/api/cases/{case_id}/supply", town.token("deputy"), content=more
    )
    assert status == 200, body
    shown = await town.shown(case_id)
    steps = {step["number"]: step["step"] for step in shown["steps"]}
    assert [(one["digest"], steps[one["step"]]) for one in shown["photos"]] == [
        (digest, "submitted"),
        (supplied, "supplied"),
        (deputys, "supplied"),
    ]

    async def dossier_and_both() -> Any:
        found = town.desk.log.of("department.housing.routed", case_id)
        return found if len(found) >= 3 else None

    _, *both = await wait_until(dossier_and_both, what="what was supplied")
    assert [one.data["photos"] for one in both] == [[supplied], [deputys]]
    # The resident sees what they brought themselves.
    assert [await own(follow, of=one) for one in (digest, supplied, deputys)] == [200, 200, 404]
    headers = {"Authorization": f"Bearer {intake}"}
    url = f"{town.desk.url}/concerns/seen"
    async with town.session.post(url, json={"follow": follow}, headers=headers) as answer:
        told = [one["digest"] for one in (await answer.json())["concern"]["photos"]]
    assert told == [digest, supplied]
    for event in [*town.desk.log.of("case.filed", case_id), *town.desk.log.of("case.progressed", case_id)]:
        assert not any(one in json.dumps(event.data) for one in (digest, supplied, deputys))

    end = (
        cases.WithdrawConcern(follow=follow)
        if ending == "withdraw"
        else cases.EraseConcern(follow=follow, what="all")
    )
    assert (await town.desk.ask(message(end, subject=case_id, token=intake))).state == "accepted"
    assert await statuses() == [404] * 5
    assert [await own(follow, of=one) for one in (digest, supplied)] == [404, 404]
    assert (await town.shown(case_id))["photos"] == []

    async def gone() -> bool:
        return not await rows(stack, "cases", "SELECT 1 FROM case_photos WHERE case_id = $1", UUID(case_id))

    await wait_until(gone, what="rows of the concern's photos gone")
    for storage, names in (
        (town.kept, (f"{case_id}/{digest}", f"{case_id}/{digest}.thumbnail")),
        (town.quarantine, (f"photos/{digest}", f"thumbnails/{digest}", f"claims/{digest}")),
    ):
        assert [await storage.look(name) for name in names] == [None] * len(names)


async def test_an_upload_that_another_case_still_waits_for_outlives_an_erased_case_in_quarantine(
    town: Town, stack: LocalStack
) -> None:
    digest = await town.upload(photo(colour="coral"))
    erased_id, waiting_id = await town.file(digest), await town.file(digest)
    await town.states(erased_id, 1)
    await town.states(waiting_id, 1)
    # Ten older uploads are looked for first, and then what is erased is removed.
    at_once = f"""
        WITH erased AS (
            {ERASE}
        ), waiting AS (
            UPDATE case_photos SET state = 'claimed' WHERE case_id = $2
        )
        INSERT INTO case_photos (case_id, digest, number, claimed_at, recorded_at)
        SELECT gen_random_uuid(), md5(n::text) || md5(n::text), 1, now(), now() - interval '1 hour'
        FROM generate_series(1, 10) AS n
    """
    await rows(stack, "cases", at_once, UUID(erased_id), UUID(waiting_id))

    async def gone() -> bool:
        left = await rows(stack, "cases", "SELECT 1 FROM case_photos WHERE case_id = $1", UUID(erased_id))
        return not left

    await wait_until(gone, what="rows of the erased case's photos gone")
    assert await town.kept.look(f"{erased_id}/{digest}") is None
    assert await town.states(waiting_id, 1) == ["kept"]


async def test_no_word_phone_or_digest_of_a_case_is_in_any_file_of_the_warehouse(
    town: Town, stack: LocalStack
) -> None:
    digest = await town.upload(photo(colour="olive"))
    words = {"title": "标记标题甲", "text": "标记内容乙", "contact": "张三 13912345678"}
    case_id = await town.file(digest, **words)
    house = House.on_s3(stack, town.s3_port, str(uuid4()))
    assert (await house.round())["rows"] > 0
    kept = str(await house.everything())
    assert case_id in kept
    for marker in ("标记标题甲", "标记内容乙", "张三", "13912345678", digest):
        assert marker not in kept


async def test_a_killed_process_takes_over_what_was_claimed(
    town: Town, stack: LocalStack, processes: Processes
) -> None:
    digest = await town.upload(photo(colour="gray"))
    hidden = await town.quarantine.get(f"photos/{digest}")
    assert hidden is not None
    case_id = await town.file(digest)
    # As if the process had died between the two copies and before its commit.
    await town.states(case_id, 1)
    await town.kept.delete(f"{case_id}/{digest}.thumbnail")
    await rows(stack, "cases", "UPDATE case_photos SET state = 'claimed' WHERE case_id = $1", UUID(case_id))
    assert await town.states(case_id, 1) == ["kept"]
    assert await town.kept.look(f"{case_id}/{digest}.thumbnail") is not None


async def supplied_and_answered(town: Town, supplied: str, answered: str) -> str:
    """A case for which the deputy supplied one document and the department answered with another."""
    case_id = await town.file()
    housing = town.token("department", person="housing-desk", organisation="housing")
    for step, token, content in (
        ("accept", housing, None),
        ("ask", housing, {"text": "请补充材料"}),
        ("supply", town.token("deputy"), {"text": "见附件", "documents": [supplied]}),
        ("answer", housing, {"result": "solved", "text": "见附件", "documents": [answered]}),
    ):
        status, _, body = await town.ask("POST", f"/api/cases/{case_id}/{step}", token, content=content)
        assert status == 200, body
    assert await town.states(case_id, 2, kind="documents") == ["kept"] * 2
    return case_id


async def test_documents_of_a_supply_and_an_answer_reach_who_may_see_the_case_clean_and_nobody_else(
    town: Town,
) -> None:
    supplied = await town.upload(document("SUPPLIED"), kind="documents")
    answered = await town.upload(document("ANSWERED"), kind="documents")
    case_id = await supplied_and_answered(town, supplied, answered)
    shown = await town.shown(case_id)
    steps = {step["number"]: step["step"] for step in shown["steps"]}
    by_step = {one["digest"]: steps[one["step"]] for one in shown["documents"]}
    assert by_step == {supplied: "supplied", answered: "answered"}
    sizes = {one["digest"]: one["bytes"] for one in shown["documents"]}
    path = f"/api/cases/{case_id}/documents/{answered}"
    housing = town.token("department", person="housing-desk", organisation="housing")
    for token in (town.token("deputy"), town.token("staff", person=uuid4()), housing):
        status, headers, body = await town.ask("GET", path, token)
        assert (status, len(body)) == (200, sizes[answered])
        assert b"ANSWERED" in legible(body)
        assert [mark for mark in secrets() if mark in legible(body)] == []
        assert headers["content-type"] == "application/pdf"
        assert headers["content-disposition"] == f'attachment; filename="{answered[:12]}.pdf"'
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "private, no-store"
    strangers = [
        town.token("deputy", person=uuid4()),
        town.token("department", person="other-desk", organisation="other"),
    ]
    for token in strangers:
        status, _, body = await town.ask("GET", path, token)
        assert (status, json.loads(body)["code"]) == (404, "document-unknown")
    status, _, _ = await town.ask("GET", path.replace("documents", "photos"), housing)
    assert status == 404


async def test_the_department_gets_documents_digests_on_its_topic_and_facts_carry_none(town: Town) -> None:
    supplied = await town.upload(document("TOLD"), kind="documents")
    answered = await town.upload(document("AGAIN"), kind="documents")
    case_id = await supplied_and_answered(town, supplied, answered)
    reopened = {"reason": "仍有渗水"}
    status, _, body = await town.ask(
        "POST", f"/api/cases/{case_id}/reopen", town.token("deputy"), content=reopened
    )
    assert status == 200, body

    async def sent_again() -> Any:
        found = town.desk.log.of("department.housing.routed", case_id)
        return found if any(one.data.get("again") for one in found) else None

    found = await wait_until(sent_again, what="the dossier of the reopened case") or []
    told = [one.data["documents"] for one in found if one.data.get("step") == "supplied"]
    assert told == [[supplied]]
    assert [one.data["documents"] for one in found if one.data.get("again")] == [[supplied, answered]]
    for topic in ("case.filed", "case.progressed"):
        for event in town.desk.log.of(topic, case_id):
            assert supplied not in json.dumps(event.data)


async def test_a_document_that_was_never_uploaded_is_refused_at_the_door_and_missing_behind_another(
    town: Town, stack: LocalStack
) -> None:
    case_id = await town.file()
    housing = town.token("department", person="housing-desk", organisation="housing")
    content = {"result": "solved", "text": "见附件", "documents": ["0" * 64]}
    status, _, body = await town.ask("POST", f"/api/cases/{case_id}/answer", housing, content=content)
    assert (status, json.loads(body)["code"]) == (422, "document-unknown")
    producer = await started_producer(stack, "dept-housing")
    answer = message(cases.AnswerCase.model_validate(content), subject=case_id)
    await producer.send_and_wait("department.housing.replies", value=encoded(answer), key=case_id.encode())
    await producer.stop()

    async def named() -> bool:
        return bool((await town.shown(case_id))["documents"])

    await wait_until(named, what="the answer")
    assert await town.states(case_id, 1, kind="documents") == ["missing"]


async def test_with_the_words_of_a_case_its_documents_are_erased_everywhere(
    town: Town, stack: LocalStack
) -> None:
    supplied = await town.upload(document("ERASED-ONE"), kind="documents")
    answered = await town.upload(document("ERASED-TWO"), kind="documents")
    case_id = await supplied_and_answered(town, supplied, answered)
    await rows(stack, "cases", ERASE, UUID(case_id))
    path = f"/api/cases/{case_id}/documents/{answered}"
    status, _, _ = await town.ask("GET", path, town.token("staff", person=uuid4()))
    assert status == 404
    assert (await town.shown(case_id))["documents"] == []

    async def gone() -> bool:
        left = await rows(stack, "cases", "SELECT 1 FROM case_photos WHERE case_id = $1", UUID(case_id))
        return not left

    await wait_until(gone, what="rows of the erased case's documents gone")
    for digest in (supplied, answered):
        assert await town.kept.look(f"{case_id}/{digest}") is None
        for name in (f"documents/{digest}", f"claims/{digest}"):
            assert await town.quarantine.look(name) is None
