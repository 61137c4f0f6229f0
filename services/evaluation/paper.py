"""Papers for printing, as PDF with the Chinese font embedded, so that they look the same everywhere.

The font is Noto Sans SC (SIL Open Font License) from a package; a character that it lacks shows as a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pylopdf_fonts_zh_cn
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from services.evaluation.annual import Report
from services.evaluation.archive import EVENT_TITLES
from services.evaluation.explaining import points_text

_FONT = "noto"
_LEVELS = {"city": "市级", "county": "县级", "town": "乡镇级"}


class Paper(FPDF):
    """A4 pages with the title's font, and the page's number below."""

    def __init__(self, title: str, *, printed_on: date) -> None:
        super().__init__(format="A4")
        self.add_font(_FONT, fname=str(pylopdf_fonts_zh_cn.sans_path()))
        self.set_title(title)
        self.set_lang("zh-CN")
        self.set_creator("代表通 Daibiaotong")
        self.set_auto_page_break(True, margin=18)
        self._printed_on = printed_on
        self.add_page()
        self.heading(title, size=16)

    def footer(self) -> None:
        """Page number and date of printing."""
        self.set_y(-14)
        self.set_font(_FONT, size=8)
        self.cell(0, 6, f"{self._printed_on.isoformat()}    第 {self.page_no()} 页 / 共 {{nb}} 页", align="C")

    def heading(self, text: str, *, size: int = 12) -> None:
        """A line of its own in larger print."""
        self.ln(2)
        self.text_line(text, size=size)
        self.ln(1)

    def text_line(self, text: str, *, size: int = 9) -> None:
        """A paragraph."""
        self.set_font(_FONT, size=size)
        self.multi_cell(0, size * 0.6, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rows(self, heads: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]]) -> None:
        """A table; `widths` are shares, the heads are repeated on each page."""
        self.set_font(_FONT, size=8)
        head = FontFace(fill_color=(235, 239, 245))
        with self.table(
            col_widths=tuple(widths), line_height=4.6, headings_style=head, text_align="LEFT"
        ) as table:
            table.row(heads)
            for row in rows:
                table.row(row)
        self.ln(2)

    def pdf(self) -> bytes:
        """The whole document."""
        return bytes(self.output())


def sheet(found: dict[str, Any], *, printed_on: date) -> bytes:
    """The printable sheet of an explained score 评分说明单: whose, what adds up to it, what was cut and why."""
    deputy = found["deputy"] or {}
    paper = Paper(f"{found['year']} 年度代表履职评分说明单", printed_on=printed_on)
    who = f"代表：{deputy.get('name', '（名册中尚无）')}    编号：{deputy.get('number', found['deputy_id'])}"
    grade = f"    等次：{found['grade']['title']}" if found["grade"] else ""
    rubric = found["rubric"]
    paper.text_line(who, size=11)
    paper.text_line(f"截至 {found['on']}    总分：{points_text(found['total'])} 分{grade}", size=11)
    paper.text_line(f"依据：{rubric['title']}（{rubric['name']}，第 {rubric['version']} 版）")
    paper.heading("分类得分")
    paper.rows(
        ("类别", "得分"),
        (4, 1),
        [(category["title"], points_text(category["points"])) for category in found["categories"]],
    )
    paper.heading("逐条得分")
    paper.text_line(f"起始分 {points_text(found['begins'])} 分；以下“计入”各项之和加起始分即为总分。")
    paper.rows(
        ("日期", "评分项", "原始分", "计入", "说明", "依据的事件"),
        (10, 17, 6, 6, 30, 23),
        [
            (
                str(line["happened_on"]),
                line["title"],
                points_text(line["points"]),
                points_text(line["counts"]),
                "；".join(cut["reason"] for cut in line["cuts"]) or "全额计入",
                _event(line["event_type"], line["event_id"]),
            )
            for line in found["lines"]
        ],
    )
    if found["chances"]:
        paper.heading("还可以提高的项目")
        paper.rows(
            ("评分项", "再有一次可增加", "最多还可增加"),
            (4, 2, 2),
            [(one["title"], points_text(one["adds"]), points_text(one["room"])) for one in found["chances"]],
        )
    paper.text_line(
        "每一分都对应一条已记录的事件。认为某条有错、重、漏的，可以就该条提出申诉，由工作人员复核；更正同样作为事件记录。"
    )
    return paper.pdf()


def book(found: dict[str, Any], places: Mapping[str, str], *, printed_on: date) -> bytes:
    """The archive 履职档案 as `archive.archive` gives it: its eight parts, an entry a line; `places` names codes."""
    deputy = found["deputy"] or {}
    paper = Paper("人大代表履职档案", printed_on=printed_on)
    for part in found["parts"]:
        paper.heading(part["title"])
        if part["key"] == "basics":
            paper.text_line(
                f"姓名：{deputy.get('name', '（名册中尚无）')}    编号：{deputy.get('number', found['deputy_id'])}"
            )
            codes = [code for code in (deputy.get("county"), deputy.get("town")) if code]
            place = "".join(places.get(code, code) for code in codes) or "—"
            paper.text_line(
                f"级别：{_LEVELS.get(deputy.get('level', ''), '—')}    地区：{place}    选区：{deputy.get('constituency') or '—'}"
            )
            begin, end = deputy.get("term_from"), deputy.get("term_until")
            term = f"{_day(begin)}至{_day(end)}" if begin and end else "—"
            paper.text_line(f"任期：{term}    截至：{_day(found['as_of'])}")
            paper.rows(
                ("年度", "总分", "等次", "评价办法"),
                (1, 1, 1, 4),
                [
                    (
                        str(year["year"]),
                        points_text(year["total"]),
                        (year["grade"] or {}).get("title", "—"),
                        f"{year['rubric']['title']} 第 {year['rubric']['version']} 版"
                        if year["rubric"]
                        else "—",
                    )
                    for year in found["years"]
                ],
            )
            continue
        if part["entries"]:
            paper.rows(
                ("日期", "记录", "原始分", "依据"),
                (10, 36, 8, 36),
                [
                    (
                        str(entry["happened_on"]),
                        "；".join(row["title"] for row in entry["rows"] if row["points"]) or "（现不计分）",
                        points_text(entry["points"]),
                        _event(entry["event_type"], entry["event_id"]),
                    )
                    for entry in part["entries"]
                ],
            )
        if part["notes"]:
            paper.rows(
                ("日期", "记载", "测评"),
                (10, 50, 30),
                [(str(note["happened_on"]), _noted(note), _ballots(note)) for note in part["notes"]],
            )
        if not part["entries"] and not part["notes"]:
            paper.text_line("没有记录。")
    return paper.pdf()


def _event(type_: str, id_: UUID) -> str:
    return f"{EVENT_TITLES.get(type_, type_)}，编号 {id_}"


def _day(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _noted(note: dict[str, Any]) -> str:
    return note["title"] if note["state"] == "noted" else f"{note['title']}（已撤销：{note['reason']}）"


def _ballots(note: dict[str, Any]) -> str:
    if not note["ballots"]:
        return "—"
    read = f"，{note['band']['title']}" if note["band"] else ""
    return f"称职票 {note['approving']} / {note['ballots']}{read}"


def annual_report(report: Report, *, printed_on: date) -> bytes:
    """The draft of a report of the year 述职报告, with its sources at the end."""
    paper = Paper(report.title, printed_on=printed_on)
    paper.text_line(report.opening, size=11)
    for section in report.sections:
        paper.heading(section.title)
        paper.text_line("".join(one.text + one.marks for one in section.sentences), size=11)
    if report.sources:
        paper.heading("记录来源")
        paper.rows(
            ("序号", "日期", "依据", "编号"),
            (1, 2, 4, 7),
            [
                (
                    str(number),
                    str(entry.happened_on),
                    EVENT_TITLES.get(entry.event_type, entry.event_type),
                    str(entry.event_id),
                )
                for number, entry in enumerate(report.sources, start=1)
            ],
        )
    return paper.pdf()
