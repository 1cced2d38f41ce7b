"""Whatever arrives on an RTP or RTCP port is taken, or dropped: no error, nothing that takes
long, no memory kept, and not a byte back to whoever sent it."""

from __future__ import annotations

import contextlib
import gc
import random
import time
import tracemalloc
from collections.abc import Callable

import pytest

from pbx.media.port import RtcpPort, RtpPort
from pbx.media.rtcp import ReportBlock, report
from pbx.media.rtp import RtpPacket, event_digit, event_payload, parse_rtp
from pbx.media.srtp import SrtpError, new_crypto, session

PHONE, STRANGER = ("192.0.2.9", 4000), ("203.0.113.66", 6666)
STUN = bytes.fromhex("000100002112a442") + b"\7" * 12
BLOCK = ReportBlock(ssrc=7, lost=3, jitter=9, fraction=1, highest=70_000, last_sr=5, delay=6)
KINDS = (192, 199, 200, 201, 202, 203, 204, 205, 206, 207, 223)
LONGEST = 0.005
"Seconds of CPU one datagram may take."


class Wire:
    """Counts what is sent."""

    def __init__(self) -> None:
        self.sent = 0

    def sendto(self, data: bytes, to: object) -> None:
        self.sent += 1

    def close(self) -> None:
        pass


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 4, 8, 11, 12, 13, 20, 172, 1500, 2048)))


def rtp(chance: random.Random) -> bytes:
    payload = chance.choice(
        (b"", b"x" * 160, event_payload("5", end=True, duration=9), b"y" * 1400)
    )
    made = bytearray(
        RtpPacket(
            payload_type=chance.randrange(128),
            sequence=chance.randrange(65_536),
            timestamp=chance.getrandbits(32),
            ssrc=chance.choice((1, 2, chance.getrandbits(32))),
            payload=payload,
        ).encode()
    )
    made[0] |= chance.choice((0, 0, 0x10, 0x20, 0x30, chance.randrange(64)))
    return damaged(made, chance)


def rtcp(chance: random.Random) -> bytes:
    made = bytearray()
    for _ in range(chance.randrange(1, 6)):
        if chance.random() < 0.5:
            made += report(7, 1e9, 0, chance.randrange(2), 0, chance.choice((None, BLOCK)))
        else:
            count, words = chance.randrange(32), chance.choice((0, 1, 2, 7, 60, 65_535))
            made += bytes([0x80 | count, chance.choice(KINDS)]) + words.to_bytes(2, "big")
            made += bytes(4 * chance.choice((words % 300, 1)))
    return damaged(made, chance)


def stun(chance: random.Random) -> bytes:
    return damaged(bytearray(STUN + noise(chance)), chance)


def damaged(made: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((0, 0, 1, 2, 8))):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made[: chance.choice((len(made), chance.randrange(len(made) + 1)))])


def taken_by(port: RtpPort, rtcp: RtcpPort, data: bytes, source: tuple[str, int]) -> float:
    """CPU seconds until a datagram is dealt with, on either port."""
    began = time.thread_time()
    port.datagram_received(data, source)
    rtcp.datagram_received(data, source)
    found = parse_rtp(data)
    if found is not None:
        event_digit(found.payload)
    port.report_block()
    return time.thread_time() - began


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "srtp"])
@pytest.mark.parametrize("make", [noise, rtp, rtcp, stun])
@pytest.mark.parametrize(
    "count", [2_500, pytest.param(62_500, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
def test_a_campaign(make: Callable[[random.Random], bytes], secured: bool, count: int) -> None:
    chance = random.Random(3550)
    wire = Wire()
    port = RtpPort()
    port.attach(wire, wire)
    port.aim(PHONE, None, PHONE[0])
    ours, line = new_crypto(), new_crypto("1", "AEAD_AES_128_GCM")
    phone = session(line, inbound=False)
    if secured:
        port.secure(session(line, inbound=True), session(ours, inbound=False))
    rtcp_port = port._rtcp
    assert rtcp_port is not None
    tracemalloc.start()
    early = 0
    for number in range(count):
        data = make(chance)
        source = chance.choice((PHONE, STRANGER, (PHONE[0], chance.randrange(1, 65_536))))
        if secured and len(data) >= 12 and len(data) < 1400 and data[0] >> 6 == 2 and number % 3:
            with contextlib.suppress(SrtpError):
                data = phone.protect(data)  # damaged by who has the key
        took = 1.0
        for _ in range(3):  # what else the machine does is not the datagram's fault
            if took > LONGEST:
                took = min(took, taken_by(port, rtcp_port, data, source))
        assert took < LONGEST, f"{took * 1000:.1f} ms for {data.hex()}"
        if number == count // 5:
            gc.collect()
            early = tracemalloc.get_traced_memory()[0]
    assert 0 <= port.lost < 2**31
    assert 1.0 <= port.quality.mos("PCMU/8000") <= 4.5
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - early
    tracemalloc.stop()
    assert wire.sent == 0
    assert grown < 50_000
