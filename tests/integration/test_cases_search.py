"""Finding cases by words that rest sealed, and cases about the same, on a running service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from services.cases import queries
from services.cases.domain import ANSWER_OWED
from services.cases.search import queries as search
from services.cases.search.grams import Keyed
from services.cases.search.indexing import index_some, use_key
from shared.contracts import cases
from shared.receipts import receipt_of, shown
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from tests.cases_inside import Inside, cases_inside

SHARES_STACK = True
START = datetime(2022, 3, 1, 1, tzinfo=UTC)
HAISHU, JIANGBEI = "330203", "330205"
TOWN = "330203001"
DEPUTY, NEIGHBOUR = uuid4(), uuid4()
TEXTS = {
    "hole": "环城西路与柳汀街路口的窨井盖破损，路面塌陷，请尽快维修。",
    "same hole": "柳汀街环城西路口窨井盖坏了，路面塌陷，老人走路危险。",
    "noise": "广场舞音响声音太大，晚上十点还在跳，影响休息。",
    "bus": "希望增加 BUS 821 路夜班车，Ａ座门口设站。",
    "quoted": "楼道里贴着 '); DROP TABLE cases; -- 的小广告 100%_ok",
    "jiangbei": "江北大道的路灯不亮，夜里很黑。",
}
IDS = {name: uuid4() for name in TEXTS}


@pytest_asyncio.fixture(scope="module")
async def there(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Inside]:
    async with cases_inside(stack, issuer, now=START + timedelta(hours=2)) as found:
        filings = [
            found.filing(
                IDS[name],
                text,
                county=JIANGBEI if name == "jiangbei" else HAISHU,
                town=TOWN if "hole" in name else None,
                deputy=NEIGHBOUR if name == "same hole" else DEPUTY,
                at=START + timedelta(minutes=number),
            )
            for number, (name, text) in enumerate(TEXTS.items())
        ]
        assert set(await found.tell(*filings)) == {"accepted"}
        await found.index()
        yield found


async def found(there: Inside, q: str, *roles: Any, **more: Any) -> set[str]:
    """The names of the cases that a search finds."""
    status, body = await there.ask("/cases", *roles, q=q, **more)
    assert status == 200, body
    names = {str(case_id): name for name, case_id in IDS.items()}
    return {names[item["id"]] for item in body["items"]}


async def say(there: Inside, name: str, data: Any, *roles: Any, person: UUID | None = None) -> str:
    (told,) = await there.tell(
        there.command(data, IDS[name], *roles, person=person, at=START + timedelta(hours=1))
    )
    return told


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("窨井盖", {"hole", "same hole"}),
        ("窨井盖破损", {"hole"}),
        ("塌陷 柳汀街", {"hole", "same hole"}),
        ("塌陷 破损", {"hole"}),
        ("路", {"hole", "same hole", "bus", "jiangbei"}),
        ("821", {"bus"}),
        ("bus", {"bus"}),
        ("A座", {"bus"}),
        ("8 2 1", {"bus"}),
        ("drop table cases", {"quoted"}),
        ("'); DROP TABLE cases; --", {"quoted"}),
        ("100%_ok", {"quoted"}),
        ("盖井", set()),
        ("路窨", set()),
        ("反映", set(TEXTS)),
        ("反", set(TEXTS)),
        ("13800000000", set()),
        ("𠮷野家 zzz", set()),
    ],
)
async def test_a_search_finds_exactly_the_cases_with_its_words(
    there: Inside, q: str, expected: set[str]
) -> None:
    assert await found(there, q) == expected


async def test_a_receipt_number_finds_its_case_beside_those_whose_words_have_it(there: Inside) -> None:
    receipt = receipt_of(2**54 + 821)
    await there.rows("UPDATE cases SET receipt = $1 WHERE id = $2", receipt, IDS["noise"])
    try:
        for typed in (receipt, shown(receipt), f" {shown(receipt).lower()} "):
            assert await found(there, typed) == {"noise"}
        _, body = await there.ask("/cases", q=receipt)
        assert (body["total"], body["items"][0]["receipt"]) == (1, receipt)
        assert await found(there, receipt, state="closed") == set(), "under the other filters"
        assert await found(there, receipt, "staff", org=JIANGBEI) == set()
        assert await found(there, receipt[:-1]) == set()
        assert await found(there, receipt_of(2**54 + 822)) == set()
    finally:
        await there.rows("UPDATE cases SET receipt = NULL WHERE id = $1", IDS["noise"])


@pytest.mark.parametrize("q", ["！？", "  ", "%%%", "___", ";--"])
async def test_a_query_without_a_letter_is_refused_and_not_taken_for_everything(
    there: Inside, q: str
) -> None:
    status, body = await there.ask("/cases", q=q)
    assert (status, body["code"]) == (422, "query-without-words")


async def test_a_search_shows_each_role_only_what_its_list_shows(there: Inside) -> None:
    assert await found(there, "塌陷", "deputy", person=DEPUTY) == {"hole"}
    assert await found(there, "塌陷", "deputy", person=uuid4()) == set()
    assert await found(there, "路", "staff", org=JIANGBEI) == {"jiangbei"}
    assert await found(there, "路", "staff", org="3302") == {"hole", "same hole", "bus", "jiangbei"}
    assert await found(there, "路", "staff", org=TOWN) == {"hole", "same hole"}
    assert await found(there, "路", "staff", org="3301") == set()
    assert await found(there, "塌陷", "department", org="nobody") == set()
    assert await found(there, "塌陷", "department", org="housing") == {"hole", "same hole"}
    status, body = await there.ask(f"/cases/{IDS['hole']}", "staff", org=JIANGBEI)
    assert (status, body["code"]) == (403, "not-your-case")


async def test_of_the_cases_asked_for_by_id_those_come_that_one_may_see_and_too_many_are_refused(
    there: Inside,
) -> None:
    ids = [str(one) for one in IDS.values()]

    async def among(asked: Any, *roles: Any, **more: Any) -> set[str]:
        _, body = await there.ask("/cases", *roles, among=asked, **more)
        return {name for name, case_id in IDS.items() if str(case_id) in {one["id"] for one in body["items"]}}

    assert await among(",".join(ids)) == await among(ids) == set(TEXTS)
    assert await among(",".join([*ids[:2], str(uuid4())])) == {"hole", "same hole"}
    assert await among(",".join(ids), "staff", org=JIANGBEI) == {"jiangbei"}
    assert await among(",".join(ids), "deputy", person=NEIGHBOUR) == {"same hole"}
    assert await among(",".join(ids), "deputy", person=uuid4()) == set()
    assert await among(",".join(ids), "department", org="nobody") == set()
    assert await among(ids[0], q="塌陷") == {"hole"}, "beside other filters"
    for wrong in (",".join(str(uuid4()) for _ in range(101)), "", f"{ids[0]},x"):
        status, body = await there.ask("/cases", among=wrong)
        assert (status, body["code"]) == (422, "invalid-request")
        assert body["errors"][0]["place"].startswith("query.among")


async def test_staff_act_on_cases_of_their_own_area_alone(there: Inside) -> None:
    here, elsewhere, part = uuid4(), uuid4(), uuid4()
    at = START + timedelta(hours=1)

    async def tell(data: Any, case_id: UUID, org: str) -> str:
        return (await there.tell(there.command(data, case_id, "staff", org=org, at=at)))[0]

    await there.tell(
        there.filing(here, TEXTS["hole"], deputy=DEPUTY, county=HAISHU, town=TOWN, at=START),
        there.filing(elsewhere, TEXTS["hole"], deputy=DEPUTY, county=JIANGBEI, at=START),
    )
    try:
        supervise = cases.SuperviseCase(reason="请抓紧办理")
        for org in (JIANGBEI, "3301", "330203002"):
            assert await tell(supervise, here, org) == "not-your-case"
        assert await tell(supervise, here, TOWN) == "accepted"
        sealed = Sealer(there.opener.public_jwk).seal({"title": "另一件", "text": "路灯不亮"})
        split = cases.SplitCase(out_of=here, sealed=sealed)
        assert await tell(split, part, JIANGBEI) == "not-your-case"
        merge, gather = cases.MergeCase(into=elsewhere), cases.GatherCases(cases=(here,))
        for org in (HAISHU, JIANGBEI):  # each has one of the two
            assert await tell(merge, here, org) == "not-your-case"
            assert await tell(gather, elsewhere, org) == "not-your-case"
        assert await tell(merge, here, "3302") == "accepted"
    finally:
        await there.rows("DELETE FROM cases WHERE id IN ($1, $2)", here, elsewhere)


async def test_a_deputy_who_is_staff_elsewhere_goes_on_as_a_deputy(there: Inside) -> None:
    case_id, at = uuid4(), START + timedelta(hours=1)

    async def tell(data: Any, person: UUID) -> str:
        sent = there.command(data, case_id, "deputy", "staff", person=person, org=JIANGBEI, at=at)
        return (await there.tell(sent))[0]

    await there.tell(there.filing(case_id, TEXTS["hole"], deputy=DEPUTY, county=HAISHU, at=START))
    try:
        assert await tell(cases.SuperviseCase(reason="请抓紧办理"), DEPUTY) == "not-your-case"
        assert await tell(cases.UrgeCase(reason="请抓紧办理"), uuid4()) == "not-your-case"
        assert await tell(cases.UrgeCase(reason="请抓紧办理"), DEPUTY) == "accepted"
        assert await tell(cases.JoinCase(), NEIGHBOUR) == "accepted"
    finally:
        await there.rows("DELETE FROM cases WHERE id = $1", case_id)


def _look_through(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Let so few of a list be looked through that a handful of cases are a long list."""
    monkeypatch.setattr(search, "LOOKED_THROUGH", most)
    monkeypatch.setattr(search, "SAMPLED", min(most, 1_000))


