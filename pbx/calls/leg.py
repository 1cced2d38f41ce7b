"""A leg: one SIP dialog and its media. What a call is made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pbx.calls.cause import Ending
from pbx.media.anchor import Anchor
from pbx.media.audio import AudioChannel
from pbx.media.clock import MediaClock
from pbx.media.codecs import RATE
from pbx.media.counted import Traffic
from pbx.media.keyframe import FAST_UPDATE, MEDIA_CONTROL, fir, pli, tells_fast_update
from pbx.media.keys import DTMF_RELAY, info_body, info_key
from pbx.media.loudness import QUIET_AFTER, SILENCE, loudness
from pbx.media.port import EXACTLY
from pbx.media.rtcp import report
from pbx.media.rtpengine import EngineError
from pbx.media.sdp import NotAcceptable, SdpError, SessionDescription
from pbx.media.session import MediaSession, Profile
from pbx.media.srtp import SrtpPolicy
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials, DigestClient
from pbx.sip.incoming import IncomingSession
from pbx.sip.message import ParseError, Request
from pbx.sip.outgoing import OutgoingSession
from pbx.sip.session import Session
from pbx.sip.stack import Stack
from pbx.sip.transaction import InviteServerTransaction, ServerTransaction
from pbx.sip.transport import Flow
from pbx.vocabulary import CallState

log = logging.getLogger(__name__)

MOVES = 5
"How often a far side is asked to move its media before the leg is ended."

ASK_AGAIN = frozenset((491, 500, 503, 504))
"Answers of a far side that may be about to do the same."

Reoffer = Callable[[bytes], Awaitable[bytes | int]]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the places where a target may be reached: `open` gives the flow there (OSError when
    there is none), `failed` is told when the next had to be tried."""

    open: Callable[[], Awaitable[Flow]]
    failed: Callable[[], None] = lambda: None


def only(way: Callable[[], Awaitable[Flow]]) -> Callable[[], Awaitable[Sequence[Way]]]:
    """The `ways` of a target that has one."""

    async def ways() -> Sequence[Way]:
        return (Way(open=way),)

    return ways


@dataclass(frozen=True, kw_only=True)
class Target:
    """Somebody to call: a device or a number behind a trunk.

    `ways` finds the places to try in order (OSError when there is none); the next is tried
    when nothing at all came from one for `patience` seconds, when its connection fails, and on
    503 (RFC 3263 §4.3). `routes` is the Route of the INVITE. `direct` follows the far side's
    Contact, as between servers.
    """

    peer: str
    uri: str
    ways: Callable[[], Awaitable[Sequence[Way]]]
    from_uri: str
    routes: Sequence[str] = ()
    patience: float = 4.0
    from_name: str = ""
    to_uri: str = ""
    contact_user: str = ""
    credentials: Credentials | None = None
    direct: bool = False
    srtp: SrtpPolicy = SrtpPolicy.OFFER
    trunk: str = ""
    permit: str = ""
    "Which leave to call is used (`pbx.ports.Permit`)."
    device: str = ""
    behind: str = ""
    "The address of a phone that is reached through a proxy of ours."
    secure: bool = False
    "Whether it is reached by TLS from there."
    browser: bool = False
    "Whether it is a browser, which has media of its own kind."
    inner: bool = False
    "Whether it leads to another program of this exchange, and is no side that a person is on."
    headers: Mapping[str, str] = field(default_factory=dict)
    "Of the INVITE, by their names in lower case."
    accept: Callable[[Leg], Awaitable[None]] | None = None
    "What whoever answers must go through to have the call; raises `CallRefused`."


