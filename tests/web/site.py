"""An office with its web server, and somebody who browses."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import httpx

from bot.ports import SetupLink
from tests.cluster.nodes import nodes
from tests.office import Office, open_office
from tests.peers.several import server

LINPHONE = "{http://www.linphone.org/xsds/lpconfig.xsd}"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PHONE = {"user-agent": "Unknown"}
"What Linphone 5.1 sends, and nothing else."


class Site:
    """The office with a client that trusts its authority, and no other."""

    def __init__(self, office: Office, asked: Office | None = None) -> None:
        """`asked` is another program of the same exchange, to which requests go."""
        self.office = office
        self.phones = office.app.phones
        host, port = (asked or office).app.addresses["web"].rsplit(":", 1)
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
    async with AsyncExitStack() as stack:
        if os.environ.get("BY_ANOTHER_NODE"):  # everything by a node that does not lead
            both = await stack.enter_async_context(nodes(folder, server(), 2, **sections))
            site = Site(*both)
        else:
            site = Site(await stack.enter_async_context(open_office(folder, **sections)))
        await stack.enter_async_context(site.client)
        yield site


def entries(xml: bytes) -> dict[str, str]:
    """Linphone's provisioning as `section.entry`."""
    return {
        f"{section.get('name')}.{entry.get('name')}": entry.text or ""
        for section in fromstring(xml)
        for entry in section
    }
