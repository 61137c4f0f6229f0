"""Routing learns by itself: when it is time to, from how much, and that a stop does not wait for it."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.routing import learner, learning, text
from services.cases.routing.files import Message
from services.cases.routing.lessons import Lesson, Standing, is_due
from services.cases.settings import LearningSettings
from shared.testing.wait import wait_until
from simulation.case_texts import generated_text

NOW = datetime(2026, 11, 27, tzinfo=UTC)
PACE = LearningSettings(learn_first=500, learn_new=200, learn_days=7)


@pytest.mark.parametrize(
    ("confirmed", "last", "days_ago", "due"),
    [
        (499, None, 0, False),
        (500, None, 0, True),
        (500, 0, 8, True),  # the last one was from a file alone
        (499, 0, 8, False),
        (1199, 1000, 30, False),
        (1200, 1000, 7, True),
        (9000, 1000, 6, False),
        (900, 1000, 30, False),  # some were erased, or came back
    ],
)
def test_it_is_time_to_learn_when_enough_is_new_and_the_last_time_is_some_days_ago(
    confirmed: int, last: int | None, days_ago: int, due: bool
) -> None:
    before = None if last is None else Lesson(NOW - timedelta(days=days_ago), last)
    assert is_due(Standing(NOW, confirmed, before), PACE) is due


@given(
    st.dictionaries(st.sampled_from("甲乙丙丁戊"), st.integers(1, 2_000_000), min_size=1),
    st.integers(0, 200),
    st.integers(-1_000, 20_000),
)
def test_a_lesson_is_bounded_and_rare_categories_keep_their_newest(
    counts: dict[str, int], least: int, most: int
) -> None:
    taken = learning.shares(counts, most, least)
    assert taken.keys() == counts.keys()
    assert sum(taken.values()) <= max(most, 0)
    sure = min(least, max(most, 0) // len(counts))
    assert all(min(counts[one], sure) <= taken[one] <= counts[one] for one in counts)
    if sum(counts.values()) <= most:
        assert taken == counts
    else:
        assert sum(taken.values()) > most - len(counts), "nothing is left out for nothing"


def test_a_common_category_brings_most_and_a_rare_one_all() -> None:
    assert learning.shares({"城乡建设": 900_000, "公共安全": 150}, 12_000, 200) == {
        "城乡建设": 11_850,
        "公共安全": 150,
    }


def test_of_past_messages_the_last_of_each_category_are_taken() -> None:
    said = [Message((str(number),), "甲" if number % 10 else "乙") for number in range(2_000)]
    kept = learning.last(said, 1_000)
    assert Counter(one.label for one in kept) == {"甲": 800, "乙": 200}
    assert [int(one.words[0]) for one in kept if one.label == "甲"][-1] == 1_999
    assert learning.last(said, 5_000) == said


def test_a_category_too_rare_to_be_learnt_is_checked_all_the_same() -> None:
    rng = random.Random(1)

    def said(category: str, count: int) -> list[Message]:
        texts = [generated_text(rng, "东桥镇", category) for _ in range(count)]
        return [Message(tuple(text.from_text(f"{one.title}\n{one.text}")), category) for one in texts]

    learnt, checked = learning.cut([*said("城乡建设", 20), *said("教育文体", 10), *said("公共安全", 3)])
    assert {one.label for one in learnt} == {"城乡建设", "教育文体"}
    assert Counter(one.label for one in checked)["公共安全"] == 3
    assert len(learnt) + len(checked) == 33


async def test_a_stop_ends_a_lesson_at_once(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    busy = (
        f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(300)"
    )
    lesson = asyncio.create_task(learner.learnt([sys.executable, "-c", busy]))

    async def begun() -> str:
        return pid.read_text() if pid.exists() else ""

    child = int(await wait_until(begun, what="the lesson"))
    lesson.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(lesson, 10)
    assert not psutil.pid_exists(child)


async def test_a_lesson_that_fails_is_not_taken_for_one_that_was_learnt() -> None:
    assert await learner.learnt([sys.executable, "-c", ""])
    assert not await learner.learnt([sys.executable, "-c", "raise SystemExit(1)"])
