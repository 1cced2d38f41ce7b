"""Session descriptions: read, written, mirrored, bounded."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbx.media.sdp import (
    MAX_LINES,
    MAX_MEDIA,
    MAX_SDP,
    Media,
    SdpError,
    SessionDescription,
    mirrored,
)

PHONE = b"""v=0\r
o=jdoe 2890844526 2890842807 IN IP4 10.47.16.5\r
s=SDP Seminar\r
c=IN IP4 192.0.2.17\r
t=2873397496 2873404696\r
a=sendonly\r
m=audio 49170 RTP/AVP 0 8 96 101\r
b=AS:64\r
a=rtpmap:96 opus/48000/2\r
a=rtpmap:101 telephone-event/8000\r
a=fmtp:101 0-16\r
a=recvonly\r
m=video 51372 RTP/AVP 99\r
c=IN IP6 2001:db8::1\r
a=rtpmap:99 h263-1998/90000\r
m=application 0 udp/wb *\r
"""


def test_what_a_phone_says() -> None:
    found = SessionDescription.parse(PHONE)
    assert (found.host, found.origin_host) == ("192.0.2.17", "10.47.16.5")
    assert (found.session_id, found.version) == (2890844526, 2890842807)
    audio, video, board = found.media
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 49170, "RTP/AVP")
    assert audio.formats == ("0", "8", "96", "101")
    assert audio.bandwidth == ("AS:64",)
    assert audio.direction == "recvonly"
    assert video.direction == "sendonly"  # the session's, where the section says nothing
    assert (found.host_of(audio), found.host_of(video)) == ("192.0.2.17", "2001:db8::1")
    assert [audio.codec(payload) for payload in (*audio.formats, "77")] == [
        "PCMU/8000", "PCMA/8000", "opus/48000/2", "telephone-event/8000", "",
    ]  # fmt: skip
    assert audio.payload("TELEPHONE-EVENT/8000") == 101
    assert audio.payload("pcma/8000") == 8
    assert audio.payload("G722/8000") is None
    assert audio.values("fmtp") == ["101 0-16"]
    assert (audio.is_rtp, board.is_rtp) == (True, False)
    assert found.audio is audio


def test_what_is_written_is_read_the_same() -> None:
    found = SessionDescription.parse(PHONE)
    assert SessionDescription.parse(found.encode()).encode() == found.encode()


def test_bare_line_feeds_and_missing_lines() -> None:
    found = SessionDescription.parse(b"v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n")
    assert found.audio is not None
    assert found.host_of(found.audio) == "192.0.2.1"


def test_a_codec_with_one_channel_spelled_out() -> None:
    found = SessionDescription.parse(b"v=0\r\nm=audio 4 RTP/AVP 97\r\na=rtpmap:97 pcmu/8000/1\r\n")
    assert found.media[0].payload("PCMU/8000") == 97


@pytest.mark.parametrize(
    ("extra", "held"),
    [
        ("", False),
        ("a=sendrecv", False),
        ("a=recvonly", False),
        ("a=sendonly", True),
        ("a=inactive", True),
        ("c=IN IP4 0.0.0.0", True),
    ],
)
def test_hold(extra: str, held: bool) -> None:
    lines = ["v=0", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", extra]
    assert SessionDescription.parse("\r\n".join(lines).encode()).on_hold is held


def test_no_audio_is_no_hold() -> None:
    found = SessionDescription.parse(b"v=0\r\nm=video 4000 RTP/AVP 99\r\na=inactive\r\n")
    assert found.audio is None
    assert not found.on_hold


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ("sendrecv", "sendrecv"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
    ],
)
def test_directions_are_mirrored(offered: str, answer: str) -> None:
    assert mirrored(offered) == answer  # type: ignore[arg-type]


def test_a_refused_section_keeps_its_formats_only() -> None:
    refused = SessionDescription.parse(PHONE).media[0].refused()
    assert (refused.port, refused.formats) == (0, ("0", "8", "96", "101"))
    assert (refused.attributes, refused.bandwidth) == ((), ())
    assert b"a=recvonly" not in SessionDescription(media=(refused,)).encode()


def test_attributes_are_taken_away_and_added() -> None:
    media = SessionDescription.parse(PHONE).media[0]
    changed = media.without("fmtp", "rtpmap").having(("ptime", "20"), ("rtcp-mux", None))
    assert changed.attributes == (("ptime", "20"), ("rtcp-mux", None))
    assert b"a=rtcp-mux\r\n" in SessionDescription(media=(changed,)).encode()


def test_ipv6_is_written_as_such() -> None:
    media = Media(kind="audio", port=4, protocol="RTP/AVP", formats=("0",), host="2001:db8::2")
    wire = SessionDescription(media=(media,), host="2001:db8::1").encode()
    assert b"c=IN IP6 2001:db8::1\r\n" in wire
    assert b"c=IN IP6 2001:db8::2\r\n" in wire


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=1\r\nm=audio 4 RTP/AVP 0\r\n",
        b"m=audio 4 RTP/AVP 0\r\n",
        b"v=0\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio 4 RTP/AVP\r\n",
        b"v=0\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\nm=audio -4 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio " + b"9" * 5000 + b" RTP/AVP 0\r\n",
        b"v=0\r\nc=IN IP4\r\nm=audio 4 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 4 RTP/AVP 0\r\nc=\r\n",
        b"v=0\r\no=- a b IN IP4 1.1.1.1\r\nm=audio 4 RTP/AVP 0\r\n",
        b"v=0\r\n" + b"m=audio 4 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        b"v=0\r\n" + b"a=x\r\n" * MAX_LINES + b"m=audio 4 RTP/AVP 0\r\n",
        b"v=0\r\nm=audio 4 RTP/AVP 0\r\na=" + b"x" * MAX_SDP,
    ],
)
def test_sdp_invalid(body: bytes) -> None:
    with pytest.raises(SdpError):
        SessionDescription.parse(body)


def test_formats_are_bounded() -> None:
    body = b"v=0\r\nm=audio 4 RTP/AVP " + b"0 " * 5000
    assert len(SessionDescription.parse(body).media[0].formats) == 64


LINES = st.tuples(
    st.sampled_from("vosctmab"),
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["audio 4000 RTP/AVP 0 101", "IN IP4 192.0.2.1", "rtpmap:101 x/1",
             "crypto:1 A inline:b", "- 1 1 IN IP4 h", "sendonly", "video 9/2 RTP/SAVPF 96",
             ":", "rtpmap"]
        ),
    ),
)  # fmt: skip


@given(st.lists(LINES, max_size=15), st.binary(max_size=60))
@settings(deadline=None)
def test_any_lines(lines: list[tuple[str, str]], tail: bytes) -> None:
    body = b"v=0\r\n" + "\r\n".join(f"{kind}={value}" for kind, value in lines).encode() + tail
    for data in (body, tail):
        with contextlib.suppress(SdpError):
            found = SessionDescription.parse(data)
            assert 0 < len(found.media) <= MAX_MEDIA
            for media in found.media:
                assert 0 <= media.port <= 65_535
                _ = media.payload("PCMU/8000"), media.is_rtp, found.on_hold
            again = SessionDescription.parse(found.encode())
            assert [m.port for m in again.media] == [m.port for m in found.media]
