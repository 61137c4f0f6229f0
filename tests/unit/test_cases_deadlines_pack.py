"""Reading, comparing and looking up rule packs; everything wrong has a file, a line, a place and a reason."""

from __future__ import annotations

import contextlib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from services.cases.deadlines.pack import (
    SHIPPED,
    PackInvalid,
    diff,
    in_force,
    load,
    parameters,
    read_pack,
)
from services.cases.deadlines.reckoning import Limit
from services.cases.deadlines.rules import is_within
from services.cases.yaml_file import Flaw
from shared.refusals import Refusal

NINGBO = (SHIPPED / "ningbo-2016.yaml").read_text("utf-8")
PACKS = load()


def changed(old: str, new: str, text: str = NINGBO) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def flaws(text: str) -> tuple[Flaw, ...]:
    with pytest.raises(PackInvalid) as refused:
        read_pack(text, "mine.yaml")
    assert refused.value.code == "rule-pack-invalid"
    return refused.value.flaws


def line_of(fragment: str, text: str = NINGBO) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if fragment in line)


@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        (
            "hand_back: {limit: 2 working",
            "hand_back: {limit: two working",
            "cases.hand_back.limit",
            "a length",
        ),
        ("hand_back: {limit: 2 working", "hand_back: {limit: 0 working", "cases.hand_back.limit", "a length"),
        ("hand_back: {limit: 2 working days", "hand_back: {limit: 2", "cases.hand_back.limit", "a length"),
        ("hand_back: {limit: 2", "hand_back: {limit: 1001", "cases.hand_back.limit", "longer than any rule"),
        ("hand_back: {limit: 2 working days", "hand_back: {limit: none", "cases.hand_back.limit", "be none"),
        ("  hand_back: {limit", "  handback: {limit", "cases.hand_back", "is missing"),
        ("  hand_back: {limit", "  handback: {limit", "cases.handback", "no such key"),
        ("urgent: {limit: same day, ", "urgent: {", "cases.answer.urgent.limit", "is missing"),
        ("day_off: stay", "day_off: move", "cases.answer.urgent.day_off", "'next-working-day' or 'stay'"),
        (
            "source: 热线规则：退回",
            "source: 某规则",
            "cases.hand_back.source",
            "none of the names in sources",
        ),
        ("source: 浙江规定第六条", "source: 规定第六条", "motions.grounds.source", "none of the names"),
        ("town: 5}", "village: 5}", "motions.signers.value.bill.village", "'city', 'county' or 'town'"),
        (", town: 5}", "}", "motions.signers.value.bill", "leaves out town"),
        ("      suggestion: {city: 1, county: 1, town: 1}\n", "", "motions.signers.value", "suggestion"),
        ("town: 5}", "town: 0}", "motions.signers.value.bill.town", "greater than or equal to 1"),
        (
            "{value: 2, source: 本平台默认值}",
            "{value: '2', source: 本平台默认值}",
            "cases.extensions.value",
            "integer",
        ),
        ("value: each-confirms", "value: nobody", "motions.cosigning.value", "'each-confirms'"),
        ("[B, C]", "[B, E]", "motions.promising.value.1", "'A', 'B', 'C' or 'D'"),
        ("      B: 正在解决\n", "", "motions.classes.value", "leaves out B"),
        ("[unsatisfied]", "[angry]", "motions.unsatisfied.value", "satisfaction does not have"),
        ("unstated: 未表态", "silent: 未表态", "motions.satisfaction.value", "leaves out unstated"),
        ("answer_latest: {limit: 6", "answer_latest: {limit: 2", "motions.answer_latest.limit", "before"),
        ("from: 2016-05-27", "from: sometime", "from", "date"),
        ("from: 2016-05-27", "from: 2016-05-27\nuntil: 2016-05-26", "until", "before the first day"),
        ("south: 28.8, ", "", "cases.area.value", "leaves out south"),
        ("south: 28.8", "south: 38.8", "cases.area.value", "south below north"),
        ("east: 122.4", "east: 222.4", "cases.area.value", "must be degrees"),
        ("east: 122.4", "up: 122.4", "cases.area.value.up", "'east'"),
        ("confirmed_by: null", "confirmed: null", "confirmed_by", "is missing"),
        ("jurisdiction: ningbo", "jurisdiction: 宁波", "jurisdiction", "match pattern"),
        ("name: ningbo-2016", "name: ningbo-2016\nname: other", "name", "stands twice"),
        ("name: ningbo-2016", "name: [", "the file", "expected"),
    ],
)
def test_every_flaw_has_its_file_line_place_and_reason(old: str, new: str, place: str, reason: str) -> None:
    text = changed(old, new)
    found = {flaw.place: flaw for flaw in flaws(text)}
    assert place in found, list(found)
    assert reason in found[place].reason
    assert found[place].file == "mine.yaml"
    assert found[place].line is not None
    assert str(found[place]).startswith(f"mine.yaml:{found[place].line}: {place}: ")


