"""Links that set a phone up.

The link in the chat leads to a page, which uses nothing up: chat networks open links to show
previews. A button on it (POST) shows the settings. Phones fetch theirs by GET from another path,
which is in the QR code and nowhere a preview looks; a browser that scanned it is sent to the page.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from web.pages import notice, page
from web.ports import PhoneSettings, Setup, SetupRefused
from web.settings import as_text, linphone_xml, rows, zoiper_xml

_TOKEN = re.compile(r"[0-9a-f]{32}")
GONE = "This link was used, or is too old. Say “set up my phone” in the chat for a new one."
XML = "application/xml"


def routes(setup: Setup, public_url: str) -> APIRouter:
    """The paths of phones that are being set up; `public_url` is how they reach us."""
    router = APIRouter()

    async def redeemed(token: str) -> PhoneSettings | Response:
        """The settings for a token, or the answer why there are none."""
        try:
            phone = await setup.redeem(token) if _TOKEN.fullmatch(token) else None
        except SetupRefused as refused:
            return notice("Not set up", str(refused), 409)
        return phone or notice("No longer good", GONE, 404)

    @router.get("/setup/{token}")
    async def offer(token: str) -> Response:
        if not (_TOKEN.fullmatch(token) and await setup.is_open(token)):
            return notice("No longer good", GONE, 404)
        return page("offer.html", "Set up a phone", fetched_at=f"{public_url}/linphone/{token}")

    @router.post("/setup/{token}")
    async def show(token: str, request: Request) -> Response:
        phone = await redeemed(token)
        if isinstance(phone, Response):
            return phone
        if _prefers(request, "text/plain"):
            return PlainTextResponse(as_text(phone))
        title = f"{phone.name}: number {phone.number}"
        return page(
            "settings.html",
            title,
            rows=rows(phone),
            has_authority=setup.authority() is not None,
            authority_at=f"{public_url}/ca.crt",
        )

    @router.get("/linphone/{token}")
    async def linphone(token: str, request: Request) -> Response:
        if _prefers(request, "text/html"):
            return RedirectResponse(f"{public_url}/setup/{token}", 303)
        phone = await redeemed(token)
        if isinstance(phone, Response):
            return phone
        return Response(linphone_xml(phone), media_type=XML)

    @router.get("/zoiper/{token}")
    async def zoiper(token: str) -> Response:
        phone = await redeemed(token)
        if isinstance(phone, Response):
            return phone
        return Response(zoiper_xml(phone), media_type=XML)

    @router.get("/ca.crt")
    async def authority() -> Response:
        """No secret: it is shown in every handshake."""
        pem = setup.authority()
        if pem is None:
            return notice("Nothing to install", "Phones trust our certificate already.", 404)
        return Response(pem, media_type="application/x-x509-ca-cert")

    return router


def _prefers(request: Request, media_type: str) -> bool:
    """Whether that is what is asked for first (RFC 9110 §12.5.1)."""
    accepted: str = request.headers.get("accept", "")
    return accepted.partition(",")[0].partition(";")[0].strip().lower() == media_type
