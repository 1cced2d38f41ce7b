"""A broadcast: one phone shows and speaks, all others that call the number watch and listen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pbx.calls.call import Call
from pbx.calls.cause import Ending
from pbx.calls.conference import JOINED
from pbx.calls.leg import Leg
from pbx.calls.services import Service, Visit
from pbx.events import BroadcastChanged
from pbx.media.codecs import CODECS
from pbx.media.keyframe import asks_for_keyframe
from pbx.media.music import hold_music
from pbx.media.negotiate import names, narrowed, own_choice, renumbering
from pbx.media.port import Sink, discard
from pbx.media.relay import continued, renumbered
from pbx.media.sdp import Direction, Media, SessionDescription, mirrored
from pbx.ports import CallRefused

Say = Callable[[str], Awaitable[bytes]]

PREFERRED = ("VP8/90000", "H264/90000")
"Of several codecs of a camera, those that many phones can show, and that most can."
ASK_EVERY = 1.0
"Seconds between two whole pictures asked of the camera, however many wait for one."
ON_AIR = "You are on the air. {count} watching."
WAIT = "{name} has not begun yet. Please wait."
PAUSED = "{name} is paused. Please wait."
OVER = "{name} is over. Goodbye."
_SENDS: dict[Direction, Direction] = {"sendrecv": "sendonly", "recvonly": "sendonly"}
"""Of pictures. Sound stays two-way, and what comes is dropped: phones take `sendonly` for being
put on hold, and some play nothing then."""
_TAKES: dict[Direction, Direction] = {"sendrecv": "recvonly", "sendonly": "recvonly"}


@dataclass(eq=False)
class Watcher:
    """Somebody who watches, and what takes for them the camera's packets of sound, or frames of
    it, and packets of the picture."""

    leg: Leg
    packets: Sink | None = None
    frames: Sink | None = None
    pictures: Sink | None = None


class Broadcast:
    """One number. `sender` is the extension that may show, empty for whoever calls first; when
    it leaves, those who watch, `most` at once, wait for `pause` seconds for it to come back."""

    def __init__(self, *, number: str, say: Say) -> None:
        self.number = self.name = number
        self.sender = ""
        self.most, self.pause = 50, 60.0
        self.watching: list[Watcher] = []
        "Who watches, in the order they came."
        self.camera: Leg | None = None
        "Whoever shows just now."
        self._say = say
        self._shown_in: Call | None = None
        "The call of the camera, or of the last one during a pause."
        self._packet_ways: Sequence[Sink] = ()
        self._frame_ways: Sequence[Sink] = ()
        self._picture_ways: Sequence[Sink] = ()
        self._telling: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._pausing: asyncio.TimerHandle | None = None
        self._asking: asyncio.TimerHandle | None = None
        self._asked_at = 0.0

    @property
    def service(self) -> Service:
        """What answers the number."""
        says = f"shows {self.name} to all who call"
        return Service(number=self.number, says=says, app=self.take, outside=False)

    @property
    def live(self) -> bool:
        """Whether there is something to see."""
        camera = self.camera
        return camera is not None and camera.answered and camera.ending is None

    @property
    def shown_by(self) -> str:
        """Who shows, or did until a moment ago."""
        return self._shown_in.caller if self._shown_in else ""

    @property
    def watched_by(self) -> Sequence[str]:
        """Who watches."""
        return [watcher.leg.peer for watcher in self.watching]

    def close(self) -> None:
        """End it for all."""
        if self.camera is not None:
            self.camera.hang_up("the broadcast is over")
        self._end()

    async def take(self, visit: Visit) -> Ending:
        """The app: show, or watch."""
        if self._may_show(visit):
            return await self._show(visit)
        return await self._watch(visit)

    def _may_show(self, visit: Visit) -> bool:
        entitled = self.sender or (self._shown_in.caller if self._shown_in else visit.call.caller)
        return self.camera is None and visit.call.caller == entitled and not visit.leg.trunk

    # ── who shows ───────────────────────────────────────────────────────────────────────
    async def _show(self, visit: Visit) -> Ending:
        call, leg = visit.call, visit.leg
        self.camera, self._shown_in = leg, call  # at once: another phone of theirs shall watch
        if self._pausing is not None:
            self._pausing.cancel()
            self._pausing = None
        try:
            await leg.answer(self._answer_to_camera(leg.media.remote))
            leg.reoffer = _reoffer(leg, self._answer_to_camera, self._connect)
            leg.on_media_changed = self._connect
            call.answered()
            sound = await self._say(ON_AIR.format(count=len(self.watching)))
            leg.audio.play(sound)
            self._connect()
            self._note()
            return await leg.ended()
        finally:
            self.camera = None
            if self._shown_in is call:
                self._pause()

    def _answer_to_camera(self, offer: SessionDescription | None) -> SessionDescription | None:
        """Its first sound that we can speak, and one of its codecs for the picture: that which
        most of those who wait can show."""
        if offer is None:
            return None

        def wanted(name: str) -> tuple[int, int]:
            shown = sum(name in _pictures_of(watcher.leg) for watcher in self.watching)
            return shown, PREFERRED.index(name) if name in PREFERRED else -1

        def picture(section: Media) -> Media:
            best = max(names(section), key=wanted, default="")
            direction = _TAKES.get(section.direction, "inactive")
            return replace(_with(section, {best}), direction=direction)

        return _answer(offer, lambda section: own_choice(section, CODECS), picture)

    def _pause(self) -> None:
        """Let those who watch wait for the camera."""
        self._note()
        loop = asyncio.get_running_loop()
        self._pausing = loop.call_later(self.pause if self.watching else 0, self._end)
        self._telling = asyncio.ensure_future(self._tell_of_pause())

    async def _tell_of_pause(self) -> None:
        sound = await self._say(PAUSED.format(name=self.name))
        if self.camera is None and self._pausing is not None:
            for watcher in self.watching:
                _let_wait(watcher.leg, sound)

    def _end(self) -> None:
        """Nobody shows any more."""
        if self._pausing is not None:
            self._pausing.cancel()
        self._note(over=True)
        self._pausing = self._shown_in = None
        over, self._over = self._over, asyncio.Event()
        over.set()

    # ── who watches ─────────────────────────────────────────────────────────────────────
    async def _watch(self, visit: Visit) -> Ending:
        call, leg = visit.call, visit.leg
        if len(self.watching) >= self.most:
            raise CallRefused(486, f"all {self.most} places are taken")
        watcher, over = Watcher(leg), self._over
        self.watching.append(watcher)  # at once: places are counted
        try:
            await leg.answer(self._answer_to_watcher(leg.media.remote))
            again = partial(self._let_watch_again, watcher)
            leg.reoffer = _reoffer(leg, self._answer_to_watcher, again)
            leg.on_media_changed = again
            leg.on_picture_lost = self._ask
            call.answered()
            self._note()
            await self._welcome(watcher)
            if not await leg.until_over(over.wait()):
                assert leg.ending is not None
                return leg.ending
            leg.audio.stop()
            await leg.play(await self._say(OVER.format(name=self.name)))
            return Ending(status=200, reason="the broadcast is over")
        finally:
            self.watching.remove(watcher)
            self._note_ways()
            self._note()

    async def _welcome(self, watcher: Watcher) -> None:
        """Show them what there is, or let them wait for it."""
        camera = self.camera
        if self.live and camera is not None:
            self._let_watch_again(watcher)
            camera.audio.play(JOINED)
            return
        text = PAUSED if self._shown_in else WAIT
        sound = await self._say(text.format(name=self.name))
        if not self.live:
            _let_wait(watcher.leg, sound)

    def _answer_to_watcher(self, offer: SessionDescription | None) -> SessionDescription | None:
        """The camera's sound if they can hear that, and every picture that they can show."""
        if offer is None:
            return None
        codec = self.camera.media.codec if self.camera else None

        def sound(section: Media) -> Media | None:
            wanted = codec.name.upper() if codec else ""
            if wanted not in names(section):
                return own_choice(section, CODECS)
            return replace(_with(section, {wanted}), direction=mirrored(section.direction))

        def picture(section: Media) -> Media:
            direction = _SENDS.get(section.direction, "inactive")
            return replace(_with(section, set(names(section))), direction=direction)

        return _answer(offer, sound, picture)

    # ── from the one to the others ──────────────────────────────────────────────────────
    def _connect(self) -> None:
        """Take what the camera sends to all who watch; again when its media changed."""
        camera = self.camera
        if not self.live or camera is None:
            return
        for watcher in self.watching:
            self._let_watch(watcher)
        self._note_ways()
        camera.audio.on_frame = self._on_frame
        for index, port in enumerate(camera.media.ports):
            if port is camera.media.audio_port and port is not None:
                port.tap(self._on_packet)
            elif port is not None:
                port.sink = self._on_picture if index == _video_of(camera) else discard

    def _let_watch(self, watcher: Watcher) -> None:
        """Find the ways to somebody: for sound packet by packet where they take the camera's
        codec, else as PCM, and of pictures nothing."""
        camera, leg = self.camera, watcher.leg
        watcher.packets = watcher.frames = watcher.pictures = None
        port = leg.media.audio_port
        if camera is None or port is None or not leg.answered or leg.ending is not None:
            return
        source, target = _described(camera, "audio"), _described(leg, "audio")
        if source and target and camera.media.codec is leg.media.codec:
            leg.release_audio()
            port.sink = discard
            changed, foreign = renumbering(*source, target[1])
            on = continued(port.send, port.last, port.clock_rate)
            watcher.packets = renumbered(on, changed, foreign, lambda: None)
        else:
            leg.audio.stop()
            watcher.frames = leg.audio.play_live
        source, target = _described(camera, "video"), _described(leg, "video")
        port = leg.media.ports[_video_of(leg) or 0]
        if source and target and port and names(source[2])[0] in names(target[1]):
            port.sink, port.rtcp_sink = discard, self._on_report
            changed, _ = renumbering(*source, target[1])
            watcher.pictures = renumbered(port.send, changed, (), lambda: None)
            self._ask()

    def _let_watch_again(self, watcher: Watcher) -> None:
        """Somebody came, or their media changed; the others are not touched."""
        if self.live:
            self._let_watch(watcher)
            self._note_ways()

    def _note_ways(self) -> None:
        """Somebody came or went: these are asked for each packet."""
        self._packet_ways = [one.packets for one in self.watching if one.packets]
        self._frame_ways = [one.frames for one in self.watching if one.frames]
        self._picture_ways = [one.pictures for one in self.watching if one.pictures]

    def _on_picture(self, data: bytes) -> None:
        for way in self._picture_ways:
            way(data)

    def _on_packet(self, data: bytes) -> None:
        for way in self._packet_ways:
            way(data)

    def _on_frame(self, frame: bytes) -> None:
        for way in self._frame_ways:
            way(frame)

    def _on_report(self, data: bytes) -> None:
        if asks_for_keyframe(data):
            self._ask()

    def _ask(self) -> None:
        """Ask the camera for a whole picture: now, or as soon as it may be asked again."""
        loop = asyncio.get_running_loop()
        if self._asking is None:
            due = max(loop.time(), self._asked_at + ASK_EVERY)
            self._asking = loop.call_at(due, self._ask_now)

    def _ask_now(self) -> None:
        self._asking = None
        self._asked_at = asyncio.get_running_loop().time()
        if self.camera is not None:
            self.camera.ask_for_picture()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _note(self, *, over: bool = False) -> None:
        call = self._shown_in
        if call is not None:
            call.emit(
                BroadcastChanged(
                    call_id=call.id,
                    number=self.number,
                    name=self.name,
                    sender=call.caller,
                    live=self.live,
                    watching=self.watched_by,
                    over=over,
                )
            )