async def test_cases_that_wait_to_be_hashed_leave_numbered_pages_and_totals_right(
    there: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [uuid4() for _ in range(3)]
    filings = [
        there.filing(one, "等待编入索引", deputy=DEPUTY, county=HAISHU, at=START + timedelta(hours=1))
        for one in waiting
    ]
    await there.tell(*filings)
    try:
        for looked_through in (3_000, 1):
            _look_through(monkeypatch, looked_through)
            found = [await there.ask("/cases", q="路", size="2", page=number) for number in (1, 2, 3)]
            ids = [item["id"] for _, body in found for item in body["items"]]
            assert sorted(ids) == sorted(str(IDS[n]) for n in ("hole", "same hole", "bus", "jiangbei"))
        _look_through(monkeypatch, 3_000)
        assert (await there.ask("/cases", q="路"))[1]["total"] == 4
    finally:
        await there.rows("DELETE FROM cases WHERE id = ANY($1)", waiting)


async def test_a_list_can_begin_with_what_has_waited_longest(there: Inside) -> None:
    _, newest = await there.ask("/cases", size=500)
    _, oldest = await there.ask("/cases", size=500, sort="oldest")
    filed = [item["filed_at"] for item in oldest["items"]]
    assert filed == sorted(filed)
    assert [item["id"] for item in oldest["items"]] == [item["id"] for item in newest["items"]][::-1]


async def test_what_is_owed_is_the_states_in_which_a_department_has_to_answer(there: Inside) -> None:
    _, body = await there.ask("/cases", size=500)
    states = {item["id"]: item["state"] for item in body["items"]}
    _, owed = await there.ask("/cases", size=500, owed="true")
    expected = {case_id for case_id, state in states.items() if state in ANSWER_OWED}
    assert expected != set(states)
    assert {item["id"] for item in owed["items"]} == expected
    status, late = await there.ask("/cases", owed="true", overdue="true")
    assert (status, {item["id"] for item in late["items"]} <= expected) == (200, True)


async def test_a_search_takes_the_filters_of_the_list(there: Inside) -> None:
    until = (START + timedelta(minutes=1)).isoformat()
    assert await found(there, "塌陷", filed_until=until) == {"hole"}
    assert await found(there, "塌陷", filed_from=until) == {"same hole"}
    assert await found(there, "路", place=TOWN) == {"hole", "same hole"}
    assert await found(there, "路", place="3302") == {"hole", "same hole", "bus", "jiangbei"}
    assert await found(there, "路", county=JIANGBEI) == {"jiangbei"}
    assert await found(there, "路", deputy=str(NEIGHBOUR)) == {"same hole"}
    assert await found(there, "路", overdue="true") == set()


@pytest.mark.parametrize("sort", ["newest", "oldest", "deadline"])
async def test_pages_by_position_show_every_case_once(there: Inside, sort: str) -> None:
    seen: list[str] = []
    asked: dict[str, Any] = {"size": 2, "q": "反映", "sort": sort}
    while True:
        status, body = await there.ask("/cases", **asked)
        assert status == 200, body
        seen += [item["id"] for item in body["items"]]
        if body["next"] is None:
            break
        assert len(body["items"]) == 2
        asked = dict(parse_qsl(body["next"].removeprefix("?")))
    assert sorted(seen) == sorted(str(case_id) for case_id in IDS.values())


@pytest.mark.parametrize("looked_through", [1, 2, 4])
@pytest.mark.parametrize("common", [1, 50])
@pytest.mark.parametrize(("few", "parts", "long"), [(0, 1, 0), (0, 9, 0), (20, 1, 0), (0, 1, 100)])
async def test_looking_through_a_list_and_asking_the_index_of_words_find_the_same(
    there: Inside,
    monkeypatch: pytest.MonkeyPatch,
    looked_through: int,
    few: int,
    parts: int,
    long: int,
    common: int,
) -> None:
    _look_through(monkeypatch, looked_through)
    monkeypatch.setattr(search, "COMMON", common)
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "PARTS_MAX", parts)
    monkeypatch.setattr(search, "LONG", long)
    assert await found(there, "路") == {"hole", "same hole", "bus", "jiangbei"}
    assert await found(there, "路", place=TOWN) == {"hole", "same hole"}
    assert await found(there, "窨井盖破损") == {"hole"}
    assert await found(there, "音响") == {"noise"}
    assert await found(there, "13800000000") == set()
    for sort in ("newest", "oldest", "deadline"):
        _, whole = await there.ask("/cases", q="反映", sort=sort)
        _, first = await there.ask("/cases", q="反映", sort=sort, size=3)
        _, second = await there.ask("/cases", q="反映", sort=sort, size=3, page=2)
        ids = [item["id"] for item in whole["items"]]
        assert len(ids) == len(TEXTS)
        assert [item["id"] for item in (*first["items"], *second["items"])] == ids
        assert (whole["total"] >= min(looked_through, len(TEXTS)), whole["total_is_estimate"]) == (True, True)


