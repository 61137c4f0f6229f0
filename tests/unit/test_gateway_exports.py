"""Lists as files: rows under the caller's filters and token, whole or refused, and no cell a formula."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from deploy.local.runfolder import CHECKOUT
from gateway.exports import ROWS_MAX, TABLES, WORDS, as_csv
from gateway.reads import READS
from gateway.services import Answer
from gateway.spreadsheet import Spreadsheet
from services.cases.domain import STATES
from shared.contracts.identity import OCCUPATIONS
from tests.gateway_door import Door, door, served

CASE: dict[str, Any] = {
    "id": "c",
    "receipt": "ABCD1234EFGH",
    "title": "路灯不亮",
    "state": "routed",
    "category": "城乡建设",
    "origin": "resident",
    "county": "330203",
    "town": None,
    "department": "housing",
    "deputy_id": "d1",
    "followers": ["d2", "gone"],
    "filed_at": "2026-03-01T18:30:00Z",
    "answer_by": None,
    "answered_at": None,
    "on_time": False,
    "result": None,
    "stars": 4,
    "contact": "13800000000",
}
STANDING: dict[str, Any] = {
    "rank": 1,
    "number": "B1",
    "name": "方玲",
    "level": "county",
    "county": "330203",
    "town": None,
    "total": 1250,
    "grade": {"key": "good", "title": "良好"},
    "outstanding": True,
    "reason": None,
}
MOTION: dict[str, Any] = {
    "number": None,
    "title": "关于电梯的建议",
    "kind": "suggestion",
    "level": "county",
    "state": "submitted",
    "author_id": "d1",
    "lead": "housing",
    "co_handlers": ["housing"],
    "submitted_at": "2026-03-01T18:30:00Z",
    "due": {"kind": "answer", "at": "2026-06-01T18:30:00Z"},
    "answered_at": None,
    "closed_at": None,
    "supervised": True,
}
PROMISE: dict[str, Any] = {
    "motion_number": "第7号",
    "title": "关于电梯的建议",
    "department": "housing",
    "text": "更新六十台",
    "due": "2026-05-01",
    "state": "partly-kept",
    "postponed": 1,
    "report_by": "2026-06-01T18:30:00Z",
    "overdue": True,
    "reported_at": None,
    "report": None,
    "rating": None,
}
DUTY: dict[str, Any] = {
    "deputy_id": "d2",
    "kind": "visit",
    "happened_on": "2026-03-01",
    "note": "走访五户",
    "state": "rejected",
    "reason": "请写明地点",
    "declared_at": "2026-03-01T18:30:00Z",
}
APPEAL: dict[str, Any] = {
    "deputy_id": "d1",
    "title": "会议",
    "kind": "missing",
    "state": "upheld",
    "row_points": None,
    "points": 150,
}
OPINION: dict[str, Any] = {
    "deputy_id": "d1",
    "question": "q1",
    "text": "=1+1",
    "answered_at": "2026-03-01T18:30:00Z",
}
LEARNER: dict[str, Any] = {"deputy_id": "d1", "lessons": ["l1", "l2"], "mark": 90, "completed_at": None}
ATTENDER: dict[str, Any] = {"deputy_id": "d2", "signed_up_at": "2026-03-01T18:30:00Z", "checked_in_at": None}
ACTIVITY: dict[str, Any] = {
    "title": "走访企业",
    "kind": "research",
    "county": None,
    "venue": "镇政府",
    "starts_at": "2026-03-01T18:30:00Z",
    "ends_at": "2026-03-01T20:30:00Z",
    "capacity": None,
    "sign_ups": 3,
    "check_ins": 0,
}
CONSULTATION: dict[str, Any] = {
    "title": "条例",
    "kind": "legislation",
    "county": "330203",
    "opened_at": "2026-03-01T18:30:00Z",
    "closes_at": "2026-03-01T18:30:00Z",
    "closed_at": None,
    "respondents": 5,
    "opinions": 7,
}
COURSE: dict[str, Any] = {
    "title": "监督法",
    "levels": ["county", "town"],
    "minutes": 40,
    "lessons": [{}, {}],
    "pass_mark": 60,
    "published_at": None,
    "enrolled": 2,
    "completed": 1,
}
STATION: dict[str, Any] = {
    "name": "高桥站",
    "town": "330203100",
    "code": "S1",
    "state": "closed",
    "deputies": 4,
}
ROSTER: dict[str, Any] = {"name": "方玲", "occupation": "manager"}


class Lists:
    """The services' lists: each has so many rows, told page by page."""

    def __init__(self) -> None:
        self.rows, self.row, self.status = 3, CASE, 200
        self.token_ends_at: int | None = None
        """The row from which on the caller's token has expired."""
        self.last = asyncio.Event()
        """Set where the last page may be told."""
        self.last.set()
        self.asked: list[tuple[str, dict[str, str], str | None]] = []

    async def ask(self, _: str, path: str, *, token: str | None = None, query: str = "") -> Answer:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        self.asked.append((path, asked, token))
        if path == "/departments":
            return self._said(200, {"items": [{"code": "housing", "name": "住建局"}]})
        if path == "/deputies" and asked["size"] == "500" and self.row is not ROSTER:
            return self._said(200, {"items": [{"id": "d1", "name": "方玲"}, {"id": "d2", "name": "水生"}]})
        if path == "/consultations/c1":
            return self._said(200, {"questions": [{"key": "q1", "text": "您的修改意见"}]})
        if self.status != 200:
            return self._said(self.status, {"code": "not-for-you", "detail": "No."})
        size = int(asked["size"])
        first = int(asked["after"]) if "after" in asked else (int(asked["page"]) - 1) * size
        if self.token_ends_at is not None and first >= self.token_ends_at:
            return self._said(401, {"code": "token-not-valid", "detail": "Sign in again."})
        if first + size >= self.rows:
            await self.last.wait()
        items = [{**self.row, "number": f"B{n}"} for n in range(first, min(first + size, self.rows))]
        found: dict[str, Any] = {"items": items, "total": self.rows}
        if path == "/cases":
            ended = first + size >= self.rows
            found |= {"next": None if ended else "?" + urlencode({"after": first + size})}
            found["total_is_estimate"] = "q" in asked
        return self._said(self.status, found)

    @staticmethod
    def _said(status: int, content: Any) -> Answer:
        return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())


