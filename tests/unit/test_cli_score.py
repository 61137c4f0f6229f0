"""What `daibiaotong score` prints."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.score import _show_simulation, again
from cli.warehouse import tables
from deploy.local.runfolder import CHECKOUT
from shared.storage import Storage, StorageAway, Stored
from tests.unit.test_evaluation_rescore import BEFORE, SINCE
from tests.unit.test_warehouse_facts import House, versions


def group(key: str | None, rise: int) -> dict[str, Any]:
    return {"key": key, "deputies": 9, "rise": rise, "fall": 0, "present_mean": 100.0, "draft_mean": 250.0}


def test_a_simulation_says_who_rises_by_occupation_with_titles_and_who_did_not_tell() -> None:
    out = io.StringIO()
    rubric = {"name": "draft", "version": 2, "title": "草案"}
    found = {
        "begin": "2022-01-01", "until": "2022-12-31", "draft": rubric, "present": [rubric], "facts": 3, "cut": [],
        "deputies": 18, "rise": 7, "fall": 0, "risers": [], "fallers": [],
        "groups": {"level": [], "county": [], "town": [], "occupation": [group("farmer", 4), group(None, 3)]},
    }  # fmt: skip
    _show_simulation(Console(file=out, width=120), found)
    rows = [line.replace("│", " ").split() for line in out.getvalue().splitlines()]
    assert ["农民", "9", "4", "0", "1.00", "2.50"] in rows
    assert ["未填", "9", "3", "0", "1.00", "2.50"] in rows


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another manifest in the place of the newest one of the facts."""
    newest = max((folder / "facts" / "manifests").iterdir())
    document = json.loads(newest.read_bytes())
    change(document)
    newest.write_text(json.dumps(document), "utf-8")


def file_of(folder: Path, type_: str) -> Path:
    return next((folder / "facts" / f"type={type_}").glob("*/*.parquet"))


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "of a newer version": lambda folder: rewritten(folder, lambda found: found.update(counted_by="another")),
    "of a newer version, with files that say more": lambda folder: rewritten(
        folder, lambda found: next(iter(found["types"]["duty.logged"]["parts"].values())).update(removed=[7])
    ),
    "without what is needed": lambda folder: rewritten(folder, lambda found: found.pop("digits")),
    "with text for a number": lambda folder: rewritten(folder, lambda found: found.update(until="1")),
    "with more digits than there are": lambda folder: rewritten(
        folder, lambda found: found.update(digits=99)
    ),
    "with a bucket that nobody looks at": lambda folder: rewritten(
        folder, lambda found: found.update(digits=1)
    ),
    "without the column of a deputy": lambda folder: rewritten(
        folder, lambda found: found["types"]["duty.logged"]["columns"].pop("deputy_id")
    ),
    "under another number": lambda folder: rewritten(folder, lambda found: found.update(number=9)),
    "of events that are not there": lambda folder: rewritten(folder, lambda found: found.update(until=99)),
    "of other events": lambda folder: rewritten(folder, lambda found: found.update(events="0" * 64)),
    "of an older version, which did not say of which events": lambda folder: rewritten(
        folder, lambda found: found.pop("events")
    ),
    "cut short": lambda folder: max((folder / "facts" / "manifests").iterdir()).write_bytes(b'{"number": 1'),
    "without a file": lambda folder: file_of(folder, "duty.logged").unlink(),
    "without the deputies' file": lambda folder: file_of(folder, "deputy.changed").unlink(),
    "with a file that is no Parquet": lambda folder: file_of(folder, "duty.logged").write_bytes(b"rubbish"),
}


@pytest.mark.parametrize("spoil", UNUSABLE.values(), ids=UNUSABLE)
def test_where_facts_cannot_be_used_a_year_is_scored_from_the_events_and_it_is_said(
    spoil: Callable[[Path], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "house"
    one = House(str(folder))
    monkeypatch.setenv("WAREHOUSE_URL", one.url)
    rubric, out = CHECKOUT / "services/evaluation/rubrics/ningbo.yaml", tmp_path / "standings.csv"

    def scored() -> tuple[list[str], str]:
        assert again(Console(quiet=True), rubric, 2021, out, "1GB") == 0
        return sorted(out.read_text("utf-8").splitlines()), capsys.readouterr().err

    one.take(*BEFORE, *versions(2), *versions(2, deputy=2))
    right, said = scored()
    assert "low,1" in "".join(right)
    assert not said
    one.compact()
    assert scored() == (right, "")
    spoil(folder / "warehouse")
    found, said = scored()
    assert found == right
    assert said.startswith("the facts cannot be used, so the events are read: ")
    assert said.count("\n") == 1
    one.take(*SINCE, *versions(1, deputy=3))
    right = scored()[0]
    one.compact()
    assert scored() == (right, ""), "a compaction makes anew what could not be used"


def test_the_tables_say_how_many_facts_there_are_or_why_they_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = House(str(tmp_path))
    monkeypatch.setenv("WAREHOUSE_URL", one.url)

    def shown() -> str:
        out = io.StringIO()
        assert tables(Console(file=out, width=120)) == 0
        return out.getvalue().splitlines()[-1]

    one.take(*versions(2))
    one.compact()
    assert shown().startswith("facts: 1 in ")
    rewritten(one.folder, lambda found: found.update(events="0" * 64))
    assert shown() == (
        "the facts cannot be used: manifest 1 of the facts is of other events than those up to manifest 1"
    )


def test_a_storage_that_is_away_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> AsyncIterator[Stored]:
        raise StorageAway("the storage did not answer")
        yield

    monkeypatch.setenv("WAREHOUSE_URL", tmp_path.as_uri())
    monkeypatch.setattr(Storage, "under", away)
    out = io.StringIO()
    assert tables(Console(file=out, width=120)) == 1
    assert out.getvalue() == "the warehouse cannot answer: the storage did not answer\n"
