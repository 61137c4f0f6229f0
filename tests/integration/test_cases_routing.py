"""Routing of a running cases process: catalogue and model adopted by command, reasons and guesses over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from sqlalchemy import insert

from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from services.cases import tables
from services.cases.routing import files, text, training
from shared.contracts import cases, routing
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import Contract, Role
from shared.database.engine import make_engine
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from shared.testing.wait import wait_until
from simulation.case_texts import generated_text
from simulation.city import CATEGORIES
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes

UNCLEAR = "请看一下我上次说的那件事。公交和医院都可以。"


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    async with cases_desk(
        stack, processes, as_gateway, issuer, topics=("command.outcomes", "case.filed", "case.routed")
    ) as found:

        async def known() -> bool:
            case_id = uuid4()
            await found.ask(found.filing(uuid4(), case_id))
            return bool(found.log.of("case.routed", case_id))

        await wait_until(known, what="the departments", every=0.3)
        yield found


async def read(desk: Desk, path: str, **asked: str) -> Any:
    headers = {"Authorization": f"Bearer {desk.issuer.token(uuid4(), 'staff')}"}
    async with (
        aiohttp.ClientSession(desk.url, headers=headers) as session,
        session.get(path, params=asked) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def adopt(desk: Desk, data: Contract, subject: str, role: str = "staff") -> CommandOutcome:
    return await desk.ask(message(data, subject=subject, token=desk.issuer.token(uuid4(), role)))


async def filed(desk: Desk, words: str) -> UUID:
    case_id = uuid4()
    assert (await desk.ask(desk.filing(uuid4(), case_id, words))).state == "accepted"
    return case_id


async def test_an_unclear_case_waits_for_staff_with_guesses_and_staff_say_what_it_is(desk: Desk) -> None:
    case_id = uuid4()
    data = cases.FileCase(sealed=desk.sealer.seal({"title": "求助", "text": UNCLEAR}), county="330203")
    await desk.ask(message(data, subject=case_id, token=desk.issuer.token(uuid4(), "deputy")))
    waiting = (await read(desk, "/cases", state="triage"))["items"]
    [shown] = [one for one in waiting if one["id"] == str(case_id)]
    assert {guess["category"] for guess in shown["guesses"]} >= {"卫生计生", "交通运输"}
    why = await read(desk, f"/cases/{case_id}/routing")
    assert (why["department"], why["at_filing"]["category"], why["moves"]) == (None, None, [])
    assert why["at_filing"]["classifier"].startswith("words-")
    token = desk.issuer.token(uuid4(), "staff")
    await desk.ask(message(cases.RouteCase(department="housing"), subject=case_id, token=token))
    why = await read(desk, f"/cases/{case_id}/routing")
    assert (why["department"], why["category"]) == ("housing", "城乡建设")
    assert why["moves"][0]["reason"] == "chosen by staff"


async def test_an_adopted_catalogue_routes_the_next_case_and_the_event_names_it(desk: Desk) -> None:
    rule = routing.Responsibility(
        categories=("城乡建设",), places=("330203",), department="other", reason="归口管理"
    )
    data = routing.AdoptCatalogue(title="派单目录", begins=date(2000, 1, 1), rules=(rule,))
    assert (await adopt(desk, data, "test-1", role="deputy")).state == "rejected"
    assert (await adopt(desk, data, "test-1")).state == "accepted"
    again = await adopt(desk, data, "test-1")
    assert again.problem is not None
    assert again.problem.code == "catalogue-exists"
    case_id = await filed(desk, "路口窨井盖破损，下水道积水。")

    async def routed() -> list[Any]:
        return desk.log.of("case.routed", case_id)

    [event] = await wait_until(routed, what="routing")
    assert (event.data["department"], event.data["catalogue"]) == ("other", "test-1")
    assert "归口管理" in event.data["reason"]
    assert [one["name"] for one in (await read(desk, "/routing"))["catalogues"]] == ["test-1"]


def lines(seed: int, each: int) -> list[dict[str, str]]:
    rng = random.Random(seed)
    said = [
        (category, generated_text(rng, "东桥镇", category)) for category in CATEGORIES for _ in range(each)
    ]
    return [{"subject": one.title, "body": one.text, "label": category} for category, one in said]


def job(processes: Processes, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cases", *arguments],
        env=processes.env("cases", "cases-job"),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_model_is_held_checked_adopted_and_named_in_each_decision(
    desk: Desk, processes: Processes, tmp_path: Path
) -> None:
    past, check = tmp_path / "past.jsonl", tmp_path / "check.jsonl"
    past.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in lines(1, 100)), "utf-8")
    check.write_text("\n".join(json.dumps(one, ensure_ascii=False) for one in lines(2, 20)), "utf-8")
    known = files.read_messages(past, labelled=True)
    model = files.save(
        training.train([one.words for one in known], [one.label or "" for one in known]), tmp_path / "model"
    )
    version = model.manifest.version
    unknown = await adopt(desk, routing.AdoptModel(), version)
    assert unknown.problem is not None
    assert unknown.problem.code == "model-unknown"

    done = job(processes, "install-model", str(tmp_path / "model"), str(check))
    assert done.returncode == 0, done.stderr
    assert f"model {version} is kept and may be adopted" in done.stdout
    assert (await adopt(desk, routing.AdoptModel(), version)).state == "accepted"
    case_id = await filed(desk, "路口窨井盖破损，下水道积水。")
    held = (await read(desk, f"/cases/{case_id}/routing"))["at_filing"]
    assert held["classifier"] == f"model {version}"
    [expected] = model.classify([text.from_text("井盖\n路口窨井盖破损，下水道积水。")])
    assert [guess["category"] for guess in held["guesses"]] == [guess.category for guess in expected.guesses]

    learnt = job(processes, "learn", str(past))
    assert learnt.returncode == 0, learnt.stderr
    told = await read(desk, "/routing")
    models = told["models"]
    assert (len(models), models[0]["may_be_adopted"]) == (2, True)
    assert told["needed"] == {"automatic": 50, "right": 0.975}
    assert models[0]["name"] == version  # learning adopts nothing by itself
    assert models[1]["adopted_at"] is None


async def ask_replay(
    desk: Desk, body: dict[str, Any], role: Role = "staff", path: str = "/routing/replays"
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {desk.issuer.token(uuid4(), role)}"}
    async with (
        aiohttp.ClientSession(desk.url, headers=headers) as session,
        session.post(path, json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_a_replay_says_what_a_draft_would_have_done_and_changes_nothing(desk: Desk) -> None:
    sent = await filed(desk, "路口窨井盖破损，下水道积水。")
    unclear = await filed(desk, UNCLEAR)
    before = [await read(desk, f"/cases/{one}/routing") for one in (sent, unclear)]
    rule = {"categories": ["城乡建设"], "places": ["330203"], "reason": "归口管理"}
    draft = {"name": "draft", "title": "派单目录", "begins": "2030-01-01"}
    body = {"catalogue": {**draft, "rules": [{**rule, "department": "housing"}]}}
    status, found = await ask_replay(desk, body)
    assert status == 200, found
    moved = {(one["before"], one["after"]): one for one in found["changes"]}
    # The adopted catalogue sends the category to `other`; what waits for staff goes on waiting.
    assert before[0]["department"] == "other"
    assert str(sent) in moved["other", "housing"]["examples"]
    # (The newest come first, so this one would be named. A case from before the departments were known may move.)
    assert not any(str(unclear) in one["examples"] for one in found["changes"])
    assert sum(one["cases"] for one in found["changes"]) == found["changed"] < found["cases"]
    assert "窨井盖" not in json.dumps(found, ensure_ascii=False)
    again = [await read(desk, f"/cases/{one}/routing") for one in (sent, unclear)]
    assert again == before

    nobody = {"catalogue": {**draft, "rules": [{**rule, "department": "gone"}]}}
    assert (await ask_replay(desk, nobody))[1]["not_active"] == ["gone"]
    assert (await ask_replay(desk, body | {"until": "1999-12-31"}))[1]["cases"] == 0
    wrong = {"catalogue": {**draft, "rules": [{**rule, "categories": ["宇航"], "department": "housing"}]}}
    for asked, status, code in (
        ({}, 422, "draft-empty"),
        (wrong, 422, "catalogue-invalid"),
        ({"model": "0" * 16}, 404, "model-unknown"),
    ):
        refused = await ask_replay(desk, asked)
        assert (refused[0], refused[1]["code"]) == (status, code)
    assert (await ask_replay(desk, body, "deputy"))[0] == 403


async def test_a_draft_is_checked_as_it_is_written(desk: Desk) -> None:
    text = "name: draft\ntitle: 派单目录\nbegins: 2030-01-01\nrules:\n"
    rule = "  - {categories: [城乡建设], department: gone, reason: 归口管理}\n"
    status, found = await ask_replay(desk, {"text": text + rule}, path="/routing/checks")
    assert (status, found["flaws"], found["not_active"]) == (200, [], ["gone"])
    assert (await ask_replay(desk, {"catalogue": found["catalogue"]}))[0] == 200
    wrong = {"text": text + rule.replace("城乡建设", "宇航")}
    _, found = await ask_replay(desk, wrong, "operator", "/routing/checks")
    assert found["catalogue"] is None
    [flaw] = found["flaws"]
    assert (flaw["line"], flaw["path"], flaw["code"]) == (5, "rules.0.categories.0", "category-unknown")
    assert (await ask_replay(desk, wrong, "deputy", "/routing/checks"))[0] == 403


async def test_a_model_is_tried_on_past_cases_before_it_is_adopted(desk: Desk) -> None:
    held = (await read(desk, "/routing"))["models"]
    [other] = [one["name"] for one in held if one["adopted_at"] is None]
    waiting = await filed(desk, UNCLEAR)
    status, found = await ask_replay(desk, {"model": other})
    assert status == 200, found
    assert found["cases"] > 0
    why = await read(desk, f"/cases/{waiting}/routing")
    assert not why["at_filing"]["classifier"].endswith(other)


async def test_a_wrong_file_ends_the_job_with_its_line(
    processes: Processes, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "past.jsonl").write_text('{"body": "路灯不亮"}\n', "utf-8")
    done = job(processes, "learn", str(tmp_path / "past.jsonl"))
    assert (done.returncode, "line 1: needs a label" in done.stderr) == (1, True)


async def test_a_process_learns_once_enough_is_confirmed_and_not_again_without_news(
    desk: Desk, processes: Processes, tmp_path: Path
) -> None:
    env = processes.env("cases", "cases-learner", LEARN_FIRST="60", LEARN_NEW="5", LEARN_DAYS="0")
    env |= {"LEARN_LOOK_SECONDS": "0.2"}
    engine = make_engine(SecretStr(env["DATABASE_URL"]), pool_size=1, application="test")

    async def asked(statement: str) -> Any:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql(statement)).scalar_one()

    async def confirm(begin: int, end: int) -> None:
        now = datetime.now(UTC)
        said = [one for one in lines(3, 40) if one["label"] in CATEGORIES[:2]][begin:end]
        same: dict[str, object] = dict.fromkeys(("returned", "transferred", "reopened", "chased"), 0)
        same |= dict.fromkeys(("designated", "provisional", "reminded"), False)
        same |= {"version": 1, "state": "accepted", "county": "330203", "origin": "online"}
        same |= {"urgency": "normal", "co_handlers": [], "followers": [], "filed_at": now, "changed_at": now}
        rows = [
            {
                **same,
                "id": uuid4(),
                "category": one["label"],
                "sealed": desk.sealer.seal({"title": one["subject"], "text": one["body"]}),
            }
            for one in said
        ]
        async with engine.begin() as connection:
            await connection.execute(insert(tables.cases), rows)

    before = await asked("SELECT count(*) FROM routing_lessons")
    assert await asked("SELECT count(*) FROM cases WHERE state = 'accepted'") == 0
    command = (sys.executable, "-m", "services.cases", "keep-learning")
    with (tmp_path / "log").open("wb") as log:
        learner = await asyncio.create_subprocess_exec(
            *command, env=os.environ | env, cwd=CHECKOUT, stdout=log
        )
    try:

        async def shown(new: int) -> bool:
            try:
                async with aiohttp.request("GET", f"{processes.url('cases-learner')}/metrics") as answer:
                    return f"dbt_routing_new_cases {new}.0\n" in await answer.text()
            except aiohttp.ClientError:
                return False

        # What is shown is of a look after which a lesson would have begun at once.
        await confirm(0, 59)
        await wait_until(lambda: shown(59), what="a look at too little")
        assert "lesson-begins" not in (tmp_path / "log").read_text("utf-8")
        await confirm(59, 72)
        await wait_until(lambda: shown(0), what="a lesson")
        await confirm(72, 76)
        await wait_until(lambda: shown(4), what="a look at little news")
        assert (tmp_path / "log").read_text("utf-8").count("lesson-begins") == 1
        assert await asked("SELECT count(*) FROM routing_lessons") == before + 1
        made = await asked("SELECT model FROM routing_lessons ORDER BY number DESC LIMIT 1")
        held = (await read(desk, "/routing"))["models"]
        assert next(one["name"] for one in held if one["adopted_at"] is None) == made, "the newest first"
        learner.terminate()
        assert await asyncio.wait_for(learner.wait(), 20) == 0
    finally:
        if learner.returncode is None:
            learner.kill()
            await learner.wait()
        await engine.dispose()
