"""How loud somebody is just now, from the latest packet of their stream.

The relay looks at no sound. Where somebody watches a call, one packet now and then is decoded by
itself; what a codec remembers of those before it changes its level by little.
"""

from __future__ import annotations

from pbx.media.negotiate import AudioTerms
from pbx.media.rtp import parse_rtp
from pbx.media.tones import level

SILENCE = -100.0
"In dBFS."
QUIET_AFTER = 0.5
"Seconds without a packet."


def loudness(packet: bytes, terms: AudioTerms) -> float | None:
    """The level of an RTP packet's sound in dBFS; None where it is not ours to decode."""
    parsed = parse_rtp(packet)
    codec = terms.receives.get(parsed.payload_type) if parsed else None
    if parsed is None or codec is None:
        return SILENCE if parsed and parsed.payload_type in terms.event_types else None
    pcm = codec.decoder(codec.rate).decode(parsed.payload)
    return max(SILENCE, level(pcm)) if pcm else SILENCE