async def test_where_few_of_a_list_have_common_words_no_page_leaves_one_out(
    there: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By position and by number, with parts so small that most of them have none."""
    _look_through(monkeypatch, 1)
    monkeypatch.setattr(search, "FEW", 0)
    _, whole = await there.ask("/cases", q="路")
    expected = [item["id"] for item in whole["items"]]
    assert len(expected) == 4
    seen: list[str] = []
    asked = {"size": "1", "q": "路"}
    while asked:
        status, body = await there.ask("/cases", **asked)
        assert status == 200, body
        seen += [item["id"] for item in body["items"]]
        asked = dict(parse_qsl((body["next"] or "").removeprefix("?")))
    assert seen == expected
    numbered = [await there.ask("/cases", q="路", size="1", page=number) for number in range(1, 5)]
    assert [item["id"] for _, body in numbered for item in body["items"]] == expected


async def walked(
    there: Inside, *roles: Any, org: str | None = None, person: object = None, **asked: str
) -> list[str]:
    """The cases of a list, page by page by position."""
    seen: list[str] = []
    while asked:
        status, body = await there.ask("/cases", *roles, org=org, person=person, **asked)
        assert status == 200, body
        seen += [item["id"] for item in body["items"]]
        asked = dict(parse_qsl((body["next"] or "").removeprefix("?")))
    return seen


async def test_marks_follow_a_case_so_that_each_way_finds_the_same(
    there: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose, where and what a case is changes after its words were hashed; every kind of filter is asked."""
    ids = [uuid4() for _ in range(7)]
    plain, moved, helped, elsewhere, other, gone, early = ids
    filed = {early: START - timedelta(days=40)}
    filings = [
        there.filing(one, "有标记的鼹鼠", deputy=DEPUTY, county=HAISHU, town=TOWN, at=filed.get(one, START))
        for one in ids
    ]
    await there.tell(*filings)
    await there.index()
    changes = {
        moved: "department = 'water'",
        helped: """department = 'water', co_handlers = '["roads"]'""",
        elsewhere: f"county = '{JIANGBEI}', town = '{JIANGBEI}001001'",
        other: "category = '环境保护'",
        gone: "state = 'withdrawn'",
        plain: "state = 'closed'",
    }
    stale = "SELECT id FROM cases JOIN case_words ON id = case_id WHERE marks <> case_marks(cases)"
    february = {"filed_from": "2022-01-01T00:00:00Z", "filed_until": "2022-02-01T00:00:00Z"}
    asked: list[tuple[tuple[Any, ...], dict[str, Any], set[UUID]]] = [
        ((), {}, set(ids)),
        (("department",), {"org": "water"}, {moved, helped}),
        (("department",), {"org": "roads"}, {helped}),
        ((), {"department": "water"}, {moved, helped}),
        ((), {"org": JIANGBEI}, {elsewhere}),
        ((), {"county": HAISHU, "category": "环境保护"}, {other}),
        ((), {"place": f"{JIANGBEI}001"}, {elsewhere}),
        ((), {"place": f"{JIANGBEI}001001"}, {elsewhere}),
        ((), {"place": "3302"}, set(ids)),
        ((), {"state": "withdrawn"}, {gone}),
        ((), {"state": "closed"}, {plain}),
        ((), {**february}, {early}),
        (("staff", "deputy"), {"org": JIANGBEI, "person": DEPUTY}, set(ids)),
        (("deputy",), {"org": JIANGBEI, "person": DEPUTY}, set(ids)),
    ]
    try:
        for one, change in changes.items():
            await there.rows(f"UPDATE cases SET {change} WHERE id = $1", one)
        assert await there.rows(stale) == []
        for roles, more, expected in asked:
            for sort in ("newest", "oldest", "deadline"):
                answers = []
                for looked_through, few in ((3_000, 0), (1, 20), (1, 0)):
                    _look_through(monkeypatch, looked_through)
                    monkeypatch.setattr(search, "FEW", few)
                    monkeypatch.setattr(search, "RARE", 20)
                    monkeypatch.setattr(search, "PARTS_MAX", 1)
                    monkeypatch.setattr(search, "LONG", 0)
                    answers.append(await walked(there, *roles, q="鼹鼠", sort=sort, size="3", **more))
                assert answers[0] == answers[1] == answers[2], (roles, more, sort)
                assert set(answers[0]) == set(map(str, expected)), (roles, more, sort)
        await there.rows("UPDATE cases SET department = NULL, state = 'triage' WHERE id = ANY($1)", ids)
        assert await there.rows(stale) == []
    finally:
        await there.rows("DELETE FROM cases WHERE id = ANY($1)", ids)


@pytest.mark.parametrize(("looked_through", "few"), [(3_000, 20), (1, 0), (1, 20)])
async def test_a_case_is_found_before_its_words_are_hashed(
    there: Inside, monkeypatch: pytest.MonkeyPatch, looked_through: int, few: int
) -> None:
    _look_through(monkeypatch, looked_through)
    monkeypatch.setattr(search, "FEW", few)
    case_id = uuid4()
    await there.tell(there.filing(case_id, "刚刚看见的鼹鼠", deputy=DEPUTY, county=HAISHU, at=START))
    try:
        assert await there.rows("SELECT 1 FROM case_words WHERE case_id = $1", case_id) == []
        _, body = await there.ask("/cases", q="鼹鼠")
        assert ([item["id"] for item in body["items"]], body["total"]) == ([str(case_id)], 1)
        assert await found(there, "窨井盖") == {"hole", "same hole"}
        assert (await there.ask("/cases", "deputy", person=NEIGHBOUR, q="鼹鼠"))[1]["items"] == []
    finally:
        await there.rows("DELETE FROM cases WHERE id = $1", case_id)


@pytest.mark.parametrize("after", ["x", "e30", "W10", "WzEsMl0", "WyIyMDIyLTAzLTAxIiwieCJd", "💥"])
async def test_a_position_that_no_page_gave_is_refused(there: Inside, after: str) -> None:
    status, body = await there.ask("/cases", after=after)
    assert (status, body["code"]) == (422, "position-unknown")


async def test_similar_cases_are_told_while_filing_and_somebody_elses_only_in_outline(
    there: Inside,
) -> None:
    asked = {
        "text": "环城西路柳汀街路口窨井盖破损塌陷",
        "county": HAISHU,
        "town": TOWN,
        "category": "城乡建设",
    }
    status, body = await there.ask("/cases/similar", "deputy", person=DEPUTY, body=asked)
    assert status == 200, body
    mine, theirs = body["items"]
    assert (mine["id"], mine["mine"], mine["title"]) == (str(IDS["hole"]), True, "反映")
    assert theirs["id"] == str(IDS["same hole"])
    assert set(theirs) == {
        "id", "category", "county", "town", "state", "filed_at", "followers", "mine", "joined", "score", "why",
    }  # fmt: skip
    assert mine["score"] > theirs["score"] > 0
    assert theirs["score"] == round(theirs["score"], 1)
    assert theirs["why"]["place"] == "same-town"
    status, body = await there.ask(
        "/cases/similar", "deputy", body={**asked, "county": JIANGBEI, "town": None}
    )
    assert body["items"] == []


async def test_the_database_reckons_the_same_likeness_as_the_code(there: Inside) -> None:
    asked = {"text": TEXTS["same hole"], "county": HAISHU}
    _, body = await there.ask("/cases/similar", body=asked)
    best = body["items"][0]
    assert best["id"] == str(IDS["same hole"])
    assert best["why"]["likeness"] > 0.9  # its title is missing
    _, body = await there.ask("/cases/similar", body={**asked, "title": "反映"})
    assert body["items"][0]["why"]["likeness"] == 1.0


async def test_who_joined_sees_so_and_reads_the_case(there: Inside) -> None:
    joiner = uuid4()
    assert await say(there, "noise", cases.JoinCase(), "deputy", person=joiner) == "accepted"
    asked = {"text": TEXTS["noise"], "county": HAISHU}
    _, body = await there.ask("/cases/similar", "deputy", person=joiner, body=asked)
    assert (body["items"][0]["joined"], body["items"][0]["followers"]) == (True, 1)
    assert await found(there, "广场舞", "deputy", person=joiner) == {"noise"}


async def test_in_triage_a_case_shows_what_is_like_it_to_those_who_may_read_it(there: Inside) -> None:
    path = f"/cases/{IDS['same hole']}/similar"
    _, body = await there.ask(path, "staff", org=HAISHU)
    assert [item["id"] for item in body["items"]] == [str(IDS["hole"])]
    assert (await there.ask(path, "deputy", person=NEIGHBOUR))[0] == 200
    assert (await there.ask(path, "deputy", person=DEPUTY))[0] == 403
    assert (await there.ask(path, "staff", org=JIANGBEI))[0] == 403
    assert (await there.ask(path, "department", org="other"))[0] == 403
    assert (await there.ask(f"/cases/{uuid4()}/similar", "staff"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"text": "", "county": HAISHU}, {"text": "x", "county": "x"}, {"text": "x" * 20_001, "county": HAISHU}, [], {"text": "x", "county": HAISHU, "more": 1}],
)  # fmt: skip
async def test_a_malformed_question_for_similar_cases_is_refused(there: Inside, body: Any) -> None:
    assert (await there.ask("/cases/similar", "deputy", body=body))[0] == 422


