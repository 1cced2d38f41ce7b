"""A conference: everybody hears everybody else, never themselves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from pbx.calls.leg import Leg
from pbx.media.audio import frames_of
from pbx.media.clock import MediaClock
from pbx.media.codecs import RATE
from pbx.media.mixer import mixed
from pbx.media.tones import tone
from pbx.ports import CallRefused

MAX_PARTIES = 50
JOINED = tone(0.12, 660.0) + tone(0.12, 880.0)
LEFT = tone(0.12, 880.0) + tone(0.12, 660.0)
WIDEBAND = 16_000


class Conference:
    """Legs that are mixed, each without itself. `on_change` is told when somebody came, left or
    was muted."""

    def __init__(self, clock: MediaClock) -> None:
        self.legs: list[Leg] = []
        self.muted: set[Leg] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.expected = 0
        "How many are being called just now."
        self._clock = clock
        self._rate = RATE
        self._frames: dict[Leg, bytes] = {}
        self._tones: deque[bytes] = deque()
        self._changed = asyncio.Event()

    # ── who is in it ────────────────────────────────────────────────────────────────────
    def add(self, leg: Leg) -> None:
        """Somebody comes in. Raises `CallRefused` when it is full, or we cannot speak with
        them."""
        if len(self.legs) >= MAX_PARTIES:
            raise CallRefused(486, f"a conference has {MAX_PARTIES} at most")
        if leg.media.codec is None:
            raise CallRefused(488, "no audio codec we can speak")
        if not self.legs:
            self._clock.add(self._tick)
        self.legs.append(leg)
        leg.over.add_done_callback(lambda _: self.remove(leg))
        leg.on_media_changed = self._listen
        self._listen()
        self.announce(JOINED)
        self._note()

    def remove(self, leg: Leg) -> None:
        """Somebody is not in it any more; their leg stays as it is."""
        if leg not in self.legs:
            return
        self.legs.remove(leg)
        self.muted.discard(leg)
        self._frames.pop(leg, None)
        if leg.ending is None:
            leg.release_audio()
            leg.stand_alone()
        if not self.legs:
            self._clock.remove(self._tick)
        else:
            self._listen()
            self.announce(LEFT)
        self._note()

    def mute(self, leg: Leg, *, on: bool) -> None:
        """Let nobody hear somebody, or let everybody again."""
        if on:
            self.muted.add(leg)
        else:
            self.muted.discard(leg)
        self.on_change()

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
        self.on_change()

    # ── sound ───────────────────────────────────────────────────────────────────────────
    def _listen(self) -> None:
        """Take everybody's sound, at the rate that two of them have at least."""
        wide = sum(leg.media.codec is not None and leg.media.codec.rate > RATE for leg in self.legs)
        rate = WIDEBAND if wide > 1 else RATE
        if rate != self._rate:
            self._rate = rate
            self._frames.clear()
            self._tones.clear()
        for leg in self.legs:
            if leg.ending is None:
                leg.audio_at(self._rate).on_frame = self._hear(leg)

    def _hear(self, leg: Leg) -> Callable[[bytes], None]:
        def hear(frame: bytes) -> None:
            self._frames[leg] = frame

        return hear

    def announce(self, pcm: bytes) -> None:
        """Let everybody hear something of ours."""
        self._tones += frames_of(pcm, self._rate)

    def _tick(self) -> None:
        legs = [leg for leg in self.legs if leg.ending is None]
        speaking: Sequence[bytes | None] = [
            None if leg in self.muted else self._frames.get(leg) for leg in legs
        ]
        self._frames.clear()
        extra = self._tones.popleft() if self._tones else None
        for leg, frame in zip(legs, mixed(speaking, extra, self._rate), strict=True):
            leg.audio_at(self._rate).play_live(frame)
