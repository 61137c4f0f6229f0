"""All words of the pages are in one place, in both languages, and each is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.roster import read_sheet
from services.cases import yaml_file
from services.cases.routing import rules_file
from services.identity import roster
from shared.http import problems

SOURCES = Path(__file__).resolve().parents[2] / "web" / "src"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
_COMMENTS = re.compile(r"/\*.*?\*/|<!--.*?-->|(?<!:)//[^\n]*", re.DOTALL)
_KEY = re.compile(r"(?:\bt|\bte)\(\s*'([\w.-]+)'|'((?:[a-zA-Z-]+\.)+[\w-]+)'")
_MADE = re.compile(r"`((?:[\w-]+\.)+)\$\{")


def words(language: str) -> dict[str, str]:
    """Every word by its dotted key."""
    found: dict[str, Any] = json.loads((SOURCES / "words" / f"{language}.json").read_text("utf-8"))
    return dict(_flat(found, ""))


def _flat(part: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def code() -> dict[Path, str]:
    """The pages' sources without comments."""
    found = [path for suffix in ("vue", "ts") for path in SOURCES.rglob(f"*.{suffix}")]
    return {path: _COMMENTS.sub("", path.read_text("utf-8")) for path in found}


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    chinese, english = words("zh"), words("en")
    assert list(chinese) == list(english)
    gaps = re.compile(r"\{(\w+)\}")

    def forms(text: str) -> list[list[str]]:
        """The gaps of each form of a counted word (none, one, many); one alone where nothing is counted."""
        return [sorted(gaps.findall(form)) for form in text.split(" | ")]

    differ = [key for key in chinese if forms(chinese[key])[-1] != forms(english[key])[-1]]
    assert differ == []
    fewer = [
        key
        for said in (chinese, english)
        for key, text in said.items()
        if any(set(form) | {"count"} != set(forms(text)[-1]) | {"count"} for form in forms(text))
    ]
    assert fewer == []


def test_english_has_a_word_for_one_of_what_it_counts() -> None:
    """`{count} days` needs `{count} day | `; a count that is never one stands in the list."""
    never_one = {"desk.lastDays", "letters.most"}
    counted = re.compile(r"\{count\} (?:[a-z-]+ ){0,2}[a-z]+s\b|\{count\} people")
    wrong = {key for key, text in words("en").items() if counted.search(text) and " | " not in text}
    assert wrong - never_one == set()


def test_english_holds_no_chinese_but_what_a_roster_is_filled_in_with_and_the_languages_own_name() -> None:
    """A roster's cells are Chinese, whatever language the page that explains them has."""
    kept = {"desk.language", "desk.importColumns", "rosterFault.level-unknown", "rosterFault.state-unknown"}
    assert {key for key, text in words("en").items() if CHINESE.search(text)} == kept


def test_no_chinese_stands_in_the_code() -> None:
    spelled = {"中文"}  # the language's own name
    wrong = {
        f"{path.name}: {line.strip()}"
        for path, text in code().items()
        for line in text.splitlines()
        if CHINESE.search(re.sub("|".join(spelled), "", line))
    }
    assert wrong == set()


def test_html_is_shown_of_a_lessons_text_alone() -> None:
    made = re.compile(r"v-html=\"[^\"]+\"|innerHTML|insertAdjacentHTML|document\.write")
    found = {str(path.relative_to(SOURCES)): made.findall(text) for path, text in code().items()}
    assert {path: marks for path, marks in found.items() if marks} == {
        "phone/pages/LessonPage.vue": ['v-html="data.text.html"'],
        "console/pages/LessonPage.vue": ['v-html="html"'],
    }


def test_no_list_is_joined_in_the_chinese_way_whatever_the_language() -> None:
    assert {path.name for path, text in code().items() if "join('、')" in text} == set()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_word_that_is_asked_for_is_there(language: str) -> None:
    known = words(language)
    asked = {found[0] for text in code().values() for found in _KEY.findall(text) if found[0]}
    assert asked - set(known) == set()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_example_of_a_roster_is_one_that_would_be_taken_in(language: str) -> None:
    sheet = read_sheet("roster.csv", words(language)["desk.importExample"].encode())
    assert [type(roster.judge(2, row)) for row in sheet.rows] == [roster.Right]
    assert len(sheet.rows[0]) == len(roster._COLUMNS), "every column stands in it"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_fault_of_a_roster_and_every_column_has_words(language: str) -> None:
    source = Path(roster.__file__).read_text("utf-8")
    codes = set(re.findall(r'(?:wrong\(|RowError\(\s*[\w.]+,)\s*[\w"]+,\s*"([a-z-]+)"', source))
    assert {"missing", "occupation-unknown", "number-repeated", "not-your-area"} <= codes
    wanted = {f"rosterFault.{one}" for one in codes} | {f"rosterColumn.{one}" for one in roster._COLUMNS}
    assert wanted - set(words(language)) == set()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_flaw_of_a_catalogue_has_words(language: str) -> None:
    sources = "".join(Path(str(one.__file__)).read_text("utf-8") for one in (yaml_file, rules_file))
    spelled = set(re.findall(r'Flaw\([^\n]*, "([a-z-]+)"\)', sources))
    assert {"empty", "key-twice", "alias", "not-yaml"} <= spelled
    codes = {*spelled, *yaml_file.CODES.values(), yaml_file.OTHER, *rules_file.CODES.values()}
    codes |= {code for _, code in yaml_file.YAML}
    assert {f"flaw.{one}" for one in codes} - set(words(language)) == set()


