"""The script of the year that the city reported, 2021-07-15 to 2022-06-16. Pure and seeded.

It says who does what and when; the driver plays it. Invariants: every instant lies between LAUNCH and
END; for one thing (a case, a duty, an activity) the instants rise in the order of its steps; every
number equals the reported one at the script's scale; the same seed and scale give the same script.

The reported figures: 7,345 cases 督事 filed and 6,941 closed by 2022-06-16, 12 legislative
consultations, 10 thematic activities, an opening training of county and town deputies on the evening
of 2021-12-31, a questionnaire in April 2022 with 3,642 respondents. Where the report gives only
"more than", or nothing, the number is the script's own and its docstring says so; those of cases stand in `cases`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from simulation.case_texts import CaseText
from simulation.cases import Case, write_cases
from simulation.city import City, Scale
from simulation.motions import Motion, write_session
from simulation.script import END, LAUNCH, between, clock, script_id

TRAINING_DAY = date(2021, 12, 31)

TRAINED = 8_163
"""Script's own for "more than 8,000 county and town deputies"."""
QUESTIONNAIRE_RESPONDENTS = 3_642
QUESTIONNAIRE_OPINIONS = 1_527
"""Script's own for "more than 1,500 written opinions"."""
DUTIES_DECLARED = 6_000
DUTIES_CONFIRMED = 5_400
DUTIES_REJECTED = 260
DUTIES_WITHDRAWN = 120
"""Script's own, all four: the report has no number of logged duties."""

# Legislative consultations: title, day of opening, days open, respondents of the full year (the script's own).
_LEGISLATION = (
    ("文明行为促进条例（修订草案）", date(2021, 7, 26), 21, 412),
    ("养老服务促进条例（草案）", date(2021, 8, 23), 24, 388),
    ("城市绿化条例（修订草案）", date(2021, 9, 13), 20, 305),
    ("生活垃圾分类管理条例（修正草案）", date(2021, 10, 11), 25, 431),
    ("电梯安全条例（草案）", date(2021, 11, 8), 21, 342),
    ("住宅小区物业管理条例（修订草案）", date(2021, 12, 6), 20, 466),
    ("法治乡村建设促进条例（草案）", date(2022, 1, 10), 18, 287),
    ("停车场规划建设和管理条例（修订草案）", date(2022, 2, 14), 24, 395),
    ("水资源管理条例（修订草案）", date(2022, 3, 7), 21, 264),
    ("职业教育校企合作促进条例（草案）", date(2022, 3, 28), 21, 251),
    ("海洋生态环境保护条例（草案）", date(2022, 4, 25), 24, 318),
    ("公共卫生应急条例（草案）", date(2022, 5, 16), 21, 377),
)
_LEGISLATION_OPINION_SHARE = 0.35
# Thematic activities: title, number of the county (None = the whole city), day, sign-ups and check-ins
# of the full year (the script's own).
_ACTIVITIES = (
    ("代表督事平台启用日主题活动", None, date(2021, 7, 30), 620, 561),
    ("防汛防台工作主题监督", None, date(2021, 8, 20), 480, 432),
    ("共同富裕先行主题视察", 5, date(2021, 9, 24), 150, 134),
    ("民生实事项目主题督查", None, date(2021, 10, 29), 540, 497),
    ("山区医疗服务主题调研", 7, date(2021, 11, 19), 140, 121),
    ("安全生产主题视察", 2, date(2021, 12, 10), 120, 109),
    ("春运交通保障主题监督", 4, date(2022, 1, 14), 160, 143),
    ("营商环境优化主题活动", None, date(2022, 3, 11), 560, 508),
    ("清新空气和治水主题监督", 9, date(2022, 4, 22), 170, 151),
    ("助企纾困代表在行动", None, date(2022, 5, 27), 650, 588),
)
_LESSONS = (
    ("constitution", "宪法和人民代表大会制度", 45),
    ("deputy-law", "代表法与代表的权利义务", 40),
    ("motions", "怎样提出高质量的建议", 35),
    ("contact", "联系群众与联络站工作", 30),
    ("daibiaotong", "代表通的使用", 25),
)
_QUIZ = (
    ("q1", "县级人民代表大会每届任期是几年？", ("三年", "四年", "五年"), 2),
    ("q2", "代表提出的建议由谁交办？", ("有关机关、组织", "代表自己", "新闻单位"), 0),
    ("q3", "代表在闭会期间的活动以什么为主？", ("个人活动", "集体活动", "网上活动"), 1),
    ("q4", "代表视察时能否直接处理问题？", ("能", "不能", "视情况"), 1),
    ("q5", "代表应当怎样联系群众？", ("不必联系", "只在换届时", "经常、密切"), 2),
)
_PASS_MARK = 60
_DUTY_KINDS = (
    ("inspection", "参加视察，查看现场并提出意见"),
    ("research", "开展专题调研，走访企业和村社"),
    ("reception", "在代表联络站接待选民"),
    ("visit", "走访联系选区群众"),
    ("hearing", "参加听证会、座谈会"),
    ("meeting", "参加代表小组会议"),
)
_OPINIONS = (
    "建议增加基层代表的学习机会，多安排现场教学。",
    "希望督事办理结果能及时反馈到村社，让群众看得见。",
    "建议完善代表联络站的接待制度，固定时间、固定人员。",
    "草案中关于责任单位的条款还可以再具体一些。",
    "处罚条款要与上位法衔接，建议明确执法主体。",
    "希望加强对老年人的服务，保留线下渠道。",
    "建议增加对农村地区的支持措施和经费保障。",
    "平台操作比较方便，希望增加大字版。",
    "建议把群众意见较多的问题列入民生实事项目。",
    "建议加强部门协同，避免推诿。",
)


