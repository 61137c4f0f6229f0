"""The year, played by a newcomer's command on each broker, as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def demo(run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`daibiaotong demo` without a terminal: it ends by itself."""
    environment = {**os.environ, "DAIBIAOTONG_RUN": str(run_dir), "COLUMNS": "200"}
    command = [sys.executable, "-m", "cli.main", "demo", "--scale", "0.05", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=1700, check=False
    )


def assert_all_equal(played: subprocess.CompletedProcess[str]) -> None:
    said = played.stdout + played.stderr
    assert played.returncode == 0, said[-4000:]
    assert "every figure and every score is equal" in said
    compared = re.search(r"scores that are not zero\s*│\s*(\d+)", said)
    assert compared, said[-4000:]
    assert int(compared[1]) > 100


@pytest.mark.timeout(1800)
def test_the_year_adds_up_and_every_score_is_recomputed_from_the_log(tmp_path: Path) -> None:
    assert_all_equal(demo(tmp_path, "--broker", "kafka"))


@pytest.mark.timeout(1800)
def test_the_year_adds_up_on_the_fallback_broker_with_messages_from_a_file(tmp_path: Path) -> None:
    texts = tmp_path / "messages.jsonl"
    lines = [
        {
            "subject": f"第{n}路公交站路灯不亮",
            "body": f"第{n}路公交站边的路灯坏了，晚上出行不便，请尽快维修。",
        }
        for n in range(400)
    ]
    texts.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    assert_all_equal(demo(tmp_path / "run", "--broker", "tansu", "--messages", str(texts)))


@pytest.mark.timeout(600)
def test_a_play_that_is_stopped_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    environment = {**os.environ, "DAIBIAOTONG_RUN": str(run_dir)}
    command = [sys.executable, "-m", "cli.main", "demo", "--scale", "0.05"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as played:
        assert played.stdout is not None
        for line in played.stdout:
            if "playing the year" in line:
                break
        played.terminate()
        said = played.stdout.read()
        assert played.wait(60) == 2, said
    assert "stopping before the end" in said
    assert left_over(run_dir) == []


def left_over(run_dir: Path) -> list[int]:
    """Processes that name the run folder in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and str(run_dir) in f"{process.cmdline()} {process.environ()}":
                found.append(process.pid)
    return found


def test_a_scale_that_makes_no_sense_is_said_in_one_line_and_starts_nothing(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    environment = {**os.environ, "DAIBIAOTONG_RUN": str(run_dir)}
    command = [sys.executable, "-m", "cli.main", "demo", "--scale", "0.3"]
    said = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 2
    assert "SCALE" in said.stdout
    assert not run_dir.exists()