FOR_PROGRAMS = {
    # What only a program can do wrong: ids and seals are made by the pages, never typed.
    *("activity-exists", "appeal-exists", "case-exists", "code-not-allowed", "consultation-exists"),
    *(
        "contact-unreadable",
        "course-exists",
        "duty-exists",
        "motion-exists",
        "note-exists",
        "referral-exists",
    ),
    *("not-a-deputy", "not-a-person", "not-your-account", "not-your-inbox", "nothing-recorded"),
    *("part-out-of-range", "parts-differ", "password-unreadable", "receipt-taken", "subject-not-an-id"),
    *("supplied-unreadable", "topic-not-taken-in", "name-invalid", "draft-empty"),
    # Said on the residents' pages, which have words of their own, or by the command line.
    *("deputy-not-there", "follow-unknown", "station-empty"),
}


FOR_MACHINES = {
    # What only a machine's request can do wrong: a browser or our own script makes the form.
    *("exchange-not-allowed", "grant-type-unsupported", "idempotency-key-malformed", "length-required"),
    *("malformed-json", "pages-not-built", "simulated-time-malformed", "simulated-time-not-allowed"),
    *("subject-unknown", "token-type-unsupported"),
    # Before its outcome is there a page asks again.
    "no-outcome-yet",
    # Said on the residents' pages.
    *(
        "consent-needed",
        "county-needed",
        "deputy-not-there",
        "follow-unknown",
        "intake-away",
        "station-empty",
    ),
}


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_problem_of_the_gateway_and_of_what_it_stands_on_has_words(language: str) -> None:
    root = SOURCES.parents[1]
    foreign = root / "gateway" / "open311.py"  # a door for other people's programs
    sources = [
        *((root / "gateway").glob("*.py")),
        *((root / "shared" / "http").glob("*.py")),
        *((root / "services").rglob("*.py")),
        *((root / "shared" / "messaging").glob("*.py")),
    ]
    made = re.compile(r'(?:Problem\(\s*[\w.]+,|Refusal\(|get\("code",)\s*"([a-z-]+)"')
    spelled = {
        code
        for path in sources
        if path != foreign and "webhooks" not in path.parts
        for code in made.findall(path.read_text("utf-8"))
    }
    pages = {code for text in code().values() for code in re.findall(r"Problem\(\d+, '([a-z-]+)'", text)}
    codes = spelled | pages | {*problems.CODES.values(), problems.OTHER_CODE}
    assert {"internal-error", "not-signed-in", "foreign-page", "command-id-reused", "offline"} <= codes
    for_programs = FOR_PROGRAMS | FOR_MACHINES
    assert for_programs <= codes
    assert {f"problem.{one}" for one in codes - for_programs} - set(words(language)) == set()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_refusal_of_a_service_that_a_page_can_meet_has_words(language: str) -> None:
    root = SOURCES.parents[1]
    sources = [*(root / "services").rglob("errors.py"), root / "shared" / "messaging" / "desk.py"]
    codes = {
        code for path in sources for code in re.findall(r'Refusal\(\s*"([a-z-]+)"', path.read_text("utf-8"))
    }
    assert len(codes) > 100
    assert codes >= FOR_PROGRAMS
    assert {f"problem.{code}" for code in codes - FOR_PROGRAMS} - set(words(language)) == set()


def test_no_word_is_left_over() -> None:
    every = code().values()
    asked = {one for text in every for found in _KEY.findall(text) for one in found if one}
    made = {beginning for text in every for beginning in _MADE.findall(text)}
    left = {key for key in words("zh") if key not in asked and not any(key.startswith(one) for one in made)}
    assert left == set()
