"""Trunks as the exchange uses them: finding them, registering there, knowing whether they
are up, and telling their calls from strangers'."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Callable

from pbx.calls.leg import Target
from pbx.calls.numbers import to_trunk
from pbx.ports import Trunk
from pbx.sip.digest import DigestClient
from pbx.sip.message import ParseError, Request, bare_uri
from pbx.sip.stack import Stack
from pbx.sip.transport import Address, Flow

log = logging.getLogger(__name__)

EXPIRES = 300
"Seconds a registration is asked for."
PROBE_EVERY = 60.0
"Seconds between OPTIONS to a trunk that does not register."
RETRY_FIRST, RETRY_LAST = 2.0, 120.0
"Seconds between attempts while a trunk is down, doubling."

StateHook = Callable[[Trunk, bool, str], None]


class TrunkLink:
    """The live side of one `Trunk`."""

    def __init__(self, trunk: Trunk, stack: Stack, on_state: StateHook) -> None:
        self.trunk = trunk
        self.up: bool | None = None
        self.detail = "not tried yet"
        self.calls = 0
        self._stack = stack
        self._on_state = on_state
        self._addresses: set[str] = set()
        self._tls: ssl.SSLContext | None = None
        self._digest = DigestClient(trunk.credentials) if trunk.credentials else None
        self._task: asyncio.Task[None] | None = None
        self._register_request: Request | None = None

    def start(self) -> None:
        """Begin to register, or to probe."""
        self._task = asyncio.ensure_future(self._keep_up())

    async def stop(self) -> None:
        """Stop, and un-register politely if the trunk is up."""
        if self._task is not None:
            self._task.cancel()
        if self.trunk.register and self.up:
            try:
                async with asyncio.timeout(1):
                    await self._register(expires=0)
            except (TimeoutError, OSError):
                log.info("trunk %s: not un-registered, it does not answer", self.trunk.name)

    def owns(self, request: Request, flow: Flow) -> bool:
        """Whether a request comes from this trunk: by its address and port, on connections by
        address and the port in its Via, since those leave from any port."""
        if flow.remote[0] not in self._addresses:
            return False
        if flow.remote[1] == self.trunk.port:
            return True
        return flow.reliable and (request.via.port or 5060) == self.trunk.port

    def is_at(self, host: str) -> bool:
        """Whether an address is this trunk's."""
        return host in self._addresses

    def called_numbers(self, request: Request) -> list[str]:
        """Where carriers put the called number, most telling first."""
        found = [request.target.user or ""]
        for name in ("to", "p-called-party-id"):
            value = bare_uri(request.get(name))
            found.append(value.partition(":")[2].partition("@")[0])
        return [number for number in dict.fromkeys(found) if number]

    def target(self, number: str, caller: str, caller_name: str = "") -> Target:
        """How to call an E.164 number through this trunk."""
        trunk = self.trunk
        host = trunk.host if trunk.port == 5060 else f"{trunk.host}:{trunk.port}"
        parameter = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
        user = trunk.credentials.username if trunk.credentials else ""
        return Target(
            peer=number,
            uri=f"sip:{to_trunk(number, trunk.dial)}@{host}{parameter}",
            to_uri=f"sip:{to_trunk(number, trunk.dial)}@{host}",
            from_uri=f"sip:{caller or user or 'anonymous'}@{trunk.host}",
            from_name=caller_name,
            contact_user=user or caller.removeprefix("+"),
            flow=self._flow,
            credentials=trunk.credentials,
            direct=True,
            srtp=trunk.srtp,
            trunk=trunk.name,
        )

    # ── staying up ──────────────────────────────────────────────────────────────────────
    async def _keep_up(self) -> None:
        retry = RETRY_FIRST
        while True:
            try:
                status, wait = await (self._register() if self.trunk.register else self._probe())
                good = status < 300 if self.trunk.register else status not in (408, 503)
                detail = "" if good else f"answered {status}"
            except (OSError, ParseError) as error:
                good, detail, wait = False, str(error), 0.0
            if good:
                retry = RETRY_FIRST
            else:
                wait, retry = retry, min(retry * 2, RETRY_LAST)
            self._note(good, detail or ("registered" if self.trunk.register else "answers"))
            await asyncio.sleep(wait * random.uniform(0.9, 1.0))

    async def _register(self, expires: int = EXPIRES) -> tuple[int, float]:
        """One REGISTER, repeated with the same Call-ID (§10.2); the final status and the
        seconds until the next."""
        flow = await self._flow()
        trunk = self.trunk
        user = trunk.credentials.username if trunk.credentials else trunk.name
        request = self._register_request
        if request is None:
            aor = f"sip:{user}@{trunk.host}"
            request = self._stack.new_request(
                "REGISTER", f"sip:{trunk.host}", from_uri=aor, to_uri=aor
            )
            self._register_request = request
        else:
            request.set("cseq", f"{request.cseq.sequence + 1} REGISTER")
            request.remove("authorization")
            request.remove("proxy-authorization")
        request.set("contact", f"<{self._stack.contact(user, flow)}>")
        request.set("expires", str(expires))
        response = await self._stack.request(request, flow, self._digest)
        granted = expires
        text = response.get("expires")
        if text.isdigit():
            granted = int(text)
        for value in response.elements("contact"):
            if f"<{self._stack.contact(user, flow)}>" in value and "expires=" in value:
                given = value.rpartition("expires=")[2].partition(";")[0]
                granted = int(given) if given.isdigit() else granted
        return response.status, max(5.0, granted * 0.8)

    async def _probe(self) -> tuple[int, float]:
        flow = await self._flow()
        host = f"{self.trunk.host}:{self.trunk.port}"
        request = self._stack.new_request(
            "OPTIONS",
            f"sip:{host}",
            from_uri=f"sip:{self._stack.address('udp')[0]}",
            to_uri=f"sip:{host}",
        )
        response = await self._stack.request(request, flow, self._digest)
        return response.status, PROBE_EVERY

    async def _flow(self) -> Flow:
        address = await self._resolve()
        tls = None
        if self.trunk.transport == "tls":
            tls = self._tls = self._tls or await asyncio.to_thread(_tls_context, self.trunk)
        return await self._stack.transports.flow_to(
            self.trunk.transport, address, tls, self.trunk.host
        )

    async def _resolve(self) -> Address:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self.trunk.host, self.trunk.port, type=socket.SOCK_DGRAM)
        except socket.gaierror as error:
            raise OSError(f"{self.trunk.host} is not known to the name server") from error
        ipv4_first = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
        self._addresses = {str(entry[4][0]) for entry in found}
        return str(ipv4_first[0][4][0]), self.trunk.port

    def _note(self, up: bool, detail: str) -> None:
        self.detail = detail
        if up != self.up:
            self.up = up
            self._on_state(self.trunk, up, detail)


def _tls_context(trunk: Trunk) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trunk.ca_file or None)
    if not trunk.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
