"""Plays the residents of the year: they put concerns to deputies by public codes 民情直通车, and act by their links.

By its link a resident supplies what is asked for, objects, has a concern handled again, and rates.
Invariant: a resident has no name and no account: what one holds is the receipt number and the follow link that
the gateway answered with. The id of a concern's case is the gateway's to make, and it tells nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from simulation.cases import Case
from simulation.city import City
from simulation.gateway_client import INTAKE, Answer, GatewayClient, GatewayError, Write
from simulation.phases import Phases
from simulation.script import END
from simulation.session import MakesWrites

_LIST_SIZE = 500
_NOT_CONTENT = "问题没有解决，请再处理。"


class ResidentsPlay:
    """Plays the concerns among the year's cases.

    `codes` are the deputies' in the order of `City.deputies`, `station_codes` the stations' by town; `clerk` is the
    city's staff.
    """

    def __init__(
        self,
        gateway: GatewayClient,
        phases: Phases,
        city: City,
        cases: Sequence[Case],
        codes: Sequence[str],
        station_codes: Mapping[str, str],
        clerk: str,
        make: MakesWrites,
    ) -> None:
        self._gateway = gateway
        self._phases = phases
        self._city = city
        self._cases = cases
        self._codes = codes
        self._station_codes = station_codes
        self._clerk = clerk
        self._make = make
        self._given: dict[str, Mapping[str, Any]] = {}  # receipt and follow link, by the script's id

    async def submitted(self) -> dict[UUID, str]:
        """All concerns; returns the ids of their cases by the script's, found by the instant of each.

        Raises GatewayError when one was not taken in, or is not listed.
        """
        concerns = {case.submitted_at: case for case in self._cases if case.submitted_at is not None}
        consent = (await self._gateway.get("/api/concern-notice", who=INTAKE))["version"]
        writes = (self._submission(case, at, consent) for at, case in concerns.items())

        def keep(write: Write, answer: Answer) -> None:
            if answer.accepted:
                self._given[write.subject] = answer.body

        title = "residents' concerns 民情直通车"
        result = await self._phases.send_all(title, writes, len(concerns), keep)
        if result.refused:
            raise GatewayError(
                f"{result.refused} concerns of residents were refused or got no answer; the journal says why"
            )
        ids = {}
        filed = {str(case.id) for case in self._cases}
        async for item in self._gateway.pages("/api/cases", who=self._clerk, size=_LIST_SIZE):
            case = concerns.get(datetime.fromisoformat(item["filed_at"]))
            if case is not None and item["id"] not in filed:
                ids[case.id] = str(item["id"])
        if len(ids) < len(concerns):
            raise GatewayError(f"{len(concerns) - len(ids)} concerns of residents are not listed")
        return ids

    def _submission(self, case: Case, at: datetime, consent: str) -> Write:
        """By the deputy's own code, or by the code of the deputy's station with the deputy picked."""
        body = {
            "title": case.title,
            "text": case.text,
            "county": case.county,
            "town": case.town,
            "consent": consent,
        }
        code, town = self._codes[case.deputy], self._city.deputies[case.deputy].town
        if town and case.id.int % 2:
            body["deputy"], code = code, self._station_codes[town]
        if case.id.int % 3 == 0:
            body["contact"] = "0574-0000-0000"
        return self._make("concern.submit", str(case.id), INTAKE, f"/api/codes/{code}/concerns", body, at)

    def doubts(self) -> Iterator[Write]:
        """What residents say who are not content: they rate it as bad, or object 不同意见 to an explanation."""
        for case in self._doubted():
            at = case.doubted_at or case.filed_at
            if case.explained:
                yield self.says(case, "concern.object", {"text": _NOT_CONTENT}, at)
            else:
                yield self.says(case, "concern.rate.first", {"stars": 1, "result": 1}, at)

    def reopenings(self) -> Iterator[Write]:
        """Those who rated it as bad have it handled again 重新办理."""
        for case in self._doubted():
            if not case.explained:
                at = case.doubted_at or case.filed_at
                yield self.says(case, "concern.reopen", {"text": _NOT_CONTENT}, at)

    def mistakes(self, number: int) -> list[Write]:
        """Objections of residents who have objected before."""
        objected = [case for case in self._doubted() if case.explained]
        return [
            self.says(case, "concern.object.again", {"text": _NOT_CONTENT}, END) for case in objected[:number]
        ]

    def _doubted(self) -> Iterator[Case]:
        return (case for case in self._cases if case.doubted_at is not None)

    async def rated(self) -> None:
        """What residents say in the end of the concerns that were closed."""
        rated = [case for case in self._cases if case.resident_rated_at is not None]
        await self._phases.send_all("and by residents 居民评价", self._ratings(rated), len(rated))

    def _ratings(self, cases: Sequence[Case]) -> Iterator[Write]:
        for case in cases:
            body, at = {"stars": case.resident_stars}, case.resident_rated_at or case.filed_at
            yield self.says(case, "concern.rate", body, at)

    def says(self, case: Case, kind: str, body: Mapping[str, Any], at: datetime) -> Write:
        """What the resident says on a concern by its follow link."""
        given = self._given[str(case.id)]
        path = f"/api/concerns/{given['receipt']}/{kind.split('.')[1]}"
        return dataclasses.replace(
            self._make(kind, str(case.id), INTAKE, path, body, at), link=given["follow"]
        )
