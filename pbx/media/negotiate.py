"""Which codecs two sides speak: the codec half of offer and answer (RFC 3264), without I/O.

A codec is known by its name in SDP; its payload number is each side's own (§5.1: packets carry
the number that their receiver gave).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pbx.media.codecs import (
    CODECS,
    COMFORT_NOISE,
    FRAME_MS,
    RATE,
    TELEPHONE_EVENT,
    Codec,
    codec_named,
)
from pbx.media.sdp import Media, mirrored
from pbx.media.zrtp import ATTRIBUTE as ZRTP

_EVENTS = "TELEPHONE-EVENT/"
_EVENT_PAYLOAD = 101
_DYNAMIC = range(96, 128)
_NUMBERED = ("rtpmap", "fmtp", "rtcp-fb")
"Attributes whose value begins with a payload number."


@dataclass(frozen=True, kw_only=True)
class AudioTerms:
    """What one leg agreed on for its sound.

    Packets to it carry `payload_type` and last `packet_ms`; those from it carry a number of
    `receives`. `event_type` is what telephone events to it carry, None if it takes none, on a
    clock of `event_clock` Hz; `event_types` are those they come with.
    """

    codec: Codec
    payload_type: int
    packet_ms: int
    receives: Mapping[int, Codec]
    event_type: int | None
    event_clock: int
    event_types: frozenset[int]


# ── what we offer and answer ────────────────────────────────────────────────────────────
def own_audio(codecs: Sequence[Codec]) -> Media:
    """An offer of our own codecs and telephone events."""
    empty = Media(kind="audio", port=9, protocol="RTP/AVP", formats=())
    return _with(empty, codecs).having(("ptime", str(FRAME_MS)))


def widened(theirs: Media, codecs: Sequence[Codec]) -> Media:
    """Another leg's offer with what we could transcode it to, after what needs none: first the
    codecs of the same quality. As it is when we cannot decode anything in it."""
    spoken = [found for name in names(theirs) if (found := codec_named(name)) in codecs]
    if theirs.kind != "audio" or not spoken:
        return theirs
    best = max(codec.rate for codec in spoken if codec)
    others = [codec for codec in codecs if codec not in spoken]
    return _with(theirs, sorted(others, key=lambda codec: codec.rate != best))


def own_choice(offered: Media, codecs: Sequence[Codec]) -> Media | None:
    """Our answer to an offered section: the first codec in it that we speak, comfort noise and
    telephone events. None when there is none."""
    known = ((payload, codec_named(offered.codec(payload))) for payload in offered.formats)
    chosen = next(((payload, codec) for payload, codec in known if codec in codecs), None)
    if offered.kind != "audio" or chosen is None:
        return None
    payload, codec = chosen
    assert codec is not None
    formats = [payload]
    if codec.clock == RATE and (noise := offered.payload(COMFORT_NOISE)) is not None:
        formats.append(str(noise))
    events = _event_payload(offered, codec.clock)
    if events:
        formats.append(events)
    attributes = [("rtpmap", f"{number} {offered.codec(number)}") for number in formats]
    if codec.parameters:
        attributes.append(("fmtp", f"{payload} {codec.parameters}"))
    if events:
        attributes.append(("fmtp", f"{events} 0-16"))
    return replace(
        offered,
        host="",
        formats=tuple(formats),
        bandwidth=(),
        attributes=(*attributes, ("ptime", str(packet_ms(offered, codec)))),
        direction=mirrored(offered.direction),
    )


def carried(offered: Media, given: Media, codecs: Sequence[Codec]) -> Media | None:
    """Another leg's answer as the answer to `offered`: what both have in common, under the
    offerer's numbers; our own choice where they have nothing in common. Phones that encrypt what
    they send each other keep their own numbers, which we cannot change (RFC 3264 §6.1)."""
    numbers = _numbers(given, offered)
    if offered.values(ZRTP) and given.values(ZRTP):
        numbers = {payload: payload for payload in numbers}
    common = [name for payload, name in given.named if payload in numbers]
    if not any(is_sound(name) for name in common):
        chosen = own_choice(offered, codecs)
        return replace(chosen, direction=given.direction) if chosen else None
    answer = _renumbered(given, numbers)
    speaks = codec_named(next(name for name in common if is_sound(name)))
    if speaks is None or any(name.startswith(_EVENTS) for name in common):
        return answer
    events = _event_payload(offered, speaks.clock)
    if not events:
        return answer
    return replace(answer, formats=(*answer.formats, events)).having(
        ("rtpmap", f"{events} {offered.codec(events)}"), ("fmtp", f"{events} 0-16")
    )


def narrowed(media: Media, payloads: Collection[str]) -> Media:
    """A section with some of its payload numbers only."""
    kept = (payload for payload in media.formats if payload in payloads)
    return _renumbered(media, {payload: payload for payload in kept})


# ── what was agreed ─────────────────────────────────────────────────────────────────────
def names(media: Media) -> list[str]:
    """The codecs of a section that carry sound or pictures, in its order, in upper case."""
    return [name for _, name in media.named if is_sound(name)]


def takes_events(media: Media) -> bool:
    """Whether telephone events are among its formats."""
    return any(name.startswith(_EVENTS) for _, name in media.named)


def audio_terms(local: Media, remote: Media, answer: Media) -> AudioTerms | None:
    """What the two descriptions of a leg come to, `answer` being the one that was the answer;
    None when none of its codecs is ours."""
    theirs = {name: int(payload) for payload, name in reversed(remote.named)}
    codec = next(
        (found for name in names(answer) if name in theirs and (found := codec_named(name))), None
    )
    if codec is None:
        return None
    receives = {codec.payload_type: codec for codec in CODECS if codec.payload_type < 96}
    event_types: set[int] = set()
    for side in (remote, local):  # ours counts where both use a number
        for payload, name in side.named:
            receives.pop(int(payload), None)
            event_types.discard(int(payload))
            if found := codec_named(name):
                receives[int(payload)] = found
            elif name.startswith(_EVENTS):
                event_types.add(int(payload))
    events = _event_payload(remote, codec.clock) if takes_events(answer) else ""
    return AudioTerms(
        codec=codec,
        payload_type=theirs[codec.name.upper()],
        packet_ms=packet_ms(remote, codec),
        receives=receives,
        event_type=int(events) if events else None,
        event_clock=int(remote.codec(events).split("/")[1]) if events else RATE,
        event_types=frozenset(event_types),
    )


def packet_ms(media: Media, codec: Codec) -> int:
    """The length of packets to send to the writer of a section, in ms: as it prefers
    (`ptime`), never longer than it can take (`maxptime`)."""
    wanted = min(_milliseconds(media, "ptime", FRAME_MS), _milliseconds(media, "maxptime", 1000))
    return max((ms for ms in codec.packet_ms if ms <= wanted), default=codec.packet_ms[0])


def speak_alike(one: Media | None, two: Media | None) -> bool:
    """Whether two legs, by their answers, take what the other sends and can be relayed: the
    first codec of each is one of the other's, and both or none take telephone events."""
    if one is None or two is None:
        return True
    first, second = names(one), names(two)
    if not first or not second:
        return True
    return first[0] in second and second[0] in first and takes_events(one) == takes_events(two)