async def test_no_word_rests_in_clear_and_erasing_the_words_takes_the_hashes_along(there: Inside) -> None:
    case_id, text = uuid4(), "绝密的鼹鼠洞在后院"
    assert await there.tell(there.filing(case_id, text, deputy=DEPUTY, county=HAISHU, at=START)) == [
        "accepted"
    ]
    await there.index()
    hashes = "SELECT hashes FROM case_words WHERE case_id = $1"
    try:
        _, body = await there.ask("/cases", q="鼹鼠")
        assert [item["id"] for item in body["items"]] == [str(case_id)]
        (row,) = await there.rows("SELECT * FROM cases WHERE id = $1", case_id)
        (kept,) = await there.rows(hashes, case_id)
        assert "鼹" not in f"{row}{kept}"
        assert set(kept["hashes"]) == set(there.keyed.values(f"反映\n{text}"))
        assert len(set(kept["hashes"]) & set(Keyed(b"no secret").values(text))) < 3
        head, _, *rest = row["sealed"].split(".")
        await there.rows("UPDATE cases SET sealed = $2 WHERE id = $1", case_id, ".".join([head, "", *rest]))
        assert await there.rows(hashes, case_id) == []
        await there.index()
        assert await there.rows(hashes, case_id) == []
        assert (await there.ask("/cases", q="鼹鼠"))[1]["items"] == []
        _, body = await there.ask("/cases/similar", body={"text": text, "county": HAISHU})
        assert body["items"] == []
        assert (await there.ask(f"/cases/{case_id}/similar"))[1] == {"items": []}
    finally:
        await there.rows("DELETE FROM cases WHERE id = $1", case_id)
    assert await there.rows("SELECT 1 FROM cases_to_index") == []


