"""Joins two legs: packet by packet where they speak the same, through PCM where they do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pbx.calls.leg import Leg, Reoffer
from pbx.calls.patch import Outlets, Patch
from pbx.calls.privacy import Privacy
from pbx.media.anchor import Anchor
from pbx.media.codecs import RATE
from pbx.media.keys import KeyInjector
from pbx.media.music import hold_music
from pbx.media.negotiate import names, renumbering, speak_alike, takes_events
from pbx.media.port import Sink, discard
from pbx.media.relay import continued, overheard, renumbered
from pbx.media.sdp import NotAcceptable, SdpError
from pbx.ports import CallRefused

RTP_HEAD = 12
NEAR = 1 << 14
"How far ahead a packet's number may be to be taken for one that is to come."
STARS_WITHIN = 1.0
"Seconds from one star to the next of two."
GRACE = 2.0
"Seconds in which phones begin that mean to agree on keys of their own."


class Bridge:
    """Two legs that hear each other. Either one's re-INVITE (hold, resume, new codecs) is
    carried to the other, so that both always agree.

    Keys pressed on one side reach the other in the way that it understands: told by INFO they
    are put into a relayed stream as events; where only one side takes events, and for a side
    that takes none, the sound goes through PCM and they are found in it, or made into tones.

    What the two phones encrypt for each other is carried as it is, with the packets by which they
    agree on keys: then nobody can be muted or hear music, and keys are told by INFO.
    """

    def __init__(self, first: Leg, second: Leg, privacy: Privacy | None = None) -> None:
        self.first = first
        self.second = second
        self.privacy = privacy or Privacy()
        self.transcoding = False
        self.muted: set[Leg] = set()
        self.waiting: Leg | None = None
        "The side that hears music while the other is away."
        self.leaving: Leg | None = None
        "The side that may hang up without ending the call: somebody is to come in its place."
        self.dissolved = False
        self.aside = False
        "One side does something else meanwhile: nothing is joined anew before it is back."
        self.on_stars: Callable[[Leg], None] | None = None
        "Told when one of our own phones keys two stars; they reach the other side as well."
        self._starred: dict[Leg, float] = {}
        self._announcing = False
        self._changed = asyncio.Event()
        self._unlike = False
        self._injectors: dict[Leg, KeyInjector] = {}
        self._patch: Patch | None = None
        "At the engines that carry both sides, if engines do."
        self._by_us = False
        "Whether something is put into the sound, so that it must come by us."
        self._grace: asyncio.TimerHandle | None = None
        "Until phones that would agree on keys of their own had time to begin."

    def connect(self) -> None:
        """Let sound flow, if there is still something to connect. May be called again when the
        media of a leg changed."""
        if self.dissolved or self.first.ending is not None or self.second.ending is not None:
            return
        if self.aside:
            return
        alike = speak_alike(self.first.media.agreed_audio, self.second.media.agreed_audio)
        self.privacy.meet(self._places, self._keyed_streams)
        self.privacy.announced = (
            alike
            and not self._unlike
            and all(leg.media.announces_zrtp for leg in (self.first, self.second))
        )
        apart = self.waiting is not None or bool(self.muted) or self._announcing
        self.transcoding = self._can_transcode and (self._unlike or apart or not alike)
        joined = self._settle_patch(alike=alike, apart=apart)
        # Where engines are about to transcode, nothing of ours comes before.
        engines = joined or (self._patch is not None and self._patch.pending)
        ours = self.transcoding and not engines
        self._forget_injectors()
        for leg, other in self._both_ways():
            leg.reoffer = self._reoffer_from(leg, other)
            leg.on_media_changed = self.connect
            leg.on_digit = self._keys_from(leg, other)
            leg.on_picture_lost = other.ask_for_picture
            if not ours:
                leg.release_audio()
        for leg, other in self._both_ways():
            self._relay(leg, other)
        self.privacy.use(self._flowing)
        if ours:
            self._transcode()

    # ── what one side may ask for ────────────────────────────────────────────────────────
    def mute(self, leg: Leg, *, on: bool) -> None:
        """Let the other side hear nothing of `leg`, or hear it again. Raises `CallRefused`."""
        self._must_transcode()
        if on:
            self.muted.add(leg)
        else:
            self.muted.discard(leg)
        self.connect()

    def hold(self, leg: Leg) -> None:
        """Let the other side wait with music: neither hears the other. Raises `CallRefused`."""
        self._must_transcode()
        self.waiting = self.other(leg)
        self.connect()

    def resume(self) -> None:
        """Let both hear, and see, each other again."""
        self.waiting = None
        self.connect()
        self.ask_for_pictures()

    async def announce(self, pcm: bytes) -> None:
        """Let both sides hear something; they do not hear each other meanwhile. Nothing where
        the sound cannot be read."""
        if not self._can_transcode:
            return
        both = (self.first, self.second)
        if self.dissolved or any(leg.ending is not None for leg in both):
            return
        self._announcing = True
        self.connect()
        channels = [(leg, leg.audio_at(self._rate)) for leg in both]
        try:
            for _, channel in channels:
                channel.play(pcm)
            await asyncio.gather(*(leg.until_over(channel.played()) for leg, channel in channels))
        finally:
            self._announcing = False
            self.connect()

    def press(self, leg: Leg, key: str) -> None:
        """Let the other side hear a key as if `leg` had pressed it."""
        self._pass_on(leg, self.other(leg), key)

    def other(self, leg: Leg) -> Leg:
        """The opposite side."""
        return self.second if leg is self.first else self.first

    def _must_transcode(self) -> None:
        self.privacy.check()
        if not self._can_transcode:
            raise CallRefused(488, "this call's sound passes through unread, so it must flow")

    # ── who is in it ────────────────────────────────────────────────────────────────────
    def replace(self, gone: Leg, new: Leg) -> None:
        """Let `new` talk in the place of `gone`, which is let go and stays as it is."""
        self._let_go(gone)
        if gone is self.first:
            self.first = new
        else:
            self.second = new
        self.muted.discard(gone)
        self.waiting = self.leaving = None
        self.aside = False
        self._unlike = self._by_us = False
        self._end_grace()
        self.privacy.forget()
        self._changed.set()
        self.connect()
        self.ask_for_pictures()

    def leave(self, leg: Leg) -> None:
        """One side may hang up from now on: somebody is to come in its place."""
        self.leaving = leg
        self._changed.set()

    def stay(self) -> None:
        """Nobody comes in the place of the side that was leaving."""
        self.leaving = self.waiting = None
        self.aside = False
        self._changed.set()
        self.connect()

    def dissolve(self) -> tuple[Leg, Leg]:
        """Join them no more; both are let go and stay as they are."""
        for leg in (self.first, self.second):
            self._let_go(leg)
        self.dissolved = True
        self._changed.set()
        return self.first, self.second

    async def over(self) -> None:
        """Wait until one side hangs up, then end the other; or until it is dissolved."""
        try:
            await self._until_over()
        finally:
            if self._patch is not None:
                self._patch.part()
            self._end_grace()
            self._forget_injectors()

    async def _until_over(self) -> None:
        while not self.dissolved:
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            awaited: list[asyncio.Future[Any]] = [changed]
            awaited += [leg.over for leg in (self.first, self.second) if leg is not self.leaving]
            try:
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
            if not self._changed.is_set():
                break
        if not self.dissolved:
            for leg in (self.first, self.second):
                leg.hang_up()

    def _end_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _let_go(self, leg: Leg) -> None:
        """Carry nothing more from or to a side."""
        self._end_grace()
        if self._patch is not None:
            self._patch.part()
            self._patch = None
        self._forget_injectors()
        leg.release_audio()
        leg.stand_alone()
        for port in leg.media.ports:
            if port is not None:
                port.sink = port.rtcp_sink = discard
                port.zrtp_sink, port.unread = None, False

    def ask_for_pictures(self) -> None:
        """Whoever sees something new needs a whole picture to begin with."""
        for leg in (self.first, self.second):
            leg.ask_for_picture()

    @property
    def _flowing(self) -> set[int]:
        """The streams in use on both sides."""
        both = (self.first.media, self.second.media)
        count = min(len(media.ports) for media in both)
        return {index for index in range(count) if all(media.described(index) for media in both)}

    @property
    def _places(self) -> object:
        """Which phones are joined, and where each of their streams is."""
        return tuple(
            (leg.id, tuple(port and port.peer for port in leg.media.ports))
            for leg in (self.first, self.second)
        )

    @property
    def _keyed_streams(self) -> set[int]:
        """The streams that we encrypt ourselves, on either side."""
        return {
            index
            for leg in (self.first, self.second)
            for index, port in enumerate(leg.media.ports)
            if port is not None and (port.inbound or port.outbound or leg.keyed)
        }

    def _relay(self, leg: Leg, other: Leg) -> None:
        """Join every stream from `leg` to `other`, its sound only if both speak alike."""
        ports = zip(leg.media.ports, other.media.ports, strict=False)
        for index, (source, target) in enumerate(ports):
            if source is None or target is None:
                continue
            source.unread = self.privacy.covers(index)
            source.zrtp_sink = None
            if self.transcoding and source is leg.media.audio_port:
                source.rtcp_sink = discard
                continue
            if self.waiting is not None:
                source.sink = source.rtcp_sink = discard
                continue
            if not self.transcoding and target.outbound is None:
                source.zrtp_sink = self.privacy.carry(index, leg, target.send_zrtp)
            source.sink, source.rtcp_sink = target.send, target.send_rtcp
            if self.privacy.sealed:
                continue
            on: Sink = target.send
            if source is leg.media.audio_port:
                on = continued(on, target.last, target.clock_rate)
            ours, theirs = leg.media.described(index), other.media.described(index)
            if ours and theirs:
                changed, foreign = renumbering(*ours, theirs[1])
                if not self._can_transcode:
                    foreign.clear()
                source.sink = renumbered(on, changed, foreign, self._go_unlike)
                if changed:  # which breaks the seal of what is encrypted
                    source.zrtp_sink = None
            else:
                source.sink = on
            terms = leg.media.audio_terms
            phone = not leg.trunk and not leg.inner
            if self.on_stars and phone and terms and source is leg.media.audio_port:
                source.sink = overheard(source.sink, terms.event_types, partial(self._keyed, leg))

    def _transcode(self) -> None:
        """Carry the sound as PCM, with all that wideband codecs have if both sides have one."""
        for leg, other in self._both_ways():
            heard = self.waiting is None and leg not in self.muted
            channel = leg.audio_at(self._rate)
            channel.on_frame = other.audio_at(self._rate).play_live if heard else discard
            channel.repeat(hold_music() if leg is self.waiting else b"")

    # ── by engines ──────────────────────────────────────────────────────────────────────
    def _settle_patch(self, *, alike: bool, apart: bool) -> bool:
        """Join both sides at their engines where nothing of the sound is for us to do; whether
        they are."""
        ends = self.first.anchor, self.second.anchor
        if self._patch is not None and self._patch.ends != ends:
            self._patch.part()
            self._patch = None
        one, two = ends
        if one is None or two is None:
            return False
        outlets = None
        if not (apart or self._by_us) and self._may_be_joined(one, two, alike=alike):
            outlets = self._outlets(one, two, alike=alike)
        if self._patch is None:
            if outlets is None:
                return False
            self._patch = Patch(one, two, self._on_settled)
        for leg, anchor in ((self.first, one), (self.second, two)):
            anchor.on_key = partial(self._keyed, leg)
        if outlets is None and self._patch.joined is not None:
            for leg in (self.first, self.second):
                leg.forget_stream()
        self._patch.want(outlets)
        return outlets is not None and self._patch.joined == outlets

    def _on_settled(self) -> None:
        """The engines have joined both sides, and what was on its way to us is lost; or they
        cannot, and it is ours to do."""
        self.connect()
        self.ask_for_pictures()

    def _may_be_joined(self, one: Anchor, two: Anchor, *, alike: bool) -> bool:
        """Whether nothing more is to be seen of the phones before, and both go on hearing."""
        if not (self.first.answered and self.second.answered) or self.privacy.begun:
            return False
        joined = self._patch is not None and self._patch.joined is not None
        if not joined and not all(_goes_on(*way, alike=alike) for way in self._both_ways()):
            return False
        if one.keyed or two.keyed or not alike:  # the phones can agree on no keys of their own
            return True
        loop = asyncio.get_running_loop()
        if self._grace is None:
            self._grace = loop.call_later(GRACE, self.connect)
        return loop.time() >= self._grace.when()

    def _outlets(self, one: Anchor, two: Anchor, *, alike: bool) -> Outlets | None:
        """How the engines join both sides; None where they cannot, or the sound is for us."""
        both = self.first.media, self.second.media
        tapped = any(port.tapped for media in both for port in media.ports if port is not None)
        if tapped:
            return None
        sounds = both[0].agreed_audio, both[1].agreed_audio
        unlike: Sequence[str] = ()
        spoken = ""
        if self._unlike or not alike:
            if any(sound is None for sound in sounds) or not self._can_transcode:
                return None
            here, there = (sound for sound in sounds if sound is not None)
            if takes_events(here) != takes_events(there) or len(both[0].ports) > 1:
                return None
            clocks = {media.codec.clock for media in both if media.codec is not None}
            if takes_events(here) and len(clocks) > 1:  # keys come out wrong (rtpengine 10)
                return None
            unlike = [name.partition("/")[0] for name in names(here)[:1]]
            spoken = names(there)[0]
        elif any(self._renumbers(index) for index in range(len(both[0].ports))):
            return None
        outlets = one.outlet(two, unlike, spoken), two.outlet(one)
        return (outlets[0], outlets[1]) if outlets[0] and outlets[1] else None

    def _renumbers(self, index: int) -> bool:
        """Whether packets of a stream must be changed on their way, in either direction."""
        ours, theirs = self.first.media.described(index), self.second.media.described(index)
        if ours is None or theirs is None:
            return False
        return any((*renumbering(*ours, theirs[1]), *renumbering(*theirs, ours[1])))

    def _go_unlike(self) -> None:
        """A side sends what the other cannot take: decode from now on."""
        over = self.first.ending or self.second.ending
        if self._can_transcode and not self._unlike and not over:
            self._unlike = True
            self.connect()

    @property
    def _can_transcode(self) -> bool:
        known = self.first.media.codec is not None and self.second.media.codec is not None
        return known and not self.privacy.sealed

    @property
    def _rate(self) -> int:
        codecs = (self.first.media.codec, self.second.media.codec)
        return min(codec.rate if codec else RATE for codec in codecs)

    def _both_ways(self) -> tuple[tuple[Leg, Leg], tuple[Leg, Leg]]:
        return (self.first, self.second), (self.second, self.first)

    # ── keys ────────────────────────────────────────────────────────────────────────────
    def _keyed(self, leg: Leg, key: str) -> None:
        """Look for two stars of a phone of ours."""
        if self.on_stars is None or leg.trunk or leg.inner:
            return
        now = asyncio.get_running_loop().time()
        before = self._starred.pop(leg, -STARS_WITHIN)
        if key == "*":
            if now - before < STARS_WITHIN:
                self.on_stars(leg)
            else:
                self._starred[leg] = now

    def _keys_from(self, leg: Leg, other: Leg) -> Callable[[str], None]:
        def pressed(key: str) -> None:
            self._keyed(leg, key)
            self._pass_on(leg, other, key)

        return pressed

    def _pass_on(self, leg: Leg, other: Leg, key: str) -> None:
        if other.ending is not None:
            return
        if self.privacy.sealed:
            other.tell_key(key)
            return
        if self._patch is not None and not self._by_us:
            self._by_us = True
            self.connect()
        if not self.transcoding and other.media.event_type is not None:
            self._inject(leg, other, key)
            return
        self._go_unlike()
        if self.transcoding:
            other.audio_at(self._rate).send_digit(key)

    def _inject(self, leg: Leg, other: Leg, key: str) -> None:
        """Put a key into the stream that is relayed from `leg` to `other`."""
        injector = self._injectors.get(leg)
        source, target = leg.media.audio_port, other.media.audio_port
        terms = other.media.audio_terms
        if source is None or target is None or terms is None:
            return
        if injector is None:
            injector = KeyInjector(source.sink, target, terms, other.clock)
            self._injectors[leg] = injector
            source.sink = injector.relay
        injector.press(key)

    def _forget_injectors(self) -> None:
        for injector in self._injectors.values():
            injector.close()
        self._injectors.clear()

    # ── changes ─────────────────────────────────────────────────────────────────────────
    def _reoffer_from(self, leg: Leg, other: Leg) -> Reoffer:
        async def reoffer(body: bytes) -> bytes | int:
            if other.session is None:
                return await leg.answer_locally(body)
            return await _carry(self, leg, other, body)

        return reoffer


async def _carry(bridge: Bridge, leg: Leg, other: Leg, body: bytes) -> bytes | int:
    """Take `leg`'s new offer to `other` and bring the answer back."""
    assert other.session is not None
    before = leg.media.remote
    try:
        offered = await leg.take_offer(body)
        offer = await other.offer(offered, profile=other.profile)
    except NotAcceptable:
        return 488
    except SdpError:
        return 400
    except OSError:
        return 503
    response = await other.session.reoffer(offer)
    if response.status >= 300:
        await leg.restore(before)
        return response.status if response.status in (488, 491) else 488
    try:
        answered = await other.take_answer(response.body)
        answer = await leg.answer_with(answered)
    except SdpError:
        return 488
    except OSError:
        return 503
    bridge.connect()
    bridge.ask_for_pictures()
    return answer


def _goes_on(source: Leg, target: Leg, *, alike: bool) -> bool:
    """Whether what `source` sends can take the place of what we sent to `target` last: of another
    stream with lower numbers some phones play nothing (see `pbx.media.relay.continued`)."""
    sending, hearing = source.media.audio_port, target.media.audio_port
    last = hearing.last if hearing is not None else b""
    if len(last) < RTP_HEAD:
        return True
    now = sending.latest if sending is not None else b""
    if len(now) < RTP_HEAD:
        return False
    ahead = (int.from_bytes(now[2:4]) - int.from_bytes(last[2:4])) & 0xFFFF
    return (alike and now[8:12] == last[8:12]) or 0 < ahead < NEAR