def renumbering(
    local: Media, remote: Media, answer: Media, target: Media
) -> tuple[dict[int, int], set[int]]:
    """How the packets of a leg are numbered for the writer of `target`: the numbers that
    change, and those of codecs of ours that are unknown there.

    The leg is described by us (`local`), by its peer, and by which of that was the answer. It
    should send the numbers we gave; many send their own.
    """
    agreed = {name for _, name in answer.named}
    changed: dict[int, int] = {}
    foreign: set[int] = set()
    for side in (remote, local):  # ours counts where both use a number
        numbers = _numbers(side, target)
        for payload, name in side.named:
            changed.pop(int(payload), None)
            foreign.discard(int(payload))
            if name not in agreed:
                continue
            if payload not in numbers and codec_named(name):
                foreign.add(int(payload))
            elif numbers.get(payload, payload) != payload:
                changed[int(payload)] = int(numbers[payload])
    return changed, foreign


def is_sound(name: str) -> bool:
    """Whether a codec carries sound or pictures, and not keys, noise or what repairs them."""
    return not name.startswith((_EVENTS, "CN/", "RED/", "ULPFEC/", "RTX/"))


# ── parts ───────────────────────────────────────────────────────────────────────────────
def _event_payload(media: Media, clock: int) -> str:
    """The payload number of telephone events, on the codec's own clock if there is the choice
    (RFC 4733 §2.1); empty when there is none."""
    found = {name: payload for payload, name in media.named if name.startswith(_EVENTS)}
    usable = {name: payload for name, payload in found.items() if name[len(_EVENTS) :].isdigit()}
    return usable.get(f"{_EVENTS}{clock}") or next(iter(usable.values()), "")


