"""Names that are not quite those of the contacts."""

from __future__ import annotations

import pytest

from encryptotel.contacts import similar

NAMES = {
    "Dave Miller": "+1", "Dave Brown": "+2", "Anna": "+3", "Иван Петров": "+4", "Jürgen": "+5",
    "Mum": "101",
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("dave", ["Dave Miller", "Dave Brown"]),
        ("MILLER", ["Dave Miller"]),
        ("dave  millr", ["Dave Miller"]),
        ("Ana", ["Anna"]),
        ("Ивану", ["Иван Петров"]),
        ("jurgen", ["Jürgen"]),
        ("mom", []),
        ("zebra", []),
        ("", []),
        ("\u202e" * 80, []),
    ],
)
def test_who_may_be_meant(said: str, meant: list[str]) -> None:
    assert [name for name, _ in similar(NAMES, said)] == meant
