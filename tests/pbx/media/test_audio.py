"""The port path: sound and digits through two channels, on a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np

from pbx.media.audio import MAX_LIVE, REPORT_EVERY, AudioChannel
from pbx.media.clock import MediaClock
from pbx.media.codecs import CODECS, G722, OPUS, PCMA, PCMU, Codec
from pbx.media.dtmf import DtmfDetector, key_tone
from pbx.media.negotiate import AudioTerms
from pbx.media.port import RtpPort
from pbx.media.rtcp import parse_reports
from pbx.media.rtp import RtpPacket, event_digit, event_payload, parse_rtp
from pbx.media.tones import dominant, level, share_of, tone
from tests.pbx.media.streams import FRAME_BYTES, SILENCE, packets, pitch
from tests.pbx.virtual_time import passing, virtual


class Wire:
    """In place of a port's socket: keeps what is sent, and hands it to another port."""

    def __init__(self) -> None:
        self.port = RtpPort()
        self.port.attach(self, self)
        self.port.aim(("192.0.2.9", 4000))
        self.sent: list[RtpPacket] = []
        self.reports: list[bytes] = []
        self.other: RtpPort | None = None

    def sendto(self, data: bytes, addr: object) -> None:
        if parse_reports(data) is not None:
            self.reports.append(data)
            return
        packet = parse_rtp(data)
        assert packet is not None
        self.sent.append(packet)
        if self.other is not None:
            self.other.datagram_received(data, ("192.0.2.8", 4000))

    def close(self) -> None:
        pass


def terms(codec: Codec = PCMU, *, ms: int = 20, events: int | None = 101) -> AudioTerms:
    return AudioTerms(
        codec=codec,
        payload_type=codec.payload_type,
        packet_ms=ms,
        receives={known.payload_type: known for known in CODECS},
        event_type=events,
        event_clock=8000,
        event_types=frozenset() if events is None else frozenset({events}),
    )


def channel(
    codec: Codec = PCMU,
    clock: MediaClock | None = None,
    *,
    ms: int = 20,
    events: int | None = 101,
    rate: int = 8000,
) -> tuple[Wire, AudioChannel]:
    wire = Wire()
    agreed = terms(codec, ms=ms, events=events)
    return wire, AudioChannel(wire.port, clock or MediaClock(), agreed, rate)


@virtual
async def test_a_packet_of_silence_goes_out_every_20_ms() -> None:
    wire, _ = channel()
    await passing(1.001)
    assert len(wire.sent) == 50
    assert [packet.marker for packet in wire.sent[:3]] == [True, False, False]
    for one, two in itertools.pairwise(wire.sent):
        assert (two.sequence - one.sequence) & 0xFFFF == 1
        assert (two.timestamp - one.timestamp) & 0xFFFFFFFF == 160
        assert one.ssrc == two.ssrc
        assert len(one.payload) == 160


@virtual
async def test_the_sequence_wraps() -> None:
    wire, made = channel()
    made._sequence, made._timestamp = 65_534, 2**32 - 160
    await passing(0.081)
    assert [packet.sequence for packet in wire.sent] == [65_534, 65_535, 0, 1]
    assert [packet.timestamp for packet in wire.sent] == [2**32 - 160, 0, 160, 320]


@virtual
async def test_what_one_plays_the_other_hears_in_either_codec() -> None:
    for codec in CODECS:
        clock = MediaClock()
        one, speaking = channel(codec, clock)
        two, listening = channel(codec, clock)
        one.other = two.port
        frames: list[bytes] = []
        listening.on_frame = frames.append
        speaking.play(tone(1.0, 700.0))
        await speaking.played()
        await passing(0.2)
        heard = b"".join(frames)
        assert abs(dominant(heard[8000:12_000]) - 700) < 5
        assert share_of(heard, 700.0) > 0.6
        assert all(len(frame) == FRAME_BYTES for frame in frames)
        speaking.close()
        listening.close()


@virtual
async def test_played_waits_for_the_end_and_stop_ends_it() -> None:
    _, made = channel()
    await made.played()  # nothing to wait for
    made.play(bytes(FRAME_BYTES * 100))
    async with asyncio.timeout(2.1):
        await made.played()
    made.play(bytes(FRAME_BYTES * 100_000))
    made.stop()
    await made.played()


@virtual
async def test_a_background_goes_round_and_gives_way() -> None:
    wire, made = channel()
    made.repeat(tone(0.1, 440.0))
    await passing(0.5)
    assert len({packet.payload for packet in wire.sent}) == 5  # five frames over and over
    wire.sent.clear()
    made.play(bytes(FRAME_BYTES * 5))
    await passing(0.1)
    quiet = PCMU.encoder(8000, 20)(SILENCE)
    assert [packet.payload for packet in wire.sent] == [quiet] * 5
    made.repeat(b"")
    await passing(0.1)
    assert wire.sent[-1].payload == quiet