def _reoffer(
    leg: Leg,
    like: Callable[[SessionDescription | None], SessionDescription | None],
    then: Callable[[], None],
) -> Callable[[bytes], Awaitable[bytes | int]]:
    """How to answer a leg that offers anew: with what `like` makes of that."""

    async def reoffer(body: bytes) -> bytes | int:
        answer = await leg.answer_locally(body, like)
        then()
        return answer

    return reoffer


def _answer(
    offer: SessionDescription,
    sound: Callable[[Media], Media | None],
    picture: Callable[[Media], Media],
) -> SessionDescription:
    """What to answer to the first sound and the first picture of an offer; the rest is refused.
    Raises `CallRefused` when we cannot speak with them."""
    sections: list[Media] = []
    kinds: set[str] = set()
    for section in offer.media:
        make = {"audio": sound, "video": picture}.get(section.kind)
        first = bool(section.port) and section.kind not in kinds
        answer = make(section) if make and first else None
        if answer is not None and answer.formats:
            kinds.add(section.kind)
        sections.append(answer if answer and answer.formats else section.refused())
    if "audio" not in kinds:
        raise CallRefused(488, "no audio codec we can speak")
    return SessionDescription(media=tuple(sections))


def _with(section: Media, codecs: set[str]) -> Media:
    """A section with these codecs only; of the feedback that is asked for, what we can carry."""
    found = narrowed(section, {number for number, name in section.named if name in codecs})
    kept = tuple(
        (name, value)
        for name, value in found.attributes
        if name in ("rtpmap", "fmtp")
        or (name == "rtcp-fb" and (value or "").endswith(("nack pli", "ccm fir")))
    )
    return replace(found, attributes=kept)


def _video_of(leg: Leg) -> int | None:
    """The stream that carries a leg's picture."""
    for index in range(len(leg.media.ports)):
        described = leg.media.described(index)
        if described is not None and described[0].kind == "video":
            return index
    return None


def _described(leg: Leg, kind: str) -> tuple[Media, Media, Media] | None:
    """How a leg's sound or picture was agreed on."""
    all_of_it = (leg.media.described(index) for index in range(len(leg.media.ports)))
    return next((found for found in all_of_it if found and found[0].kind == kind), None)


def _pictures_of(leg: Leg) -> list[str]:
    """The codecs of pictures that a leg can show."""
    described = _described(leg, "video")
    return names(described[1]) if described else []


def _let_wait(leg: Leg, sound: bytes) -> None:
    """Let somebody hear why nothing comes, and music."""
    if leg.answered and leg.ending is None:
        leg.audio.stop()
        leg.audio.play(sound)
        leg.audio.repeat(hold_music())
