"""The script of the year's cases 督事: who files what and when, and what becomes of it. Pure and seeded.

Invariants: every number is the year's at the script's scale, unless a small scale has not enough cases for it; the
instants of one case rise in the order of its steps; a case that is merged with others or split has no other
particular life, and no case has two; the same seed and scale give the same script.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from simulation.case_texts import CaseText, generated_text, storm_categories, storm_report
from simulation.city import CATEGORIES, City, Scale, Town, apportion
from simulation.script import END, LAUNCH, between, clock, script_id

STORM_DAY = date(2021, 7, 25)

CASES_FILED = 7_345
CASES_CLOSED = 6_941
CASES_RATED = 5_900
"""Script's own: most filers of a closed case rate it."""
CASES_REOPENED = 240
"""Script's own: some filers are not content with the first answer."""
CASES_EXTENDED = 300
"""Script's own: cases that concern several departments, so that the department asks for more time."""
CASES_DISPUTED = 90
"""Script's own: cases that each department hands back, until staff designate who handles them 首接负责."""
CASES_TRANSFERRED = 180
"""Script's own: cases that a department took on before it saw whose they are, so that staff move them 转办."""
CASES_CO_HANDLED = 150
"""Script's own: cases for which staff name a second department 会办, whose opinion the first waits for."""
CASES_ASKED = 120
"""Script's own: cases that lack something which the department asks for 请求补充; the clock stands still."""
CASES_SPLIT = 60
"""Script's own: of the cases filed, those that staff made of a part of another 拆分. Such a part is a case as any."""
CONCERNS = 730
"""Script's own: cases that a resident puts to a deputy by a code 代表码 before the deputy takes them up."""
CONCERNS_EXPLAINED = 60
"""Script's own: of these, what the deputy answers without any department 解释说明."""
CONCERNS_OBJECTED = 20
"""Script's own: of these, what the resident does not agree with 不同意见, so that staff answer again."""
CONCERNS_UNSATISFIED = 40
"""Script's own: residents who are not satisfied 不满意 with what was closed, and have it handled again."""
EXTENSIONS_REFUSED_EVERY = 5
"""Script's own: of the extensions asked for, every so many is refused."""
STORM_MATTERS, STORM_REPORTS = 14, 7
"""Script's own: matters that many report on the storm day, and how many reports of each become one case."""

Life = Literal["disputed", "extended", "transferred", "co-handled", "asked"]
_LIVES: tuple[tuple[Life, int, str], ...] = (
    ("disputed", CASES_DISPUTED, "该处权属不清。"),
    ("extended", CASES_EXTENDED, "此事涉及多个部门，请协调。"),
    ("transferred", CASES_TRANSFERRED, "此事请改由其他单位主办。"),
    ("co-handled", CASES_CO_HANDLED, "此事请确定会办单位。"),
    ("asked", CASES_ASKED, "具体位置待补充。"),
)
"""Particular lives, how many cases have each, and the sentence that tells their departments."""
_TEXT_MOST = 19_900
"""Characters of a text to which such a sentence is added: a case holds 20,000."""
_ROOM = timedelta(days=10)
"""How long before END a case is closed with which something else happens afterwards."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `deputy` is the filer's place in `City.deputies`. Open cases have no `closed_at`.

    `category` is what the case is about where known; `chosen` what the filer says of it. A case with
    `merged_into` is one of many reports of another's matter, with which it is closed. A `reopened_at` lies
    before the closing: the first answer was not enough. One with `split_from` staff made of a part of another at
    `filed_at`, for the same filer and place. What a particular `life` is stands with the numbers; `extension` tells
    of an extended one whether staff grant the time that its department asks for.

    A case with `submitted_at` is a concern 民情 that a resident put to the deputy by a code, who took it up at
    `filed_at`; an `explained` one the deputy answered at `closed_at` instead. Its resident may rate it too. With
    `doubted_at` the resident is not content with how it was closed, says so, and it is closed again at
    `closed_again_at`, before anybody gives a rating that lasts.
    """

    id: UUID
    deputy: int
    filed_at: datetime
    title: str = field(repr=False)
    text: str = field(repr=False)
    county: str
    town: str
    category: str | None
    chosen: str | None
    origin: str
    closed_at: datetime | None = None
    rated_at: datetime | None = None
    stars: int | None = None
    merged_into: UUID | None = None
    reopened_at: datetime | None = None
    split_from: UUID | None = None
    life: Life | None = None
    extension: bool | None = None
    submitted_at: datetime | None = None
    explained: bool = False
    doubted_at: datetime | None = None
    closed_again_at: datetime | None = None
    resident_rated_at: datetime | None = None
    resident_stars: int | None = None

    @property
    def taken_up(self) -> bool:
        """Whether it was a concern that the deputy took up."""
        return self.submitted_at is not None and not self.explained


