"""Random sequences of commands over cases and motions, and what must become of each, told by a second reckoning.

A sequence is one small world: up to three cases that may be merged and split, or a case and the motion that
grew out of it; some of the cases are residents' concerns, with a follow link. Each next command is drawn from the tables of steps (`STEPS`): mostly one that is possible
there, by who may do it; else one that is not, or by somebody else, or a repetition, or other content under a
used id. `Twin` takes the same decisions in memory, each command once and in order; what the service says and
keeps must be the same, however often its process was killed meanwhile.

Invariants: one seed makes the same sequences. All commands of a sequence have one key, so that the broker
keeps their order; when cases are closed with others merged into them the sequence ends, because the
service's own command to those travels beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.cases import domain as case_domain
from services.cases import handlers as case_handlers
from services.cases import steps as case_steps
from services.cases.__main__ import motion_rules_by_day, rules_by_day
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import load
from services.cases.domain import Case
from services.cases.motions import domain as motion_domain
from services.cases.motions import handlers as motion_handlers
from services.cases.motions.domain import Deputy, Motion
from services.cases.motions.store import Context as MotionContext
from services.cases.motions.store import KnownCase, Referral
from services.cases.routing.catalogue import Department
from services.cases.routing.desk import judge_texts
from services.cases.routing.rules_file import shipped_taxonomy
from services.cases.store import Context as CaseContext
from shared.contracts import cases, motions
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.operations import Problem
from shared.contracts.registry import Contract, Role
from shared.messaging.desk import authorise
from shared.messaging.inbox import _ID_REUSED
from shared.messaging.received import Position, Received
from shared.refusals import Refusal
from shared.security.sealing import Opener, Sealer
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from tests.motions_desk import COUNTY, OTHER_COUNTY, START

DEPARTMENTS: Mapping[str, tuple[str, ...]] = {"housing": ("城乡建设",), "water": (), "green": ()}
CALENDAR = ChinaCalendar()
JURISDICTION = "ningbo"
_PACKS = load()
CASE_RULES = rules_by_day(_PACKS, JURISDICTION, CALENDAR)
MOTION_RULES = motion_rules_by_day(_PACKS, JURISDICTION, CALENDAR)
_ILLEGAL, _STRANGER, _REPEATED, _REUSED, _NOBODY = 0.14, 0.1, 0.04, 0.02, 0.02
"""Shares of commands: any step whatever the state, by somebody else, repeated, other content under the id, no such id."""

Said = tuple[str, int | None, str | None]
"""Of an outcome: state, version, code."""


@dataclass(frozen=True)
class Person:
    """Who speaks: with what roles, for which congress or department."""

    id: str
    role: Role
    organisation: str | None = None

    @property
    def actor(self) -> Actor:
        return Actor(self.id, frozenset({self.role}), self.organisation)


def accepted(version: int | None) -> Said:
    return ("accepted", version, None)


def refused(problem: Refusal | Problem) -> Said:
    return ("rejected", None, problem.code)


@dataclass(frozen=True)
class Command:
    """One command as it is sent, and what the twin says must become of it."""

    envelope: Envelope
    person: Person
    key: str
    expected: Said

    @property
    def inbox_key(self) -> str:
        return f"{self.envelope.id}/{self.person.id}"


class _KnownCases(dict[UUID, Any]):
    """Deputies and place of each case of the twin, looked up when asked."""

    def __init__(self, known: Mapping[str, Case]) -> None:
        super().__init__()
        self._cases = known

    def get(self, case_id: UUID, default: Any = None) -> Any:
        case = self._cases.get(str(case_id))
        return (
            default if case is None else KnownCase([case.deputy_id, *case.followers], case.county, case.town)
        )


class Twin:
    """The service's decisions in memory: no broker, no database, nothing twice."""

    def __init__(self, opener: Opener, deputies: Mapping[UUID, Deputy]) -> None:
        self.cases: dict[str, Case] = {}
        self.motions: dict[str, Motion] = {}
        self.referrals: dict[str, Referral] = {}
        departments = {code: Department(code, frozenset(of), frozenset()) for code, of in DEPARTMENTS.items()}
        self._cases = CaseContext(departments, frozenset(shipped_taxonomy().categories), opener, CASE_RULES)
        self._motions = MotionContext(
            frozenset(DEPARTMENTS),
            deputies,
            _KnownCases(self.cases),
            MOTION_RULES,
            opener,
            Sealer(opener.public_jwk),
        )

    def tell(self, envelope: Envelope, data: Contract, person: Person) -> Said:
        """What becomes of a command that comes for the first time."""
        position = Position("cases.commands", 0, 0, envelope.time)
        received: Received[Any] = Received(
            envelope, data, position, None, b"", envelope.time, is_command=True, actor=person.actor
        )
        subject = envelope.subject
        try:
            authorise(received)
            if type(data) in case_handlers.DECISIONS:
                self._judge(envelope, data)
                decide = case_handlers.DECISIONS[type(data)]
                decision = decide(self.cases.get(subject), received, self._cases)
                if decision.state is not self.cases.get(subject):
                    self._changed(decision.state)
                for other in decision.others.values():
                    self._changed(other)
                return accepted(decision.version)
            if type(data) in motion_handlers.DECISIONS:
                of_motion = motion_handlers.DECISIONS[type(data)](
                    self.motions.get(subject), received, self._motions
                )
                self.motions[subject] = of_motion.state
                return accepted(of_motion.version)
            referral = motion_handlers.ON_REFERRALS[type(data)](
                self.referrals.get(subject), received, self._motions
            )
            self.referrals[subject] = referral.state
            return accepted(referral.version)
        except Refusal as refusal:
            return refused(refusal)

    def _judge(self, envelope: Envelope, data: Contract) -> None:
        """What a new case is about, as the service finds it before it decides."""
        known = self.cases.get(envelope.subject)
        if isinstance(data, cases.FileCase | cases.SplitCase | cases.SubmitConcern):
            sealed: str | None = data.sealed
        else:
            sealed = known.sealed if isinstance(data, cases.TakeUpConcern) and known is not None else None
        if sealed is not None and getattr(data, "category", None) is None:
            with contextlib.suppress(Refusal):
                words = case_handlers.read_words(self._cases.opener, sealed)
                text = f"{words.title}\n{words.text}"
                self._cases.judged = {envelope.id: judge_texts([text], None, shipped_taxonomy())[0]}

    def _changed(self, case: Case) -> None:
        self.cases[str(case.id)] = case
        self._cases.note(case)
        if case.state != "closed":
            return
        for child_id in self._cases.merged_into(case.id):
            child = self.cases[str(child_id)]
            act = case_domain.Act(
                "service:cases", max(case.changed_at, child.changed_at), case.changed_at, None
            )
            for event in case_steps.settle(child, act, case):
                child = case_domain.evolve(child, event)
                self._changed(child)

    def is_parent(self, case: Case) -> bool:
        """Whether others were merged into a case."""
        return bool(self._cases.merged_into(case.id))


