"""What `cases` answers about cases 督事: them and their way, what is like them, the overview; of motions see `motions`.

Photos and documents that the gateway itself takes in stand beside those of a case.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import cases


class Ground(Answer):
    """One ground of a routing or of a deadline: a code, and what belongs to it."""

    code: str
    about: dict[str, str]


class CaseStep(Answer):
    """One step of a case: what, who, when, why; `why` says in codes what `reason` says."""

    number: int
    step: str
    actor: str
    at: datetime
    department: str | None
    reason: str | None
    why: tuple[Ground, ...]
    text: str | None
    answer_by: datetime | None
    dates_reason: str | None


class RelatedCase(Answer):
    """A case that was merged into, or split from, another."""

    id: UUID
    state: cases.CaseState
    merged_into: UUID | None
    split_from: UUID | None


class Guess(Answer):
    """A category that a case's words suggest, and how sure that is."""

    category: str
    confidence: float


class CasePosition(Answer):
    """Where a case is, in degrees of WGS-84 (maps made in China show GCJ-02); `accuracy` in metres."""

    latitude: float
    longitude: float
    accuracy: int | None


class Case(Answer):
    """A case 督事; title, text and position are null once they were erased, `deputy_id` where staff filed it themselves.

    `take_up_by` is by when what a resident submitted is to be taken up; once the resident has `objected` 不同意见
    to an explanation or a refusal, by when staff answer. `stars` are the deputy's; of what a resident submitted it
    is the resident's own rating that counts, as a whole, of the attitude and of the result.

    `designated`: it came back too often and was given to its department for good 首接负责, which cannot return it;
    `designates`: whoever staff send it to next is so designated. `accept_why` and `dates_why` are the grounds of
    `accept_by` and `answer_by`.

    `guesses` are told to staff of a case that waits in triage, the best first. `receipt` is the number 回执编号 that
    the resident was given where one submitted it.
    """

    id: UUID
    receipt: str | None
    version: int
    state: cases.CaseState
    deputy_id: UUID | None
    county: str
    town: str | None
    origin: cases.Origin
    category: str | None
    urgency: cases.Urgency
    department: str | None
    co_handlers: tuple[str, ...]
    reason: str | None
    result: cases.Result | None
    stars: int | None
    resident_stars: int | None
    resident_attitude: int | None
    resident_result: int | None
    returned: int
    designated: bool
    designates: bool
    reopened: int
    accept_by: datetime | None
    accept_why: tuple[Ground, ...]
    answer_by: datetime | None
    dates_reason: str | None
    dates_why: tuple[Ground, ...]
    chased: int
    answered_at: datetime | None
    on_time: bool | None
    late: bool
    closed_at: datetime | None
    merged_into: UUID | None
    split_from: UUID | None
    take_up_by: datetime | None
    objected: bool
    followers: tuple[UUID, ...]
    filed_at: datetime
    changed_at: datetime
    title: str | None
    text: str | None
    position: CasePosition | None
    contact: str | None = None
    guesses: tuple[Guess, ...] | None = None


class CasePhoto(Answer):
    """A photo of a case 照片, under /api/cases/{id}/photos/{digest} once it is kept; `step` brought it."""

    digest: str
    step: int
    state: Literal["claimed", "kept", "missing"]


class CaseDocument(CasePhoto):
    """A document of a case 文件, under /api/cases/{id}/documents/{digest}; its size is known once it is kept."""

    bytes: int | None


class Photo(Answer):
    """An uploaded photo 照片, in pixels; commands name it by its digest."""

    digest: str
    width: int
    height: int


class Document(Answer):
    """An uploaded document 文件, as it was made anew; commands name it by its digest."""

    digest: str
    pages: int


class WholeCase(Case):
    """A case with its way."""

    answer: str | None
    photos: tuple[CasePhoto, ...]
    documents: tuple[CaseDocument, ...]
    steps: tuple[CaseStep, ...]
    related: tuple[RelatedCase, ...]


class CasePage(Page):
    """Cases; `next` is the address of what comes behind them."""

    items: tuple[Case, ...]
    next: str | None
    total_is_estimate: bool


class Ratio(Answer):
    """An honest figure: no ratio where nothing counts."""

    numerator: int
    denominator: int
    ratio: float | None


class OverviewPart(Answer):
    """How the cases of a place or a period stand; `figures` by the key of the metric registry."""

    filed: int
    open: int
    overdue: int
    figures: dict[str, Ratio]


class OverviewPlace(OverviewPart):
    """One place; null are cases without a town."""

    place: str | None


class OverviewPeriod(OverviewPart):
    """One day or month, as it is written."""

    period: str


class Overview(Answer):
    """The overview 工作概览 of a span of time."""

    as_of: datetime
    filed_from: datetime
    filed_until: datetime
    whole: OverviewPart
    places: tuple[OverviewPlace, ...]
    trend: tuple[OverviewPeriod, ...]


class Likeness(Answer):
    """Why a case is thought to be about the same."""

    likeness: float
    place: Literal["same-town", "same-county"]
    days_apart: int
    same_category: bool


class SimilarCase(Answer):
    """An open case about the same; others' cases are told without title and department."""

    id: UUID
    category: str | None
    county: str
    town: str | None
    state: cases.CaseState
    filed_at: datetime
    followers: int
    mine: bool
    joined: bool
    score: float
    why: Likeness
    title: str | None = None
    department: str | None = None


class SimilarCases(Answer):
    """Open cases about the same 相似事项, most alike first."""

    items: tuple[SimilarCase, ...]


class ClusteredCase(Answer):
    """A report of a cluster; the list of cases tells titles (`among`)."""

    id: UUID
    state: cases.CaseState
    filed_at: datetime
    likeness: float


class CaseCluster(Answer):
    """Reports of what seems to be one matter, the first filed in front; `parent`, whose title this is, is proposed to take the others in."""

    parent: UUID
    title: str | None
    category: str | None
    department: str | None
    county: str
    town: str | None
    size: int
    first_filed_at: datetime
    last_filed_at: datetime
    cases: tuple[ClusteredCase, ...]


class CaseClusters(Answer):
    """Clusters of open reports 集中反映, the largest first."""

    items: tuple[CaseCluster, ...]


class Contact(Answer):
    """A resident's contact data 联系方式."""

    contact: str | None
