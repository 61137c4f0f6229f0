"""What the reads answer, for the OpenAPI document and so for the pages' types.

The services answer, and the gateway passes their bytes on unread; these models only describe them. The browser
tests hold every answer that a page got against them. Fields may be added to an answer at any time.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from shared.contracts import cases, evaluation, identity, motions, operations, participation
from shared.contracts.registry import Role


class Answer(BaseModel):
    """One answer, or a part of one."""


class Page(Answer):
    """One page of a list; `total` counts all."""

    total: int
    page: int
    size: int


class Me(Answer):
    """Who one is."""

    person: str
    name: str
    roles: tuple[Role, ...]
    organisation: str | None


class Deputy(Answer):
    """A deputy 人大代表 as the roster has them; `code` is the public code 代表码, `station` the one of the station."""

    id: UUID
    number: str
    name: str
    level: identity.Level
    occupation: identity.Occupation | None
    county: str | None
    town: str | None
    constituency: str
    code: str
    term_from: date
    term_until: date
    state: str
    station: str | None


class DeputyPage(Page):
    """Deputies."""

    items: tuple[Deputy, ...]


class Station(Answer):
    """A station 代表联络站; `code` is its public code, `deputies` how many active ones belong to it."""

    id: UUID
    name: str
    town: str
    code: str
    state: Literal["open", "closed"]
    deputies: int


class StationPage(Page):
    """Stations."""

    items: tuple[Station, ...]


class Department(Answer):
    """A department 承办单位; no counties means all."""

    code: str
    name: str
    categories: tuple[str, ...]
    counties: tuple[str, ...]
    state: str


class DepartmentPage(Page):
    """Departments."""

    items: tuple[Department, ...]


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
    to an explanation or a refusal, by when staff answer.

    `guesses` are told to staff of a case that waits in triage, the best first.
    """

    id: UUID
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
    returned: int
    reopened: int
    accept_by: datetime | None
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
    """A report of a cluster; `title` is told of the first 500 and null, too, once the words were erased."""

    id: UUID
    title: str | None
    state: cases.CaseState
    filed_at: datetime
    likeness: float


class CaseCluster(Answer):
    """Reports of what seems to be one matter, the first filed in front; `parent` is proposed to take the others in."""

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


class DeadLetter(Answer):
    """A message that could not be handled 死信: where it lay, why, and what became of it; never its content."""

    id: UUID
    type: str | None
    topic: str
    partition: int
    offset: int
    appended_at: datetime
    reason: operations.DeadReason
    detail: str
    attempts: int
    state: Literal["dead", "replaying", "replayed"]
    created_at: datetime
    replayed_at: datetime | None


class DeadLetterPage(Page):
    """Dead letters of a service, the newest first."""

    items: tuple[DeadLetter, ...]


class Contact(Answer):
    """A resident's contact data 联系方式."""

    contact: str | None


class RosterFault(Answer):
    """What is wrong with a row of a roster file; `line` is its line in the file."""

    line: int
    column: str
    code: str
    detail: str


class RosterReport(Answer):
    """How far an import of a roster has come, with every fault found."""

    id: UUID
    rows: int
    parts: int
    parts_done: int
    accepted: int
    changed: int
    errors: tuple[RosterFault, ...]


class Notice(Answer):
    """One message of an inbox 消息; `subject` is the id of the thing it is about, `parameters` what belongs to its kind."""

    id: UUID
    kind: str
    subject: str
    at: datetime
    parameters: dict[str, str | int]
    read: bool


class NoticePage(Page):
    """One's inbox, newest first."""

    items: tuple[Notice, ...]
    unread: int


class RubricCategory(Answer):
    """A category of a rubric, and the most points it can count for in a year."""

    title: str
    cap: float | None = None


class RubricItem(Answer):
    """An item 评分项 of a rubric."""

    title: str
    category: str


class RubricYears(Answer):
    """The whole calendar years for which a rubric may count."""

    until: date | None = None


class RubricDocument(Answer):
    """A rubric as it was adopted; points as people write them.

    Rows of a year may be contested for `appeal_days` after its end; without it for ever.
    """

    title: str
    cap: float | None = None
    appeal_days: int | None = None
    effective: RubricYears | None = None
    categories: dict[str, RubricCategory]
    items: dict[str, RubricItem]


class Rubric(Answer):
    """A rubric 评价办法 that was adopted."""

    name: str
    version: int
    effective_from: date
    document: RubricDocument


class RubricText(Answer):
    """An adopted rubric as YAML, to read or to begin a draft from."""

    name: str
    version: int
    effective_from: date
    text: str


class RubricFlaw(Answer):
    """One thing wrong with a rubric: where, in which line, and what, as a code with its values; `reason` says it."""

    path: str
    line: int | None
    code: str
    values: dict[str, str]
    reason: str


