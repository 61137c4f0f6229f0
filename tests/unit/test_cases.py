"""The life of a case and its first routing, as pure functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import services.cases
from services.cases import domain, handlers
from services.cases.domain import Case, Event, Route
from services.cases.routing import Department, category_of, choose
from services.cases.store import Context
from shared.contracts import cases as contract
from shared.contracts.envelope import Actor
from shared.messaging.received import Received
from shared.refusals import Refusal
from shared.security.sealing import Opener, Sealer, new_private_key

START = datetime(2021, 7, 15, tzinfo=UTC)
DEPUTY = UUID(int=1)
WORDS = yaml.safe_load((Path(services.cases.__file__).parent / "category_words.yaml").read_text("utf-8"))
ROADS = Department("roads", frozenset({"交通运输"}), frozenset())
HOUSING = Department("housing", frozenset({"城乡建设"}), frozenset())
COUNTY_HOUSING = Department("haishu-housing", frozenset({"城乡建设"}), frozenset({"330203"}))

Step = Callable[[Case, datetime], tuple[Event, ...]]
STEPS: dict[str, Step] = {
    "route": lambda case, at: domain.route(case, Route("roads", None, "by hand"), "staff", at),
    "accept": lambda case, at: domain.accept(case, "roads", "department:roads", at),
    "foreign accept": lambda case, at: domain.accept(case, "housing", "department:housing", at),
    "return": lambda case, at: domain.hand_back(case, "roads", "department:roads", at, "not ours"),
    "answer": lambda case, at: domain.answer(case, "roads", "d", at, result="solved", text="done"),
    "close": lambda case, at: domain.close(case, str(DEPUTY), at, is_staff=False, result=None),
    "foreign close": lambda case, at: domain.close(case, str(uuid4()), at, is_staff=False, result=None),
    "rate": lambda case, at: domain.rate(case, str(DEPUTY), at, 4),
}
ALLOWED = {
    "triage": {"route"},
    "routed": {"accept", "return", "answer"},
    "accepted": {"return", "answer"},
    "answered": {"close"},
    "closed": {"rate"},
}


def filed(route_to: Route | None = None) -> Case:
    case = Case(uuid4(), DEPUTY, "330203", None, "own", "sealed", START, START)
    for event in domain.file(case, route_to):
        case = domain.evolve(case, event)
    return case


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(-5, 5)), max_size=25))
def test_a_case_takes_exactly_the_steps_of_its_state_machine(script: list[tuple[str, int]]) -> None:
    case, at = filed(), START
    for name, hours in script:
        at += timedelta(hours=hours)
        before = case
        try:
            for event in STEPS[name](case, at):
                case = domain.evolve(case, event)
        except Refusal:
            assert name not in ALLOWED[before.state]
            assert case is before
            continue
        assert name in ALLOWED[before.state]
        assert case.version == before.version + 1
        assert case.changed_at >= before.changed_at
        assert len(case.steps) == case.version
        assert (case.department is None) == (case.state == "triage")


def test_a_returned_case_counts_its_returns_and_may_be_routed_again() -> None:
    case = filed(Route("roads", "交通运输", "words"))
    for name in ("return", "route", "accept", "return"):
        for event in STEPS[name](case, START):
            case = domain.evolve(case, event)
    assert (case.state, case.returned, case.department) == ("triage", 2, None)


def test_the_county_s_own_department_goes_before_the_city_s() -> None:
    def code(county: str) -> str | None:
        route = choose([HOUSING, COUNTY_HOUSING], WORDS, category="城乡建设", county=county, text="")
        return route and route.department

    assert (code("330203"), code("330205")) == ("haishu-housing", "housing")


@given(st.text(max_size=60), st.permutations([ROADS, HOUSING, COUNTY_HOUSING]))
def test_a_route_depends_on_neither_order_nor_luck_and_never_repeats_the_words(
    text: str, departments: list[Department]
) -> None:
    secret = "王小明住在三号楼"
    whole = f"{text} {secret} 窨井盖破损"
    route = choose(departments, WORDS, category=None, county="330203", text=whole)
    again = choose(departments[::-1], WORDS, category=None, county="330203", text=whole)
    assert route == again
    if route is not None:
        assert secret not in route.reason
        assert route.department in {d.code for d in departments}


def test_words_of_two_categories_alike_are_left_to_staff() -> None:
    assert category_of("公交站和医院", WORDS) is None
    assert category_of("", WORDS) is None
    assert category_of("医院挂号难，公交少", WORDS) == ("卫生计生", 2)


def test_no_word_stands_for_two_categories() -> None:
    listed = [word for words in WORDS.values() for word in words]
    assert len(listed) == len(set(listed))


OPENER = Opener(new_private_key())


def filing(words: dict[str, Any], **more: Any) -> Any:
    data = contract.FileCase(sealed=Sealer(OPENER.public_jwk).seal(words), county="330203", **more)
    envelope = SimpleNamespace(subject=str(uuid4()))
    sender = Actor(str(DEPUTY), frozenset({"deputy"}))
    return cast(
        "Received[Any]", SimpleNamespace(data=data, envelope=envelope, now=START, sender=lambda: sender)
    )


CONTEXT = Context({"roads": ROADS, "housing": HOUSING}, WORDS, OPENER)


def test_filing_tells_the_facts_without_words_and_the_department_with_them() -> None:
    decision = handlers.file_case(None, filing({"title": "井盖", "text": "窨井盖破损"}), CONTEXT)
    kinds = {type(emission.data).__name__: emission for emission in decision.emissions}
    assert set(kinds) == {"CaseFiled", "CaseRouted", "Dossier"}
    assert kinds["Dossier"].topic == "department.housing.routed"
    assert [kinds[name].sequence for name in ("CaseFiled", "CaseRouted", "Dossier")] == [1, 2, 2]
    for name in ("CaseFiled", "CaseRouted"):
        assert "窨井盖" not in kinds[name].data.model_dump_json()


@pytest.mark.parametrize(
    ("words", "more", "code"),
    [
        ({"title": "", "text": "x"}, {}, "words-unreadable"),
        ({"title": "x", "text": "a\0b"}, {}, "words-unreadable"),
        ({"text": "x"}, {}, "words-unreadable"),
        ({"title": "x", "text": "x"}, {"category": "张三的电话"}, "category-unknown"),
    ],
)
def test_what_cannot_be_filed_is_refused_with_a_code(
    words: dict[str, Any], more: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        handlers.file_case(None, filing(words, **more), CONTEXT)
    assert refused.value.code == code
