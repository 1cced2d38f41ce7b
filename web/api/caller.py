"""Who calls: keys, what they are for, and how often they may."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from bot.ports import asking_program
from web.api.problems import Refusal
from web.ports import Desk, Program

RATE, BURST = 200.0, 400.0
"Requests a second of one key, and how many at once."
COOKIE, PAGE = "__Host-console", "x-console"
"Where a browser keeps its session, and what only the page itself can send."
_bearer = HTTPBearer(auto_error=False, description="A key, made by chat or `encryptotel key add`.")


class Bucket:
    """Requests that a key may still make (a token bucket)."""

    def __init__(self) -> None:
        self._left, self._at = BURST, time.monotonic()

    def take(self) -> int:
        """How many are left after this one; below nothing it is one too many."""
        now = time.monotonic()
        self._left = min(BURST, self._left + RATE * (now - self._at))
        self._at = now
        if self._left < 1:
            return -1
        self._left -= 1
        return int(self._left)


def desk_of(request: HTTPConnection) -> Desk:
    """What the API is given."""
    desk: Desk = request.app.state.desk
    return desk


def shown(request: HTTPConnection) -> str:
    """The key that a request shows: as programs do, or as the console page does, which others
    cannot make a browser do. Empty for none. Raises `Refusal`."""
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    if token and scheme.lower() == "bearer":
        return token
    session = request.cookies.get(COOKIE, "")
    if session and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Refusal(403, "session.elsewhere", "that page is not ours")
    safe = request.scope["type"] == "http" and request.scope["method"] in ("GET", "HEAD")
    if session and not safe and PAGE not in request.headers:
        raise Refusal(403, "session.elsewhere", f"the console page sends {PAGE}")
    return session


async def admitted(request: HTTPConnection) -> Program:
    """Whose key a request shows, counted once. Raises `Refusal`."""
    known: Program | None = getattr(request.state, "program", None)
    if known is not None:
        return known
    challenge = {"www-authenticate": "Bearer"}
    token = shown(request)
    if not token:
        raise Refusal(401, "key.missing", "show a key: Authorization: Bearer et_…", challenge)
    program = await desk_of(request).keys.find(token)
    by_browser = token == request.cookies.get(COOKIE)
    if program is None or program.is_session != by_browser:
        raise Refusal(401, "key.wrong", "that key opens nothing; make another by chat", challenge)
    left = request.app.state.buckets.setdefault(program.key, Bucket()).take()
    limits = {
        "ratelimit-limit": str(int(BURST)),
        "ratelimit-remaining": str(max(0, left)),
        "ratelimit-reset": str(math.ceil((BURST - max(0, left)) / RATE)),
    }
    if left < 0:
        raise Refusal(429, "key.too_often", "too many requests", {**limits, "retry-after": "1"})
    request.state.program, request.state.limits = program, limits
    asking_program.set("" if program.is_session else program.name)
    return program


async def program_of(
    request: Request,
    response: Response,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Program:
    """The same for a path, whose answer tells how many requests are left. Raises `Refusal`."""
    program = await admitted(request)
    response.headers.update(request.state.limits)
    return program


def allowed(scope: str) -> Callable[..., Coroutine[Any, Any, Program]]:
    """The program, if its key is for that. Raises `Refusal`."""

    async def check(program: Annotated[Program, Depends(program_of)]) -> Program:
        if not program.may(scope):
            raise Refusal(403, "key.scope", f"that key is not for {scope}")
        return program

    return check


At = Annotated[Desk, Depends(desk_of)]
