"""Explanations of scores as plain data, with sentences that people read 评分说明.

Points stay integers in hundredths; sentences write them as people say them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from services.evaluation.domain import Chance, Cut, Explanation, Line, Rung
from services.evaluation.rubric import Limits, Rubric, Window

WINDOW_NAMES = {
    Window.MONTH: "每月",
    Window.QUARTER: "每季度",
    Window.HALF_YEAR: "每半年",
    Window.YEAR: "每年",
    Window.TERM: "每届",
}


def points_text(points: int) -> str:
    """Points as people write them: 1.5, not 150."""
    sign, whole = ("-" if points < 0 else ""), abs(points)
    return f"{sign}{whole // 100}" + (f".{whole % 100:02d}".rstrip("0") if whole % 100 else "")


def explanation(found: Explanation, chances: list[Chance]) -> dict[str, Any]:
    """A score as the list that adds up to it: `begins` and what each line counts make the total."""
    rubric = found.rubric
    grade = rubric.grade(found.total.total)
    return {
        "year": found.year,
        "rubric": {"name": rubric.name, "version": rubric.version, "title": rubric.title},
        "total": found.total.total,
        "grade": {"key": grade.key, "title": grade.title} if grade else None,
        "begins": found.begins,
        "categories": [
            {"key": category.key, "title": category.title, "points": found.total.categories[category.key]}
            for category in rubric.categories
        ],
        "lines": [_line(rubric, line) for line in found.lines],
        "chances": [
            {"item": chance.item.key, "title": chance.item.title, "adds": chance.adds, "room": chance.room}
            for chance in chances
        ],
    }


def difference(before: Explanation, after: Explanation) -> dict[str, Any]:
    """What changed between two explanations; `begins` and the lines' `after` less `before` make the change."""
    held = {line.entry.identity: line for line in before.lines}
    now = {line.entry.identity: line for line in after.lines}
    rubrics = {id(line): before.rubric for line in before.lines} | {
        id(line): after.rubric for line in after.lines
    }
    lines = []
    for identity in sorted({**held, **now}, key=lambda i: _order({**held, **now}[i])):
        old, new = held.get(identity), now.get(identity)
        line = new or old
        counted = (old.counts if old else 0, new.counts if new else 0)
        if line is None or counted[0] == counted[1]:
            continue
        lines.append({**_line(rubrics[id(line)], line), "before": counted[0], "after": counted[1]})
    return {
        "before": before.total.total,
        "after": after.total.total,
        "change": after.total.total - before.total.total,
        "begins": after.begins - before.begins,
        "lines": lines,
    }


def _order(line: Line) -> tuple[Any, ...]:
    return line.entry.time, line.entry.event_id, line.entry.identity.item, line.entry.identity.evidence


def _line(rubric: Rubric, line: Line) -> dict[str, Any]:
    entry = line.entry
    item = next(item for item in rubric.items if item.key == entry.identity.item)
    return {
        "event_id": entry.event_id,
        "event_type": entry.event_type,
        "item": item.key,
        "title": item.title,
        "category": item.category,
        "evidence": entry.identity.evidence,
        "time": entry.time,
        "happened_on": entry.happened_on,
        "rubric": entry.rubric,
        "rubric_version": entry.rubric_version,
        "points": entry.points,
        "counts": line.counts,
        "cuts": [_cut(rubric, cut) for cut in line.cuts],
    }


def _cut(rubric: Rubric, cut: Cut) -> dict[str, Any]:
    title, limits = _limited(rubric, cut.rung)
    window = cut.rung.window or Window.YEAR
    limit = (limits.cap if cut.by_cap else limits.floor) or 0
    effect = {
        (True, True): "超出部分不计",
        (True, False): "由上限以外的部分抵扣",
        (False, True): "仍低于下限，先行抵补",
        (False, False): "低于下限部分不扣",
    }[cut.by_cap, cut.points > 0]
    kind = "上限" if cut.by_cap else "下限"
    return {
        "part": cut.rung.part,
        "key": cut.rung.key,
        "title": title,
        "by_cap": cut.by_cap,
        "window": window.value,
        "limit": limit,
        "points": cut.points,
        "reason": f"“{title}”{WINDOW_NAMES[window]}{kind} {points_text(limit)} 分，{effect}：{points_text(abs(cut.points))} 分",
    }


def _limited(rubric: Rubric, rung: Rung) -> tuple[str, Limits]:
    """The title of the part where a cut was made, and its limits in that window."""
    window = rung.window or Window.YEAR
    if rung.part == "item":
        item = next(item for item in rubric.items if item.key == rung.key)
        return item.title, dict(item.steps)[window]
    if rung.part == "category":
        category = next(category for category in rubric.categories if category.key == rung.key)
        return category.title, dict(category.steps)[window]
    return "总分", dict(rubric.steps)[window]


def as_of(deputy: Mapping[str, Any] | None, deputy_id: UUID, day: date) -> dict[str, Any]:
    """Whose score it is and of which day."""
    return {
        "deputy_id": deputy_id,
        "deputy": dict(deputy) if deputy else None,
        "on": day,
    }
