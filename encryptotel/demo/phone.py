"""A phone without a person: registers, answers, makes sound and remembers what it heard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence

from pbx.calls.leg import Leg, LegListener, LegOver, Target, only
from pbx.media.clock import MediaClock
from pbx.media.codecs import CODECS, RATE, Codec
from pbx.media.port import RtpPorts
from pbx.media.sdp import SdpError
from pbx.media.session import MediaSession
from pbx.media.srtp import SrtpPolicy
from pbx.ports import CallRefused
from pbx.sip.digest import Credentials, DigestClient
from pbx.sip.message import ParseError, Request
from pbx.sip.stack import ALLOW, Incoming, Stack
from pbx.sip.transaction import InviteServerTransaction
from pbx.sip.transport import Address, Flow, Transport

log = logging.getLogger(__name__)

REGISTER_FOR = 120
"Seconds a registration is asked for; it is renewed at half of that."
DEMO_AGENT = "EncryptoTel demo phone"
"How the phones built into the program call themselves; their registrations die with it."
MAX_HEARD = 2 * RATE * 30
"Bytes of heard sound kept: 30 s."
LOOK_EVERY = 3
"Frames."

Behaviour = Callable[["Phone", Leg], Awaitable[None]]
"What a phone does with a call once it is up."


class Phone(LegListener):
    """One softphone. `behave` is run for each call that is up; what it hears is in `heard`."""

    def __init__(
        self,
        behave: Behaviour,
        *,
        host: str = "127.0.0.1",
        rtp_ports: tuple[int, int] = (40_000, 44_998),
        ring_seconds: float = 0.3,
        srtp: SrtpPolicy = SrtpPolicy.OFFER,
        codecs: Sequence[Codec] = CODECS,
        agent: str = "EncryptoTel headless phone",
    ) -> None:
        self.heard = bytearray()
        self.legs: list[Leg] = []
        self.called: list[str] = []
        self._behave = behave
        self._frames = 0
        self._news = asyncio.Event()
        self._host = host
        self._ring_seconds = ring_seconds
        self._srtp = srtp
        self._codecs = codecs
        self._agent = agent
        self._stack = Stack(self, advertise=host)
        self._clock = MediaClock()
        self._ports = RtpPorts(host, *rtp_ports)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Address = ("", 0)
        self._transport: Transport = "udp"
        self._tls: ssl.SSLContext | None = None
        self._account: Credentials | None = None
        self._number = ""
        self._domain = ""
        self._register: Request | None = None
        self._registration: asyncio.Task[None] | None = None

    # ── as a server: a carrier listens, a phone's UDP socket does too ────────────────────
    async def listen(self, port: int = 0) -> Address:
        """Open the UDP socket."""
        return await self._stack.transports.listen_udp((self._host, port))

    # ── as a client ─────────────────────────────────────────────────────────────────────
    async def register(
        self,
        server: Address,
        account: Credentials,
        domain: str,
        *,
        number: str = "",
        transport: Transport = "udp",
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """Register and stay registered, as `number` if that is not the user name; the status of
        the first REGISTER."""
        self._server, self._account, self._domain = server, account, domain
        self._number = number or account.username
        self._transport, self._tls = transport, tls
        status = await self._register_once(REGISTER_FOR)
        if status == 200:
            self._registration = self._spawn(self._stay_registered())
        return status

    async def unregister(self) -> None:
        """Leave the exchange."""
        if self._registration is not None:
            self._registration.cancel()
            self._registration = None
            await self._register_once(0)

    async def call(self, number: str) -> Leg:
        """Call a number through the exchange; the leg once answered. Raises `CallRefused`."""
        assert self._account is not None
        leg = self._leg(number, "out")
        await leg.dial(
            Target(
                peer=number,
                uri=f"sip:{number}@{self._domain}",
                from_uri=f"sip:{self._number}@{self._domain}",
                contact_user=self._number,
                ways=only(self._flow),
                credentials=self._account,
                srtp=self._srtp,
            )
        )
        self._spawn(self._attend(leg))
        return leg

    async def until_heard(self, enough: Callable[[bytearray], bool]) -> None:
        """Wait until what was heard so far satisfies a test; looked at with some of the frames,
        for most tests transform a second of it."""
        while not enough(self.heard):
            self._news.clear()
            await self._news.wait()

    async def stop(self) -> None:
        """Hang up, un-register and close."""
        for leg in list(self.legs):
            leg.hang_up()
        try:
            async with asyncio.timeout(1):
                await self.unregister()
        except (TimeoutError, OSError):
            log.info("demo phone: not un-registered, the exchange does not answer")
        for task in list(self._tasks):
            task.cancel()
        await self._stack.close()

    # ── the stack's user ────────────────────────────────────────────────────────────────
    def on_request(self, incoming: Incoming) -> None:
        method = incoming.request.method
        if method == "OPTIONS":
            incoming.refuse_with(200, allow=ALLOW)
        elif method != "INVITE":
            incoming.refuse_with(405, allow=ALLOW)
        elif isinstance(transaction := incoming.accept(), InviteServerTransaction):
            self._spawn(self._answer(transaction))

    async def accept(self, leg: Leg) -> None:
        """Take a call that rang long enough."""
        await leg.answer()

    # ── parts ───────────────────────────────────────────────────────────────────────────
    async def _answer(self, transaction: InviteServerTransaction) -> None:
        request = transaction.request
        leg = self._leg(request.from_.uri.user or "", "in")
        self.called.append(request.target.user or "")
        try:
            leg.take(transaction, direct=False)
            await leg.media.take_offer(request.body)
            leg.ring()
            async with asyncio.timeout(self._ring_seconds):
                await leg.ended()
        except TimeoutError:
            try:
                await self.accept(leg)
            except CallRefused as refused:
                leg.hang_up(refused.reason, refused.status)
                return
            await self._attend(leg)
        except (ParseError, SdpError) as error:
            transaction.reply(488)
            leg.hang_up(str(error), 488)

    async def _attend(self, leg: Leg) -> None:
        with contextlib.suppress(LegOver):
            leg.audio.on_frame = self._hear
            await self._behave(self, leg)
        self._news.set()  # for a last look

    def _hear(self, frame: bytes) -> None:
        self.heard += frame
        self._frames += 1
        if self._frames % LOOK_EVERY == 0:
            self._news.set()
        if len(self.heard) > MAX_HEARD:
            del self.heard[: len(self.heard) - MAX_HEARD]

    def _leg(self, peer: str, direction: str) -> Leg:
        leg = Leg(
            stack=self._stack,
            media=MediaSession(self._ports, self._host, self._srtp, self._codecs),
            clock=self._clock,
            peer=peer,
            direction=direction,
            listener=self,
        )
        self.legs.append(leg)
        return leg

    def leg_ended(self, leg: Leg) -> None:
        self.legs.remove(leg)

    async def _flow(self) -> Flow:
        return await self._stack.transports.flow_to(
            self._transport, self._server, self._tls, self._server[0]
        )

    async def _register_once(self, expires: int) -> int:
        assert self._account is not None
        flow = await self._flow()
        if self._register is None:
            aor = f"sip:{self._number}@{self._domain}"
            self._register = self._stack.new_request(
                "REGISTER", f"sip:{self._domain}", from_uri=aor, to_uri=aor
            )
            self._register.set("user-agent", self._agent)
            contact = self._stack.contact(self._number, flow)
            self._register.set("contact", f"<{contact};ob={secrets.token_hex(3)}>")
        else:
            sequence = self._register.cseq.sequence + 1
            self._register.set("cseq", f"{sequence} REGISTER")
        self._register.set("expires", str(expires))
        response = await self._stack.request(self._register, flow, DigestClient(self._account))
        return response.status

    async def _stay_registered(self) -> None:
        while True:
            await asyncio.sleep(REGISTER_FOR / 2)
            try:
                await self._register_once(REGISTER_FOR)
            except OSError as error:
                log.warning("demo phone: %s", error)

    def _spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def plays(pcm: bytes) -> Behaviour:
    """A phone that plays a sound over and over until the call ends."""

    async def behave(phone: Phone, leg: Leg) -> None:
        with leg.looping(pcm):
            await leg.ended()

    return behave