def write_cases(city: City, seed: int, scale: Scale, messages: Sequence[CaseText]) -> tuple[Case, ...]:
    """The cases, in the order of their filing but for the parts of others; `messages` replace the generated texts.

    Raises ValueError when there are fewer messages than cases.
    """
    rng = random.Random(f"{seed}/cases")
    total, closed, rated = scale.of(CASES_FILED), scale.of(CASES_CLOSED), scale.of(CASES_RATED)
    if messages and len(messages) < total:
        raise ValueError(f"the year has {total:,} cases, but the files hold only {len(messages):,} messages")
    real = rng.sample(messages, total) if messages else None
    instants = _filing_times(rng, total)
    # Some deputies file much, most little: a long tail, cut so that nobody files a tenth of all.
    weights = [min(rng.paretovariate(1.3), 40.0) for _ in city.deputies]
    filers = rng.choices(range(len(city.deputies)), weights, k=total)
    towns = {town.code: town for town in city.towns}
    towns_of = {county.code: [town.code for town in county.towns] for county in city.counties}
    open_ones = _open_cases(rng, total, total - closed)
    closed_ones = [i for i in range(total) if i not in open_ones]
    rated_ones = set(rng.sample(closed_ones, rated))
    cases = []
    for i, (filed_at, deputy) in enumerate(zip(instants, filers, strict=True)):
        filer = city.deputies[deputy]
        town = towns[filer.town or rng.choice(towns_of[filer.county])]
        resident = rng.random() < 0.4
        storm = filed_at.date() == STORM_DAY
        category = rng.choice(storm_categories() if storm and rng.random() < 0.9 else CATEGORIES)
        text = (
            real[i]
            if real is not None
            else generated_text(rng, town.name, category, storm=storm, resident=resident)
        )
        closed_at = rated_at = stars = None
        if i not in open_ones:
            closed_at = between(rng, filed_at, filed_at + timedelta(days=rng.triangular(1, 10, 3.5)))
            if i in rated_ones:
                rated_at = between(rng, closed_at, closed_at + timedelta(days=3))
                stars = _stars(rng)
        cases.append(
            Case(
                id=script_id(seed, scale, f"case/{i}"),
                deputy=deputy,
                filed_at=filed_at,
                title=text.title,
                text=text.text,
                county=filer.county,
                town=town.code,
                category=text.category,
                chosen=text.category if rng.random() < 0.3 else None,
                origin="resident" if resident else "own",
                closed_at=closed_at,
                rated_at=rated_at,
                stars=stars,
            )
        )
    cases = _storm_merged(random.Random(f"{seed}/storm"), cases, towns, scale)
    cases = _split(random.Random(f"{seed}/split"), cases, towns, scale, keep_texts=real is not None)
    cases = _reopened(random.Random(f"{seed}/reopened"), cases, scale)
    cases = _with_lives(random.Random(f"{seed}/lives"), cases, scale)
    cases = _put_by_code(random.Random(f"{seed}/concerns"), cases, scale)
    return tuple(_doubted(random.Random(f"{seed}/doubts"), cases, scale))