class CheckedRubric(Answer):
    """A rubric without flaws; `document` is what simulations and the adoption take."""

    name: str
    version: int
    title: str
    document: dict[str, Any]


class RubricCheck(Answer):
    """What came of checking a rubric: itself, or its flaws."""

    rubric: CheckedRubric | None
    flaws: tuple[RubricFlaw, ...]


class TitledRubric(Answer):
    """A rubric in short."""

    name: str
    version: int
    title: str


class SimulatedGroup(Answer):
    """A group of deputies under two rubrics; means in hundredths of a point."""

    key: str | None
    deputies: int
    rise: int
    fall: int
    present_mean: float
    draft_mean: float


class SimulatedChange(Answer):
    """A deputy under two rubrics: totals in hundredths of a point, ranks from 1."""

    deputy_id: UUID
    number: str | None
    name: str | None
    level: str
    county: str | None
    occupation: identity.Occupation | None
    present: int
    draft: int
    present_rank: int
    draft_rank: int


class Simulation(Answer):
    """A period under the adopted rubrics and under a draft, side by side."""

    begin: date
    until: date
    draft: TitledRubric
    present: tuple[TitledRubric, ...]
    facts: int
    cut: tuple[str, ...]
    deputies: int
    rise: int
    fall: int
    groups: dict[Literal["level", "county", "town", "occupation"], tuple[SimulatedGroup, ...]]
    risers: tuple[SimulatedChange, ...]
    fallers: tuple[SimulatedChange, ...]


class WholeActivity(Answer):
    """Deputies of a place, and how many were active in each month; null where so few would point at persons."""

    deputies: int
    active: tuple[int, ...] | None


class PlaceActivity(WholeActivity):
    """One place, a station by its code; null are deputies of no county, town or station."""

    place: str | None


class ActivityRates(Answer):
    """Activity 活跃率 of a year by month, of the whole and of each place: counties, towns of one, stations of a town."""

    year: int
    county: str | None
    town: str | None
    definition: dict[str, str]
    months: tuple[str, ...]
    whole: WholeActivity
    places: tuple[PlaceActivity, ...]


class GradeName(Answer):
    """A grade 等次."""

    key: str
    title: str


class Standing(Answer):
    """A deputy among their peers; points in hundredths. `reason` says why one is not chosen or ranked."""

    deputy_id: UUID
    number: str
    name: str
    level: str
    county: str | None
    town: str | None
    total: int
    state: str
    peers: tuple[str | None, ...]
    rank: int | None
    grade: GradeName | None
    outstanding: bool
    tied: bool
    reason: str | None


class StandingPage(Page):
    """Deputies by rank."""

    year: int
    items: tuple[Standing, ...]


class RubricName(Answer):
    """Which rubric 评价办法 counted."""

    name: str
    version: int


class TermScore(Answer):
    """A deputy's score of a term 届 up to a year, in hundredths of a point."""

    first_year: int
    last_year: int
    total: int


class Score(Answer):
    """A deputy's score of a year, in hundredths of a point; `term` is null where the rubric knows no term."""

    deputy_id: UUID
    year: int
    total: int
    categories: dict[str, int]
    rubric: RubricName | None
    term: TermScore | None


class Entry(Answer):
    """One fact in the archive 履职档案 and what it counts, in hundredths of a point before caps."""

    item: str
    evidence: str
    event_type: str
    time: datetime
    happened_on: date
    points: int
    rubric: str
    rubric_version: int
    title: str
    category: str


class ScoreCut(Answer):
    """What a cap (or a floor) took from a row or gave to it, in hundredths of a point, with the reason in words."""

    part: str
    key: str
    title: str
    by_cap: bool
    window: str
    limit: int
    points: int
    reason: str


class ScoreLine(Answer):
    """One fact of a year: its points, and what the score grew by after all caps."""

    item: str
    title: str
    category: str
    evidence: str
    happened_on: date
    points: int
    counts: int
    cuts: tuple[ScoreCut, ...]


class ScoreChance(Answer):
    """What would still raise a score: what one more of it adds, and how much there is room for."""

    item: str
    title: str
    adds: int
    room: int


class ScoreExplanation(Answer):
    """A score as the list that adds up to it: `begins` and what each line counts make `total`."""

    year: int
    total: int
    begins: int
    lines: tuple[ScoreLine, ...]
    chances: tuple[ScoreChance, ...]


class Archive(Page):
    """A deputy's archive, newest first."""

    items: tuple[Entry, ...]


