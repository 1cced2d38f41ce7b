"""A conference: everybody hears everybody else, never themselves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from pbx.calls.leg import Leg, LegOver
from pbx.media.audio import AudioChannel, frames_of
from pbx.media.clock import MediaClock
from pbx.media.codecs import RATE
from pbx.media.loudest import EVERY, Loudest
from pbx.media.mixer import mixed
from pbx.media.recorder import Recorder
from pbx.media.tones import tone
from pbx.ports import CallRefused

MAX_PARTIES = 50
JOINED = tone(0.12, 660.0) + tone(0.12, 880.0)
LEFT = tone(0.12, 880.0) + tone(0.12, 660.0)
SENT_AWAY = tone(0.3, 440.0) + bytes(2 * RATE * 3 // 10)
"What somebody hears who is sent away, with the silence that phones keep in their buffers."
WIDEBAND = 16_000
MAX_TONES = 500
"Frames of ours that wait to be heard: ten seconds."
REMOVED = "removed from the conference"


class Conference:
    """Legs that are mixed, each without itself; `most` at once. Who is alone hears `music`.

    The `watchers` are told when somebody came, left or was muted, and when it was locked."""

    def __init__(self, clock: MediaClock, *, most: int = MAX_PARTIES, music: bytes = b"") -> None:
        self.legs: list[Leg] = []
        self.muted: set[Leg] = set()
        self.moderators: set[str] = set()
        "The extensions that may lock it, mute others and send them away."
        self.locked = False
        "Nobody else comes in by themselves."
        self.recorder: Recorder | None = None
        "Of whoever records it; one at a time."
        self.notice = b""
        "What those who come later hear, while it is recorded."
        self.farewell = SENT_AWAY
        "What those hear who are sent away."
        self.on_kicked: Callable[[Leg], None] = lambda _: None
        "Somebody was sent away."
        self.watchers: list[Callable[[], None]] = []
        self.listeners: list[Callable[[str], None]] = []
        "Told who speaks, when that changes."
        self.expected = 0
        "How many are being called just now."
        self._most = min(most, MAX_PARTIES)
        self._music = music
        self._clock = clock
        self._rate = RATE
        self._frames: dict[Leg, bytes] = {}
        self._tones: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._loudest = Loudest[Leg]()
        self._ticks = 0
        self._leaving: set[asyncio.Task[None]] = set()

    # ── who is in it ────────────────────────────────────────────────────────────────────
    def add(self, leg: Leg, *, invited: bool = False) -> None:
        """Somebody comes in. Raises `CallRefused` when it is full, or locked for those who were
        not invited by a moderator, and when we cannot speak with them."""
        if len(self.legs) >= self._most:
            raise CallRefused(486, f"a conference has {self._most} at most")
        if self.locked and not invited:
            raise CallRefused(403, "the conference is locked")
        if leg.media.codec is None:
            raise CallRefused(488, "no audio codec we can speak")
        if leg.ending is not None:
            raise CallRefused(487, "they hung up")
        if not self.legs:
            self._clock.add(self._tick)
        self.legs.append(leg)
        leg.over.add_done_callback(lambda _: self.remove(leg))
        leg.on_media_changed = self._listen
        self._listen()
        self.announce(JOINED)
        if self.recorder is not None:
            self.announce(self.notice)
        self._note()

    def remove(self, leg: Leg) -> None:
        """Somebody is not in it any more; their leg stays as it is."""
        if leg not in self.legs:
            return
        self.legs.remove(leg)
        self.muted.discard(leg)
        self._frames.pop(leg, None)
        self._loudest.forget(leg)
        if leg.ending is None:
            leg.release_audio()
            leg.stand_alone()
        if not self.legs:
            self._clock.remove(self._tick)
            self._tones.clear()
        else:
            self._listen()
            self.announce(LEFT)
        self._note()

    def kick(self, leg: Leg) -> None:
        """Send somebody away; they hear that before they are hung up."""
        if leg not in self.legs:
            return
        self.remove(leg)
        self.on_kicked(leg)
        task = asyncio.ensure_future(self._dismiss(leg))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _dismiss(self, leg: Leg) -> None:
        try:
            await leg.play(self.farewell)
        except (LegOver, CallRefused):
            return  # they were faster
        leg.hang_up(REMOVED)

    def mute(self, leg: Leg, *, on: bool) -> None:
        """Let nobody hear somebody, or let everybody again."""
        if on:
            self.muted.add(leg)
        else:
            self.muted.discard(leg)
        self.tell()

    def lock(self, *, on: bool) -> None:
        """Let nobody else come in, or anybody again."""
        self.locked = on
        self.tell()

    async def over(self) -> None:
        """Wait until at most one is left and nobody is expected; then end it."""
        while self.expected or len(self.legs) > 1:
            self._changed.clear()
            await self._changed.wait()
        for leg in list(self.legs):
            leg.hang_up()

    def expect(self, count: int) -> None:
        """So many more, or fewer, are being called."""
        self.expected += count
        self._changed.set()

    def _note(self) -> None:
        self._changed.set()
        self.tell()

    def tell(self) -> None:
        """Tell the watchers how it is."""
        for watcher in list(self.watchers):
            watcher()

    # ── sound ───────────────────────────────────────────────────────────────────────────
    @property
    def speaker(self) -> str:
        """Who speaks, or did last; empty before anybody did."""
        leg = self._loudest.speaker
        return leg.peer if leg is not None else ""

    def _listen(self) -> None:
        """Take everybody's sound, at the rate that two of them have at least."""
        wide = sum(leg.media.codec is not None and leg.media.codec.rate > RATE for leg in self.legs)
        rate = WIDEBAND if wide > 1 else RATE
        if rate != self._rate:
            self._rate = rate
            self._frames.clear()
            self._tones.clear()
        music = self._music if len(self.legs) == 1 else b""
        for leg in self.legs:
            channel = self._channel(leg)
            if channel is not None:
                channel.on_frame = self._hear(leg)
                channel.repeat(music)

    def _channel(self, leg: Leg) -> AudioChannel | None:
        """The sound of somebody; who has none any more, a phone may take it back, is hung up
        instead of silencing the others."""
        try:
            return leg.audio_at(self._rate)
        except LegOver:
            return None
        except CallRefused as refused:
            asyncio.get_running_loop().call_soon(leg.hang_up, refused.reason, 488)
            return None

    def _hear(self, leg: Leg) -> Callable[[bytes], None]:
        def hear(frame: bytes) -> None:
            self._frames[leg] = frame

        return hear

    def announce(self, pcm: bytes) -> None:
        """Let everybody hear something of ours; what would come too late is left out."""
        if len(self._tones) < MAX_TONES:
            self._tones += frames_of(pcm, self._rate)

    def whisper(self, leg: Leg, pcm: bytes) -> None:
        """Let one hear something of ours; they do not hear the others meanwhile."""
        if leg in self.legs and leg.ending is None:
            leg.audio_at(self._rate).play(pcm)

    def hush(self, leg: Leg) -> None:
        """Stop what one hears of ours alone."""
        if leg in self.legs and leg.ending is None:
            channel = leg.audio_at(self._rate)
            channel.stop()
            channel.repeat(self._music if len(self.legs) == 1 else b"")

    def _tick(self) -> None:
        legs = [leg for leg in self.legs if leg.ending is None]
        speaking: Sequence[bytes | None] = [
            None if leg in self.muted else self._frames.get(leg) for leg in legs
        ]
        self._frames.clear()
        self._ticks += 1
        if self._ticks % EVERY == 0 and self._loudest.hear(legs, speaking):
            for listener in list(self.listeners):
                listener(self.speaker)
        extra = self._tones.popleft() if self._tones else None
        if len(legs) == 1 and self._music and extra is None:
            return  # music is what is heard when there is nothing else
        for leg, frame in zip(legs, mixed(speaking, extra, self._rate), strict=True):
            channel = self._channel(leg)
            if channel is not None:
                channel.play_live(frame)
