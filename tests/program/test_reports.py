"""How well a call was heard, in words."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig

from encryptotel.reports import call_table, calls_json, trace_text
from store.database import HEAD, Database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).isoformat()


def leg(**more: Any) -> dict[str, Any]:
    return {
        "peer": "101", "direction": "in", "trunk": "", "device": "", "answered": NOW, "ended": NOW,
        "status": 200, "cause": "hung up", "codec": "PCMU/8000", "srtp": True, "received": 998,
        "sent": 1000, "lost": 2, "jitter_ms": 12.3, "lost_by_peer": 0, "round_trip_ms": 30.04,
        "mos": 4.31, **more,
    }  # fmt: skip


def call(*legs: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "c1", "started": NOW, "answered": NOW, "ended": NOW, "from": "101", "to": "102",
        "user": "101", "kind": "internal", "state": "ended", "status": 200, "cause": "hung up",
        "private": False, "legs": list(legs),
    }  # fmt: skip


def test_a_trace_tells_how_each_side_was_heard() -> None:
    text = trace_text({"call": call(leg()), "lines": []}, full=False)
    assert "good quality, MOS 4.3, 0.2 % lost, 12 ms jitter, 30 ms round trip; hung up" in text


def test_what_is_not_known_is_not_told() -> None:
    found = call(leg(received=0), leg(mos=None, round_trip_ms=None, lost_by_peer=25))
    silent, old = trace_text({"call": found, "lines": []}, full=False).split("\n\n")[2:]
    assert silent.endswith("received 0, sent 1000; hung up")
    assert old.endswith("sent 1000, 0.2 % lost, 12 ms jitter, 2.5 % lost on the way there; hung up")


@pytest.mark.parametrize(
    ("mos", "words"), [(4.4, "good"), (3.7, "fair"), (3.2, "poor"), (1.0, "bad")]
)
def test_the_list_of_calls_tells_of_the_worst_side(mos: float, words: str) -> None:
    found = call_table([call(leg(lost=0, received=1000), leg(mos=mos, srtp=False))])
    assert f"{words}, 0.1 % lost" in found
    assert "encrypted" not in found
    assert "good, 0.2 % lost, encrypted" in call_table([call(leg())])


def test_a_private_call_is_told_to_be_private() -> None:
    private = {**call(leg(srtp=False)), "private": True}
    assert "good, 0.2 % lost, private" in call_table([private])
    assert "private: end to end" in trace_text({"call": private, "lines": []}, full=False)
    assert "private" not in trace_text({"call": call(leg()), "lines": []}, full=False)


async def test_calls_of_an_older_exchange_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    config = AlembicConfig()
    config.set_main_option("script_location", "store/migrations")
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    command.upgrade(config, "0001")
    with sqlite3.connect(path) as old:
        old.execute(
            "INSERT INTO call (id, started_at, caller, callee, user, kind, cause)"
            " VALUES ('c1', '2026-11-22 12:00:00', '101', '102', '101', 'internal', 'hung up')"
        )
        old.execute(
            "INSERT INTO leg (id, call_id, peer, direction, trunk, device, started_at, cause,"
            " codec, srtp, received, sent, lost, jitter_ms) VALUES ('l1', 'c1', '101', 'in', '',"
            " '', '2026-11-22 12:00:00', '', 'PCMU/8000', 0, 98, 100, 2, 1.5)"
        )
    old.close()
    database = Database(path)
    await database.open()
    ((found,),) = [each["legs"] for each in await calls_json(database, 5)]
    assert (found["lost"], found["lost_by_peer"], found["mos"]) == (2, 0, None)
    await database.close()
    with sqlite3.connect(path) as new:
        assert new.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    new.close()
