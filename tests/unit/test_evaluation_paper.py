"""The sheet for printing says what the explanation says, in letters that every reader can show."""

from __future__ import annotations

from datetime import date
from io import BytesIO
from uuid import UUID

import pypdfium2

from services.evaluation import explaining, paper
from services.evaluation.domain import LedgerEntry, chances, entries, explain, newest, sums_of
from services.evaluation.rubric import Adopted, Rubric, Schedule
from tests.unit.test_evaluation_domain import ANNA, JULY, SHIPPED, fact

DEPUTY = {
    "number": "0812",
    "name": "叶敏",
    "level": "county",
    "county": "330203",
    "town": None,
    "state": "active",
}


def rows(rubric: Rubric) -> list[LedgerEntry]:
    schedule = Schedule((Adopted(date(2021, 1, 1), rubric),))
    facts = [
        fact(
            "activity.attended",
            activity_id=str(UUID(int=n)),
            kind="theme",
            at=f"2021-07-{n + 10}T10:00:00+08:00",
        )
        for n in range(1, 5)
    ]
    return list(newest(row for one in facts for row in entries(schedule, one)).values())


def test_the_sheet_holds_every_line_its_reason_and_the_total() -> None:
    explained = explain(SHIPPED, rows(SHIPPED), 2021)
    found = {
        **explaining.as_of(DEPUTY, ANNA, date(2021, 12, 31)),
        **explaining.explanation(explained, chances(SHIPPED, sums_of(rows(SHIPPED)), JULY)),
    }
    assert found["total"] == 200 + 50
    assert found["grade"] == {"key": "low", "title": "待提升"}
    reasons = [cut["reason"] for line in found["lines"] for cut in line["cuts"]]
    assert "“参加主题活动”每月上限 2 分，超出部分不计：1 分" in reasons
    document = pypdfium2.PdfDocument(BytesIO(paper.sheet(found, printed_on=date(2022, 1, 10))))
    text = "".join("".join(page.get_textpage().get_text_range() for page in document).split())
    assert "叶敏" in text
    assert "总分：2.5分" in text
    assert text.count("“参加主题活动”每月上限2分") == 2
    for line in found["lines"]:
        assert str(line["event_id"]) in text


def test_the_difference_of_two_days_is_what_the_lines_between_them_add() -> None:
    late = [row for row in rows(SHIPPED) if row.happened_on > date(2021, 7, 12)]
    early = [row for row in rows(SHIPPED) if row not in late]
    before, after = explain(SHIPPED, early, 2021), explain(SHIPPED, early + late, 2021)
    found = explaining.difference(before, after)
    assert found["change"] == after.total.total - before.total.total
    assert sum(line["after"] - line["before"] for line in found["lines"]) == found["change"] - found["begins"]


def test_points_are_written_as_people_say_them() -> None:
    assert [explaining.points_text(p) for p in (0, 150, -25, 100, 1001, -100)] == [
        "0",
        "1.5",
        "-0.25",
        "1",
        "10.01",
        "-1",
    ]
