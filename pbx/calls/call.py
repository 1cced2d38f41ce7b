"""A call: legs that belong together, one id in journal, log, chat and API, and the coroutine
that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from datetime import datetime

from pbx.about import about
from pbx.calls.bridge import Bridge
from pbx.calls.cause import Ending
from pbx.calls.conference import Conference
from pbx.calls.dialling import Dialling
from pbx.calls.leg import Leg, LegListener, LegOver, Target
from pbx.calls.privacy import SEALED, Privacy
from pbx.calls.wishes import ANONYMOUS
from pbx.events import (
    CallAnswered,
    CallEnded,
    CallMeant,
    CallNotice,
    CallPrivate,
    CallStarted,
    CallTransferred,
    ConferenceChanged,
    Event,
    LegAnswered,
    LegEnded,
    LegMeasured,
    LegRinging,
    LegStarted,
    SpeakerChanged,
)
from pbx.media.clock import MediaClock
from pbx.media.counted import Traffic
from pbx.media.recorder import Recorder
from pbx.media.sdp import SessionDescription
from pbx.ports import CallRefused
from pbx.sip.outgoing import ELSEWHERE
from pbx.sip.transaction import ServerTransaction
from pbx.trace import Recorder as Tracer
from pbx.vocabulary import CallState

log = logging.getLogger(__name__)

LegFactory = Callable[..., Leg]
Redirect = Callable[["Call", Leg, Sequence[str]], list[Target]]
"What to ring instead when a leg is sent elsewhere (3xx), given the URIs."
Refer = Callable[["Call", Leg, ServerTransaction], None]
"Takes a wish of a leg's to be transferred."
MAX_FORWARDS = 70


class Call(LegListener):
    """One call. `user` is the extension it is made by or for; `kind` is how it came about:
    inbound, internal, outbound, callback, conference, or room for somebody called into one."""

    def __init__(
        self,
        *,
        caller: str,
        callee: str,
        user: str,
        kind: str,
        emit: Callable[[Event], None],
        now: Callable[[], datetime],
        new_leg: LegFactory,
        tracer: Tracer,
        clock: MediaClock,
        redirect: Redirect = lambda call, leg, uris: [],
        refer: Refer = lambda call, leg, transaction: None,
        on_stars: Callable[[Call, Leg], None] = lambda call, leg: None,
        forwards: int = MAX_FORWARDS,
        shown: str = "",
        passed: str = "",
    ) -> None:
        self.id = passed or secrets.token_hex(5)
        self.passed = bool(passed)
        "Whether another program of this exchange passed it on, which gave it this id."
        self.caller = caller
        self.shown = shown or caller
        "The caller, as those who are called may see them."
        self.callee = callee
        self.user = user
        self.kind = kind
        self.legs: list[Leg] = []
        self.started_at = now()
        self.answered_at: datetime | None = None
        self.ending: Ending | None = None
        self.diverted = False
        "Whether it shall go to the answerphone, without waiting any longer."
        self.excuse = ""
        "What the caller is told instead."
        self.bridge: Bridge | None = None
        "Between the two sides, once they are joined."
        self.privacy = Privacy(self._privacy_changed)
        self.conference: Conference | None = None
        "Between more than two."
        self.recorder: Recorder | None = None
        self._recorded: frozenset[str] = frozenset()
        "Whose side of the recording is their own."
        self._owner_gone: Callable[[], None] = lambda: None
        self.notice_of_recording = b""
        "What whoever comes into a recorded call hears."
        self.left: set[str] = set()
        "Who gave their place to somebody else."
        self.forwards = forwards
        "Hops the call may still make, through us and others (RFC 3261 §20.22)."
        self.costs: list[Callable[[], None]] = []
        "What ends what the call costs: done when it is over, or passed on with its legs."
        self.on_end: list[Callable[[], None]] = []
        "What must be undone when the call is over."
        self._redirect, self._refer, self._on_stars = redirect, refer, on_stars
        self._limit: asyncio.TimerHandle | None = None
        self._emit, self._now, self._clock = emit, now, clock
        self._new_leg = new_leg
        self._tracer = tracer
        self._task: asyncio.Task[None] | None = None
        self._rang: set[str] = set()
        self._done = asyncio.Event()
        self._following: Callable[[], Coroutine[object, object, Ending]] | None = None
        "What there is to do once both sides are joined no more."
        self._diallings: list[Dialling] = []
        "Whom it is trying to reach just now."
        self.emit(
            CallStarted(
                call_id=self.id,
                at=self.started_at,
                caller=self.caller,
                callee=self.callee,
                user=self.user,
                kind=self.kind,
                shown=self.shown,
            )
        )

    def emit(self, event: Event) -> None:
        """Tell of something that happened in this call, whoever brought it about."""
        with about(self.id):
            self._emit(event)

    def seen(self, leg: Leg) -> str:
        """Who is on a leg, as others may see them."""
        return self.shown if leg.direction == "in" and leg.peer == self.caller else leg.peer

    @property
    def hidden(self) -> bool:
        """Whether the caller shows no number."""
        return self.shown == ANONYMOUS

    @property
    def state(self) -> CallState:
        if self.ending is not None:
            return CallState.ENDED
        return CallState.ANSWERED if self.answered_at else CallState.RINGING

    # ── life ────────────────────────────────────────────────────────────────────────────
    def run(self, course: Coroutine[object, object, Ending], on_done: Callable[[], None]) -> None:
        """Run the call: `course` does what there is to do and says how it ended."""
        with about(self.id):
            self._task = asyncio.ensure_future(self._run(course))
            self._task.add_done_callback(lambda _: on_done())

    async def _run(self, course: Coroutine[object, object, Ending]) -> None:
        ending = Ending(status=500, reason="something failed inside the exchange")
        try:
            ending = await course
        except (asyncio.CancelledError, LegOver, CallRefused) as stopped:
            ending = self._how(stopped)
            # The frames it came through hold tasks, which hold it: a circle.
            traceback.clear_frames(stopped.__traceback__)
        except Exception:
            log.exception("the call failed")
        finally:
            self._finish(ending)

    def _how(self, stopped: BaseException) -> Ending:
        """How the call ended, from what ended its course."""
        if isinstance(stopped, LegOver):
            return stopped.ending
        if isinstance(stopped, CallRefused):
            return Ending(status=stopped.status, reason=stopped.reason)
        return self.ending or Ending(status=200, reason="hung up")

    def _finish(self, ending: Ending) -> None:
        self.ending = ending
        for leg in self.legs:
            leg.hang_up(ending.reason if ending.status == 200 else "", max(ending.status, 400))
        self.emit(
            CallEnded(
                call_id=self.id,
                at=self._now(),
                status=ending.status,
                cause=ending.words,
            )
        )
        for undo in (*self.costs, *self.on_end):
            undo()
        if self._limit is not None:
            self._limit.cancel()
        self._done.set()

    def divert(self, excuse: str = "") -> None:
        """Ring no longer: to the answerphone, or tell the caller why."""
        self.diverted, self.excuse = True, excuse
        for leg in self.legs:
            if leg.direction == "out" and not leg.answered:
                leg.hang_up(ELSEWHERE)

    def limit(self, seconds: float) -> None:
        """End the call after so long; the shortest of several limits holds."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._limit is not None:
            if self._limit.when() <= due:
                return
            self._limit.cancel()
        self._limit = loop.call_at(due, self.hang_up, "the longest time for a call was reached")

    def hang_up(self, reason: str = "hung up by command", status: int = 200) -> None:
        """End every leg; who still waits for an answer gets `status` when that is a failure."""
        if self.ending is None and self._task is not None:
            self.ending = Ending(status=status, reason=reason)
            # Not at once: a task cancelled before its first step would never come to `_finish`.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    async def ended(self) -> Ending:
        """Wait for the end."""
        await self._done.wait()
        assert self.ending is not None
        return self.ending

    async def join(self, leg: Leg, other: Leg) -> Ending:
        """Let two sides talk until one hangs up."""
        self.bridge = Bridge(leg, other, self.privacy)
        self.bridge.on_stars = lambda who: self._on_stars(self, who)
        self.bridge.connect()
        self.bridge.ask_for_pictures()  # what was filmed before is lost
        self.answered()
        await self.bridge.over()
        if self.conference is not None:
            await self.conference.over()
        following, self._following = self._following, None
        return await following() if following else Ending(status=200, reason="")

    async def transfer(
        self, leg: Leg, ring: Callable[..., Awaitable[Leg]], *, hang_up: bool
    ) -> Leg:
        """Put whoever `ring` gets in the place of `leg`; the other side hears music meanwhile, and
        `leg` may hang up. Raises `CallRefused` when nobody answers, or it is too late: then the
        call goes on as it was, if `leg` is still there."""
        bridge = self._bridge_of(leg)
        if bridge.leaving is not None:
            raise CallRefused(491, "that call is being transferred already")
        other = bridge.other(leg)
        with contextlib.suppress(CallRefused):  # sound that we cannot read has no music in it
            bridge.hold(leg)
        bridge.leave(leg)
        try:
            new = await ring(self, like=other.media.remote)
        except BaseException:
            bridge.stay()
            raise
        try:
            self.give_over(leg, new, hang_up=hang_up)
        except CallRefused:
            bridge.stay()
            raise
        await self.wake()
        return new

    async def wake(self) -> None:
        """Take both sides off hold: whoever held them gave their place away."""
        bridge = self.bridge
        if bridge is not None:
            await asyncio.gather(bridge.first.wake(), bridge.second.wake())
            bridge.connect()
            if self.recorder is not None:  # by the one who stayed
                await self.announce(self.notice_of_recording)

    def give_over(self, leg: Leg, new: Leg, *, hang_up: bool = True) -> None:
        """Let `new` talk in the place of `leg`. Raises `CallRefused` when there is no such place
        any more; `new` is hung up then."""
        try:
            bridge = self._bridge_of(leg)
            if bridge.other(leg).ending is not None:
                raise CallRefused(487, "the other side hung up")
        except CallRefused as refused:
            new.hang_up(refused.reason)
            raise
        if self.recorder is not None and leg.peer in self._recorded:
            self._owner_gone()
        bridge.replace(leg, new)
        self.came(leg.peer, new)
        if hang_up:
            leg.hang_up("transferred")

    def release(self, leg: Leg, to: Call) -> Leg:
        """Give the other side of a bridge to another call, with what it costs; `leg` stays, and
        this call ends. Raises `CallRefused` when it is not between two."""
        other = self._bridge_of(leg).other(leg)
        assert self.bridge is not None
        self.bridge.dissolve()
        self.legs.remove(other)
        to.adopt(other)
        to.costs += self.costs
        self.costs.clear()
        if self._limit is not None:
            to.limit(self._limit.when() - asyncio.get_running_loop().time())
        return other

    def other_side(self, leg: Leg) -> Leg:
        """Whom a leg talks to. Raises `CallRefused` when that is not one other, or is leaving."""
        bridge = self._bridge_of(leg)
        if bridge.leaving is not None:
            raise CallRefused(491, "that call is being transferred just now")
        other = bridge.other(leg)
        if other.media.codec is None:
            raise CallRefused(488, "no audio codec we can speak")
        return other

    def wait(self, leg: Leg) -> Bridge:
        """Let the other side wait with music while `leg` does something else; `stay` of the bridge
        ends that. Raises `CallRefused`."""
        other = self.other_side(leg)
        bridge = self._bridge_of(leg)
        bridge.hold(leg)
        bridge.aside = True
        leg.stand_alone()
        other.reoffer = other.answer_locally
        return bridge

    def part(self, leg: Leg, following: Callable[[], Coroutine[object, object, Ending]]) -> None:
        """Join both sides no more; what follows is told, and `leg` may hang up."""
        self._bridge_of(leg)
        assert self.bridge is not None
        self._following = following
        self.bridge.dissolve()

    def came(self, gone: str, new: Leg) -> None:
        """Somebody talks in the place of somebody else from now on."""
        self.left.add(gone)
        self.left.discard(new.peer)
        self.emit(CallTransferred(call_id=self.id, at=self._now(), gone=gone, new=new.peer))

    def _bridge_of(self, leg: Leg) -> Bridge:
        bridge = self.bridge
        if bridge is None or bridge.dissolved or leg not in (bridge.first, bridge.second):
            raise CallRefused(481, "that call is not between two")
        bridge.privacy.check()
        return bridge

    def confer(self) -> Conference:
        """Become a conference, or the one that it is: both sides of a bridge are in it. Raises
        `CallRefused` while it is being transferred."""
        if self.bridge is not None and self.bridge.leaving is not None:
            raise CallRefused(491, "that call is being transferred just now")
        if self.bridge is not None and not self.bridge.dissolved:
            self.bridge.privacy.check()
        if self.conference is None:
            conference = Conference(self._clock)
            conference.moderators.add(self.user)
            conference.recorder, conference.notice = self.recorder, self.notice_of_recording
            self.enter(conference)
            if self.bridge is not None:
                for leg in self.bridge.dissolve():
                    conference.add(leg)
            return conference
        return self.conference

    def enter(self, conference: Conference) -> None:
        """Tell from now on what happens in a conference that a leg of this call comes into."""
        self.conference = conference
        conference.watchers.append(self._conference_changed)
        conference.listeners.append(self._speaker_changed)

    def answered(self) -> None:
        """Two sides are joined now, or an app took the call."""
        if self.answered_at is None:
            self.answered_at = self._now()
            self.emit(CallAnswered(call_id=self.id, at=self.answered_at))

    def meant(self, callee: str, shown: str = "") -> None:
        """What was dialled stood for somebody else, who may see the caller otherwise."""
        self.callee, self.shown = callee, shown or self.shown
        self.emit(
            CallMeant(
                call_id=self.id,
                at=self._now(),
                caller=self.caller,
                callee=callee,
                shown=self.shown,
                user=self.user,
                answered=self.answered_at is not None,
            )
        )

    def notice(self, text: str) -> None:
        """Tell people about a step."""
        self.emit(CallNotice(call_id=self.id, at=self._now(), text=text))

    def dissolve(self) -> None:
        """Let go of everything the call held, once nobody will ask for it again: calls and legs
        refer to each other in circles, which would stay in memory until the garbage collector,
        which is told to look rarely, comes by."""
        for leg in self.legs:
            leg.dissolve()
        self.legs.clear()
        self.on_end.clear()
        self.costs.clear()
        if self.conference is not None:
            self.conference.watchers.remove(self._conference_changed)
            self.conference.listeners.remove(self._speaker_changed)
        self.bridge = self.conference = self.recorder = None
        self.privacy.on_change = lambda private: None
        self._owner_gone = lambda: None
        self._limit = self._task = self._following = None

    def record(
        self,
        recorder: Recorder,
        owner: Collection[str],
        gone: Callable[[], None],
        notice: bytes = b"",
    ) -> None:
        """Record from now on: what `owner` says, by any of these names, on one side, all others
        on the other; `gone` is called when the owner has left. Who comes in hears the `notice`.
        Raises `CallRefused` for sound that cannot be read, when it is recorded already, and when
        it is over."""
        if self.ending is not None:
            raise CallRefused(481, "that call is over")
        conference = self.conference
        if self.recorder is not None or (conference is not None and conference.recorder):
            raise CallRefused(491, "that call is being recorded already")
        self.privacy.check()
        if any(leg.media.codec is None for leg in self.parties if leg.answered):
            raise CallRefused(488, "this call's sound passes through unread")
        self.recorder, self._recorded = recorder, frozenset(owner)
        self._owner_gone, self.notice_of_recording = gone, notice
        if conference is not None:
            conference.recorder, conference.notice = recorder, notice
        for leg in self.parties:
            self._tap(leg)
        if self.bridge is not None:
            self.bridge.connect()

    def stop_recording(self) -> Recorder | None:
        """Record no more; what did, to be stopped."""
        recorder, self.recorder = self.recorder, None
        self._owner_gone = lambda: None
        if self.conference is not None and self.conference.recorder is recorder:
            self.conference.recorder = None
        for leg in self.parties if recorder is not None else ():
            for port in leg.media.ports:
                if port is not None:
                    port.tap(None)
        if self.bridge is not None:
            self.bridge.connect()
        return recorder

    @property
    def parties(self) -> Sequence[Leg]:
        """All whom a call lets talk: its legs, and whoever else is in the room that it is in."""
        if self.conference is None:
            return self.legs
        return [*self.legs, *(leg for leg in self.conference.legs if leg not in self.legs)]

    def _tap(self, leg: Leg) -> None:
        """Let the recorder hear a leg."""
        port = leg.media.audio_port
        if self.recorder is None or port is None or leg.ending is not None:
            return
        hear, media, side = self.recorder.hear, leg.media, int(leg.peer not in self._recorded)

        def tap(data: bytes) -> None:
            if media.audio_terms is not None:  # which a re-INVITE may have changed
                hear(side, media.audio_terms.receives, data)

        port.tap(tap)

    async def announce(self, pcm: bytes) -> None:
        """Let everybody in the call hear something, as long as it is going on."""
        if not pcm or self.ending is not None:
            return
        if self.conference is not None:
            self.conference.announce(pcm)
        elif self.bridge is not None:
            await self.bridge.announce(pcm)

    def _privacy_changed(self, private: bool) -> None:
        """The phones agreed on keys that we do not have, or went back to none."""
        if self.ending is not None:
            return
        self.emit(CallPrivate(call_id=self.id, at=self._now(), private=private))
        if self.bridge is not None:
            self.bridge.connect()
        if private and self.recorder is not None:
            self.notice(f"The recording ends: {SEALED}.")
            self._owner_gone()

    def _conference_changed(self) -> None:
        if self.conference is not None and self.ending is None:
            there, muted = self.conference.legs, self.conference.muted
            for leg in there:
                self._tap(leg)
            self.emit(
                ConferenceChanged(
                    call_id=self.id,
                    at=self._now(),
                    parties=tuple(self.seen(leg) for leg in there),
                    muted=tuple(leg.peer for leg in there if leg in muted),
                    moderators=tuple(self.conference.moderators),
                    locked=self.conference.locked,
                )
            )

    def _speaker_changed(self, peer: str) -> None:
        if self.ending is None:
            self.emit(SpeakerChanged(call_id=self.id, at=self._now(), peer=peer))

    # ── legs ────────────────────────────────────────────────────────────────────────────
    def add_leg(
        self,
        *,
        peer: str,
        direction: str,
        trunk: str = "",
        device: str = "",
        permit: str = "",
        inner: bool = False,
        **media: object,
    ) -> Leg:
        """A new leg of this call, not yet dialled."""
        leg = self._new_leg(
            call_id=self.id,
            peer=peer,
            direction=direction,
            trunk=trunk,
            device=device,
            inner=inner,
            listener=self,
            forwards=self.forwards,
            **media,
        )
        self.legs.append(leg)
        self.emit(
            LegStarted(
                call_id=self.id,
                leg_id=leg.id,
                at=self._now(),
                peer=peer,
                direction=direction,
                trunk=trunk,
                device=device,
                permit=permit,
                inner=inner,
            )
        )
        return leg

    async def dial(
        self,
        targets: Sequence[Target],
        *,
        ring_timeout: float,
        like: SessionDescription | None = None,
        on_early: Callable[[Leg], None] = lambda _: None,
    ) -> Leg:
        """Ring all targets at once; the first to answer, and to accept where that is asked for,
        wins; the others are cancelled. Whoever is picked up by another phone is that leg's. A
        target that sends us elsewhere (3xx) is replaced by where it sends us.

        Raises `CallRefused` with the most telling failure when nobody answers.
        """
        if not targets:
            raise CallRefused(480, "no phone is registered there")

        def new_leg(target: Target) -> Leg:
            leg = self.add_leg(
                peer=target.peer,
                direction="out",
                trunk=target.trunk,
                device=target.device,
                permit=target.permit,
                inner=target.inner,
                srtp=target.srtp,
            )
            leg.on_early = on_early
            return leg

        dialling = Dialling(new_leg, lambda leg, uris: self._redirect(self, leg, uris), like)
        self._diallings.append(dialling)
        try:
            return await dialling.winner(targets, ring_timeout)
        finally:
            self._diallings.remove(dialling)

    def pick_up(self, leg: Leg, rung: str) -> None:
        """Let another phone that called us, and was answered, take the call instead of those that
        ring, `rung` among them; it must be handed over then. Raises `CallRefused` when nothing
        rings there any more."""
        dialling = next((one for one in self._diallings if one.rings_at(rung)), None)
        if dialling is None:
            raise CallRefused(481, "that call rings no more")
        dialling.pick_up(leg)

    def hand_over(self, leg: Leg, to: Call) -> None:
        """A leg of ours is another call's from now on."""
        self.legs.remove(leg)
        leg.stand_alone()
        leg.release_audio()
        to.adopt(leg)

    def adopt(self, leg: Leg) -> None:
        """A leg of another call is one of ours from now on."""
        leg.listener = self
        self.legs.append(leg)
        self.leg_dialog(leg)

    # ── what legs tell ──────────────────────────────────────────────────────────────────
    def leg_dialog(self, leg: Leg) -> None:
        if not leg.inner:  # what programs say to each other is on nobody's side of the ladder
            self._tracer.follow(leg.call_id, self.id)

    def leg_ringing(self, leg: Leg) -> None:
        if leg.id not in self._rang:  # phones repeat their 180
            self._rang.add(leg.id)
            self.emit(LegRinging(call_id=self.id, leg_id=leg.id, at=self._now(), peer=leg.peer))

    def leg_refer(self, leg: Leg, transaction: ServerTransaction) -> None:
        self._refer(self, leg, transaction)

    def leg_answered(self, leg: Leg) -> None:
        self._tap(leg)
        self.emit(
            LegAnswered(
                call_id=self.id,
                leg_id=leg.id,
                at=self._now(),
                peer=leg.peer,
                codec=leg.media.codec_name,
                srtp=leg.secured,
            )
        )

    def leg_ended(self, leg: Leg) -> None:
        assert leg.ending is not None
        if self.recorder is not None and leg.peer in self._recorded and leg.answered:
            self._owner_gone()
        counts = leg.counts if leg.anchor is None else Traffic()  # which are told when measured
        self.emit(self._ended(leg, leg.ending, counts))

    def leg_measured(self, leg: Leg) -> None:
        if leg.ending is not None:
            ended = self._ended(leg, leg.ending, leg.counts)
            self.emit(LegMeasured(call_id=self.id, at=ended.at, ended=ended))

    def _ended(self, leg: Leg, ending: Ending, counts: Traffic) -> LegEnded:
        heard = counts.quality
        trip = heard.round_trip if heard is not None else None
        return LegEnded(
            call_id=self.id,
            leg_id=leg.id,
            at=self._now(),
            peer=leg.peer,
            status=ending.status,
            cause=ending.words,
            codec=leg.media.codec_name,
            srtp=leg.secured,
            received=counts.received,
            sent=counts.sent,
            lost=counts.lost,
            jitter_ms=counts.jitter_ms,
            lost_by_peer=counts.lost_by_peer,
            round_trip_ms=1000 * trip if trip is not None else None,
            mos=heard.mos(leg.media.codec_name) if heard is not None else None,
        )