def read_csv(raw: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))


@pytest.fixture
def at() -> Door:
    return door()


@pytest.fixture
def lists(at: Door, monkeypatch: pytest.MonkeyPatch) -> Lists:
    found = Lists()
    monkeypatch.setattr(at.services, "ask", found.ask)
    return found


async def test_a_list_is_handed_on_under_its_filters_with_names_for_codes_and_no_contact_data(
    at: Door, lists: Lists
) -> None:
    token = at.token("staff")
    path = "/api/exports/cases?form=csv&state=routed&page=7&size=1&after=x&contact=yes"
    said = await at.ask("GET", path, token=token)
    assert said.status == 200
    assert said.headers["content-disposition"].startswith('attachment; filename="cases-')
    assert said.headers["cache-control"] == "no-store"
    heads, *rows = read_csv(said.raw)
    assert dict(zip(heads, rows[0], strict=True)) == {
        "系统编号": "c",
        "回执号": "ABCD-1234-EFGH",
        "标题": "路灯不亮",
        "状态": "已派单",
        "类别": "城乡建设",
        "问题来源": "代居民反映",
        "县（市、区）": "海曙区",
        "乡镇（街道）": "",
        "代表": "方玲",
        "附议代表": "水生、gone",
        "承办单位": "住建局",
        "提交时间": "2026-03-02 02:30",
        "答复期限": "",
        "答复时间": "",
        "按期答复": "否",
        "办理结果": "",
        "评价（星）": "4",
    }
    assert len(rows) == 3
    assert lists.asked[-1] == ("/cases", {"state": "routed", "size": "100", "page": "1"}, token)
    assert "13800000000" not in said.raw.decode()


async def test_scores_are_whole_points_and_the_words_follow_the_language(at: Door, lists: Lists) -> None:
    lists.rows, lists.row = 1, STANDING
    said = await at.ask("GET", "/api/exports/scores?lang=en&year=2026")
    sheet = load_workbook(io.BytesIO(said.raw)).active
    assert sheet is not None
    heads, row = [[cell.value for cell in line] for line in sheet.iter_rows()]
    assert dict(zip(heads, row, strict=True)) == {
        "Rank": 1,
        "Number": "B0",
        "Name": "方玲",
        "Level": "County",
        "County": "海曙区",
        "Town": None,
        "Score": 12.5,
        "Grade": "良好",
        "Outstanding": "yes",
        "Why not ranked or chosen": None,
    }


