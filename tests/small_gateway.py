"""A small gateway of a test's own: it keeps what it is told, with just enough rules to refuse the script's mistakes.

It answers now and then with 202, 503 or a closed connection.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

from aiohttp import web

from examples.department_system import department_system as department
from simulation.script import END

SECRET = "the simulation's secret"


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
        self.done: dict[str, set[tuple[str, str]]] = {
            name: set() for name in ("completed", "sign_ups", "check_ins")
        }
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
                case = new_case(id_, deputy, body["text"], request.headers["Simulated-Time"])
                self.cases[id_] = {**case, "state": "submitted"}
                self.concerns[receipt] = id_
                self.went(self.cases[id_], "submitted")
                return (200, {"id": receipt, "receipt": receipt, "follow": f"/f/secret-{receipt}"})
            case ["concerns", receipt, verb]:
                case = self.cases[self.concerns[receipt]]
                if request.headers.get("Cookie") != f"concern={receipt}":
                    return (404, {"code": "follow-unknown"})
                return ok if self.said_by_resident(case, verb) else no
            case ["cases", id_, "take-up" | "explain" as verb]:
                case = self.cases[id_]
                if case["state"] != "submitted" or (case["deputy"] == who) == case["objected"]:
                    return no
                self.went(case, "taken-up" if verb == "take-up" else "explained")
                case["state"] = "triage" if verb == "take-up" else "closed"
                if verb == "take-up" and int(id_[-1], 16) % 5:
                    self.with_department(case)
                return ok
            case ["cases"]:
                case = new_case(body["id"], who, body["text"], request.headers["Simulated-Time"])
                if len(self.cases) % 5:
                    self.with_department(case)
                self.cases[body["id"]] = case
                return ok
            case ["cases", id_, "split"]:
                whole = self.cases[id_]
                assert whole["state"] != "closed"
                part = new_case(body["id"], whole["deputy"], body["text"], request.headers["Simulated-Time"])
                self.cases[body["id"]] = {**part, "split_from": id_}
                self.went(whole, "split")
                return ok
            case ["cases", id_, "gather"]:
                assert self.cases[id_]["state"] == "triage"
                for one in body["cases"]:
                    assert self.cases[one]["state"] == "triage"
                    self.cases[one].update(state="merged", merged_into=id_)
                return ok
            case ["cases", id_, "reopen"]:
                case = self.cases[id_]
                return ok if case["deputy"] == who and self.reopened(case, "answered") else no
            case ["cases", id_, "supply"]:
                case = self.cases[id_]
                return ok if case["deputy"] == who and self.supplied(case) else no
            case ["cases", id_, "transfer" | "co-handlers" as verb]:
                case = self.cases[id_]
                others = [body["department"]] if verb == "transfer" else body["departments"]
                if case["state"] != "in-progress" or case["department"] in others:
                    return no
                if verb == "transfer":
                    self.went(case, "transferred", "accepted", "answered")
                else:
                    case["co_handlers"] = others
                    self.went(case, "co-handled", "opinion", "answered")
                case["state"] = "answered"
                return ok
            case ["cases", id_, "route"]:
                assert body["department"] in self.departments
                case = self.cases[id_]
                if case["state"] != "triage":
                    return no
                self.with_department(case, body["department"])
                case["version"] += 1
                return ok
            case ["cases", id_, "extension", "decision"]:
                case = self.cases[id_]
                if not case["extension_asked"]:
                    return no
                case.update(extension_asked=None, state="answered")
                self.went(case, "extension-granted" if body["granted"] else "extension-refused", "answered")
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
                        self.went(one, "closed")
                return ok
            case ["cases", id_, "rate"]:
                if self.cases[id_]["state"] != "closed":
                    return no
                self.cases[id_]["stars"] = body["stars"]
                return ok
        return (404, {"code": "route-unknown"})

    def went(self, case: dict[str, Any], *steps: str) -> None:
        for step in steps:
            self.case_steps[step] += 1
            at = END - timedelta(seconds=1_000 - len(case["steps"]))
            case["steps"].append({"step": step, "at": at.isoformat()})

    def with_department(self, case: dict[str, Any], code: str = "housing") -> None:
        """The department hands back what is in dispute until it is designated, waits for somebody, or answers."""
        case["department"] = code
        if department.DISPUTED in case["text"] and case["returned"] < 2:
            case["state"], case["returned"] = "triage", case["returned"] + 1
            self.went(case, "returned")
            return
        waits = {
            department.CONCERNS_MANY: ("accepted", "extension-asked"),
            department.ELSEWHERE: ("in-progress", "progressed"),
            department.TOGETHER: ("in-progress", "progressed"),
            department.INCOMPLETE: ("waiting", "asked"),
        }
        found = [waits[cue] for cue in waits if cue in case["text"]]
        case["state"], step = found[0] if found else ("answered", "answered")
        case["extension_asked"] = 3 if step == "extension-asked" else None
        self.went(case, "accepted", step)

    def said_by_resident(self, case: dict[str, Any], verb: str) -> bool:
        """Whether the resident could say so now."""
        if verb == "supply":
            return self.supplied(case)
        if verb == "reopen":
            return self.reopened(case, "closed")
        if case["state"] != "closed" or (verb == "object" and case["objected"]):
            return False
        self.went(case, "resident-rated" if verb == "rate" else "objected")
        if verb == "object":
            case.update(state="submitted", objected=True)
        return True

    def supplied(self, case: dict[str, Any]) -> bool:
        possible: bool = case["state"] == "waiting"
        if possible:
            case["state"] = "answered"
            self.went(case, "supplied", "answered")
        return possible

    def reopened(self, case: dict[str, Any], before: str) -> bool:
        """The department answers again at once."""
        possible: bool = case["state"] == before
        if possible:
            case.update(state="answered", reopened=case["reopened"] + 1, stars=None)
            self.went(case, "reopened", "answered")
        return possible

    def decide_on_motion(
        self,
        rest: list[str],
        who: str,
        body: dict[str, Any],
        ok: tuple[int, dict[str, Any]],
        no: tuple[int, dict[str, Any]],
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
            case ["cases", id_]:
                return web.json_response(self.cases[id_])
            case ["indicators"]:
                moved = [c for c in self.cases.values() if c["returned"] or "transferred" in _steps(c)]
                told = {"key": "cases-routed-right-first", "numerator": 7, "denominator": 7 + len(moved)}
                return web.json_response({"indicators": [told]})
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
            "learning": {"completed_by_course": Counter(course for course, _ in self.done["completed"])},
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
                    "case.filed": sum("explained" not in _steps(case) for case in self.cases.values()),
                    "case.closed": self.case_steps["closed"] + self.case_steps["explained"],
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


def new_case(id_: str, deputy: str, text: str, at: str) -> dict[str, Any]:
    """A case in triage, as the small gateway keeps it."""
    return {
        "id": id_, "state": "triage", "deputy": deputy, "returned": 0, "version": 1, "stars": None, "filed_at": at,
        "merged_into": None, "reopened": 0, "extension_asked": None, "text": text, "steps": [], "department": None,
        "co_handlers": [], "split_from": None, "objected": False,
    }  # fmt: skip


def _steps(case: dict[str, Any]) -> set[str]:
    return {one["step"] for one in case["steps"]}
