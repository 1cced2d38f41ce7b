"""Twenty-four hours of everything, in short; nothing may grow, and a leak must be found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.endurance.day import HOURS, check, live

SHORT, LONG = 1.0, 24.0
"Seconds an hour lasts."
LEAKS = {
    "memory": "bytearray(b'x' * 12_000_000)",
    "files": "open('/dev/null')",
    "sockets": "socket.socket()",
    "threads": "threading.Thread(target=threading.Event().wait, daemon=True).start()",
}


@pytest.mark.timeout(180)
async def test_a_day_in_half_a_minute_leaves_nothing_behind(tmp_path: Path) -> None:
    tally = await live(tmp_path, SHORT)
    check(tally)
    assert len(tally.done) == 17  # all kinds, and the journal
    assert tally.done["in the journal"] > HOURS


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_a_day_in_twelve_minutes_leaves_nothing_behind(tmp_path: Path) -> None:
    tally = await live(tmp_path, LONG)
    print(json.dumps(vars(tally)))
    check(tally)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", ["memory", "sockets"])
async def test_a_planted_leak_is_found(what: str, tmp_path: Path) -> None:
    """A script that keeps something of each call is such a leak."""
    (tmp_path / "leaky.py").write_text(
        "import socket, threading\nkept = []\n\n"
        f"def answer(call):\n    call.answer()\n    kept.append({LEAKS[what]})\n"
    )
    tally = await live(tmp_path, SHORT / 2, script="leaky:answer")
    assert tally.done["robot"] > 5
    with pytest.raises(AssertionError, match=f"{'files' if what == 'sockets' else what} grew"):
        check(tally)
