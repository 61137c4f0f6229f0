"""A rubric 评价办法 as people write it (YAML, or the same as JSON) made into `rubric.Rubric`.

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
from pydantic_core import ErrorDetails, PydanticCustomError, from_json, to_json
from yaml.reader import ReaderError

from services.evaluation.domain import POINTS_LIMIT
from services.evaluation.flaws import SENTENCES, Code, Flaw
from services.evaluation.rubric import (
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
_KINDS: Mapping[str, Code] = {
    **{code: code for code in SENTENCES},
    "extra_forbidden": "unknown-key",
    "invalid_key": "unknown-key",
    "model_type": "not-a-mapping",
    "model_attributes_type": "not-a-mapping",
    "dict_type": "not-a-mapping",
    "tuple_type": "not-a-list",
    "string_type": "not-a-text",
    "int_type": "not-a-whole-number",
    "int_parsing": "not-a-whole-number",
    "int_parsing_size": "not-a-whole-number",
    "int_from_float": "not-a-whole-number",
    "finite_number": "not-a-whole-number",
    "bool_type": "not-true-or-false",
    "bool_parsing": "not-true-or-false",
    "date_type": "not-a-date",
    "date_parsing": "not-a-date",
    "date_from_datetime_parsing": "not-a-date",
    "date_from_datetime_inexact": "not-a-date",
    "enum": "not-one-of",
    "literal_error": "not-one-of",
    "string_pattern_mismatch": "wrong-pattern",
    "string_too_short": "text-too-short",
    "string_too_long": "text-too-long",
    "too_short": "too-few",
    "too_long": "too-many",
    "greater_than_equal": "too-small",
    "less_than_equal": "too-large",
}
"""The types of pydantic's errors as codes; those that begin here (`_refused`) bear their code already."""
_VALUES = {
    "pattern": "pattern",
    "min_length": "least",
    "max_length": "most",
    "ge": "least",
    "le": "most",
    "most": "most",
}
"""What pydantic tells of an error, as values: the bounds that stand in the models here, never the input."""
_YAML: tuple[tuple[str, Code], ...] = (
    ("found character '\\t'", "yaml-tab"),
    ("mapping values are not allowed", "yaml-colon"),
    ("could not find expected ':'", "yaml-no-colon"),
    ("expected <block end>", "yaml-indent"),
    ("expected ',' or", "yaml-bracket"),
    ("found unexpected end of stream", "yaml-quote"),
)
"""How PyYAML's words for the usual mistakes begin; they can go on with the file's own."""
_LEFT_OPEN = {"yaml-no-colon", "yaml-bracket", "yaml-quote"}
_FILE = "the file"
_Found = tuple[Path, Code, Mapping[str, str]]


def _wrong(path: Path, code: Code, **values: object) -> _Found:
    return path, code, {name: str(value) for name, value in values.items()}


class RubricInvalid(Refusal):
    """A rubric that cannot be used, with every flaw found."""

    def __init__(self, flaws: tuple[Flaw, ...]) -> None:
        shown = "; ".join(str(flaw) for flaw in flaws[:10])
        more = f"; and {len(flaws) - 10} more" if len(flaws) > 10 else ""
        super().__init__("rubric-invalid", f"The rubric cannot be used: {shown}{more}.", "invalid")
        self.flaws = flaws


def _refused(code: Code, **values: object) -> PydanticCustomError:
    """A code of ours on its way through pydantic, which takes it as the type of the error."""
    return PydanticCustomError(code, SENTENCES[code], values)


