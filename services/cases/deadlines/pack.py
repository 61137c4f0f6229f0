"""Rule packs 办理规则包 as people write them (YAML) made into `rules.Pack`, looked up and compared.

Everything wrong is found here, when a pack is read, with the file, the line, the place and the reason:
unknown or missing keys, a limit nobody could count, a source that the pack does not declare, thresholds that
leave out a level. Packs of one jurisdiction never overlap, so that on each day one at most is in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from services.cases import yaml_file
from services.cases.deadlines.reckoning import Limit, Unit
from services.cases.deadlines.rules import (
    AnswersTo,
    CaseRules,
    CosignConfirmation,
    LateFeedback,
    Level,
    MotionKind,
    MotionRules,
    Pack,
    Setting,
    Side,
)
from services.cases.yaml_file import Flaw, Place
from shared.refusals import Refusal

SHIPPED = Path(__file__).parent / "packs"
"""The packs that come with the suite."""

T = TypeVar("T")

# What ends and what it is counted from, where a pack does not say it otherwise.
_TITLES: dict[str, tuple[str, str]] = {
    "cases.take_up": ("接收期限", "提交"),
    "cases.triage": ("分流期限", "待分流"),
    "cases.accept": ("签收期限", "派单"),
    "cases.answer": ("答复期限", "派单"),
    "cases.extension": ("延期最长至", "原期限届满"),
    "cases.hand_back": ("退回期限", "派单"),
    "cases.reopen": ("申请重新办理期限", "办结"),
    "cases.objection": ("复核期限", "提出不同意见"),
    "cases.urge": ("催办日期", "逾期"),
    "cases.supervise": ("督办日期", "催办"),
    "cases.close_reminder": ("提醒办结日期", "答复"),
    "cases.close_late": ("代为办结日期", "提醒办结"),
    "cases.rating_reminder": ("评价提醒日期", "办结"),
    "cases.waiting": ("等待当事人最长至", "暂停"),
    "motions.assign": ("交办期限", "受理"),
    "motions.object": ("申请退回期限", "交办"),
    "motions.reassign": ("重新交办期限", "申请退回"),
    "motions.first_contact": ("首次沟通期限", "交办"),
    "motions.opinion": ("会办意见期限", "交办"),
    "motions.answer": ("答复期限", "交办"),
    "motions.answer_latest": ("延期后最迟答复期限", "交办"),
    "motions.feedback": ("反馈期限", "收到答复"),
    "motions.unstated": ("未表态办结日期", "收到答复"),
    "motions.redo": ("再次办理答复期限", "要求再次办理"),
    "motions.promise": ("承诺事项再次答复期限", "承诺到期"),
    "motions.refer": ("列入议程或者交专门委员会期限", "立案"),
    "motions.committee": ("专门委员会报告期限", "交专门委员会"),
    "motions.adopt": ("常务委员会审议报告期限", "专门委员会报告"),
    "motions.conclude": ("表决期限", "列入议程"),
}

_UNITS: dict[str, Unit] = {
    "hour": "hours",
    "day": "days",
    "working day": "working-days",
    "month": "months",
}
_LENGTH = re.compile(r"([1-9][0-9]{0,3}) (hour|day|working day|month)s?", re.ASCII)


class PackInvalid(Refusal):
    """A rule pack that cannot be used, with every flaw found."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("rule-pack-invalid", "; ".join(str(flaw) for flaw in self.flaws), "invalid")

    def __str__(self) -> str:
        return self.detail


def no_pack() -> Refusal:
    """No rule pack covers the day; asked for a day before the first or after the last."""
    return Refusal("no-rule-pack", "No rule pack is in force in this place on that day.", "not-found")


def load(folder: Path = SHIPPED) -> tuple[Pack, ...]:
    """Every pack of a folder, by jurisdiction and date.

    Raises:
        PackInvalid: with the flaws of all files, or because two packs overlap or share a name.
    """
    packs: list[Pack] = []
    flaws: list[Flaw] = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            packs.append(read_pack(file.read_text("utf-8"), file.name))
        except UnicodeDecodeError:
            flaws.append(Flaw(file.name, None, "the file", "is not UTF-8"))
        except PackInvalid as invalid:
            flaws += invalid.flaws
    packs.sort(key=lambda pack: (pack.jurisdiction, pack.begins))
    flaws += _clashes(packs)
    if flaws:
        raise PackInvalid(flaws)
    return tuple(packs)


def in_force(packs: Iterable[Pack], jurisdiction: str, day: date) -> Pack:
    """The pack of a place that holds on that day.

    Raises:
        Refusal: `no-rule-pack`.
    """
    for pack in packs:
        if pack.jurisdiction == jurisdiction and pack.covers(day):
            return pack
    raise no_pack()


