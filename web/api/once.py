"""Requests that may come again, with an `Idempotency-Key`: done once, answered the same."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from bot.ports import OperatorError
from web.api.caller import admitted, desk_of, shown
from web.api.problems import Refusal
from web.ports import Asked, Program

HEADER, MAX_WORD, NONCE = "idempotency-key", 64, 12
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class Once(APIRoute):
    """A path whose POSTs are done once for each word that a program gives them."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            word = request.headers.get(HEADER)
            if request.method != "POST" or word is None:
                return await handle(request)
            return await _once(request, word, handle)

        return once


async def _once(request: Request, word: str, handle: Handle) -> Response:
    if not (0 < len(word) <= MAX_WORD and word.isascii() and word.isprintable()):
        raise Refusal(422, "idempotency.word", f"an Idempotency-Key has 1 to {MAX_WORD} characters")
    program = await admitted(request)
    about = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    digest = hashlib.sha256(about + await request.body()).hexdigest()
    running: set[tuple[str, str]] = request.app.state.running
    this = program.key, word
    if this in running:
        raise Refusal(
            409,
            "idempotency.running",
            "that request is being done; ask again",
            {"retry-after": "1"},
        )
    running.add(this)
    try:
        return await _begun(request, program, word, digest, handle)
    finally:
        running.discard(this)


async def _begun(
    request: Request, program: Program, word: str, digest: str, handle: Handle
) -> Response:
    keys, seal = desk_of(request).keys, _seal(request)
    before = await keys.begin(program, word, digest)
    if before is not None:
        return _again(before, seal)
    try:
        response = await handle(request)
    except (OperatorError, Refusal, RequestValidationError, HTTPException):
        await keys.finish(program, word, None)
        raise
    nonce = secrets.token_bytes(NONCE)
    answer = Asked(
        same=True,
        status=response.status_code,
        media_type=response.headers.get("content-type", ""),
        body=nonce + seal.encrypt(nonce, bytes(response.body), None),
    )
    await keys.finish(program, word, answer)
    return response


def _seal(request: Request) -> ChaCha20Poly1305:
    """What was answered may hold a secret: only who asked can read it again."""
    return ChaCha20Poly1305(hashlib.sha256(f"replay {shown(request)}".encode()).digest())


def _again(before: Asked, seal: ChaCha20Poly1305) -> Response:
    """The answer to what came before."""
    if not before.same:
        raise Refusal(422, "idempotency.other", "that Idempotency-Key was used for something else")
    if before.status is None:
        raise Refusal(
            409,
            "idempotency.unknown",
            "nobody knows whether that request was done: the exchange ended, or gave it up; look "
            "before you try again under another key",
        )
    headers = {"idempotency-replayed": "true"}
    if before.media_type:
        headers["content-type"] = before.media_type
    body = seal.decrypt(before.body[:NONCE], before.body[NONCE:], None)
    return Response(body, before.status, headers=headers)
