"""The driver plays the whole script over HTTP alone, loses nothing to a shaky gateway, and cannot fool the table.

The gateway here is a small one of the test's own: it keeps what it is told, with just enough rules to
refuse the script's mistakes. It answers now and then with 202, 503 or a closed connection.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from simulation.case_texts import CaseText
from simulation.city import City, Scale, build_city
from simulation.demo import demo_pair, demo_people
from simulation.driver import Driver, Played, department_by_hand, roster_csv, roster_files, unfinished
from simulation.gateway_client import GatewayError, Write, open_gateway
from simulation.journal import Entry, Journal, read_journal
from simulation.phases import Phases
from simulation.report import Line, ask_all, compare_journal, figures, show, value_at
from simulation.year import Year, write_year

SECRET = "the simulation's secret"
SMALL = Scale(100)


class SmallGateway:
    """Keeps cases, courses, answers and the rest in memory; departments answer at once."""

    def __init__(self) -> None:
        self.outcomes: dict[str, tuple[int, dict[str, Any]]] = {}
        self.bodies: dict[str, bytes] = {}
        self.deputies: dict[str, dict[str, Any]] = {}
        self.imports: dict[str, dict[str, Any]] = {}
        self.departments: dict[str, Any] = {}
        self.stations: dict[str, Any] = {}
        self.cases: dict[str, dict[str, Any]] = {}
        self.done: dict[str, set[tuple[str, str]]] = {}
        self.consultations: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.activities: dict[str, dict[str, Any]] = {}
        self.duties: dict[str, str] = {}
        self.motions: dict[str, dict[str, Any]] = {}
        self.motion_events: Counter[str] = Counter()
        self.case_steps: Counter[str] = Counter()
        self.concerns: dict[str, str] = {}  # the case of each receipt
        self.progress: set[str] = set()
        self.pending: dict[str, int] = {}
        self.requests = 0
        self.hiccups: Counter[str] = Counter()
        self.times: list[str] = []
        self.shaky = True
        self.lose_a_case = False
        self.asks_before_outcome = 1

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/api/token", self.token)
        app.router.add_get("/api/commands/{service}/{id}", self.command)
        app.router.add_get("/{path:.*}", self.read)
        app.router.add_route("*", "/{path:.*}", self.write)
        return app

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["grant_type"] == "client_credentials":
            if form["client_secret"] != SECRET:
                return web.json_response({"code": "client-unknown"}, status=401)
            return web.json_response({"access_token": "simulation", "expires_in": 3600})
        assert form["subject_token"] == "simulation"
        return web.json_response({"access_token": str(form["requested_subject"]), "expires_in": 3600})

    async def command(self, request: web.Request) -> web.Response:
        command_id = request.match_info["id"]
        self.pending[command_id] -= 1
        if self.pending[command_id] >= 0:
            return web.json_response({"code": "command-unknown"}, status=404)
        status, body = self.outcomes[command_id]
        return web.json_response(body, status=status)

    async def write(self, request: web.Request) -> web.StreamResponse:
        who = request.headers["Authorization"].removeprefix("Bearer ")
        command_id = request.headers["Idempotency-Key"]
        uuid.UUID(command_id)
        is_file = request.path == "/api/roster-imports"
        raw = (await request.post())["file"].file.read() if is_file else await request.read()  # type: ignore[union-attr]
        self.requests += 1
        hiccup = self.requests % 40 if self.shaky else -1
        if hiccup == 10:
            self.hiccups["503 before"] += 1
            return web.json_response({"code": "busy"}, status=503)
        if command_id not in self.outcomes:
            if "Simulated-Time" in request.headers:
                self.times.append(request.headers["Simulated-Time"])
            self.bodies[command_id] = raw
            self.outcomes[command_id] = await self.decide(request, who, command_id, raw)
        else:
            assert self.bodies[command_id] == raw, "a repetition with another body"
        status, body = self.outcomes[command_id]
        if hiccup == 20:
            self.hiccups["connection lost after"] += 1
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if hiccup == 30:
            self.hiccups["202"] += 1
            self.pending[command_id] = self.asks_before_outcome
            return web.Response(status=202, headers={"Location": f"/api/commands/any/{command_id}"})
        return web.json_response(body, status=status)

    async def decide(
        self, request: web.Request, who: str, command_id: str, raw: bytes
    ) -> tuple[int, dict[str, Any]]:
        ok = (200, {"id": command_id, "command_id": command_id, "version": 1})
        no = (409, {"code": "not-possible"})
        if request.path == "/api/roster-imports":
            rows = list(csv.DictReader(io.StringIO(raw.decode())))
            for row in rows:
                id_ = str(uuid.uuid4())
                self.deputies[row["number"]] = {**row, "id": id_, "code": f"code-of-{id_}"}
            self.imports[command_id] = {
                "id": command_id,
                "rows": len(rows),
                "accepted": len(rows),
                "errors": [],
            }
            return ok
        body = json.loads(raw)
        match request.path.removeprefix("/api/").split("/"):
            case ["staff", _] | ["me", "password"]:
                return ok
            case ["departments", code]:
                self.departments[code] = body
                return ok
            case ["stations", id_]:
                self.stations[id_] = {**body, "id": id_, "code": f"code-{body['town']}"}
                return ok
            case ["courses"]:
                return ok
            case ["courses", _, "lessons"]:
                return ok if body["text"] else no
            case ["courses", _, "progress"]:
                self.progress.add(who)
                return ok
            case ["courses", id_, "complete"]:
                return ok if who in self.progress and self.once("completed", id_, who) else no
            case ["consultations"]:
                self.consultations[body["id"]] = body
                return ok
            case ["consultations", id_, "close"]:
                self.consultations[id_]["closed"] = True
                return ok
            case ["consultations", id_, "answers"]:
                if self.consultations[id_].get("closed") or not self.once("answers", id_, who):
                    return no
                self.answers[f"{id_}/{who}"] = body["answers"]
                return ok
            case ["activities"]:
                self.activities[body["id"]] = body
                return ok
            case ["activities", id_, "sign-up"]:
                return ok if self.once("sign_ups", id_, who) else no
            case ["activities", id_, "check-in"]:
                return ok if body["code"] == f"code-{id_}" and self.once("check_ins", id_, who) else no
            case ["duties"]:
                self.duties[body["id"]] = "declared"
                return ok
            case ["duties", id_, verb]:
                self.duties[id_] = {"confirm": "confirmed", "reject": "rejected", "withdraw": "withdrawn"}[
                    verb
                ]
                return ok
            case ["codes", code, "concerns"]:
                assert (who, body["consent"]) == ("intake", "2021")
                if code.startswith("code-of-"):
                    deputy = code.removeprefix("code-of-")
                else:
                    assert code == f"code-{body['town']}"
                    deputy = body["deputy"].removeprefix("code-of-")
                id_, receipt = str(uuid.uuid4()), f"receipt{len(self.concerns)}"
                case = _new_case(id_, deputy, body["text"], request.headers["Simulated-Time"])
                self.cases[id_] = {**case, "state": "submitted"}
                self.concerns[receipt] = id_
                self.case_steps["submitted"] += 1
                return (200, {"id": receipt, "receipt": receipt, "follow": f"/f/secret-{receipt}"})
            case ["concerns", receipt, "rate"]:
                case = self.cases[self.concerns[receipt]]
                if request.headers.get("Cookie") != f"concern={receipt}" or case["state"] != "closed":
                    return (404, {"code": "follow-unknown"})
                self.case_steps["resident-rated"] += 1
                return ok
            case ["cases", id_, "take-up" | "explain" as verb]:
                case = self.cases[id_]
                if case["state"] != "submitted" or case["deputy"] != who:
                    return no
                self.case_steps["taken-up" if verb == "take-up" else "explained"] += 1
                case["state"] = "triage" if verb == "take-up" else "closed"
                if verb == "take-up" and int(id_[-1], 16) % 5:
                    self.with_department(case)
                return ok
            case ["cases"]:
                case = _new_case(body["id"], who, body["text"], request.headers["Simulated-Time"])
                if len(self.cases) % 5:
                    self.with_department(case)
                self.cases[body["id"]] = case
                return ok
            case ["cases", id_, "merge"]:
                assert self.cases[body["into"]]["state"] != "merged"
                self.cases[id_].update(state="merged", merged_into=body["into"])
                return ok
            case ["cases", id_, "reopen"]:
                case = self.cases[id_]
                if case["deputy"] != who or case["state"] != "answered":
                    return no
                case["reopened"] += 1  # the department answers again at once
                return ok
            case ["cases", id_, "route"]:
                assert body["department"] in self.departments
                case = self.cases[id_]
                if case["state"] != "triage":
                    return no
                self.with_department(case)
                case["version"] += 1
                return ok
            case ["cases", id_, "extension", "decision"]:
                case = self.cases[id_]
                if not case["extension_asked"]:
                    return no
                case.update(extension_asked=None, state="answered")
                self.case_steps["extension-granted" if body["granted"] else "extension-refused"] += 1
                return ok
            case ["motions", *rest]:
                return self.decide_on_motion(rest, who, body, ok, no)
            case ["cases", id_, "close"]:
                case = self.cases[id_]
                if case["deputy"] != who or case["state"] != "answered":
                    return (403, {"code": "not-your-case"})
                for one in self.cases.values():
                    if one is case or one["merged_into"] == id_:
                        one["state"] = "closed"
                return ok
            case ["cases", id_, "rate"]:
                if self.cases[id_]["state"] != "closed":
                    return no
                self.cases[id_]["stars"] = body["stars"]
                return ok
        return (404, {"code": "route-unknown"})

    def with_department(self, case: dict[str, Any]) -> None:
        """The department hands back what is in dispute until it is designated, asks for time, or answers."""
        case["state"] = "answered"
        if "权属不清" in case["text"] and case["returned"] < 2:
            case["state"], case["returned"] = "triage", case["returned"] + 1
            self.case_steps["returned"] += 1
        elif "多个部门" in case["text"] and not case["reopened"]:
            case.update(state="accepted", extension_asked=3)
            self.case_steps["extension-asked"] += 1

    def decide_on_motion(
        self, rest: list[str], who: str, body: dict[str, Any], ok: Any, no: Any
    ) -> tuple[int, dict[str, Any]]:
        if not rest:
            self.motions[body["id"]] = {
                "author": who, "kind": body["kind"], "state": "draft", "invited": set(), "signed": set(), "round": 0,
                "rated": set(), "good": False, "digest": body["id"].replace("-", "") * 2,
            }  # fmt: skip
            return ok
        id_, verb = rest
        motion = self.motions[id_]
        match verb:
            case "invitations":
                motion["invited"] |= set(body["deputies"])
            case "cosign" | "decline":
                if who not in motion["invited"] or body.get("digest", motion["digest"]) != motion["digest"]:
                    return (403, {"code": "not-invited"})
                motion["invited"].discard(who)
                if verb == "cosign":
                    motion["signed"].add(who)
            case "submit":
                motion["state"] = "submitted"
                self.motion_events["motion.submitted"] += 1
                self.motion_events["motion.cosigned"] += len(motion["signed"])
            case "give-back":
                motion["state"] = "correcting"
            case "refuse" | "withdraw" | "accept":
                assert motion["state"] == "submitted"
                state = {"refuse": "not-accepted", "withdraw": "withdrawn", "accept": "accepted"}[verb]
                motion.update(state=state, turned=body.get("turn", False))
            case "refer" | "advise" | "decide" | "conclude":
                assert motion["state"] in ("accepted", "bill")
                motion["state"] = "concluded" if verb == "conclude" else "bill"
            case "assign":
                motion.update(state="answered", round=1)  # the department answers at once
            case "rate":
                assert motion["state"] in ("answered", "closed")
                if (who, motion["round"]) in motion["rated"]:
                    return no
                motion["rated"].add((who, motion["round"]))
                self.motion_events["motion.rated"] += 1
                if who == motion["author"]:
                    good = "unsatisfied" not in body["ratings"].values()
                    motion.update(good=good, state="closed" if good else "answered")
                    motion["round"] += not good
        return ok

    def motion_report(self) -> dict[str, Any]:
        put = [m for m in self.motions.values() if m["state"] != "draft"]
        answered = [m for m in put if m["round"]]
        return {
            "submitted": {
                "total": len(put),
                "kinds": {"bill": {"city": sum(m["kind"] == "bill" for m in put)}},
            },
            "cosigned": sum(bool(m["signed"]) for m in put),
            "signatures": sum(len(m["signed"]) for m in put),
            "turned": sum(m.get("turned", False) for m in put),
            "states": Counter(m["state"] for m in put),
            "withdrawn": sum(m["state"] == "withdrawn" for m in put),
            "bills": {"passed": sum(m["state"] == "concluded" for m in put)},
            "on_time": {"numerator": len(answered)},
            "redone": sum(m["round"] > 1 for m in put),
            "satisfaction": {"result": {"numerator": sum(m["good"] for m in put)}},
        }

    def once(self, what: str, where: str, who: str) -> bool:
        known = self.done.setdefault(what, set())
        fresh = (where, who) not in known
        known.add((where, who))
        return fresh

    async def read(self, request: web.Request) -> web.Response:
        if request.path.startswith("/f/secret-"):
            receipt = request.path.removeprefix("/f/secret-")
            cookie = {"Set-Cookie": f"concern={receipt}; HttpOnly; Path=/"}
            return web.Response(status=303, headers={"Location": f"/api/concerns/{receipt}", **cookie})
        page, size = int(request.query.get("page", 1)), int(request.query.get("size", 20))

        def paged(items: list[Any]) -> web.Response:
            chosen = items[(page - 1) * size : page * size]
            return web.json_response({"items": chosen, "total": len(items), "page": page, "size": size})

        match request.path.removeprefix("/api/").split("/"):
            case ["roster-imports", id_]:
                return web.json_response(self.imports[id_])
            case ["concern-notice"]:
                return web.json_response({"version": "2021"})
            case ["deputies"]:
                level = request.query.get("level")
                return paged([d for d in self.deputies.values() if level in (None, d["level"])])
            case ["departments"]:
                return paged(list(self.departments))
            case ["stations"]:
                return paged(list(self.stations.values()))
            case ["cases"]:
                state = request.query.get("state")
                asked = request.query.get("extension_asked")
                if asked:
                    return paged([c for c in self.cases.values() if c["extension_asked"]])
                found = [c for c in self.cases.values() if state in (None, c["state"])]
                return paged(found[1:] if self.lose_a_case and state is None else found)
            case ["motions", id_]:
                return web.json_response({"digest": self.motions[id_]["digest"]})
            case ["motion-report"]:
                return web.json_response(self.motion_report())
            case ["activities"]:
                return paged([a for a in self.activities.values() if a["kind"] == request.query["kind"]])
            case ["activities", id_]:
                return web.json_response({**self.activities[id_], "code": f"code-{id_}"})
            case ["consultations", id_]:
                given = [a for key, a in self.answers.items() if key.startswith(id_)]
                return web.json_response(
                    {"respondents": len(given), "opinions": sum("opinion" in answer for answer in given)}
                )
            case ["operations", "status"]:
                return web.json_response({"services": {"cases": {"lag": {"cases": 0}, "outbox": 0}}})
            case ["figures"] if not self.cases:
                return web.json_response({"cases": {"states": {}, "extensions_asked": 0}})
            case ["figures"]:
                return web.json_response(self.figures())
        return web.json_response({"code": "route-unknown"}, status=404)

    def figures(self) -> dict[str, Any]:
        states = Counter(case["state"] for case in self.cases.values())
        rated = sum(case["stars"] is not None for case in self.cases.values())
        laws = {id_ for id_, c in self.consultations.items() if c["kind"] == "legislation"}
        decided = sum(state != "declared" for state in self.duties.values())
        completed, came = len(self.done["completed"]), len(self.done["check_ins"])
        return {
            "cases": {
                "filed": len(self.cases),
                "closed": states["closed"],
                "rated": rated,
                "merged": sum(case["merged_into"] is not None for case in self.cases.values()),
                "reopened": sum(case["reopened"] > 0 for case in self.cases.values()),
                "designated": sum(case["returned"] > 1 for case in self.cases.values()),
                "extensions_asked": sum(bool(case["extension_asked"]) for case in self.cases.values()),
                "steps": self.case_steps,
                "states": states,
            },
            "learning": {"completed_by_course": {next(iter(self.done["completed"]))[0]: completed}},
            "participation": {
                "by_kind": {
                    "legislation": {
                        "consultations": len(laws),
                        "answers": sum(key.split("/")[0] in laws for key in self.answers),
                    }
                },
                "sign_ups": len(self.done["sign_ups"]),
                "check_ins": came,
                "duties": Counter(self.duties.values()),
            },
            "evaluation": {
                "deputies": len(self.deputies),
                "events": {
                    "case.filed": len(self.cases) - self.case_steps["explained"],
                    "case.closed": states["closed"],
                    "case.rated": rated,
                    "course.completed": completed,
                    "consultation.answered": len(self.answers),
                    "activity.signed-up": len(self.done["sign_ups"]),
                    "activity.attended": came,
                    "duty.logged": len(self.duties) + decided,
                    **self.motion_events,
                },
            },
        }


def _new_case(id_: str, deputy: str, text: str, at: str) -> dict[str, Any]:
    return {
        "id": id_, "state": "triage", "deputy": deputy, "returned": 0, "version": 1, "stars": None, "filed_at": at,
        "merged_into": None, "reopened": 0, "extension_asked": None, "text": text,
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _short_looks() -> Iterator[None]:
    """The small gateway is never behind, so that waiting for it need not be long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulation.driver.LOOK_SECONDS", 0.01)
        patch.setattr("simulation.phases._ASK_SECONDS", 0.01)
        yield


