"""Motions through a real process, Kafka and PostgreSQL, the same tests under each rule pack that ships.

What differs by place stands in `WORKED`, reckoned by hand from the packs' articles and the official calendar of
2022; the tests ask it and hold no limit of their own.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import cases, motions, webhooks
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from shared.testing.wait import wait_until
from tests.cases_desk import cases_desk, tick
from tests.conftest import Processes
from tests.database import rows
from tests.motions_desk import (
    OTHER_COUNTY,
    PARTS,
    PATIENCE,
    SECRET_WORDS,
    START,
    TOPICS,
    WORDS,
    Congress,
    MotionLife,
    congress_of,
    said,
)
from tests.webhook_receiver import Delivered, Receiver, receiving

pytestmark = pytest.mark.timeout(300)

GOOD = {"attitude": "satisfied", "result": "mostly-satisfied"}
BAD = {"attitude": "satisfied", "result": "unsatisfied"}


@dataclass(frozen=True)
class Worked:
    """One place's rules for what happens in the tests: assigned on 2 March 2022, dates in China."""

    jurisdiction: str
    object_by: date
    opinion_by: date
    too_late_to_object: tuple[int, int]
    redo_by: date
    promising: motions.AnswerClass
    plain: motions.AnswerClass
    ground: str
    foreign_ground: str
    every_signer: bool
    late_counts: bool


WORKED = {
    # Ten days end on Saturday the 12th, two months within the holiday of 1 May: the next working day.
    "ningbo": Worked(
        "ningbo", date(2022, 3, 14), date(2022, 5, 5), (3, 15), date(2022, 6, 10), "C", "A", "bidding", "accusation", True, True
    ),
    # A month ends on Saturday 2 April, on which people worked for the holiday after it.
    "qingdao": Worked(
        "qingdao", date(2022, 3, 9), date(2022, 4, 2), (3, 10), date(2022, 6, 10), "C", "B", "forwarded", "bidding", False, True
    ),
    # Thirty working days with the make-up day and the three days of Qingming; two months end on a Sunday.
    "chongqing": Worked(
        "chongqing", date(2022, 3, 16), date(2022, 4, 14), (3, 17), date(2022, 7, 11), "B", "C", "accusation", "no-content", True, False
    ),
}  # fmt: skip
ANSWER_BY = date(2022, 6, 2)
"""Three months, in each of the three places."""

WEBHOOKS = {
    "WEBHOOK_LOOPBACK_ALLOWED": "true",
    "WEBHOOK_FIRST_SECONDS": "0.1",
    "WEBHOOK_POLL_SECONDS": "0.1",
    "WEBHOOK_TIMEOUT_SECONDS": "30",
}


@dataclass
class Place:
    """A congress under one place's rules."""

    congress: Congress
    rules: Worked

    def life(self, author: UUID | None = None, start: datetime = START) -> MotionLife:
        return MotionLife(self.congress, author, start)


@pytest_asyncio.fixture(scope="module", params=WORKED)
async def place(
    request: pytest.FixtureRequest,
    stack: LocalStack,
    processes: Processes,
    as_gateway: AIOKafkaProducer,
    issuer: Issuer,
) -> AsyncIterator[Place]:
    rules = WORKED[request.param]
    await tick(stack, START)  # the business clock stands there: nothing falls due while commands are sent
    async with (
        cases_desk(
            stack, processes, as_gateway, issuer, topics=TOPICS, JURISDICTION=rules.jurisdiction, **WEBHOOKS
        ) as desk,
        congress_of(desk, stack) as congress,
    ):
        yield Place(congress, rules)


def day_of(moment: str | None) -> date:
    """The day in China whose end a deadline is."""
    assert moment is not None
    return (datetime.fromisoformat(moment).astimezone(UTC) + timedelta(hours=8) - timedelta(seconds=1)).date()


