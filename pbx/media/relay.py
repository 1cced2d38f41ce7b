"""The relay path: packets of one port go out of another, payload untouched."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection, Mapping

from pbx.media.port import Sink
from pbx.media.rtp import event_digit, parse_rtp


def renumbered(
    send: Sink,
    changed: Mapping[int, int],
    foreign: Collection[int],
    on_foreign: Callable[[], None],
) -> Sink:
    """A sink in front of `send` for two legs that number their payloads differently.

    Only the payload type is rewritten. A payload of `foreign` means nothing to the other side:
    it is dropped and `on_foreign` told. Where nothing differs, this is `send` itself.
    """
    if not changed and not foreign:
        return send
    octets = [bytes((octet,)) for octet in range(256)]
    for old, new in changed.items():
        octets[old], octets[old | 0x80] = bytes((new,)), bytes((new | 0x80,))
    for payload in foreign:
        octets[payload] = octets[payload | 0x80] = b""

    def sink(data: bytes) -> None:
        octet = octets[data[1]]
        if octet:
            send(data[:1] + octet + data[2:])
        else:
            on_foreign()

    return sink


def overheard(send: Sink, events: Collection[int], on_key: Callable[[str], None]) -> Sink:
    """A sink in front of `send` that tells of keys which pass as events of these payload types
    (RFC 4733), each once."""
    if not events:
        return send
    marked = frozenset(events) | {payload | 0x80 for payload in events}
    last = b""

    def sink(data: bytes) -> None:
        nonlocal last
        send(data)
        if data[1] in marked and data[4:8] != last:
            last = data[4:8]
            packet = parse_rtp(data)
            found = event_digit(packet.payload) if packet is not None else None
            if found is not None:
                on_key(found[0])

    return sink


def continued(send: Sink, last: bytes, clock: int) -> Sink:
    """A sink in front of `send` that goes on where `last`, the latest packet to the same peer,
    left off: many phones fall silent when another stream, with other numbers and times, takes
    the place of one they play. `clock` is in Hz. Without a last packet this is `send` itself."""
    return _Continued(send, last, clock).take if len(last) >= 12 else send


class _Continued:
    """Gives packets of another stream the source, numbers and times of the one before."""

    def __init__(self, send: Sink, last: bytes, clock: int) -> None:
        self._send = send
        self._sequence, self._timestamp = struct.unpack_from("!HI", last, 2)
        self._source = last[8:12]
        self._theirs = b""
        self._shift, self._later = 0, 0
        self._clock = clock
        self._switched = time.monotonic()

    def take(self, data: bytes) -> None:
        """Send a packet on."""
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        kind = data[1]
        if data[8:12] != self._theirs:
            self._theirs = data[8:12]
            passed = round((time.monotonic() - self._switched) * self._clock) + self._clock // 50
            self._shift, self._later = (
                self._sequence + 1 - sequence,
                (self._timestamp + passed - timestamp),
            )
            if self._theirs == self._source:  # the same stream again: it knows where it is
                self._shift = self._later = 0
            else:
                kind |= 0x80
        self._sequence = (sequence + self._shift) & 0xFFFF
        self._timestamp = (timestamp + self._later) & 0xFFFFFFFF
        self._switched = time.monotonic()
        head = struct.pack("!BBHI", data[0], kind, self._sequence, self._timestamp)
        self._send(head + self._source + data[12:])