@pytest_asyncio.fixture
async def small() -> AsyncIterator[tuple[SmallGateway, str]]:
    gateway = SmallGateway()
    async with TestServer(gateway.app()) as server:
        yield gateway, str(server.make_url(""))


@dataclass
class Play:
    """One play of the smallest year on the small gateway, and the table after it."""

    gateway: SmallGateway
    url: str
    city: City
    year: Year
    played: Played
    lines: list[Line]
    journal: Path

    @property
    def entries(self) -> list[Entry]:
        return list(read_journal(self.journal))


async def _play(small: SmallGateway, url: str, path: Path) -> Play:
    city = build_city(3, SMALL)
    year = write_year(city, 3, SMALL)
    with Journal(path) as journal:
        async with open_gateway(url, SECRET, journal, connections=16) as gateway:
            driver = Driver(gateway, city, year, Phases(gateway, Console(file=io.StringIO()), 16))
            played = await driver.play()
            staff = played.cast.staff[city.code]
            lines = await ask_all(gateway, figures(city, year), staff)
            lines += await compare_journal(gateway, journal.read(), played.mistakes, staff)
    return Play(small, url, city, year, played, lines, path)


@pytest_asyncio.fixture(scope="module")
async def play(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Play]:
    """A play that several claims look at; none of them changes it."""
    gateway = SmallGateway()
    async with TestServer(gateway.app()) as server:
        yield await _play(gateway, str(server.make_url("")), tmp_path_factory.mktemp("play") / "journal.tsv")