def of_kind(shown: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [due for due in shown["deadlines"] if due["kind"] == kind]


async def test_a_bill_lives_from_the_draft_to_the_kept_promise(place: Place) -> None:
    life, rules = place.life(), place.rules
    author, *others = place.congress.county
    ten, declining = others[:9], others[9]

    # Written and signed: each co-signer confirms the very text.
    await life.did(life.draft("bill"), author)
    assert await life.status_for("staff") == 404, "a draft is its author's and theirs who were invited"
    assert await life.status_for(others[11]) == 404
    assert await life.say(motions.SubmitMotion(informed=True), author) == "too-few-signers"
    assert (
        await life.say(motions.InviteCosigners(deputies=(place.congress.stranger,)), author)
        == "deputy-unknown"
    )
    await life.did(motions.InviteCosigners(deputies=(*ten[:8], declining)), author)
    first = (await life.read(ten[0]))["digest"]
    assert await life.say(motions.CosignMotion(digest="0" * 64), ten[0]) == "text-changed"
    assert await life.say(motions.CosignMotion(digest=first), others[11]) == "not-invited"
    await life.did(motions.DeclineMotion(), declining)
    signed = await life.at_once([(motions.CosignMotion(digest=first), who) for who in ten[:8]])
    assert signed == ["accepted"] * 8
    assert await life.say(motions.SubmitMotion(informed=True), author) == "too-few-signers", "nine of ten"
    words = {**WORDS, **PARTS, "text": f"新的案文。{SECRET_WORDS}"}
    await life.did(motions.ReviseMotion(sealed=life.desk.sealer.seal(words)), author)
    await life.heard("motion.invited", 8, again=True)
    assert await life.say(motions.CosignMotion(digest=first), ten[0]) == "text-changed"
    second = (await life.read(author))["digest"]
    await life.did(motions.InviteCosigners(deputies=(ten[8],)), author)
    signed = await life.at_once(
        [(motions.CosignMotion(digest=second), who) for who in [*ten, ten[0], ten[1]]]
    )
    assert signed == ["accepted"] * 9 + ["not-invited"] * 2, "each signs once, however many sign at once"
    await life.did(motions.SubmitMotion(informed=True), author)
    submitted = (await life.heard("motion.submitted"))[0].data
    assert (submitted["kind"], len(submitted["signers"])) == ("bill", 10)
    cosigned = await life.heard("motion.cosigned", 9)
    assert {e.data["cosigner_id"] for e in cosigned} == {str(who) for who in ten}
    assert await life.say(motions.UncosignMotion(), ten[0]) == "step-not-possible"

    # Examined and assigned.
    life.on(3, 2)
    accept = motions.AcceptMotion(number="议12", turn=True, reason="转为建议")
    assert await life.say(accept, f"staff:{OTHER_COUNTY}") == "not-your-motion"
    assert await life.say(accept, author) == "role-not-allowed"
    await life.did(accept)
    turned = (await life.heard("motion.progressed", step="turned"))[0].data
    assert (turned["kind"], turned["turned"], turned["state"]) == ("suggestion", True, "accepted")
    assert await life.say(motions.AssignMotion(lead="nobody")) == "department-unknown"
    await life.did(motions.AssignMotion(lead="housing", co_handlers=("other",)))
    lead = await life.told("housing", "department.motion", role="lead")
    helping = await life.told("other", "department.motion", role="co-handler")
    assert (day_of(lead["due_at"]), day_of(helping["due_at"])) == (ANSWER_BY, rules.opinion_by)
    assert SECRET_WORDS in lead["text"]
    assert lead["due_reason"]

    # Who is no department of it has no say, through whichever door.
    contact = motions.ContactDeputy(on=date(2022, 3, 2), form="face-to-face", note=SECRET_WORDS)
    assert await life.say(contact, "roads") == "not-your-motion"
    refusal = await life.told("roads", "department.motion-refused")
    assert (refusal["code"], refusal["motion_id"]) == ("not-your-motion", str(life.id))
    assert await life.say(contact, "roads", through="gateway") == "not-your-motion"
    assert await life.say(contact, "other") == "not-your-motion", "a co-handler does not lead"
    assert await life.status_for("roads") == 404
    assert await life.say(cases.AnswerCase(result="solved", text="x"), "housing") == "case-unknown", (
        "what Open311 sends about a motion meets no case"
    )

    # Objected to and assigned anew: another clock for another department.
    assert day_of(of_kind(await life.read("staff"), "object")[0]["at"]) == rules.object_by
    await life.did(motions.ObjectToMotion(reason="职责不在我局"), "housing")
    await life.did(motions.AssignMotion(lead="roads", co_handlers=("other",), reason="重新交办"))
    await life.told("housing", "department.motion-told", step="recalled")
    await life.told("roads", "department.motion", role="lead")
    assert await life.status_for("housing") == 404
    assert await life.say(contact, "housing") == "not-your-motion"

    # Handled: contact before the answer, the co-handler's opinion, more time, key supervision.
    answer = motions.AnswerMotion(result=rules.promising, text="已列入计划。", signed_by="局长")
    assert await life.say(answer, "roads") == "contact-missing"
    await life.did(motions.GiveMotionOpinion(text="我局配合。"), "other")
    assert (await life.told("roads", "department.motion-told", step="opinion"))["text"] == "我局配合。"
    await life.did(contact, "roads")
    await life.did(motions.AskMotionExtension(more=1, reason="等专项资金"), "roads")
    assert await life.say(motions.AskMotionExtension(more=1, reason="再等"), "roads") == "extension-pending"
    await life.did(motions.DecideMotionExtension(granted=True, reason="同意"))
    longer = await life.told("roads", "department.motion-told", step="extension-granted")
    assert day_of(longer["due_at"]) == date(2022, 7, 4), "four months end on a Saturday"
    assert await life.say(motions.AskMotionExtension(more=3, reason="太久"), "roads") == "extension-too-long"
    await life.did(motions.SuperviseMotion(reason="民生重点"))
    await life.told("roads", "department.motion-told", step="supervised")

    # Answered with a promise, rated by each who may, handled a second time.
    life.on(5, 9)
    assert await life.say(answer, "roads") == "promise-missing"
    pledge = motions.PledgedItem(text=f"年底前装好{SECRET_WORDS}", due=date(2022, 9, 30))
    promising = answer.model_copy(update={"promises": (pledge,)})
    sent = life.message(promising, "roads")
    await life.send(sent, "roads")
    assert said(await life.outcome(sent.id)) == "accepted"
    answered = (await life.heard("motion.answered"))[0].data
    assert (answered["result"], answered["on_time"], answered["promises"]) == (rules.promising, True, 1)
    assert answered["to_every_signer"] is rules.every_signer
    await life.send(sent, "roads")
    assert said(await life.outcome(sent.id, 2)) == "accepted", "a repetition gets the first outcome"
    other_words = sent.model_copy(update={"data": {**sent.data, "text": "另一个答复"}})
    await life.send(other_words, "roads")
    assert said(await life.outcome(sent.id, 3)) == "command-id-reused"
    assert await life.say(motions.RateMotion(ratings={"attitude": "satisfied"}), author) == "ratings-wrong"
    by_cosigner = await life.say(motions.RateMotion(ratings=GOOD), ten[3])
    assert by_cosigner == ("accepted" if rules.every_signer else "not-your-motion")
    life.on(5, 10)
    await life.did(motions.RateMotion(ratings=BAD), author)
    again = await life.told("roads", "department.motion", round=2)
    assert day_of(again["due_at"]) == rules.redo_by
    assert await life.say(motions.RateMotion(ratings=GOOD), author) == "step-not-possible"
    assert await life.say(answer, "roads") == "contact-missing", "each round has its own contact"
    await life.did(motions.ContactDeputy(on=date(2022, 5, 10), form="inspection"), "roads")
    plain = motions.AnswerMotion(result=rules.plain, text="再次答复。", signed_by="局长")
    await life.did(plain, "roads")
    await life.did(motions.RateMotion(ratings=GOOD), author)
    rated = (await life.heard("motion.rated", by_lead=True, rated_round=2))[0].data
    assert (rated["state"], rated["ratings"]) == ("closed", GOOD)

    # What was promised outlives the handling and is rated by itself.
    life.on(9, 20)
    report = motions.ReportPromise(promise=1, outcome="kept", text="三部电梯已装好。")
    assert await life.say(motions.RatePromise(promise=1, rating="satisfied"), author) == "promise-unknown"
    assert await life.say(report, "housing") == "not-your-motion"
    await life.did(report, "roads")
    await life.did(motions.RatePromise(promise=1, rating="satisfied"), author)
    await life.told("roads", "department.motion-told", step="promise-rated")

    shown = await life.read("staff")
    assert (shown["state"], shown["round"], shown["lead"], shown["supervised"]) == (
        "closed",
        2,
        "roads",
        True,
    )
    assert [a["round"] for a in shown["answers"]] == [1, 2], "the repeated command had one effect"
    (promise,) = shown["promises"]
    assert (promise["state"], promise["rating"]) == ("kept", "satisfied")
    assert SECRET_WORDS in promise["text"]
    assert all(due["reason"] for due in shown["deadlines"])
    assert not [due for due in shown["deadlines"] if due["ended"] is None]
    assert [step["number"] for step in shown["steps"]] == list(range(1, shown["version"] + 1))
    passer_by = await life.read(others[11])
    assert passer_by["steps"] == []
    assert "cosigners" not in passer_by
    assert len(passer_by["answers"]) == 2, "what was answered publicly is for every deputy"
    events = [e.data for t in TOPICS if t.startswith("motion.") for e in life.desk.log.of(t, life.id)]
    assert SECRET_WORDS not in json.dumps(events, ensure_ascii=False)


async def test_a_deputys_lists_tell_invitations_signatures_and_what_waits(place: Place) -> None:
    life, rules = place.life(), place.rules
    author, signer, asked, *_ = place.congress.county

    async def listed(who: UUID, mine: str) -> bool:
        status, found = await place.congress.get("/motions", who, mine=mine, size="200")
        assert status == 200, found
        return str(life.id) in {one["id"] for one in found["items"]}

    async def waits() -> list[bool]:
        return [await listed(who, "waiting") for who in (author, signer, asked)]

    await life.did(life.draft(), author)
    await life.did(motions.InviteCosigners(deputies=(signer, asked)), author)
    assert await listed(signer, "invited")
    assert not await listed(author, "invited")
    assert await waits() == [False, True, True], "who is invited is waited for"
    digest = (await life.read(signer))["digest"]
    await life.did(motions.CosignMotion(digest=digest), signer)
    assert (await listed(signer, "invited"), await listed(signer, "signed")) == (False, True)
    assert await waits() == [False, False, True]
    await life.did(motions.SubmitMotion(informed=True), author)
    assert not await listed(asked, "invited"), "what is submitted takes no more signatures"
    await life.did(motions.GiveBackMotion(reason="请补充案由"))
    assert await waits() == [True, False, True], "given back, it waits for its author"
    await life.did(motions.SubmitMotion(informed=True), author)
    await life.did(motions.AcceptMotion(number=f"建议{life.id.hex[:6]}"))
    await life.did(motions.AssignMotion(lead="housing"))
    assert await waits() == [False] * 3
    pledge = motions.PledgedItem(text="年底前装好", due=date(2022, 9, 30))
    await life.answered(result=rules.promising, promises=(pledge,))
    assert await waits() == [True, rules.every_signer, False], "an answer waits for its ratings"
    await life.did(motions.RateMotion(ratings=GOOD), author)
    assert (await waits())[0] is False
    await life.did(motions.ReportPromise(promise=1, outcome="kept", text="已装好。"), "housing")
    assert (await waits())[0] is True, "a promise that was reported waits to be rated"
    await life.did(motions.RatePromise(promise=1, rating="satisfied"), author)
    assert await waits() == [False] * 3
    status, _ = await place.congress.get("/motions", "staff", mine="waiting")
    assert status == 403


async def test_levels_and_kinds_need_as_many_signers_as_the_pack_says(place: Place) -> None:
    first, *others = place.congress.town
    bill = place.life(first)
    await bill.did(bill.draft("bill"), first)
    await bill.did(motions.InviteCosigners(deputies=tuple(others)), first)
    assert await bill.say(motions.InviteCosigners(deputies=(others[0],)), first) == "already-signed"
    digest = (await bill.read(first))["digest"]
    for who in others[:3]:
        await bill.did(motions.CosignMotion(digest=digest), who)
    assert await bill.say(motions.SubmitMotion(), first) == "too-few-signers"
    await bill.did(motions.CosignMotion(digest=digest), others[3])
    await bill.did(motions.UncosignMotion(), others[3])
    assert await bill.say(motions.SubmitMotion(), first) == "too-few-signers"
    await bill.did(motions.CosignMotion(digest=digest), others[4])
    await bill.did(motions.SubmitMotion(), first)
    assert len((await bill.heard("motion.submitted"))[0].data["signers"]) == 5
    alone = place.life(first)
    await alone.submitted()
    without = place.life(first)
    words = without.desk.sealer.seal(WORDS)
    await without.did(motions.DraftMotion(sealed=words, kind="bill"), first)
    assert await without.say(motions.SubmitMotion(), first) == "parts-missing"


async def test_examination_returns_a_motion_or_refuses_it_on_a_listed_ground_alone(place: Place) -> None:
    life, rules = place.life(), place.rules
    await life.submitted()
    await life.did(motions.GiveBackMotion(reason="请补充依据"))
    assert await life.status_for("staff") == 404, "back with its author it is a draft again"
    assert await life.say(motions.AcceptMotion(number="1")) == "step-not-possible"
    await life.did(motions.SubmitMotion(informed=True), life.author)
    assert await life.say(motions.AcceptMotion(number="1", turn=True)) == "not-a-bill"
    assert await life.say(motions.RefuseMotion(ground=rules.foreign_ground)) == "ground-unknown"
    await life.did(motions.RefuseMotion(ground=rules.ground, reason="不属于建议范围"))
    told = (await life.heard("motion.progressed", step="refused"))[0].data
    assert (told["state"], told["ground"]) == ("not-accepted", rules.ground)
    assert await life.say(motions.AssignMotion(lead="housing")) == "step-not-possible"
    assert await life.say(motions.WithdrawMotion(reason="算了"), life.author) == "step-not-possible"


async def test_an_objection_after_its_time_is_refused_and_a_late_answer_is_late(place: Place) -> None:
    life, rules = place.life(), place.rules
    life.on(3, 2)
    await life.assigned("housing", "roads")
    life.on(*rules.too_late_to_object, 1)
    assert await life.say(motions.ObjectToMotion(reason="不是我们的"), "housing") == "too-late"
    assert await life.say(motions.ObjectToMotion(reason="不是我们的"), "roads") == "too-late"
    life.on(6, 6)
    assert await life.say(motions.AskMotionExtension(more=1, reason="再等"), "housing") == "too-late"
    await life.answered("housing", rules.plain)
    assert (await life.heard("motion.answered"))[0].data["on_time"] is False
    life.on(12, 30)
    await life.did(motions.RateMotion(ratings=GOOD), life.author)
    rated = (await life.heard("motion.rated"))[0].data
    assert rated["late"] is not rules.late_counts, (
        "only a place with a limit for feedback knows late feedback"
    )


async def test_a_secret_motion_is_seen_by_its_people_and_departments_alone(place: Place) -> None:
    life, rules = place.life(), place.rules
    _, invited, passer_by, *_ = place.congress.county
    await life.did(life.draft(secret=True), life.author)
    await life.did(motions.InviteCosigners(deputies=(invited,)), life.author)
    digest = (await life.read(invited))["digest"]
    await life.did(motions.CosignMotion(digest=digest), invited)
    await life.did(motions.SubmitMotion(informed=True), life.author)
    await life.did(motions.AcceptMotion(number="密1"))
    await life.did(motions.AssignMotion(lead="housing"))
    assert await life.status_for(passer_by) == 404
    assert await life.status_for(f"staff:{OTHER_COUNTY}") == 404
    seen = {
        who: [one["id"] for one in (await place.congress.get("/motions", who, size="200"))[1]["items"]]
        for who in (passer_by, invited, "housing", "other")
    }
    assert [str(life.id) in ids for ids in seen.values()] == [False, True, True, False]
    await life.contacted()
    public = motions.AnswerMotion(result=rules.plain, text="答复", signed_by="局长")
    assert await life.say(public, "housing") == "secret-not-public"
    await life.did(public.model_copy(update={"public": False}), "housing")
    assert (await life.heard("motion.answered"))[0].data["secret"] is True


async def test_what_departments_and_signers_do_at_the_same_moment_each_counts_once(place: Place) -> None:
    life = place.life()
    await life.assigned("housing", "other", "roads")
    contact = motions.ContactDeputy(on=(life.now + timedelta(hours=8)).date(), form="phone")
    opinion = motions.GiveMotionOpinion(text="配合")
    became = await life.at_once(
        [
            (contact, "housing"),
            (opinion, "other"),
            (opinion, "roads"),
            (opinion, "other"),
            (motions.SuperviseMotion(reason="重点"), "staff"),
            (motions.WithdrawMotion(reason="撤"), place.congress.county[1]),
        ]
    )
    assert sorted(became) == sorted(["accepted"] * 4 + ["opinion-given", "not-your-motion"])
    shown = await life.read("staff")
    assert [step["number"] for step in shown["steps"]] == list(range(1, shown["version"] + 1))
    steps = [step["step"] for step in shown["steps"]]
    assert sorted(steps[-4:]) == ["contacted", "opinion", "opinion", "supervised"]


async def test_the_figures_of_a_session_are_those_counted_by_hand(place: Place) -> None:
    rules = place.rules
    begin = START.replace(year=2023 + list(WORKED).index(rules.jurisdiction))  # a session of each place's own
    good, unsatisfied, late, refused, silent = (place.life(start=begin) for _ in range(5))
    for life in (good, unsatisfied, late, silent):
        await life.assigned("housing")
    await refused.submitted()
    await refused.did(motions.RefuseMotion(ground=rules.ground))
    for life, month in ((good, 4), (unsatisfied, 4), (late, 8)):
        life.on(month, 6)
        pledge = motions.PledgedItem(text="年底前完成", due=date(begin.year, 8, 31))
        await life.answered("housing", rules.promising, promises=(pledge,))
        life.on(month, 7)
    await good.did(motions.RateMotion(ratings=GOOD), good.author)
    await unsatisfied.did(motions.RateMotion(ratings=BAD), unsatisfied.author)
    good.on(9, 10)
    await good.did(motions.ReportPromise(promise=1, outcome="kept", text="已完成"), "housing")
    query = {
        "from": begin.isoformat(),
        "until": (begin + timedelta(days=30)).isoformat(),
        "at": (begin + timedelta(days=230)).isoformat(),
    }
    status, told = await place.congress.get("/motion-report", "staff", **query)
    assert status == 200, told
    assert told["submitted"]["total"] == 5
    period = {"from": query["from"], "until": query["until"]}
    assert (await place.congress.get("/motions", "staff", **period))[1]["total"] == 5
    _, names = await place.congress.get("/motion-rules", "housing")
    assert rules.ground in names["grounds"]
    assert rules.promising in names["promising"]
    assert set(told["satisfaction"]) == set(names["axes"])
    assert told["submitted"]["kinds"] == {"suggestion": {"county": 5}}
    assert (told["accepted"], told["turned"], told["not_accepted"]) == (4, 0, {rules.ground: 1})
    on_time = told["on_time"]
    assert (on_time["numerator"], on_time["denominator"]) == (2, 4), "one late, one overdue and silent"
    assert told["classes"][rules.promising] == 3
    assert told["redone"] == 1
    assert told["promises"] == {"made": 3, "kept": 1, "overdue": 2}
    by_axis = {axis: (one["numerator"], one["denominator"]) for axis, one in told["satisfaction"].items()}
    if rules.late_counts:  # without a limit for feedback the third may still rate
        assert by_axis == {"attitude": (2, 2), "result": (1, 2)}
    else:
        assert by_axis == {"attitude": (2, 2), "result": (1, 2)}
        assert told["satisfaction"]["result"]["left_out"]["unstated"] == 1
    elsewhere = await place.congress.get("/motion-report", f"staff:{OTHER_COUNTY}", **query)
    assert elsewhere[1]["submitted"]["total"] == 0
    assert (await place.congress.get("/motion-report", place.congress.county[0], **query))[0] == 403


async def test_a_case_becomes_a_motion_or_a_project_lead_and_keeps_its_lineage(place: Place) -> None:
    desk, life = place.congress.desk, place.life()
    filer, other = place.congress.county[:2]
    case_id = uuid4()
    assert (await desk.ask(desk.filing(filer, case_id, time=START))).state == "accepted"
    foreign = place.life(other)
    assert await foreign.say(foreign.draft(from_case=case_id), other) == "case-not-yours"
    assert await foreign.say(foreign.draft(from_case=uuid4()), other) == "case-not-yours"

    async def referred() -> list[dict[str, Any]]:
        told = [e.data for e in desk.log.messages.get("case.referred", [])]
        return [one for one in told if one["case_id"] == str(case_id)]

    await life.did(life.draft(from_case=case_id), filer)
    assert await referred() == [], "a draft is nobody else's business"
    own = (await place.congress.get("/motions", filer, from_case=str(case_id)))[1]["items"]
    assert [one["id"] for one in own] == [str(life.id)]
    assert (await place.congress.get("/motions", "staff", from_case=str(case_id)))[1]["items"] == []
    assert (await place.congress.get("/motions", filer, from_case=str(uuid4())))[1]["items"] == []
    await life.did(motions.SubmitMotion(informed=True), filer)

    (told,) = await wait_until(referred, what="case.referred", seconds=PATIENCE)
    assert (told["became"], told["motion_id"]) == ("motion", str(life.id))
    await life.did(motions.GiveBackMotion(reason="补充"))
    await life.did(motions.SubmitMotion(informed=True), filer)

    async def lead(who: str | UUID, referral: UUID) -> str:
        sent = message(
            motions.ReferCase(case_id=case_id, reason="列入民生实事"),
            subject=referral,
            token=place.congress.token(who),
        )
        return said(await desk.ask(sent))

    referral = uuid4()
    assert await lead(other, referral) == "case-not-yours"
    assert await lead(f"staff:{OTHER_COUNTY}", referral) == "case-not-yours"
    assert await lead("staff", referral) == "accepted"
    assert await lead("staff", referral) == "referral-exists"
    shown = (await place.congress.get(f"/case-referrals/{case_id}", "staff"))[1]["items"]
    assert [one["became"] for one in shown] == ["motion", "project-lead"], (
        "submitting again is no second motion"
    )
    assert (await life.read("staff"))["from_case"] == str(case_id)
    assert (await place.congress.get(f"/case-referrals/{case_id}", other))[1]["items"] == []


@pytest_asyncio.fixture(scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def test_a_motions_messages_come_to_its_departments_webhook_signed_and_in_order(
    place: Place, receiver: Receiver, stack: LocalStack
) -> None:
    desk, secret = place.congress.desk, f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    addresses = {code: uuid4() for code in ("housing", "roads")}
    for code, webhook in addresses.items():
        register = webhooks.RegisterWebhook(
            url=f"{receiver.url}/{place.rules.jurisdiction}/{code}",
            sealed=desk.sealer.seal({"secret": secret}),
        )
        sent = message(register, subject=webhook, token=place.congress.token(code))
        assert (await desk.ask(sent)).state == "accepted"
    life = place.life()
    await life.assigned("housing", "other")
    await life.did(motions.GiveMotionOpinion(text=SECRET_WORDS), "other")
    await life.did(motions.SuperviseMotion(reason="重点"))
    path = f"/{place.rules.jurisdiction}/housing"

    async def came() -> list[Delivered]:
        found = receiver.to(path, life.id)
        return found if len(found) >= 3 else []

    found = await wait_until(came, what="three deliveries", seconds=PATIENCE)
    assert [one.event["type"] for one in found] == ["department.motion", *["department.motion-told"] * 2]
    assert [one.event["data"].get("step") for one in found] == [None, "opinion", "supervised"]
    assert all(one.signed_by(secret) for one in found)
    await life.told("housing", "department.motion-told", step="supervised")
    on_topic = desk.log.of("department.housing.routed", life.id)
    assert [one.id for one in found] == [str(e.id) for e in on_topic], "the very messages of the topic"
    assert receiver.to(f"/{place.rules.jurisdiction}/roads", life.id) == [], "nobody else's webhook is told"
    resting = await rows(
        stack, "cases", "SELECT sealed FROM webhook_deliveries WHERE case_id = $1", str(life.id)
    )
    assert len(resting) == 3
    assert SECRET_WORDS not in str(resting)
    for code, webhook in addresses.items():
        gone = message(webhooks.RemoveWebhook(), subject=webhook, token=place.congress.token(code))
        assert (await desk.ask(gone)).state == "accepted"


async def test_every_accepted_command_left_one_step_and_every_deadline_a_reason(
    place: Place, stack: LocalStack
) -> None:
    whole = await rows(
        stack, "cases",
        "SELECT m.id FROM motions m LEFT JOIN motion_steps s ON s.motion_id = m.id "
        "GROUP BY m.id, m.version HAVING count(s.number) <> m.version OR max(s.number) <> m.version",
    )  # fmt: skip
    assert whole == []
    assert await rows(stack, "cases", "SELECT 1 FROM motion_deadlines WHERE reason = '' OR at <= begin") == []
