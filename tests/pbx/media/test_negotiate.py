"""Which codecs are offered, answered and relayed, and under which numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbx.media.codecs import CODECS, G722, OPUS, PCMA, PCMU, Codec
from pbx.media.negotiate import (
    audio_terms,
    carried,
    names,
    own_audio,
    own_choice,
    packet_ms,
    renumbering,
    speak_alike,
    takes_events,
    widened,
)
from pbx.media.sdp import MAX_SDP, Media, SdpError, SessionDescription
from tests.pbx.media.test_session import sdp


def audio(formats: str, *attributes: str) -> Media:
    return SessionDescription.parse(sdp(formats, *attributes)).media[0]


OPUS_96 = ("rtpmap:96 opus/48000/2", "fmtp:96 useinbandfec=1")
OPUS_111 = ("rtpmap:111 opus/48000/2",)
EVENTS_101, EVENTS_96 = "rtpmap:101 telephone-event/8000", "rtpmap:96 telephone-event/8000"


# ── offers ──────────────────────────────────────────────────────────────────────────────
def test_our_own_offer() -> None:
    offer = own_audio(CODECS)
    assert offer.formats == ("0", "8", "9", "111", "101")
    assert offer.codec("111") == "opus/48000/2"
    assert offer.codec("9") == "G722/8000"  # though it samples at 16 kHz
    assert takes_events(offer)


def test_what_the_other_leg_offered_comes_first_and_as_it_was() -> None:
    theirs = audio("18 8 100", "fmtp:18 annexb=no", "rtpmap:100 telephone-event/8000", "ptime:30")
    offer = widened(theirs, CODECS)
    assert offer.formats[:3] == theirs.formats
    assert offer.attributes[: len(theirs.attributes)] == theirs.attributes
    assert names(offer) == ["G729/8000", "PCMA/8000", "PCMU/8000", "G722/8000", "OPUS/48000/2"]


@pytest.mark.parametrize(
    ("offered", "added"),
    [(("0",), ["PCMA/8000", "G722/8000", "OPUS/48000/2"]),
     (("96 0", *OPUS_96), ["G722/8000", "PCMA/8000"]),
     (("9",), ["OPUS/48000/2", "PCMU/8000", "PCMA/8000"])],
)  # fmt: skip
def test_what_is_added_keeps_the_quality_first(offered: tuple[str, ...], added: list[str]) -> None:
    theirs = audio(*offered)
    assert names(widened(theirs, CODECS))[len(names(theirs)) :] == added


def test_what_cannot_be_decoded_is_not_widened() -> None:
    theirs = audio("18 101", EVENTS_101)
    assert widened(theirs, CODECS) == theirs
    video = Media(kind="video", port=9, protocol="RTP/AVP", formats=("31",))
    assert widened(video, CODECS) == video


def test_numbers_taken_by_others_are_left_to_them() -> None:
    theirs = audio("0 111 101", "rtpmap:111 AMR/8000", "rtpmap:101 iLBC/8000")
    offer = widened(theirs, CODECS)
    assert len(set(offer.formats)) == len(offer.formats)
    assert offer.codec("111") == "AMR/8000"
    assert "OPUS/48000/2" in names(offer)
    assert takes_events(offer)


# ── answers ─────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("formats", "codec"), [("18 8 0", PCMA), ("9 0", G722), ("96 9", OPUS), ("4 18", None)]
)
def test_an_app_speaks_the_first_it_can(formats: str, codec: Codec | None) -> None:
    answer = own_choice(audio(formats, *OPUS_96), CODECS)
    assert (answer and names(answer)) == (codec and [codec.name.upper()])


def test_an_app_takes_noise_and_events_where_offered() -> None:
    answer = own_choice(audio("8 13 101", EVENTS_101, "ptime:30"), CODECS)
    assert answer is not None
    assert answer.formats == ("8", "13", "101")
    assert answer.values("ptime") == ["30"]
    opus = own_choice(
        audio("96 13 97 98", *OPUS_96, "rtpmap:97 telephone-event/8000",
              "rtpmap:98 telephone-event/48000"), CODECS)  # fmt: skip
    assert opus is not None
    assert opus.formats == ("96", "98")  # events on the codec's clock; noise has only 8 kHz


def test_the_answer_is_what_both_sides_have_under_the_callers_numbers() -> None:
    offered = audio("96 9 0 8 97", *OPUS_96, "rtpmap:97 telephone-event/8000", "rtcp-fb:96 nack")
    given_ = audio("111 0 101", *OPUS_111, "fmtp:111 stereo=0", EVENTS_101, "rtcp-fb:111 nack")
    answer = carried(offered, given_, CODECS)
    assert answer is not None
    assert answer.formats == ("96", "0", "97")
    assert answer.values("rtpmap") == ["96 opus/48000/2", "97 telephone-event/8000"]
    assert answer.values("fmtp") == ["96 stereo=0"]  # what the callee said of itself
    assert answer.values("rtcp-fb") == ["96 nack"]


def test_what_the_callee_takes_but_the_caller_did_not_offer_is_left_out() -> None:
    answer = carried(audio("8"), audio("9 8 0"), CODECS)
    assert answer is not None
    assert answer.formats == ("8",)


def test_with_nothing_in_common_each_side_gets_its_own() -> None:
    answer = carried(audio("18 9 101", EVENTS_101), audio("0"), CODECS)
    assert answer is not None
    assert answer.formats == ("9", "101")
    assert carried(audio("18"), audio("0"), CODECS) is None


def test_the_caller_keeps_its_events_though_the_callee_has_none() -> None:
    answer = carried(audio("0 101", EVENTS_101), audio("0"), CODECS)
    assert answer is not None
    assert answer.formats == ("0", "101")
    foreign = carried(audio("18 101", EVENTS_101), audio("18"), CODECS)
    assert foreign is not None
    assert foreign.formats == ("18",)  # nothing could turn them into tones


def test_a_direction_is_carried() -> None:
    held = audio("0", "recvonly")
    for offered in (audio("0", "sendonly"), audio("8", "sendonly")):
        answer = carried(offered, held, CODECS)
        assert answer is not None
        assert answer.direction == "recvonly"


def test_a_retransmission_names_the_number_of_what_it_repeats() -> None:
    def video(*formats: str) -> Media:
        vp8, rtx = formats
        attributes = (
            ("rtpmap", f"{vp8} VP8/90000"), ("rtpmap", f"{rtx} rtx/90000"),
            ("fmtp", f"{rtx} apt={vp8}"),
        )  # fmt: skip
        return Media(
            kind="video", port=9, protocol="RTP/AVPF", formats=formats, attributes=attributes
        )

    answer = carried(video("96", "97"), video("120", "121"), CODECS)
    assert answer == video("96", "97")


# ── what was agreed ─────────────────────────────────────────────────────────────────────
def test_each_side_is_sent_its_own_numbers() -> None:
    ours = audio("96 101", *OPUS_96, EVENTS_101)
    theirs = audio("111 100", *OPUS_111, "rtpmap:100 telephone-event/8000", "ptime:40")
    terms = audio_terms(ours, theirs, theirs)
    assert terms is not None
    assert (terms.codec, terms.payload_type, terms.event_type) == (OPUS, 111, 100)
    assert terms.receives[96] is terms.receives[111] is OPUS
    assert terms.event_types == {100, 101}
    assert terms.packet_ms == 40


def test_a_number_means_what_our_description_says() -> None:
    ours = audio("96 97", *OPUS_96, "rtpmap:97 telephone-event/8000")
    theirs = audio("97 96", "rtpmap:97 opus/48000/2", EVENTS_96)
    terms = audio_terms(ours, theirs, theirs)
    assert terms is not None
    assert (terms.payload_type, terms.event_type) == (97, 96)
    assert terms.receives[96] is OPUS
    assert 97 not in terms.receives
    assert terms.event_types == {97}


def test_no_events_unless_they_are_in_the_answer() -> None:
    ours, theirs = audio("0 101", EVENTS_101), audio("0")
    terms = audio_terms(ours, theirs, theirs)
    assert terms is not None
    assert terms.event_type is None
    assert audio_terms(audio("18"), audio("18"), audio("18")) is None


@pytest.mark.parametrize(
    ("attributes", "g711", "opus"),
    [((), 20, 20), (("ptime:10",), 10, 10), (("ptime:30",), 30, 20), (("ptime:60",), 60, 60),
     (("ptime:5",), 10, 10), (("ptime:999",), 60, 60), (("ptime:60", "maxptime:40"), 40, 40),
     (("maxptime:10",), 10, 10), (("ptime:x", "maxptime:-1"), 20, 20), (("ptime:",), 20, 20),
     (("ptime:20.5",), 20, 20), (("ptime:99999999999999999999",), 20, 20)],
)  # fmt: skip
def test_packet_lengths(attributes: tuple[str, ...], g711: int, opus: int) -> None:
    assert packet_ms(audio("0", *attributes), PCMU) == g711
    assert packet_ms(audio("0", *attributes), OPUS) == opus


@pytest.mark.parametrize(
    ("one", "two", "alike"),
    [("0 8", "8 0", True), ("0 8", "8", False), ("0", "8", False), ("0", "0 101", False),
     ("0 101", "0 101", True), ("96 0", "0", False), ("18", "18", True), ("9 0", "9", True)],
)  # fmt: skip
def test_who_can_be_relayed(one: str, two: str, alike: bool) -> None:
    assert speak_alike(audio(one, *OPUS_96, EVENTS_101), audio(two, EVENTS_101)) == alike
    assert speak_alike(None, audio(two))


def test_numbers_that_change_on_the_way() -> None:
    ours = audio("96 0 101", *OPUS_96, EVENTS_101)
    theirs = audio("111 0 96", *OPUS_111, EVENTS_96)
    assert renumbering(ours, ours, ours, theirs) == ({96: 111, 101: 96}, set())
    assert renumbering(ours, ours, ours, ours) == ({}, set())
    assert renumbering(ours, ours, ours, audio("8 0 101", EVENTS_101)) == ({}, {96})
    theirs_of_their_own = renumbering(ours, theirs, theirs, ours)
    assert theirs_of_their_own == ({111: 96}, set())  # 96 is what we called Opus
    only_pcmu = audio("0")
    assert renumbering(ours, *[only_pcmu] * 3) == ({}, set())  # the rest was not agreed


def test_of_two_with_one_name_the_one_with_the_same_parameters() -> None:
    def h264(*modes: tuple[str, int]) -> Media:
        attributes = [("rtpmap", f"{number} H264/90000") for number, _ in modes]
        attributes += [("fmtp", f"{number} packetization-mode={mode}") for number, mode in modes]
        numbers = tuple(number for number, _ in modes)
        return Media(kind="video", port=9, protocol="RTP/AVP", formats=numbers,
                     attributes=tuple(attributes))  # fmt: skip

    one, two = h264(("97", 0), ("98", 1)), h264(("120", 1), ("121", 0))
    assert renumbering(one, one, one, two) == ({97: 121, 98: 120}, set())


# ── anything at all ─────────────────────────────────────────────────────────────────────
_words = st.sampled_from(
    ["0", "8", "9", "13", "96", "101", "111", "127", "128", "-1", "x", "opus/48000/2", "PCMU/8000",
     "telephone-event/8000", "telephone-event/x", "telephone-event/", "rtx/90000", "apt=96", "/"]
)  # fmt: skip
_line = st.builds(
    lambda key, words: f"{key}:{' '.join(words)}",
    st.sampled_from(["rtpmap", "fmtp", "ptime", "maxptime", "rtcp-fb"]),
    st.lists(_words, max_size=3),
)
_section = st.tuples(st.lists(_words, min_size=1, max_size=6), st.lists(_line, max_size=8))


@given(_section, _section)
def test_whatever_is_in_them(
    one: tuple[list[str], list[str]], two: tuple[list[str], list[str]]
) -> None:
    try:
        first, second = (audio(" ".join(formats), *lines) for formats, lines in (one, two))
    except SdpError:
        return
    offer = widened(first, CODECS)
    assert len(offer.formats) <= len(first.formats) + len(CODECS) + 1
    for answer in (own_choice(first, CODECS), carried(first, second, CODECS)):
        if answer is None:
            continue
        assert set(answer.formats) <= set(first.formats)
        terms = audio_terms(answer, first, answer)
        assert terms is None or 0 <= terms.payload_type < 128
    speak_alike(first, second)
    changed, foreign = renumbering(first, second, first, second)
    assert all(0 <= number < 128 for number in (*changed, *changed.values(), *foreign))
    assert len(SessionDescription(media=(offer,)).encode()) < MAX_SDP