@dataclass
class World:
    """One sequence: its own cases and motion, and how many commands are left."""

    key: UUID
    rng: random.Random
    left: int
    now: datetime
    filer: Person
    case_ids: list[UUID]
    motion_id: UUID | None
    sent: list[Command] = field(default_factory=list)
    over: bool = False


class Generator:
    """Makes the commands of all sequences, mixed with each other, and says what must become of each."""

    def __init__(self, seed: int, sequences: int, issuer: Issuer, opener: Opener) -> None:
        self._rng = random.Random(seed)
        self._sequences = sequences
        self._issuer = issuer
        self._sealer = Sealer(opener.public_jwk)
        self._tokens: dict[Person, str] = {}
        self._sealed: dict[tuple[str, ...], str] = {}
        self.deputies = [self._uuid() for _ in range(14)]
        self.stranger = self._uuid()
        known = {who: Deputy(who, "county", COUNTY, None) for who in self.deputies}
        known[self.stranger] = Deputy(self.stranger, "county", OTHER_COUNTY, None)
        self.twin = Twin(opener, known)
        self._staff = Person(str(self._uuid()), "staff", COUNTY)
        self._other_staff = Person(str(self._uuid()), "staff", OTHER_COUNTY)
        self._intake = Person("gateway:intake", "intake")
        self.commands: list[Command] = []

    def _uuid(self) -> UUID:
        return UUID(int=self._rng.getrandbits(128), version=4)

    def stream(self) -> Iterator[Command]:
        """Every command in the order in which it is to be sent."""
        waiting = self._sequences
        open_worlds: list[World] = []
        while open_worlds or waiting:
            while waiting and len(open_worlds) < 40:
                open_worlds.append(self._world())
                waiting -= 1
            world = self._rng.choice(open_worlds)
            command = self._next(world)
            world.left -= 1
            if world.left <= 0 or world.over:
                open_worlds.remove(world)
            self.commands.append(command)
            yield command

    def _world(self) -> World:
        of_motion = self._rng.random() < 0.5
        count = 1 if of_motion else self._rng.choice((1, 1, 2, 3))
        return World(
            key=self._uuid(),
            rng=self._rng,
            left=self._rng.randint(14, 34) if of_motion else self._rng.randint(6, 10) * (1 + count) // 2 + 4,
            now=START + timedelta(minutes=self._rng.randint(0, 60 * 24 * 60)),
            filer=self._deputy(self._rng.choice(self.deputies)),
            case_ids=[self._uuid() for _ in range(count)],
            motion_id=self._uuid() if of_motion else None,
        )

    # -- one command -----------------------------------------------------------------------------------

    def _next(self, world: World) -> Command:
        """The next command of a sequence; time mostly goes on, and now and then lies behind."""
        rng = world.rng
        roll = rng.random()
        if world.sent and roll < _REPEATED:
            return rng.choice(world.sent)  # the very same message: the first outcome, no second effect
        if world.sent and roll < _REPEATED + _REUSED:
            return self._other_content(world)
        step = rng.choice((timedelta(minutes=7), timedelta(hours=5), timedelta(days=1), timedelta(days=9)))
        world.now += step * rng.random() if rng.random() > 0.05 else -step
        subject, data, person = self._drawn(world)
        if rng.random() < _STRANGER:
            person = self._somebody_else(person)
        if rng.random() < _NOBODY and not isinstance(
            data, cases.FileCase | cases.SubmitConcern | motions.DraftMotion
        ):
            subject = self._uuid()
        envelope = self._envelope(data, subject, person, world.now)
        expected = self.twin.tell(envelope, data, person)
        command = Command(envelope, person, str(world.key), expected)
        world.sent.append(command)
        world.over = any(
            case.state == "closed" and self.twin.is_parent(case)
            for case in map(self.twin.cases.get, map(str, world.case_ids))
            if case is not None
        )
        return command

    def _envelope(
        self, data: Contract, subject: UUID, person: Person, at: datetime, message_id: UUID | None = None
    ) -> Envelope:
        if person not in self._tokens:
            self._tokens[person] = self._issuer.token(
                person.id, person.role, organisation=person.organisation, lifetime_seconds=7200
            )
        return message(
            data, subject=subject, token=self._tokens[person], time=at, message_id=message_id or self._uuid()
        )

    def _other_content(self, world: World) -> Command:
        """Another message under an id that is used: refused, and the first outcome stays."""
        command = world.rng.choice(world.sent)
        data = cases.UrgeCase(reason=f"另一内容{world.rng.random()}")
        envelope = self._envelope(
            data, UUID(command.envelope.subject), command.person, world.now, command.envelope.id
        )
        return Command(envelope, command.person, str(world.key), refused(_ID_REUSED))

    def _somebody_else(self, person: Person) -> Person:
        others = [
            self._deputy(self.stranger),
            self._deputy(self._rng.choice(self.deputies)),
            self._other_staff,
            self._department(self._rng.choice(list(DEPARTMENTS))),
            Person("operator", "operator"),
        ]
        return self._rng.choice([one for one in others if one != person])

    def _deputy(self, who: UUID) -> Person:
        return Person(str(who), "deputy")

    def _department(self, code: str | None) -> Person:
        return Person(f"department:{code or 'water'}", "department", code or "water")

    def _seal(self, **words: str) -> str:
        """Sealed words; the same words are sealed once, since that is what costs."""
        key = tuple(f"{name}={text}" for name, text in words.items())
        if key not in self._sealed:
            self._sealed[key] = self._sealer.seal(words)
        return self._sealed[key]

    def _drawn(self, world: World) -> tuple[UUID, Contract, Person]:
        """Which aggregate of the sequence, what is asked of it, and by whom."""
        rng = world.rng
        if world.motion_id is not None and str(world.case_ids[0]) in self.twin.cases:
            if rng.random() < 0.06:
                refer = refer_the_case(world)
                return self._uuid(), refer, rng.choice((world.filer, self._staff))
            motion = self.twin.motions.get(str(world.motion_id))
            return (world.motion_id, *self._of_motion(world, motion))
        missing = [case_id for case_id in world.case_ids if str(case_id) not in self.twin.cases]
        if missing and (len(missing) == len(world.case_ids) or rng.random() < 0.3):
            return (missing[0], *self._new_case(world, missing[0]))
        case = self.twin.cases[str(rng.choice([c for c in world.case_ids if c not in missing]))]
        return (case.id, *self._of_case(world, case))

    # -- cases -----------------------------------------------------------------------------------------

    def _new_case(self, world: World, case_id: UUID) -> tuple[Contract, Person]:
        rng = world.rng
        there = [c for c in world.case_ids if str(c) in self.twin.cases]
        words = rng.choice(("路口窨井盖破损。", "请到现场看一看。"))
        sealed = self._seal(title="一件事", text=words)
        if there and rng.random() < 0.4:
            return cases.SplitCase(sealed=sealed, out_of=rng.choice(there)), self._staff
        if rng.random() < 0.35:
            concern = cases.SubmitConcern(
                sealed=sealed,
                contact=rng.choice((None, self._seal(contact="13800000000"))),
                deputy_id=UUID(world.filer.id),
                county=COUNTY,
                receipt=case_id.hex[:12].upper(),
                follow=_follow(case_id),
                consent="2026-11",
            )
            return concern, rng.choice((self._intake, self._intake, self._staff))
        category = rng.choice((None, None, "城乡建设", "没有这个类别"))
        return cases.FileCase(sealed=sealed, county=COUNTY, category=category), world.filer

    def _of_case(self, world: World, case: Case) -> tuple[Contract, Person]:
        rng = world.rng
        makers = self._case_steps(world, case)
        possible = [name for name in makers if case.state in case_domain.STEPS[name].before]
        if not possible or rng.random() < _ILLEGAL:
            possible = list(makers)
        idle = set() if case.extension_asked else {"extension-granted", "extension-refused"}
        idle |= set() if case.co_handlers else {"opinion"}
        idle |= set() if case.follow else {"resident-rated", "contact-erased", "erased", "link-closed"}
        weights = [_weight(name, idle) for name in possible]
        return makers[rng.choices(possible, weights)[0]]()

    def _case_steps(
        self, world: World, case: Case
    ) -> Mapping[case_domain.Step, Callable[[], tuple[Contract, Person]]]:
        rng, staff, filer = world.rng, self._staff, self._deputy(case.deputy_id)
        holder = self._department(case.department)
        codes = list(DEPARTMENTS)
        others = [c for c in world.case_ids if c != case.id] or [case.id]
        either = rng.choice((staff, filer))
        result = rng.choice(("solved", "explained", "unsolved"))
        link, intake = _follow(case.id if rng.random() < 0.95 else self._uuid()), self._intake
        stars = rng.randint(1, 5)
        said = self._seal(text="三号楼")

        def by_link(of_filer: Contract, of_resident: Contract) -> tuple[Contract, Person]:
            return (of_resident, intake) if case.follow and rng.random() < 0.5 else (of_filer, filer)

        return {
            "taken-up": lambda: (
                cases.TakeUpConcern(category=rng.choice((None, "城乡建设", "没有这个类别"))),
                either,
            ),
            "explained": lambda: (cases.ExplainConcern(text="已向居民说明"), either),
            "declined": lambda: (cases.DeclineConcern(reason="不属于代表职责"), either),
            "objected": lambda: (cases.ObjectToConcern(follow=link, sealed=said), intake),
            "resident-rated": lambda: (cases.RateConcern(follow=link, stars=stars, attitude=stars), intake),
            "contact-erased": lambda: (cases.EraseConcern(follow=link, what="contact"), intake),
            "erased": lambda: (cases.EraseConcern(follow=link, what="all"), intake),
            "link-closed": lambda: (cases.CloseFollowLink(follow=link), intake),
            "routed": lambda: (
                cases.RouteCase(
                    department=rng.choice([*codes, "nobody"]), urgency=rng.choice((None, "complex"))
                ),
                staff,
            ),
            "transferred": lambda: (
                cases.TransferCase(department=rng.choice(codes), reason="职责调整"),
                staff,
            ),
            "accepted": lambda: (cases.AcceptCase(), holder),
            "progressed": lambda: (cases.ProgressCase(text="正在办理"), holder),
            "asked": lambda: (cases.AskFiler(text="请补充"), holder),
            "supplied": lambda: by_link(
                cases.SupplyCase(sealed=said), cases.SupplyConcern(follow=link, sealed=said)
            ),
            "returned": lambda: (cases.ReturnCase(reason="不属于本单位"), holder),
            "extension-asked": lambda: (cases.AskExtension(days=rng.randint(1, 12), reason="等材料"), holder),
            "extension-granted": lambda: (cases.DecideExtension(granted=True), staff),
            "extension-refused": lambda: (cases.DecideExtension(granted=False), staff),
            "co-handled": lambda: (cases.CoHandle(departments=tuple(rng.sample(codes, 2))), staff),
            "opinion": lambda: (
                cases.GiveOpinion(text="可以配合"),
                self._department(rng.choice([*case.co_handlers, "green"])),
            ),
            "answered": lambda: (cases.AnswerCase(result=result, text="已处理"), holder),
            "closed": lambda: (cases.CloseCase(result=rng.choice((None, result))), either),
            "rated": lambda: (cases.RateCase(stars=rng.randint(1, 5)), filer),
            "reopened": lambda: rng.choice(
                (
                    (cases.ReopenCase(reason="没有解决"), either),
                    by_link(
                        cases.ReopenCase(reason="没有解决"), cases.ReopenConcern(follow=link, sealed=said)
                    ),
                )
            ),
            "urged": lambda: (cases.UrgeCase(reason="请抓紧"), either),
            "supervised": lambda: (cases.SuperviseCase(reason="重点"), staff),
            "withdrawn": lambda: by_link(
                cases.WithdrawCase(reason="不用了"), cases.WithdrawConcern(follow=link)
            ),
            "merged": lambda: (cases.MergeCase(into=rng.choice(others)), staff),
            "joined": lambda: (cases.JoinCase(), self._deputy(rng.choice(self.deputies))),
        }

    # -- motions ---------------------------------------------------------------------------------------

    def _of_motion(self, world: World, motion: Motion | None) -> tuple[Contract, Person]:
        rng = world.rng
        if motion is None:
            from_case = rng.choice((None, world.case_ids[0], self._uuid()))
            kind: motions.MotionKind = rng.choice(("bill", "suggestion", "suggestion"))
            if kind == "bill":  # its ten signatures come before everything else
                world.left = max(world.left, 40)
            draft = motions.DraftMotion(
                sealed=self._motion_words(rng, kind),
                kind=kind,
                secret=rng.random() < 0.2,
                from_case=from_case,
            )
            return draft, world.filer
        makers = self._motion_steps(world, motion)
        possible = [name for name in makers if motion.state in motion_domain.STEPS[name].before]
        if not possible or rng.random() < _ILLEGAL:
            possible = list(makers)
        weights = [_weight(name, _idle_in(motion)) for name in possible]
        return makers[rng.choices(possible, weights)[0]]()

    def _motion_words(self, rng: random.Random, kind: str) -> str:
        text = rng.choice(("老人下楼难。", "请加装电梯。"))
        if kind == "bill" and rng.random() < 0.9:
            return self._seal(title="议案", text=text, cause="案由", basis="案据", plan="方案")
        return self._seal(title="建议", text=text)

    def _motion_steps(
        self, world: World, motion: Motion
    ) -> Mapping[motion_domain.StepKind, Callable[[], tuple[Contract, Person]]]:
        rng, staff, author = world.rng, self._staff, self._deputy(motion.author_id)
        lead, codes = self._department(motion.lead), list(DEPARTMENTS)
        co = self._department(rng.choice([*motion.co_handlers, "green"]))
        invited = [c.deputy for c in motion.cosigners if c.state == "invited"]
        signed = [c.deputy for c in motion.cosigners if c.state == "confirmed"]
        asked = self._deputy(rng.choice(invited or self.deputies))
        signer = self._deputy(rng.choice(signed or self.deputies))
        today = world.now.date()
        return {
            "revised": lambda: (motions.ReviseMotion(sealed=self._motion_words(rng, motion.kind)), author),
            "invited": lambda: (
                motions.InviteCosigners(
                    deputies=tuple(
                        rng.sample(
                            self.deputies, rng.choice((1, 3) if motion.kind == "suggestion" else (9, 11))
                        )
                    )
                ),
                author,
            ),
            "cosigned": lambda: (
                motions.CosignMotion(digest=rng.choice((motion.digest,) * 9 + ("0" * 64,))),
                asked,
            ),
            "declined": lambda: (motions.DeclineMotion(), asked),
            "uncosigned": lambda: (motions.UncosignMotion(), signer),
            "submitted": lambda: (motions.SubmitMotion(informed=True), author),
            "returned": lambda: (motions.GiveBackMotion(reason="请补充"), staff),
            "accepted": lambda: (motions.AcceptMotion(number="2022-1"), staff),
            "turned": lambda: (
                motions.DecideOnBill(decision="suggestion")
                if motion.state == "reported"
                else motions.AcceptMotion(number="2022-2", turn=True),
                staff,
            ),
            "referred": lambda: (
                motions.ReferBill(committee=rng.choice(("法制委员会", "城建委员会"))),
                staff,
            ),
            "advised": lambda: (
                motions.AdviseOnBill(advice=rng.choice(("agenda", "suggestion", "explained")), text="可行"),
                staff,
            ),
            "tabled": lambda: (motions.DecideOnBill(decision="agenda"), staff),
            "explained": lambda: (motions.DecideOnBill(decision="explained"), staff),
            "concluded": lambda: (
                motions.ConcludeBill(outcome=rng.choice(("passed", "not-passed", "withdrawn"))),
                staff,
            ),
            "refused": lambda: (motions.RefuseMotion(ground=rng.choice(("personal", "none-such"))), staff),
            "assigned": lambda: (
                motions.AssignMotion(
                    lead=rng.choice(codes), co_handlers=tuple(rng.sample(codes, rng.choice((0, 1))))
                ),
                staff,
            ),
            "objected": lambda: (motions.ObjectToMotion(reason="不是我们的"), lead),
            "co-objected": lambda: (motions.ObjectToMotion(reason="不是我们的"), co),
            "contacted": lambda: (motions.ContactDeputy(on=today, form="phone"), lead),
            "opinion": lambda: (motions.GiveMotionOpinion(text="可以配合"), co),
            "extension-asked": lambda: (
                motions.AskMotionExtension(more=rng.randint(1, 4), reason="等资金"),
                lead,
            ),
            "extension-granted": lambda: (motions.DecideMotionExtension(granted=True), staff),
            "extension-refused": lambda: (motions.DecideMotionExtension(granted=False), staff),
            "answered": lambda: (self._answer(world, motion), lead),
            "rated": lambda: (motions.RateMotion(ratings=self._ratings(rng)), author),
            "cosigner-rated": lambda: (motions.RateMotion(ratings=self._ratings(rng)), signer),
            "promise-reported": lambda: (
                self._report(world),
                lead,
            ),
            "promise-rated": lambda: (
                motions.RatePromise(promise=rng.randint(1, 2), rating="satisfied"),
                author,
            ),
            "supervised": lambda: (motions.SuperviseMotion(reason="重点"), staff),
            "withdrawn": lambda: (motions.WithdrawMotion(reason="已解决"), author),
        }

    def _report(self, world: World) -> Contract:
        rng = world.rng
        outcome: motions.Outcome = rng.choice(("kept", "partly-kept", "not-kept"))
        later = world.now.date() + timedelta(days=rng.choice((60, 60, 60, -1)))
        due = rng.choice((None,) * 9 + (later,)) if outcome == "kept" else rng.choice((later,) * 9 + (None,))
        return motions.ReportPromise(promise=rng.randint(1, 2), outcome=outcome, text="已落实", due=due)

    def _answer(self, world: World, motion: Motion) -> Contract:
        rng = world.rng
        pledge = motions.PledgedItem(text="年底前完成", due=world.now.date() + timedelta(days=90))
        return motions.AnswerMotion(
            result=rng.choice(("A", "B", "C", "D")),
            text="已办理",
            signed_by="局长",
            public=not motion.secret,
            promises=rng.choice(((), (pledge,), (pledge, pledge))),
        )

    def _ratings(self, rng: random.Random) -> dict[str, str]:
        result = rng.choice(("satisfied", "satisfied", "unsatisfied", "unstated", "superb"))
        return {"attitude": "satisfied", "result": result}


