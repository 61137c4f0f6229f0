"""Files for office programs: the archive as a spreadsheet (XLSX), the report of the year as a document (DOCX).

Cells hold text and numbers, never formulas: what begins like one stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Cm, Pt
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from services.evaluation.annual import Report

_LATIN, _CHINESE = "Times New Roman", "仿宋"
"""Official documents are set in 仿宋 (GB/T 9704-2012, 5.2.2); a program without it takes another."""
_HUNDREDTHS = 100


def spreadsheet(found: dict[str, Any]) -> bytes:
    """The archive as `archive.archive` gives it: sheets of years, of entries (a row per item) and of notes."""
    book = Workbook(write_only=True)
    deputy = found["deputy"] or {}
    years = book.create_sheet("年度得分")
    _heads(years, ("编号", "姓名", "年度", "总分", "等次", "评价办法", "版本"), (12, 12, 8, 10, 10, 40, 8))
    for year in found["years"]:
        rubric, grade = year["rubric"] or {}, year["grade"] or {}
        _row(
            years,
            (
                deputy.get("number", ""),
                deputy.get("name", ""),
                year["year"],
                year["total"] / _HUNDREDTHS,
                grade.get("title", ""),
                rubric.get("title", ""),
                rubric.get("version", ""),
            ),
        )
    facts = book.create_sheet("履职记录")
    heads = ("部分", "日期", "评分项", "原始分", "评价办法", "版本", "事件类型", "事件编号", "依据")
    _heads(facts, heads, (18, 12, 30, 8, 12, 6, 22, 38, 38))
    for part in found["parts"]:
        for entry in part["entries"]:
            for row in entry["rows"]:
                _row(
                    facts,
                    (
                        part["title"],
                        entry["happened_on"],
                        row["title"],
                        row["points"] / _HUNDREDTHS,
                        row["rubric"],
                        row["rubric_version"],
                        entry["event_type"],
                        str(entry["event_id"]),
                        entry["evidence"],
                    ),
                )
    notes = book.create_sheet("述职与奖励")
    _heads(notes, ("部分", "日期", "记载", "称职票", "总票", "测评", "状态"), (10, 12, 40, 8, 8, 12, 10))
    for part in found["parts"]:
        for note in part["notes"]:
            _row(
                notes,
                (
                    part["title"],
                    note["happened_on"],
                    note["title"],
                    note["approving"],
                    note["ballots"],
                    note["band"]["title"] if note["band"] else "",
                    "有效" if note["state"] == "noted" else f"已撤销：{note['reason']}",
                ),
            )
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def _heads(sheet: Any, titles: Sequence[str], widths: Sequence[int]) -> None:
    for number, width in enumerate(widths):
        sheet.column_dimensions[chr(ord("A") + number)].width = width
    sheet.freeze_panes = "A2"
    cells = []
    for title in titles:
        cell = WriteOnlyCell(sheet, title)
        cell.font = Font(bold=True)
        cells.append(cell)
    sheet.append(cells)


def _row(sheet: Any, values: Sequence[Any]) -> None:
    cells = []
    for value in values:
        cell = WriteOnlyCell(sheet, value)
        if isinstance(value, str):
            cell.data_type = "s"  # openpyxl takes what begins with = for a formula
        cells.append(cell)
    sheet.append(cells)


def document(report: Report) -> bytes:
    """The draft of a report: sentences with their marks, and the list of sources at the end."""
    paper = Document()
    style = paper.styles["Normal"]
    style.font.name, style.font.size = _LATIN, Pt(14)
    for name in ("Normal", "Title", "Heading 1", "Heading 2"):
        one = paper.styles[name]
        one.font.name = _LATIN
        one.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), _CHINESE)
    paper.core_properties.title = report.title
    paper.core_properties.author = "代表通 Daibiaotong"
    paper.add_heading(report.title, level=0).alignment = WD_ALIGN_PARAGRAPH.CENTER
    _paragraph(paper, [(report.opening, "")])
    for section in report.sections:
        paper.add_heading(section.title, level=1)
        _paragraph(paper, [(one.text, one.marks) for one in section.sentences])
    if report.sources:
        paper.add_heading("记录来源", level=1)
        table = paper.add_table(rows=1, cols=4, style="Table Grid")
        for cell, title in zip(table.rows[0].cells, ("序号", "日期", "事件类型", "事件编号"), strict=True):
            cell.text = title
        for number, entry in enumerate(report.sources, start=1):
            texts = (str(number), entry.happened_on.isoformat(), entry.event_type, str(entry.event_id))
            for cell, text in zip(table.add_row().cells, texts, strict=True):
                cell.text = text
        table.autofit = False
        for row in table.rows:
            for cell, width in zip(row.cells, (1.5, 2.5, 4.5, 7.5), strict=True):
                cell.width = Cm(width)
                for run in cell.paragraphs[0].runs:
                    run.font.size = Pt(8)
    out = BytesIO()
    paper.save(out)
    return out.getvalue()


def _paragraph(paper: Any, sentences: Sequence[tuple[str, str]]) -> None:
    paragraph = paper.add_paragraph()
    paragraph.paragraph_format.first_line_indent = Pt(28)
    paragraph.paragraph_format.line_spacing = 1.5
    for text, marks in sentences:
        paragraph.add_run(text)
        if marks:
            mark = paragraph.add_run(marks)
            mark.font.size = Pt(9)
