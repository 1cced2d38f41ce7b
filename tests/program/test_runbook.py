"""Every alarm has a section in the runbook that says what it takes, and no section is of none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALERTS = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
PARTS = ("People notice", "Look", "Do", "Over")


def test_every_alarm_has_a_section_and_every_section_an_alarm() -> None:
    alarms = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.M)
    assert len(alarms) > 20
    assert re.findall(r"^### (\w+)$", RUNBOOK, re.M) == alarms  # in the same order


def test_every_alarm_says_where_its_section_is() -> None:
    for rule in ALERTS.split("- alert: ")[1:]:
        name = rule.split()[0]
        assert re.findall(r"^ +runbook: (\S+)$", rule, re.M) == [f"docs/runbook.md#{name.lower()}"]


def test_every_section_has_all_parts() -> None:
    for section in RUNBOOK.split("\n### ")[1:]:
        found = re.findall(r"^- \*\*(.+?)\*\*:", section, re.M)
        assert tuple(found) == PARTS, section.split("\n")[0]
