"""Phones on IPv6 over each transport, and their calls with phones on IPv4: one exchange on "::"
serves both families."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.media.tones import tone
from pbx.sip.transport import Transport
from tests.hearing import match
from tests.office import open_office

LOW, HIGH = tone(0.5, 440.0), tone(0.5, 660.0)
pytestmark = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_phone_on_ipv6_and_one_on_ipv4_hear_each_other(
    tmp_path: Path, transport: Transport
) -> None:
    ports = {"udp_port": 0, "tcp_port": 0, "tls_port": 0}
    async with open_office(tmp_path, exchange={"host": "::", **ports}) as office:
        addresses = office.app.addresses
        port = addresses[transport].rsplit(":", 1)[1]
        addresses[transport] = f"[::1]:{port}"
        six = await office.phone(
            "101", Phone(plays(LOW), ring_seconds=0.1, host="::1"), transport=transport
        )
        (binding,) = office.app.exchange.registrar.bindings("101")
        assert binding.flow.remote[0] == "::1"
        assert "@[::1]:" in binding.contact
        addresses["udp"] = f"127.0.0.1:{addresses['udp'].rsplit(':', 1)[1]}"
        four = await office.phone("102", Phone(plays(HIGH), ring_seconds=0.1, host="127.0.0.1"))
        (binding,) = office.app.exchange.registrar.bindings("102")
        assert binding.flow.remote[0] == "127.0.0.1"  # and not ::ffff:127.0.0.1
        for caller, callee in ((six, "102"), (four, "101")):
            for phone in (six, four):
                phone.heard.clear()
            leg = await caller.call(callee)
            await six.until_heard(lambda heard: match(bytes(heard), HIGH) > 0.9)
            await four.until_heard(lambda heard: match(bytes(heard), LOW) > 0.9)
            leg.hang_up()
            await office.ended(1 + (caller is four))