def _storm_merged(
    rng: random.Random, cases: list[Case], towns: Mapping[str, Town], scale: Scale
) -> list[Case]:
    """The storm day's reports of the same matter: one a matter is the case, the others are merged into it.

    Such a report says nothing by which it could be routed, so that staff read it first.
    """
    by_county: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        if case.filed_at.date() == STORM_DAY and case.closed_at is not None:
            by_county.setdefault(case.county, []).append(i)
    groups = [
        reports[n : n + STORM_REPORTS]
        for reports in by_county.values()
        for n in range(0, len(reports) - 1, STORM_REPORTS)
    ]
    changed = list(cases)
    for group in rng.sample(groups, min(scale.of(STORM_MATTERS), len(groups))):
        reports = [cases[i] for i in group]
        closed_at = max(case.closed_at for case in reports if case.closed_at is not None)
        if len(group) < 2 or closed_at <= max(case.filed_at for case in reports) + timedelta(hours=2):
            continue
        for number, (i, case) in enumerate(zip(group, reports, strict=True)):
            text = storm_report(towns[case.town].name, number)
            rated = case.rated_at is not None
            changed[i] = replace(
                case,
                title=text.title,
                text=text.text,
                chosen=None,
                closed_at=closed_at,
                rated_at=between(rng, closed_at, closed_at + timedelta(days=3)) if rated else None,
                merged_into=reports[0].id if number else None,
            )
    return changed


def _alone(cases: Sequence[Case]) -> list[int]:
    """Which cases have nothing to do with another one: neither merged nor split, on either side."""
    others = {case.merged_into for case in cases} | {case.split_from for case in cases}
    return [
        i
        for i, case in enumerate(cases)
        if case.merged_into is None and case.split_from is None and case.id not in others
    ]


def _some(rng: random.Random, able: Sequence[int], number: int) -> list[int]:
    """So many of those that are able, or all of them where there are fewer."""
    return rng.sample(able, min(number, len(able)))


def _split(
    rng: random.Random, cases: list[Case], towns: Mapping[str, Town], scale: Scale, *, keep_texts: bool
) -> list[Case]:
    """Some cases told of two matters: one of the other cases is what staff made of the second, meanwhile."""
    able = [i for i in _alone(cases) if _ended_with_room(cases[i])]
    chosen = _some(rng, able, 2 * scale.of(CASES_SPLIT))
    changed = list(cases)
    for whole, i in zip((cases[i] for i in chosen[::2]), chosen[1::2], strict=False):
        part = cases[i]
        filed_at = between(rng, whole.filed_at, whole.closed_at or END)
        closed_at = between(rng, filed_at, filed_at + timedelta(days=rng.triangular(1, 10, 3.5)))
        text = CaseText(part.title, part.text, part.category)
        if not keep_texts:  # it names a place, which now is the other's
            category = part.category or rng.choice(CATEGORIES)
            text = generated_text(rng, towns[whole.town].name, category, resident=whole.origin == "resident")
        changed[i] = replace(
            part,
            split_from=whole.id,
            deputy=whole.deputy,
            county=whole.county,
            town=whole.town,
            origin=whole.origin,
            title=text.title,
            text=text.text,
            filed_at=filed_at,
            closed_at=closed_at,
            rated_at=_soon_after(rng, closed_at, part.rated_at),
        )
    return changed


def _ended_with_room(case: Case) -> bool:
    return case.closed_at is not None and case.closed_at < END - _ROOM


def _soon_after(rng: random.Random, end: datetime, rated_at: datetime | None) -> datetime | None:
    """When a rating is given that waits for a later end; none where none was given."""
    return None if rated_at is None else between(rng, end, end + timedelta(days=3))


def _reopened(rng: random.Random, cases: list[Case], scale: Scale) -> list[Case]:
    """Some of the cases that are closed in the end were sent back once before."""
    able = [i for i in _alone(cases) if cases[i].closed_at is not None]
    changed = list(cases)
    for i in _some(rng, able, scale.of(CASES_REOPENED)):
        case = cases[i]
        changed[i] = replace(case, reopened_at=between(rng, case.filed_at, case.closed_at or END))
    return changed


def _with_lives(rng: random.Random, cases: list[Case], scale: Scale) -> list[Case]:
    """Some cases say by a sentence what else happens to them before they are answered."""
    lives = [(life, words, n) for life, number, words in _LIVES for n in range(scale.of(number))]
    changed = list(cases)
    for i, (life, words, n) in zip(_some(rng, _alone(cases), len(lives)), lives, strict=False):
        changed[i] = replace(
            cases[i],
            text=f"{cases[i].text[:_TEXT_MOST]}{words}",
            life=life,
            extension=n % EXTENSIONS_REFUSED_EVERY != 0 if life == "extended" else None,
        )
    return changed