async def test_the_whole_script_reaches_a_shaky_gateway_exactly_once(play: Play) -> None:
    gateway = play.gateway
    assert [line for line in play.lines if not line.equal] == []
    assert len(gateway.cases) == len(play.year.cases)
    assert min(gateway.hiccups.values()) > 3, "the gateway was not shaky enough to prove anything"
    assert set(gateway.hiccups) == {"503 before", "connection lost after", "202"}


async def test_every_case_is_filed_rated_and_closed_in_its_own_persons_name(play: Play) -> None:
    gateway = play.gateway
    filed = {str(case.id) for case in play.year.cases}
    by_instant = {case["filed_at"]: case for id_, case in gateway.cases.items() if id_ not in filed}
    for case in play.year.cases:
        submitted_at = case.submitted_at and case.submitted_at.isoformat()
        found = by_instant[submitted_at] if submitted_at else gateway.cases[str(case.id)]
        assert found["deputy"] == play.played.cast.deputies[case.deputy]
        assert (found["state"] == "closed") == (case.closed_at is not None)
        assert found["stars"] == case.stars


async def test_mistakes_are_refused_and_journalled_as_refused(play: Play) -> None:
    refused = {entry.command_id for entry in play.entries if not entry.accepted}
    assert refused == play.played.mistakes
    assert {e.kind for e in play.entries if not e.accepted} == {
        "case.close",
        "concern.explain",
        "course.complete",
        "consultation.answer.again",
        "activity.check_in",
        "motion.cosign",
    }