@virtual
async def test_live_sound_never_runs_far_behind() -> None:
    wire, made = channel()
    for number in range(100):
        made.play_live(tone(0.02, 50.0 * number + 50))
    await passing(1.0)
    quiet = PCMU.encoder(8000, 20)(SILENCE)
    assert sum(packet.payload != quiet for packet in wire.sent) == MAX_LIVE


@virtual
async def test_a_digit_as_rfc_4733_says() -> None:
    wire, made = channel()
    await passing(0.1)
    wire.sent.clear()
    made.send_digit("5")
    await passing(0.5)
    events = [packet for packet in wire.sent if packet.payload_type == 101]
    assert [event_digit(packet.payload) for packet in events] == [("5", False)] * 8 + [
        ("5", True)
    ] * 3
    assert len({packet.timestamp for packet in events}) == 1  # when the key went down
    assert [packet.marker for packet in events] == [True] + [False] * 10
    durations = [int.from_bytes(packet.payload[2:4], "big") for packet in events]
    assert durations == [160 * n for n in range(1, 9)] + [1440] * 3
    numbers = [packet.sequence for packet in wire.sent]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(numbers))
    sound = [packet for packet in wire.sent if packet.payload_type == 0]
    assert (sound[0].timestamp - events[0].timestamp) & 0xFFFFFFFF == 11 * 160


@virtual
async def test_digits_arrive_once_each_and_in_order() -> None:
    clock = MediaClock()
    one, sending = channel(clock=clock)
    two, hearing = channel(clock=clock)
    one.other = two.port
    digits: list[str] = []
    hearing.on_digit = digits.append
    for digit in "1123#*A0x":
        sending.send_digit(digit)
    await passing(5)
    assert digits == list("1123#*A0")  # "x" is no key


@virtual
async def test_a_digit_survives_the_loss_of_all_but_one_packet() -> None:
    wire, made = channel()
    digits: list[str] = []
    made.on_digit = digits.append
    for timestamp, end in [(1000, True), (1000, True), (5000, False), (9000, True)]:
        payload = event_payload("7", end=end, duration=800)
        packet = RtpPacket(
            payload_type=101, sequence=1, timestamp=timestamp, ssrc=1, payload=payload
        )
        wire.port.datagram_received(packet.encode(), ("192.0.2.8", 4000))
    assert digits == ["7", "7", "7"]


@virtual
async def test_to_who_takes_no_events_a_key_is_its_tones() -> None:
    wire, made = channel(events=None)
    detector = DtmfDetector(8000)
    for key in "15#":
        made.send_digit(key)
    await passing(1.5)
    assert {packet.payload_type for packet in wire.sent} == {0}
    decode = PCMU.decoder(8000).decode
    assert "".join(detector.feed(decode(packet.payload)) for packet in wire.sent) == "15#"


@virtual
async def test_from_who_sends_no_events_tones_are_keys_and_not_heard() -> None:
    clock = MediaClock()
    one, speaking = channel(clock=clock, events=None)
    two, listening = channel(clock=clock, events=None)
    one.other = two.port
    keys: list[str] = []
    frames: list[bytes] = []
    listening.on_digit, listening.on_frame = keys.append, frames.append
    speaking.play(tone(0.5, 700.0) + key_tone("4", 0.5, 8000) + tone(0.5, 700.0))
    await speaking.played()
    await passing(0.3)
    assert keys == ["4"]
    leaked = [frame for frame in frames if level(frame) > -50 and pitch(frame) > 1000]
    assert len(leaked) <= 3  # what sounds until it is sure
    assert share_of(b"".join(frames), 700.0) > 0.5


@virtual
async def test_where_events_are_agreed_tones_are_just_tones() -> None:
    clock = MediaClock()
    one, speaking = channel(clock=clock)
    two, listening = channel(clock=clock)
    one.other = two.port
    keys: list[str] = []
    listening.on_digit = keys.append
    speaking.play(key_tone("4", 0.5, 8000))
    await passing(1)
    assert keys == []


@virtual
async def test_keys_do_not_delay_live_sound() -> None:
    """Frames that arrive while a key is sent are left out, not sent later."""
    for events in (101, None):
        wire, made = channel(events=events)
        made.send_digit("5")
        for number in range(40):
            made.play_live(tone(0.02, 300.0 + 50 * number))
            await passing(0.02)
        wire.sent.clear()
        made.play_live(tone(0.02, 3000.0))
        await passing(0.02)
        last = PCMU.decoder(8000).decode(wire.sent[-1].payload)
        assert abs(pitch(last) - 3000) < 60


@virtual
async def test_packets_are_as_long_as_the_peer_wants() -> None:
    for codec, ms, octets in [(PCMU, 10, 80), (PCMU, 30, 240), (G722, 40, 320), (PCMA, 60, 480)]:
        wire, made = channel(codec, ms=ms)
        made.play(tone(3.0, 440.0))
        await passing(1.201)
        made.close()
        assert {len(packet.payload) for packet in wire.sent} == {octets}
        assert abs(len(wire.sent) - 1200 / ms) <= 1
        for one, two in itertools.pairwise(wire.sent):
            assert (two.timestamp - one.timestamp) & 0xFFFFFFFF == 8 * ms


