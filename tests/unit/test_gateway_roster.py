"""Roster files: what is read from CSV and XLSX, what is refused, and how the rows travel."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import date, datetime, time
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from gateway import roster
from gateway.roster import PARTS_MAX, ROWS_MAX, ROWS_PER_PART, parts_of, read_sheet
from gateway.services import Answer
from shared.contracts.registry import Role
from shared.http.problems import Problem
from shared.messaging.received import fingerprint_of
from tests.gateway_door import Door, Said, accepted, door, refused

CSV = "编号,姓名\n1,王芳\n2,李强\n"
ROWS = [{"编号": "1", "姓名": "王芳"}, {"编号": "2", "姓名": "李强"}]


def _xlsx(*lines: list[Any]) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for line in lines:
        sheet.append(line)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _refusal(name: str, content: bytes) -> tuple[int, str]:
    with pytest.raises(Problem) as refusal:
        read_sheet(name, content)
    return refusal.value.status, refusal.value.code


# -- reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_is_read_in_the_encodings_that_spreadsheets_write(encoding: str) -> None:
    sheet = read_sheet("名册.CSV", CSV.encode(encoding))
    assert (sheet.rows, sheet.first_line) == (ROWS, 2)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_csv_is_read_with_every_line_ending_and_with_quoted_cells(ending: str) -> None:
    text = f'编号,选区{ending}1,"海曙, ""第一""{ending}选区"{ending}'
    assert read_sheet("a.csv", text.encode()).rows == [{"编号": "1", "选区": f'海曙, "第一"{ending}选区'}]


def test_a_workbook_is_read_like_the_csv() -> None:
    assert read_sheet("a.xlsx", _xlsx(["编号", "姓名"], [1, "王芳"], ["2", "李强"])).rows == ROWS


def test_dates_and_numbers_of_a_workbook_become_the_text_that_a_person_sees() -> None:
    line = [
        date(2021, 7, 1),
        datetime.fromisoformat("2026-12-31T08:00"),
        330203.0,
        330203,
        1.5,
        True,
        time(3, 4),
        None,
    ]
    rows = read_sheet("a.xlsx", _xlsx(list("abcdefgh"), line)).rows
    assert list(rows[0].values()) == [
        "2021-07-01",
        "2026-12-31",
        "330203",
        "330203",
        "1.5",
        "True",
        "03:04:00",
        "",
    ]


@pytest.mark.parametrize("name", ["a.pdf", "a.xls", "a", "", "csv"])
def test_another_kind_of_file_is_415(name: str) -> None:
    assert _refusal(name, CSV.encode()) == (415, "roster-format-unknown")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\xff\xff\xff"),
        ("a.csv", b'a,b\n"open,1\n'),
        ("a.csv", b'a,b\n"x"y,1\n'),
        ("a.csv", b"a\n" + b"x" * 200_000 + b"\n"),
        ("a.xlsx", b""),
        ("a.xlsx", CSV.encode()),
        ("a.xlsx", _xlsx(["a"], ["b"])[:-40]),
        ("a.xlsx", b"PK\x05\x06" + bytes(18)),
    ],
)
def test_a_file_that_cannot_be_read_is_422(name: str, content: bytes) -> None:
    assert _refusal(name, content) == (422, "roster-unreadable")


def test_a_workbook_whose_parts_are_broken_is_422() -> None:
    whole = zipfile.ZipFile(io.BytesIO(_xlsx(["a"], ["b"])))
    for broken in whole.namelist():
        for content in (b"", b"<", b"<a/>", b"\xff"):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as copy:
                for name in whole.namelist():
                    copy.writestr(name, content if name == broken else whole.read(name))
            try:
                read_sheet("a.xlsx", file.getvalue())  # some parts, such as styles, can be missing
            except Problem as refusal:
                assert refusal.status == 422  # noqa: PT017 - others must not be raised


def test_a_workbook_that_unpacks_to_far_more_than_it_weighs_is_422(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _xlsx(["a"], *[["b" * 400]] * 500)
    assert len(content) < 20_000
    monkeypatch.setattr(roster, "_UNPACKED_BYTES_MAX", 20_000)
    assert _refusal("a.xlsx", content) == (422, "roster-too-long")


@pytest.mark.parametrize("content", [b"", b"\n", b",,\n", b" , \n1,2\n", b"a,b\n", b"a,b\n,\n\n \n"])
def test_a_file_without_heading_or_rows_is_422(content: bytes) -> None:
    assert _refusal("a.csv", content) == (422, "roster-empty")


def test_empty_rows_count_in_the_middle_but_not_at_the_end() -> None:
    rows = read_sheet("a.csv", b"a,b\n1,\n,\n2,\n,\n,\n").rows
    assert [row["a"] for row in rows] == ["1", "", "2"]


@pytest.mark.parametrize(
    "heading",
    [["a", "a"], ["a", " a "], ["a\0", "a "], [f"c{number}" for number in range(61)], ["a" * 101]],
)
def test_a_heading_with_a_column_twice_too_many_or_too_long_is_422(heading: list[str]) -> None:
    content = ",".join(heading) + "\n" + ",".join("1" * len(heading)) + "\n"
    assert _refusal("a.csv", content.encode()) == (422, "roster-heading-wrong")


def test_too_many_columns_of_a_workbook_are_422_and_not_cut_off() -> None:
    line = [f"c{number}" for number in range(61)]
    assert _refusal("a.xlsx", _xlsx(line, line)) == (422, "roster-heading-wrong")


def test_a_column_without_a_heading_is_left_out() -> None:
    assert read_sheet("a.csv", b"a,,b\n1,2,3\n").rows == [{"a": "1", "b": "3"}]


def test_a_file_with_too_many_rows_is_422() -> None:
    assert _refusal("a.csv", b"a\n" + b"1\n" * (ROWS_MAX + 1)) == (422, "roster-too-long")
    assert len(read_sheet("a.csv", b"a\n" + b"1\n" * ROWS_MAX).rows) == ROWS_MAX


def test_nul_in_a_cell_or_heading_becomes_a_blank() -> None:
    assert read_sheet("a.csv", "编\0号,b\n1\0,\0\n2,3\n".encode()).rows[0] == {"编 号": "1 ", "b": " "}


def test_a_cell_is_cut_where_no_column_is_that_long() -> None:
    assert read_sheet("a.csv", b"a\n" + b"x" * 5000 + b"\n").rows == [{"a": "x" * 500}]


@given(st.sampled_from(["a.csv", "a.txt", "a.xlsx", "a.bin"]), st.binary(max_size=400))
def test_reading_any_bytes_gives_rows_or_a_problem(name: str, content: bytes) -> None:
    _reads_or_refuses(name, content)


_WORKBOOK = _xlsx(["编号", "姓名"], [1, "王芳"], [date(2021, 7, 1), 2.5])


@given(st.data())
def test_reading_a_damaged_workbook_gives_rows_or_a_problem(data: st.DataObject) -> None:
    content = bytearray(_WORKBOOK)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _reads_or_refuses("a.xlsx", bytes(content[: data.draw(st.integers(0, len(content)))] or content))
    _reads_or_refuses("a.xlsx", bytes(content))


@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=5), max_size=6))
def test_reading_any_text_as_csv_gives_rows_or_a_problem(lines: list[list[str]]) -> None:
    text = "\n".join(",".join(line) for line in lines)
    _reads_or_refuses("a.csv", text.encode("utf-8", "surrogatepass"))


def _reads_or_refuses(name: str, content: bytes) -> None:
    try:
        rows = read_sheet(name, content).rows
    except Problem as refusal:
        assert refusal.status in {415, 422}  # noqa: PT017 - others must not be raised
    else:
        assert rows
        text = json.dumps(rows, ensure_ascii=False)
        assert "\\u0000" not in text.replace("\\\\", "")
        text.encode()  # no half characters, which could not be sent


# -- parts -------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from([1, 500, 10_000, 100_000, 399_000, 500_000]), min_size=1, max_size=60),
    st.integers(0, 450),
)
def test_parts_hold_every_row_once_in_order_and_fit_into_a_record(sizes: list[int], short: int) -> None:
    rows = [{"a": f"{number}".ljust(size)} for number, size in enumerate([*sizes, *[1] * short])]
    parts = parts_of(rows)
    assert [row for part in parts for row in part] == rows
    assert all(0 < len(part) <= ROWS_PER_PART for part in parts)
    assert all(len(part) == 1 or sum(len(json.dumps(row)) for row in part) < 500_000 for part in parts)


def test_the_longest_file_of_the_shortest_rows_stays_within_the_number_of_parts() -> None:
    assert ROWS_MAX / ROWS_PER_PART <= PARTS_MAX


# -- the upload --------------------------------------------------------------------------------------


@pytest.fixture
def at() -> Door:
    return door()


async def _upload(
    at: Door,
    content: bytes = CSV.encode(),
    *,
    name: str = "roster.csv",
    role: Role = "staff",
    query: str = "",
    key: object = None,
    field: str = "file",
) -> Said:
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'.encode()
    raw = b"--x\r\n" + disposition + b"\r\n\r\n" + content + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(len(raw))}
    if key is not None:
        headers["idempotency-key"] = str(key)
    return await at.ask("POST", f"/api/roster-imports{query}", role=role, raw=raw, headers=headers)


async def test_an_upload_is_sent_in_parts_that_know_their_lines_and_answers_with_the_report(at: Door) -> None:
    key = uuid4()
    report = json.dumps({"rows": 450, "accepted": 450, "errors": []}).encode()
    at.services.answers["identity", f"/roster-imports/{key}"] = Answer(200, {}, report)
    content = "编号\n" + "".join(f"{number}\n" for number in range(450))
    said = await _upload(at, content.encode(), key=key)
    assert (said.status, said.raw) == (200, report)
    parts = sorted((command for _, command in at.post.sent), key=lambda c: int(c.data["part"]))
    assert [(p.data["part"], p.data["parts"], p.data["first_line"]) for p in parts] == [
        (1, 3, 2),
        (2, 3, 202),
        (3, 3, 402),
    ]
    assert [row["编号"] for part in parts for row in part.data["rows"]] == [str(n) for n in range(450)]
    assert {part.subject for part in parts} == {str(key)}
    assert {topic for topic, _ in at.post.sent} == {"identity.commands"}


async def test_the_same_upload_again_is_the_same_commands_and_another_file_is_others(at: Door) -> None:
    key = uuid4()
    for content in (CSV, CSV, CSV + "3,赵敏\n"):
        await _upload(at, content.encode(), key=key)
    first, again, other = (command for _, command in at.post.sent)
    assert first.id == again.id == other.id
    assert fingerprint_of(first) == fingerprint_of(again)
    # The same id with another fingerprint is what the service refuses as command-id-reused.
    assert fingerprint_of(first) != fingerprint_of(other)


async def test_long_rows_make_more_parts_so_that_no_file_is_half_sent(at: Door) -> None:
    line = ",".join(["長" * 500] * 40)
    content = ",".join(f"c{n}" for n in range(40)) + "\n" + f"{line}\n" * 60
    assert (await _upload(at, content.encode())).status == 200
    assert len(at.post.sent) > 1
    assert all(len(command.model_dump_json().encode()) < 1_000_000 for _, command in at.post.sent)
    lines = sorted((int(c.data["first_line"]), len(c.data["rows"])) for _, c in at.post.sent)
    assert [start for start, _ in lines] == [
        2 + sum(count for _, count in lines[:n]) for n in range(len(lines))
    ]


@pytest.mark.parametrize("role", ["deputy", "department"])
async def test_only_staff_and_operators_import(at: Door, role: Role) -> None:
    said = await _upload(at, role=role)
    assert (said.status, said.code) == (403, "role-not-allowed")
    assert at.post.sent == []


@pytest.mark.parametrize(("name", "status"), [("a.pdf", 415), ("a.xlsx", 422)])
async def test_a_file_that_cannot_be_read_changes_nothing(at: Door, name: str, status: int) -> None:
    assert (await _upload(at, name=name)).status == status
    assert at.post.sent == []


async def test_an_upload_without_the_field_file_is_422(at: Door) -> None:
    said = await _upload(at, field="other")
    assert (said.status, said.code) == (422, "invalid-request")
    assert "body.file" in {error["place"] for error in said.body["errors"]}


async def test_a_dry_run_asks_and_sends_nothing(at: Door) -> None:
    report = json.dumps({"rows": 2, "accepted": 2, "errors": []}).encode()
    at.services.answers["identity", "/roster-imports/check"] = Answer(200, {}, report)
    said = await _upload(at, query="?dry_run=true")
    assert (said.status, said.raw) == (200, report)
    assert at.services.bodies == [{"first_line": 2, "rows": ROWS}]
    assert at.post.sent == []


async def test_an_import_that_takes_longer_is_202_with_the_place_of_its_report(at: Door) -> None:
    key = uuid4()
    at.post.outcome = lambda command: None if command.data["part"] == 2 else accepted(command)
    said = await _upload(at, ("a\n" + "1\n" * 300).encode(), key=key)
    assert said.status == 202
    assert said.headers["location"] == f"/api/roster-imports/{key}"
    assert at.post.waits == [20.0, 20.0]


async def test_a_part_that_is_refused_is_the_answer(at: Door) -> None:
    at.post.outcome = refused("conflict")
    said = await _upload(at)
    assert (said.status, said.code) == (409, "a-code")