async def test_the_journal_holds_no_word_of_a_case_and_no_token(play: Play) -> None:
    text = play.journal.read_text(encoding="utf-8")
    assert SECRET not in text
    assert not any(case.title in text for case in play.year.cases)


async def _differing(play: Play, tmp_path: Path) -> list[str]:
    """Names of the journal's lines that differ from what the small gateway holds now."""
    staff = play.played.cast.staff[play.city.code]
    with Journal(tmp_path / "other.tsv") as journal:
        async with open_gateway(play.url, SECRET, journal, connections=2) as client:
            lines = await compare_journal(client, play.entries, play.played.mistakes, staff)
    return [line.name for line in lines if not line.equal]


async def test_a_lost_a_strange_and_a_doubled_case_make_the_table_differ(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = play.gateway
    assert await _differing(play, tmp_path) == []
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "lose_a_case", True)
        assert "journal: cases accepted, found once" in await _differing(play, tmp_path)
    strange = {"id": "strange", "state": "answered", "deputy": "nobody"}
    with monkeypatch.context() as patch:
        patch.setitem(gateway.cases, "strange", strange)
        assert await _differing(play, tmp_path) == ["journal: cases accepted, found once"]
    with monkeypatch.context() as patch:
        patch.setitem(gateway.cases, "doubled", dict(next(iter(gateway.cases.values()))))
        assert "journal: cases accepted, found once" in await _differing(play, tmp_path)
    assert await _differing(play, tmp_path) == []