async def test_other_words_take_the_place_of_the_old_ones(there: Inside) -> None:
    case_id = uuid4()
    await there.tell(there.filing(case_id, "旧的鼹鼠", deputy=DEPUTY, county=HAISHU, at=START))
    await there.index()
    (other,) = await there.rows("SELECT sealed FROM cases WHERE id = $1", IDS["noise"])
    try:
        await there.rows("UPDATE cases SET sealed = $2 WHERE id = $1", case_id, other["sealed"])
        await there.index()
        assert (await there.ask("/cases", q="鼹鼠"))[1]["items"] == []
        _, body = await there.ask("/cases", q="广场舞")
        assert {item["id"] for item in body["items"]} == {str(case_id), str(IDS["noise"])}
    finally:
        await there.rows("DELETE FROM cases WHERE id = $1", case_id)


async def test_a_replica_with_another_key_hashes_nothing(there: Inside) -> None:
    case_id = uuid4()
    await there.tell(there.filing(case_id, "新的鼹鼠", deputy=DEPUTY, county=HAISHU, at=START))
    try:
        async with there.engine.begin() as connection:
            assert await index_some(connection, there.opener, Keyed(b"another key")) == 0
        assert await there.rows("SELECT 1 FROM cases_to_index WHERE case_id = $1", case_id) != []
    finally:
        await there.rows("DELETE FROM cases WHERE id = $1", case_id)


