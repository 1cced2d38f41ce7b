"""A chat and two phones we did not write: what is typed rings, talks encrypted and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.ports import Role
from encryptotel.people import OWNER
from tests.chat.talkers import FRONT_ENDS
from tests.peers.baresip import Baresip
from tests.peers.proc import missing

LOW, HIGH = 440, 620
pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(bool(missing("baresip")), reason="baresip is not installed"),
]


@pytest.mark.parametrize("front_end", ["telegram", "jabber"])
async def test_a_typed_call_rings_real_phones_and_a_tap_ends_it(
    tmp_path: Path, front_end: str
) -> None:
    if front_end == "jabber" and missing("prosody", "prosodyctl"):
        pytest.skip("Prosody is not installed")
    async with FRONT_ENDS[front_end](tmp_path) as stage:
        app = stage.office.app
        host, port = app.addresses["tls"].rsplit(":", 1)

        def phone(number: str, tone: int) -> Baresip:
            return Baresip(
                number, f"secret-{number}", (host, int(port)), transport="tls", tone=tone,
                srtp="srtp-mand", ca=app.certificates.ca,
            )  # fmt: skip

        alice: Any = await stage.person("Alice")
        code = await app.people.invite("Alice", role=Role.OWNER, person_id=OWNER)
        alice.says(f"/start {code}")
        await alice.sees(lambda text: "Welcome" in text)
        async with phone("101", LOW) as hers, phone("102", HIGH) as his:
            alice.says("call 102")
            await alice.sees(lambda text: "Connected since" in text)
            await hers.hears(HIGH)
            await his.hears(LOW)
            alice.taps("Mute")
            await alice.sees(lambda text: "Muted" in text)
            alice.taps("Unmute")
            alice.taps("Hold")
            await alice.sees(lambda text: "On hold" in text)
            alice.taps("Resume")
            await hers.hears(HIGH)
            await his.hears(LOW)
            alice.taps("Hang up")
            await alice.sees(lambda text: "The call ended: hung up by command" in text)
            await hers.wait("CALL_CLOSED")
            await his.wait("CALL_CLOSED")
