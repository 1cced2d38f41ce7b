"""Of several programs one serves whoever asks: the one that leads. What comes to another is passed
on there, so that it does not matter which of them is asked (ASGI)."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import urlsplit

import httpx
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from web.bounds import ANSWER_WITHIN, MAX_BODY, Bounds, TooLarge, bounded, is_under
from web.listeners import while_there
from web.ports import Leader

log = logging.getLogger(__name__)

PROOF, CLIENT = b"x-encryptotel-node", b"x-encryptotel-client"
"Headers of what was passed on: that it was, and who asked."
CONNECT_WITHIN = 3.0
SILENT = 40.0
"Seconds without a word after which the leader is gone; who listens hears more often of it."
KEPT = 2.0
"Seconds a connection to the leader is kept: less than it keeps one itself."
_OF_ONE_HOP = frozenset((
    b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host",
    b"proxy-connection", b"sec-websocket-key", b"sec-websocket-version",
    b"sec-websocket-extensions", b"sec-websocket-protocol", PROOF, CLIENT,
))  # fmt: skip
_NOBODY = {
    "type": "/problems/request.no_leader", "title": "Service Unavailable", "status": 503,
    "id": "request.no_leader",
    "detail": "The program that serves this is just being replaced. Try again in a few seconds.",
}  # fmt: skip


class Passing:
    """Passes on what is not for `here`. What another passed on is taken as from who asked it."""

    def __init__(self, app: Bounds, leader: Leader, here: Sequence[str]) -> None:
        self._app, self._leader, self._here = app, leader, here
        # How many there may be at once is for the server that took the requests.
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEPT)
        wait = httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN, read=SILENT)
        self._client = httpx.AsyncClient(
            verify=leader.trust, limits=limits, timeout=wait, trust_env=False
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        shown = headers.get(PROOF, b"").decode("latin-1")
        passed_on = hmac.compare_digest(shown.encode(), self._leader.proof.encode())
        if passed_on:
            client = headers.get(CLIENT, b"").decode("latin-1")
            scope = {**scope, "client": (client, 0)}
        there = self._leader.where()
        mine = there == "" or is_under(scope["path"], self._here)
        if mine or _is_refused_anywhere(scope, headers):
            await self._app(scope, receive, send)
        elif there is None or passed_on:  # nobody leads, or two take each other for the one
            await self._nobody(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send, there)
        else:
            await self._request(scope, receive, send, there)

    async def _nobody(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse(
            _NOBODY, 503, {"retry-after": "2"}, media_type="application/problem+json"
        )
        await answer(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send, there: str) -> None:
        url = httpx.URL(f"https://{there}", raw_path=_target(scope))
        has_body = bool(
            {b"content-length", b"transfer-encoding"} & {n for n, _ in scope["headers"]}
        )
        request = httpx.Request(  # of its own: the client's would have headers that nobody said
            scope["method"],
            url,
            headers=[
                *self._said(scope),
                (b"host", Headers(scope=scope).get("host", there).encode()),
            ],
            content=_body(bounded(receive)) if has_body else None,
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN + CONNECT_WITHIN):
                answer = await self._client.send(request, stream=True)
        except TooLarge:
            await self._app.refusal(scope, 413)(scope, receive, send)
            return
        except _Gone:
            return
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            log.warning("the node that leads cannot be asked: %s", type(error).__name__)
            await self._nobody(scope, receive, send)
            return
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("the node that leads has not answered: %s", type(error).__name__)
            late = "That took too long; look whether it was done."
            await self._app.refusal(scope, 503, late)(scope, receive, send)
            return
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            _leave(scope)
        # Whoever listens for long may go at any time; then there is nobody to pass anything on to.
        try:
            passed = await while_there(_answer(answer, send), receive)
        finally:
            await answer.aclose()
        if not passed.cancelled():
            passed.result()  # an answer that broke off breaks off here as well

    async def _socket(self, scope: Scope, receive: Receive, send: Send, there: str) -> None:
        await receive()  # the wish to connect
        wanted = [Subprotocol(one) for one in scope["subprotocols"]]
        address = urlsplit(f"//{there}")
        try:
            upstream = await connect(
                f"wss://{there}{_target(scope).decode('ascii')}",
                host=address.hostname,  # whatever the target says
                port=address.port,
                ssl=self._leader.trust,
                additional_headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in self._said(scope)
                ],
                subprotocols=wanted or None,
                open_timeout=ANSWER_WITHIN + CONNECT_WITHIN,
                max_size=MAX_BODY,
                compression=None,
                user_agent_header=None,
                proxy=None,
            )
        except InvalidStatus as refused:
            answer = refused.response
            await send(
                {
                    "type": "websocket.http.response.start",
                    "status": answer.status_code,
                    "headers": _kept(
                        (name.lower().encode("latin-1"), value.encode("latin-1"))
                        for name, value in answer.headers.raw_items()
                    ),
                }
            )
            await send({"type": "websocket.http.response.body", "body": bytes(answer.body or b"")})
            return
        except (OSError, TimeoutError, WebSocketException) as error:
            log.warning("the node that leads cannot be asked: %s", type(error).__name__)
            await self._nobody(scope, receive, send)
            return
        _leave(scope)
        await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol})
        try:
            await while_there(_down(upstream, send), receive)
        finally:
            await upstream.close()

    def _said(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The headers of a request, and who asked."""
        client = scope.get("client") or ("", 0)
        kept = _kept(scope["headers"])
        return [*kept, (PROOF, self._leader.proof.encode()), (CLIENT, client[0].encode())]


def _kept(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that are not of one connection (RFC 9110 §7.6.1)."""
    return [(name, value) for name, value in headers if name not in _OF_ONE_HOP]


def _is_refused_anywhere(scope: Scope, headers: dict[bytes, bytes]) -> bool:
    """What is no path, or too large, is for nobody: whoever it came to says so. A target that is
    no path could also name another host."""
    target = _target(scope)
    no_path = not target.startswith(b"/") or target.startswith(b"//") or b"#" in target
    return no_path or int(headers.get(b"content-length", b"0")) > MAX_BODY


def _leave(scope: Scope) -> None:
    """Whoever listens for long is known to the leader, and no stranger who takes a place here."""
    leave = scope.get("state", {}).get("leave")
    if leave is not None:
        leave()


def _target(scope: Scope) -> bytes:
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + (b"?" + query if query else b"")


class _Gone(Exception):
    """Whoever asked is gone before the end of their request."""


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone  # half of it is nothing
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _answer(answer: httpx.Response, send: Send) -> None:
    headers = _kept((name.lower(), value) for name, value in answer.headers.raw)
    if "close" in answer.headers.get("connection", "").lower():  # as bounds want it
        headers.append((b"connection", b"close"))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
    await send(start)
    async for some in answer.aiter_raw():
        await send({"type": "http.response.body", "body": some, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _down(upstream: ClientConnection, send: Send) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for said in upstream:
            kind = "text" if isinstance(said, str) else "bytes"
            await send({"type": "websocket.send", kind: said})
    await send({"type": "websocket.close", "code": 1001})
