"""Key presses: told by INFO, and put into a stream that is relayed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.clock import MediaClock
from pbx.media.keys import MAX_KEYS, KeyInjector, info_key
from pbx.media.relay import renumbered
from pbx.media.rtp import RtpPacket, event_digit, parse_rtp
from tests.pbx.media.test_audio import Wire, terms
from tests.pbx.virtual_time import passing, virtual

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", "5"),
        (RELAY, b"Signal= #\r\nDuration= 100", "#"),
        (RELAY, b"Duration=160\nSignal=*\n", "*"),
        (RELAY, b"signal=a", "A"),
        (RELAY, b"Signal=10\r\nDuration=160", "*"),
        (RELAY, b"Signal=11", "#"),
        (PLAIN, b"7", "7"),
        (PLAIN, b" 12\r\n", "A"),
        (PLAIN + "; charset=utf-8", b"0", "0"),
        ("Application/DTMF-Relay", b"Signal=1", "1"),
        (RELAY, b"Signal=16", ""),  # hook flash
        (RELAY, b"Signal=55", ""),
        (RELAY, b"", ""),
        (RELAY, b"5", ""),
        (PLAIN, b"", ""),
        (PLAIN, b"123", ""),
        ("text/plain", b"5", ""),
        ("", b"5", ""),
    ],
)
def test_a_key_in_an_info(kind: str, body: bytes, key: str) -> None:
    assert info_key(kind, body) == key


@given(st.sampled_from([RELAY, PLAIN, "x"]), st.binary(max_size=400))
def test_any_info(kind: str, body: bytes) -> None:
    assert info_key(kind, body) in set("0123456789*#ABCD") | {""}


# ── in a relayed stream ─────────────────────────────────────────────────────────────────
def sound(number: int, ssrc: int = 7) -> bytes:
    return RtpPacket(
        payload_type=0,
        sequence=(65_530 + number) & 0xFFFF,
        timestamp=(number * 160 - 1000) & 0xFFFFFFFF,
        ssrc=ssrc,
        payload=bytes(160),
    ).encode()


def made() -> tuple[Wire, KeyInjector, MediaClock]:
    wire, clock = Wire(), MediaClock()
    return wire, KeyInjector(wire.port.send, wire.port, terms(), clock), clock


@virtual
async def test_keys_become_part_of_the_stream() -> None:
    wire, injector, clock = made()
    for number in range(100):
        if number == 20:
            for key in "15":
                injector.press(key)
        injector.relay(sound(number))
        await passing(0.02)
    numbers = [packet.sequence for packet in wire.sent]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))
    assert len({packet.ssrc for packet in wire.sent}) == 1
    events = [packet for packet in wire.sent if packet.payload_type == 101]
    assert [event_digit(packet.payload) for packet in events] == [
        (key, end) for key in "15" for end in [False] * 8 + [True] * 3
    ]
    assert len({packet.timestamp for packet in events}) == 2
    first = wire.sent[:20][-1].timestamp
    assert 0 < (events[0].timestamp - first) & 0xFFFFFFFF <= 320
    times = [packet.timestamp for packet in wire.sent]
    assert all((b - a) & 0xFFFFFFFF < 2**31 for a, b in itertools.pairwise(times))
    assert [packet.marker for packet in events] == ([True] + [False] * 10) * 2
    after = [packet for packet in wire.sent[40:] if packet.payload_type == 0]
    assert len(after) > 30  # sound goes on
    assert clock._members == {}


@virtual
async def test_keys_into_a_stream_that_is_silent() -> None:
    wire, injector, _ = made()
    injector.press("9")
    await passing(1)
    assert {event_digit(packet.payload) for packet in wire.sent} == {("9", False), ("9", True)}
    assert len({packet.ssrc for packet in wire.sent}) == 1


@virtual
async def test_another_source_begins_with_its_own_numbers() -> None:
    wire, injector, _ = made()
    injector.relay(sound(0))
    injector.press("9")
    await passing(1)
    injector.relay(sound(50, ssrc=8))
    assert wire.sent[-1].ssrc == 8
    assert wire.sent[-1].sequence == (65_530 + 50) & 0xFFFF


@virtual
async def test_nonsense_and_floods() -> None:
    wire, injector, _ = made()
    for key in ("", "x", "12"):
        injector.press(key)
    await passing(1)
    assert wire.sent == []
    for _ in range(1000):
        injector.press("1")
    assert len(injector._keys) <= MAX_KEYS
    injector.close()


def test_only_the_payload_type_is_rewritten() -> None:
    sent: list[bytes] = []
    told: list[int] = []
    sink = renumbered(sent.append, {96: 111, 101: 96}, {9}, lambda: told.append(1))
    for payload_type, marker in itertools.product((0, 96, 101, 9, 127), (False, True)):
        packet = RtpPacket(payload_type=payload_type, sequence=513, timestamp=77, ssrc=5,
                           payload=b"sound", marker=marker)  # fmt: skip
        sink(packet.encode())
    found = [packet for data in sent if (packet := parse_rtp(data))]
    assert [(p.payload_type, p.marker) for p in found] == [
        (0, False), (0, True), (111, False), (111, True), (96, False), (96, True),
        (127, False), (127, True),
    ]  # fmt: skip
    assert {(p.sequence, p.timestamp, p.ssrc, p.payload) for p in found} == {(513, 77, 5, b"sound")}
    assert told == [1, 1]


def test_where_nothing_changes_nothing_is_in_the_way() -> None:
    def send(_: bytes) -> None: ...

    assert renumbered(send, {}, set(), lambda: None) is send
