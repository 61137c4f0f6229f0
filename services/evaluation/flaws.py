"""What can be wrong with a rubric 评价办法: each kind of flaw as a code with its values, and as an English sentence.

Pages word the codes in their own language (web/src/words); the command line and refusals get the sentence.
Invariant: a value is a number, or a name that the form of rubrics or the contracts of the events have checked,
so that no flaw repeats its sender's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Code = Literal[
    # the text
    "empty",
    "alias",
    "key-twice",
    "yaml-tab",
    "yaml-colon",
    "yaml-no-colon",
    "yaml-indent",
    "yaml-bracket",
    "yaml-quote",
    "yaml-character",
    "not-yaml",
    # the form
    "missing",
    "unknown-key",
    "not-a-mapping",
    "not-a-list",
    "not-a-text",
    "not-a-whole-number",
    "not-a-date",
    "not-true-or-false",
    "not-one-of",
    "wrong-pattern",
    "text-too-short",
    "text-too-long",
    "too-few",
    "too-many",
    "too-small",
    "too-large",
    "points-not-a-number",
    "points-out-of-bounds",
    "points-too-fine",
    "named-twice",
    "not-valid",
    # categories and items
    "category-without-item",
    "category-unknown",
    "points-zero",
    "points-for-donations",
    "same-facts",
    "in-where-too",
    "range-empty",
    "range-reversed",
    # limits
    "floor-above-cap",
    "floor-above-zero",
    "cap-below-zero",
    "no-term",
    "cap-above-longer",
    "cap-never-passed",
    "window-longer-than-category",
    "window-longer-than-total",
    "cap-below-one-event",
    "total-window-too-short",
    # dates, grades, selection, review
    "from-not-first-day",
    "until-not-last-day",
    "until-before-from",
    "grades-not-falling",
    "grade-above-cap",
    "grade-twice",
    "grade-unknown",
    "bands-not-falling",
    "last-band-above-zero",
    # the events
    "event-unknown",
    "duty-unconfirmed",
    "field-unknown",
    "field-not-an-id",
    "field-not-a-number",
    "field-not-a-date",
    "field-not-evidence",
    "field-may-be-empty",
    "evidence-only-year",
    "value-impossible",
]

SENTENCES: Mapping[Code, str] = {
    "empty": "is empty",
    "alias": "write it out, without *",
    "key-twice": "stands twice",
    "yaml-tab": "begins with a tab: indent with spaces",
    "yaml-colon": "mapping values are not allowed here: a second colon in one line, or an indent that does not fit",
    "yaml-no-colon": "could not find expected ':'",
    "yaml-indent": "does not fit to what stands above it: indent it alike",
    "yaml-bracket": "a bracket is not closed, or a comma is missing",
    "yaml-quote": "a quotation mark is not closed",
    "yaml-character": "holds a character that YAML does not allow",
    "not-yaml": "is no YAML",
    "missing": "is missing",
    "unknown-key": "a rubric has no such key",
    "not-a-mapping": "must be a mapping of keys",
    "not-a-list": "must be a list",
    "not-a-text": "Input should be a valid string",
    "not-a-whole-number": "Input should be a valid integer",
    "not-a-date": "Input should be a valid date",
    "not-true-or-false": "Input should be a valid boolean",
    "not-one-of": "Input should be {expected}",
    "wrong-pattern": "String should match pattern '{pattern}'",
    "text-too-short": "String should have at least {least} character(s)",
    "text-too-long": "String should have at most {most} characters",
    "too-few": "must have at least {least} item(s)",
    "too-many": "must have at most {most} items",
    "too-small": "Input should be greater than or equal to {least}",
    "too-large": "Input should be less than or equal to {most}",
    "points-not-a-number": "must be a number of points, such as 2 or 1.5",
    "points-out-of-bounds": "must lie between -{most} and {most} points",
    "points-too-fine": "points have at most two decimal places",
    "named-twice": "names a field twice",
    "not-valid": "{message}",
    "category-without-item": "has no item",
    "category-unknown": "there is no such category",
    "points-zero": "an item is worth something",
    "points-for-donations": "no points are given for donations",
    "same-facts": "looks at the same facts as {item}",
    "in-where-too": "stands in where as well",
    "range-empty": "a range needs at_least or at_most",
    "range-reversed": "at_least lies above at_most",
    "floor-above-cap": "lies above the cap of the {window}",
    "floor-above-zero": "a floor above 0 would give points for nothing",
    "cap-below-zero": "a cap below 0 would take points for nothing",
    "no-term": "has a limit per term, and the rubric has no term",
    "cap-above-longer": "the cap of the {short} lies above that of the {long}",
    "cap-never-passed": "{times} times the cap of the {short} never pass that of the {long}",
    "window-longer-than-category": "has a longer window than its category {category}",
    "window-longer-than-total": "has a longer window than the total",
    "cap-below-one-event": "one event is worth more than the cap",
    "total-window-too-short": "the total has no window shorter than a year, because the base counts once a year",
    "from-not-first-day": "a rubric counts for whole calendar years: must be a 1 January",
    "until-not-last-day": "a rubric counts for whole calendar years: must be a 31 December",
    "until-before-from": "lies before the first day",
    "grades-not-falling": "grades stand in falling order",
    "grade-above-cap": "lies above the cap of the total",
    "grade-twice": "names a grade twice",
    "grade-unknown": "there is no such grade",
    "bands-not-falling": "bands stand in falling order",
    "last-band-above-zero": "the last band begins at 0",
    "event-unknown": "there is no such event about a deputy",
    "duty-unconfirmed": "a duty that deputies log themselves counts once confirmed: when: {{state: confirmed}}",
    "field-unknown": "event {event} has no such field",
    "field-not-an-id": "field {field} of {event} is not an id",
    "field-not-a-number": "field {field} of {event} is not a whole number",
    "field-not-a-date": "field {field} of {event} is not a date",
    "field-not-evidence": "field {field} of {event} is not an id or a whole number or a date",
    "field-may-be-empty": "field {field} of {event} may be empty",
    "evidence-only-year": "must name at least one field of the event besides year",
    "value-impossible": "field {field} of {event} never has that value",
}
"""The values of a code stand in braces: category, event, expected, field, item, least, long, message, most, pattern,
short, times, window. Long, short and window are names of windows."""


@dataclass(frozen=True)
class Flaw:
    """One thing wrong with a rubric: where, in which line of the YAML (None for JSON), and what."""

    path: str
    line: int | None
    code: Code
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """What is wrong, in English."""
        return SENTENCES[self.code].format_map(self.values)

    def __str__(self) -> str:
        where = f"line {self.line}, {self.path}" if self.line else self.path
        return f"{where}: {self.reason}"