def _clashes(packs: Sequence[Pack]) -> Iterator[Flaw]:
    """Names used twice, and packs of one jurisdiction that hold on the same day; `packs` in order."""
    names: set[str] = set()
    for pack in packs:
        if pack.name in names:
            yield Flaw(f"{pack.name}.yaml", None, "name", "is the name of another pack")
        names.add(pack.name)
    for earlier, later in pairwise(packs):
        if earlier.jurisdiction == later.jurisdiction and earlier.covers(later.begins):
            yield Flaw(
                f"{later.name}.yaml",
                None,
                "from",
                f"{later.begins} lies in the time of {earlier.name}; let that one end before (until)",
            )


# -- comparing -------------------------------------------------------------------------------------------

Parameter = Limit | Setting[Any] | None


@dataclass(frozen=True)
class Difference:
    """One parameter in which two packs differ: its value in each, in words, and where each comes from.

    A value is 无此项 where the pack has no such ground, class or the like, and 不设期限 where it sets no limit.
    """

    parameter: str
    value: str
    other: str
    source: str
    other_source: str


def parameters(pack: Pack) -> dict[str, Parameter]:
    """Every parameter of a pack by its dotted name, such as `cases.answer.urgent` or `motions.signers.bill.town`."""
    return {
        name: parameter
        for part, rules in (("cases", pack.cases), ("motions", pack.motions))
        for field in fields(rules)
        for name, parameter in _flat(f"{part}.{field.name}", getattr(rules, field.name))
    }


def _flat(name: str, value: Parameter | Mapping[str, Limit]) -> Iterator[tuple[str, Parameter]]:
    if isinstance(value, Mapping):
        yield from ((f"{name}.{key}", limit) for key, limit in value.items())
    elif isinstance(value, Setting) and isinstance(value.value, Mapping):
        for key, inner in value.value.items():
            yield from _flat(f"{name}.{key}", Setting(inner, value.source))
    else:
        yield name, value


def diff(pack: Pack, other: Pack) -> tuple[Difference, ...]:
    """Parameter by parameter what differs; a value that is the same for another reason is no difference."""
    ours, theirs = parameters(pack), parameters(other)
    compared = (
        Difference(
            parameter=name,
            value=said(ours[name]) if name in ours else "无此项",
            other=said(theirs[name]) if name in theirs else "无此项",
            source=_source(ours.get(name)),
            other_source=_source(theirs.get(name)),
        )
        for name in {**ours, **theirs}
    )
    return tuple(found for found in compared if found.value != found.other)


def said(parameter: Parameter) -> str:
    """A parameter's value in words."""
    if parameter is None:
        return "不设期限"
    if isinstance(parameter, Limit):
        moves = "" if parameter.rolls else "（休息日不顺延）"
        return f"{parameter.since}起 {parameter}{moves}"
    if isinstance(parameter.value, tuple):
        return "、".join(map(str, parameter.value)) or "无"
    return str(parameter.value)


def _source(parameter: Parameter) -> str:
    return "" if parameter is None else parameter.source


# -- reading ---------------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _length(value: object) -> tuple[int, Unit] | None:
    if value in ("none", "same day"):
        return None if value == "none" else (0, "days")
    match = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            "must be a length such as 24 hours, 10 days, 5 working days, 3 months, same day or none"
        )
    return int(match[1]), _UNITS[match[2]]


Text = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Count = Annotated[int, Field(strict=True, ge=1, le=1000)]
Words = Annotated[dict[Key, Text], Field(min_length=1, max_length=30)]


def _box(sides: dict[Side, float]) -> dict[Side, float]:
    missing = [side for side in get_args(Side) if side not in sides]
    if missing:
        raise ValueError(f"leaves out {', '.join(missing)}")
    if not (-90 <= sides["south"] < sides["north"] <= 90 and -180 <= sides["west"] < sides["east"] <= 180):
        raise ValueError("must be degrees, south below north and west before east")
    return sides


class _Limit(_Part):
    limit: Annotated[Any, BeforeValidator(_length)]
    source: Text
    title: Text | None = None
    since: Text | None = None
    day_off: Literal["next-working-day", "stay"] | None = None


class _Value(_Part, Generic[T]):
    value: T
    source: Text


class _Answers(_Part):
    urgent: _Limit
    inquiry: _Limit
    normal: _Limit
    complex: _Limit


class _Cases(_Part):
    take_up: _Limit
    triage: _Limit
    accept: _Limit
    answer: _Answers
    extension: _Limit
    extensions: _Value[Count]
    hand_back: _Limit
    returns: _Value[Count]
    reopen: _Limit
    objection: _Limit
    urge: _Limit
    supervise: _Limit
    close_reminder: _Limit
    close_late: _Limit
    rating_reminder: _Limit
    waiting: _Limit
    area: _Value[Annotated[dict[Side, float], AfterValidator(_box)]] | None = None


class _Motions(_Part):
    signers: _Value[dict[MotionKind, dict[Level, Count]]]
    cosigning: _Value[CosignConfirmation]
    grounds: _Value[Words]
    assign: _Limit
    object: _Limit
    reassign: _Limit
    first_contact: _Limit
    opinion: _Limit
    answer: _Limit
    answer_latest: _Limit
    answers_to: _Value[AnswersTo]
    classes: _Value[dict[Literal["A", "B", "C", "D"], Text]]
    promising: _Value[tuple[Literal["A", "B", "C", "D"], ...]]
    feedback: _Limit
    unstated: _Limit
    late_feedback: _Value[LateFeedback]
    axes: _Value[Words]
    satisfaction: _Value[Words]
    unsatisfied: _Value[tuple[Key, ...]]
    redo: _Limit
    promise: _Limit
    refer: _Limit
    committee: _Limit
    adopt: _Limit
    conclude: _Limit


