"""Rows of a roster file 代表名册: each is judged by itself, as a pure function.

Invariants: judging never fails, whatever a cell holds; an error names line, column and reason and
repeats nothing of the row, which is about a person; a right row gives one whole entry, a wrong one
none; within one import a number counts once, and every later row with it is wrong. A roster tells the whole of a
deputy: who is given no station in it belongs to none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import cast
from uuid import UUID

from services.identity.domain import (
    PLACE_CODE,
    Deputy,
    DeputyState,
    Entry,
    Level,
    Occupation,
    deputy_id,
    printable,
    read_code,
)
from shared.contracts.envelope import Actor
from shared.contracts.identity import congress_of

# Column, its heading as rosters have it, and other headings that are understood.
_COLUMNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "number": ("编号", ("代表编号", "代表证号")),
    "name": ("姓名", ("代表姓名",)),
    "level": ("层级", ("代表层级", "级别")),
    "occupation": ("职业", ("职业构成",)),
    "county": ("县(市、区)代码", ("县代码", "区县代码", "县市区代码")),
    "town": ("乡镇代码", ("乡镇(街道)代码",)),
    "constituency": ("选区", ("选举单位", "选区(选举单位)")),
    "term_from": ("任期起", ("任期开始",)),
    "term_until": ("任期止", ("任期结束",)),
    "state": ("状态", ("代表状态",)),
    "station": ("联络站代码", ("代表联络站代码",)),
}
_LEVELS: dict[str, Level] = {
    **dict.fromkeys(("市", "市级", "city"), "city"),
    **dict.fromkeys(("县", "县级", "区", "区级", "县(市、区)", "县(市、区)级", "county"), "county"),
    **dict.fromkeys(("乡镇", "乡镇级", "乡", "乡级", "镇", "镇级", "town"), "town"),
}
# Words that congresses' statistics use for one and the same class.
_OCCUPATIONS: dict[str, Occupation | None] = {
    "": None,
    **dict.fromkeys(("工人", "一线工人", "产业工人", "worker"), "worker"),
    **dict.fromkeys(("农民", "一线农民", "farmer"), "farmer"),
    **dict.fromkeys(("专业技术人员", "专业技术人才", "professional"), "professional"),
    **dict.fromkeys(("党政领导干部", "党政干部", "领导干部", "official"), "official"),
    **dict.fromkeys(("企业经营管理人员", "企业管理人员", "企业负责人", "manager"), "manager"),
    **dict.fromkeys(
        (
            "解放军和武警",
            "解放军和武警部队",
            "解放军/武警",
            "解放军、武警",
            "解放军",
            "武警",
            "军人",
            "military",
        ),
        "military",
    ),
    **dict.fromkeys(("其他", "其它", "other"), "other"),
}
_STATES: dict[str, DeputyState] = {
    **dict.fromkeys(("", "在任", "正常", "active"), "active"),
    **dict.fromkeys(("暂停", "暂停执行职务", "suspended"), "suspended"),
    **dict.fromkeys(("离任", "终止", "资格终止", "left"), "left"),
}
_LONGEST = {"number": 40, "name": 50, "constituency": 100}
_REQUIRED = ("number", "name", "level", "constituency", "term_from", "term_until")
_DATE = re.compile(
    r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|年(\d{1,2})月(\d{1,2})日|(\d{2})(\d{2}))(?:[ T]0?0:00:00)?"
)


@dataclass(frozen=True)
class RowError:
    """One fault of one row. `line` counts as in the file; `column` is empty where it is the whole row."""

    line: int
    column: str
    code: str
    detail: str


@dataclass(frozen=True)
class Right:
    """A row that can be taken."""

    line: int
    entry: Entry


@dataclass(frozen=True)
class Judgement:
    """What some rows of a file are worth. Blank rows count nowhere."""

    right: tuple[Right, ...]
    errors: tuple[RowError, ...]

    @property
    def rows(self) -> int:
        """How many rows were judged."""
        return len(self.right) + len({error.line for error in self.errors})


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


@lru_cache(maxsize=256)
def _heading(text: str) -> str:
    return "".join(_plain(text).split()).replace("_", "")


_COLUMN_OF_HEADING = {
    _heading(heading): column
    for column, (first, others) in _COLUMNS.items()
    for heading in (column, first, *others)
}


def judge(
    line: int, cells: Mapping[str, str], stations: Collection[str] = frozenset()
) -> Right | list[RowError] | None:
    """What one row is worth: an entry, its errors, or None when it is blank. `stations` are the codes of all."""
    if not any(cell.strip() for cell in cells.values()):
        return None
    errors: list[RowError] = []

    def wrong(column: str, code: str, detail: str) -> None:
        errors.append(RowError(line, column, code, detail))

    row: dict[str, str] = {}
    for heading, cell in cells.items():
        column = _COLUMN_OF_HEADING.get(_heading(heading))
        if column is None:
            continue
        if column in row:
            wrong(column, "column-twice", f"Two columns are headed {_COLUMNS[column][0]}.")
        row[column] = unicodedata.normalize("NFKC", cell).strip() if column == "number" else cell.strip()
    if not row:
        wrong("", "headings-unknown", "None of the headings is one of the roster's.")
        return errors

    for column in _REQUIRED:
        if not row.get(column):
            wrong(column, "missing", f"{_COLUMNS[column][0]} is missing.")
    for column, longest in _LONGEST.items():
        text = row.get(column, "")
        if len(text) > longest:
            wrong(column, "too-long", f"{_COLUMNS[column][0]} may have at most {longest} characters.")
        elif text and not printable(text):
            wrong(column, "not-printable", f"{_COLUMNS[column][0]} holds control characters.")
    level = _LEVELS.get(_plain(row.get("level", "")))
    if level is None and row.get("level"):
        wrong("level", "level-unknown", "层级 must be 市, 县 or 乡镇.")
    occupation = _plain(row.get("occupation", ""))
    if occupation not in _OCCUPATIONS:
        wrong(
            "occupation",
            "occupation-unknown",
            "职业 must be 工人, 农民, 专业技术人员, 党政领导干部, 企业经营管理人员, 解放军和武警 or 其他, "
            "or empty where it is not told.",
        )
    state = _STATES.get(_plain(row.get("state", "")))
    if state is None:
        wrong("state", "state-unknown", "状态 must be 在任, 暂停 or 离任, or empty for 在任.")
    for column in _places_wrong(row):
        wrong(column, "place-code-wrong", f"{_COLUMNS[column][0]} must have 6, 9 or 12 digits.")
    county, town = (_plain(row.get(column, "")) or None for column in ("county", "town"))
    if county is None and (level in ("county", "town") or town is not None):
        wrong("county", "county-missing", "县(市、区)代码 is needed for this level or town.")
    if town is None and level == "town":
        wrong("town", "town-missing", "乡镇代码 is needed for this level.")
    if county and town and not _places_wrong(row) and not town.startswith(county[:6]):
        wrong("town", "town-elsewhere", "乡镇代码 must begin with the 县(市、区)代码.")
    station = read_code(row.get("station", ""))
    if row.get("station") and station not in stations:
        wrong("station", "station-unknown", "联络站代码 must be the code of a registered station.")
    term: dict[str, date] = {}
    for column in ("term_from", "term_until"):
        found = _date(row.get(column, ""))
        if found is not None:
            term[column] = found
        elif row.get(column):
            wrong(column, "date-wrong", f"{_COLUMNS[column][0]} must be a date such as 2022-01-31.")
    if len(term) == 2 and term["term_until"] <= term["term_from"]:
        wrong("term_until", "term-wrong", "任期止 must lie after 任期起.")
    if errors:
        return errors
    return Right(
        line,
        Entry(
            number=row["number"],
            name=row["name"],
            level=cast("Level", level),
            occupation=_OCCUPATIONS[occupation],
            county=county,
            town=town,
            constituency=row["constituency"],
            term_from=term["term_from"],
            term_until=term["term_until"],
            state=cast("DeputyState", state),
            station=station,
        ),
    )


def _places_wrong(row: Mapping[str, str]) -> list[str]:
    return [c for c in ("county", "town") if row.get(c) and not PLACE_CODE.fullmatch(_plain(row[c]))]


def _date(cell: str) -> date | None:
    match = _DATE.fullmatch(_plain(cell).upper())
    if match is None:
        return None
    year, *rest = (int(group) for group in match.groups() if group is not None and group not in "-/.")
    try:
        return date(year, *rest)
    except ValueError:
        return None


def judge_rows(
    first_line: int,
    rows: Sequence[Mapping[str, str]],
    taken: Mapping[str, int],
    stations: Collection[str] = frozenset(),
) -> Judgement:
    """Judge rows that stand one below the other from `first_line` on.

    `taken` are the numbers of right rows before them in the same import, each with its line; `stations` are the
    codes of all stations.
    """
    seen = dict(taken)
    right: list[Right] = []
    errors: list[RowError] = []
    for line, cells in enumerate(rows, first_line):
        verdict = judge(line, cells, stations)
        if isinstance(verdict, list):
            errors += verdict
        elif verdict is not None:
            before = seen.get(verdict.entry.number)
            if before is None:
                seen[verdict.entry.number] = line
                right.append(verdict)
            else:
                errors.append(
                    RowError(line, "number", "number-repeated", f"编号 stands in line {before} already.")
                )
    return Judgement(tuple(right), tuple(errors))


def within_reach(found: Judgement, sender: Actor, before: Mapping[UUID, Deputy]) -> Judgement:
    """The judgement without rows about deputies outside the sender's area, by the row or as they are known `before`.

    A deputy is of the congress of their level: one of the city is for the city's staff, wherever elected.
    """
    right: list[Right] = []
    errors = list(found.errors)
    for row in found.right:
        known = before.get(deputy_id(row.entry.number), row.entry)
        if all(sender.reaches(congress_of(one.level, one.county, one.town)) for one in (row.entry, known)):
            right.append(row)
        else:
            detail = "This deputy lies outside the area of your congress."
            errors.append(RowError(row.line, "county", "not-your-area", detail))
    return Judgement(tuple(right), tuple(sorted(errors, key=lambda error: error.line)))