def _put_by_code(rng: random.Random, cases: list[Case], scale: Scale) -> list[Case]:
    """Some of the residents' cases come by a deputy's code; the plainest of them the deputy explains.

    No two are submitted at the same instant: by it the play finds each again.
    """
    able = [
        i
        for i in _alone(cases)
        if cases[i].origin == "resident" and cases[i].filed_at > LAUNCH + timedelta(hours=1)
    ]
    chosen = _some(rng, able, scale.of(CONCERNS))
    plain = [
        i
        for i in chosen
        if (cases[i].closed_at and not cases[i].rated_at and not cases[i].reopened_at)
        and cases[i].life is None
    ]
    explained = set(plain[: scale.of(CONCERNS_EXPLAINED)])
    taken: set[datetime] = set()
    changed = list(cases)
    for i in chosen:
        case = cases[i]
        earliest = max(LAUNCH, case.filed_at - timedelta(days=2))
        while (submitted_at := between(rng, earliest, case.filed_at)) in taken:
            pass
        taken.add(submitted_at)
        rated_at = None
        if case.closed_at is not None and rng.random() < 0.6:
            rated_at = between(rng, case.closed_at, case.closed_at + timedelta(days=3))
        changed[i] = replace(
            case,
            submitted_at=submitted_at,
            explained=i in explained,
            resident_rated_at=rated_at,
            resident_stars=None if rated_at is None else _stars(rng),
        )
    return changed


def _doubted(rng: random.Random, cases: list[Case], scale: Scale) -> list[Case]:
    """Some residents object to what was explained to them, others have handled again what was closed."""
    able = [
        i
        for i, case in enumerate(cases)
        if case.submitted_at is not None and case.reopened_at is None and _ended_with_room(case)
    ]
    objected = _some(rng, [i for i in able if cases[i].explained], scale.of(CONCERNS_OBJECTED))
    unsatisfied = _some(rng, [i for i in able if not cases[i].explained], scale.of(CONCERNS_UNSATISFIED))
    changed = list(cases)
    for i in objected + unsatisfied:
        case = cases[i]
        ended = case.closed_at or END
        doubted_at = between(rng, ended, ended + timedelta(days=3))
        again = between(rng, doubted_at, doubted_at + timedelta(days=4))
        changed[i] = replace(
            case,
            doubted_at=doubted_at,
            closed_again_at=again,
            rated_at=_soon_after(rng, again, case.rated_at),
            resident_rated_at=_soon_after(rng, again, case.resident_rated_at),
        )
    return changed


def _stars(rng: random.Random) -> int:
    return rng.choices((1, 2, 3, 4, 5), (1, 2, 8, 35, 54))[0]


def _filing_times(rng: random.Random, total: int) -> list[datetime]:
    """Rising instants: working days over weekends, a slow start, a quiet Spring Festival, the storm."""
    days = [LAUNCH.date() + timedelta(days=n) for n in range((END.date() - LAUNCH.date()).days + 1)]
    storm = {STORM_DAY: 14.0, STORM_DAY + timedelta(days=1): 6.0, STORM_DAY + timedelta(days=2): 3.0}
    weights = []
    for n, day in enumerate(days):
        weight = (1.0 if day.weekday() < 5 else 0.55) * (0.6 + 0.6 * min(n / 120, 1.0))
        if date(2022, 1, 31) <= day <= date(2022, 2, 6):
            weight *= 0.3
        weights.append(weight * storm.get(day, 1.0))
    instants = []
    for day, number in zip(days, apportion(total, weights), strict=True):
        earliest, latest = (6.0, 23.5) if day == STORM_DAY else (8.5, 17.5 if day == END.date() else 21.5)
        instants += [clock(day, rng.triangular(earliest, latest, 10.5)) for _ in range(number)]
    return sorted(instants)


def _open_cases(rng: random.Random, total: int, number: int) -> set[int]:
    """Which cases stay open: half of them the last ones filed, the others anywhere."""
    latest = -(-number // 2)
    return set(range(total - latest, total)) | set(rng.sample(range(total - latest), number - latest))
