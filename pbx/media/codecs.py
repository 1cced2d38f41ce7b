"""The codecs the exchange speaks itself, and the PCM they are turned into.

PCM in the exchange is 16-bit little-endian mono, at `RATE` or, between two wideband codecs, at
`WIDE_RATE`. Codecs keep state from packet to packet, so each stream has its own coder and
decoder.
"""

from __future__ import annotations

import audioop
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from G722 import G722 as G722Coder

from pbx.media.opus import OpusDecoder, opus_encoder
from pbx.media.resample import Resampler
from pbx.vocabulary import PayloadType

RATE = 8000
"Samples a second of PCM, unless something else is said."
WIDE_RATE = 16_000
FRAME_MS = 20
PACKET_MS = (10, 20, 30, 40, 60)
"Lengths of packets that are sent, if the other side wants them."

Encoder = Callable[[bytes], bytes]
"PCM of one packet to its payload."


class Decoder(Protocol):
    """The state of one received stream."""

    def decode(self, payload: bytes) -> bytes:
        """The PCM of a payload; empty when it cannot be decoded."""

    def conceal(self) -> bytes:
        """What probably was in the packet that is missing now; empty when this codec has no
        idea of its own."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How one payload type sounds.

    `name` and `parameters` are its rtpmap and fmtp, `payload_type` the number we offer it under,
    `clock` the RTP clock and `rate` the natural rate of its PCM, both in Hz. `encoder` is given
    the PCM's rate and the length of a packet in ms, `decoder` the rate wanted.
    """

    name: str
    payload_type: int
    encoder: Callable[[int, int], Encoder]
    decoder: Callable[[int], Decoder]
    clock: int = RATE
    rate: int = RATE
    parameters: str = ""
    packet_ms: tuple[int, ...] = PACKET_MS
    bytewise: bool = False
    "Whether a byte is a tick of the clock, so that payloads in a row are one longer payload."


class _Resampled:
    """A decoder whose own rate may be another than the one wanted."""

    def __init__(self, decode: Callable[[bytes], bytes], rate: int, wanted: int) -> None:
        self._decode = decode
        self._resample = Resampler(rate, wanted) if rate != wanted else None

    def decode(self, payload: bytes) -> bytes:
        pcm = self._decode(payload)
        return self._resample(pcm) if self._resample else pcm

    def conceal(self) -> bytes:
        return b""


def _encoder(encode: Callable[[bytes], bytes], rate: int, given: int) -> Encoder:
    if rate == given:
        return encode
    resample = Resampler(given, rate)
    return lambda pcm: encode(resample(pcm))


def _g722_decode() -> Callable[[bytes], bytes]:
    coder = G722Coder(WIDE_RATE, 64_000)
    return lambda payload: coder.decode(payload).tobytes() if payload else b""


def _g722_encode() -> Callable[[bytes], bytes]:
    coder = G722Coder(WIDE_RATE, 64_000)
    return lambda pcm: bytes(coder.encode(np.frombuffer(pcm, "<i2"))) if pcm else b""


PCMU = Codec(
    name="PCMU/8000",
    bytewise=True,
    payload_type=int(PayloadType.PCMU),
    encoder=lambda rate, _: _encoder(lambda pcm: audioop.lin2ulaw(pcm, 2), RATE, rate),
    decoder=lambda rate: _Resampled(lambda data: audioop.ulaw2lin(data, 2), RATE, rate),
)
PCMA = Codec(
    name="PCMA/8000",
    bytewise=True,
    payload_type=int(PayloadType.PCMA),
    encoder=lambda rate, _: _encoder(lambda pcm: audioop.lin2alaw(pcm, 2), RATE, rate),
    decoder=lambda rate: _Resampled(lambda data: audioop.alaw2lin(data, 2), RATE, rate),
)
G722 = Codec(
    name="G722/8000",  # what it is called; it samples at 16 kHz all the same (RFC 3551 §4.5.2)
    payload_type=int(PayloadType.G722),
    bytewise=True,
    rate=WIDE_RATE,
    encoder=lambda rate, _: _encoder(_g722_encode(), WIDE_RATE, rate),
    decoder=lambda rate: _Resampled(_g722_decode(), WIDE_RATE, rate),
)
OPUS = Codec(
    name="opus/48000/2",  # always this, whatever is in the packets (RFC 7587 §7)
    payload_type=111,
    clock=48_000,
    rate=WIDE_RATE,
    parameters="maxplaybackrate=16000;sprop-maxcapturerate=16000",
    packet_ms=(10, 20, 40, 60),
    encoder=opus_encoder,
    decoder=OpusDecoder,
)
CODECS: tuple[Codec, ...] = (PCMU, PCMA, G722, OPUS)
"Our own order: what everybody has comes first, so that legs asked one by one can be relayed."
_BY_NAME = {codec.name.upper(): codec for codec in CODECS}
COMFORT_NOISE = "CN/8000"
TELEPHONE_EVENT = "TELEPHONE-EVENT/8000"


def codec_named(name: str) -> Codec | None:
    """The codec of an SDP name such as `pcma/8000`; None when we cannot speak it."""
    return _BY_NAME.get(name.upper().removesuffix("/1"))
