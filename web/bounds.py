"""What holds for every request: how large, how long, how often, and the headers of its answer."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from email.utils import formatdate
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.pages import STYLE_HASH

MAX_TARGET = 1_024
"Bytes of a path with its query."
MAX_BODY = 65_536
ANSWER_WITHIN = 10.0
"Seconds."
ENDLESS = "/events"
"Where programs listen for as long as they like."
REQUESTS, PER_SECONDS = 60, 60.0
"Of one address; more are answered 429."
OF_PROGRAMS = 30_000
"The same of programs, whose keys have limits of their own."
MAX_ADDRESSES = 10_000

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
}


class Often:
    """Counts of what addresses do, each in spans of its own."""

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def spend(self, host: str) -> bool:
        """Whether an address may do it once more now."""
        key, now = network_of(host), self._clock()
        began, count = self._counts.pop(key, (now, 0))
        if now - began >= self._seconds:
            began, count = now, 0
        self._counts[key] = (began, count + 1)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        return count < self._most


def network_of(host: str) -> str:
    """Who an address is: of IPv6 one has 2⁶⁴ at home."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return host


def is_under(path: str, places: Sequence[str]) -> bool:
    """Whether a path is one of these, or below one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


class Bounds:
    """Refuses what is too much, and puts the same headers on every answer (ASGI)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        often: Often | None = None,
        programs: Sequence[str] = (),
        page: str = "",
        answered: Callable[[bool, int, float], None] = lambda program, status, seconds: None,
        within: float = ANSWER_WITHIN,
    ) -> None:
        self._app = app
        self._often = often or Often(REQUESTS, PER_SECONDS)
        self._within = within
        self._programs, self._page, self._answered = programs, page, answered
        self._often_programs = Often(OF_PROGRAMS, PER_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return

        began, came = False, time.monotonic()

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                self._answered(self._is_program(scope), message["status"], time.monotonic() - came)
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["date"] = formatdate(usegmt=True)
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, answer)
            return
        endless = self._is_program(scope) and scope["path"].endswith(ENDLESS)
        try:
            async with asyncio.timeout(None if endless else self._within):
                await self._app(scope, bounded(receive), answer)
        except (TimeoutError, TooLarge) as error:
            if began:
                raise
            status = 413 if isinstance(error, TooLarge) else 503
            late = "" if status == 413 else "That took too long; look whether it was done."
            await self.refusal(scope, status, late)(scope, receive, answer)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One that programs listen on; what else would be one is refused before it is (403)."""
        if self._refused(scope) is None and self._is_program(scope):
            await self._app(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close"})

    def _is_program(self, scope: Scope) -> bool:
        return is_under(scope["path"], self._programs)

    def refusal(self, scope: Scope, status: int, text: str = "") -> Response:
        """The last answer on a connection: the rest of the request is not wanted."""
        headers = {"connection": "close"}
        if not self._is_program(scope):
            return PlainTextResponse(text and f"{text}\n", status, headers)
        title = HTTPStatus(status).phrase
        id = f"request.{title.lower().replace(' ', '_')}"
        problem = {
            "type": f"/problems/{id}", "title": title, "status": status, "id": id,
            "detail": text or f"at most {MAX_TARGET} bytes of path and {MAX_BODY} of body, please",
        }  # fmt: skip
        return JSONResponse(problem, status, headers, media_type="application/problem+json")

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to what is not even looked at."""
        client = scope.get("client")
        page = bool(self._page) and is_under(scope["path"], [self._page])
        page = page and scope.get("method") == "GET"
        often = self._often_programs if page or self._is_program(scope) else self._often
        if client and not often.spend(client[0]):
            refusal = self.refusal(scope, 429, "Too many requests. Try again in a minute.")
            refusal.headers["retry-after"] = str(round(PER_SECONDS))
            return refusal
        if b"%00" in scope["raw_path"]:  # which no name here has, and no database takes
            return self.refusal(scope, 404)
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET:
            return self.refusal(scope, 414)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if int(length) > MAX_BODY:  # the parser has let digits through only
            return self.refusal(scope, 413)
        return None


class TooLarge(Exception):
    """More came than was announced as possible."""


def bounded(receive: Receive) -> Receive:
    """A body sent in pieces is counted."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise TooLarge
        return message

    return counted
