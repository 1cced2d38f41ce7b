"""`docs/rfc_status.md` claims nothing without a test, and no test it names is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from . import cases

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/rfc_status.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| RFC", "|---"))
]
NAMES = {case.name for case in (*cases.ALL, *cases.SLOW)}


def test_every_claim_has_its_test() -> None:
    for rfc, _, status, shown in ROWS:
        assert status.split()[0].rstrip(":,") in ("complete", "partial", "not"), rfc
        assert bool(shown) != status.startswith("not"), rfc


def test_every_test_it_names_is_there() -> None:
    missing = []
    for rfc, _, _, shown in ROWS:
        for path, name in re.findall(r"`([^`]+)::([^`]+)`", shown):
            file = ROOT / path
            tree = ast.parse(file.read_text()) if file.exists() else ast.parse("")
            if name not in {getattr(node, "name", "") for node in tree.body}:
                missing.append(f"RFC {rfc}: {path}::{name}")
        missing += [
            f"RFC {rfc}: scenario {name}"
            for name in re.findall("“([^”]+)”", shown)
            if name not in NAMES
        ]
    assert not missing, "\n".join(missing)


def test_every_scenario_stands_in_it() -> None:
    told = {name for row in ROWS for name in re.findall("“([^”]+)”", row[3])}
    untold = NAMES - told
    assert untold <= {"busy", "declined everywhere", "responses keep tag, Call-ID and CSeq"}, untold