def _follow(case_id: UUID) -> str:
    """The digest of a follow link's secret, which belongs to one case."""
    return hashlib.sha256(case_id.bytes).hexdigest()


def refer_the_case(world: World) -> Contract:
    """The case of a sequence put forward as a lead for a project."""
    return motions.ReferCase(case_id=world.case_ids[0], reason="列入民生实事")


def _idle_in(motion: Motion) -> set[str]:
    """Steps that the diagram permits and that would only be refused as the motion stands: asked for seldom."""
    states = {cosigner.state for cosigner in motion.cosigners}
    idle = set() if "invited" in states else {"cosigned", "declined"}
    idle |= set() if "confirmed" in states else {"uncosigned", "cosigner-rated"}
    idle |= set() if motion.extension_asked else {"extension-granted", "extension-refused"}
    idle |= {"contacted"} if motion.contacted >= motion.round else {"answered"}
    idle |= set() if motion.co_handlers else {"opinion", "co-objected"}
    idle |= set() if any(promise.state != "kept" for promise in motion.promises) else {"promise-reported"}
    idle |= set() if any(p.state != "open" and not p.rating for p in motion.promises) else {"promise-rated"}
    if (
        motion.kind == "bill"
        and len(motion.signers) < MOTION_RULES(START).motions.signers.value["bill"]["county"]
    ):
        idle |= {"submitted"}
    return idle | ({"assigned"} if motion.goes_as_bill else {"turned", "referred", "tabled"})


def _weight(name: str, idle: set[str]) -> float:
    return _RARE.get(name, 1.0) * (0.05 if name in idle else 1.0)


_RARE: Mapping[str, float] = {
    "withdrawn": 0.06,
    "erased": 0.05,
    "link-closed": 0.05,
    "contact-erased": 0.2,
    "resident-rated": 0.5,
    "taken-up": 3.0,
    "explained": 0.3,
    "merged": 0.5,
    "refused": 0.15,
    "uncosigned": 0.2,
    "declined": 0.3,
    "revised": 0.3,
    "returned": 0.4,
    "objected": 0.5,
    "supervised": 0.4,
    "urged": 0.5,
    "invited": 0.6,
    "cosigned": 8.0,
    "submitted": 3.0,
    "turned": 2.0,
    "referred": 2.0,
    "tabled": 0.5,
    "advised": 2.0,
    "assigned": 0.8,
    "rated": 1.5,
    "promise-reported": 2.0,
    "promise-rated": 3.0,
    "answered": 2.0,
    "contacted": 1.5,
    "accepted": 2.0,
    "closed": 2.0,
    "reopened": 0.5,
}
"""How likely a step is beside others: ends are rare, so that lives are long."""
