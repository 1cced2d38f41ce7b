"""How a call ended, in words."""

from __future__ import annotations

import pytest

from pbx.calls.cause import Ending, words


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, "hung up"), (404, "no such number"), (408, "no answer"), (486, "busy"),
     (603, "declined"), (599, "failed (599)")],
)  # fmt: skip
def test_words(status: int, said: str) -> None:
    assert words(status) == said


def test_our_own_reason_is_told_and_the_peers_is_translated() -> None:
    assert Ending(status=403, reason="the limit is reached").words == "the limit is reached"
    assert Ending(status=486, reason="Busy Here", by_peer=True).words == "busy"
    assert Ending(status=499, reason="Xyzzy", by_peer=True).words == "failed (499)"
    assert Ending(status=480, reason="").words == "not available"
    assert Ending(status=200, reason="hung up by the other side", by_peer=True).words == (
        "hung up by the other side"
    )
