"""What `daibiaotong score` prints."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from cli.score import _show_simulation


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