def test_the_line_is_that_of_the_value_and_all_flaws_are_told_at_once() -> None:
    text = changed("accept: {limit: 1 working day", "accept: {limit: soon")
    text = changed("redo: {limit: 1 month", "redo: {limit: later", text)
    assert [(flaw.place, flaw.line) for flaw in flaws(text)] == [
        ("cases.accept.limit", line_of("accept: {limit: soon", text)),
        ("motions.redo.limit", line_of("redo: {limit: later", text)),
    ]


@pytest.mark.parametrize(
    "text", ["", "- a", "just words", "a: &a [*a]", "\x00", "{" * 5000, "!!python/none x"]
)
def test_what_is_no_pack_is_refused(text: str) -> None:
    assert flaws(text)


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with contextlib.suppress(PackInvalid):
        read_pack(text)
    with contextlib.suppress(PackInvalid):
        read_pack(NINGBO.replace("2 months", text))


def test_a_pack_that_names_no_area_holds_positions_from_anywhere() -> None:
    line = next(line for line in NINGBO.splitlines(keepends=True) if line.startswith("  area:"))
    cases = read_pack(changed(line, "")).cases
    assert is_within(cases.area.value, -90, 180)
    assert not is_within(read_pack(NINGBO).cases.area.value, -90, 180)


def test_lengths_titles_and_moving_ends_are_as_written() -> None:
    rules = read_pack(NINGBO).cases
    assert rules.answer["urgent"] == Limit(
        0, "days", "热线规则：应急事项当日", title="答复期限", since="派单", rolls=False
    )
    text = changed("accept: {limit: 1 working day,", "accept: {limit: 24 hours, title: 接单, since: 收到,")
    text = changed("day_off: next-working-day", "day_off: stay", text)
    rules = read_pack(text).cases
    assert rules.accept == Limit(24, "hours", "本平台默认值", title="接单", since="收到", rolls=False)
    assert not rules.waiting.rolls


# In force.


def write(folder: Path, name: str, begins: str, until: str | None, place: str = "ningbo") -> None:
    text = changed("name: ningbo-2016", f"name: {name}")
    text = changed("jurisdiction: ningbo", f"jurisdiction: {place}", text)
    text = changed("from: 2016-05-27", f"from: {begins}" + (f"\nuntil: {until}" if until else ""), text)
    (folder / f"{name}.yaml").write_text(text, "utf-8")


def test_on_each_day_the_pack_of_that_day_is_in_force(tmp_path: Path) -> None:
    write(tmp_path, "old", "2016-05-27", "2021-12-31")
    write(tmp_path, "new", "2022-01-01", None)
    write(tmp_path, "elsewhere", "2010-01-01", None, "hangzhou")
    packs = load(tmp_path)
    assert in_force(packs, "ningbo", date(2016, 5, 27)).name == "old"
    assert in_force(packs, "ningbo", date(2021, 12, 31)).name == "old"
    assert in_force(packs, "ningbo", date(2022, 1, 1)).name == "new"
    for place, day in (("ningbo", date(2016, 5, 26)), ("shaoxing", date(2022, 1, 1))):
        with pytest.raises(Refusal) as refused:
            in_force(packs, place, day)
        assert refused.value.code == "no-rule-pack"


@pytest.mark.parametrize("until", [None, "2022-01-01"])
def test_packs_of_one_place_that_overlap_are_refused(tmp_path: Path, until: str | None) -> None:
    write(tmp_path, "old", "2016-05-27", until)
    write(tmp_path, "new", "2022-01-01", None)
    with pytest.raises(PackInvalid, match=r"new\.yaml: from: 2022-01-01 lies in the time of old"):
        load(tmp_path)


def test_names_used_twice_and_flaws_of_any_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", "2016-05-27", "2016-12-31")
    (tmp_path / "two.yaml").write_text(
        (tmp_path / "one.yaml").read_text("utf-8").replace("2016-", "2017-"), "utf-8"
    )
    (tmp_path / "empty.yaml").write_text("", "utf-8")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PackInvalid) as refused:
        load(tmp_path)
    assert {flaw.file: flaw.reason for flaw in refused.value.flaws} == {
        "one.yaml": "is the name of another pack",
        "empty.yaml": "is empty",
        "bytes.yaml": "is not UTF-8",
    }


