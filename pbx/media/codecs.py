"""G.711 (ITU-T), the codecs every phone has, to and from 16-bit linear PCM."""

from __future__ import annotations

import audioop
from collections.abc import Callable
from dataclasses import dataclass

from pbx.vocabulary import PayloadType

RATE = 8000
"Samples a second of all PCM in the exchange."
FRAME_MS = 20
FRAME_SAMPLES = RATE * FRAME_MS // 1000
FRAME_BYTES = 2 * FRAME_SAMPLES
SILENCE = bytes(FRAME_BYTES)


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How one payload type sounds. PCM is 16-bit little-endian mono at `RATE`."""

    name: str
    payload_type: int
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


PCMU = Codec(
    name="PCMU/8000",
    payload_type=int(PayloadType.PCMU),
    encode=lambda pcm: audioop.lin2ulaw(pcm, 2),
    decode=lambda data: audioop.ulaw2lin(data, 2),
)
PCMA = Codec(
    name="PCMA/8000",
    payload_type=int(PayloadType.PCMA),
    encode=lambda pcm: audioop.lin2alaw(pcm, 2),
    decode=lambda data: audioop.alaw2lin(data, 2),
)
CODECS: tuple[Codec, ...] = (PCMU, PCMA)
TELEPHONE_EVENT = "TELEPHONE-EVENT/8000"


def codec_named(name: str) -> Codec | None:
    """The codec of an SDP name such as `pcma/8000`; None when we cannot speak it."""
    return next((codec for codec in CODECS if codec.name == name.upper().removesuffix("/1")), None)
