"""Plays the script of a session's motions through the gateway, each person in their own name.

Departments are not played here: they hear of a motion on their own topics, contact the deputy and answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from simulation.gateway_client import GatewayClient, GatewayError, Write
from simulation.motions import GROUND, Motion
from simulation.phases import Phases

_BAD = {"attitude": "satisfied", "result": "unsatisfied"}
_GOOD = {"attitude": "satisfied", "result": "mostly-satisfied"}
_BILL_STEPS: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("bills referred 交专门委员会", "refer", {"committee": "城建环境资源委员会"}),
    ("bills reported on 审议报告", "advise", {"advice": "agenda", "text": "建议列入会议议程。"}),
    ("bills on the agenda 列入议程", "decide", {"decision": "agenda"}),
    ("bills voted on 表决", "conclude", {"outcome": "passed"}),
)
_STRANGE_DIGEST = "0" * 64


class MakesWrites(Protocol):
    """Makes a write of the script: kind, subject, who, path, body, when."""

    def __call__(
        self, kind: str, subject: str, who: str, path: str, body: Mapping[str, Any], at: datetime
    ) -> Write:
        """A write under an id that is the same in every play."""


class SessionPlay:
    """Plays one session. `deputies` are ids in the order of `City.deputies`, `clerk` is the city's staff."""

    def __init__(
        self,
        gateway: GatewayClient,
        phases: Phases,
        motions: Sequence[Motion],
        deputies: Sequence[str],
        clerk: str,
        make: MakesWrites,
    ) -> None:
        self._gateway = gateway
        self._phases = phases
        self._motions = motions
        self._deputies = deputies
        self._clerk = clerk
        self._make = make

    async def submitted_and_assigned(self) -> None:
        """From the drafts to the assignment: departments may begin."""
        await self._all("motions drafted 起草", self._drafts())
        await self._all("co-signers invited 邀请联名", self._invitations())
        digests = await self._read_by_cosigners()
        await self._all("motions co-signed 联名", self._signings(digests))
        await self._all("motions submitted 提交", self._submissions())
        await self._all("motions given back 退回修改", self._corrections())
        await self._all("and submitted again", self._resubmissions())
        await self._all("motions examined 审查", self._examinations())
        await self._all("motions assigned 交办", self._assignments())
        for hour, (title, verb, body) in enumerate(_BILL_STEPS):
            await self._all(title, self._bills(verb, body, timedelta(hours=hour)))

    async def answered_and_rated(self, patience: float) -> None:
        """Wait for the departments; rate; wait for the second answers; rate those.

        Raises TimeoutError when no motion is answered for `patience` seconds.
        """
        handled = [motion for motion in self._motions if motion.handled]
        await self._phases.wait_for("motions answered 答复", len(handled), self._answered, patience)
        await self._all("answers rated 评价", self._ratings())
        await self._phases.wait_for("and answered again 再次办理", len(handled), self._answered, patience)
        await self._all("second answers rated", self._second_ratings())

    def mistakes(self, number: int) -> list[Write]:
        """Signatures of deputies whom nobody invited, with a text that nobody has read."""
        found = []
        for motion in [m for m in self._motions if m.fate == "draft"][:number]:
            taken = {motion.author, *motion.cosigners, *motion.declining}
            stranger = next(i for i in range(len(self._deputies)) if i not in taken)
            path = f"/api/motions/{motion.id}/cosign"
            found.append(
                self._make(
                    "motion.cosign",
                    str(motion.id),
                    self._deputies[stranger],
                    path,
                    {"digest": _STRANGE_DIGEST},
                    motion.drafted_at + timedelta(hours=5),
                )
            )
        return found

    async def _all(self, title: str, writes: Iterator[Write]) -> None:
        found = list(writes)
        if found:
            await self._phases.send_all(title, found, len(found))

    async def _answered(self) -> int:
        states = (await self._gateway.get("/api/motion-report", who=self._clerk))["states"]
        return sum(int(states.get(state, 0)) for state in ("answered", "closed"))

    def _of(
        self, kind: str, motion: Motion, who: str, at: datetime | None, body: Mapping[str, Any], verb: str
    ) -> Write:
        if at is None:
            raise GatewayError(f"the script has no time for {kind} of motion {motion.id}")
        return self._make(f"motion.{kind}", str(motion.id), who, f"/api/motions/{motion.id}/{verb}", body, at)

    def _drafts(self) -> Iterator[Write]:
        for motion in self._motions:
            body: dict[str, Any] = {
                "id": str(motion.id),
                "kind": motion.kind,
                "title": motion.title,
                "text": motion.text,
                "secret": motion.secret,
            }
            if motion.kind == "bill":
                body |= {
                    "cause": motion.title,
                    "basis": motion.text,
                    "plan": "制定办法，列入计划，分年实施。",
                }
            who = self._deputies[motion.author]
            yield self._make("motion.draft", str(motion.id), who, "/api/motions", body, motion.drafted_at)

    def _invitations(self) -> Iterator[Write]:
        for motion in self._motions:
            asked = [self._deputies[i] for i in (*motion.cosigners, *motion.declining)]
            if asked:
                at = motion.drafted_at + timedelta(hours=1)
                yield self._of(
                    "invite",
                    motion,
                    self._deputies[motion.author],
                    at,
                    {"deputies": asked},
                    "invitations",
                )

    async def _read_by_cosigners(self) -> dict[tuple[str, int], str]:
        """Everybody asked reads the motion first: the digest of the text that they saw."""
        asked = [(m, i) for m in self._motions for i in m.cosigners]
        found = {}
        with self._phases.counting("motions read by co-signers", len(asked)) as show:
            for motion, who in asked:
                seen = await self._gateway.get(f"/api/motions/{motion.id}", who=self._deputies[who])
                found[str(motion.id), who] = str(seen["digest"])
                show(len(found))
        return found

    def _signings(self, digests: Mapping[tuple[str, int], str]) -> Iterator[Write]:
        for motion in self._motions:
            for n, who in enumerate(motion.cosigners):
                at = motion.drafted_at + timedelta(hours=2, minutes=n)
                body = {"digest": digests[str(motion.id), who]}
                yield self._of("cosign", motion, self._deputies[who], at, body, "cosign")
            for who in motion.declining:
                at = motion.drafted_at + timedelta(hours=3)
                yield self._of("decline", motion, self._deputies[who], at, {}, "decline")

    def _submissions(self) -> Iterator[Write]:
        for motion in self._motions:
            if motion.submitted_at is not None:
                who = self._deputies[motion.author]
                yield self._of("submit", motion, who, motion.submitted_at, {"informed": True}, "submit")

    def _corrections(self) -> Iterator[Write]:
        for motion in self._motions:
            if motion.given_back_at is not None:
                body = {"reason": "请补充依据"}
                yield self._of("give-back", motion, self._clerk, motion.given_back_at, body, "give-back")

    def _resubmissions(self) -> Iterator[Write]:
        for motion in self._motions:
            if motion.given_back_at is not None:
                at = motion.given_back_at + timedelta(hours=3)
                who = self._deputies[motion.author]
                yield self._of("submit.again", motion, who, at, {"informed": True}, "submit")

    def _examinations(self) -> Iterator[Write]:
        for n, motion in enumerate(self._motions, 1):
            if motion.fate == "not-accepted":
                body: dict[str, Any] = {"ground": GROUND, "reason": "没有具体内容"}
                yield self._of("refuse", motion, self._clerk, motion.examined_at, body, "refuse")
            elif motion.fate == "withdrawn":
                who, body = self._deputies[motion.author], {"reason": "已有同类建议"}
                yield self._of("withdraw", motion, who, motion.examined_at, body, "withdraw")
            elif motion.handled or motion.fate == "passed":
                body = {"number": f"2022-{n:03}", "turn": motion.fate == "turned"}
                yield self._of("accept", motion, self._clerk, motion.examined_at, body, "accept")

    def _assignments(self) -> Iterator[Write]:
        for motion in self._motions:
            if motion.handled:
                body = {"lead": motion.lead, "co_handlers": list(motion.co)}
                yield self._of("assign", motion, self._clerk, motion.assigned_at, body, "assign")

    def _bills(self, verb: str, body: Mapping[str, Any], after: timedelta) -> Iterator[Write]:
        for motion in self._motions:
            if motion.fate == "passed" and motion.assigned_at is not None:
                yield self._of(verb, motion, self._clerk, motion.assigned_at + after, body, verb)

    def _ratings(self) -> Iterator[Write]:
        for motion in self._motions:
            if not motion.handled:
                continue
            values = _GOOD if motion.rated_again_at is None else _BAD
            who = self._deputies[motion.author]
            yield self._of("rate", motion, who, motion.rated_at, {"ratings": values}, "rate")

    def _second_ratings(self) -> Iterator[Write]:
        for motion in self._motions:
            if motion.rated_again_at is not None:
                who = self._deputies[motion.author]
                yield self._of("rate.again", motion, who, motion.rated_again_at, {"ratings": _GOOD}, "rate")
            elif motion.handled and motion.cosigners and motion.rated_at is not None:
                who, at = self._deputies[motion.cosigners[0]], motion.rated_at + timedelta(days=2)
                yield self._of("rate", motion, who, at, {"ratings": _GOOD}, "rate")