async def test_a_second_play_of_one_script_changes_nothing(
    small: tuple[SmallGateway, str], tmp_path: Path
) -> None:
    gateway, url = small
    gateway.shaky = False
    first = await _play(gateway, url, tmp_path / "one.tsv")
    cases, deputies = dict(gateway.cases), dict(gateway.deputies)
    second = await _play(gateway, url, tmp_path / "two.tsv")
    assert (gateway.cases, gateway.deputies) == (cases, deputies)
    assert [line.found for line in second.lines] == [line.found for line in first.lines]


async def test_every_write_of_the_script_says_its_business_time(play: Play) -> None:
    gateway = play.gateway
    assert len(gateway.times) == len(gateway.outcomes)
    filed = {case.filed_at for case in play.year.cases if not case.explained}
    submitted = {case.submitted_at for case in play.year.cases if case.submitted_at is not None}
    assert submitted
    assert {instant.isoformat() for instant in filed | submitted} <= set(gateway.times)


async def test_demo_people_get_passwords_of_their_own(play: Play, tmp_path: Path) -> None:
    with Journal(tmp_path / "people.tsv") as journal:
        async with open_gateway(play.url, SECRET, journal, connections=2) as client:
            people = await demo_people(client, play.city, play.year, play.played.cast)
    assert [person.role for person in people] == [
        "city deputy",
        "county deputy",
        "congress staff",
        "department",
    ]
    deputy, office = demo_pair(play.city, play.year)
    county = play.city.deputies[deputy].county
    assert county in office.counties, "the office that answers the deputy's county, not one without cases"
    assert people[3].login == f"department-{office.code}"
    assert len({person.password for person in people}) == 4
    assert all(person.password not in repr(person) for person in people)
    assert all(person.password not in (tmp_path / "people.tsv").read_text() for person in people)


