"""The report of the year 述职报告: a draft made from recorded facts alone, each sentence with its sources.

Invariants: every sentence but the fixed frame has at least one source, and every source is an event of the
deputy's ledger; nothing is rounded up, and what counted against the deputy is told like the rest. The
deputy's own words are left to the deputy: the draft says where they go. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from services.evaluation.archive import PART_TITLES, Entry, Part, entries_of, items_of
from services.evaluation.domain import Explanation
from services.evaluation.explaining import points_text
from services.evaluation.rubric import Item, Schedule

OWN_WORDS = "（此处由代表本人补充：主要做法、体会、存在的不足和下一步打算。系统只写有记录可查的事实。）"
"""What the draft holds in the place of the deputy's own words."""

_LEVELS = {"city": "市", "county": "县（区、市）", "town": "乡镇"}


@dataclass(frozen=True)
class Sentence:
    """A sentence and the numbers of its sources, from 1."""

    text: str
    sources: tuple[int, ...]

    @property
    def marks(self) -> str:
        """The sources as people cite them, such as 〔1–3、7〕; empty where there are none."""
        return f"〔{spans(self.sources)}〕" if self.sources else ""


@dataclass(frozen=True)
class Section:
    """A heading with its sentences."""

    title: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Report:
    """A draft; `sources` are the entries that its sentences cite, the first has number 1."""

    year: int
    title: str
    opening: str
    sections: tuple[Section, ...]
    sources: tuple[Entry, ...]


def spans(numbers: Iterable[int]) -> str:
    """Rising numbers in short: 1, 2, 3, 7 are 1–3、7."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return "、".join(str(a) if a == b else f"{a}–{b}" for a, b in found)


def report(
    explained: Explanation, deputy: Mapping[str, Any] | None, schedule: Schedule, *, until: date
) -> Report:
    """The draft of a year's report from its explained score, told of what happened until a day."""
    year, rubric = explained.year, explained.rubric
    sources = tuple(entries_of((line.entry for line in explained.lines), schedule))
    numbers = {entry.event_id: number for number, entry in enumerate(sources, start=1)}
    items = items_of(schedule)
    name = (deputy or {}).get("name") or "（姓名待补）"
    level = _LEVELS.get((deputy or {}).get("level", ""), "")
    sections = [
        Section(PART_TITLES[part], found)
        for part in Part
        if (found := tuple(_sentences([entry for entry in sources if entry.part is part], items, numbers)))
    ]
    if sources:
        grade = rubric.grade(explained.total.total)
        score = (
            f"按《{rubric.title}》第 {rubric.version} 版计，截至 {_day(until)}履职得分 "
            f"{points_text(explained.total.total)} 分{f'，等次为“{grade.title}”' if grade else ''}。"
        )
        sections.append(Section("履职评价", (Sentence(score, tuple(numbers.values())),)))
    else:
        sections.append(Section("履职情况", (Sentence(f"截至 {_day(until)}，本年度没有履职记录。", ()),)))
    sections.append(Section("本人补充", (Sentence(OWN_WORDS, ()),)))
    return Report(
        year=year,
        title=f"{year} 年度述职报告（草稿）",
        opening=f"我是{level}人大代表{name}。现将 {year} 年度截至 {_day(until)}的履职情况报告如下。",
        sections=tuple(sections),
        sources=sources,
    )


def _sentences(
    entries: Sequence[Entry], items: Mapping[tuple[str, int, str], Item], numbers: Mapping[Any, int]
) -> Iterable[Sentence]:
    """One sentence per item, in the order in which their first facts happened."""
    found: dict[tuple[str, int, str], list[tuple[Entry, int]]] = {}
    for entry in entries:
        for row in entry.rows:
            if row.points:
                key = row.rubric, row.rubric_version, row.identity.item
                found.setdefault(key, []).append((entry, row.points))
    for key, facts in found.items():
        item = items.get(key)
        cited = tuple(numbers[entry.event_id] for entry, _ in facts)
        title = _plain(item.title) if item else key[2]
        if item and item.per and item.points:
            units = sum(points for _, points in facts) // item.points
            yield Sentence(f"{title}，合计 {units}{_unit(item.title)}。", cited)
        else:
            days = sorted(entry.happened_on for entry, _ in facts)
            when = _day(days[0]) if days[0] == days[-1] else f"{_day(days[0])}至{_day(days[-1])}"
            yield Sentence(f"{when}，{title} {len(facts)} 次。", cited)


def _plain(title: str) -> str:
    """A title without its unit: 学习时长（每分钟） is 学习时长."""
    return title.partition("（")[0]


def _unit(title: str) -> str:
    """The unit in a title, such as 分钟 of （每分钟）; nothing where it names none."""
    inside = title.partition("（每")[2].rstrip("）")
    return f" {inside}" if inside else ""


def _day(day: date) -> str:
    return f"{day.month} 月 {day.day} 日"
