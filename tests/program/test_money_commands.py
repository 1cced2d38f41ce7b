"""The host's side of money: credit, accounts, the books, and rate decks."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

from tests.program.test_command_line import run

CONFIG = """
[[extension]]
number = "102"
secret = "secret-102"
"""


def test_credit_is_given_taken_and_proven(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "config.toml").write_text(CONFIG)
    given = run("credit", "102", "10", "--note", "cash", cwd=tmp_path)
    assert given.stdout == "102 has 10.00 EUR now.\n", given.stderr
    taken = run("credit", "--note", "back", "--", "102", "-2.50", cwd=tmp_path)
    assert taken.stdout == "102 has 7.50 EUR now.\n", taken.stderr
    for wrong, why in (
        (("102", "-7.51"), "too little, or too much; nothing was changed"),
        (("102", "1.001"), "EUR has 2 decimals, not more; nothing was changed"),
        (("109", "1"), "there is no extension 109"),
    ):
        refused = run("credit", "--", *wrong, cwd=tmp_path)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    found = json.loads(run("accounts", "--json", cwd=tmp_path).stdout)["accounts"]
    assert {"account": "credit/102", "asset": "EUR", "amount": "7.50"} in found
    assert "credit/102" in run("accounts", cwd=tmp_path).stdout
    proof = run("ledger", "verify", cwd=tmp_path)
    assert proof.stdout == "✓ 2 entries, 2 accounts: everything adds up\n"
    rows = list(csv.DictReader(io.StringIO(run("ledger", "export", cwd=tmp_path).stdout)))
    assert [row["text"] for row in rows] == ["cash", "cash", "back", "back"]
    with sqlite3.connect(data / "encryptotel.db") as books:
        books.execute("UPDATE balance SET amount = 751 WHERE account = 'credit/102'")
    broken = run("ledger", "verify", cwd=tmp_path)
    assert broken.returncode == 1
    assert broken.stdout == "✗ credit/102 has 751 of EUR, and should have 750\n"


def test_a_rate_deck_is_checked(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("prefix,name,price\n1,USA,0.01\n44,UK,0.02\n")
    (tmp_path / "bad.csv").write_text("prefix,name,price\n1,USA,lots\nx,UK,0.02\n")
    assert run("rates", "check", "good.csv", cwd=tmp_path).stdout == "✓ 2 rates\n"
    bad = run("rates", "check", "bad.csv", cwd=tmp_path)
    assert bad.returncode == 1
    assert bad.stdout.splitlines() == [
        "✗ line 2: “lots” is no price",
        "✗ line 3: “x” is no prefix of telephone numbers",
    ]
