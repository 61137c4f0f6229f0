"""A rubric 评价办法 as people write it (YAML, or the same as JSON) made into `domain.Rubric`.

Everything wrong is found here, when a rubric is read, with the path, the line (for YAML) and the
reason: unknown keys, event types and fields, values that a field can never have, points finer than
a hundredth, categories nobody declared, limits that cannot be reached or do not nest, duties that
would count before staff confirmed them, points for money. Points are written as people say them
(`1.5`) and become hundredths. The contracts of the events are the measure of what exists.

A limit is a number for a calendar year, or a mapping of windows: `cap: {month: 2, year: 12}`.
"""

from __future__ import annotations

import itertools
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json, to_json

from services.evaluation.domain import (
    MONTHS,
    POINTS_LIMIT,
    WINDOWS,
    YEAR,
    Category,
    Condition,
    Eligibility,
    Grade,
    Item,
    Limits,
    Review,
    Rubric,
    Selection,
    Term,
    Window,
    overlap,
)
from shared.contracts.participation import DutyLogged
from shared.contracts.registry import Contract, Declaration, contract_of, declaration_of
from shared.refusals import Refusal

Path = tuple[str | int, ...]

_NO_PLACES = {"<range>", "<values>", "<windows>", "<points>", "[key]"}
# Points for money would be points for sale 积分不得与捐款挂钩.
_MONEY = re.compile(r"捐|赞助|donat|sponsor", re.IGNORECASE)
_NAME = re.compile(r"^[\w-]{1,40}$", re.ASCII)
_REASONS = {
    "extra_forbidden": "a rubric has no such key",
    "missing": "is missing",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
}


@dataclass(frozen=True)
class Flaw:
    """One thing wrong with a rubric: where, in which line of the YAML (None for JSON), and why."""

    path: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.path}" if self.line else self.path
        return f"{where}: {self.reason}"


class RubricInvalid(Refusal):
    """A rubric that cannot be used, with every flaw found."""

    def __init__(self, flaws: tuple[Flaw, ...]) -> None:
        shown = "; ".join(str(flaw) for flaw in flaws[:10])
        more = f"; and {len(flaws) - 10} more" if len(flaws) > 10 else ""
        super().__init__("rubric-invalid", f"The rubric cannot be used: {shown}{more}.", "invalid")
        self.flaws = flaws


def _hundredths(value: object) -> int:
    try:
        # str keeps a YAML or JSON 1.1 what it says; "True" and lists are no Decimal.
        scaled = Decimal(str(value)) * 100
    except InvalidOperation:
        raise ValueError("must be a number of points, such as 2 or 1.5") from None
    if not scaled.is_finite() or abs(scaled) > POINTS_LIMIT:
        raise ValueError(f"must lie between -{POINTS_LIMIT // 100} and {POINTS_LIMIT // 100} points")
    if scaled != scaled.to_integral_value():
        raise ValueError("points have at most two decimal places")
    return int(scaled)


