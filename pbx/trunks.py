"""Trunks as the exchange uses them: finding them, registering there, knowing whether they
are up, and telling their calls from strangers'."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from pbx.calls.leg import Target, Way
from pbx.calls.numbers import from_trunk, region_of_zone, to_trunk
from pbx.calls.wishes import ANONYMOUS
from pbx.candidates import Candidates, Where
from pbx.ports import Trunk
from pbx.sip.digest import DigestClient
from pbx.sip.locate import Hop, Locator
from pbx.sip.message import ParseError, Request, Response, bare_uri
from pbx.sip.stack import Stack
from pbx.sip.transport import Flow, bracketed
from pbx.sip.uri import dialled_user
from pbx.text import printable

log = logging.getLogger(__name__)

EXPIRES = 300
"Seconds a registration is asked for."
LONGEST_EXPIRES = 86_400
"Seconds a registrar may ask us for with 423; one that wants more is not asked again."
PROBE_EVERY = 60.0
"Seconds between OPTIONS to a trunk that does not register."
RETRY_FIRST, RETRY_LAST = 2.0, 120.0
"Seconds between attempts while a trunk is down, doubling."
LONGEST_RETRY = 600.0
"Seconds of Retry-After that are waited for."
KEEP_ALIVE = {"udp": 25.0, "tcp": 95.0, "tls": 95.0}
"Seconds between keep-alives to where we are registered: NATs forget sooner than registrars."
STEADY = 60.0
"A connection that broke after fewer seconds is not opened again at once."
MAX_REDIRECTS = 3
MAX_DIVERSIONS = 20
"Looked at of those who sent a call on."
MAX_SERVICE_ROUTES, MAX_ROUTE = 8, 512

SILENT = "does not answer"
NOBODY = f"sip:{ANONYMOUS}@anonymous.invalid"
"The From of somebody who hides their number (RFC 3323 §4.1.1.3)."

StateHook = Callable[[Trunk, bool, str], None]


@dataclass(frozen=True)
class _Outcome:
    """What came of asking a trunk's servers; `again` is the seconds until it is time to ask anew
    at the earliest."""

    good: bool
    detail: str
    again: float = 0.0
    redirect: str = ""


async def _at_once() -> None:
    """Nothing to wait for."""


class TrunkLink:
    """The live side of one `Trunk`.

    `patience` is how many seconds a server has to answer at all before the next is tried;
    `ready` is waited for before the first attempt.
    """

    def __init__(
        self,
        trunk: Trunk,
        stack: Stack,
        on_state: StateHook,
        locator: Locator,
        *,
        patience: float = 4.0,
        ready: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        self.trunk = trunk
        self.up: bool | None = None
        self.detail = "not tried yet"
        self.calls = 0
        self._stack = stack
        self._on_state = on_state
        self.patience = patience
        self._ready = ready
        self._candidates = Candidates(stack, locator, partial(_tls_context, trunk))
        self._home = Where(
            trunk.host.strip("[]"), trunk.port, trunk.transport, secure=trunk.transport == "tls"
        )
        self._proxy = trunk.outbound_proxy
        self._service_routes: list[str] = []
        self._moved_to = ""
        self._digest = DigestClient(trunk.credentials) if trunk.credentials else None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._register_request: Request | None = None
        self._expires = EXPIRES
        self._flow: Flow | None = None
        self._flow_since = 0.0
        self._pause = 0.0
        self._keep_alive: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to register, or to probe."""
        self._task = asyncio.ensure_future(self._keep_up())

    async def stop(self) -> None:
        """Stop, and un-register politely if the trunk is up."""
        if self._task is not None:
            self._task.cancel()
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        flow = self._flow
        if self.trunk.register and self.up and flow is not None and not flow.closed:
            try:
                async with asyncio.timeout(1):
                    await self._stack.request(self._registration(flow, 0), flow, self._digest)
            except (TimeoutError, OSError, ParseError):
                log.info("trunk %s: not un-registered, it does not answer", self.trunk.name)

    def refresh(self) -> None:
        """Register anew, or look again, now: something that concerns it has changed."""
        self._wake.set()

    def flow_closed(self, flow: Flow) -> None:
        """A connection of the exchange broke. If it was ours we register over a new one at once,
        but not in a hurry with a trunk that keeps closing them."""
        if flow is not self._flow:
            return
        self._flow = None
        lasted = asyncio.get_running_loop().time() - self._flow_since
        self._pause = 0.0 if lasted > STEADY else min(max(2 * self._pause, 1.0), RETRY_LAST)
        self.refresh()

    # ── calls ───────────────────────────────────────────────────────────────────────────
    def owns(self, request: Request, flow: Flow) -> bool:
        """Whether a request comes from this trunk: by the address and port of any of its
        servers, on connections by address and the port in its Via, since those leave from any
        port."""
        host, port = flow.remote
        if self._candidates.include(host, port):
            return True
        if not flow.reliable:
            return False
        default = 5061 if flow.transport == "tls" else 5060
        return self._candidates.include(host, request.via.port or default)

    def is_at(self, host: str) -> bool:
        """Whether an address is this trunk's."""
        return self._candidates.is_at(host)

    def serves(self, host: str, port: int) -> bool:
        """Whether one of this trunk's servers has this address and port."""
        return self._candidates.include(host, port)

    def called_numbers(self, request: Request) -> list[str]:
        """Where carriers put the called number, most telling first."""
        found = [request.target.user or ""]
        for name in ("to", "p-called-party-id"):
            value = bare_uri(request.get(name))
            found.append(value.partition(":")[2].partition("@")[0])
        return [number for number in dict.fromkeys(found) if number]

    def comes_back(self, request: Request, called: str) -> bool:
        """Whether a call for a number was sent on by that number before: it would go round. Of a
        history (RFC 7044) the last entry is where the call is now."""
        ways = [*request.elements("diversion"), *request.elements("history-info")[:-1]]
        return any(f":{called}@" in way for way in ways[:MAX_DIVERSIONS])

    def sender(self, request: Request) -> str:
        """Who calls or writes through this trunk: +E.164 where it is a number, `ANONYMOUS` for
        somebody who wants to be."""
        if is_private(request):
            return ANONYMOUS
        user = self._asserted(request) or dialled_user(request.from_.uri) or ANONYMOUS
        user = printable(user, 40)
        sender = from_trunk(user, region_of_zone(self.trunk.zone))
        # Short numbers look like our extensions, and must not be taken for them.
        return f"{sender}@{self.trunk.name}" if sender.isdecimal() else sender

    def _asserted(self, request: Request) -> str:
        """The caller's number as a trunk that is trusted vouches for it (RFC 3325 §9.1)."""
        if not self.trunk.trusted:
            return ""
        for value in request.elements("p-asserted-identity")[:2]:
            user = bare_uri(value).partition(":")[2].partition("@")[0].partition(";")[0]
            if user.removeprefix("+").isdecimal():
                return user
        return ""

    def target(self, number: str, caller: str, *, hidden: bool = False) -> Target:
        """How to call an E.164 number through this trunk. With `hidden` whoever is called sees no
        number (RFC 3323 §4.1), and only a trunk that is trusted learns it (RFC 3325 §7)."""
        trunk = self.trunk
        host = bracketed(trunk.host)
        at = host if trunk.port in (0, 5060) else f"{host}:{trunk.port}"
        # Plain UDP is what a URI without the parameter means anyway.
        named = trunk.transport not in (None, "udp")
        user = trunk.credentials.username if trunk.credentials else ""
        return Target(
            peer=number,
            uri=f"sip:{to_trunk(number, trunk.dial)}@{at}"
            + (f";transport={trunk.transport}" if named else ""),
            to_uri=f"sip:{to_trunk(number, trunk.dial)}@{at}",
            from_uri=NOBODY if hidden else f"sip:{caller or user or ANONYMOUS}@{host}",
            from_name="Anonymous" if hidden else "",
            contact_user=user or (ANONYMOUS if hidden else caller.removeprefix("+")),
            ways=self._ways,
            routes=tuple(self._routes()),
            patience=self.patience,
            credentials=trunk.credentials,
            direct=True,
            srtp=trunk.srtp,
            trunk=trunk.name,
            headers=self._identity(caller or user, host, hidden=hidden),
        )

    def _identity(self, caller: str, host: str, *, hidden: bool) -> dict[str, str]:
        """Who calls, for a trunk that is trusted, and that nobody else may know."""
        found = {"privacy": "id"} if hidden else {}
        if self.trunk.trusted and caller:
            found["p-asserted-identity"] = f"<sip:{caller}@{host}>"
        return found

    async def _ways(self) -> list[Way]:
        where = self._next_hop(self._routes())
        return [
            Way(
                open=partial(self._candidates.open, hop, where.host),
                failed=partial(self._call_failed, hop),
            )
            for hop in await self._candidates.find(where)
        ]

    def _call_failed(self, hop: Hop) -> None:
        self._candidates.failed(hop)
        self.refresh()

    def _routes(self) -> list[str]:
        """The Route of requests outside a dialog: our outbound proxy, then what the registrar
        wants calls to pass (RFC 3608 §6.1)."""
        routes = [f"<{self._proxy}>"] if self._proxy else []
        for route in self._service_routes:
            if not (routes and Where.of(bare_uri(route)) == Where.of(bare_uri(routes[-1]))):
                routes.append(route)
        return routes

    def _next_hop(self, routes: list[str]) -> Where:
        return Where.of(bare_uri(routes[0])) if routes else self._home

    # ── staying up ──────────────────────────────────────────────────────────────────────
    async def _keep_up(self) -> None:
        await self._ready()
        loop = asyncio.get_running_loop()
        retry = RETRY_FIRST
        while True:
            self._wake.clear()
            began = loop.time()
            outcome = await self._check()
            self._note(outcome)
            if outcome.good:
                wait, retry = outcome.again, RETRY_FIRST
            else:
                wait, retry = max(retry, outcome.again), min(retry * 2, RETRY_LAST)
            try:
                async with asyncio.timeout(wait * random.uniform(0.9, 1.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue
            # Woken: at once, unless that was just now or the trunk makes a habit of it.
            await asyncio.sleep(max(self._pause, began + RETRY_FIRST - loop.time(), 0.0))

    async def _check(self) -> _Outcome:
        """Register, or probe, following where the registrar sends us."""
        asked = self._moved_to
        for _ in range(MAX_REDIRECTS):
            outcome = await self._ask(asked)
            if outcome.redirect:
                asked = outcome.redirect
            elif not outcome.good and asked and asked == self._moved_to:
                asked = self._moved_to = ""  # moved for good, and gone from there
            else:
                return outcome
        return _Outcome(False, "redirects without end")

    async def _ask(self, registrar: str) -> _Outcome:
        """Ask the servers one after the other, until one answers."""
        try:
            if self._proxy:
                where = Where.of(self._proxy)
            else:
                where = Where.of(registrar) if registrar else self._home
            hops = await self._candidates.find(where)
        except (OSError, ParseError) as error:
            return _Outcome(False, _in_words(error))
        outcome = _Outcome(False, SILENT)
        for hop in hops:
            try:
                flow = await self._candidates.open(hop, where.host)
                # The last one gets all the time that SIP allows.
                async with asyncio.timeout(None if hop is hops[-1] else self.patience):
                    response = await self._ask_at(flow, registrar)
            except TimeoutError:
                outcome = _Outcome(False, SILENT)
            except (OSError, ParseError) as error:
                outcome = _Outcome(False, _in_words(error))
            else:
                if response.status not in (408, 503):
                    self._candidates.worked(hop)
                    return self._judge(response, hop, flow)
                words = "its connection broke" if flow.closed else f"answered {response.status}"
                outcome = _Outcome(False, words, _retry_after(response))
                if response.status == 408:
                    outcome = _Outcome(False, SILENT)
                    if flow.reliable:
                        flow.close()  # half a minute of nothing: it would be used again
            self._candidates.failed(hop)
        self._candidates.current = None
        return outcome

    async def _ask_at(self, flow: Flow, registrar: str) -> Response:
        """The final answer of one server to one REGISTER or OPTIONS."""
        if not self.trunk.register:
            return await self._stack.request(self._probe(flow), flow, self._digest)
        response = await self._stack.request(
            self._registration(flow, self._expires, registrar), flow, self._digest
        )
        text = response.get("min-expires")
        wanted = int(text) if text.isdecimal() and len(text) < 9 else 0
        if response.status == 423 and self._expires < wanted <= LONGEST_EXPIRES:
            self._expires = wanted
            again = self._registration(flow, wanted, registrar)
            response = await self._stack.request(again, flow, self._digest)
        return response

    def _judge(self, response: Response, hop: Hop, flow: Flow) -> _Outcome:
        status = response.status
        if self.trunk.register and status >= 300:
            if status in (301, 302) and (moved := _usable_contact(response)):
                if status == 301:
                    self._moved_to = moved
                return _Outcome(False, f"answered {status}", redirect=moved)
            return _Outcome(False, f"answered {status}", _retry_after(response))
        if self._flow is not flow:
            self._flow, self._flow_since = flow, asyncio.get_running_loop().time()
        if not self.trunk.register:
            return _Outcome(True, "answers", PROBE_EVERY)
        self._candidates.current = hop
        self._service_routes = _service_routes(response)
        self._keep_open(flow)
        granted = _granted(response, f"<{self._stack.contact(self._user, flow)}>", self._expires)
        return _Outcome(True, "registered", max(5.0, granted * 0.8))

    @property
    def _user(self) -> str:
        trunk = self.trunk
        return trunk.credentials.username if trunk.credentials else trunk.name

    def _registration(self, flow: Flow, expires: int, registrar: str = "") -> Request:
        """The next REGISTER: all of one trunk share a Call-ID (RFC 3261 §10.2)."""
        domain = bracketed(self.trunk.host)
        request = self._register_request
        if request is None:
            aor = f"sip:{self._user}@{domain}"
            request = self._stack.new_request("REGISTER", "", from_uri=aor, to_uri=aor)
            request.set("supported", "path")  # RFC 3327 §5.1: proxies on the way may add theirs
            self._register_request = request
        else:
            request.set("cseq", f"{request.cseq.sequence + 1} REGISTER")
            request.remove("authorization")
            request.remove("proxy-authorization")
        request.uri = _without_user(registrar) if registrar else f"sip:{domain}"
        request.set("route", [f"<{self._proxy}>"] if self._proxy else [])
        request.set("contact", f"<{self._stack.contact(self._user, flow)}>")
        request.set("expires", str(expires))
        return request

    def _probe(self, flow: Flow) -> Request:
        trunk = self.trunk
        host = bracketed(trunk.host) + (f":{trunk.port}" if trunk.port else "")
        ours = bracketed(self._stack.address(flow.transport, flow)[0])
        request = self._stack.new_request(
            "OPTIONS", f"sip:{host}", from_uri=f"sip:{ours}", to_uri=f"sip:{host}"
        )
        request.set("route", [f"<{self._proxy}>"] if self._proxy else [])
        return request

    def _keep_open(self, flow: Flow) -> None:
        """Send something now and then, so that NATs between us know the way for calls to us."""
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        interval = KEEP_ALIVE[flow.transport] * random.uniform(0.8, 1.0)

        def again() -> None:
            if self.up and not flow.closed:
                flow.send(b"\r\n\r\n")
                self._keep_open(flow)

        self._keep_alive = asyncio.get_running_loop().call_later(interval, again)

    def _note(self, outcome: _Outcome) -> None:
        self.detail = outcome.detail
        if not outcome.good:
            self._service_routes = []
        if outcome.good != self.up:
            self.up = outcome.good
            self._on_state(self.trunk, outcome.good, outcome.detail)


def is_private(request: Request) -> bool:
    """Whether somebody calls who does not want to be seen (RFC 3323 §4.1.1.3 and §4.2)."""
    wanted = {value.strip().lower() for value in request.get("privacy").split(";")}
    host = (request.from_.uri.host or "").lower()
    return bool(wanted & {"id", "user", "header"}) or host == "anonymous.invalid"


def _in_words(error: Exception) -> str:
    """What went wrong, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _retry_after(response: Response) -> float:
    """The seconds a server that is too busy asks for, if that is not absurd (§20.33)."""
    text = response.get("retry-after").partition("(")[0].partition(";")[0].strip()
    return min(float(text), LONGEST_RETRY) if text.isdecimal() and len(text) < 9 else 0.0


def _usable_contact(response: Response) -> str:
    """Where a 3xx to REGISTER sends us; empty when that is nowhere."""
    for value in response.elements("contact")[:MAX_REDIRECTS]:
        uri = bare_uri(value)
        try:
            Where.of(uri)
        except ParseError:
            continue
        if len(uri) <= MAX_ROUTE:
            return uri
    return ""


def _without_user(uri: str) -> str:
    """The Request-URI of a REGISTER names a domain, never a user (RFC 3261 §10.2)."""
    where = Where.of(uri)
    port = f":{where.port}" if where.port else ""
    return f"{'sips' if where.secure else 'sip'}:{bracketed(where.host)}{port}"


def _service_routes(response: Response) -> list[str]:
    """The Service-Route of a 200 to REGISTER (RFC 3608), as far as it can be used."""
    routes: list[str] = []
    for value in response.elements("service-route")[:MAX_SERVICE_ROUTES]:
        uri = bare_uri(value)
        try:
            Where.of(uri)
        except ParseError:
            continue
        if len(uri) <= MAX_ROUTE and ";lr" in uri.lower():  # strict routers died with RFC 2543
            routes.append(f"<{uri}>")
    return routes


def _granted(response: Response, contact: str, asked: int) -> int:
    """The seconds a registrar grants our binding."""
    granted = response.get("expires")
    for value in response.elements("contact"):
        if contact in value and "expires=" in value:
            granted = value.rpartition("expires=")[2].partition(";")[0]
    usable = granted.isdecimal() and len(granted) < 9
    return min(int(granted), LONGEST_EXPIRES) if usable else asked


def _tls_context(trunk: Trunk) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trunk.ca_file or None)
    if not trunk.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