def test_the_shipped_packs_are_named_as_their_files_and_cover_the_simulated_year() -> None:
    assert {pack.name for pack in PACKS} == {file.stem for file in SHIPPED.iterdir()}
    assert {pack.jurisdiction for pack in PACKS} == {"ningbo", "qingdao", "chongqing"}
    assert in_force(PACKS, "ningbo", date(2021, 7, 15)).name == "ningbo-2016"


# Comparing.


def test_a_pack_differs_from_itself_in_nothing_and_from_another_both_ways() -> None:
    chongqing, ningbo, _ = PACKS
    assert diff(ningbo, ningbo) == ()
    there = {found.parameter: (found.value, found.other) for found in diff(ningbo, chongqing)}
    back = {found.parameter: (found.other, found.value) for found in diff(chongqing, ningbo)}
    assert there == back
    assert there["motions.redo"] == ("要求再次办理起 1 个月", "要求再次办理起 2 个月")
    assert there["motions.opinion"] == ("收到交办起 2 个月", "交办起 30 个工作日")
    assert there["motions.feedback"] == ("不设期限", "收到答复起 20 个工作日")
    assert there["motions.late_feedback"] == ("counted", "excluded")
    assert there["motions.grounds.bidding"] == ("对正在进行的招标投标提出中标意见", "无此项")
    assert "motions.answer" not in there


def test_one_changed_value_is_one_difference_and_another_source_is_none() -> None:
    ningbo = read_pack(NINGBO)
    (found,) = diff(ningbo, read_pack(changed("town: 5}", "town: 7}")))
    assert (found.parameter, found.value, found.other) == ("motions.signers.bill.town", "5", "7")
    assert found.source == found.other_source == "地方组织法第二十二条；浙江规定第九条"
    assert (
        diff(ningbo, read_pack(changed("source: 浙江规定第十四条}", "source: 浙江规定第十四条第一款}"))) == ()
    )


def test_every_value_of_a_pack_is_a_parameter_with_a_source() -> None:
    for pack in PACKS:
        found = parameters(pack)
        assert len(found) > 45
        assert [name for name, value in found.items() if value is not None and not value.source] == []


# The commands.


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["rules", *words], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr


def test_reckon_prints_the_date_and_its_reason() -> None:
    code, out, _ = run("reckon", "ningbo", "motions.answer", "2026-03-12")
    assert (code, out.strip()) == (
        0,
        "答复期限 2026年6月12日：交办 2026年3月12日起 3 个月（浙江规定第二十一条）",
    )
    assert run("reckon", "chongqing-2018", "motions.opinion", "2025-01-24")[1].startswith(
        "会办意见期限 2025年3月13日："
    )


@pytest.mark.parametrize(
    ("pack", "limit", "said"),
    [
        ("ningbo", "motions.feedback", "sets no limit here"),
        ("ningbo", "motions.reply", "has no such limit"),
        ("ningbo", "cases.returns", "has no such limit"),
        ("shaoxing", "motions.answer", "No rule pack is in force"),
        ("missing.yaml", "motions.answer", "cannot be read"),
    ],
)
def test_reckon_says_why_it_cannot(pack: str, limit: str, said: str) -> None:
    code, out, err = run("reckon", pack, limit, "2026-03-12")
    assert (code, out) == (1, "")
    assert said in err


def test_check_tells_each_flaw_with_its_file_and_line(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(NINGBO, "utf-8")
    bad.write_text(changed("accept: {limit: 1 working day", "accept: {limit: soon"), "utf-8")
    code, out, err = run("check", str(good))
    assert (code, err) == (0, "")
    assert "ningbo-2016" in out
    assert "待采用机关确认" in out
    code, out, err = run("check", str(good), str(bad))
    assert code == 1
    assert f"bad.yaml:{line_of('accept:')}: cases.accept.limit: must be a length" in err


def test_diff_prints_what_differs(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(changed("town: 5}", "town: 7}"), "utf-8")
    code, out, _ = run("diff", "ningbo", str(mine))
    assert code == 0
    assert "motions.signers.bill.town" in out
    assert "1 of 66 parameters differ" in out
    assert run("diff", "ningbo", "nowhere")[0] == 1