def _one_or_many(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _no_repeats(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("names a field twice")
    return values


Points = Annotated[int, BeforeValidator(_hundredths)]


def _is_mapping(value: object) -> str:
    return "<windows>" if isinstance(value, Mapping) else "<points>"


Limit = Annotated[
    Annotated[dict[Window, Points], Field(min_length=1), Tag("<windows>")]
    | Annotated[Points, Tag("<points>")],
    Discriminator(_is_mapping),
]
Percent = Annotated[int, Field(strict=True, ge=0, le=100)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Value = bool | int | str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Range(_Part):
    at_least: int | None = None
    at_most: int | None = None


def _form(value: object) -> str:
    return "<range>" if isinstance(value, Mapping | _Range) else "<values>"


Test = Annotated[
    Annotated[_Range, Tag("<range>")]
    | Annotated[
        tuple[Value, ...],
        BeforeValidator(_one_or_many),
        Field(min_length=1, max_length=50),
        Tag("<values>"),
    ],
    Discriminator(_form),
]


class _Limited(_Part):
    cap: Limit | None = None
    floor: Limit | None = None

    def limits(self) -> dict[Window, Limits]:
        """Cap and floor of each window that has one."""
        caps, floors = _windows(self.cap), _windows(self.floor)
        return {w: Limits(caps.get(w), floors.get(w)) for w in WINDOWS if w in caps or w in floors}


def _windows(limit: dict[Window, int] | int | None) -> dict[Window, int]:
    if limit is None:
        return {}
    return limit if isinstance(limit, dict) else {Window.YEAR: limit}


class _Category(_Limited):
    title: Text


class _Item(_Limited):
    title: Text
    category: Key
    event: Text
    points: Points
    evidence: Annotated[
        tuple[FieldName, ...],
        BeforeValidator(_one_or_many),
        Field(min_length=1, max_length=4),
        AfterValidator(_no_repeats),
    ]
    per: FieldName | None = None
    where: dict[FieldName, Test] = Field(default_factory=dict, max_length=10)
    when: dict[FieldName, Test] = Field(default_factory=dict, max_length=10)
    deputy: FieldName = "deputy_id"
    date: FieldName | None = None


class _Term(_Part):
    first_year: Annotated[int, Field(strict=True, ge=1954, le=9999)]
    years: Annotated[int, Field(strict=True, ge=1, le=10)] = 5


class _Effective(_Part):
    from_: Annotated[date, Field(alias="from")]
    until: date | None = None


class _Grade(_Part):
    key: Key
    title: Text
    at_least: Points


class _Band(_Part):
    key: Key
    title: Text
    at_least: Percent


class _Eligibility(_Part):
    states: Annotated[tuple[Literal["active", "suspended", "left"], ...], Field(min_length=1)] = ("active",)
    excluded: Annotated[dict[Text, Text], Field(max_length=1000)] = Field(default_factory=dict)


class _Selection(_Part):
    quota_percent: Annotated[int, Field(strict=True, ge=1, le=100)]
    grade: Key | None = None
    excluded: Annotated[dict[Text, Text], Field(max_length=1000)] = Field(default_factory=dict)


class _Review(_Part):
    bands: Annotated[tuple[_Band, ...], Field(min_length=2, max_length=10)]


class _Rubric(_Limited):
    name: Key
    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    title: Text
    source: Annotated[str, Field(max_length=1000)] = ""
    effective: _Effective | None = None
    term: _Term | None = None
    base: Points = 0
    grades: Annotated[tuple[_Grade, ...], Field(max_length=10)] = ()
    peers: Annotated[
        tuple[Literal["level", "county", "town"], ...],
        BeforeValidator(_one_or_many),
        AfterValidator(_no_repeats),
    ] = ("level",)
    eligibility: _Eligibility = Field(default_factory=_Eligibility)
    selection: _Selection | None = None
    review: _Review | None = None
    categories: Annotated[dict[Key, _Category], Field(min_length=1, max_length=30)]
    items: Annotated[dict[Key, _Item], Field(min_length=1, max_length=300)]


def parse_rubric(document: object, lines: Mapping[Path, int] | None = None) -> Rubric:
    """The rubric of a document, as a YAML file or a JSON command holds it.

    Args:
        document: the whole rubric.
        lines: the line of each path in the file, if there is one.

    Raises:
        RubricInvalid: with everything that is wrong with it.
    """
    lines = lines or {}
    try:
        written = _Rubric.model_validate(document)
    except ValidationError as error:
        raise RubricInvalid(
            tuple(_flaw_of(e["loc"], e["type"], e["msg"], lines) for e in error.errors())
        ) from None
    flaws = tuple(
        Flaw(_shown(path), _line(path, lines), reason)
        for path, reason in (*_structure(written), *_contracts(written))
    )
    if flaws:
        raise RubricInvalid(flaws)
    limits = written.limits()
    return Rubric(
        name=written.name,
        version=written.version,
        title=written.title,
        base=written.base,
        limits=limits.pop(Window.YEAR, Limits()),
        within=limits,
        term=Term(written.term.first_year, written.term.years) if written.term else None,
        effective_from=written.effective.from_ if written.effective else None,
        effective_until=written.effective.until if written.effective else None,
        grades=tuple(Grade(grade.key, grade.title, grade.at_least) for grade in written.grades),
        peers=written.peers,
        eligibility=Eligibility(frozenset(written.eligibility.states), written.eligibility.excluded),
        selection=Selection(
            written.selection.quota_percent, written.selection.grade, written.selection.excluded
        )
        if written.selection
        else None,
        review=Review(tuple(Grade(band.key, band.title, band.at_least) for band in written.review.bands))
        if written.review
        else None,
        categories=tuple(_category(key, category) for key, category in written.categories.items()),
        items=tuple(_item(key, item) for key, item in written.items.items()),
    )


def _category(key: str, written: _Category) -> Category:
    limits = written.limits()
    return Category(key, written.title, limits.pop(Window.YEAR, Limits()), limits)


def _item(key: str, written: _Item) -> Item:
    limits = written.limits()
    return Item(
        key=key,
        title=written.title,
        category=written.category,
        event=written.event,
        points=written.points,
        evidence=written.evidence,
        per=written.per,
        where=_conditions(written.where),
        when=_conditions(written.when),
        deputy=written.deputy,
        date=written.date,
        limits=limits.pop(Window.YEAR, Limits()),
        within=limits,
    )


def read_rubric(text: str) -> tuple[dict[str, Any], Rubric]:
    """The document and the rubric of a YAML text.

    Raises:
        RubricInvalid: the text is no YAML, names a key twice, or holds a rubric with flaws.
    """
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):  # a few of them can stand for millions of lines
                raise RubricInvalid((Flaw("the file", token.start_mark.line + 1, "write it out, without *"),))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise RubricInvalid((Flaw("the file", 1, "is empty"),))
        lines: dict[Path, int] = {}
        repeats = tuple(_walk(node, (), lines))
        if repeats:
            raise RubricInvalid(repeats)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise RubricInvalid((Flaw("the file", line, error.problem or "is no YAML"),)) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise RubricInvalid((Flaw("the file", None, "is no YAML"),)) from None
    rubric = parse_rubric(document, lines)
    # As JSON, which knows no dates: so it is stored, told and held against the log.
    plain: dict[str, Any] = from_json(to_json(document))
    return plain, rubric


def written(document: Mapping[str, Any]) -> str:
    """A rubric's document as YAML to be read and changed: keys in their usual order, items by category.

    The database keeps no order of keys, and comments of the file that it came from are gone.
    """
    categories = list(document["categories"])
    items = sorted(document["items"].items(), key=lambda pair: categories.index(pair[1]["category"]))
    told = _ordered(document, _Rubric) | {
        "categories": {key: _ordered(document["categories"][key], _Category) for key in categories},
        "items": {key: _ordered(item, _Item) for key, item in items},
    }
    return yaml.safe_dump(told, allow_unicode=True, sort_keys=False, width=100)


def _ordered(document: Mapping[str, Any], model: type[_Limited]) -> dict[str, Any]:
    """The keys as people write them: the limits, which a model inherits, behind the base or at the end."""
    names = [name for name in model.model_fields if name not in _Limited.model_fields]
    at = names.index("base") + 1 if "base" in names else len(names)
    names[at:at] = _Limited.model_fields
    return {name: document[name] for name in names if name in document}


def overlapping(rubrics: Mapping[str, Rubric]) -> Iterator[tuple[str, str]]:
    """The pairs of files whose rubrics state dates that overlap; a higher version of a name replaces the lower."""
    names = list(rubrics)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            same = rubrics[one].name == rubrics[other].name
            if same and rubrics[one].version != rubrics[other].version:
                continue
            if overlap(rubrics[one], rubrics[other]):
                yield one, other


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Iterator[Flaw]:
    """Note the line of every path, and yield a flaw for every key that stands twice in one mapping."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            if inner in lines:
                yield Flaw(_shown(inner), key.start_mark.line + 1, "stands twice")
                continue
            lines[inner] = key.start_mark.line + 1
            yield from _walk(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), lines)


def _structure(written: _Rubric) -> Iterator[tuple[Path, str]]:
    """What contradicts itself, without a look at the events."""
    yield from _limits(written)
    yield from _judging(written)
    used = {item.category for item in written.items.values()}
    for key in written.categories:
        if key not in used:
            yield ("categories", key), "has no item"
    same: dict[str, str] = {}
    for key, item in written.items.items():
        path = ("items", key)
        if item.category not in written.categories:
            yield (*path, "category"), "there is no such category"
        if item.points == 0:
            yield (*path, "points"), "an item is worth something"
        if _MONEY.search(f"{key} {item.title}"):
            yield path, "no points are given for donations"
        what = repr([item.event, item.deputy, item.evidence, item.per, item.date, item.where, item.when])
        if what in same:
            yield path, f"looks at the same facts as {same[what]}"
        same.setdefault(what, key)
        for field in item.where.keys() & item.when.keys():
            yield (*path, "when", field), "stands in where as well"
        for part_name, tests in (("where", item.where), ("when", item.when)):
            for field, test in tests.items():
                if isinstance(test, _Range) and test.at_least is None and test.at_most is None:
                    yield (*path, part_name, field), "a range needs at_least or at_most"
                if (
                    isinstance(test, _Range)
                    and test.at_least is not None
                    and test.at_most is not None
                    and test.at_least > test.at_most
                ):
                    yield (*path, part_name, field), "at_least lies above at_most"


def _limits(written: _Rubric) -> Iterator[tuple[Path, str]]:
    """Limits that contradict each other, cannot be reached, or do not nest."""
    parts: list[tuple[Path, _Limited]] = [((), written)]
    parts += [(("categories", key), category) for key, category in written.categories.items()]
    parts += [(("items", key), item) for key, item in written.items.items()]
    for path, part in parts:
        limits = part.limits()
        for window, one in limits.items():
            if one.cap is not None and one.floor is not None and one.floor > one.cap:
                yield (*path, "floor"), f"lies above the cap of the {window}"
            elif one.floor is not None and one.floor > 0 and path:
                yield (*path, "floor"), "a floor above 0 would give points for nothing"
            if one.cap is not None and one.cap < 0:
                yield (*path, "cap"), "a cap below 0 would take points for nothing"
            if window is Window.TERM and written.term is None:
                yield path, "has a limit per term, and the rubric has no term"
        caps = [(w, one.cap) for w, one in limits.items() if one.cap is not None]
        for (short, low), (long, high) in itertools.pairwise(caps):
            times = _times(written, short, long)
            if low > high:
                yield (*path, "cap"), f"the cap of the {short} lies above that of the {long}"
            elif high >= low * times:
                yield (*path, "cap"), f"{times} times the cap of the {short} never pass that of the {long}"
    for key, item in written.items.items():
        category = written.categories.get(item.category)
        if category and _longest(item) > _shortest(category):
            yield ("items", key), f"has a longer window than its category {item.category}"
        if _longest(item) > _shortest(written):
            yield ("items", key), "has a longer window than the total"
        caps_of_one = [one.cap for one in item.limits().values() if one.cap is not None]
        if item.per is None and caps_of_one and item.points > min(caps_of_one):
            yield ("items", key, "cap"), "one event is worth more than the cap"
    for key, category in written.categories.items():
        if _longest(category) > _shortest(written):
            yield ("categories", key), "has a longer window than the total"
    if _shortest(written) < WINDOWS.index(Window.YEAR):
        yield (), "the total has no window shorter than a year, because the base counts once a year"


def _times(written: _Rubric, short: Window, long: Window) -> int:
    months = {**MONTHS, Window.TERM: 12 * (written.term.years if written.term else 1)}
    return months[long] // months[short]


def _longest(part: _Limited) -> int:
    return max((WINDOWS.index(window) for window in part.limits()), default=-1)


def _shortest(part: _Limited) -> int:
    return min((WINDOWS.index(window) for window in part.limits()), default=len(WINDOWS))


def _judging(written: _Rubric) -> Iterator[tuple[Path, str]]:
    """What is wrong with dates, grades, selection and review."""
    if written.effective:
        begin, until = written.effective.from_, written.effective.until
        if (begin.month, begin.day) != (1, 1):
            yield ("effective", "from"), "a rubric counts for whole calendar years: must be a 1 January"
        if until is not None and (until.month, until.day) != (12, 31):
            yield ("effective", "until"), "a rubric counts for whole calendar years: must be a 31 December"
        if until is not None and until < begin:
            yield ("effective", "until"), "lies before the first day"
    most = _windows(written.cap).get(Window.YEAR)
    for index, grade in enumerate(written.grades):
        if index and written.grades[index - 1].at_least <= grade.at_least:
            yield ("grades", index, "at_least"), "grades stand in falling order"
        if most is not None and grade.at_least > most:
            yield ("grades", index, "at_least"), "lies above the cap of the total"
    keys = [grade.key for grade in written.grades]
    if len(set(keys)) != len(keys):
        yield ("grades",), "names a grade twice"
    if written.selection and written.selection.grade and written.selection.grade not in keys:
        yield ("selection", "grade"), "there is no such grade"
    if written.review:
        shares = [band.at_least for band in written.review.bands]
        if shares != sorted(set(shares), reverse=True):
            yield ("review", "bands"), "bands stand in falling order"
        if shares[-1] != 0:
            yield ("review", "bands", len(shares) - 1, "at_least"), "the last band begins at 0"


def _contracts(written: _Rubric) -> Iterator[tuple[Path, str]]:
    """What does not fit the events that exist."""
    for key, item in written.items.items():
        path = ("items", key)
        declared = contract_of(item.event)
        if declared is None or declared.kind != "event" or not _is_scored(declared):
            yield (*path, "event"), "there is no such event about a deputy"
            continue
        yield from ((path + inner, reason) for inner, reason in _fields(item, declared.model))
        if declared is declaration_of(DutyLogged) and item.points > 0 and not _confirmed(item):
            yield path, "a duty that deputies log themselves counts once confirmed: when: {state: confirmed}"


def _confirmed(item: _Item) -> bool:
    return item.when.get("state") == ("confirmed",)


def _is_scored(declared: Declaration) -> bool:
    return declared.owner != "evaluation" and "deputy_id" in declared.model.model_fields


def _fields(item: _Item, model: type[Contract]) -> Iterator[tuple[Path, str]]:
    """What is wrong with the fields that an item names, measured by its event's contract."""
    kinds = {name: _kind(field.annotation) for name, field in model.model_fields.items()}

    def wrong(field: str, wanted: Mapping[_Kind, str]) -> str | None:
        if field not in kinds:
            return f"event {item.event} has no such field"
        kind, optional = kinds[field]
        if kind not in wanted:
            return f"field {field} of {item.event} is not {' or '.join(wanted.values())}"
        return f"field {field} of {item.event} may be empty" if optional else None

    numbers = {_Kind.NUMBER: "a whole number"}
    days = {_Kind.DAY: "a date"}
    names = {_Kind.ID: "an id", **numbers, _Kind.DAY: "a date"}
    checks: list[tuple[Path, str, Mapping[_Kind, str]]] = [(("deputy",), item.deputy, {_Kind.ID: "an id"})]
    checks += [(("evidence",), field, names) for field in item.evidence if field != YEAR]
    if item.per is not None:
        checks.append((("per",), item.per, numbers))
    if item.date is not None:
        checks.append((("date",), item.date, days))
    for path, field, wanted in checks:
        reason = wrong(field, wanted)
        if reason:
            yield path, reason
    if set(item.evidence) == {YEAR}:
        yield ("evidence",), "must name at least one field of the event besides year"
    for part, tests in (("where", item.where), ("when", item.when)):
        for field, test in tests.items():
            if field not in kinds:
                yield (part, field), f"event {item.event} has no such field"
            elif isinstance(test, _Range):
                if kinds[field][0] is not _Kind.NUMBER:
                    yield (part, field), f"field {field} of {item.event} is not a whole number"
            else:
                adapter: TypeAdapter[Any] = TypeAdapter(model.model_fields[field].rebuild_annotation())
                for value in test:
                    if not _possible(adapter, value):
                        yield (part, field), f"field {field} of {item.event} never has that value"


class _Kind(Enum):
    ID = "id"
    NUMBER = "number"
    DAY = "day"
    OTHER = "other"


def _kind(annotation: Any) -> tuple[_Kind, bool]:
    """What a field holds, and whether it may be null."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        kind = _kind(inner[0])[0] if len(inner) == 1 else _Kind.OTHER
        return kind, len(inner) < len(get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    known = {UUID: _Kind.ID, int: _Kind.NUMBER, date: _Kind.DAY, AwareDatetime: _Kind.DAY}
    return known.get(annotation, _Kind.OTHER), False


def _possible(adapter: TypeAdapter[Any], value: Value) -> bool:
    """Whether the field can hold the value exactly as the rubric writes it."""
    try:
        held = adapter.validate_python(value)
    except ValidationError:
        return False
    plain = adapter.dump_python(held, mode="json")
    return bool(plain == value and isinstance(plain, bool) == isinstance(value, bool))


def _conditions(tests: Mapping[str, _Range | tuple[Value, ...]]) -> tuple[Condition, ...]:
    return tuple(
        Condition(field, at_least=test.at_least, at_most=test.at_most)
        if isinstance(test, _Range)
        else Condition(field, one_of=frozenset(test))
        for field, test in tests.items()
    )


def _flaw_of(loc: Path, kind: str, message: str, lines: Mapping[Path, int]) -> Flaw:
    # A union's branch and "[key]" stand in pydantic's path; a file knows no such place.
    path = tuple(part for part in loc if part not in _NO_PLACES)
    return Flaw(_shown(path), _line(path, lines), _REASONS.get(kind, message.removeprefix("Value error, ")))


def _line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of a path, or of the nearest one around it that the file has."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _shown(path: Path) -> str:
    """The path in words; a part that is no plain name stays out, because a refusal repeats no one's words."""
    return ".".join(str(part) if _NAME.match(str(part)) else "(a key)" for part in path) or "the rubric"
