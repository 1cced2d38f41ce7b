"""The exchange: takes what the SIP stack brings, checks it, routes it and runs calls."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from sipmessage import Via

from pbx.about import about
from pbx.calls.call import MAX_FORWARDS, Call, Refer
from pbx.calls.cause import Ending
from pbx.calls.diversion import Outside, Phones, Ring
from pbx.calls.leg import Leg, Target, Way
from pbx.calls.numbers import from_trunk, region_of_zone
from pbx.calls.parking import Parking
from pbx.calls.router import (
    DialTrunk,
    Plan,
    Privacy,
    Refuse,
    RingExtension,
    RunApp,
    RunScript,
    route_from_extension,
    route_from_trunk,
    without_privacy_code,
)
from pbx.calls.services import Visit
from pbx.calls.wishes import ANONYMOUS
from pbx.course import Courses
from pbx.events import (
    AddressBanned,
    CallTraced,
    DeviceRegistered,
    DeviceUnregistered,
    HandshakeFailed,
    LoginFailed,
    TraceLine,
    TrunkChanged,
)
from pbx.guard import Guard
from pbx.media.anchor import Anchor, anchored
from pbx.media.clock import MediaClock
from pbx.media.port import RtpPorts
from pbx.media.rtpengine import Rtpengines
from pbx.media.sdp import NotAcceptable, SdpError, SessionDescription
from pbx.media.session import MediaSession
from pbx.media.speech import Speaker
from pbx.media.srtp import SrtpPolicy
from pbx.nat import PublicAddress
from pbx.nodes import USER, Nodes, Passed, device_of
from pbx.overload import Overload
from pbx.ports import (
    Account,
    CallRefused,
    Directory,
    EventSink,
    Extension,
    Gatekeeper,
    Permit,
    SavedBinding,
    Trunk,
)
from pbx.reach import Reach
from pbx.sip.body import ACCEPTED, sdp_of
from pbx.sip.digest import DigestServer, Verdict
from pbx.sip.inspection import refusal
from pbx.sip.locate import Locator, is_address
from pbx.sip.message import ParseError, Request, checked, split_commas
from pbx.sip.registrar import Binding, Registrar
from pbx.sip.session_timer import MIN_SE, too_brief
from pbx.sip.stack import ALLOW, Incoming, Stack
from pbx.sip.transaction import InviteServerTransaction, ServerTransaction, Timers
from pbx.sip.transport import Address, Flow, Transport
from pbx.sip.uri import PLAIN_USER, dialled_user, parse_uri
from pbx.text import printable
from pbx.trace import Recorder
from pbx.trunks import NOBODY, TrunkLink, is_private

log = logging.getLogger(__name__)

WATCH_EVERY = 5.0
"Seconds between looks for legs that went silent."
FEW_CALLS = 10
"Calls one extension may always have, however few there may be in all."
TRACE_DELAY = 1.0
"Seconds after a call's end until its trace is taken: the last answers are still under way."
METHODS = (*ALLOW.split(", "), "REGISTER", "MESSAGE", "SUBSCRIBE")
EXTENSIONS = frozenset({"100rel", "timer", "path", "outbound"})
"Option tags a Require may name (RFC 3261 §20.32)."
BANNED = "x_encryptotel_ban"
"Tells a proxy in front for how many seconds whoever it brought is banned."
_NOBODY = secrets.token_hex(16)
"The secret of users that do not exist, so that checking them costs the same."


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the exchange needs to know about itself. Times in seconds."""

    domain: str
    advertise: str
    media_host: str
    rtp_first: int
    rtp_last: int
    region: str = "US"
    voice: str = "en-us"
    ring_timeout: float = 30.0
    silence_timeout: float = 60.0
    max_duration: float = 14_400.0
    max_calls: int = 500
    requests_per_second: float = 50.0
    failures: int = 10
    ban_seconds: float = 300.0
    contact_user: str = "encryptotel"
    nameserver: str = ""
    failover_after: float = 4.0
    public_address: str = ""
    stun_server: str = ""
    local_networks: Sequence[str] = ()
    proxies: Sequence[str] = ()
    "Addresses of proxies in front of us: what they bring comes from whoever they say."
    rtpengines: Sequence[Address] = ()
    "Where they take questions by TCP; they carry the media of all calls if there are any."
    inside: str = ""
    "Our address as they see it, if it is another than what phones are told."


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What a call that comes in is to become."""

    plan: Plan | Ring
    called: str
    caller: str
    name: str
    kind: str
    user: str = ""
    hidden: bool = False


class Exchange:
    """A whole private branch exchange, given who there is and whom to tell."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        gatekeeper: Gatekeeper,
        emit: EventSink,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timers: Timers | None = None,
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.gatekeeper = gatekeeper
        self.emit = emit
        self.calls: dict[str, Call] = {}
        self.trunks: dict[str, TrunkLink] = {}
        self.speaker = Speaker(settings.voice)
        self.reach = Reach(self)
        self.courses = Courses(self)
        self.hides: Callable[[str], bool] = lambda extension: False
        "Whether the call that an extension makes now shows no number; asked once a call."
        self.mask: Callable[[str, str], str] = lambda extension, number: ""
        "What an extension sees instead of somebody's number; empty where it may see that."
        self.stands_for: Callable[[str, str], str] = lambda extension, number: ""
        "Whom a number stands for when an extension calls it; empty where for nobody."
        self.on_text: Callable[[Incoming], None] = lambda one: one.refuse_with(405)
        "Takes a MESSAGE."
        self.on_subscribe: Callable[[Incoming], None] = lambda one: one.refuse_with(489)
        "Takes a SUBSCRIBE."
        self.on_stars: Callable[[Call, Leg], None] = lambda call, leg: None
        "Told of a phone of ours that keyed two stars while it talks."
        self.parking = Parking()
        self.on_refer: Refer = _decline
        "Takes a REFER of a leg."
        self.now = now
        self.stack = Stack(self, advertise=settings.advertise, timers=timers)
        self.stack.on_flow_closed = self._on_flow_closed
        self.nodes = Nodes(self.stack, settings.domain)
        self._locator = Locator(settings.nameserver)
        self._public = self.stack.public = self._public_address()
        self._digest = DigestServer(settings.domain, lambda: now().timestamp())
        self.registrar = Registrar(self._on_bound, self._on_unbound, now)
        self.guard = Guard(
            requests_per_second=settings.requests_per_second,
            failures=settings.failures,
            ban_seconds=settings.ban_seconds,
            is_known=self._is_known,
            on_ban=self._on_ban,
        )
        self.overload = Overload(
            self.guard,
            is_device=self._is_device_at,
            is_repeat=self.stack.transactions.knows,
            is_proxy=lambda host: host in self.settings.proxies,
        )
        self._watch_transports()
        self._recorder = Recorder(now)
        self.stack.on_message = self._recorder.on_message
        self.stack.on_stray = self._recorder.on_stray
        self.stack.whose = self._recorder.call_of
        self._clock = MediaClock()
        self.engines = Rtpengines(settings.rtpengines)
        self._ports = RtpPorts(settings.media_host, settings.rtp_first, settings.rtp_last)
        self.draining = self._shut = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._watch: asyncio.Task[None] | None = None
        self._traces: dict[str, asyncio.TimerHandle] = {}

    # ── life ────────────────────────────────────────────────────────────────────────────
    async def listen(
        self, transport: Transport, address: Address, tls: ssl.SSLContext | None = None
    ) -> Address:
        """Open one SIP port and give its address; raises OSError when it is taken."""
        if transport == "udp":
            return await self.stack.transports.listen_udp(address)
        return await self.stack.transports.listen_stream(transport, address, tls)

    def start(self, saved: Sequence[SavedBinding] = ()) -> None:
        """Begin to serve; `saved` are the registrations of the last run."""
        for one in saved:
            binding = self.restored(one)
            if binding is not None:
                self.registrar.restore(binding)
        self._public.start()
        self.engines.start()
        self.refresh()
        with about(""):
            self._watch = asyncio.ensure_future(self._watch_silence())
        self.overload.start()

    def refresh(self) -> None:
        """Take up changes of the directory: new trunks start, removed ones stop."""
        wanted = {trunk.name: trunk for trunk in self.directory.trunks()}
        for name, link in list(self.trunks.items()):
            if wanted.get(name) != link.trunk:
                del self.trunks[name]
                asyncio.ensure_future(link.stop())  # noqa: RUF006  # it ends within a second
        for name, trunk in wanted.items():
            if name not in self.trunks:
                link = TrunkLink(
                    trunk,
                    self.stack,
                    self._on_trunk,
                    self._locator,
                    patience=self.settings.failover_after,
                    ready=self._public.known,
                )
                self.trunks[name] = link
                link.start()
            self.trunks[name].patience = self.settings.failover_after

    def reconfigure(self, settings: Settings) -> None:
        """Go on with other limits, times and voice; calls that go on keep theirs. What sockets
        and dialogs were made with (domain, addresses, RTP range) must be as it was."""
        if settings.voice != self.settings.voice:
            self.speaker = Speaker(settings.voice)
        self.settings = settings
        self.guard.reconfigure(
            requests_per_second=settings.requests_per_second,
            failures=settings.failures,
            ban_seconds=settings.ban_seconds,
        )

    async def drain(self, seconds: float) -> None:
        """Take no new calls, leave the trunks, and give calls time to end by themselves. Whoever
        is at home here and not yet elsewhere, such as those who talk, goes on as before: others
        would send them here."""
        trunks = () if self.draining else self.trunks.values()
        self.draining = True
        leaving = asyncio.gather(*(link.stop() for link in trunks))
        if self.calls and seconds > 0:
            log.info("waiting up to %.0f s for %d calls to end", seconds, len(self.calls))
            try:
                await asyncio.wait_for(self._idle.wait(), seconds)
            except TimeoutError:
                log.info("ending %d calls", len(self.calls))
        await leaving

    def share(self, secret: str) -> None:
        """Be one of several who know each other by a secret."""
        self.nodes.secret = secret
        self._digest.share(secret)

    def shut(self) -> None:
        """Take no calls of anybody any more."""
        self.draining = self._shut = True

    def hang_up_all(self, reason: str) -> None:
        """End every call."""
        for call in list(self.calls.values()):
            call.hang_up(reason)

    async def stop(self) -> None:
        """End the calls and close; `drain` first to be polite."""
        if not self.draining:
            await self.drain(0)
        self.hang_up_all("the exchange is stopping")
        try:
            await asyncio.wait_for(self._idle.wait(), 5)
        except TimeoutError:
            log.error("%d calls did not end in time", len(self.calls))
        for call_id, timer in list(self._traces.items()):
            timer.cancel()
            self._emit_trace(call_id)
        if self._watch is not None:
            self._watch.cancel()
        self.overload.stop()
        self._public.stop()
        self.registrar.close()
        await self.stack.close()
        await self.engines.stop()

    # ── commands ────────────────────────────────────────────────────────────────────────
    def hang_up(self, call_id: str) -> bool:
        """End a call; False if there is none with this id."""
        call = self.calls.get(call_id)
        if call is not None:
            call.hang_up()
        return call is not None

    def trace(self, call_id: str) -> list[TraceLine]:
        """The SIP messages so far of a call going on."""
        return self._recorder.peek(call_id)

    # ── what the stack brings ───────────────────────────────────────────────────────────
    def on_request(self, incoming: Incoming) -> None:
        request = incoming.request
        refused = refusal(request, METHODS, EXTENSIONS)
        source = self.origin(incoming)
        if source != incoming.flow.remote and self.guard.is_banned(source[0]):
            seconds = f"{self.settings.ban_seconds:.0f}"  # so that the proxy need not bring more
            incoming.refuse_with(403, **{BANNED: seconds})
        elif refused is not None:
            incoming.refuse(refused)
        elif request.method == "REGISTER":
            self._on_register(incoming)
        elif request.method == "INVITE":
            self._on_invite(incoming)
        elif request.method == "MESSAGE":
            self.on_text(incoming)
        elif request.method == "SUBSCRIBE":
            self.on_subscribe(incoming)
        elif request.method == "OPTIONS":
            supported = ", ".join(sorted(EXTENSIONS))
            allow = ", ".join(METHODS)
            incoming.refuse_with(200, allow=allow, accept=ACCEPTED, supported=supported)
        else:
            incoming.refuse_with(481)  # BYE, PRACK … of no dialog

    def _on_register(self, incoming: Incoming) -> None:
        account = self._proven(incoming)
        if account is None:
            return
        number = account.extension.number
        if account.node or (incoming.request.to.uri.user or "") != number:
            incoming.refuse_with(403)
            return
        transaction = incoming.accept()
        if transaction is not None:
            self.registrar.handle(transaction, number, account.username)

    def authenticate(self, incoming: Incoming) -> Extension | None:
        """The extension a request proves to come from; else it has been answered."""
        account = self._proven(incoming)
        if account is not None and account.node:
            incoming.refuse_with(403)  # nodes pass on calls, and nothing else
            return None
        return account.extension if account else None

    def _proven(self, incoming: Incoming) -> Account | None:
        """The account a request proves to have; else it has been answered.

        A user that does not exist is challenged and checked like any other, so that neither
        the answer nor the time tells which users there are.
        """
        request, host = incoming.request, self.origin(incoming)[0]
        username = self._digest.username(request) or ""
        account = self._node() if username == USER else self.directory.account(username)
        secret = account.secret if account and account.secret else _NOBODY
        verdict = self._digest.check(request, secret, host)
        if self.guard.is_locked(host, username) and not self._is_device(incoming.flow, account):
            verdict = Verdict.BAD
        if verdict is Verdict.GOOD and account is not None and account.secret:
            if account.revoked:  # trying again is of no use (§21.4.4), and no attack
                incoming.refuse_with(403)
                return None
            incoming.flow.trust()
            return account
        if verdict is Verdict.BAD:
            self.guard.failed(host, username, "wrong passwords")
            # For a user that there is not as well, and after the answer: neither its time nor
            # that of the next one must tell which users there are.
            known = account.extension.number if account else ""
            event = LoginFailed(host=host, at=self.now(), extension=known)
            asyncio.get_running_loop().call_soon(self.emit, event)
        stale = verdict is Verdict.STALE
        incoming.refuse(self._digest.challenge(request, host, stale=stale))
        return None

    def _stays(self, number: str) -> bool:
        """Whether somebody is at home here, though we are about to stop, and can still call."""
        together = number and self.nodes.secret and not self._shut
        return bool(together) and self.nodes.where(number) is None

    def _crowded(self, caller: Extension | None) -> bool:
        """No room for another call: none at all, or one extension has taken half of it."""
        limit = self.settings.max_calls
        if len(self.calls) >= limit:
            return True
        if caller is None or len(self.calls) < max(FEW_CALLS, limit // 2):
            return False
        theirs = sum(call.caller == caller.number for call in self.calls.values())
        return theirs >= max(FEW_CALLS, limit // 2)

    def _is_device(self, flow: Flow, account: Account | None) -> bool:
        """Whether a phone with this account is registered at that very address and port: guesses
        of a neighbour must not lock it out."""
        if account is None:
            return False
        return any(
            binding.username == account.username and binding.flow.remote == flow.remote
            for binding in self.registrar.bindings(account.extension.number)
        )

    def _on_invite(self, incoming: Incoming) -> None:
        request = incoming.request
        link = self.link_of(incoming)
        account = None if link is not None else self._proven(incoming)
        if link is None and account is None:
            return
        passed = Passed.of(request) if account is not None and account.node else None
        caller = account.extension if account is not None and passed is None else None
        whose = caller.number if caller else dialled_user(request.target) if passed else ""
        if (self.draining and not self._stays(whose)) or self._crowded(caller):
            incoming.refuse_with(503, retry_after="10")
            return
        if self.stack.is_ours(request) or self.stack.transactions.is_merged(request):
            incoming.refuse_with(482)  # our own came back, or one over different ways (§8.2.2.2)
            return
        if too_brief(request):
            incoming.refuse_with(422, min_se=str(MIN_SE))
            return
        transaction = incoming.accept()
        if not isinstance(transaction, InviteServerTransaction):
            return
        incoming.flow.trust()
        transaction.reply(100)
        if link is not None:
            course = self._from_trunk(request, link)
        elif passed is not None:
            course = self._from_node(request, passed)
        else:
            assert caller is not None
            course = self._from_phone(request, caller)
        plan, trunk = course.plan, link.trunk.name if link else passed.trunk if passed else ""
        callee, user = course.called, course.user
        if isinstance(plan, DialTrunk):
            callee = plan.number
        elif isinstance(plan, RingExtension | RunScript):
            callee, user = plan.dialled, user or plan.extension.number
        elif isinstance(plan, RunApp):
            callee = plan.dialled
        seen = ANONYMOUS if course.hidden else ""
        if isinstance(plan, RingExtension):
            seen = seen or self.mask(plan.extension.number, course.caller)
        call = self.new_call(
            caller=course.caller,
            callee=callee,
            user=user,
            kind=course.kind,
            forwards=request.max_forwards - 1,
            shown=seen,
            passed=passed.call_id if passed else "",
        )
        origin = self.origin(incoming)
        leg = call.add_leg(
            peer=course.caller,
            direction="in",
            trunk=trunk,
            device=f"{transaction.flow.transport}:{origin[0]}:{origin[1]}",
            inner=passed is not None,
            srtp=link.trunk.srtp if link else caller.srtp if caller else SrtpPolicy.OFFER,
        )
        try:
            leg.take(transaction, direct=caller is None, behind=origin[0])
        except ParseError as error:
            transaction.reply(400, f"Bad Request - {error}")
            leg.hang_up(str(error), 400)
        name = "" if call.shown != course.caller else course.name
        self.run(call, self._serve(call, leg, plan, transaction, name))

    def _from_trunk(self, request: Request, link: TrunkLink) -> _Wanted:
        """A call from the telephone network."""
        plan: Plan = route_from_trunk(link.called_numbers(request), link.trunk, self.directory)
        if isinstance(plan, RingExtension) and link.comes_back(request, plan.dialled):
            plan = Refuse(status=482, reason="the call was sent on from here already")
        return _Wanted(
            plan=plan,
            called=without_privacy_code(printable(dialled_user(request.target), 80))[0],
            caller=link.sender(request),
            name=request.from_.name,
            kind="inbound",
        )

    def _from_node(self, request: Request, passed: Passed) -> _Wanted:
        """A call that another of us passed on: to who is at home here, never outside."""
        called = printable(dialled_user(request.target), 80)
        plan: Plan | Ring = route_from_extension(called, self.directory, self.settings.region)
        if not isinstance(plan, RingExtension | RunScript | RunApp):
            plan = Refuse(status=404, reason=f"{called} is not at home here")
        elif isinstance(plan, RingExtension) and passed.only_phones:
            plan = Ring(extension=plan.extension, places=(Phones(extension=plan.extension),))
        else:
            plan = replace(plan, dialled=passed.dialled or called)
        ours = self.directory.extension(passed.caller) is not None and not passed.trunk
        return _Wanted(
            plan=plan,
            called=called,
            caller=passed.caller,
            name=passed.name,
            user=passed.caller if ours and isinstance(plan, RunApp) else "",
            kind="inbound" if passed.trunk else "internal",
            hidden=passed.hidden,
        )

    def _from_phone(self, request: Request, caller: Extension) -> _Wanted:
        """A call that a phone of ours makes."""
        called, wish = without_privacy_code(printable(dialled_user(request.target), 80))
        plan = route_from_extension(called, self.directory, self.settings.region)
        hidden = self.hides(caller.number) if wish is None else wish is Privacy.HIDE
        return _Wanted(
            plan=plan,
            called=called,
            caller=caller.number,
            name=caller.name,
            user=caller.number,
            kind="outbound" if isinstance(plan, DialTrunk) else "internal",
            hidden=hidden or is_private(request),
        )

    def link_of(self, incoming: Incoming) -> TrunkLink | None:
        """The trunk a request comes from."""
        origin = self.origin(incoming)
        if origin != incoming.flow.remote:  # whatever it came by to the proxy
            return next((one for one in self.trunks.values() if one.serves(*origin)), None)
        links = self.trunks.values()
        return next((link for link in links if link.owns(incoming.request, incoming.flow)), None)

    async def _serve(
        self,
        call: Call,
        leg: Leg,
        plan: Plan | Ring,
        transaction: InviteServerTransaction,
        name: str,
    ) -> Ending:
        """The course of a call that came in. Failures before the answer reach the caller."""
        try:
            if leg.ending is not None:
                return leg.ending
            if isinstance(plan, Refuse):
                raise CallRefused(plan.status, plan.reason)
            visit = Visit(
                call=call,
                leg=leg,
                request=transaction.request,
                dialled=call.callee,
                name=name,
                offered=await self._take_offer(leg, transaction.request),
                source=leg.host,
            )
            return await self.courses.serve(visit, plan)
        except CallRefused as refused:
            leg.hang_up(refused.reason, refused.status)
            raise

    def hold(self, call: Call, permit: Permit) -> None:
        """A call uses a permit until it ends, and ends when the permit does."""
        if call.ending is not None:
            self.gatekeeper.release(permit)
            return
        call.costs.append(lambda: self.gatekeeper.release(permit))
        call.limit(permit.seconds)

    def _redirected(self, call: Call, leg: Leg, uris: Sequence[str]) -> list[Target]:
        """Where a phone sends its callers goes as if it dialled there itself, at its expense; a
        carrier may name another number to reach through it. The host in the URIs counts for
        nothing: a stranger's 3xx must not make us call other machines."""
        targets: list[Target] = []
        for uri in uris:
            try:
                called = printable(dialled_user(checked(parse_uri, uri, "contact")), 80)
                targets += self._targets_elsewhere(call, leg, called)
            except (ParseError, CallRefused) as error:
                call.notice(f"{leg.peer} sends its callers elsewhere, which fails: {error}")
            else:
                call.notice(f"{leg.peer} sends its callers to {called}.")
        return targets

    def _targets_elsewhere(self, call: Call, leg: Leg, called: str) -> list[Target]:
        link = self.trunks.get(leg.trunk)
        trunk = link.trunk if link else None
        if trunk is None:
            plan = route_from_extension(called, self.directory, self.settings.region)
        else:
            plan = DialTrunk(trunk=trunk, number=from_trunk(called, region_of_zone(trunk.zone)))
        match plan:
            case RingExtension(extension=extension) if extension.number != leg.peer:
                return self.device_targets(extension, call.shown, "")
            case DialTrunk():
                place = Outside(way=plan, user=call.user if leg.trunk else leg.peer)
                with self.reach.permits() as permits:
                    target = self.reach.outside(place, permits, source=leg.host, hidden=call.hidden)
                    self.reach.hold(call, permits)
                return [target]
            case Refuse(status=status, reason=reason):
                raise CallRefused(status, reason)
        raise CallRefused(482, f"{called} cannot be reached that way")

    async def _take_offer(self, leg: Leg, request: Request) -> SessionDescription | None:
        """The caller's offer; None when they leave it to us (RFC 3264 §5)."""
        body = sdp_of(request)
        if not body:
            return None
        try:
            return await leg.take_offer(body)
        except NotAcceptable as error:
            raise CallRefused(488, str(error)) from error
        except SdpError as error:
            raise CallRefused(400, str(error)) from error
        except OSError as error:
            log.error("%s", error)
            raise CallRefused(503, "no free media port") from error

    # ── parts ───────────────────────────────────────────────────────────────────────────
    def _watch_transports(self) -> None:
        transports = self.stack.transports
        transports.admits, transports.knows = self.guard.admits_connection, self._is_known
        transports.look, transports.spent = self.overload.look, self.overload.spent
        transports.retry_after = self.overload.retry_after
        transports.on_handshake_failed = self._on_handshake_failed

    def _public_address(self) -> PublicAddress:
        settings = self.settings
        return PublicAddress(
            configured=settings.public_address,
            server=settings.stun_server,
            networks=settings.local_networks,
            locator=self._locator,
            send=lambda data, to: self.stack.transports.udp_flow(to).send(data),
            on_change=self._on_public_address,
        )

    def new_call(
        self,
        *,
        caller: str,
        callee: str,
        user: str,
        kind: str,
        forwards: int = MAX_FORWARDS,
        shown: str = "",
        passed: str = "",
    ) -> Call:
        return Call(
            caller=caller,
            callee=callee,
            user=user,
            kind=kind,
            emit=self.emit,
            now=self.now,
            new_leg=self._new_leg,
            tracer=self._recorder,
            clock=self._clock,
            redirect=self._redirected,
            refer=self.on_refer,
            on_stars=self.on_stars,
            forwards=forwards,
            shown=shown,
            passed=passed,
        )

    def _new_leg(self, *, call_id: str, srtp: SrtpPolicy, **leg: object) -> Leg:
        media = MediaSession(self._ports, self.settings.advertise, srtp)

        def anchor(leg: str) -> Anchor | None:
            """What keys there are, the engine has."""
            engine = self.engines.choose()
            media.policy = srtp if engine is None else SrtpPolicy.OFF
            inside = self.settings.inside or self.settings.advertise
            return Anchor(engine, anchored(call_id, leg), inside, srtp) if engine else None

        return Leg(stack=self.stack, media=media, clock=self._clock, new_anchor=anchor, **leg)  # type: ignore[arg-type]

    def run(self, call: Call, course: Coroutine[object, object, Ending]) -> None:
        self.calls[call.id] = call
        self._idle.clear()
        call.limit(self.settings.max_duration)

        def done() -> None:
            del self.calls[call.id]
            if not self.calls:
                self._idle.set()
            loop = asyncio.get_running_loop()
            self._traces[call.id] = loop.call_later(TRACE_DELAY, self._trace_over, call)

        call.run(course, done)

    def _trace_over(self, call: Call) -> None:
        """Tell the trace of a call that ended, once its last message is out."""
        if all(leg.session is None or leg.session.is_silent for leg in call.legs):
            self._emit_trace(call.id)
            call.dissolve()
        else:
            loop = asyncio.get_running_loop()
            self._traces[call.id] = loop.call_later(TRACE_DELAY, self._trace_over, call)

    def _emit_trace(self, call_id: str) -> None:
        self._traces.pop(call_id, None)
        with about(call_id):
            lines = self._recorder.take(call_id)
            self.emit(CallTraced(call_id=call_id, at=self.now(), lines=lines))

    def device_targets(self, extension: Extension, shown: str, name: str) -> list[Target]:
        """Every registered phone of an extension, each by the latest of its ways."""
        domain = self.settings.domain
        return [
            Target(
                peer=extension.number,
                uri=flows[0].contact,
                to_uri=f"sip:{extension.number}@{domain}",
                from_uri=NOBODY
                if shown == ANONYMOUS
                else f"sip:{quote(shown, safe=PLAIN_USER)}@{domain}",
                from_name="Anonymous" if shown == ANONYMOUS else name,
                contact_user=self.settings.contact_user,
                ways=_over([binding.flow for binding in flows]),
                routes=flows[0].path,
                srtp=extension.srtp,
                device=str(flows[0].flow),
                behind=flows[0].door[0],
                secure=flows[0].door[1],
                browser=flows[0].is_browser,
            )
            for flows in self.registrar.phones(extension.number)
        ]

    def is_engaged(self, number: str) -> bool:
        """Whether an extension is talking."""
        return any(
            leg.answered and leg.ending is None and leg.peer == number
            for call in self.calls.values()
            for leg in call.legs
        )

    def has_answerphone(self, number: str) -> bool:
        """Whether callers may leave a message for an extension."""
        return self.directory.wishes(number).answerphone

    def link(self, trunk: Trunk) -> TrunkLink:
        link = self.trunks.get(trunk.name)
        if link is None:
            raise CallRefused(503, f"the trunk {trunk.name} is not running")
        return link

    def origin(self, incoming: Incoming) -> Address:
        """Where a request comes from, be it through a proxy of ours, which wrote down whom it had
        it from (RFC 3261 §18.2.1, RFC 3581 §4)."""
        remote, ways = incoming.flow.remote, incoming.request.get_all("via")
        if remote[0] not in self.settings.proxies or len(ways) < 2:
            return remote
        try:
            way = checked(Via.parse, split_commas(ways[1])[0], "Via")
        except ParseError:
            return remote
        host, port = way.parameters.get("received") or way.host, way.parameters.get("rport") or ""
        if not is_address(host):
            return remote
        known = port.isascii() and port.isdigit() and len(port) < 6
        return host, int(port) if known else way.port or 5060

    def _node(self) -> Account:
        """What the other programs of this exchange prove themselves with."""
        nobody = Extension(number="", name="another node")
        return Account(username=USER, secret=self.nodes.secret, extension=nobody, node=True)

    def _is_known(self, host: str) -> bool:
        if host in self.settings.proxies or self.registrar.holds(host):
            return True
        return any(link.is_at(host) for link in self.trunks.values())

    def _is_device_at(self, remote: Address) -> bool:
        """Whether a phone is registered, or a trunk serves, at this very address and port."""
        if self.registrar.holds_at(remote):
            return True
        host, port = remote
        return any(link.serves(host, port) for link in self.trunks.values())

    def restored(self, saved: SavedBinding, *, copy: bool = False) -> Binding | None:
        """A UDP device is reached as before; a connection died with the last run, or is another
        program's, so such a device must connect again: None."""
        account = self.directory.account(saved.username)
        if saved.transport != "udp" or account is None or account.revoked:
            return None
        if account.extension.number != saved.extension:
            return None
        return Binding(
            extension=saved.extension,
            username=saved.username,
            since=saved.since,
            contact=saved.contact,
            flow=self.stack.transports.udp_flow((saved.remote_host, saved.remote_port)),
            expires=saved.expires,
            call_id=saved.call_id,
            cseq=saved.cseq,
            user_agent=saved.user_agent,
            path=saved.path,
            instance=saved.instance,
            reg_id=saved.reg_id,
            copy=copy,
        )

    async def _watch_silence(self) -> None:
        """End legs whose other side fell silent (RFC 3550 has no goodbye for a dead phone)."""
        every = min(WATCH_EVERY, self.settings.silence_timeout / 4)
        while True:
            await asyncio.sleep(every)
            for leg in [leg for call in self.calls.values() for leg in call.legs]:
                await leg.measure()
            self._end_silent()

    def _end_silent(self) -> None:
        now = asyncio.get_running_loop().time()
        for call in self.calls.values():
            for leg in call.legs:
                if leg.ending is None and leg.heard_lately(now) > self.settings.silence_timeout:
                    with about(call.id):
                        log.info("%s fell silent", leg.peer)
                        leg.hang_up("no sound for too long")

    def node_gone(self, address: Address) -> None:
        """Another program of this exchange is no more: what it passed on or took has ended."""
        there = device_of(address)
        for call in list(self.calls.values()):
            for leg in [leg for leg in call.legs if leg.device == there and leg.ending is None]:
                leg.hang_up("the other part of the exchange is gone", 500)

    # ── hooks ───────────────────────────────────────────────────────────────────────────
    def _on_handshake_failed(self, host: str, reason: str) -> None:
        self.emit(HandshakeFailed(host=host, at=self.now(), reason=reason))

    def _on_flow_closed(self, flow: Flow) -> None:
        self.registrar.flow_closed(flow)
        for link in self.trunks.values():
            link.flow_closed(flow)

    def _on_bound(self, binding: Binding, refreshed: bool) -> None:
        self.emit(self.registered(binding, refreshed=refreshed))

    def registered(self, binding: Binding, *, refreshed: bool) -> DeviceRegistered:
        """A binding as an event."""
        return DeviceRegistered(
            extension=binding.extension,
            at=self.now(),
            contact=binding.contact,
            transport=binding.flow.transport,
            remote_host=binding.flow.remote[0],
            remote_port=binding.flow.remote[1],
            expires=binding.expires,
            user_agent=binding.user_agent,
            call_id=binding.call_id,
            cseq=binding.cseq,
            refreshed=refreshed,
            username=binding.username,
            since=binding.since,
            path=binding.path,
            instance=binding.instance,
            reg_id=binding.reg_id,
        )

    def _on_unbound(self, binding: Binding, reason: str) -> None:
        self.emit(
            DeviceUnregistered(
                extension=binding.extension,
                at=self.now(),
                contact=binding.contact,
                reason=reason,
            )
        )

    def _on_public_address(self) -> None:
        """Calls from now on carry the new address; registrars must hear of it at once."""
        for link in self.trunks.values():
            link.refresh()

    def _on_trunk(self, trunk: Trunk, up: bool, detail: str) -> None:
        self.emit(TrunkChanged(trunk=trunk.name, at=self.now(), up=up, detail=detail))

    def _on_ban(self, host: str, seconds: float, reason: str) -> None:
        self.emit(AddressBanned(host=host, at=self.now(), seconds=seconds, reason=reason))


def _decline(call: Call, leg: Leg, transaction: ServerTransaction) -> None:
    transaction.reply(603)


def _over(flows: Sequence[Flow]) -> Callable[[], Coroutine[object, object, Sequence[Way]]]:
    """The ways of a phone: connections it made, which nobody else can open."""

    def use(flow: Flow) -> Callable[[], Coroutine[object, object, Flow]]:
        async def get() -> Flow:
            if flow.closed:
                raise OSError("the phone's connection is closed")
            return flow

        return get

    async def ways() -> Sequence[Way]:
        return [Way(open=use(flow)) for flow in flows]

    return ways
