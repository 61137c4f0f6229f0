"""The alert rules that are shipped speak of metrics that exist, and of all that the runbook says to act on."""

from __future__ import annotations

import re
from typing import Any

import yaml

from deploy.local.runfolder import CHECKOUT

_METRIC = re.compile(r"\bdbt_[a-z_]+\b")
_RULES: dict[str, Any] = yaml.safe_load((CHECKOUT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in _RULES["groups"] for rule in group["rules"]]
RUNBOOK = (CHECKOUT / "docs/runbook.md").read_text("utf-8")


def test_every_metric_of_a_rule_is_one_that_the_code_makes() -> None:
    made: set[str] = set()
    for package in ("shared", "services", "gateway", "warehouse"):
        for path in (CHECKOUT / package).rglob("*.py"):
            made |= set(re.findall(r"\"(dbt_[a-z_]+)\"", path.read_text("utf-8")))
    for rule in RULES:
        asked = set(_METRIC.findall(rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= made, rule["alert"]


def test_what_the_runbook_says_to_act_on_raises_an_alarm() -> None:
    """All but how many attachments were never uploaded, of which nothing is to be done."""
    asked = {name for rule in RULES for name in _METRIC.findall(rule["expr"])}
    assert set(_METRIC.findall(RUNBOOK)) - asked == {"dbt_attachments"}


def test_every_alarm_has_a_name_of_its_own_and_leads_to_a_part_of_the_runbook() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    headings = {
        title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", RUNBOOK, flags=re.MULTILINE)
    }
    for rule in RULES:
        page, _, part = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/runbook.md"
        assert part in headings, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
