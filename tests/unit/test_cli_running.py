"""The CLI finds the suite that runs here, whichever of the two commands started it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli import running, warehouse


def leave(folder: Path, *, at: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    access = {"gateway": folder.name, "secret": "s", "services": {}, "kafka": {}, "evaluation": {}}
    file = folder / "operator.json"
    file.write_text(json.dumps(access), "utf-8")
    os.utime(file, (at, at))


def test_the_suite_that_was_started_last_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_URL", "OPERATOR_SECRET", "WAREHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    ups, demos = tmp_path / "run", tmp_path / "run" / "demo"
    monkeypatch.setenv("DAIBIAOTONG_RUN", str(ups))
    with pytest.raises(running.NotRunning):
        running.find()
    leave(demos, at=2)
    assert running.find().gateway == "demo"
    assert warehouse.address() == (demos / "storage" / "warehouse").as_uri()
    leave(ups, at=1)
    assert running.find().gateway == "demo", "one that was killed left its file behind"
    leave(ups, at=3)
    assert running.find().gateway == "run"
    assert warehouse.address() == (ups / "storage" / "warehouse").as_uri()