class Appeal(Answer):
    """An appeal 申诉 about one row of a score; points in hundredths, `row_points` are the row's now (None: no such row).

    `named_by` says which fields of a fact make the evidence of this item, as `course_id/year`; None without the item.
    """

    id: UUID
    deputy_id: UUID
    kind: evaluation.AppealKind
    item: str
    title: str
    evidence: str
    named_by: str | None
    happened_on: date
    reason: str
    state: evaluation.AppealState
    filed_at: datetime
    row_points: int | None
    answer: str | None
    points: int | None
    decided_at: datetime | None


class AppealPage(Page):
    """Appeals, newest first."""

    items: tuple[Appeal, ...]


class Attendance(Answer):
    """One's own part in an activity."""

    signed_up_at: datetime
    checked_in_at: datetime | None


class Activity(Answer):
    """An activity 代表活动; no county means the whole city. `code` is for staff."""

    id: UUID
    title: str
    kind: participation.ActivityKind
    county: str | None
    starts_at: datetime
    ends_at: datetime
    capacity: int | None
    sign_ups: int
    check_ins: int
    code: str | None = None
    mine: Attendance | None


class ActivityPage(Page):
    """Activities."""

    items: tuple[Activity, ...]


class Attender(Attendance):
    """A deputy's part in an activity."""

    deputy_id: UUID


class AttendancePage(Page):
    """Who signed up for an activity 报名, the earliest first."""

    items: tuple[Attender, ...]


class OwnAnswers(Answer):
    """One's own answers to a consultation."""

    answered_at: datetime
    answers: dict[str, str]


class AskedQuestion(Answer):
    """One question of a consultation."""

    key: str
    text: str
    kind: Literal["choice", "text"]
    options: tuple[str, ...]
    required: bool


class Consultation(Answer):
    """A consultation 意见征集; no county means the whole city.

    For staff: how many answered, how many opinions they wrote, and, of one consultation, how often each option
    of each question was chosen.
    """

    id: UUID
    title: str
    kind: Literal["legislation", "questionnaire"]
    county: str | None
    questions: tuple[AskedQuestion, ...]
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    mine: OwnAnswers | None
    respondents: int | None = None
    opinions: int | None = None
    results: dict[str, dict[str, int]] | None = None


class ConsultationPage(Page):
    """Consultations."""

    items: tuple[Consultation, ...]


class Opinion(Answer):
    """What a deputy wrote to one question of a consultation."""

    deputy_id: UUID
    question: str
    text: str
    answered_at: datetime


class OpinionPage(Page):
    """Opinions, the earliest first."""

    items: tuple[Opinion, ...]


class Duty(Answer):
    """A logged duty 履职登记."""

    id: UUID
    deputy_id: UUID
    kind: participation.DutyKind
    happened_on: date
    note: str
    state: participation.DutyState
    declared_at: datetime
    reason: str | None = None


class DutyPage(Page):
    """Duties."""

    items: tuple[Duty, ...]


class CourseLesson(Answer):
    """One lesson."""

    key: str
    title: str
    minutes: int
    revision: int
    """The course's version that wrote its text; 0 where there is none."""


class LessonText(CourseLesson):
    """A lesson with what there is to read; `text` is the HTML's source, for staff."""

    course_id: UUID
    html: str | None
    written_at: datetime | None
    text: str | None = None


class LessonPreview(Answer):
    """What a lesson's text would look like."""

    html: str


class CourseQuestion(Answer):
    """One question of a quiz; `answer` is the right option of a draft's, for staff."""

    key: str
    text: str
    options: tuple[str, ...]
    answer: int | None = None


class Progress(Answer):
    """How far one is in a course; `mark` is the quiz's per cent."""

    lessons: tuple[str, ...]
    attempts: int
    mark: int | None
    started_at: datetime
    completed_at: datetime | None
    certificate: str | None


class Course(Answer):
    """A course 网上学堂, for staff also as a draft, with how many study it and how many completed it."""

    id: UUID
    title: str
    pass_mark: int
    levels: tuple[identity.Level, ...]
    published_at: datetime | None
    minutes: int
    lessons: tuple[CourseLesson, ...]
    quiz: tuple[CourseQuestion, ...]
    progress: Progress | None
    enrolled: int | None = None
    completed: int | None = None


class CoursePage(Page):
    """Courses."""

    items: tuple[Course, ...]


class Learner(Progress):
    """A deputy's way through a course."""

    deputy_id: UUID


class LearnerPage(Page):
    """Who studies a course 学习情况, the first to begin first."""

    items: tuple[Learner, ...]


class Certificate(Answer):
    """A certificate of a course 结业证书."""

    number: str
    course_id: UUID
    title: str
    minutes: int
    mark: int
    completed_at: datetime
    deputy_id: str


class Due(Answer):
    """A deadline of a motion, with its reason as a sentence and in codes."""

    kind: str
    department: str | None
    at: datetime
    reason: str
    why: tuple[Ground, ...]
    provisional: bool
    promise: int | None
    ended: datetime | None
    met: bool | None