async def test_hashes_by_another_key_are_made_anew(there: Inside) -> None:
    await there.rows("UPDATE words_key SET fingerprint = 'of another key'")
    await there.rows("UPDATE case_words SET hashes = '{1}'")
    async with there.engine.begin() as connection:
        await use_key(connection, there.keyed)
    assert await there.rows("SELECT 1 FROM case_words") == [], "no hash of the other key is left"
    assert await found(there, "窨井盖") == {"hole", "same hole"}, "few wait, so they are read"
    await there.index()
    assert await found(there, "窨井盖") == {"hole", "same hole"}


async def test_a_list_that_is_too_long_to_count_says_that_its_length_is_an_estimate(
    there: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    await there.rows("ANALYZE cases")
    _, body = await there.ask("/cases", size=2)
    assert (body["total"], body["total_is_estimate"]) == (len(TEXTS), False)
    monkeypatch.setattr(queries, "COUNTED_MAX", 3)
    _, body = await there.ask("/cases", size=2, county=HAISHU)
    assert (body["total"] >= 3, body["total_is_estimate"]) == (True, True)


async def test_the_overview_counts_the_area_and_its_parts_add_up(there: Inside) -> None:
    asked = {"filed_until": (START + timedelta(hours=1)).isoformat()}
    status, body = await there.ask("/overview", org="3302", **asked)
    assert status == 200, body
    assert body["whole"]["filed"] == len(TEXTS)
    assert {one["place"]: one["filed"] for one in body["places"]} == {HAISHU: 5, JIANGBEI: 1}
    assert [(one["period"], one["filed"]) for one in body["trend"]] == [("2022-03", len(TEXTS))]
    for key, figure in body["whole"]["figures"].items():
        parts = [one["figures"][key] for one in body["places"]]
        assert sum(part["denominator"] for part in parts) == figure["denominator"]
    late = {**asked, "as_of": (START + timedelta(days=60)).isoformat()}
    status, body = await there.ask("/overview", org=HAISHU, **late)
    assert (body["whole"]["filed"], body["whole"]["open"]) == (5, 5)
    assert body["whole"]["overdue"] >= 2, "both holes went to a department and nobody answered"
    assert {one["place"]: one["filed"] for one in body["places"]} == {TOWN: 2, None: 3}
    days = {"filed_from": (START - timedelta(days=3)).isoformat(), **asked}
    status, body = await there.ask("/overview", org="3302", **days)
    assert [one["period"] for one in body["trend"]] == ["2022-03-01"]
    assert (await there.ask("/overview", "deputy"))[0] == 403
    assert (await there.ask("/overview", org="3301", **asked))[1]["whole"]["filed"] == 0
