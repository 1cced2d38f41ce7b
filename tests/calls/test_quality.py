"""What the journal says of how well each side was heard, and that nobody else can be heard or
can listen."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from encryptotel.demo.phone import Phone, plays
from pbx.events import LegEnded
from pbx.media import audio
from pbx.media.codecs import PCMA, PCMU, Codec
from pbx.media.rtcp import report
from pbx.media.rtp import RtpPacket
from pbx.media.srtp import SrtpPolicy
from pbx.media.tones import tone
from pbx.sip.transport import Transport
from tests.calls.test_extensions import hears
from tests.office import open_office, own_ports

STUN = bytes.fromhex("000100002112a442") + b"\7" * 12


@own_ports
@pytest.mark.parametrize("codecs", [(PCMU, PCMU), (PCMU, PCMA)])
async def test_the_journal_tells_how_well_each_side_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codecs: tuple[Codec, Codec]
) -> None:
    """Relayed, the phones' reports pass through us; transcoded, we make them ourselves."""
    monkeypatch.setattr(audio, "REPORT_EVERY", 10)
    async with open_office(tmp_path) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), codecs=codecs[:1]))
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), codecs=codecs[1:]))
        leg = await alice.call("102")
        await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
        leg.hang_up()
        await office.ended()
        ends = office.of(LegEnded)
    assert len(ends) == 2
    for end in ends:
        assert end.received > 40
        assert (end.lost, end.lost_by_peer) == (0, 0)
        assert end.mos > 4.0
        assert 0 <= end.jitter_ms < 20
        assert end.round_trip_ms is not None
        assert end.round_trip_ms < 100


class Stranger:
    """Somebody who knows every port of the call."""

    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)

    def attacks(self, ports: list[int], number: int) -> None:
        """Loud sound, reports, STUN and noise to the RTP and the RTCP port of each leg."""
        sound = RtpPacket(
            payload_type=0, sequence=number, timestamp=160 * number, ssrc=666, payload=b"\0" * 160
        )
        for port in ports:
            for above in (0, 1):
                for data in (
                    sound.encode(), report(666, 1e9, 0, 1, 160, None), STUN, os.urandom(172)
                ):  # fmt: skip
                    self.socket.sendto(data, ("127.0.0.1", port + above))

    def got(self) -> int:
        """Datagrams that came back."""
        count = 0
        while True:
            try:
                self.socket.recv(2048)
            except BlockingIOError:
                return count
            count += 1


@own_ports
@pytest.mark.parametrize("srtp", [SrtpPolicy.OFF, SrtpPolicy.REQUIRE])
async def test_a_third_party_is_not_heard_and_hears_nothing(
    tmp_path: Path, srtp: SrtpPolicy
) -> None:
    """Neither from elsewhere nor from the very host of the phones (a neighbour behind the same
    NAT), whatever it sends."""
    extensions = tuple(
        {"number": number, "secret": f"secret-{number}", "srtp": srtp.value}
        for number in ("101", "102")
    )
    by: Transport = "tls" if srtp is SrtpPolicy.REQUIRE else "udp"
    async with open_office(tmp_path, extension=extensions) as office:
        alice = await office.phone("101", Phone(plays(tone(1, 440.0)), srtp=srtp), transport=by)
        bob = await office.phone("102", Phone(plays(tone(1, 620.0)), srtp=srtp), transport=by)
        await alice.call("102")
        await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
        (call,) = office.app.exchange.calls.values()
        ports = [port for leg in call.legs for port in leg.media.ports if port is not None]
        assert len(ports) == 2
        assert [port._connected for port in ports] == [srtp is SrtpPolicy.OFF] * 2
        phones = {phone: phone.legs[0].media.audio_port for phone in (alice, bob)}
        strangers = [Stranger(host) for host in ("127.0.0.1", "127.0.0.9")]
        heard: list[bytes] = []
        for port in phones.values():
            assert port is not None
            into = port.sink
            port.sink = lambda data, into=into: (heard.append(data), into(data))[-1]  # type: ignore[misc]
        for number in range(60):
            for stranger in strangers:
                stranger.attacks([port.port for port in ports], number)
            await asyncio.sleep(0.01)
        alice.heard.clear()
        bob.heard.clear()
        await asyncio.gather(hears(alice, 620.0), hears(bob, 440.0))
        assert len(heard) > 60
        assert not [data for data in heard if data[8:12] == (666).to_bytes(4, "big")]
        assert [stranger.got() for stranger in strangers] == [0, 0]
        for stranger in strangers:
            stranger.socket.close()
