"""A line over IPv6: from a phone on either family to a carrier on ::1, and back, with sound."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.calls.leg import Leg, Target, only
from pbx.media.tones import tone
from pbx.sip.message import Request
from tests.hearing import match
from tests.office import Office, open_office

US, OUTSIDE = "+12025550100", "+12025550143"
LOW, HIGH = tone(0.5, 440.0), tone(0.5, 660.0)
pytestmark = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")


class Carrier(Phone):
    """A telephone network on ::1 that also calls in."""

    async def call_in(self, office: Office) -> Leg:
        port = int(office.app.addresses["udp"].rsplit(":", 1)[1])
        leg = self._leg(US, "out")
        await leg.dial(
            Target(
                peer=US,
                uri=f"sip:{US}@[::1]:{port}",
                from_uri=f"sip:{OUTSIDE}@[::1]",
                ways=only(lambda: self._stack.transports.flow_to("udp", ("::1", port))),
            )
        )
        self._spawn(self._attend(leg))
        return leg


@pytest.mark.parametrize("phone_host", ["::1", "127.0.0.1"])
async def test_calls_out_and_in(tmp_path: Path, phone_host: str) -> None:
    carrier = Carrier(plays(HIGH), ring_seconds=0.1, host="::1")
    seen: list[Request] = []
    carrier._stack.on_stray = lambda sent, message, flow: (
        seen.append(message) if isinstance(message, Request) and not sent else None
    )
    address = await carrier.listen()
    trunk = {"name": "six", "zone": "US", "host": "[::1]", "port": address[1], "numbers": (US,)}
    async with open_office(
        tmp_path,
        exchange={"host": "::", "udp_port": 0, "tcp_port": 0, "tls_port": 0},
        trunk=(trunk,),
        route=({"number": US, "to": "101"},),
    ) as office:
        await office.until(lambda: bool(office.app.exchange.trunks["six"].up))
        office.app.addresses["udp"] = f"{phone_host}:{office.app.addresses['udp'].split(':')[-1]}"
        phone = await office.phone("101", Phone(plays(LOW), ring_seconds=0.1, host=phone_host))
        leg = await phone.call(OUTSIDE)
        await phone.until_heard(lambda heard: match(bytes(heard), HIGH) > 0.9)
        await carrier.until_heard(lambda heard: match(bytes(heard), LOW) > 0.9)
        leg.hang_up()
        await office.ended()
        invite = next(request for request in seen if request.method == "INVITE")
        assert invite.uri == f"sip:{OUTSIDE}@[::1]:{address[1]}"
        assert invite.via.host.strip("[]") == "::1"
        assert "<sip:" in invite.get("contact")
        assert "@[::1]:" in invite.get("contact")
        assert b"c=IN IP6 ::1\r\n" in invite.body

        phone.heard.clear()
        carrier.heard.clear()
        leg = await carrier.call_in(office)
        await carrier.until_heard(lambda heard: match(bytes(heard), LOW) > 0.9)
        await phone.until_heard(lambda heard: match(bytes(heard), HIGH) > 0.9)
        leg.hang_up()
        await office.ended(2)
        await carrier.stop()