class LegOver(Exception):
    """An app wanted something of a leg that has ended: the app is over too."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.words)
        self.ending = ending


class LegListener:
    """Hears what happens to a leg. The call it belongs to is one."""

    def leg_dialog(self, leg: Leg) -> None:
        """The leg has a SIP dialog, and so a Call-ID, from now on."""

    def leg_ringing(self, leg: Leg) -> None:
        """The far side rings."""

    def leg_refer(self, leg: Leg, transaction: ServerTransaction) -> None:
        """The far side asks for a transfer."""
        transaction.reply(603)

    def leg_answered(self, leg: Leg) -> None:
        """Somebody took the call."""

    def leg_ended(self, leg: Leg) -> None:
        """`leg.ending` says how; its counters can still be read."""

    def leg_measured(self, leg: Leg) -> None:
        """What an engine carried of a leg that ended is in `leg.counts` now."""


class Leg:
    """One side of a call.

    `ended` is set once, with how. `early` is the media description of a ringing far side, if
    it sends any. Apps use `play`, `say` and `digit`; a bridge takes the ports instead.
    """

    def __init__(
        self,
        *,
        stack: Stack,
        media: MediaSession,
        clock: MediaClock,
        peer: str,
        direction: str,
        listener: LegListener,
        trunk: str = "",
        device: str = "",
        inner: bool = False,
        forwards: int = 70,
        new_anchor: Callable[[str], Anchor | None] = lambda leg: None,
    ) -> None:
        """`new_anchor` gives a leg of this id a place at an engine, if there is one."""
        self.id = secrets.token_hex(4)
        self.peer = peer
        self.direction = direction
        self.trunk = trunk
        self.device = device
        self.inner = inner
        "Whether another program of this exchange is there, which obeys the phone beyond it."
        self.media = media
        self._new_anchor = new_anchor
        self.anchor: Anchor | None = None
        "Where an rtpengine carries its media, if one does."
        self.session: Session | None = None
        self.ending: Ending | None = None
        self.answered = False
        self.early: SessionDescription | None = None
        self.on_early: Callable[[Leg], None] = lambda _: None
        self.reoffer: Reoffer = self.answer_locally
        self.on_media_changed: Callable[[], None] = lambda: None
        "The far side moved its media without an offer to carry over."
        self.profile = Profile.PLAIN
        self.started_at = datetime.now(UTC)
        self.heard_at = asyncio.get_running_loop().time()
        self._heard = 0
        self._loud_at = (0, 0.0)
        "How many packets there were when one was looked at that was new, and when."
        self._taking: asyncio.Task[None] | None = None
        "Takes what the far side described, in its order, by way of the engine."
        self._moving: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._forwards = forwards
        self._stack = stack
        self.clock = clock
        self.listener = listener
        self.over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        "Done with how the leg ended; wait with `ended`, or with `asyncio.wait`."
        self._agreed = asyncio.Event()
        self._final: asyncio.Future[Ending | None] | None = None
        self._audio: AudioChannel | None = None
        self._digits: asyncio.Queue[str] = asyncio.Queue(64)
        self.on_digit: Callable[[str], None] = self._take_digit
        "A key was pressed; `digits` counts those that nobody else wants."
        self.on_picture_lost: Callable[[], None] = lambda: None
        "The far side asks, in signalling, for a whole picture of the video it gets."
        self._pictures_asked = 0
        self._anchor_anew()

    # ── making one ──────────────────────────────────────────────────────────────────────
    def take(self, transaction: InviteServerTransaction, *, direct: bool, behind: str = "") -> None:
        """Become the callee's end of an INVITE, of a phone that is `behind` a proxy of ours. Raises
        `ParseError`."""
        self.session = IncomingSession(self._stack, self, transaction, direct=direct)
        flow = transaction.flow
        self._place(self._stack.host_towards(flow, behind), behind or flow.remote[0])
        self.listener.leg_dialog(self)

    async def dial(self, target: Target, like: SessionDescription | None = None) -> None:
        """Call somebody and return once they answered; `like` is another leg's offer to carry.

        Raises `CallRefused` with how it failed; `hang_up` makes it fail at any time.
        """
        ending: Ending | None = Ending(status=503, reason="the way there is down")
        try:
            ways = await target.ways()
        except OSError as error:
            log.info("%s: %s", target.trunk or target.peer, error)
            ending = Ending(status=503, reason=str(error) or "the way there is down")
            ways = ()
        for way in ways:
            try:
                flow = await way.open()
            except OSError as error:
                log.info("%s: %s", target.trunk or target.peer, error)
                ending = Ending(status=503, reason=error.strerror or str(error))
                way.failed()
                continue
            finally:
                if self.ending is not None:
                    raise CallRefused(self.ending.status, self.ending.words)
            # The last one gets all the time that SIP, or the caller, allows.
            patience = None if way is ways[-1] else target.patience
            ending = await self._dial_by(target, flow, like, patience)
            if ending is None:
                return
            if self.ending is not None or not _failed_over(ending):
                break
            way.failed()
        assert ending is not None
        ending = self.ending or ending  # why we gave up says more than that it was cancelled
        self._finish(ending.status, ending.reason, by_peer=ending.by_peer)
        session = self.session
        redirects = tuple(session.redirects) if isinstance(session, OutgoingSession) else ()
        raise CallRefused(ending.status, ending.words, redirects)

    async def _dial_by(
        self, target: Target, flow: Flow, like: SessionDescription | None, patience: float | None
    ) -> Ending | None:
        """Call over one flow; None once answered."""
        secure = target.secure or flow.transport == "tls"
        zrtp = like is not None and like.announces_zrtp
        profiles = _profiles(target.srtp, secure=secure, zrtp=zrtp)
        if target.browser:
            profiles = [Profile.BROWSER]
        if target.inner and zrtp:
            profiles = [Profile.PLAIN]  # the phones key each other, and nobody on the way may
        ending = await self._attempt(target, flow, like, profiles[0], patience)
        if ending is not None and ending.status in (415, 488, 606) and len(profiles) > 1:
            ending = await self._attempt(target, flow, like, profiles[1], patience)
        return ending

    async def _attempt(
        self,
        target: Target,
        flow: Flow,
        like: SessionDescription | None,
        profile: Profile,
        patience: float | None,
    ) -> Ending | None:
        self.profile = profile
        self._place(self._stack.host_towards(flow, target.behind), target.behind or flow.remote[0])
        request = self._stack.new_request(
            "INVITE",
            target.uri,
            from_uri=target.from_uri,
            to_uri=target.to_uri or target.uri,
            from_name=target.from_name,
        )
        request.set("max-forwards", str(self._forwards))
        request.set("route", target.routes)
        for name, value in target.headers.items():
            request.set(name, value)
        try:
            request.body = await self.offer(like, profile=profile)
        except OSError as error:
            return Ending(status=503, reason=str(error))
        except NotAcceptable as error:
            return Ending(status=488, reason=str(error))
        if self.ending is not None:
            self._release_media()
            return self.ending
        self._final = asyncio.get_running_loop().create_future()
        session = self.session = OutgoingSession(
            self._stack,
            self,
            flow,
            request,
            credentials=DigestClient(target.credentials) if target.credentials else None,
            contact_user=target.contact_user,
            direct=target.direct,
        )
        self.listener.leg_dialog(self)
        if patience is not None:
            await asyncio.wait((self._final,), timeout=patience)
            if not self._final.done() and not session.heard:
                # Taken back as RFC 3261 §9.1 wants it: should it answer yet, it gets its CANCEL.
                session.end(487, _SILENT)
        ending = await self._final
        self._final = None
        return ending

    @property
    def host(self) -> str:
        """The address its phone is at; the name of the trunk for a carrier's."""
        return self.trunk or self.device.partition(":")[2].rpartition(":")[0]

    # ── descriptions ────────────────────────────────────────────────────────────────────
    async def take_offer(self, body: bytes) -> SessionDescription:
        """The far side's offer. Raises `SdpError`, `NotAcceptable`, OSError."""
        before = self.anchor
        if before is not None and before.offers:  # ours, which it did not take: this is instead
            self._anchor_anew()
        try:
            inner = await self.anchor.inward(body, offer=True) if self.anchor is not None else body
        except EngineError:
            if not self._try_another():
                raise
            return await self.take_offer(body)
        return await self.media.take_offer(inner)

    async def take_answer(self, body: bytes) -> SessionDescription:
        """The far side's answer. Raises `SdpError`, `NotAcceptable`, OSError."""
        if self.anchor is not None:
            body = await self.anchor.inward(body, offer=False)
        return self.media.take_answer(body)

    async def offer(self, like: SessionDescription | None = None, *, profile: Profile) -> bytes:
        """An offer to the far side, as `MediaSession.offer` makes it. Raises OSError, and
        `NotAcceptable` for what we cannot offer."""
        if self.anchor is None:
            if profile is Profile.BROWSER:
                raise NotAcceptable("browsers are reached by an rtpengine only")
            return await self.media.offer(like, profile=profile)
        body = await self.media.offer(like, profile=Profile.PLAIN)
        try:
            return await self.anchor.outward(body, offer=True, profile=profile)
        except EngineError:
            if not self._try_another():
                raise
            return await self.offer(like, profile=profile)

    async def answer_with(self, like: SessionDescription | None) -> bytes:
        """An answer to the far side, as `MediaSession.answer` makes it. Raises `NotAcceptable`,
        OSError."""
        body = self.media.answer(like)
        if self.anchor is not None:
            body = await self.anchor.outward(body, offer=False)
        return body

    async def restore(self, remote: SessionDescription | None) -> None:
        """Go on as agreed before: the other side did not want the far side's new offer."""
        self.media.restore(remote)
        if self.anchor is not None:
            try:
                await self.anchor.restore()
            except EngineError as error:
                log.warning("%s", error)

    def _anchor_anew(self) -> None:
        """Have another engine carry the media, or nobody but us; the one before is left."""
        before = self.anchor
        if before is not None:
            before.close()
        self.anchor = self._new_anchor(self.id)
        if self.anchor is not None:
            self.anchor.on_gone = self._on_engine_gone
        if before is not None:
            self._place(before.far_host, before.signalling_host)

    def _try_another(self) -> bool:
        """Leave an engine that does not do what it should, while the far side knows nothing of it
        yet."""
        before = self.anchor
        if before is None or before.begun or self.ending is not None:
            return False
        self._anchor_anew()
        return True

    def _on_engine_gone(self) -> None:
        self._moving = asyncio.ensure_future(self._move())

    async def _move(self) -> None:
        """The engine is gone: tell the far side where its sound goes by now."""
        before, session, local = self.anchor, self.session, self.media.local
        if before is None or self.ending is not None:
            return
        if session is None or local is None or not self.answered:
            self.hang_up("what carried its sound is gone", 503)
            return
        profile, why = before.profile_now, ""
        self._anchor_anew()
        for attempt in range(MOVES):
            if self.anchor is not None and self.anchor.agreed:  # the far side moved, and we with it
                self.on_media_changed()
                return
            try:
                offer = await self.offer(local, profile=profile)
                response = await session.reoffer(offer)
                if response.status < 300:
                    await self.take_answer(response.body)
                    self.on_media_changed()
                    return
                why = f"{response.status} {response.reason}"
                if response.status not in ASK_AGAIN or self.ending is not None:
                    break
            except EngineError as error:
                why = str(error)
                self._anchor_anew()
            except (SdpError, OSError) as error:
                why = str(error)
                break
            # The other side moves at the same time, and both ask again (RFC 3261 §14.1).
            await asyncio.sleep(random.uniform(0.2, 1.0 + attempt))
        log.warning("%s does not follow to another engine: %s", self.peer, why)
        self.hang_up("what carried its sound is gone", 503)

    def _place(self, host: str, signalling_host: str) -> None:
        """Which address of ours the far side is told, and where its signalling comes from."""
        if self.anchor is None:
            self.media.signalling_host = signalling_host
            self.media.place(host)
        else:
            self.anchor.far_host, self.anchor.signalling_host = host, signalling_host
            self.media.signalling_host = EXACTLY
            self.media.place(self.anchor.inside)

    def _take(self, body: bytes, then: Callable[[bytes], None]) -> None:
        """Let `then` have an answer of the far side's, once the engine had it. What comes later
        comes after it."""
        before = self._taking
        if self.anchor is None or not (body or before):
            then(body)
        else:
            self._taking = asyncio.ensure_future(self._take_by(self.anchor, before, body, then))

    async def _take_by(
        self,
        anchor: Anchor,
        before: asyncio.Task[None] | None,
        body: bytes,
        then: Callable[[bytes], None],
    ) -> None:
        if before is not None:
            await asyncio.wait((before,))
        try:
            if body:
                body = await anchor.inward(body, offer=False)
        except SdpError:
            pass  # which is told by whoever takes it, as without an engine
        except EngineError as error:
            log.warning("%s", error)
            body = b""
        if self.ending is None:
            then(body)

    # ── what apps and bridges do with it ────────────────────────────────────────────────
    @property
    def secured(self) -> bool:
        """Whether its media are encrypted on the way to the far side, or were at any time."""
        return self.media.secured or self.keyed

    @property
    def keyed(self) -> bool:
        """Whether an engine has the keys of its media."""
        return self.anchor is not None and self.anchor.keyed

    @property
    def call_id(self) -> str:
        """The SIP Call-ID."""
        return self.session.call_id if self.session else ""

    @property
    def state(self) -> CallState:
        if self.ending is not None:
            return CallState.ENDED
        return self.session.state if self.session else CallState.DIALING

    def ring(self) -> None:
        """Tell the caller it rings."""
        if isinstance(self.session, IncomingSession):
            self.session.progress(180)

    def progress(self, body: bytes) -> None:
        """Early media: the caller hears what the far side sends."""
        if isinstance(self.session, IncomingSession):
            self.session.progress(183, body)

    async def answer(self, like: SessionDescription | None = None) -> None:
        """Answer the caller: with what the other side agreed to, or without `like` with our own
        codecs, for an app. A caller who left the offer to us answers it first. Raises
        `CallRefused`."""
        session = self.session
        if not isinstance(session, IncomingSession) or session.state is not CallState.RINGING:
            return
        late = session.late_offer
        try:
            if late:
                secure = session.flow.transport == "tls"
                policy = self.anchor.policy if self.anchor is not None else self.media.policy
                self.profile = _profiles(policy, secure=secure)[0]
                body = await self.offer(like, profile=self.profile)
            else:
                body = await self.answer_with(like)
        except SdpError as error:
            raise CallRefused(488, str(error)) from error
        except OSError as error:
            raise CallRefused(503, "no free media port") from error
        if self.ending is not None:
            return
        session.accept(body)
        if late:
            await self.until_over(self._agreed.wait())
        if self.ending is None:
            self._note_answered()

    async def wake(self) -> None:
        """Take this side off the hold that somebody put it on who is gone."""
        session, local = self.session, self.media.local
        if session is None or local is None or local.two_way or self.ending is not None:
            return
        try:
            offer = await self.offer(local.both_ways(), profile=self.media.profile)
            response = await session.reoffer(offer)
            if response.status < 300:
                await self.take_answer(response.body)
        except (SdpError, OSError) as error:
            log.info("%s could not be taken off hold: %s", self.peer, error)

    async def talk(self) -> bool:
        """Ask a phone that rings to take the call by itself; False if it does not."""
        session = self.session
        return isinstance(session, OutgoingSession) and await session.talk()

    def hang_up(self, reason: str = "", status: int = 487) -> None:
        """End this leg, however far it got."""
        if self.ending is None and self.session is not None:
            self.session.end(status, reason)
        self._finish(status, reason, by_peer=False)

    async def ended(self) -> Ending:
        """Wait for the end."""
        await asyncio.wait((self.over,))  # which, unlike `await`, does not cancel it with us
        return self.over.result()

    @property
    def audio(self) -> AudioChannel:
        """The leg's sound as PCM; taken over from a bridge if there is one. Raises `LegOver`,
        and `CallRefused` when there is no codec for it."""
        return self.audio_at(RATE)

    def audio_at(self, rate: int) -> AudioChannel:
        """The same at another sampling rate, for two legs with wideband codecs."""
        if self.ending is not None:
            raise LegOver(self.ending)
        if self._audio is not None and self._audio.rate != rate:
            self.release_audio()
        if self._audio is None:
            port, terms = self.media.audio_port, self.media.audio_terms
            if port is None or terms is None:
                raise CallRefused(488, "no audio codec we can speak")
            self._audio = AudioChannel(port, self.clock, terms, rate)
            self._audio.on_digit = self._pressed
            self.media.on_agreed = self._adopt_terms
        return self._audio

    def stand_alone(self) -> None:
        """Belong to no bridge any more: what one set is undone."""
        self.reoffer = self.answer_locally
        self.on_media_changed = self.on_picture_lost = lambda: None
        self.on_digit = self._take_digit

    def forget_stream(self) -> None:
        """What the far side heard last came from elsewhere: to go on with the packets that we sent
        before would be to go back."""
        if self.media.audio_port is not None:
            self.media.audio_port.last = b""

    def release_audio(self) -> None:
        """Leave the ports to a relay."""
        if self._audio is not None:
            self._audio.close()
            self._audio = None

    def _adopt_terms(self) -> None:
        """A re-INVITE changed what is spoken: the sound goes on with that."""
        terms = self.media.audio_terms
        if self._audio is not None and terms is not None and terms != self._audio.terms:
            self._audio.adopt(terms)

    async def play(self, pcm: bytes) -> None:
        """Play to the end, or to the end of the leg."""
        self.audio.play(pcm)
        await self.until_over(self.audio.played())

    async def until_over(self, wanted: Awaitable[object]) -> bool:
        """Wait for something, or for the leg's end: False if that came first. What the wanted
        thing raises is raised here."""
        task = asyncio.ensure_future(wanted)
        try:
            await asyncio.wait((task, self.over), return_when=asyncio.FIRST_COMPLETED)
            if self.over.done():
                return False
            await task
            return True
        finally:
            task.cancel()

    @contextlib.contextmanager
    def looping(self, pcm: bytes) -> Iterator[None]:
        """Play over and over while the block runs."""
        self.audio.repeat(pcm)
        try:
            yield
        finally:
            if self._audio is not None:
                self._audio.stop()

    async def digit(self) -> str:
        """The next key pressed."""
        _ = self.audio
        return await self._digits.get()

    async def interruption(self) -> str:
        """The key that is pressed while something is played, which ends it; empty when it was
        played to its end."""
        pressing = asyncio.ensure_future(self.digit())
        playing = asyncio.ensure_future(self.audio.played())
        try:
            await asyncio.wait((pressing, playing, self.over), return_when=asyncio.FIRST_COMPLETED)
            if not pressing.done():
                return ""
            if self._audio is not None:
                self._audio.stop()
            return pressing.result()
        finally:
            pressing.cancel()
            playing.cancel()

    async def digits(self, count: int, within: float) -> str:
        """The next keys pressed: `count` of them, or those pressed `within` so many seconds."""
        _ = self.audio
        pressed = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while len(pressed) < count:
                    pressed += await self._digits.get()
        return pressed

    def tell_key(self, key: str) -> None:
        """Tell the far side a key in signalling."""
        if self.session is not None:
            self.session.inform(DTMF_RELAY, info_body(key))

    def ask_for_picture(self) -> None:
        """Ask the far side for a whole picture of each video it sends, in the way it understands:
        PLI (RFC 4585 §6.3.1), FIR (RFC 5104 §4.3.1), or else INFO (RFC 5168)."""
        if self.anchor is not None and self.anchor.plugged:
            self._asking = asyncio.ensure_future(self._ask_elsewhere())
        else:
            ports = self.media.ports
            self._ask([port.source if port is not None and port.received else 0 for port in ports])

    async def _ask_elsewhere(self) -> None:
        """The same where an engine knows what comes."""
        await self.measure()
        self._ask(self.counts.sources)

    def _ask(self, sources: Sequence[int]) -> None:
        """`sources` are the SSRCs of what the far side sends, by streams; one that sends nothing
        yet begins with a whole picture."""
        reporter = int(self.id, 16)
        about = report(reporter, 0, 0, 0, 0, None)  # feedback does not go alone (RFC 4585 §3.1)
        for index, (port, source) in enumerate(zip(self.media.ports, sources, strict=False)):
            described = self.media.described(index)
            if port is None or described is None or described[1].kind != "video" or not source:
                continue
            feedback = " ".join(described[1].values("rtcp-fb"))
            if "nack pli" in feedback and not port.unread:
                port.send_rtcp(about + pli(reporter, source))
            elif "ccm fir" in feedback and not port.unread:
                self._pictures_asked += 1
                port.send_rtcp(about + fir(reporter, source, self._pictures_asked))
            elif self.session is not None:
                self.session.inform(MEDIA_CONTROL, FAST_UPDATE)

    def heard_lately(self, now: float) -> float:
        """Seconds since the last packet came in; 0 where silence is right: while one side is
        on hold or only watches, or before anything was agreed."""
        received = sum(port.stats.received for port in self.media.ports if port is not None)
        if self.anchor is not None:
            received += self.anchor.traffic.received
        remote, local = self.media.remote, self.media.local
        two_way = remote is not None and remote.two_way and local is not None and local.two_way
        if received != self._heard or not self.answered or not two_way:
            self._heard, self.heard_at = received, now
        return now - self.heard_at

    @property
    def counts(self) -> Traffic:
        """What flowed so far, as far as it is known."""
        if self.anchor is not None:
            return self.anchor.traffic
        streams = [port.stats for port in self.media.ports if port is not None]
        port = self.media.audio_port
        return Traffic(
            received=sum(stream.received for stream in streams),
            sent=sum(stream.sent for stream in streams),
            lost=sum(stream.lost for stream in streams),
            lost_by_peer=sum(stream.lost_by_peer for stream in streams),
            jitter_ms=max((stream.jitter_ms for stream in streams), default=0.0),
            quality=port.quality if port is not None and port.received else None,
        )

    async def measure(self) -> None:
        """Ask an engine that carries the sound elsewhere what flows."""
        if self.anchor is not None and self.anchor.plugged and self.ending is None:
            try:
                await self.anchor.measure()
            except EngineError as error:
                log.info("%s", error)

    def loudness(self) -> float | None:
        """How loud the far side is just now, in dBFS; None where we cannot hear it, -100 where
        nothing came lately."""
        port, terms = self.media.audio_port, self.media.audio_terms
        elsewhere = self.anchor is not None and self.anchor.plugged
        if port is None or terms is None or port.unread or elsewhere:
            return None
        now = time.monotonic()
        if port.received != self._loud_at[0]:
            self._loud_at = port.received, now
        elif now - self._loud_at[1] > QUIET_AFTER:
            return SILENCE
        return loudness(port.latest, terms)

    # ── what the session tells ──────────────────────────────────────────────────────────
    def on_progress(self, status: int, body: bytes) -> None:
        self.listener.leg_ringing(self)
        self._take(body, self._progressed)

    def _progressed(self, body: bytes) -> None:
        if body:
            try:
                self.early = self.media.take_answer(body)
            except SdpError:
                self.early = None
        self.on_early(self)

    def on_answered(self, body: bytes) -> None:
        self._take(body, self._taken)

    def _taken(self, body: bytes) -> None:
        try:
            if body or self.early is None:
                self.media.take_answer(body)
        except SdpError as error:
            status = 488 if isinstance(error, NotAcceptable) else 400
            if self.session is not None:
                self.session.end(status, str(error))
            return
        self._note_answered()
        if self._final is not None and not self._final.done():
            self._final.set_result(None)

    async def on_reoffer(self, body: bytes) -> bytes | int:
        if not body:  # "make me an offer": what we have is what we offer
            if self.media.local is None:
                return 488
            self.profile = self.media.profile
            try:
                return await self.offer(self.media.local, profile=self.profile)
            except OSError:
                return 503
            except NotAcceptable:
                return 488
        return await self.reoffer(body)

    def on_late_answer(self, body: bytes) -> None:
        self._take(body, self._late_answer)

    def _late_answer(self, body: bytes) -> None:
        try:
            self.media.take_answer(body)
        except SdpError as error:
            if self.session is not None:
                self.session.end(488, str(error))
            return
        self._agreed.set()
        self.on_media_changed()

    def on_info(self, request: Request) -> None:
        """Keys may come as INFO (`application/dtmf-relay`), and requests for a whole picture; of
        others nothing is used."""
        kind = request.get("content-type")
        if tells_fast_update(kind, request.body):
            self.on_picture_lost()
        key = info_key(kind, request.body)
        if key:
            (self._audio or self).on_digit(key)

    def on_refer(self, transaction: ServerTransaction) -> None:
        self.listener.leg_refer(self, transaction)

    def on_ended(self, status: int, reason: str, by_peer: bool) -> None:
        if self._final is not None and not self._final.done():
            # Still dialling: `dial` decides whether that was the end, or the next attempt.
            self._final.set_result(Ending(status=status, reason=reason, by_peer=by_peer))
            return
        self._finish(status, reason, by_peer=by_peer)

    def dissolve(self) -> None:
        """Let go of all that knows this leg, when nobody will ask for it again."""
        self.session = None
        self.on_early = lambda _: None
        self.on_digit = lambda _: None
        self.on_media_changed = self.media.on_agreed = self.on_picture_lost = lambda: None
        self.reoffer = _gone

    async def answer_locally(
        self,
        body: bytes,
        like: Callable[[SessionDescription | None], SessionDescription | None] = lambda _: None,
    ) -> bytes | int:
        """The answer to a re-INVITE that concerns nobody else: with our own codecs, or what
        `like` makes of the offer."""
        before = self.media.remote
        try:
            offered = await self.take_offer(body)
            return await self.answer_with(like(offered))
        except (NotAcceptable, CallRefused):
            await self.restore(before)
            return 488
        except (SdpError, ParseError):
            return 400
        except OSError:
            return 503

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _pressed(self, key: str) -> None:
        self.on_digit(key)

    def _take_digit(self, digit: str) -> None:
        if not self._digits.full():
            self._digits.put_nowait(digit)

    def _note_answered(self) -> None:
        self.answered = True
        self.heard_at = asyncio.get_running_loop().time()
        self.listener.leg_answered(self)

    def _finish(self, status: int, reason: str, *, by_peer: bool) -> None:
        if self.ending is not None:
            return
        self.ending = Ending(status=status, reason=reason, by_peer=by_peer)
        self.release_audio()
        self.over.set_result(self.ending)
        self.listener.leg_ended(self)
        self._release_media()

    def _release_media(self) -> None:
        self.media.close()
        if self.anchor is not None:
            self.anchor.close(lambda: self.listener.leg_measured(self))


_SILENT = "it does not answer"


async def _gone(_: bytes) -> int:
    """The answer to a new offer for a leg that is over."""
    return 481


def _failed_over(ending: Ending) -> bool:
    """Whether a call that ended so is tried at the next server: never when somebody, or
    somebody's phone, has spoken (RFC 3263 §4.3)."""
    return (ending.status == 503 and ending.by_peer) or ending.reason is _SILENT


def _profiles(policy: SrtpPolicy, *, secure: bool, zrtp: bool = False) -> list[Profile]:
    """What to offer, in order. Where signalling is encrypted, demand SRTP first; where it is
    not, a phone that would refuse it outright is more likely than one that must have it. With
    `zrtp` the caller's phone would agree on keys with the other one, if we leave them the
    choice."""
    if policy is SrtpPolicy.OFF:
        return [Profile.PLAIN]
    if policy is SrtpPolicy.REQUIRE:
        return [Profile.SECURE]
    if secure and zrtp:
        return [Profile.OPPORTUNISTIC, Profile.SECURE]
    if secure:
        return [Profile.SECURE, Profile.PLAIN]
    return [Profile.OPPORTUNISTIC]
