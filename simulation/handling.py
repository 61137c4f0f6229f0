"""Plays the script of the year's cases 督事 through the gateway, from filing to rating, each person in their own name.

Departments are not played here: they hear of a case on their own topics, and what they do not do by themselves
they wait for: staff who route, transfer, name a co-handler or decide on more time, and filers who supply.
A command whose kind ends in `.first` does what is done once more later.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from simulation.cases import Case
from simulation.city import City
from simulation.gateway_client import GatewayClient, Write
from simulation.phases import Phases
from simulation.residents import ResidentsPlay
from simulation.script import END
from simulation.session import MakesWrites

EXPLAINED_WORDS = "情况已向您说明，相关政策以公开发布的文件为准。"
_SUPPLIED_WORDS = "具体位置在村口公交站旁，到现场可与村委会联系。"
_LIST_SIZE = 500


class CasesPlay:
    """Plays the year's cases.

    `deputies` are ids in the order of `City.deputies`, `clerk` is the city's staff; `ids` of the residents' concerns,
    which the script cannot know.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        phases: Phases,
        city: City,
        cases: Sequence[Case],
        deputies: Sequence[str],
        clerk: str,
        make: MakesWrites,
        residents: ResidentsPlay,
        ids: Mapping[UUID, str],
    ) -> None:
        self._gateway = gateway
        self._phases = phases
        self._city = city
        self._cases = cases
        self._deputies = deputies
        self._clerk = clerk
        self._make = make
        self._residents = residents
        self._ids = ids
        self._script = {self.id_of(case): case for case in cases}
        self._sent: set[str] = set()

    def id_of(self, case: Case) -> str:
        """The id by which the services know a case of the script."""
        return self._ids.get(case.id, str(case.id))

    def by_deputy(self, case: Case, kind: str, body: Mapping[str, Any], at: datetime) -> Write:
        """What the deputy does with a case."""
        return self._act(case, kind, self._deputies[case.deputy], body, at)

    def _act(self, case: Case, kind: str, who: str, body: Mapping[str, Any], at: datetime) -> Write:
        """Its id comes of the script's id of the case alone, so that no play does it twice.

        What it says may follow from how the case stands: a transfer goes to another department than the one that
        holds it then, which routing decides and not the script.
        """
        id_ = self.id_of(case)
        path = f"/api/cases/{id_}/{kind.split('.')[1]}"
        return dataclasses.replace(self._make(kind, str(case.id), who, path, body, at), subject=id_)

    # -- filed, and read by staff ------------------------------------------------------------------------

    def filings(self) -> Iterator[Write]:
        """Every case that somebody files, or takes up."""
        for case in self._cases:
            if case.explained or case.split_from is not None:
                continue
            if case.submitted_at is not None:
                chosen = {} if case.chosen is None else {"category": case.chosen}
                yield self.by_deputy(case, "concern.take-up", chosen, case.filed_at)
                continue
            body = {
                "id": str(case.id),
                "title": case.title,
                "text": case.text,
                "county": case.county,
                "town": case.town,
                "origin": case.origin,
            }
            if case.chosen is not None:
                body["category"] = case.chosen
            yield self._make(
                "case.file", str(case.id), self._deputies[case.deputy], "/api/cases", body, case.filed_at
            )

    async def filed(self, patience: float) -> None:
        """Until every case is there, and what nothing routes is gathered into another or with a department."""
        explained = [case for case in self._cases if case.explained]
        parts = [case for case in self._cases if case.split_from is not None]
        merged = sum(case.merged_into is not None for case in self._cases)
        filed = len(self._cases) - len(explained) - len(parts)
        await self._phases.send_all("cases filed, concerns taken up 督事", self.filings(), filed)
        answers = (self._explanation(case) for case in explained)
        await self._phases.send_all("concerns explained 解释说明", answers, len(explained))
        read = [*self._gatherings(), *map(self._splitting, parts)]
        await self._phases.send_all("reports gathered 并案, cases split 拆分", read, len(read))
        await self._phases.wait_for("  and each report merged", merged, self._merged, patience)
        undecided = await self._routings()
        await self._phases.send_all("cases routed by staff 派单", undecided, len(undecided))

    def _explanation(self, case: Case) -> Write:
        kind = "concern.explain" if case.doubted_at is None else "concern.explain.first"
        return self.by_deputy(case, kind, {"text": EXPLAINED_WORDS}, case.closed_at or END)

    def _gatherings(self) -> Iterator[Write]:
        """All reports of one storm matter at once 批量并案."""
        reports: dict[UUID, list[Case]] = {}
        for case in self._cases:
            if case.merged_into is not None:
                reports.setdefault(case.merged_into, []).append(case)
        for into, group in reports.items():
            path = f"/api/cases/{into}/gather"
            body = {"cases": [str(case.id) for case in group], "reason": "同一灾情"}
            at = max(case.filed_at for case in group) + timedelta(hours=1)
            yield self._make("case.gather", str(into), self._clerk, path, body, at)

    def _splitting(self, part: Case) -> Write:
        path = f"/api/cases/{part.split_from}/split"
        body = {"id": str(part.id), "title": part.title, "text": part.text, "reason": "一件多事，拆分办理"}
        if part.chosen is not None:
            body["category"] = part.chosen
        return self._make("case.split", str(part.id), self._clerk, path, body, part.filed_at)

    # -- until the departments have answered ---------------------------------------------------------------

    async def answered(self, patience: float) -> None:
        """Until the departments have answered every case, and again those that came back.

        Raises TimeoutError when no case is answered for `patience` seconds.
        """
        await self._until_answered("cases answered by departments", patience)
        await self._doubted()
        writes = [*self._reopenings(), *self._residents.reopenings(), *self._explained_again()]
        await self._phases.send_all("cases sent back 重新办理", writes, len(writes))
        await self._until_answered("and answered again", patience)

    def _reopenings(self) -> Iterator[Write]:
        for case in self._cases:
            if case.reopened_at is not None:
                yield self.by_deputy(case, "case.reopen", {"reason": "问题尚未解决"}, case.reopened_at)

    def _explained_again(self) -> Iterator[Write]:
        """Staff answer what residents object to."""
        for case in self._cases:
            if case.explained and case.closed_again_at is not None:
                body = {"text": EXPLAINED_WORDS}
                yield self._act(case, "concern.explain", self._clerk, body, case.closed_again_at)

    async def _doubted(self) -> None:
        """Some concerns are closed before the others, and their residents are not content."""
        closed = [
            self.by_deputy(case, "case.close.first", {}, case.closed_at or END)
            for case in self._cases
            if case.doubted_at is not None and not case.explained
        ]
        await self._phases.send_all("closed, but not for good", closed, len(closed))
        doubts = list(self._residents.doubts())
        await self._phases.send_all("residents not content 不满意", doubts, len(doubts))

    async def _until_answered(self, title: str, patience: float) -> None:
        """Wait for the departments; staff and filers do meanwhile what departments wait for."""

        async def answered() -> int:
            told = await self._figures()
            states = told["states"]
            wanted: list[Write] = []
            if states.get("triage", 0):
                wanted += await self._routings()
            if told["extensions_asked"]:
                wanted += await self._extensions()
            if states.get("in-progress", 0):
                wanted += await self._other_departments()
            if states.get("waiting", 0):
                wanted += await self._supplies()
            new = [write for write in wanted if write.command_id not in self._sent]
            self._sent.update(write.command_id for write in new)
            await asyncio.gather(*(self._gateway.send(write) for write in new))
            return sum(int(states.get(state, 0)) for state in ("answered", "closed", "merged"))

        try:
            await self._phases.wait_for(title, len(self._cases), answered, patience)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: is the departments' process running?") from error

    async def _figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = (await self._gateway.get("/api/figures", who=self._clerk))["cases"]
        return figures

    async def _listed(self, **query: str) -> list[tuple[Case, dict[str, Any]]]:
        """The cases of the script that stand so now, each with what the services say of it."""
        pages = self._gateway.pages("/api/cases", who=self._clerk, size=_LIST_SIZE, **query)
        return [(self._script[item["id"]], item) async for item in pages]

    async def _routings(self) -> list[Write]:
        """Staff's decision on every case in triage now; one that came back goes to another department."""
        writes = []
        for case, item in await self._listed(state="triage"):
            code = department_by_hand(self._city, case, times_returned=item["returned"])
            path, body = f"/api/cases/{item['id']}/route", {"department": code, "reason": "人工派单"}
            # The version tells this decision from the one before the case came back.
            subject = f"{case.id}/{item['version']}"
            write = self._make("case.route", subject, self._clerk, path, body, _later(case, 20))
            writes.append(dataclasses.replace(write, subject=str(case.id)))
        return writes

    async def _extensions(self) -> list[Write]:
        """Staff's decision on each extension that is asked for now."""
        writes = []
        for case, item in await self._listed(extension_asked="true"):
            body = {"granted": bool(case.extension), "reason": "已研究"}
            path, at = f"/api/cases/{item['id']}/extension/decision", _later(case, 24)
            writes.append(self._make("case.decide-extension", str(case.id), self._clerk, path, body, at))
        return writes

    async def _other_departments(self) -> list[Write]:
        """Staff move a case 转办, or name a co-handler 会办, where its department waits for that now."""
        writes = []
        for case, item in await self._listed(state="in-progress"):
            other = another_department(self._city, case, item["department"])
            if case.life == "transferred":
                body: dict[str, Any] = {"department": other, "reason": "主要职责在该单位"}
                writes.append(self._act(case, "case.transfer", self._clerk, body, _later(case, 30)))
            elif case.life == "co-handled":
                body = {"departments": [other], "reason": "请协助办理"}
                writes.append(self._act(case, "case.co-handlers", self._clerk, body, _later(case, 30)))
        return writes

    async def _supplies(self) -> list[Write]:
        """What a department asked for, from the resident or the deputy whose case waits now."""
        writes = []
        for case, _ in await self._listed(state="waiting"):
            body, at = {"text": _SUPPLIED_WORDS}, _later(case, 48)
            if case.submitted_at is not None:
                writes.append(self._residents.says(case, "concern.supply", body, at))
            else:
                writes.append(self.by_deputy(case, "case.supply", body, at))
        return writes

    # -- closed and rated ------------------------------------------------------------------------------------

    def _closings(self) -> Iterator[Write]:
        for case in self._cases:
            if case.closed_at is not None and case.merged_into is None and not case.explained:
                yield self.by_deputy(case, "case.close", {}, case.closed_again_at or case.closed_at)

    def _ratings(self) -> Iterator[Write]:
        for case in self._cases:
            if case.rated_at is not None:
                yield self.by_deputy(case, "case.rate", {"stars": case.stars}, case.rated_at)

    async def closed(self, patience: float) -> None:
        """Until everything is closed and rated that will be."""
        closed = sum(case.closed_at is not None for case in self._cases)
        rated = sum(case.rated_at is not None for case in self._cases)
        others = sum(case.merged_into is not None or case.explained for case in self._cases)
        await self._phases.send_all("cases closed 办结", self._closings(), closed - others)
        await self._phases.wait_for("  and what was merged into them", closed, self._closed, patience)
        await self._phases.send_all("cases rated 评价", self._ratings(), rated)

    async def _closed(self) -> int:
        return int((await self._figures())["closed"])

    async def _merged(self) -> int:
        return int((await self._figures())["merged"])


def _later(case: Case, hours: int) -> datetime:
    return min(case.filed_at + timedelta(hours=hours), END)


def department_by_hand(city: City, case: Case, *, times_returned: int) -> str:
    """The department that staff choose: the usual one, and after a return one that serves the whole city.

    Where nobody knows what the case is about, its id decides, so that a second play decides alike.
    """
    whole_city = [department for department in city.departments if not department.counties]
    able = [department for department in whole_city if case.category in department.categories]
    if case.category is None or not able:
        return whole_city[(case.id.int + times_returned) % len(whole_city)].code
    if times_returned == 0:
        return city.department_for(case.category, case.county).code
    return able[times_returned % len(able)].code


def another_department(city: City, case: Case, holder: str) -> str:
    """A department of the whole city beside the one that holds a case, chosen by the case's id."""
    others = [one.code for one in city.departments if not one.counties and one.code != holder]
    return others[case.id.int % len(others)]
