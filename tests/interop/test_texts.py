"""Text messages between phones that we did not write."""

from __future__ import annotations

import pytest

from tests.peers.baresip import Baresip
from tests.peers.exchange import Config, Exchange
from tests.peers.linphone import Linphone
from tests.peers.sipp import Sipp

from .common import SECRET, plain, secure

pytestmark = pytest.mark.interop
NEEDS = ("linphonec", "baresip", "sipp")


async def test_phones_write_to_each_other() -> None:
    async with (
        Exchange(Config([*secure("101"), *plain("102"), *plain("103")])) as exchange,
        Linphone("101", SECRET["101"], exchange.tls, ca=exchange.ca) as alice,
        Baresip("102", SECRET["102"], exchange.udp, trace=True) as bob,
    ):
        alice.process.write(f'chat sip:102@localhost:{exchange.tls[1]} "Hello Bob"')
        await bob.process.wait_line("Hello Bob")
        async with Sipp(
            "message", exchange.udp, number="103", to="101", password=SECRET["103"]
        ) as carol:
            await carol.finish()
        await alice.process.wait_line("Hello from afar")
