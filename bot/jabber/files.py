"""Files for people: uploaded where their server says (XEP-0363), encrypted first for those who
are written to encrypted (XEP-0454)."""

from __future__ import annotations

import io
import ssl
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout
from slixmpp import JID, ClientXMPP
from slixmpp.exceptions import IqTimeout, XMPPError

from bot.replies import Attachment

WITHIN = 30
"Seconds for an upload, and for each answer of the server before."


class UploadError(Exception):
    """A file cannot be uploaded; the text says why."""


class Files:
    """Uploads for one client, whose server's certificate is checked against `ca_file`, if that
    is given, for files as well."""

    def __init__(self, client: ClientXMPP, ca_file: str) -> None:
        self._client = client
        self._ca_file = ca_file
        self._service: JID | None = None

    async def upload(self, file: Attachment, *, secret: bool) -> str:
        """The address of a file; with `secret` the key to it is a part of that. Raises
        `UploadError`."""
        content, key = file.content, ""
        if secret:
            content, key = self._client.plugin["xep_0454"].encrypt(io.BytesIO(content))
        try:
            slot = await self._slot(file, len(content), secret=secret)
            address = str(slot["get"]["url"])
            await self._put(slot, content)
            return self._client.plugin["xep_0454"].format_url(address, key) if secret else address
        except (XMPPError, IqTimeout, ClientError, OSError, ValueError) as error:
            raise UploadError(type(error).__name__) from error

    async def _slot(self, file: Attachment, size: int, *, secret: bool) -> Any:
        upload = self._client.plugin["xep_0363"]
        if self._service is None:
            found = await upload.find_upload_service(timeout=WITHIN)
            if found is None:
                raise UploadError("the server has no place for files")
            self._service = found["from"]
        media_type = "application/octet-stream" if secret else file.media_type
        iq = await upload.request_slot(self._service, file.name, size, media_type, timeout=WITHIN)
        return iq["http_upload_slot"]

    async def _put(self, slot: Any, content: bytes) -> None:
        headers = {header["name"]: header["value"] for header in slot["put"]["headers"]}
        trusting = ssl.create_default_context(cafile=self._ca_file or None)
        limit = ClientTimeout(total=WITHIN)
        async with (
            ClientSession(timeout=limit) as session,
            session.put(
                slot["put"]["url"], data=content, headers=headers, ssl=trusting
            ) as response,
        ):
            if response.status >= 400:
                raise UploadError(f"the server answered {response.status}")
