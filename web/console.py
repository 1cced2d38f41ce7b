"""The console page: its files, and the way in.

The link in the chat has its token behind a “#”, which browsers send to nobody; the page's script
gives it to us once, and gets a cookie that scripts cannot read.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from web.api.caller import COOKIE, PAGE
from web.api.problems import Refusal
from web.ports import Sessions

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)
WEEK = 7 * 86_400
_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


@dataclass(frozen=True)
class _File:
    media_type: str
    plain: bytes
    packed: bytes
    tag: str


def _read(path: Path) -> _File:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return _File(_TYPES[path.suffix], content, gzip.compress(content, 9), tag)


_FILES = {
    path.relative_to(_FOLDER).as_posix(): _read(path)
    for path in sorted(_FOLDER.rglob("*"))
    if path.suffix in _TYPES
}


class Token(BaseModel):
    """What the link had behind its “#”."""

    token: str = Field(pattern=r"^[0-9a-f]{32}$")


def routes(sessions: Sessions) -> APIRouter:
    """The paths of the page."""
    router = APIRouter()

    @router.post("/console/enter")
    async def enter(given: Token, request: Request) -> Response:
        if PAGE not in request.headers:
            raise Refusal(403, "session.elsewhere", f"the console page sends {PAGE}")
        key = await sessions.enter(given.token, browser_of(request.headers.get("user-agent", "")))
        if key is None:
            raise Refusal(
                404, "console.link", "this link was used, or is too old; say “console” in the chat"
            )
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE, key, max_age=WEEK, path="/", secure=True, httponly=True, samesite="strict",
        )  # fmt: skip
        return response

    @router.get("/console")
    async def without_slash() -> Response:
        return RedirectResponse("console/", 308)

    @router.get("/console/{name:path}")
    async def file(name: str, request: Request) -> Response:
        found = _FILES.get(name or "index.html")
        if found is None:
            raise Refusal(404, "path.unknown", "there is no such page")
        headers = {
            "cache-control": "no-cache",  # asked for each time, and sent if it has changed
            "content-security-policy": CSP,
            "etag": found.tag,
            "vary": "accept-encoding",
        }
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        packs = "gzip" in request.headers.get("accept-encoding", "")
        if packs:
            headers["content-encoding"] = "gzip"
        content = found.packed if packs else found.plain
        return Response(content, media_type=found.media_type, headers=headers)

    return router


def browser_of(agent: str) -> str:
    """A browser for people, of what it says it is."""
    name = next((one for one in _BROWSERS if one in agent), "a browser")
    system = next((one for one in _SYSTEMS if one in agent), "")
    named = {"Edg": "Edge", "OPR": "Opera"}.get(name, name)
    known = re.sub(r" OS X$", "", system)
    return f"{named} on {known}" if known else named
