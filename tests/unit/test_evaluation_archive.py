"""The archive, the report made of it, the files of both, and the signature over them."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import UTC, date, datetime
from io import BytesIO
from secrets import token_urlsafe
from typing import Any
from uuid import UUID

import pypdfium2
import pytest
from docx import Document
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from services.evaluation import annual, office, paper
from services.evaluation.archive import EVENT_TITLES, PART_TITLES, Part, archive, entries_of
from services.evaluation.consumers import taken_in
from services.evaluation.domain import LedgerEntry, entries, explain, newest
from services.evaluation.package import MANIFEST, NotGenuine, Signer, verify
from services.evaluation.rubric import Adopted, Schedule
from shared.security.tokens import signing_key_of
from tests.unit.test_evaluation_domain import ANNA, SHIPPED, fact
from tests.unit.test_evaluation_paper import DEPUTY

SCHEDULE = Schedule((Adopted(date(2021, 1, 1), SHIPPED),))
AS_OF = datetime(2022, 1, 10, tzinfo=UTC)
UNTIL = date(2021, 12, 31)
KINDS = {
    ("activity.attended", "inspection"): Part.INSPECTIONS,
    ("activity.attended", "research"): Part.INSPECTIONS,
    ("activity.attended", "training"): Part.TRAINING,
    ("activity.attended", "theme"): Part.ACTIVITIES,
    ("activity.attended", "reception"): Part.ACTIVITIES,
    ("duty.logged", "meeting"): Part.MEETINGS,
    ("duty.logged", "hearing"): Part.MEETINGS,
    ("duty.logged", "research"): Part.INSPECTIONS,
    ("duty.logged", "visit"): Part.ACTIVITIES,
}


def facts_of(*numbers: int) -> list[LedgerEntry]:
    """Rows of facts of all kinds, one a number."""
    found = []
    for n in numbers:
        day = f"2021-{n % 12 + 1:02d}-{n % 27 + 1:02d}"
        at, id_ = f"{day}T10:00:00+08:00", str(UUID(int=n + 1))
        (type_, kind), _ = list(KINDS.items())[n % len(KINDS)]
        if n % 4 == 0:
            one = fact("case.filed", at=at, case_id=id_, origin="resident", county="330203", state="routed")
        elif n % 4 == 1:
            one = fact("course.completed", at=at, course_id=id_, minutes=45, mark=95)
        elif type_ == "duty.logged":
            one = fact(type_, at=at, duty_id=id_, kind=kind, state="confirmed", happened_on=day)
        else:
            one = fact(type_, at=at, activity_id=id_, kind=kind)
        found.append(one)
    return list(newest(row for one in found for row in entries(SCHEDULE, one)).values())


ROWS = facts_of(*range(40))


NOTE = {
    "id": UUID(int=1), "part": "reports", "happened_on": date(2021, 12, 1), "title": "=向选民述职", "approving": 41,
    "ballots": 50, "state": "noted", "reason": None,
}  # fmt: skip


def whole(rows: list[LedgerEntry], *notes: dict[str, Any]) -> dict[str, Any]:
    return archive(DEPUTY, ANNA, rows, notes, SCHEDULE, as_of=AS_OF)


@pytest.mark.parametrize(("approving", "read"), [(50, "称职"), (40, "称职"), (39, "基本称职"), (0, "不称职")])
def test_ballots_are_read_by_the_rubric_of_their_year(approving: int, read: str) -> None:
    struck = {
        **NOTE,
        "state": "struck",
        "reason": "记错了",
        "ballots": None,
        "approving": None,
        "part": "honours",
    }
    found = whole([], {**NOTE, "approving": approving}, struck)
    reports, honours = (part["notes"] for part in found["parts"] if part["key"] in ("reports", "honours"))
    assert [note["band"]["title"] for note in reports] == [read]
    assert [note["band"] for note in honours] == [None]
    pages = pypdfium2.PdfDocument(BytesIO(paper.book(found, {}, printed_on=date(2022, 1, 10))))
    printed = "".join("".join(page.get_textpage().get_text_range() for page in pages).split())
    assert f"称职票{approving}/50，{read}" in printed
    assert "已撤销：记错了" in printed
    rows = list(load_workbook(BytesIO(office.spreadsheet(found))).worksheets[2].iter_rows(values_only=True))
    assert rows[1][2:] == ("=向选民述职", approving, 50, read, "有效")
    assert rows[2][6] == "已撤销：记错了"


@pytest.mark.parametrize(("kind", "part"), KINDS.items())
def test_a_fact_stands_in_the_part_of_its_kind(kind: tuple[str, str], part: Part) -> None:
    type_, of = kind
    if type_ == "duty.logged":
        one = fact(type_, duty_id=str(UUID(int=1)), kind=of, state="confirmed", happened_on="2021-07-01")
    else:
        one = fact(type_, activity_id=str(UUID(int=1)), kind=of)
    assert [entry.part for entry in entries_of(entries(SCHEDULE, one), SCHEDULE)] == [part]


@given(st.sets(st.integers(0, 99), max_size=30))
def test_each_fact_stands_in_one_part_and_all_its_rows_with_it(numbers: set[int]) -> None:
    rows = facts_of(*numbers)
    found = whole(rows)
    assert [part["key"] for part in found["parts"]] == list(Part)
    told = [entry for part in found["parts"] for entry in part["entries"]]
    assert sorted(entry["event_id"] for entry in told) == sorted({row.event_id for row in rows})
    assert sum(len(entry["rows"]) for entry in told) == len(rows)
    assert sum(entry["points"] for entry in told) == sum(row.points for row in rows)


def drafted(rows: list[LedgerEntry]) -> annual.Report:
    return annual.report(explain(SHIPPED, rows, 2021), DEPUTY, SCHEDULE, until=UNTIL)


@given(st.sets(st.integers(0, 99), max_size=30))
def test_every_sentence_of_a_report_has_sources_and_every_fact_is_cited(numbers: set[int]) -> None:
    rows = facts_of(*numbers)
    report = drafted(rows)
    sentences = [one for section in report.sections[:-1] for one in section.sentences]
    assert report.sections[-1].sentences[0].text == annual.OWN_WORDS
    if not rows:
        assert [one.text for one in sentences] == ["截至 12 月 31 日，本年度没有履职记录。"]
        return
    assert all(one.sources for one in sentences)
    by_item = {number for one in sentences[:-1] for number in one.sources}
    assert by_item == set(range(1, len(report.sources) + 1))
    for one in sentences[:-1]:
        if counted := re.search(r" (\d+) 次。$", one.text):
            assert int(counted[1]) == len(one.sources)


def test_a_report_counts_units_and_tells_what_counted_against_the_deputy() -> None:
    duty = fact(
        "duty.logged", duty_id=str(UUID(int=900)), kind="visit", state="rejected", happened_on="2021-05-03"
    )
    rows = [*facts_of(1, 5, 9), *entries(SCHEDULE, duty)]
    text = "".join(one.text for section in drafted(rows).sections for one in section.sentences)
    assert "学习时长，合计 135 分钟。" in text
    assert "5 月 3 日，自行登记的履职经核实不属实 1 次。" in text


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([1, 2, 3, 7], "1–3、7"), ([9, 1, 8], "1、8–9")]
)
def test_sources_are_cited_in_short(numbers: list[int], text: str) -> None:
    assert annual.spans(numbers) == text


def test_the_documents_hold_every_sentence_and_source() -> None:
    report = drafted(ROWS)
    document = Document(BytesIO(office.document(report)))
    written = "\n".join(paragraph.text for paragraph in document.paragraphs)
    pages = pypdfium2.PdfDocument(BytesIO(paper.annual_report(report, printed_on=date(2022, 1, 10))))
    printed = "".join("".join(page.get_textpage().get_text_range() for page in pages).split())
    for section in report.sections:
        for one in section.sentences:
            assert one.text + one.marks in written
            assert "".join((one.text + one.marks).split()) in printed
    listed = [row.cells[3].text for row in document.tables[0].rows][1:]
    assert listed == [str(entry.event_id) for entry in report.sources]


def test_the_printed_archive_names_places_and_what_happened_not_codes() -> None:
    found = whole(ROWS)
    term = {"term_from": date(2022, 1, 15), "term_until": date(2027, 1, 15)}
    found["deputy"] = {**DEPUTY, "town": "330203100", "constituency": "第一选区", **term}
    names = {"330203": "海曙区", "330203100": "高桥镇"}
    pages = pypdfium2.PdfDocument(BytesIO(paper.book(found, names, printed_on=date(2022, 1, 10))))
    printed = "".join("".join(page.get_textpage().get_text_range() for page in pages).split())
    assert "地区：海曙区高桥镇选区：第一选区" in printed
    assert "任期：2022年1月15日至2027年1月15日截至：2022年1月10日" in printed
    assert "提交督事，编号" in printed
    assert not any(row.event_type in printed for row in ROWS)
    assert all(str(row.event_id) in printed for row in ROWS)


def test_every_event_that_a_ledger_can_have_has_a_title_in_print() -> None:
    assert set(EVENT_TITLES) == {declared.type for declared in taken_in()}


def test_the_spreadsheet_has_a_row_per_item_and_no_formula() -> None:
    found = whole(ROWS)
    found["deputy"] = {**DEPUTY, "name": "=1+1"}
    book = load_workbook(BytesIO(office.spreadsheet(found)))
    years, facts, _ = book.worksheets
    assert [cell.value for cell in years[2]][:3] == [DEPUTY["number"], "=1+1", 2021]
    assert years["B2"].data_type == "s"
    rows = list(facts.iter_rows(min_row=2, values_only=True))
    assert len(rows) == len(ROWS)
    assert round(100 * sum(row[3] for row in rows)) == sum(row.points for row in ROWS)
    assert {row[0] for row in rows} <= set(PART_TITLES.values())


SIGNER = Signer(signing_key_of(token_urlsafe(32)))
FILES = {"archive.json": b"{}", "archive.pdf": paper.book(whole(ROWS), {}, printed_on=date(2022, 1, 10))}
PACKAGE = SIGNER.pack(FILES, deputy_id=ANNA, made_at=AS_OF)


def repacked(change: dict[str, bytes | None]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(PACKAGE)) as old, zipfile.ZipFile(out, "w") as new:
        for name in sorted({*old.namelist(), *change}):
            content = change[name] if name in change else old.read(name)
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def test_a_package_verifies_with_the_public_keys_alone() -> None:
    keys = json.loads(json.dumps(SIGNER.public_keys))
    assert all("d" not in key for key in keys["keys"])
    manifest = verify(PACKAGE, keys)
    assert manifest["deputy_id"] == str(ANNA)
    assert set(manifest["files"]) == set(FILES)
    assert verify(repacked({}), keys) == manifest


@pytest.mark.parametrize(
    "change",
    [
        {"archive.json": b"{ }"},
        {"archive.pdf": None},
        {"more.txt": b"x"},
        {MANIFEST: None},
        {MANIFEST: b"a.b.c"},
        {MANIFEST: b""},
    ],
)
def test_a_changed_package_is_not_genuine(change: dict[str, bytes | None]) -> None:
    with pytest.raises(NotGenuine):
        verify(repacked(change), SIGNER.public_keys)


@given(st.integers(0, len(PACKAGE) - 1), st.integers(1, 255))
def test_a_package_with_one_byte_changed_is_not_genuine_or_holds_the_same_files(
    place: int, change: int
) -> None:
    broken = bytearray(PACKAGE)
    broken[place] ^= change
    try:
        manifest = verify(bytes(broken), SIGNER.public_keys)
    except NotGenuine:
        return
    assert manifest == verify(PACKAGE, SIGNER.public_keys)


@given(st.binary(max_size=200))
def test_rubbish_is_not_genuine(rubbish: bytes) -> None:
    with pytest.raises(NotGenuine):
        verify(rubbish, SIGNER.public_keys)


def test_the_key_of_another_does_not_verify() -> None:
    with pytest.raises(NotGenuine):
        verify(PACKAGE, Signer(signing_key_of(token_urlsafe(32))).public_keys)