@pytest.mark.parametrize(
    ("table", "row", "told"),
    [
        (
            "motions",
            MOTION,
            {
                "类别": "建议",
                "状态": "待审查",
                "领衔代表": "方玲",
                "主办单位": "住建局",
                "会办单位": "住建局",
                "答复期限": "2026-06-02 02:30",
                "重点督办": "是",
            },
        ),
        (
            "promises",
            PROMISE,
            {
                "编号": "第7号",
                "承办单位": "住建局",
                "完成日期": "2026-05-01",
                "状态": "部分落实",
                "报告期限": "2026-06-02 02:30",
                "逾期未报告": "是",
                "代表评价": "",
            },
        ),
        ("duties", DUTY, {"代表": "水生", "类别": "走访", "状态": "未通过", "退回原因": "请写明地点"}),
        (
            "appeals",
            APPEAL,
            {"代表": "方玲", "申诉类别": "漏记", "状态": "已采纳", "现有分值": "", "核定分值": "1.5"},
        ),
        ("opinions/c1", OPINION, {"代表": "方玲", "题目": "您的修改意见", "意见": "'=1+1"}),
        ("learners/c1", LEARNER, {"代表": "方玲", "已学课数": "2", "测验成绩": "90", "结业时间": ""}),
        (
            "activities",
            ACTIVITY,
            {
                "标题": "走访企业",
                "类别": "调研",
                "地点": "镇政府",
                "开始时间": "2026-03-02 02:30",
                "名额": "",
            },
        ),
        (
            "consultations",
            CONSULTATION,
            {"类别": "立法意见征集", "截止时间": "2026-03-02 02:30", "结束时间": "", "意见条数": "7"},
        ),
        ("courses", COURSE, {"适用代表": "县（市、区）、乡镇", "课数": "2", "结业人数": "1"}),
        ("stations", STATION, {"名称": "高桥站", "状态": "关闭", "站内代表": "4"}),
        ("attendances/c1", ATTENDER, {"代表": "水生", "报名时间": "2026-03-02 02:30", "签到时间": ""}),
    ],
)
async def test_every_table_is_told_in_its_own_words(
    at: Door, lists: Lists, table: str, row: dict[str, Any], told: dict[str, str]
) -> None:
    lists.rows, lists.row = 1, row
    said = await at.ask("GET", f"/api/exports/{table}?form=csv")
    assert said.status == 200, said.raw
    heads, line = read_csv(said.raw)
    assert told.items() <= dict(zip(heads, line, strict=True)).items()


async def test_a_list_within_a_thing_is_asked_for_under_its_id_and_no_other_address(
    at: Door, lists: Lists
) -> None:
    lists.rows, lists.row = 1, LEARNER
    token = at.token("staff")
    await at.ask("GET", "/api/exports/learners/c1?form=csv&completed=true&page=4", token=token)
    asked = {"completed": "true", "size": "500", "page": "1"}
    assert lists.asked[-1] == ("/courses/c1/learners", asked, token)
    assert (await at.ask("GET", "/api/exports/learners/..%2Fx?form=csv")).status == 404
    assert (await at.ask("GET", "/api/exports/learners/c1%3Fq?form=csv")).status == 404


def test_states_and_kinds_are_called_in_files_as_on_the_pages() -> None:
    for language in ("zh", "en"):
        pages = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))
        for table, name in (("activities", "activity"), ("consultations", "consultation")):
            assert WORDS[language][f"{table}.kind"] == pages[f"{name}Kind"]
        assert WORDS[language]["stations.state"] == pages["station"]["state"]
        for table, name in (("motions", "motion"), ("duties", "duty"), ("appeals", "appeal")):
            for column in ("kind", "state"):
                assert WORDS[language][f"{table}.{column}"] == pages[f"{name}{column.capitalize()}"]
        assert WORDS[language]["motions.bill_outcome"] == pages["billOutcome"]
        assert WORDS[language]["promises.state"].items() <= pages["promiseState"].items()


