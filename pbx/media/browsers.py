"""Browsers as far sides of an engine: what their descriptions say that no phone's does, and how
an engine is told of it (RFC 8829, RFC 8834, RFC 8842). Their media are DTLS-SRTP over ICE, which
end at the engine."""

from __future__ import annotations

from dataclasses import replace

from pbx.media.bencode import Value
from pbx.media.sdp import Media, SessionDescription
from pbx.media.session import protocol_of

BROWSER = "UDP/TLS/RTP/SAVPF"
BY_ENGINE = frozenset((
    "ice-ufrag", "ice-pwd", "ice-options", "candidate", "end-of-candidates", "fingerprint",
    "setup", "tls-id", "rtcp-mux",
))  # fmt: skip
"What a browser is told by the engine, for that is whom it meets."
OF_BROWSERS = ("extmap", "extmap-allow-mixed", "rtcp-rsize", "ssrc", "ssrc-group")
"What browsers say among themselves."
OF_BROWSERS_SOUND = (*OF_BROWSERS, "rtcp-fb")


def is_browser(said: SessionDescription) -> bool:
    """Whether a browser said it, or something else that speaks DTLS."""
    return any(one.is_dtls for one in said.media if one.port)


def has_ice(said: SessionDescription) -> bool:
    """Whether it will prove by ICE where it is."""
    used = [one for one in said.media if one.port and one.is_dtls]
    return bool(used) and all(one.values("ice-ufrag") for one in used)


def lowered(said: SessionDescription) -> SessionDescription:
    """What browsers say once for all is said in each section."""
    shared = [item for item in said.attributes if item[0] in BY_ENGINE]
    return replace(
        said,
        media=tuple(
            one.having(*(item for item in shared if not one.values(item[0])))
            if one.is_dtls
            else one
            for one in said.media
        ),
    )


def with_browser(*, far: bool, offer: bool) -> dict[str, Value]:
    """How a browser's description is taken, or how ours is made for it: one port for all of a
    stream (RFC 8834), no keys in the text, and we are who waits for its handshake."""
    if far:
        return {"rtcp_mux": ["demux"]} if offer else {}
    if offer:
        return {"SDES": ["off"], "rtcp_mux": ["offer"]}
    return {"SDES": ["off"], "DTLS": "passive"}


def as_answer(said: SessionDescription) -> SessionDescription:
    """An offer as it is told again as an answer: who left open which side begins the handshake
    does (RFC 8842 §5.3)."""
    media = (
        one.without("setup").having(("setup", "active"))
        if one.is_dtls and "actpass" in one.values("setup")
        else one
        for one in said.media
    )
    return replace(said, media=tuple(media))


def phones_profile(media: Media) -> str:
    """The profile of a section without its keys; sound of browsers is offered to phones, of which
    many know no feedback for it."""
    sound = media.is_dtls and media.kind == "audio"
    return "RTP/AVP" if sound else protocol_of(media, secure=False)
