"""The CLI finds the suite that runs here, whichever of the two commands started it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import running, warehouse


def leave(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    access = {"gateway": folder.name, "secret": "s", "services": {}, "kafka": {}, "evaluation": {}}
    (folder / "operator.json").write_text(json.dumps(access), "utf-8")


def test_a_suite_of_demo_is_found_where_none_of_up_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATEWAY_URL", "OPERATOR_SECRET", "WAREHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    ups, demos = tmp_path / "run", tmp_path / "run" / "demo"
    monkeypatch.setenv("DAIBIAOTONG_RUN", str(ups))
    with pytest.raises(running.NotRunning):
        running.find()
    leave(demos)
    assert running.find().gateway == "demo"
    assert warehouse.address() == (demos / "storage" / "warehouse").as_uri()
    leave(ups)
    assert running.find().gateway == "run"
    assert warehouse.address() == (ups / "storage" / "warehouse").as_uri()