async def test_the_roster_tells_occupations_in_words_and_leaves_empty_what_is_not_told(
    at: Door, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for occupation in ("manager", None):
        monkeypatch.setitem(ROSTER, "occupation", occupation)
        lists.rows, lists.row = 1, ROSTER
        heads, row = read_csv((await at.ask("GET", "/api/exports/roster?form=csv")).raw)
        told.append(dict(zip(heads, row, strict=True))["职业"])
    assert told == ["企业经营管理人员", ""]


def test_occupations_are_called_the_same_in_files_pages_and_the_contract() -> None:
    pages = json.loads((CHECKOUT / "web/src/words/zh.json").read_text("utf-8"))["occupation"]
    assert WORDS["zh"]["occupation"] == OCCUPATIONS == {k: v for k, v in pages.items() if k != "none"}
    assert WORDS["en"]["occupation"].keys() == OCCUPATIONS.keys()


@pytest.mark.parametrize("table", ["cases", "roster"])
async def test_a_long_list_is_read_to_its_end(at: Door, lists: Lists, table: str) -> None:
    lists.rows, lists.row = 1203, ROSTER if table == "roster" else CASE
    said = await at.ask("GET", f"/api/exports/{table}?form=csv")
    assert len(read_csv(said.raw)) == 1 + 1203


@pytest.mark.parametrize("query", ["", "&q=lamp"])  # a search gives no exact number of rows
async def test_a_list_that_is_too_long_is_refused_and_not_cut(at: Door, lists: Lists, query: str) -> None:
    lists.rows = ROWS_MAX + 1
    said = await at.ask("GET", f"/api/exports/cases?form=csv{query}")
    assert (said.status, said.code) == (422, "export-too-large")
    assert sum(path == "/cases" for path, _, _ in lists.asked) == 1 or query


async def test_a_csv_leaves_while_its_list_is_still_being_read(at: Door, lists: Lists) -> None:
    lists.rows = 1203
    lists.last.clear()
    headers = {"Authorization": f"Bearer {at.token('staff')}"}
    async with (
        served(at.app) as url,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{url}/api/exports/cases?form=csv") as answer,
    ):
        begun = await answer.content.readexactly(10_000)
        assert not lists.last.is_set()
        lists.last.set()
        assert len(read_csv(begun + await answer.read())) == 1 + 1203


async def test_a_csv_whose_list_cannot_be_read_to_its_end_breaks_off(at: Door, lists: Lists) -> None:
    lists.rows = 1203
    lists.last.clear()
    headers = {"Authorization": f"Bearer {at.token('staff')}"}
    async with (
        served(at.app) as url,
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{url}/api/exports/cases?form=csv") as answer,
    ):
        await answer.content.readexactly(10_000)
        lists.status = 503
        lists.last.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize(
    ("row", "status", "code"),
    [(0, 401, "token-not-valid"), (100, 422, "export-too-slow"), (1200, 422, "export-too-slow")],
)
async def test_a_list_that_takes_longer_than_the_callers_token_lasts_is_refused_with_the_reason(
    at: Door, lists: Lists, row: int, status: int, code: str
) -> None:
    lists.rows, lists.token_ends_at = 1203, row
    said = await at.ask("GET", "/api/exports/cases")
    assert (said.status, said.code) == (status, code)  # a 401 would ask them to sign in, again and again


def test_the_pages_say_how_many_rows_are_too_many() -> None:
    for language, number in (("zh", f"{ROWS_MAX // 10_000}万行"), ("en", f"{ROWS_MAX:,} rows")):
        pages = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))
        assert number in pages["problem"]["export-too-large"]


async def test_a_services_refusal_is_the_answer(at: Door, lists: Lists) -> None:
    lists.status = 403
    said = await at.ask("GET", "/api/exports/cases")
    assert (said.status, said.code) == (403, "not-for-you")


@pytest.mark.parametrize(
    ("table", "role", "status"),
    [
        ("cases", "department", 200),
        ("cases", "deputy", 403),
        ("roster", "deputy", 403),
        ("roster", "department", 403),
        ("scores", "department", 403),
        ("scores", "operator", 200),
        ("motions", "department", 200),
        ("motions", "deputy", 403),
        ("promises", "department", 200),
        ("promises", "deputy", 403),
        ("duties", "department", 403),
        ("opinions/c1", "department", 403),
        ("cases", None, 401),
    ],
)
async def test_who_may_take_which_list_along(
    at: Door, lists: Lists, table: str, role: Any, status: int
) -> None:
    lists.row = {"scores": STANDING, "motions": MOTION, "promises": PROMISE}.get(table, CASE)
    assert (await at.ask("GET", f"/api/exports/{table}", role=role)).status == status


@given(st.sampled_from("=+-@\t\r"), st.text(max_size=20))
def test_no_text_becomes_a_formula_in_either_form(first: str, rest: str) -> None:
    text = first + rest
    cell = read_csv(as_csv([["标题"], [text]]))[1][0]
    assert cell == f"'{text}"
    whole = io.BytesIO()
    book = Spreadsheet("督事", ["标题"])
    book.add([[text]])
    book.save(whole)
    sheet = load_workbook(whole).active
    assert sheet is not None
    kept = sheet["A2"]
    assert kept.data_type != "f"
    assert kept.quotePrefix or not kept.value


def test_every_column_and_state_has_its_words_in_both_languages() -> None:
    reads = {read.path: read for read in READS}
    for words in WORDS.values():
        assert {name: set(part) for name, part in words.items()} == {
            name: set(part) for name, part in WORDS["zh"].items()
        }
        assert set(STATES) <= set(words["state"])
        for table in TABLES:
            assert set(table.fields) <= set(words["heading"])
            assert table.name in words["sheet"]
    # what is told of a column is a field of the read's answer
    for table in TABLES:
        (item,) = [
            part
            for part in reads[table.read].answer.model_fields["items"].annotation.__args__
            if part is not ...
        ]
        assert set(table.fields) <= set(item.model_fields)