@dataclass(frozen=True, slots=True)
class Attendee:
    """A deputy's way through the training: the lessons studied and quiz answered before, then completed."""

    deputy: int
    progressed_at: datetime
    completed_at: datetime
    answers: dict[str, int]


@dataclass(frozen=True)
class Training:
    """The opening training 初任培训 of county and town deputies."""

    id: UUID
    title: str
    published_at: datetime
    lessons: tuple[tuple[str, str, int], ...]
    quiz: tuple[tuple[str, str, tuple[str, ...], int], ...]
    pass_mark: int
    attendees: tuple[Attendee, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A deputy's answer to a consultation."""

    deputy: int
    at: datetime
    answers: dict[str, str] = field(repr=False)

    @property
    def opinions(self) -> int:
        """Answers in words."""
        return int("opinion" in self.answers)


@dataclass(frozen=True)
class Consultation:
    """A consultation on a draft law, or the questionnaire; `questions` as the gateway takes them."""

    id: UUID
    title: str
    kind: str
    opened_at: datetime
    closes_at: datetime
    questions: tuple[dict[str, object], ...] = field(repr=False)
    answers: tuple[Answer, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attendance:
    """A deputy's sign-up for an activity, and the check-in of who came."""

    deputy: int
    signed_up_at: datetime
    checked_in_at: datetime | None


@dataclass(frozen=True)
class Activity:
    """A thematic activity 主题活动; `county` None means the whole city."""

    id: UUID
    title: str
    county: str | None
    announced_at: datetime
    starts_at: datetime
    ends_at: datetime
    attendances: tuple[Attendance, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Duty:
    """A logged duty 履职登记; `fate` is confirmed, rejected, withdrawn, or declared while nobody decided."""

    id: UUID
    deputy: int
    kind: str
    happened_on: date
    note: str = field(repr=False)
    declared_at: datetime
    fate: str
    decided_at: datetime | None


@dataclass(frozen=True)
class Year:
    """The whole script."""

    seed: int
    scale: Scale
    cases: tuple[Case, ...] = field(repr=False)
    training: Training
    consultations: tuple[Consultation, ...] = field(repr=False)
    activities: tuple[Activity, ...] = field(repr=False)
    duties: tuple[Duty, ...] = field(repr=False)
    motions: tuple[Motion, ...] = field(repr=False)

    def command_id(self, name: str) -> UUID:
        """The id of the command that a name stands for: the same in every play of this script."""
        return script_id(self.seed, self.scale, name)


def write_year(city: City, seed: int, scale: Scale, messages: Sequence[CaseText] = ()) -> Year:
    """The script of a city's year; `messages` replace the generated texts of the cases.

    Raises ValueError when there are fewer messages than the script has cases.
    """
    return Year(
        seed=seed,
        scale=scale,
        cases=write_cases(city, seed, scale, messages),
        training=_training(city, seed, scale),
        consultations=_consultations(city, seed, scale),
        activities=_activities(city, seed, scale),
        duties=_duties(city, seed, scale),
        motions=write_session(city, seed, scale),
    )


def _training(city: City, seed: int, scale: Scale) -> Training:
    rng = random.Random(f"{seed}/training")
    eligible = [i for i, deputy in enumerate(city.deputies) if deputy.level != "city"]
    most_wrong = len(_QUIZ) * (100 - _PASS_MARK) // 100
    attendees = []
    for deputy in rng.sample(eligible, scale.of(TRAINED)):
        wrong = set(rng.sample(range(len(_QUIZ)), rng.choice((0, 0, 0, 1, most_wrong))))
        answers = {
            key: (right + 1) % len(options) if i in wrong else right
            for i, (key, _, options, right) in enumerate(_QUIZ)
        }
        attendees.append(
            Attendee(
                deputy,
                clock(date(2021, 12, 20) + timedelta(days=rng.randrange(11)), rng.uniform(8, 21)),
                clock(TRAINING_DAY, rng.triangular(19.0, 21.5, 19.75)),
                answers,
            )
        )
    return Training(
        id=script_id(seed, scale, "training"),
        title="新一届县乡人大代表初任培训",
        published_at=clock(date(2021, 12, 17), 9.0),
        lessons=_LESSONS,
        quiz=_QUIZ,
        pass_mark=_PASS_MARK,
        attendees=tuple(sorted(attendees, key=lambda a: a.completed_at)),
    )


def _consultations(city: City, seed: int, scale: Scale) -> tuple[Consultation, ...]:
    rng = random.Random(f"{seed}/consultations")
    law: tuple[dict[str, object], ...] = (
        {
            "key": "attitude",
            "text": "您对草案的总体意见是？",
            "kind": "choice",
            "options": ["赞成", "基本赞成", "不赞成"],
            "required": True,
        },
        {"key": "opinion", "text": "请写下修改意见", "kind": "text"},
    )
    questionnaire: tuple[dict[str, object], ...] = (
        {
            "key": "usefulness",
            "text": "平台对您履职有帮助吗？",
            "kind": "choice",
            "options": ["很有帮助", "有帮助", "一般", "没有帮助"],
            "required": True,
        },
        {
            "key": "channel",
            "text": "您最常用哪个渠道联系群众？",
            "kind": "choice",
            "options": ["联络站", "代表码", "走访", "电话"],
            "required": True,
        },
        {"key": "opinion", "text": "请写下您的意见和建议", "kind": "text"},
    )
    consultations = []
    for n, (title, day, days, full) in enumerate(_LEGISLATION):
        respondents = scale.of(full)
        consultations.append(
            Consultation(
                id=script_id(seed, scale, f"consultation/{n}"),
                title=title,
                kind="legislation",
                opened_at=(opened := clock(day, 9.0)),
                closes_at=(closes := clock(day + timedelta(days=days), 18.0)),
                questions=law,
                answers=_answers(
                    rng,
                    city,
                    law,
                    respondents,
                    round(respondents * _LEGISLATION_OPINION_SHARE),
                    opened,
                    closes,
                ),
            )
        )
    opened, closes = clock(date(2022, 4, 1), 9.0), clock(date(2022, 4, 30), 18.0)
    consultations.append(
        Consultation(
            id=script_id(seed, scale, "questionnaire"),
            title="代表履职平台使用情况问卷调查",
            kind="questionnaire",
            opened_at=opened,
            closes_at=closes,
            questions=questionnaire,
            answers=_answers(
                rng,
                city,
                questionnaire,
                scale.of(QUESTIONNAIRE_RESPONDENTS),
                scale.of(QUESTIONNAIRE_OPINIONS),
                opened,
                closes,
            ),
        )
    )
    return tuple(consultations)


def _answers(
    rng: random.Random,
    city: City,
    questions: tuple[dict[str, object], ...],
    respondents: int,
    opinions: int,
    opened: datetime,
    closes: datetime,
) -> tuple[Answer, ...]:
    given = []
    for n, deputy in enumerate(rng.sample(range(len(city.deputies)), respondents)):
        answers: dict[str, str] = {}
        for question in questions:
            options = question.get("options")
            if isinstance(options, list):
                answers[str(question["key"])] = rng.choices(options, range(len(options) * 2, 0, -2))[0]
        if n < opinions:
            answers["opinion"] = "".join(rng.sample(_OPINIONS, rng.randint(1, 2)))
        given.append(Answer(deputy, between(rng, opened, closes), answers))
    return tuple(sorted(given, key=lambda answer: answer.at))


def _activities(city: City, seed: int, scale: Scale) -> tuple[Activity, ...]:
    rng = random.Random(f"{seed}/activities")
    activities = []
    for n, (title, county_number, day, signed_up, came) in enumerate(_ACTIVITIES):
        county = None if county_number is None else city.counties[county_number % len(city.counties)].code
        eligible = [i for i, deputy in enumerate(city.deputies) if county in (None, deputy.county)]
        # A small county at a small scale may have fewer deputies than the script would send.
        participants = rng.sample(eligible, min(scale.of(signed_up), len(eligible)))
        attended = min(scale.of(came), len(participants))
        announced, starts, ends = clock(day - timedelta(days=12), 9.0), clock(day, 9.0), clock(day, 17.0)
        activities.append(
            Activity(
                id=script_id(seed, scale, f"activity/{n}"),
                title=title,
                county=county,
                announced_at=max(announced, LAUNCH),
                starts_at=starts,
                ends_at=ends,
                attendances=tuple(
                    Attendance(
                        deputy,
                        between(rng, max(announced, LAUNCH), starts - timedelta(hours=12)),
                        clock(day, rng.uniform(9.0, 10.5)) if k < attended else None,
                    )
                    for k, deputy in enumerate(participants)
                ),
            )
        )
    return tuple(activities)


def _duties(city: City, seed: int, scale: Scale) -> tuple[Duty, ...]:
    rng = random.Random(f"{seed}/duties")
    total = scale.of(DUTIES_DECLARED)
    confirmed, rejected, withdrawn = map(scale.of, (DUTIES_CONFIRMED, DUTIES_REJECTED, DUTIES_WITHDRAWN))
    fates = ["confirmed"] * confirmed + ["rejected"] * rejected + ["withdrawn"] * withdrawn
    fates += ["declared"] * (total - len(fates))
    rng.shuffle(fates)
    last_day = (END.date() - LAUNCH.date()).days - 4
    duties: dict[tuple[int, str, date], Duty] = {}
    while len(duties) < total:
        kind, note = rng.choice(_DUTY_KINDS)
        deputy = rng.randrange(len(city.deputies))
        happened_on = LAUNCH.date() + timedelta(days=rng.randint(1, last_day))
        if (deputy, kind, happened_on) in duties:
            continue
        fate = fates[len(duties)]
        declared_at = clock(happened_on + timedelta(days=rng.randint(0, 2)), rng.uniform(18, 22))
        decided_at = (
            None if fate == "declared" else between(rng, declared_at, declared_at + timedelta(days=5))
        )
        duties[deputy, kind, happened_on] = Duty(
            script_id(seed, scale, f"duty/{len(duties)}"),
            deputy,
            kind,
            happened_on,
            note,
            declared_at,
            fate,
            decided_at,
        )
    return tuple(duties.values())
