"""What was counted of a leg, and how to read that out of what an rtpengine tells of a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pbx.media.bencode import Value
from pbx.media.port import Address
from pbx.media.quality import Quality


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Packets from the far side of a leg and to it, how many of them never arrived there, and how
    unsteady those from it were. `quality` is None where nobody reported."""

    received: int = 0
    sent: int = 0
    lost: int = 0
    lost_by_peer: int = 0
    jitter_ms: float = 0.0
    quality: Quality | None = None
    sources: tuple[int, ...] = ()
    "The SSRC of each medium from the far side, 0 while there is none."


_NEGATIVE = 1 << 23
"Reports count in 24 bits with a sign (RFC 3550 §6.4.1), which engines pass on without."


def counted(told: Mapping[str, Value], far: str, near: str) -> Traffic:
    """The traffic of a call between two tags."""
    here, there = _Side(told, far), _Side(told, near)
    reports = [side.report for side in (here, there)]
    quality = None
    if here.packets and any(reports):
        trips = [report["round-trip time"] / 1e6 for report in reports if report]
        quality = Quality(
            loss=here.lost / max(1, here.packets + here.lost),
            jitter=here.jitter,
            peer_loss=there.lost / max(1, there.packets) if there.report else None,
            peer_jitter=there.jitter if there.report else None,
            round_trip=max(trips),
        )
    return Traffic(
        received=here.packets,
        sent=there.packets,
        lost=here.lost,
        lost_by_peer=there.lost,
        jitter_ms=1000 * here.jitter,
        quality=quality,
        sources=tuple(_number(one.get("SSRC")) for one in _first_streams(told, far)),
    )


def places(told: Mapping[str, Value], tag: str) -> list[Address | None]:
    """Where the packets of each medium of a side come from, as far as that is certain."""
    found: list[Address | None] = []
    for first in _first_streams(told, tag):
        endpoint = _mapping(first.get("endpoint"))
        host, port = endpoint.get("address"), endpoint.get("port")
        certain = "confirmed" in first.get("flags", ()) and isinstance(port, int)
        found.append((str(host), port) if certain and isinstance(port, int) else None)
    return found


def _first_streams(told: Mapping[str, Value], tag: str) -> Iterator[Mapping[str, Any]]:
    """The stream of sound or pictures of each medium of a side."""
    medias = _mapping(_mapping(told.get("tags")).get(tag)).get("medias")
    for media in medias if isinstance(medias, list) else ():
        streams = _mapping(media).get("streams")
        yield _mapping(streams[0]) if isinstance(streams, list) and streams else {}


class _Side:
    """One side of a call: what it sent, and what was reported about that. Whatever is told in
    another way than expected is nothing."""

    def __init__(self, told: Mapping[str, Value], tag: str) -> None:
        self.packets = 0
        source = ""
        for stream in _streams(told, tag):
            stats = _mapping(stream.get("stats"))
            self.packets += _number(stats.get("packets"))
            source = source or str(stream.get("SSRC", ""))
        heard = _mapping(_mapping(told.get("SSRC")).get(source))
        lost = _number(heard.get("cumulative loss"))
        self.lost = 0 if lost >= _NEGATIVE else lost
        average = _mapping(heard.get("average MOS"))
        self.report = {name: _number(value) for name, value in average.items()}
        "In milliseconds, the time there and back in microseconds; empty where there was none."
        if not self.report.get("samples"):
            self.report = {}

    @property
    def jitter(self) -> float:
        """Seconds."""
        return self.report.get("jitter", 0) / 1000


def _streams(told: Mapping[str, Value], tag: str) -> Iterator[Mapping[str, Any]]:
    """The RTP streams that a side sends."""
    medias = _mapping(_mapping(told.get("tags")).get(tag)).get("medias")
    for media in medias if isinstance(medias, list) else ():
        streams = _mapping(media).get("streams")
        for stream in streams if isinstance(streams, list) else ():
            if "RTP" in _mapping(stream).get("flags", ()):
                yield stream


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