def _numbers(source: Media, target: Media) -> dict[str, str]:
    """The number in `target` for each number of `source` whose codec is in both: the same if
    possible, else one with the same parameters, else the first with the name."""
    found: dict[str, str] = {}
    targets = target.named
    for payload, name in source.named:
        same = [number for number, other in targets if other == name]
        alike = [n for n in same if _parameters(target, n) == _parameters(source, payload)]
        if payload in same:
            found[payload] = payload
        elif same:
            found[payload] = (alike or same)[0]
    return found


def _parameters(media: Media, payload: str) -> str:
    fmtp = (value.partition(" ") for value in media.values("fmtp"))
    return next((text.strip() for number, _, text in fmtp if number == payload), "")


def _renumbered(media: Media, numbers: Mapping[str, str]) -> Media:
    """A section with other payload numbers, less the formats that have none."""
    attributes: list[tuple[str, str | None]] = []
    for key, value in media.attributes:
        number, space, rest = (value or "").partition(" ")
        if key not in _NUMBERED or number == "*":
            attributes.append((key, value))
        elif number in numbers:
            apt = rest.removeprefix("apt=")  # a retransmission names what it repeats (RFC 4588)
            rest = f"apt={numbers.get(apt, apt)}" if key == "fmtp" and apt != rest else rest
            attributes.append((key, numbers[number] + space + rest))
    kept = tuple(numbers[payload] for payload in media.formats if payload in numbers)
    return replace(media, formats=kept, attributes=tuple(attributes))


def _with(media: Media, codecs: Iterable[Codec]) -> Media:
    """A section with these codecs added, and with telephone events if it has none."""
    formats, attributes = list(media.formats), list(media.attributes)
    for codec in codecs:
        number = _free(formats, codec.payload_type)
        if not number:
            continue
        formats.append(number)
        attributes.append(("rtpmap", f"{number} {codec.name}"))
        if codec.parameters:
            attributes.append(("fmtp", f"{number} {codec.parameters}"))
    number = "" if takes_events(media) else _free(formats, _EVENT_PAYLOAD)
    if number:
        formats.append(number)
        attributes.append(("rtpmap", f"{number} {TELEPHONE_EVENT.lower()}"))
        attributes.append(("fmtp", f"{number} 0-16"))
    return replace(media, formats=tuple(formats), attributes=tuple(attributes))


def _free(formats: Sequence[str], wanted: int) -> str:
    """A payload number a section with these does not use yet; empty when all are taken."""
    numbers = map(str, (wanted, *_DYNAMIC) if wanted >= _DYNAMIC.start else (wanted,))
    return next((number for number in numbers if number not in formats), "")


def _milliseconds(media: Media, name: str, default: int) -> int:
    value = next(iter(media.values(name)), "").partition(".")[0]
    return int(value) if value.isascii() and value.isdigit() and 0 < len(value) < 5 else default