class Handler(Answer):
    """A department's part in a motion: the lead 主办 or a co-handler 会办."""

    department: str
    role: Literal["lead", "co"]
    state: Literal["assigned", "objected", "opined", "released"]
    since: datetime


class Cosigner(Answer):
    """A deputy who was asked to co-sign 联名."""

    deputy: UUID
    state: str
    at: datetime
    digest: str | None


class MotionAnswer(Answer):
    """An answer 答复 to a motion."""

    round: int
    department: str
    result: motions.AnswerClass
    signed_by: str
    public: bool
    at: datetime
    on_time: bool
    text: str | None


class Promise(Answer):
    """A thing that an answer promised 承诺事项."""

    number: int
    department: str
    due: date
    state: str
    text: str | None
    report: str | None
    rating: str | None
    postponed: int = Field(default=0, description="how often a new date was promised")
    late: bool = Field(default=False, description="rated after the deadline")


class PromiseEntry(Answer):
    """A promise in the list across motions 承诺台账; `report_by` is null where nothing is owed."""

    motion_id: UUID
    motion_number: str | None
    title: str | None
    congress: str | None
    number: int
    department: str
    text: str | None
    due: date
    state: str
    made_at: datetime
    reported_at: datetime | None
    report: str | None
    rating: str | None
    postponed: int
    report_by: datetime | None
    overdue: bool


class PromisePage(Page):
    """Promises across motions, by the date they are promised for."""

    items: tuple[PromiseEntry, ...]


class MotionRating(Answer):
    """A rating 评价 of an answer."""

    round: int
    deputy: UUID
    values: dict[str, str]
    at: datetime
    late: bool


class MotionStep(Answer):
    """One step of a motion."""

    number: int
    step: str
    actor: str
    at: datetime
    department: str | None
    deputy: UUID | None
    note: str | None


class Motion(Answer):
    """A motion 议案建议."""

    id: UUID
    kind: motions.MotionKind
    level: identity.Level
    state: motions.MotionState
    version: int
    author_id: UUID
    number: str | None
    secret: bool
    turned: bool
    ground: str | None
    lead: str | None
    co_handlers: tuple[str, ...]
    round: int
    supervised: bool
    from_case: UUID | None
    signers: tuple[UUID, ...]
    drafted_at: datetime
    submitted_at: datetime | None
    answered_at: datetime | None
    closed_at: datetime | None
    due: Due | None
    title: str | None
    committee: str | None = Field(description="the special committee 专门委员会 that deliberates a bill")
    advice: motions.BillDecision | None = Field(description="what that committee advises on the bill")
    bill_outcome: motions.BillOutcome | None = Field(description="how the bill ended")


class WholeMotion(Motion):
    """A motion with its way; who is no party to it sees less."""

    text: str | None = None
    cause: str | None = None
    basis: str | None = None
    plan: str | None = None
    answers: tuple[MotionAnswer, ...]
    deadlines: tuple[Due, ...]
    digest: str | None = None
    cosigners: tuple[Cosigner, ...] = ()
    promises: tuple[Promise, ...] = ()
    ratings: tuple[MotionRating, ...] = ()
    handlers: tuple[Handler, ...] = ()
    extension_asked: int | None = None
    steps: tuple[MotionStep, ...] = Field(default=())


class MotionPage(Page):
    """Motions."""

    items: tuple[Motion, ...]


class Share(Answer):
    """A share with everything it was made from; null where there is nothing to share."""

    share: float | None
    numerator: int
    denominator: int
    left_out: dict[str, int]


class SubmittedMotions(Answer):
    """How many motions were submitted, by kind and level."""

    total: int
    kinds: dict[str, dict[str, int]]


class MotionReport(Answer):
    """The figures of a session 办理情况报告; `measures` says how each is counted."""

    at: datetime
    submitted: SubmittedMotions
    cosigned: int
    signatures: int
    states: dict[str, int]
    accepted: int
    turned: int
    not_accepted: dict[str, int]
    withdrawn: int
    on_time: Share
    classes: dict[str, int]
    satisfaction: dict[str, Share]
    redone: int
    supervised: int
    promises: dict[str, int]
    promises_kept: Share
    bills: dict[str, int]
    measures: dict[str, str]


class MotionNames(Answer):
    """What the rule pack in force names, each a code with its Chinese words.

    `promising` lists the classes of answers that are promises; `answer_unit` is what the answer's limit, and so
    more time for it, is counted in.
    """

    grounds: dict[str, str]
    answer_unit: Literal["hours", "days", "working-days", "months"]
    classes: dict[str, str]
    promising: tuple[str, ...]
    axes: dict[str, str]
    satisfaction: dict[str, str]
