"""An office with its web server, and somebody who browses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import httpx

from bot.ports import SetupLink
from tests.office import Office, open_office

LINPHONE = "{http://www.linphone.org/xsds/lpconfig.xsd}"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PHONE = {"user-agent": "Unknown"}
"What Linphone 5.1 sends, and nothing else."


class Site:
    """The office with a client that trusts its authority, and no other."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.phones = office.app.phones
        host, port = office.app.addresses["web"].rsplit(":", 1)
        self.address = (host, int(port))
        self.url = f"https://{host}:{port}"
        self.tls = office.app.certificates.client_context()
        # The program answers within ten seconds; a machine full of tests is slower than five.
        self.client = httpx.AsyncClient(verify=self.tls, base_url=self.url, timeout=20)
        self.client.headers.clear()

    async def link(self, name: str = "desk", extension: str = "101") -> SetupLink:
        return await self.phones.offer(extension, name)

    async def scans(self, link: SetupLink) -> httpx.Response:
        """What a phone does that scanned the code."""
        return await self.client.get(link.phone, headers=PHONE)

    async def sent(self, raw: bytes, *, within: float = 5.0, tls: bool = True) -> bytes:
        """Everything that comes back, until the end, for some bytes."""
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.tls if tls else None)
        try:
            writer.write(raw)
            async with asyncio.timeout(within):
                return await reader.read()
        except (ConnectionError, ssl.SSLError):
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def open_site(folder: Path, **sections: Any) -> AsyncIterator[Site]:
    async with open_office(folder, **sections) as office:
        site = Site(office)
        async with site.client:
            yield site


def entries(xml: bytes) -> dict[str, str]:
    """Linphone's provisioning as `section.entry`."""
    return {
        f"{section.get('name')}.{entry.get('name')}": entry.text or ""
        for section in fromstring(xml)
        for entry in section
    }