@virtual
async def test_opus_counts_time_at_48_khz() -> None:
    wire, made = channel(OPUS)
    made.play(tone(1.0, 440.0))
    await passing(0.3)
    for one, two in itertools.pairwise(wire.sent):
        assert (two.timestamp - one.timestamp) & 0xFFFFFFFF == 960
    made.send_digit("3")
    await passing(0.5)
    events = [packet for packet in wire.sent if packet.payload_type == 101]
    durations = [int.from_bytes(packet.payload[2:4], "big") for packet in events]
    assert durations[:3] == [160, 320, 480]  # its own clock
    sound = [p for p in wire.sent if p.payload_type == 111 and p.sequence > events[-1].sequence]
    assert (sound[0].timestamp - events[0].timestamp) & 0xFFFFFFFF == 11 * 960


@virtual
async def test_wideband_from_end_to_end() -> None:
    clock = MediaClock()
    one, speaking = channel(G722, clock, rate=16_000)
    two, listening = channel(OPUS, clock, rate=16_000)
    one.other = two.port
    frames: list[bytes] = []
    listening.on_frame = frames.append
    at = np.arange(16_000) / 16_000
    sound = (8000 * np.sin(2 * np.pi * 6000 * at)).astype("<i2").tobytes()
    for start in range(0, len(sound), 640):
        speaking.play_live(sound[start : start + 640])
        await passing(0.02)
    heard = np.frombuffer(b"".join(frames[20:45]), "<i2")
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert abs(np.argmax(spectrum) * 16_000 / heard.size - 6000) < 10
    speaking.play(tone(0.5, 440.0))  # what apps play is at 8 kHz, whatever the channel
    frames.clear()
    await passing(0.6)
    heard = np.frombuffer(b"".join(frames[8:24]), "<i2")
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert abs(np.argmax(spectrum) * 16_000 / heard.size - 440) < 10


@virtual
async def test_new_terms_in_the_middle() -> None:
    wire, made = channel(PCMU)
    made.repeat(tone(1.0, 440.0))
    await passing(0.2)
    made.adopt(terms(OPUS, events=None))
    await passing(0.2)
    assert [packet.payload_type for packet in wire.sent] == [0] * 10 + [111] * 10
    assert len({packet.ssrc for packet in wire.sent}) == 1


@virtual
async def test_sources_extensions_and_padding_are_not_sound() -> None:
    """CSRCs, a header extension and padding (RFC 3550 §5.1, §5.3.1) around the same sound."""
    wire, made = channel()
    frames: list[bytes] = []
    made.on_frame = frames.append
    for number, packet in enumerate(packets(tone(0.5, 700.0))):
        plain = packet.encode()
        csrcs, extension = b"\1\2\3\4" * 2, b"\xbe\xde\0\1" + b"\x10\x55\0\0"
        first = bytes((plain[0] | 0x30 | 2,))
        data = first + plain[1:12] + csrcs + extension + plain[12:] + b"\0\0\0\4"
        wire.port.datagram_received(data if number % 2 else plain, ("192.0.2.8", 4000))
        await passing(0.02)
    await passing(0.1)
    heard = b"".join(frames)
    assert abs(pitch(heard[:7000]) - 700) < 1
    assert made._playout.concealed <= 6  # the end of it


@virtual
async def test_unknown_payloads_and_noise_are_passed_over() -> None:
    wire, made = channel()
    frames: list[bytes] = []
    made.on_frame = frames.append
    for data in [b"", b"\x80" * 12, b"\xff" * 40, b"\x80\x60" + bytes(170), b"\x9f" + bytes(20)]:
        wire.port.datagram_received(data, ("192.0.2.8", 4000))
    await passing(1)
    assert frames == []


@virtual
async def test_a_report_every_five_seconds() -> None:
    wire, _ = channel()
    wire.port.datagram_received(
        RtpPacket(payload_type=0, sequence=9, timestamp=0, ssrc=77, payload=b"").encode(),
        ("192.0.2.8", 4000),
    )
    await passing(10.01)
    assert REPORT_EVERY == 250
    assert len(wire.reports) == 2
    found = parse_reports(wire.reports[0])
    assert found is not None
    (block,) = found.blocks
    assert (block.ssrc, block.highest, block.lost) == (77, 9, 0)


@virtual
async def test_a_closed_channel_is_silent() -> None:
    wire, made = channel()
    await passing(0.1)
    made.close()
    wire.sent.clear()
    await passing(1)
    assert wire.sent == []


@virtual
async def test_a_stream_that_fails_does_not_stop_the_others() -> None:
    clock = MediaClock()
    wire, _ = channel(clock=clock)
    clock.add(lambda: 1 // 0 and None)
    await passing(1.001)
    assert len(wire.sent) == 50


def test_levels() -> None:
    assert level(b"") == level(SILENCE) == -120.0
    assert -16 < level(tone(0.1, 1000.0)) < -14