async def test_a_wrong_secret_is_said_plainly(small: tuple[SmallGateway, str], tmp_path: Path) -> None:
    _, url = small
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, "wrong", journal, connections=2) as client:
            with pytest.raises(GatewayError, match="401 client-unknown"):
                await client.token_for("somebody")


async def test_a_gateway_that_stays_away_ends_the_play_with_its_reason(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.gateway_client.REPEAT_SECONDS", 0.3)
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, SECRET, journal, connections=2) as client:
            phases = Phases(client, Console(file=io.StringIO()), 4)
            write = Write("case.file", "s", str(uuid.uuid4()), "somebody", "POST", "/api/cases", {})
            with pytest.raises(GatewayError, match="no answer for"):
                await phases.send_all("cases", [write] * 8, 8)


async def test_an_outcome_that_never_comes_is_journalled_as_unanswered(
    small: tuple[SmallGateway, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulation.gateway_client.FOLLOW_SECONDS", 0.3)
    gateway, url = small
    gateway.requests = 29  # the next answer is a 202
    gateway.asks_before_outcome = 1_000
    write = Write("duty.declare", "s", str(uuid.uuid4()), "somebody", "POST", "/api/duties", {"id": "d"})
    with Journal(tmp_path / "journal.tsv") as journal:
        async with open_gateway(url, SECRET, journal, connections=2) as client:
            answer = await client.send(write)
    assert (answer.status, answer.accepted) == (0, False)
    assert next(read_journal(tmp_path / "journal.tsv")).status == 0


def test_roster_files_hold_every_deputy_once_and_stay_below_the_largest_body() -> None:
    city = build_city(1, Scale(1))
    codes = {station.town: f"{station.town}x" for station in city.stations}
    numbers: list[str] = []
    for _, deputies in roster_files(city):
        content = roster_csv(deputies, codes)
        assert len(content) < 200_000
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        numbers += [row["number"] for row in rows]
        assert {row["level"] for row in rows} <= {"city", "county", "town"}
        assert [row["occupation"] for row in rows] == [deputy.occupation for deputy in deputies]
        assert all(row["station"] == (f"{row['town']}x" if row["town"] else "") for row in rows)
    assert sorted(numbers) == sorted(deputy.number for deputy in city.deputies)


def test_staff_send_a_returned_case_to_another_department() -> None:
    city = build_city(1, SMALL)
    case = next(c for c in write_year(city, 1, SMALL).cases if c.category == "城乡建设")
    first = department_by_hand(city, case, times_returned=0)
    again = department_by_hand(city, case, times_returned=1)
    assert first != again == "housing"


def test_staff_find_a_department_for_a_case_of_unknown_kind() -> None:
    city = build_city(1, SMALL)
    messages = [CaseText(f"标题{n}", "正文", "没有这一类") for n in range(100)]
    codes = {department.code for department in city.departments}
    for case in write_year(city, 1, SMALL, messages).cases:
        assert department_by_hand(city, case, times_returned=0) in codes


@pytest.mark.parametrize(
    ("service", "is_left"),
    [
        ({"lag": {"cases": 0, "cases.commands": 0}, "outbox": 0}, False),
        ({"lag": {"cases": 0, "cases.commands": 3}, "outbox": 0}, True),
        ({"lag": {"cases": 0}, "outbox": 1}, True),
        ({"lag": {"cases": None}, "outbox": 0}, True),
        ({"lag": {}, "outbox": 0}, True),
        ({}, True),
    ],
)
def test_a_service_with_work_left_or_unknown_is_unfinished(service: dict[str, Any], is_left: bool) -> None:
    assert bool(unfinished({"services": {"cases": service}})) is is_left


def test_a_figure_that_the_services_do_not_say_is_not_equal() -> None:
    assert value_at({"cases": {"filed": 3}}, ("cases", "filed")) == 3
    assert value_at({"cases": {}}, ("cases", "filed")) is None
    assert value_at({"cases": True}, ("cases",)) is None
    assert not Line("figure", None, 0, None, "GET").equal


def test_the_table_marks_what_differs() -> None:
    console = Console(file=io.StringIO(), width=120)
    show(console, [Line("cases", 10, 1, 1, "GET /a"), Line("people", 20, 2, 3, "GET /b")], divisor=10)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "script ÷ 10" in text
    assert text.count("DIFFERS") == 1
    assert "differs: people: GET /b" in text
