"""A leg: one SIP dialog and its media. What a call is made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pbx.calls.cause import Ending
from pbx.media.audio import AudioChannel
from pbx.media.clock import MediaClock
from pbx.media.codecs import RATE
from pbx.media.keyframe import FAST_UPDATE, MEDIA_CONTROL, fir, pli, tells_fast_update
from pbx.media.keys import DTMF_RELAY, info_body, info_key
from pbx.media.loudness import QUIET_AFTER, SILENCE, loudness
from pbx.media.rtcp import report
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
    ) -> None:
        self.id = secrets.token_hex(4)
        self.peer = peer
        self.direction = direction
        self.trunk = trunk
        self.device = device
        self.inner = inner
        "Whether another program of this exchange is there, which obeys the phone beyond it."
        self.media = media
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

    # ── making one ──────────────────────────────────────────────────────────────────────
    def take(self, transaction: InviteServerTransaction, *, direct: bool, behind: str = "") -> None:
        """Become the callee's end of an INVITE, of a phone that is `behind` a proxy of ours. Raises
        `ParseError`."""
        self.session = IncomingSession(self._stack, self, transaction, direct=direct)
        self.media.signalling_host = behind or transaction.flow.remote[0]
        self.media.place(self._stack.host_towards(transaction.flow, behind))
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
        self.media.signalling_host = target.behind or flow.remote[0]
        secure = target.secure or flow.transport == "tls"
        zrtp = like is not None and like.announces_zrtp
        profiles = _profiles(target.srtp, secure=secure, zrtp=zrtp)
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
        self.media.place(self._stack.host_towards(flow, target.behind))
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
            request.body = await self.media.offer(like, profile=profile)
        except OSError as error:
            return Ending(status=503, reason=str(error))
        if self.ending is not None:
            self.media.close()
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

    # ── what apps and bridges do with it ────────────────────────────────────────────────
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
                self.profile = _profiles(self.media.policy, secure=secure)[0]
                body = await self.media.offer(like, profile=self.profile)
            else:
                body = self.media.answer(like)
        except SdpError as error:
            raise CallRefused(488, str(error)) from error
        except OSError as error:
            raise CallRefused(503, "no free media port") from error
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
            offer = await self.media.offer(local.both_ways(), profile=self.media.profile)
            response = await session.reoffer(offer)
            if response.status < 300:
                self.media.take_answer(response.body)
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
        reporter = int(self.id, 16)
        about = report(reporter, 0, 0, 0, 0, None)  # feedback does not go alone (RFC 4585 §3.1)
        for index, port in enumerate(self.media.ports):
            described = self.media.described(index)
            if port is None or described is None or described[1].kind != "video":
                continue
            if not port.received:
                continue  # it begins with a whole one
            feedback = " ".join(described[1].values("rtcp-fb"))
            if "nack pli" in feedback and not port.unread:
                port.send_rtcp(about + pli(reporter, port.source))
            elif "ccm fir" in feedback and not port.unread:
                self._pictures_asked += 1
                port.send_rtcp(about + fir(reporter, port.source, self._pictures_asked))
            elif self.session is not None:
                self.session.inform(MEDIA_CONTROL, FAST_UPDATE)

    def heard_lately(self, now: float) -> float:
        """Seconds since the last packet came in; 0 where silence is right: while one side is
        on hold or only watches, or before anything was agreed."""
        received = sum(port.stats.received for port in self.media.ports if port is not None)
        remote, local = self.media.remote, self.media.local
        two_way = remote is not None and remote.two_way and local is not None and local.two_way
        if received != self._heard or not self.answered or not two_way:
            self._heard, self.heard_at = received, now
        return now - self.heard_at

    def loudness(self) -> float | None:
        """How loud the far side is just now, in dBFS; None where we cannot hear it, -100 where
        nothing came lately."""
        port, terms = self.media.audio_port, self.media.audio_terms
        if port is None or terms is None or port.unread:
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
        if body:
            try:
                self.early = self.media.take_answer(body)
            except SdpError:
                self.early = None
        self.on_early(self)

    def on_answered(self, body: bytes) -> None:
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
            return await self.media.offer(self.media.local, profile=self.profile)
        return await self.reoffer(body)

    def on_late_answer(self, body: bytes) -> None:
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
            offered = await self.media.take_offer(body)
            return self.media.answer(like(offered))
        except (NotAcceptable, CallRefused):
            self.media.restore(before)
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
        self.media.close()


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
