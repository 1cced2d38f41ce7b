"""Requests that may come again, with an `Idempotency-Key`: done once, answered the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security.utils import get_authorization_scheme_param

from bot.ports import OperatorError
from web.api.caller import desk_of
from web.api.problems import Refusal
from web.ports import Asked

HEADER, MAX_WORD = "idempotency-key", 64
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
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    desk = desk_of(request)
    program = await desk.keys.find(token) if scheme.lower() == "bearer" else None
    if program is None:
        return await handle(request)  # which refuses it
    about = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    digest = hashlib.sha256(about + await request.body()).hexdigest()
    before = await desk.keys.begin(program, word, digest)
    if before is not None:
        return _again(before)
    try:
        response = await handle(request)
    except (OperatorError, Refusal, RequestValidationError):
        await desk.keys.finish(program, word, None)
        raise
    body = bytes(response.body)
    media_type = response.headers.get("content-type", "")
    answer = Asked(same=True, status=response.status_code, media_type=media_type, body=body)
    await desk.keys.finish(program, word, answer)
    return response


def _again(before: Asked) -> Response:
    """The answer to what came before."""
    if not before.same:
        raise Refusal(422, "idempotency.other", "that Idempotency-Key was used for something else")
    if before.status is None:
        raise Refusal(
            409,
            "idempotency.unknown",
            "that request is being done, or was when the exchange ended: look before you try again",
        )
    headers = {"idempotency-replayed": "true"}
    if before.media_type:
        headers["content-type"] = before.media_type
    return Response(before.body, before.status, headers=headers)