def _hundredths(value: object) -> int:
    try:
        # str keeps a YAML or JSON 1.1 what it says; "True" and lists are no Decimal.
        scaled = Decimal(str(value)) * 100
    except InvalidOperation:
        raise _refused("points-not-a-number") from None
    if not scaled.is_finite() or abs(scaled) > POINTS_LIMIT:
        raise _refused("points-out-of-bounds", most=POINTS_LIMIT // 100)
    if scaled != scaled.to_integral_value():
        raise _refused("points-too-fine")
    return int(scaled)


def _one_or_many(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _no_repeats(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise _refused("named-twice")
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
    appeal_days: Annotated[int, Field(strict=True, ge=1, le=366)] | None = None
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
        raise RubricInvalid(tuple(_flaw_of(one, lines) for one in error.errors())) from None
    flaws = tuple(
        Flaw(_shown(path), _line(path, lines), code, values)
        for path, code, values in (*_structure(written), *_contracts(written))
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
        appeal_days=written.appeal_days,
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
                raise RubricInvalid((Flaw(_FILE, token.start_mark.line + 1, "alias"),))
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise RubricInvalid((Flaw(_FILE, 1, "empty"),))
        lines: dict[Path, int] = {}
        repeats = tuple(_walk(node, (), lines))
        if repeats:
            raise RubricInvalid(repeats)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise RubricInvalid((_yaml_flaw(error),)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RubricInvalid((Flaw(_FILE, line, "yaml-character"),)) from None
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError, LookupError, AttributeError):
        # All of which the library raises for tags and escapes that stand for nothing.
        raise RubricInvalid((Flaw(_FILE, None, "not-yaml"),)) from None
    rubric = parse_rubric(document, lines)
    # As JSON, which knows no dates: so it is stored, told and held against the log.
    plain: dict[str, Any] = from_json(to_json(document))
    return plain, rubric


def written(document: Mapping[str, Any]) -> str:
    """A rubric's document as YAML to be read and changed: keys in their usual order, items by category.

    Comments of the file that it came from are gone.
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
                yield Flaw(_shown(inner), key.start_mark.line + 1, "key-twice")
                continue
            lines[inner] = key.start_mark.line + 1
            yield from _walk(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), lines)


def _structure(written: _Rubric) -> Iterator[_Found]:
    """What contradicts itself, without a look at the events."""
    yield from _limits(written)
    yield from _judging(written)
    used = {item.category for item in written.items.values()}
    for key in written.categories:
        if key not in used:
            yield _wrong(("categories", key), "category-without-item")
    same: dict[str, str] = {}
    for key, item in written.items.items():
        path = ("items", key)
        if item.category not in written.categories:
            yield _wrong((*path, "category"), "category-unknown")
        if item.points == 0:
            yield _wrong((*path, "points"), "points-zero")
        if _MONEY.search(f"{key} {item.title}"):
            yield _wrong(path, "points-for-donations")
        what = repr([item.event, item.deputy, item.evidence, item.per, item.date, item.where, item.when])
        if what in same:
            yield _wrong(path, "same-facts", item=same[what])
        same.setdefault(what, key)
        for field in item.where.keys() & item.when.keys():
            yield _wrong((*path, "when", field), "in-where-too")
        for part_name, tests in (("where", item.where), ("when", item.when)):
            for field, test in tests.items():
                if isinstance(test, _Range) and test.at_least is None and test.at_most is None:
                    yield _wrong((*path, part_name, field), "range-empty")
                if (
                    isinstance(test, _Range)
                    and test.at_least is not None
                    and test.at_most is not None
                    and test.at_least > test.at_most
                ):
                    yield _wrong((*path, part_name, field), "range-reversed")


def _limits(written: _Rubric) -> Iterator[_Found]:
    """Limits that contradict each other, cannot be reached, or do not nest."""
    parts: list[tuple[Path, _Limited]] = [((), written)]
    parts += [(("categories", key), category) for key, category in written.categories.items()]
    parts += [(("items", key), item) for key, item in written.items.items()]
    for path, part in parts:
        limits = part.limits()
        for window, one in limits.items():
            if one.cap is not None and one.floor is not None and one.floor > one.cap:
                yield _wrong((*path, "floor"), "floor-above-cap", window=window)
            elif one.floor is not None and one.floor > 0 and path:
                yield _wrong((*path, "floor"), "floor-above-zero")
            if one.cap is not None and one.cap < 0:
                yield _wrong((*path, "cap"), "cap-below-zero")
            if window is Window.TERM and written.term is None:
                yield _wrong(path, "no-term")
        caps = [(w, one.cap) for w, one in limits.items() if one.cap is not None]
        for (short, low), (long, high) in itertools.pairwise(caps):
            times = _times(written, short, long)
            if low > high:
                yield _wrong((*path, "cap"), "cap-above-longer", short=short, long=long)
            elif high >= low * times:
                yield _wrong((*path, "cap"), "cap-never-passed", times=times, short=short, long=long)
    for key, item in written.items.items():
        category = written.categories.get(item.category)
        if category and _longest(item) > _shortest(category):
            yield _wrong(("items", key), "window-longer-than-category", category=item.category)
        if _longest(item) > _shortest(written):
            yield _wrong(("items", key), "window-longer-than-total")
        caps_of_one = [one.cap for one in item.limits().values() if one.cap is not None]
        if item.per is None and caps_of_one and item.points > min(caps_of_one):
            yield _wrong(("items", key, "cap"), "cap-below-one-event")
    for key, category in written.categories.items():
        if _longest(category) > _shortest(written):
            yield _wrong(("categories", key), "window-longer-than-total")
    if _shortest(written) < WINDOWS.index(Window.YEAR):
        yield _wrong((), "total-window-too-short")


def _times(written: _Rubric, short: Window, long: Window) -> int:
    term = 12 * (written.term.years if written.term else 1)
    return (long.months or term) // (short.months or term)


def _longest(part: _Limited) -> int:
    return max((WINDOWS.index(window) for window in part.limits()), default=-1)


def _shortest(part: _Limited) -> int:
    return min((WINDOWS.index(window) for window in part.limits()), default=len(WINDOWS))


def _judging(written: _Rubric) -> Iterator[_Found]:
    """What is wrong with dates, grades, selection and review."""
    if written.effective:
        begin, until = written.effective.from_, written.effective.until
        if (begin.month, begin.day) != (1, 1):
            yield _wrong(("effective", "from"), "from-not-first-day")
        if until is not None and (until.month, until.day) != (12, 31):
            yield _wrong(("effective", "until"), "until-not-last-day")
        if until is not None and until < begin:
            yield _wrong(("effective", "until"), "until-before-from")
    most = _windows(written.cap).get(Window.YEAR)
    for index, grade in enumerate(written.grades):
        if index and written.grades[index - 1].at_least <= grade.at_least:
            yield _wrong(("grades", index, "at_least"), "grades-not-falling")
        if most is not None and grade.at_least > most:
            yield _wrong(("grades", index, "at_least"), "grade-above-cap")
    keys = [grade.key for grade in written.grades]
    if len(set(keys)) != len(keys):
        yield _wrong(("grades",), "grade-twice")
    if written.selection and written.selection.grade and written.selection.grade not in keys:
        yield _wrong(("selection", "grade"), "grade-unknown")
    if written.review:
        shares = [band.at_least for band in written.review.bands]
        if shares != sorted(set(shares), reverse=True):
            yield _wrong(("review", "bands"), "bands-not-falling")
        if shares[-1] != 0:
            yield _wrong(("review", "bands", len(shares) - 1, "at_least"), "last-band-above-zero")


def _contracts(written: _Rubric) -> Iterator[_Found]:
    """What does not fit the events that exist."""
    for key, item in written.items.items():
        path = ("items", key)
        declared = contract_of(item.event)
        if declared is None or declared.kind != "event" or not _is_scored(declared):
            yield _wrong((*path, "event"), "event-unknown")
            continue
        yield from ((path + inner, code, values) for inner, code, values in _fields(item, declared.model))
        if declared is declaration_of(DutyLogged) and item.points > 0 and not _confirmed(item):
            yield _wrong(path, "duty-unconfirmed")


def _confirmed(item: _Item) -> bool:
    return item.when.get("state") == ("confirmed",)


def _is_scored(declared: Declaration) -> bool:
    return declared.owner != "evaluation" and "deputy_id" in declared.model.model_fields


def _fields(item: _Item, model: type[Contract]) -> Iterator[_Found]:
    """What is wrong with the fields that an item names, measured by its event's contract."""
    kinds = {name: _kind(field.annotation) for name, field in model.model_fields.items()}

    def checked(path: str, field: str, code: Code, *wanted: _Kind) -> Iterator[_Found]:
        if field not in kinds:
            yield _wrong((path,), "field-unknown", event=item.event)
            return
        kind, optional = kinds[field]
        if kind not in wanted:
            yield _wrong((path,), code, field=field, event=item.event)
        elif optional and (path, field) != ("deputy", "deputy_id"):  # what has no deputy is nobody's row
            yield _wrong((path,), "field-may-be-empty", field=field, event=item.event)

    yield from checked("deputy", item.deputy, "field-not-an-id", _Kind.ID)
    for field in item.evidence:
        if field != YEAR:
            yield from checked("evidence", field, "field-not-evidence", _Kind.ID, _Kind.NUMBER, _Kind.DAY)
    if item.per is not None:
        yield from checked("per", item.per, "field-not-a-number", _Kind.NUMBER)
    if item.date is not None:
        yield from checked("date", item.date, "field-not-a-date", _Kind.DAY)
    if set(item.evidence) == {YEAR}:
        yield _wrong(("evidence",), "evidence-only-year")
    for part, tests in (("where", item.where), ("when", item.when)):
        for field, test in tests.items():
            about = {"field": field, "event": item.event}
            if field not in kinds:
                yield _wrong((part, field), "field-unknown", event=item.event)
            elif isinstance(test, _Range):
                if kinds[field][0] is not _Kind.NUMBER:
                    yield _wrong((part, field), "field-not-a-number", **about)
            else:
                adapter: TypeAdapter[Any] = TypeAdapter(model.model_fields[field].rebuild_annotation())
                for value in test:
                    if not _possible(adapter, value):
                        yield _wrong((part, field), "value-impossible", **about)


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


def _flaw_of(error: ErrorDetails, lines: Mapping[Path, int]) -> Flaw:
    # A union's branch and "[key]" stand in pydantic's path; a file knows no such place.
    path = tuple(part for part in error["loc"] if part not in _NO_PLACES)
    code, values = _said(error["type"], error["msg"], error.get("ctx", {}))
    return Flaw(_shown(path), _line(path, lines), code, values)


def _said(kind: str, message: str, context: Mapping[str, Any]) -> tuple[Code, Mapping[str, str]]:
    """What pydantic found as a code and its values."""
    code = _KINDS.get(kind, "not-valid")
    if code == "not-valid":
        return code, {"message": message}
    if code == "not-one-of":
        return code, {"expected": " / ".join(re.findall(r"'[^']*'", context["expected"]))}
    return code, {_VALUES[name]: str(value) for name, value in context.items() if name in _VALUES}


def _yaml_flaw(error: yaml.MarkedYAMLError) -> Flaw:
    """What PyYAML found; its words are not told, because they can hold the file's own."""
    problem = error.problem or ""
    code: Code = next((code for start, code in _YAML if problem.startswith(start)), "not-yaml")
    # What was never ended is wrong where it begins; PyYAML notices it later.
    mark = (error.context_mark if code in _LEFT_OPEN else None) or error.problem_mark
    return Flaw(_FILE, mark.line + 1 if mark else None, code)


def _line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of a path, or of the nearest one around it that the file has."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _shown(path: Path) -> str:
    """The path in words; a part that is no plain name stays out, because a refusal repeats no one's words."""
    return ".".join(str(part) if _NAME.match(str(part)) else "(a key)" for part in path) or "the rubric"