class _Pack(_Part):
    name: Key
    jurisdiction: Key
    title: Text
    begins: Annotated[date, Field(alias="from")]
    until: date | None = None
    confirmed_by: Text | None
    day_off: Literal["next-working-day", "stay"]
    sources: Annotated[dict[Text, Text], Field(min_length=1)]
    cases: _Cases
    motions: _Motions


_OPTIONAL = {"motions.first_contact", "motions.feedback", "motions.unstated"}
_COMPLETE: dict[str, frozenset[str]] = {
    "signers": frozenset({"bill", "suggestion"}),
    "classes": frozenset("ABCD"),
    "satisfaction": frozenset({"unstated"}),
}
_LEVELS = frozenset({"city", "county", "town"})


def read_pack(text: str, file: str = "the pack") -> Pack:
    """The pack of a YAML text; `file` is its name in what is said about flaws.

    Raises:
        PackInvalid: with everything that is wrong with it.
    """
    try:
        written, lines = yaml_file.read(text, _Pack, file)
    except yaml_file.FileInvalid as invalid:
        raise PackInvalid(invalid.flaws) from None
    flaws = [
        Flaw(file, yaml_file.line_of(place, lines), yaml_file.shown(place), why)
        for place, why in _contradictions(written)
    ]
    if flaws:
        raise PackInvalid(flaws)
    return Pack(
        name=written.name,
        jurisdiction=written.jurisdiction,
        title=written.title,
        begins=written.begins,
        until=written.until,
        sources=written.sources,
        confirmed_by=written.confirmed_by,
        cases=CaseRules(**_made("cases", written.cases, written)),
        motions=MotionRules(**_made("motions", written.motions, written)),
    )


def _made(name: str, part: _Cases | _Motions | _Answers, pack: _Pack) -> dict[str, Any]:
    """The values of one part of the file as those of the rules; names are the same in both."""
    made: dict[str, Any] = {}
    for key in type(part).model_fields:
        value = getattr(part, key)
        if isinstance(value, _Answers):
            made[key] = _made(f"{name}.{key}", value, pack)
        elif isinstance(value, _Limit):
            made[key] = _limit(name if isinstance(part, _Answers) else f"{name}.{key}", value, pack)
        elif value is not None:
            made[key] = Setting(value.value, value.source)
    return made


def _limit(name: str, written: _Limit, pack: _Pack) -> Limit | None:
    if written.limit is None:
        return None
    number, unit = written.limit
    title, since = _TITLES[name]
    return Limit(
        number,
        unit,
        written.source,
        title=written.title or title,
        since=written.since or since,
        rolls=(written.day_off or pack.day_off) == "next-working-day",
    )


def _contradictions(pack: _Pack) -> Iterator[tuple[Place, str]]:
    """What each value for itself does not show."""
    if pack.until is not None and pack.until < pack.begins:
        yield ("until",), "lies before the first day"
    for part, rules in (("cases", pack.cases), ("motions", pack.motions)):
        for key in type(rules).model_fields:
            value = getattr(rules, key)
            if isinstance(value, _Answers):
                for kind in type(value).model_fields:
                    yield from _wrong((part, key, kind), getattr(value, kind), pack)
            else:
                yield from _wrong((part, key), value, pack)
    motions = pack.motions
    for key, wanted in _COMPLETE.items():
        missing = wanted - set(getattr(motions, key).value)
        if missing:
            yield ("motions", key, "value"), f"leaves out {', '.join(sorted(missing))}"
    for motion, levels in motions.signers.value.items():
        missing = _LEVELS - set(levels)
        if missing:
            yield ("motions", "signers", "value", motion), f"leaves out {', '.join(sorted(missing))}"
    for value in motions.unsatisfied.value:
        if value not in motions.satisfaction.value:
            yield ("motions", "unsatisfied", "value"), "names a value that satisfaction does not have"
    if motions.answer.limit and motions.answer_latest.limit:
        (least, unit), (most, other) = motions.answer.limit, motions.answer_latest.limit
        if unit == other and most < least:
            yield ("motions", "answer_latest", "limit"), "lies before the answer itself"


def _wrong(place: Place, value: _Limit | _Value[Any] | None, pack: _Pack) -> Iterator[tuple[Place, str]]:
    if value is None:
        return
    if not any(value.source.startswith(name) for name in pack.sources):
        yield (*place, "source"), "begins with none of the names in sources"
    if not isinstance(value, _Limit):
        return
    if value.limit is None and ".".join(map(str, place)) not in _OPTIONAL:
        yield (*place, "limit"), "cannot be none"
    if value.limit and value.limit[0] > 1000:
        yield (*place, "limit"), "is longer than any rule"
