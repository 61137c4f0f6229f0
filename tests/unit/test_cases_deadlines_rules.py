"""Each value of each shipped pack against its article, and each limit against a date worked out by hand.

The articles' content is told in our own words. Dates were counted on another calendar library than the one
that the code uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pytest

from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import load, parameters
from services.cases.deadlines.reckoning import CHINA, Extension, Limit, Pause, deadline
from services.cases.deadlines.rules import Setting

PACKS = {pack.name: pack for pack in load()}
CALENDAR = ChinaCalendar()

# Each pack counts across another holiday: 国庆 2021, 春节 2022, 春节 2025.
BEGIN = {
    "ningbo-2016": datetime(2021, 9, 28, 10, tzinfo=CHINA),
    "qingdao-2021": datetime(2022, 1, 28, 10, tzinfo=CHINA),
    "chongqing-2018": datetime(2025, 1, 24, 10, tzinfo=CHINA),
}
OWN = "本平台默认值"
Example = tuple[str, str, str]

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "ningbo-2016": (
        # No time limits of the four platforms are published: figures of other hotlines, or our own.
        ("cases.take_up", "2021-09-30", OWN),
        ("cases.triage", "2021-09-29", OWN),
        ("cases.accept", "2021-09-29", OWN),
        ("cases.answer.urgent", "2021-09-28", "热线规则"),  # an emergency: the same day
        ("cases.answer.inquiry", "2021-10-08", "热线规则"),  # a question or call for help: 3 working days
        ("cases.answer.normal", "2021-10-11", "热线规则"),  # as a rule: 5 working days
        ("cases.answer.complex", "2021-10-21", "热线规则"),  # a complaint or proposal: 13 working days
        ("cases.extension", "2021-10-18", "热线规则"),  # at most 10 working days more
        ("cases.hand_back", "2021-09-30", "热线规则"),  # 2 working days, with the reason
        ("cases.reopen", "2021-10-28", OWN),
        ("cases.objection", "2021-10-11", OWN),
        ("cases.urge", "2021-09-29", "热线规则"),  # urged on the day after it is overdue
        ("cases.supervise", "2021-10-11", "热线规则"),  # named publicly 5 working days after that
        ("cases.close_reminder", "2021-10-08", OWN),  # 1 October is a day off
        ("cases.close_late", "2021-10-08", OWN),
        ("cases.rating_reminder", "2021-10-08", OWN),  # 1 October is a day off
        ("cases.waiting", "2021-10-13", OWN),
        # §10: who receives it outside a session tells the deputy within seven days (5 October is a day off).
        ("motions.assign", "2021-10-08", "浙江规定第十条"),
        # §14: not one's own business: say so within ten days of receiving it, and never sit on it.
        ("motions.object", "2021-10-08", "浙江规定第十四条"),
        # §14: then it is assigned anew without delay; no figure.
        ("motions.reassign", "2021-10-18", OWN),
        # §18: a co-handling body writes to the lead body within two months of receiving it (28 November: Sunday).
        ("motions.opinion", "2021-11-29", "浙江规定第十八条"),
        # §21: a written answer within three months, with consent within six.
        ("motions.answer", "2021-12-28", "浙江规定第二十一条"),
        ("motions.answer_latest", "2022-03-28", "浙江规定第二十一条"),
        # §24: an answer that does not satisfy is worked on again and given anew within a month.
        ("motions.redo", "2021-10-28", "浙江规定第二十四条"),
        # §23: the deputy gives feedback; no figure.
        ("motions.unstated", "2021-12-28", OWN),
        # §20: what was promised is followed up and answered again once done; no figure.
        ("motions.promise", "2021-10-28", OWN),
        # Bills: 上海's fifteen and thirty days between sessions; two months and a year are how often must be met.
        ("motions.refer", "2021-10-13", OWN),
        ("motions.committee", "2021-10-28", OWN),
        ("motions.adopt", "2021-11-29", OWN),  # 28 November is a Sunday
        ("motions.conclude", "2022-09-28", OWN),
    ),
    "qingdao-2021": (
        ("cases.take_up", "2022-01-30", OWN),
        ("cases.triage", "2022-01-29", OWN),
        ("cases.accept", "2022-01-29", OWN),  # a Saturday that is worked
        ("cases.answer.urgent", "2022-01-28", OWN),
        (
            "cases.answer.inquiry",
            "2022-02-09",
            "山东热线",
        ),  # an answer within 5 working days, whatever the kind
        ("cases.answer.normal", "2022-02-09", "山东热线"),
        ("cases.answer.complex", "2022-02-09", "山东热线"),
        ("cases.extension", "2022-02-16", "山东热线"),  # at most 10 working days more
        ("cases.hand_back", "2022-01-30", "山东热线"),  # 2 working days, with the reason
        ("cases.reopen", "2022-02-28", OWN),
        ("cases.objection", "2022-02-09", OWN),
        ("cases.urge", "2022-01-29", OWN),
        ("cases.supervise", "2022-02-09", OWN),
        ("cases.close_reminder", "2022-02-07", OWN),
        ("cases.close_late", "2022-02-07", OWN),  # the first day after the Spring Festival
        ("cases.rating_reminder", "2022-02-07", OWN),
        ("cases.waiting", "2022-02-14", OWN),  # 12 February is a Saturday off
        # §14: outside a session it is assigned within five working days of receiving it.
        ("motions.assign", "2022-02-09", "青岛条例第十四条"),
        # §19: not one's own business: say so in writing within five working days of receiving it.
        ("motions.object", "2022-02-09", "青岛条例第十九条"),
        ("motions.reassign", "2022-02-16", OWN),  # §19 names no figure
        # §24: a co-handling body writes to the lead body within one month of receiving it.
        ("motions.opinion", "2022-02-28", "青岛条例第二十四条"),
        # §25: an answer within three months of the assignment, at the very latest within six.
        ("motions.answer", "2022-04-28", "青岛条例第二十五条"),
        ("motions.answer_latest", "2022-07-28", "青岛条例第二十五条"),
        ("motions.unstated", "2022-04-28", OWN),  # §31 names no figure for the feedback
        # §31 lets it be worked on again and names no figure; Shandong's rules: one month.
        ("motions.redo", "2022-02-28", "山东办法"),
        ("motions.promise", "2022-02-28", OWN),  # §27: progress is reported without delay
        ("motions.refer", "2022-02-14", OWN),  # 12 February is a Saturday off
        ("motions.committee", "2022-02-28", OWN),  # 27 February is a Sunday
        ("motions.adopt", "2022-03-28", OWN),
        ("motions.conclude", "2023-01-28", OWN),  # a Saturday that is worked
    ),
    "chongqing-2018": (
        ("cases.take_up", "2025-01-27", OWN),
        ("cases.triage", "2025-01-26", OWN),
        ("cases.accept", "2025-01-26", OWN),  # a Sunday that is worked
        ("cases.answer.urgent", "2025-01-24", OWN),
        ("cases.answer.inquiry", "2025-02-05", OWN),
        ("cases.answer.normal", "2025-02-07", OWN),
        ("cases.answer.complex", "2025-02-20", OWN),
        ("cases.extension", "2025-02-13", OWN),
        ("cases.hand_back", "2025-01-27", OWN),
        ("cases.reopen", "2025-02-24", OWN),
        ("cases.objection", "2025-02-07", OWN),
        ("cases.urge", "2025-01-26", OWN),  # the day after is a Saturday
        ("cases.supervise", "2025-02-07", OWN),
        ("cases.close_reminder", "2025-01-27", OWN),
        ("cases.close_late", "2025-02-05", OWN),  # 3 February lies in the Spring Festival
        ("cases.rating_reminder", "2025-01-27", OWN),
        ("cases.waiting", "2025-02-08", OWN),  # a Saturday that is worked
        # §13: outside a session it is assigned within ten working days of receiving it.
        ("motions.assign", "2025-02-13", "重庆条例第十三条"),
        # §16: not one's own business: say so within ten working days of the assignment; ten more to assign anew.
        ("motions.object", "2025-02-13", "重庆条例第十六条"),
        ("motions.reassign", "2025-02-13", "重庆条例第十六条"),
        # §18: get in touch with the deputy within twenty working days of receiving it.
        ("motions.first_contact", "2025-02-27", "重庆条例第十八条"),
        # §20: a co-handling body writes to the lead body within thirty working days of the assignment.
        ("motions.opinion", "2025-03-13", "重庆条例第二十条"),
        # §21: an answer within three months of the assignment; where it is wide and hard, within six.
        ("motions.answer", "2025-04-24", "重庆条例第二十一条"),
        ("motions.answer_latest", "2025-07-24", "重庆条例第二十一条"),
        # §27, §28: the deputy rates the answer, and how a promise was kept, within twenty working days.
        ("motions.feedback", "2025-02-27", "重庆条例第二十七条"),
        # §27: an answer that does not satisfy is given anew within two months of being asked to.
        ("motions.redo", "2025-03-24", "重庆条例第二十七条"),
        ("motions.promise", "2025-02-24", OWN),  # §24: once a year in the fourth quarter; no day
        ("motions.refer", "2025-02-08", OWN),  # a Saturday that is worked
        ("motions.committee", "2025-02-24", OWN),  # 23 February is a Sunday
        ("motions.adopt", "2025-03-24", OWN),
        ("motions.conclude", "2026-01-26", OWN),  # 24 January is a Saturday
    ),
}

ALL = [(pack, *example) for pack, examples in EXAMPLES.items() for example in examples]


def written(day: date) -> str:
    """A day as people write it."""
    return f"{day.year}年{day.month}月{day.day}日"


@pytest.mark.parametrize(("pack", "parameter", "end", "article"), ALL, ids=str)
def test_a_limit_ends_on_the_day_that_its_article_gives(
    pack: str, parameter: str, end: str, article: str
) -> None:
    limit = parameters(PACKS[pack])[parameter]
    assert isinstance(limit, Limit)
    found = deadline("", limit, BEGIN[pack], CALENDAR)
    assert str(found.day) == end
    assert limit.source.startswith(article)
    # The reason names what ends, when, since what, how long and by which rule.
    until, begin = written(found.day), written(BEGIN[pack])
    assert found.reason.startswith(f"{limit.title} {until}：{limit.since} {begin}")
    assert str(limit) in found.reason
    assert f"（{limit.source}）" in found.reason
    assert not found.provisional


@pytest.mark.parametrize("pack", PACKS)
def test_no_limit_of_a_pack_goes_without_an_example(pack: str) -> None:
    limits = {name for name, value in parameters(PACKS[pack]).items() if isinstance(value, Limit)}
    assert limits == {example[0] for example in EXAMPLES[pack]}


def _area(south: float, west: float, north: float, east: float) -> dict[str, tuple[Any, str]]:
    """The box of positions, around the extent that the city publishes."""
    sides = {"south": south, "west": west, "north": north, "east": east}
    return {f"cases.area.{side}": (degrees, OWN) for side, degrees in sides.items()}


# What is no limit: the value, and the article that it comes from.
SETTINGS: dict[str, dict[str, tuple[Any, str]]] = {
    "ningbo-2016": {
        **_area(28.8, 120.8, 30.6, 122.4),
        "cases.extensions": (2, OWN),
        "cases.returns": (2, OWN),
        # §9 leaves it to the lead to let co-signers know the text; here each of them confirms it.
        "motions.cosigning": ("each-confirms", "浙江规定第九条"),
        # §22: every deputy who signed is answered separately.
        "motions.answers_to": ("every-signer", "浙江规定第二十二条"),
        # §20: what is being solved, or stands in a plan, is answered again once solved.
        "motions.promising": (("B", "C"), "浙江规定第二十条"),
        "motions.late_feedback": ("counted", OWN),
        "motions.unsatisfied": (("unsatisfied",), "浙江规定第二十四条"),
    },
    "qingdao-2021": {
        **_area(35.5, 119.4, 37.2, 121.1),
        "cases.extensions": (1, OWN),
        "cases.returns": (2, OWN),
        # §9: co-signers confirm that the text says what they mean.
        "motions.cosigning": ("each-confirms", "青岛条例第九条"),
        # §28: mainly the lead is answered, who passes it on.
        "motions.answers_to": ("lead-passes-on", "青岛条例第二十八条"),
        # §27: what takes more than the year goes into the book of promises.
        "motions.promising": (("C",), "青岛条例第二十七条"),
        "motions.late_feedback": ("counted", OWN),
        "motions.unsatisfied": (("unsatisfied",), "青岛条例第三十一条"),
    },
    "chongqing-2018": {
        **_area(28.1, 105.1, 32.3, 110.3),
        "cases.extensions": (1, OWN),
        "cases.returns": (2, OWN),
        # §8: co-signers confirm that the text says what they mean.
        "motions.cosigning": ("each-confirms", "重庆条例第八条"),
        # §23: every deputy who signed is answered.
        "motions.answers_to": ("every-signer", "重庆条例第二十三条"),
        # §24: what is being studied and solved goes into the book of promises.
        "motions.promising": (("B",), "重庆条例第二十四条"),
        # §29: who does not rate in time, even when urged, is left out of the satisfaction figures.
        "motions.late_feedback": ("excluded", "重庆条例第二十九条"),
        "motions.unsatisfied": (("unsatisfied",), "重庆条例第二十七条"),
    },
}

# Which grounds a text lists, by its article, and how many signers are needed (地方组织法 §22).
GROUNDS = {
    "ningbo-2016": (
        "浙江规定第六条",
        {"personal", "forwarded", "academic-or-promotion", "no-content", "pending-case", "bidding", "other"},
    ),
    "qingdao-2021": (
        "青岛条例第十一条",
        {"personal", "forwarded", "academic-or-promotion", "no-content", "pending-case", "other"},
    ),
    "chongqing-2018": (
        "重庆条例第九条",
        {"personal", "forwarded", "academic-or-promotion", "pending-case", "accusation", "other"},
    ),
}


@pytest.mark.parametrize("name", PACKS)
def test_what_is_no_limit_is_as_its_article_says(name: str) -> None:
    pack = PACKS[name]
    plain = {
        key: value
        for key, value in parameters(pack).items()
        if isinstance(value, Setting)
        and key.split(".")[1] not in {"signers", "grounds", "classes", "axes", "satisfaction"}
    }
    assert {key: value.value for key, value in plain.items()} == {
        key: value for key, (value, _) in SETTINGS[name].items()
    }
    assert [key for key, value in plain.items() if not value.source.startswith(SETTINGS[name][key][1])] == []
    article, grounds = GROUNDS[name]
    assert set(pack.motions.grounds.value) == grounds
    assert pack.motions.grounds.source == article
    assert set(pack.motions.classes.value) == set("ABCD")
    assert list(pack.motions.axes.value) == ["attitude", "result"]
    assert list(pack.motions.satisfaction.value.values()) == ["满意", "基本满意", "不满意", "未表态"]


@pytest.mark.parametrize("name", PACKS)
def test_ten_deputies_sign_a_bill_from_the_county_up_and_five_in_a_town(name: str) -> None:
    signers = PACKS[name].motions.signers
    assert signers.value["bill"] == {"city": 10, "county": 10, "town": 5}
    assert set(signers.value["suggestion"].values()) == {1}
    assert signers.source.startswith("地方组织法第二十二条")


def test_where_no_article_sets_a_limit_there_is_none() -> None:
    for name in ("ningbo-2016", "qingdao-2021"):
        assert PACKS[name].motions.first_contact is None
        assert PACKS[name].motions.feedback is None
    assert PACKS["chongqing-2018"].motions.unstated is None, (
        "there the limit for the feedback ends the handling"
    )


@pytest.mark.parametrize("name", PACKS)
def test_every_pack_says_that_an_office_has_still_to_confirm_it(name: str) -> None:
    pack = PACKS[name]
    assert pack.confirmed_by is None
    assert "待采用机关确认" in pack.sources[OWN]


def test_an_answer_with_consent_and_a_pause_is_explained_to_the_end() -> None:
    rules = PACKS["ningbo-2016"].motions
    begin = datetime(2022, 1, 20, 9, tzinfo=CHINA)
    found = deadline(
        "",
        rules.answer,
        begin,
        CALENDAR,
        extensions=[
            Extension(
                Limit(3, "months", "浙江规定第二十一条"), "交办机构", datetime(2022, 4, 11, 9, tzinfo=CHINA)
            )
        ],
        pauses=[Pause(datetime(2022, 3, 1, 9, tzinfo=CHINA), datetime(2022, 3, 11, 9, tzinfo=CHINA))],
    )
    # Six months end on 20 July; ten days more is 30 July, a Saturday.
    assert found.day == date(2022, 8, 1)
    assert found.reason == (
        "答复期限 2022年8月1日：交办 2022年1月20日起 3 个月（浙江规定第二十一条）；延期 3 个月，2022年4月11日经交办机构同意"
        "；2022年3月1日起暂停 10 天等待当事人；2022年7月30日休息，顺延至下一工作日"
    )


def test_the_two_packs_of_the_same_step_give_two_dates() -> None:
    begin = datetime(2022, 3, 1, 9, tzinfo=CHINA)
    ends: Mapping[str, date] = {
        name: deadline("", pack.motions.opinion, begin, CALENDAR).day for name, pack in PACKS.items()
    }
    assert ends == {
        "ningbo-2016": date(2022, 5, 5),  # 1 to 4 May are days off
        "qingdao-2021": date(2022, 4, 1),
        "chongqing-2018": date(2022, 4, 13),  # 2 April is worked, 3 to 5 April are days off
    }
